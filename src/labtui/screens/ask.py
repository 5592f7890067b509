"""The line at the bottom that takes a filter (`/`) or a command (`:`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class Ask(Input):
    """Hidden until asked for. The mode's own sign stands before what is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("tab", "complete", show=False, priority=True),
        Binding("up", "recall(-1)", show=False, priority=True),
        Binding("down", "recall(1)", show=False, priority=True),
    ]

    class Edited(Message):
        def __init__(self, mode: str, text: str) -> None:
            super().__init__()
            self.mode, self.text = mode, text

    class Done(Message):
        """It was left: `text` is None when the person gave up."""

        def __init__(self, mode: str, text: str | None) -> None:
            super().__init__()
            self.mode, self.text = mode, text

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, select_on_focus=False)
        self.display = False
        self.cursor_blink = False
        self.mode = "/"
        self.before = ""
        self.earlier: Sequence[str] = ()
        self._at = 0

    def open(self, mode: str, text: str = "", earlier: Sequence[str] = ()) -> None:
        self.mode, self.before = mode, text
        self.earlier, self._at = earlier, len(earlier)
        self.display = True
        with self.prevent(Input.Changed):
            self.value = mode + text
        self.cursor_position = len(self.value)
        # At once, not by way of the message queue: the next key is already on its way.
        self.screen.set_focus(self)

    def close(self) -> None:
        self.display = False

    @property
    def text(self) -> str:
        return self.value[1:]

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.display:
            return
        if not self.value.startswith(self.mode):
            self._finish(self.before if self.mode == "/" else None)
            return
        self.post_message(Ask.Edited(self.mode, self.text))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._finish(self.text)

    def action_leave(self) -> None:
        self._finish(self.before if self.mode == "/" else None)

    def action_recall(self, step: int) -> None:
        """An earlier filter: `up` older, `down` newer."""
        if self.mode != "/" or not self.earlier:
            return
        self._at = max(0, min(len(self.earlier), self._at + step))
        text = self.earlier[self._at] if self._at < len(self.earlier) else ""
        self.value = "/" + text
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        commands = getattr(self.screen, "commands", None)
        if self.mode == ":" and commands is not None:
            found = commands.going.complete(self.text)
            if found:
                self.value = ":" + found[0]
                self.cursor_position = len(self.value)

    def _finish(self, text: str | None) -> None:
        self.close()
        if self.has_focus:  # at once, as in `open`: the next key is a command again
            self.screen.set_focus(None)
        self.post_message(Ask.Done(self.mode, text))
