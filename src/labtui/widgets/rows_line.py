"""What one line of the table is made of: column widths, styles, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from labtui import text
from labtui.spec import Column, Tone

MARKS = 2
"""Cells before the first column: the cursor's and the mark's."""
WIDE = 120
"""Table width in cells from which `Column.wide` holds."""
LEAST = 8
"""A growing column is not squeezed below this many cells."""
CURSOR_CELLS = 48
"""The cursor is painted over the first whole columns within so many cells: a move then repaints
that part of two lines and not 2 x 160 cells, which on a slow link is a move that is felt."""

KEPT_LINES = 512
"""Drawn lines that are kept; some ten screens."""

_LOOK = {
    "": Style(),
    "message": Style(dim=True),
    "header": Style(bold=True),
    "mark": Style(bold=True),
    # Reverse and not a background: it is still there with NO_COLOR and on two-colour terminals.
    "cursor": Style(reverse=True),
}
"""What a palette need not name; one may, to have it otherwise."""


def lay_out(columns: Sequence[Column], total: int) -> tuple[tuple[Column, int], ...]:
    """The columns shown in `total` cells and the width of each; one cell between them."""
    shown = [column for column in columns if total >= column.min_total]
    widths = [
        column.wide if column.wide is not None and total >= WIDE else column.width
        for column in shown
    ]
    left = total - MARKS - sum(widths) - max(0, len(shown) - 1)
    for index in reversed(range(len(shown))):
        if shown[index].grow:
            widths[index] = max(min(widths[index], LEAST), widths[index] + left)
            break
    return tuple(zip(shown, widths, strict=True))


def cursor_span(layout: Sequence[tuple[Column, int]]) -> int:
    """Cells that the cursor's style covers: the mark cells and the first whole columns."""
    span = end = MARKS
    for _, width in layout:
        end += width + 1
        if span > MARKS and end > CURSOR_CELLS:
            break
        span = end
    return span


def join(pieces: Sequence[tuple[str, Style]], width: int) -> Strip:
    """One line of `width` cells; pieces of one style become one segment.

    A segment costs up to 40 bytes of escape sequences on the wire, so blanks join the one before
    them, whatever their style, unless reverse makes them visible.
    """
    words: list[str] = []
    styles: list[Style] = []
    for piece, style in pieces:
        if styles and (
            style == styles[-1]
            or (piece.isspace() and not style.reverse and not styles[-1].reverse)
        ):
            words[-1] += piece
        else:
            words.append(piece)
            styles.append(style)
    strip = Strip([Segment(w, s) for w, s in zip(words, styles, strict=True)])
    return strip.adjust_cell_length(width, styles[-1] if styles else None)


class Lines:
    """Draws lines of one width and one look, and keeps the last few hundred of them."""

    def __init__(
        self,
        columns: Sequence[Column],
        width: int,
        base: Style,
        palette: Mapping[Tone, Style],
        *,
        plain: bool = False,
        stale: bool = False,
    ) -> None:
        if base.color and base.bgcolor and base.color.is_default and base.bgcolor.is_default:
            base = Style()  # the terminal's own colours need no escape sequence
        self._width = width
        self._ascii = plain
        self._layout = lay_out(columns, width)
        self._span = cursor_span(self._layout)
        dim = Style(dim=stale or None)
        looks = (*_LOOK.items(), *palette.items())
        self._styles: dict[str, Style] = {name: base + style + dim for name, style in looks}
        self._plain = self._styles[""]
        self._rows: dict[tuple[str, bool, bool], tuple[Any, Strip]] = {}
        self.blank = join([(" " * width, self._plain)], width)

    def _style(self, name: str) -> Style:
        return self._styles.get(name, self._plain)

    def _fit(self, words: str, column: Column, width: int) -> str:
        """Inert text of exactly `width` cells. Outside text was made inert before; twice is safe,
        and this is the last place before the terminal."""
        words = text.inert(words)
        if self._ascii and not words.isascii():
            words = text.ascii_only(words)
        words = text.right(words, width) if column.align == "right" else text.cut(words, width)
        return text.ascii_only(words) if self._ascii and not words.isascii() else words

    def note(self, words: str) -> Strip:
        words = text.inert(words)
        if self._ascii:
            words = text.ascii_only(words)
        words = text.cut(" " * MARKS + words, self._width)
        return join([(words, self._style("message"))], self._width)

    def header(self, sorted_by: tuple[str, bool] | None) -> Strip:
        words = " " * MARKS
        for column, width in self._layout:
            title = column.title
            if sorted_by is not None and column.id == sorted_by[0]:
                title = text.cut(title, min(len(title), width - 1)) + "↑↓"[sorted_by[1]]
            words += self._fit(title, column, width) + " "
        return join([(words, self._style("header"))], self._width)

    def row(self, key: str, item: Any, cursor: bool, marked: bool, lead: str = "") -> Strip:
        kept = self._rows.get((key + lead, cursor, marked))
        if kept is not None and (kept[0] is item or kept[0] == item):
            return kept[1]
        if len(self._rows) >= KEPT_LINES:
            self._rows.clear()
        strip = self._draw(item, cursor, marked, lead)
        self._rows[key + lead, cursor, marked] = item, strip
        return strip

    def _draw(self, item: Any, cursor: bool, marked: bool, lead: str) -> Strip:
        marks = ("▌" if cursor else " ") + ("•" if marked else " ")
        if self._ascii:
            marks = text.ascii_only(marks)
        at_cursor = self._style("cursor")
        pieces = [(marks, at_cursor if cursor else self._style("mark"))]
        at = MARKS
        for column, width in self._layout:
            cell = column.text(item)
            words, tone = (cell, "") if isinstance(cell, str) else (cell.text, cell.tone)
            words = lead + words if column.lead else words
            style = at_cursor if cursor and at < self._span else self._style(tone)
            pieces.append((self._fit(words, column, width) + " ", style))
            at += width + 1
        pieces.append((" " * max(0, self._width - at), self._plain))
        return join(pieces, self._width)


_NARROW = frozenset(
    map(chr, (*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x300), *range(0x2500, 0x25FD)))
) | set("•…‘’“”–—←↑→↓·✗")
_one_cell_each = _NARROW.issuperset


def difference(old: Strip | None, new: Strip) -> tuple[int, int] | None:
    """The cells [start, end) that must be drawn to turn `old` into `new`; None for no cells."""
    if old is None:
        return 0, new.cell_length
    if old is new or old == new:
        return None
    before, after = old.text, new.text
    if len(before) != len(after) or not (_one_cell_each(before) and _one_cell_each(after)):
        return 0, max(old.cell_length, new.cell_length)
    a = [(char, style) for words, style, _ in old for char in words]
    b = [(char, style) for words, style, _ in new for char in words]
    unequal = [x for x, (one, other) in enumerate(zip(a, b, strict=True)) if one != other]
    return (unequal[0], unequal[-1] + 1) if unequal else None
