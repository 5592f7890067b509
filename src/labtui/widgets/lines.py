"""Lines of inert text: the top line, details, logs, help, script previews.

Like the table it draws only what is visible and repaints only the cells that changed, because on
a slow link bytes are latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from labtui.spec import Cell, Tone
from labtui.text import ascii_only
from labtui.widgets.palette import palette

Span = tuple[str, Tone]
Line = tuple[Span, ...]
LineLike = str | Cell | Sequence[Span]


def line_of(source: LineLike) -> Line:
    if isinstance(source, str):
        return ((source, ""),)
    if isinstance(source, Cell):
        return ((source.text, source.tone),)
    return tuple((text, tone) for text, tone in source)


def wrap_line(line: Line, width: int, indent: int = 2) -> list[Line]:
    """Break at spaces where it can; continuation lines are indented."""
    if width < 8 or sum(cell_len(t) for t, _ in line) <= width:
        return [line]
    lines: list[Line] = []
    current: list[Span] = []
    room = width
    for text, tone in line:
        rest = text
        while cell_len(rest) > room:
            at = _fit(rest, room)
            space = rest.rfind(" ", max(1, at // 2), at + 1)
            if space <= 0 and current and cell_len(rest) <= width - indent:
                head, rest = "", rest
            elif space > 0:
                head, rest = rest[:space], rest[space + 1 :]
            else:
                head, rest = rest[:at], rest[at:]
            lines.append((*current, (head, tone)))
            current = [(" " * indent, "")]
            room = width - indent
        current.append((rest, tone))
        room -= cell_len(rest)
    lines.append(tuple(current))
    return lines


def _fit(text: str, width: int) -> int:
    """How many characters of `text` fit in `width` cells; at least one."""
    if text.isascii():
        return max(1, width)
    used = 0
    for i, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return max(1, i)
    return len(text)


class Lines(ScrollView):
    """Text as data. Set it with `set_lines`; nothing is sent for what did not change."""

    DEFAULT_CSS = ""
    can_focus = False

    def __init__(
        self,
        *,
        wrap: bool = False,
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._wrap = wrap
        self._follow = follow
        self._source: tuple[Line, ...] = ()
        self._lines: list[Line] = []
        self._width = 0

    @property
    def plain(self) -> str:
        """What it shows, for tests and for copying."""
        return "\n".join("".join(t for t, _ in line) for line in self._source)

    def set_lines(self, lines: Sequence[LineLike]) -> None:
        source = tuple(line_of(line) for line in lines)
        if source == self._source:
            return
        self._source = source
        self._lay_out()

    def on_resize(self, event: Resize) -> None:
        if event.size.width != self._width:
            self._lay_out(force=True)

    def _lay_out(self, force: bool = False) -> None:
        width = self.size.width
        self._width = width
        old = self._lines
        if self._wrap and width:
            self._lines = [part for line in self._source for part in wrap_line(line, width)]
        else:
            self._lines = list(self._source)
        size = Size(0, len(self._lines))
        at_end = self.scroll_offset.y >= self.virtual_size.height - self.size.height
        if size.height != self.virtual_size.height:
            self.virtual_size = size
            if self._follow and at_end:
                self.scroll_end(animate=False, immediate=True)
        if force:
            self.refresh()
            return
        top = self.scroll_offset.y
        for y in range(self.size.height):
            index = top + y
            was = old[index] if index < len(old) else ()
            now = self._lines[index] if index < len(self._lines) else ()
            span = _changed(was, now, width)
            if span:
                self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        index = self.scroll_offset.y + y
        base = self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, base)
        colours = palette(self.app)
        plain = getattr(self.app, "ascii_mode", False)
        segments = [
            Segment(ascii_only(text) if plain else text, base + colours[tone])
            for text, tone in self._lines[index]
            if text
        ]
        return Strip(segments).adjust_cell_length(width, base).simplify()


def _changed(was: Line, now: Line, width: int) -> tuple[int, int] | None:
    """The cells (from, to) that differ, or None."""
    if was == now:
        return None
    a = [(c, tone) for text, tone in was for c in text]
    b = [(c, tone) for text, tone in now for c in text]
    if any(ord(c) > 0x2FFF for c, _ in (*a, *b)):
        return 0, width
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end_a, end_b = len(a), len(b)
    while len(a) == len(b) and end_a > start and a[end_a - 1] == b[end_b - 1]:
        end_a -= 1
        end_b -= 1
    end = min(width, max(end_a, end_b))
    return (start, end) if end > start else None


class Pager(Lines):
    """Lines that a person scrolls through with the keys of `less`."""

    can_focus = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(1)", "down", show=False),
        Binding("up,k", "scroll_by(-1)", "up", show=False),
        Binding("pagedown,f", "scroll_page(1)", "page down", show=False),
        Binding("pageup,b", "scroll_page(-1)", "page up", show=False),
        Binding("g,home", "top", "top", show=False),
        Binding("G,end", "bottom", "bottom", show=False),
    ]

    def action_scroll_by(self, delta: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + delta, animate=False, immediate=True)

    def action_scroll_page(self, sign: int) -> None:
        self.action_scroll_by(sign * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False, immediate=True)

    def action_bottom(self) -> None:
        self.scroll_end(animate=False, immediate=True)
