"""A list to choose from: the actions of a row (by their keys) or the palette (by typing)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input

from labtui.spec import Tone
from labtui.text import cut
from labtui.widgets.lines import Line, Lines

HEIGHT = 14


class Entry(msgspec.Struct, frozen=True):
    id: str
    key: str
    words: str
    help: str
    disabled: str | None
    note: str = ""
    """Lines that are told below the list while the cursor is on it."""


class Menu(ModalScreen[str | None]):
    """Ends with the chosen entry's id, or None."""

    DEFAULT_CLASSES = "dialog"

    def __init__(
        self, title: str, entries: Sequence[Entry], *, typing: bool = False, words: int = 18
    ) -> None:
        """`words`: cells for what an entry is called."""
        super().__init__()
        self._words = words
        self._title = title
        self._all = list(entries)
        self._found = list(entries)
        self._typing = typing
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="menu-title")
            if self._typing:
                yield Input(id="menu-input")
            yield Lines(id="menu")
            if any(entry.note for entry in self._all):
                yield Lines(id="menu-note", wrap=True)
            yield Lines(id="menu-foot")

    def on_mount(self) -> None:
        self.query_one("#menu-title", Lines).set_lines([[(self._title, "accent")]])
        self.query_one("#menu-foot", Lines).set_lines(
            [[("up/down enter choose   esc leave", "dim")]]
        )
        self.query_one("#menu").styles.height = min(HEIGHT, max(1, len(self._all)))
        if self._typing:
            box = self.query_one(Input)
            box.cursor_blink = False
            box.focus()
        self._draw()

    def _draw(self) -> None:
        first = max(0, min(self._at - HEIGHT // 2, len(self._found) - HEIGHT))
        keys = 6 if any(entry.key for entry in self._all) else 0
        lines: list[Line] = []
        for i, entry in enumerate(self._found[first : first + HEIGHT], first):
            mark = "▌" if i == self._at else " "
            why = f"not now: {entry.disabled}" if entry.disabled else entry.help
            tone: Tone = "dim" if entry.disabled else "accent" if i == self._at else ""
            lines.append(
                (
                    (f"{mark}{entry.key:>{keys}}  " if keys else f"{mark} ", tone),
                    (f"{cut(entry.words, self._words)} ", tone),
                    (why, "dim"),
                )
            )
        self.query_one("#menu", Lines).set_lines(lines or [[("nothing matches", "dim")]])
        for note in self.query("#menu-note").results(Lines):
            note.set_lines(self._found[self._at].note.split("\n") if self._found else [])

    def on_input_changed(self, event: Input.Changed) -> None:
        from rapidfuzz import fuzz  # late: not needed for the first frame

        text = event.value.casefold()
        if text:
            scored = [
                (fuzz.partial_ratio(text, f"{e.words} {e.help} {e.id}".casefold()), e)
                for e in self._all
            ]
            self._found = [e for s, e in sorted(scored, key=lambda p: -p[0]) if s >= 70]
        else:
            self._found = list(self._all)
        self._at = 0
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._choose()

    def _choose(self) -> None:
        if self._found and not self._found[self._at].disabled:
            self.dismiss(self._found[self._at].id)

    def on_key(self, event: Key) -> None:
        if event.key in ("up", "down"):
            self._at = max(0, min(len(self._found) - 1, self._at + (event.key == "down") * 2 - 1))
            self._draw()
        elif event.key == "escape":
            self.dismiss(None)
        elif event.key == "enter":
            self._choose()
        elif not self._typing:
            name = event.character or event.key
            for entry in self._all:
                if entry.key == name and not entry.disabled:
                    self.dismiss(entry.id)
                    return
        else:
            return
        event.stop()
