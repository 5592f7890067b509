"""What a form is made of: rows of a label, a box to type in and a note; completion from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.suggester import Suggester
from textual.widgets import Input

from labtui.text import cut
from labtui.widgets.lines import Lines

LABEL, LABEL_WIDE = 10, 19


class Row(Horizontal):
    """One field: what it is called, what is typed, what is there now."""

    DEFAULT_CLASSES = "field"

    def __init__(self, name: str, noted: bool, words: Callable[[], Sequence[str]]) -> None:
        super().__init__(id=f"row-{name}")
        self.name_of = name
        self.set_class(not noted, "-plain")
        self.box = Input(id=f"field-{name}", select_on_focus=False, suggester=Known(words))
        self.box.cursor_blink = False
        self.label = Lines(classes="label")
        self.note = Lines(id=f"note-{name}", classes="note")

    def compose(self) -> ComposeResult:
        yield self.label
        yield self.box
        yield self.note

    def on_mount(self) -> None:
        self.on_resize()

    def on_resize(self) -> None:
        room = LABEL_WIDE if self.label.size.width > LABEL + 1 else LABEL
        self.label.set_lines([cut(self.name_of, room).rstrip()])


class More(Lines, can_focus=True):
    """The last line of a form: enter shows more of it."""


class Known(Suggester):
    """Completes the last word of a list with what there is; the right arrow takes it."""

    def __init__(self, words: Callable[[], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._words = words

    async def get_suggestion(self, value: str) -> str | None:
        head, comma, last = value.rpartition(",")
        for word in self._words():
            if last and word.startswith(last) and word != last:
                return head + comma + word
        return None
