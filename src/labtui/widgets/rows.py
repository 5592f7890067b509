"""The virtual table: what it costs depends on the lines that are seen, not on the rows there are.

A line-API widget that keeps its own first visible row. It is not a ScrollView: a virtual size is
part of a widget's geometry, so with one every job that comes or goes repaints the whole table
(docs/adr/0001-virtual-table.md). One rule does all the drawing: state changes, then `_repaint`
compares each visible line with what was last drawn there and sends the cells that differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from textual import events
from textual.actions import parse
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from labtui.spec import Column
from labtui.widgets.palette import palette
from labtui.widgets.rows_line import Lines, difference

HEADER = 1
"""Lines above the rows."""
WHEEL = 3
"""Rows a turn of the wheel."""


class Place(NamedTuple):
    """Cursor, first visible row, the cursor's key, the marks: one person's place in one table."""

    cursor: int
    top: int
    held: str | None
    marked: set[str]


class Rows(Widget, can_focus=True):
    """Rows with identity. The screen filters, sorts and sets them; columns are data.

    Colours are `app.palette`'s (widgets/palette.py), plain ASCII is drawn under `app.ascii_mode`.
    A column's `text` is called only for lines that are drawn, and again only when its item is no
    longer equal: what depends on the clock belongs into the item.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "Rows { width: 1fr; height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="rows.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="rows.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="rows.page-up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="rows.page-down"),
        Binding("home,g", "first", "First row", show=False, id="rows.first"),
        Binding("end,G", "last", "Last row", show=False, id="rows.last"),
        Binding("space", "mark", "Mark", show=False, id="rows.mark"),
        Binding("enter", "open", "Open", show=False, id="rows.open"),
    ]

    message = reactive("", repaint=False)
    """The line shown where there are no rows: what is waited for, or why there are none."""
    stale = reactive(False, repaint=False)
    """The rows are old: drawn dim, otherwise unchanged."""
    sorted_by: reactive[tuple[str, bool] | None] = reactive(None, repaint=False)
    """(column id, descending): shown in the header; the screen does the sorting."""

    class _About(Message):
        def __init__(self, rows: Rows, item: Any, key: str | None) -> None:
            super().__init__()
            self.rows, self.item, self.key = rows, item, key

        @property
        def control(self) -> Rows:
            return self.rows

    class Moved(_About):
        """Another row, or another value of it, is under the cursor. Sent after the repaint, once
        for all moves before it; `item` and `key` are None when no row is left."""

    class Opened(_About):
        """`enter` or a double click on a row."""

    def __init__(
        self,
        columns: Sequence[Column] = (),
        *,
        message: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.marked: set[str] = set()
        """Keys; a row that is filtered away keeps its mark, `chosen` leaves it out."""
        self._columns = tuple(columns)
        self.set_reactive(Rows.message, message)
        self._items: Sequence[Any] = ()
        self._keys: Sequence[str] = ()
        self._leads: Mapping[str, str] = {}
        self._top = 0
        self._cursor = 0
        self._held: str | None = None
        self._told: tuple[str | None, Any] = (None, None)
        self._telling = False
        self._lines: Lines | None = None
        self._header = self._note = Strip([])
        self._shown: dict[int, Strip] = {}

    # What the screen says

    def set_rows(
        self, items: Sequence[Any], *, keys: Sequence[str], leads: Mapping[str, str] | None = None
    ) -> None:
        """Replace all rows by `items`, filtered and sorted, with one key each; `leads` is what
        stands before the text of a column with `lead`, by key.

        Both are kept, not copied. Cursor, marks and scroll stay with their keys; a cursor whose row
        is gone stays at its place. Costs one scan for the cursor's key, and the visible lines.
        """
        row, count = self._cursor, len(keys)
        if self._held is not None and not (row < count and keys[row] == self._held):
            try:
                row = keys.index(self._held)
            except ValueError:
                row = max(0, min(row, count - 1))
        # A view at the top stays there: what has become worst must not arrive above the screen.
        top = self._top + row - self._cursor if self._top else 0
        self._items, self._keys, self._leads = items, keys, leads or {}
        self._place(row, top)

    def set_columns(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self.recheck()

    def recheck(self) -> None:
        """Evaluate the visible lines again: for columns that tell a time that passes."""
        self._lines = None
        self._repaint()

    watch_message = watch_stale = watch_sorted_by = recheck

    @property
    def place(self) -> Place:
        """Where a person is in this table; `switch` brings them back."""
        return Place(self._cursor, self._top, self._held, self.marked)

    def switch(self, columns: Sequence[Column], place: Place | None = None) -> None:
        """Another table in this widget's place; its rows are set next, which repaints."""
        self._columns = tuple(columns)
        self._lines = None
        self._items, self._keys = (), ()
        self._cursor, self._top, self._held, self.marked = place or Place(0, 0, None, set())
        self.set_reactive(Rows.sorted_by, None)

    # What the screen asks

    @property
    def count(self) -> int:
        return len(self._keys)

    @property
    def cursor(self) -> int:
        """Index of the cursor's row; 0 when there are no rows."""
        return self._cursor

    @property
    def cursor_key(self) -> str | None:
        return self._keys[self._cursor] if self._keys else None

    @property
    def cursor_item(self) -> Any:
        return self._items[self._cursor] if self._keys else None

    def chosen(self) -> list[Any]:
        """What an action is for: the marked rows that are in the table, else the cursor's row."""
        if self.marked:
            pairs = zip(self._keys, self._items, strict=True)
            found = [item for key, item in pairs if key in self.marked]
            if found:
                return found
        return [self.cursor_item] if self._keys else []

    # What a person does

    def early_key(self, key: str) -> bool:
        """Do now what a key asks of the table. By way of Textual's queues it would be done after
        the keys behind it, and those would be for another row. False where it asks nothing."""
        found = self._bindings.key_to_bindings.get(key)
        if not found:
            return False
        _, name, arguments = parse(found[0].action)
        getattr(self, f"action_{name}")(*arguments)
        return True

    def move(self, delta: int) -> None:
        self._place(self._cursor + delta, self._top)

    def move_to(self, row: int | str) -> bool:
        """To an index or a key; False for a key that is not there."""
        if isinstance(row, str):
            try:
                row = self._keys.index(row)
            except ValueError:
                return False
        self._place(row, self._top)
        return True

    def toggle_mark(self) -> None:
        if (key := self.cursor_key) is not None:
            self.marked ^= {key}
            self._repaint()

    def clear_marks(self) -> None:
        self.marked.clear()
        self._repaint()

    def action_move(self, delta: int) -> None:
        self.move(delta)

    def action_page(self, pages: int) -> None:
        delta = pages * max(1, self._page - 1)
        self._place(self._cursor + delta, self._top + delta)

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self.count - 1)

    def action_mark(self) -> None:
        self.toggle_mark()
        self.move(1)

    def action_open(self) -> None:
        if (key := self.cursor_key) is not None:
            self.post_message(self.Opened(self, self.cursor_item, key))

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y - HEADER
        if event.y >= HEADER and row < self.count:
            self.move_to(row)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._wheel(WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._wheel(-WHEEL)

    def _wheel(self, delta: int) -> None:
        top = max(0, min(self._top + delta, self.count - self._page))
        self._place(max(top, min(self._cursor, top + self._page - 1)), top)

    # Where things are

    @property
    def _page(self) -> int:
        return max(1, self.size.height - HEADER)

    def _place(self, row: int, top: int) -> None:
        """Put the cursor on `row` with `top` as first line, or as near to that as there are rows.

        A cursor that leaves the view takes half a page with it: one repaint for many moves.
        """
        count, page = self.count, self._page
        row = max(0, min(row, count - 1))
        if not top <= row < top + page:
            top = row - page // 2
        self._cursor, self._top = row, max(0, min(top, count - page))
        if count:
            self._held = self._keys[row]
        self._repaint()
        if (self.cursor_key, self.cursor_item) != self._told and not self._telling:
            self._telling = True
            self.call_after_refresh(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._told = key, item = self.cursor_key, self.cursor_item
        self.post_message(self.Moved(self, item, key))

    # Drawing

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = None

    def on_resize(self) -> None:
        self._lines = None
        self._shown.clear()
        self._place(self._cursor, self._top)

    def _repaint(self) -> None:
        """Send what differs from what was last drawn: the one place that refreshes anything."""
        if not self.is_mounted:
            return
        for y in range(self.size.height):
            old, new = self._shown.get(y), self._line(y)
            if new is not old:
                self._shown[y] = new
                if span := difference(old, new):
                    self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def render_line(self, y: int) -> Strip:
        strip = self._shown[y] = self._line(y)
        return strip

    def _line(self, y: int) -> Strip:
        if self._lines is None:
            self._lines = Lines(
                self._columns,
                self.size.width,
                self.visual_style.rich_style,
                palette(self.app),
                plain=bool(getattr(self.app, "ascii_mode", False)),
                stale=self.stale,
            )
            self._header = self._lines.header(self.sorted_by)
            self._note = self._lines.note(self.message)
        if y < HEADER:
            return self._header
        row = self._top + y - HEADER
        if row < len(self._keys):
            key = self._keys[row]
            marked = key in self.marked
            lead = self._leads.get(key, "")
            return self._lines.row(key, self._items[row], row == self._cursor, marked, lead)
        return self._note if row == 0 and self.message else self._lines.blank
