"""A secret being typed: the dialog draws dots; the keyholder alone sees what they stand for."""

from __future__ import annotations

from typing import cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from labtui.keyholder.holder import UNLOCKED, HolderError, Keyholder, Typed
from labtui.screens.console import Console
from labtui.spec import Tone, Wanted
from labtui.text import inert
from labtui.widgets.lines import LineLike, Lines

DOTS = 44
"""Dots that are drawn at most: what a share has in base64."""
FOOT = "enter gives it   ctrl+f from a gpg file   ctrl+u clear   esc leave"
NAMING = "enter opens it   tab completes   ctrl+u clear   esc back"
"""While the name of a file is typed."""


def dots(typed: Typed, ascii_mode: bool) -> str:
    """What stands for what was typed: a file's name for itself."""
    if typed.text:
        return inert(typed.text, 300) + "_"
    return ("*" if ascii_mode else "●") * min(typed.count, DOTS)


class SecretDialog(ModalScreen[bool]):
    """Ends with True when the keyholder has it. While it is up no key comes to the console."""

    DEFAULT_CLASSES = "dialog"

    def __init__(self, holder: Keyholder, wanted: Wanted, file: str = "") -> None:
        """`file`: what is offered where the person wants gpg to open one."""
        super().__init__()
        self._holder, self._wanted, self._file = holder, wanted, file
        self._typed = Typed()
        self._reads = False
        self.failure = ""
        """Why it ended without, where the person did not leave."""

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="secret-title", wrap=True)
            yield Lines(id="secret", wrap=True)
            yield Lines(id="secret-foot", wrap=True)

    def on_mount(self) -> None:
        self._draw("a moment: the keyboard is being lent")
        self.run_worker(self._have(), exit_on_error=False)

    async def _have(self) -> None:
        keyboard = self.lab.keyboard
        try:
            async with keyboard.lend():
                ended = await self._holder.ask(self._wanted, keyboard, self._show, self._file)
        except HolderError as error:
            self.failure = error.message
            self.dismiss(False)
            return
        self.dismiss(ended == "given")

    def _show(self, typed: Typed) -> None:
        self._typed, self._reads = typed, True
        self._draw(FOOT if typed.text is None else NAMING)

    def _draw(self, foot: str) -> None:
        if not self.is_attached:
            return
        typed = self._typed
        tone: Tone = "ok" if typed.good else "warn" if typed.shape else "dim"
        lines: list[LineLike] = [
            [(dots(typed, self.lab.ascii_mode) or ("_" if self._reads else ""), "accent"),
             (f"  {inert(typed.shape, 120)}", tone)],
        ]  # fmt: skip
        if not self._holder.locked:
            lines.append([(UNLOCKED, "dim")])
        title = f"Type or paste {self._wanted.words}"
        self.query_one("#secret-title", Lines).set_lines([[(inert(title, 200), "accent")], ""])
        self.query_one("#secret", Lines).set_lines(lines)
        self.query_one("#secret-foot", Lines).set_lines(["", [(foot, "dim")]])
