"""One question, one line of answer."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from labtui.widgets.lines import Lines


class Prompt(ModalScreen[str | None]):
    """Ends with the answer, or None when it was left."""

    DEFAULT_CLASSES = "dialog"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False, priority=True)]

    def __init__(self, question: str, hint: str = "") -> None:
        super().__init__()
        self._question, self._hint = question, hint

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="ask-title")
            yield Input(placeholder=self._hint)
            yield Lines(id="ask-foot")

    def on_mount(self) -> None:
        self.query_one("#ask-title", Lines).set_lines([[(self._question, "accent")]])
        self.query_one("#ask-foot", Lines).set_lines([[("enter goes on   esc leaves", "dim")]])
        box = self.query_one(Input)
        box.cursor_blink = False
        box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)
