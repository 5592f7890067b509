"""Which columns a table has, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen

from labtui.spec import Column, Tone
from labtui.widgets.lines import Line, Lines
from labtui.widgets.rows_line import LEAST, MARKS

HEIGHT = 14


class ColumnChooser(ModalScreen[tuple[str, ...] | None]):
    """Ends with the ids in their order, empty for the table's own choice; None when left."""

    DEFAULT_CLASSES = "dialog"

    def __init__(self, columns: Sequence[Column], chosen: Sequence[Column], width: int) -> None:
        super().__init__()
        shown = [column for column in chosen if column.min_total <= width]
        ids = {column.id for column in shown}
        self._all = [*shown, *(column for column in columns if column.id not in ids)]
        self._on = ids
        self._at = 0
        self._width = width

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="menu-title")
            yield Lines(id="menu")
            yield Lines(id="menu-foot", wrap=True)

    def on_mount(self) -> None:
        self.query_one("#menu-title", Lines).set_lines([[("Columns", "accent")]])
        foot = "space on/off   J K down/up   enter take   0 the usual ones   esc leave"
        self.query_one("#menu-foot", Lines).set_lines([[(foot, "dim")]])
        self.query_one("#menu").styles.height = min(HEIGHT, len(self._all))
        self._draw()

    def _draw(self) -> None:
        first = max(0, min(self._at - HEIGHT // 2, len(self._all) - HEIGHT))
        lines: list[Line] = []
        used = MARKS - 1
        for i, column in enumerate(self._all):
            on = column.id in self._on
            used += (LEAST if column.grow else column.width) + 1 if on else 0
            if not first <= i < first + HEIGHT:
                continue
            mark = "▌" if i == self._at else " "
            room = "" if not on or used <= self._width else "  no room for it here"
            words = f"{mark}[{'x' if on else ' '}] {column.title:<12} {column.help}"
            tone: Tone = "accent" if i == self._at else "" if on else "dim"
            lines.append(((words, tone), (room, "warn")))
        self.query_one("#menu", Lines).set_lines(lines)

    def on_key(self, event: Key) -> None:
        event.stop()
        key = event.character or event.key
        last = len(self._all) - 1
        column = self._all[self._at]
        if event.key in ("down", "j"):
            self._at = min(last, self._at + 1)
        elif event.key in ("up", "k"):
            self._at = max(0, self._at - 1)
        elif key in ("J", "K"):
            to = max(0, min(last, self._at + (1 if key == "J" else -1)))
            self._all.insert(to, self._all.pop(self._at))
            self._at = to
        elif event.key == "space":
            self._on ^= {column.id}
        elif key == "0":
            self.dismiss(())
            return
        elif event.key == "enter":
            self.dismiss(tuple(c.id for c in self._all if c.id in self._on) or None)
            return
        elif event.key in ("escape", "q"):
            self.dismiss(None)
            return
        self._draw()
