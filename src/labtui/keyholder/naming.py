"""The name of a file for gpg, typed where somebody may paste the secret itself by slip.

It is shown only while a file begins so: what is pasted here instead is not told to the console.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from labtui.keyholder.line import Key
from labtui.keyholder.shape import Form, characters
from labtui.keyholder.slip import slipped
from labtui.keyholder.terminal import Prompt, Terminal

WHICH = "which file has it, for gpg to decrypt? esc goes back"
SLIP = "this is a {kind}, not a file: esc goes back, give it there"


class Names:
    """Of files, as a person in this folder types them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def path(self, text: str) -> Path:
        """Raises RuntimeError where there is no such home folder."""
        return Path(self._folder, Path(text).expanduser())

    def form(self, text: str) -> Form:
        if not text:
            return Form(0, WHICH, False, "")
        file = self._is(text, Path.is_file)
        if file or self._is(text, Path.is_dir) or self._begun(text):
            return Form(0, "enter opens it" if file else "tab completes it", file, text)
        return Form(characters(bytearray(os.fsencode(text))), "no file begins so", False, "")

    def completed(self, text: str) -> str:
        """As far as every file that begins so goes on alike."""
        found = self._begun(text)
        if not found:
            return text
        begin = text.rpartition("/")[2]
        alike = os.path.commonprefix([path.name for path in found])  # noqa: RUF071 - letters
        slash = "/" if len(found) == 1 and self._is(text + alike[len(begin) :], Path.is_dir) else ""
        return text + alike[len(begin) :] + slash

    def _is(self, text: str, kind: Callable[[Path], bool]) -> bool:
        try:
            return kind(self.path(text))
        except (OSError, RuntimeError, ValueError):
            return False

    def _begun(self, text: str) -> list[Path]:
        """The files that begin so, hidden ones only where a dot was typed."""
        head, slash, begin = text.rpartition("/")
        try:
            found = [p for p in self.path(head + slash).iterdir() if p.name.startswith(begin)]
        except (OSError, RuntimeError, ValueError):
            return []
        return [p for p in found if begin.startswith(".") or not p.name.startswith(".")]


class NamePrompt(Prompt):
    """Ends with the name of a file that is there."""

    def __init__(
        self,
        terminal: Terminal,
        control: socket.socket,
        names: Names,
        typed: Callable[[Form], None],
        text: str = "",
        notice: str = "",
    ) -> None:
        """`text`: what is there already; `notice`: what was wrong with it."""
        super().__init__(terminal, control, "file", typed, lambda _: "")
        self._names = names
        self._line.put(os.fsencode(text))
        self._line.notice = notice

    def _form(self, text: bytearray) -> Form:
        name = os.fsdecode(bytes(text))
        told = self._names.form(name)
        if not told.text and (kind := slipped(name)):
            self._line.refuse(SLIP.format(kind=kind))
            return Form(0, "", False, "")
        return told

    def _ends(self, key: Key) -> bool:
        """Tab and ctrl+f complete; there is no progress here to reset."""
        if key == "gpg":
            text = os.fsdecode(bytes(self._line.text))
            self._line.put(os.fsencode(self._names.completed(text)))
        return False
