"""The line at the bottom that takes a filter (`/`) or a command (`:`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.binding import Binding
from textual.events import Key
from textual.message import Message
from textual.widgets import Input

Done = Callable[[str, str | None], None]
"""`done(mode, text)`; text is None when the person gave up."""

_EDITS = {
    key: f"action_{binding.action}"
    for binding in Input.BINDINGS
    if isinstance(binding, Binding) and binding.action != "submit" and "(" not in binding.action
    for key in binding.key.split(",")
}
"""What Input does with a key, by the method's name."""


class Ask(Input):
    """Hidden until asked for. The mode's own sign stands before what is typed.

    Its screen's `early_key` gives it every key while it is open. By way of Textual's queues an
    `enter` or a backspace would come after the keys behind it, which a slow link sends with it.
    """

    class Edited(Message):
        def __init__(self, mode: str, text: str) -> None:
            super().__init__()
            self.mode, self.text = mode, text

    def __init__(self, done: Done, *, id: str) -> None:
        super().__init__(id=id, select_on_focus=False)
        self._done = done
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
        self.screen.set_focus(self)  # its cursor shows, and a paste comes here

    def close(self) -> None:
        self.display = False

    @property
    def text(self) -> str:
        return self.value[1:]

    def early_key(self, event: Key) -> bool:
        """Do what a key asks, now; False where Input has to."""
        if event.key == "enter":
            self._finish(self.text)
        elif event.key == "escape":
            self._leave()
        elif event.key == "tab":
            self._complete()
        elif event.key in ("up", "down"):
            self._recall(-1 if event.key == "up" else 1)
        elif event.key in _EDITS:
            getattr(self, _EDITS[event.key])()
        elif event.is_printable and event.character:
            self.replace(event.character, *self.selection)
        else:
            return False
        if self.display and not self.value.startswith(self.mode):
            self._leave()
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self.display:
            return
        if not self.value.startswith(self.mode):  # a selection that held the sign was pasted over
            self._leave()
            return
        self.post_message(Ask.Edited(self.mode, self.text))

    def _recall(self, step: int) -> None:
        """An earlier filter: `up` older, `down` newer."""
        if self.mode != "/" or not self.earlier:
            return
        self._at = max(0, min(len(self.earlier), self._at + step))
        text = self.earlier[self._at] if self._at < len(self.earlier) else ""
        self.value = "/" + text
        self.cursor_position = len(self.value)

    def _complete(self) -> None:
        commands = getattr(self.screen, "commands", None)
        if self.mode == ":" and commands is not None:
            found = commands.going.complete(self.text)
            if found:
                self.value = ":" + found[0]
                self.cursor_position = len(self.value)

    def _leave(self) -> None:
        self._finish(self.before if self.mode == "/" else None)

    def _finish(self, text: str | None) -> None:
        self.close()
        if self.has_focus:
            self.screen.set_focus(None)
        # Called and not sent: the next key is a command on what this does.
        self._done(self.mode, text)
