"""Lines of inert text: the top line, details, logs, help, script previews.

Like the table it draws only what is visible and repaints only the cells that changed, because on
a slow link bytes are latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from labtui.spec import Cell, Tone
from labtui.text import ascii_only, inert
from labtui.widgets.palette import palette
from labtui.widgets.rows_line import difference, join

Span = tuple[str, Tone]
Line = tuple[Span, ...]
LineLike = str | Cell | Sequence[Span]


def line_of(source: LineLike) -> Line:
    """Outside text was made inert before; this is the last place before the terminal."""
    if isinstance(source, str):
        return ((inert(source), ""),)
    if isinstance(source, Cell):
        return ((inert(source.text), source.tone),)
    return tuple((inert(text), tone) for text, tone in source)


def _width(text: str) -> int:
    """Terminal cells; quick for what most text is."""
    return len(text) if text.isascii() else cell_len(text)


def wrap_line(line: Line, width: int, indent: int = 2) -> list[Line]:
    """Break at spaces where it can; continuation lines are indented."""
    if width < 8 or sum(_width(t) for t, _ in line) <= width:
        return [line]
    lines: list[Line] = []
    current: list[Span] = []
    room = width
    for text, tone in line:
        rest = text
        while _width(rest) > room:
            at = _fit(rest, room)
            space = rest.rfind(" ", max(1, at // 2), at + 1)
            if space <= 0 and current and _width(rest) <= width - indent:
                head, rest = "", rest
            elif space > 0:
                head, rest = rest[:space], rest[space + 1 :]
            else:
                head, rest = rest[:at], rest[at:]
            lines.append((*current, (head, tone)))
            current = [(" " * indent, "")]
            room = width - indent
        current.append((rest, tone))
        room -= _width(rest)
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


class Lines(Widget):
    """Text as data. Set it with `set_lines`; only the cells that changed are sent.

    It keeps its own first visible line for the reason that the table does
    (docs/adr/0001-virtual-table.md).
    """

    ALLOW_SELECT = False

    def __init__(
        self,
        *,
        wrap: bool = False,
        indent: int = 2,
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._wrap = wrap
        self._indent = indent
        self._follow = follow
        self._source: tuple[Line, ...] = ()
        self._wrapped: list[Line] = []
        self._top = 0
        self._shown: dict[int, Strip] = {}

    @property
    def plain(self) -> str:
        """What it says, for tests and for copying."""
        return "\n".join("".join(t for t, _ in line) for line in self._source)

    def set_lines(self, lines: Sequence[LineLike]) -> None:
        source = tuple(line_of(line) for line in lines)
        if source == self._source:
            return
        at_end = self._top >= self._last_top
        count = len(self._wrapped)
        self._source = source
        self._lay_out()
        if self._follow and at_end:
            self._top = self._last_top
        if len(self._wrapped) != count and self.styles.auto_dimensions:
            self.refresh(layout=True)
        self._repaint()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Textual's question to a widget of `height: auto`."""
        if not self._wrap:
            return len(self._source)
        return sum(len(wrap_line(line, width, self._indent)) for line in self._source)

    def on_resize(self) -> None:
        self._lay_out()
        self._shown.clear()
        self._repaint()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._shown.clear()

    @property
    def _last_top(self) -> int:
        return max(0, len(self._wrapped) - self.size.height)

    def _lay_out(self) -> None:
        width = self.size.width
        self._wrapped = (
            [part for line in self._source for part in wrap_line(line, width, self._indent)]
            if self._wrap and width
            else list(self._source)
        )
        self._top = min(self._top, self._last_top)

    def _repaint(self) -> None:
        if not self.is_mounted:
            return
        for y in range(self.size.height):
            old, new = self._shown.get(y), self._strip(y)
            self._shown[y] = new
            if span := difference(old, new):
                self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def render_line(self, y: int) -> Strip:
        strip = self._shown[y] = self._strip(y)
        return strip

    def _line_at(self, y: int) -> Line:
        index = self._top + y
        return self._wrapped[index] if index < len(self._wrapped) else ()

    def _strip(self, y: int) -> Strip:
        width = self.size.width
        line = self._line_at(y)
        colours = palette(self.app)
        plain = bool(getattr(self.app, "ascii_mode", False))
        base = self._base
        pieces = [(ascii_only(t) if plain else t, base + colours[tone]) for t, tone in line if t]
        return join([*pieces, ("", base)], width)

    @property
    def _base(self) -> Style:
        """The widget's own colours; the terminal's own need no escape sequence."""
        base = self.visual_style.rich_style
        both = base.color and base.bgcolor and base.color.is_default and base.bgcolor.is_default
        return Style() if both else base


class TopLine(Lines):
    """A screen's first line. What has to be seen on every screen stands at its end."""

    _own: Line = ()

    def on_mount(self) -> None:
        self.set_interval(1.0, self._look)

    def on_resize(self) -> None:
        super().on_resize()
        self._look()

    def set_lines(self, lines: Sequence[LineLike]) -> None:
        self._own = line_of(lines[0]) if lines else ()
        self._look()

    def _look(self) -> None:
        alarm = getattr(self.app, "alarm", str)()
        if not alarm:
            super().set_lines([self._own])
            return
        text = f" CRIT {inert(alarm, 120)} "
        room = max(0, self.size.width - _width(text))
        line: list[Span] = []
        for words, tone in self._own:
            part = words if _width(words) <= room else words[: max(0, _fit(words, room) - 1)] + "…"
            if room > 0:
                line.append((part, tone))
            room -= _width(part)
        super().set_lines([[*line, (" " * max(0, room), ""), (text, "crit")]])


class Pager(Lines, can_focus=True):
    """Lines that a person scrolls through with the keys of `less`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_lines(1)", "down", show=False),
        Binding("up,k", "scroll_lines(-1)", "up", show=False),
        Binding("pagedown,f,space", "scroll_page(1)", "page down", show=False),
        Binding("pageup,b", "scroll_page(-1)", "page up", show=False),
        Binding("g,home", "top", "top", show=False),
        Binding("G,end", "bottom", "bottom", show=False),
    ]

    def scroll_lines(self, delta: int) -> None:
        self._top = max(0, min(self._top + delta, self._last_top))
        self._repaint()

    def action_scroll_lines(self, delta: int) -> None:
        self.scroll_lines(delta)

    def action_scroll_page(self, sign: int) -> None:
        self.scroll_lines(sign * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.scroll_lines(-len(self._wrapped))

    def action_bottom(self) -> None:
        self.scroll_lines(len(self._wrapped))
