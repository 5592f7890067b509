"""A log as far as it is seen: lines of any length, wrapped or scrolled sideways, matches marked.

Only what is on the screen is decoded, and only cells that changed are sent (`Lines`). Where the
text comes from is not its business: it draws a `LogText` and says when it nears an end of it.
"""

from __future__ import annotations

from rich.cells import cell_len

from labtui.slurm.logtext import Line as LogLine
from labtui.slurm.logtext import LogText, Pattern, size_words
from labtui.spec import Tone
from labtui.widgets.lines import Line, Lines, Span

KEPT = 4000
"""Lines whose drawn rows are kept."""
NEAR = 3
"""Screens before an end of the text at which more should be read."""


def cells(text: str, start: int, width: int) -> tuple[int, int]:
    """The characters of `text` that lie whole in the cells [start, start + width)."""
    if text.isascii():
        return min(start, len(text)), min(start + width, len(text))
    at, first = 0, len(text)
    for index, char in enumerate(text):
        size = cell_len(char)
        if at >= start and first == len(text):
            first = index
        at += size
        if at > start + width:
            return min(first, index), index
    return first, len(text)


def pieces(text: str, width: int) -> list[tuple[int, int]]:
    """`text` cut after each `width` cells, as characters; at least one piece."""
    if text.isascii():
        return [(i, min(i + width, len(text))) for i in range(0, len(text) or 1, width)]
    found, first, room = [], 0, width
    for index, char in enumerate(text):
        size = cell_len(char)
        if size > room:
            found.append((first, index))
            first, room = index, width
        room -= size
    return [*found, (first, len(text))]


class LogView(Lines, can_focus=True):
    """See the module. `text`, `pattern` and the like are set from outside; then call `changed`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = LogText()
        self.following = True
        """It shows the end, whatever comes."""
        self.wrap = False
        self.x = 0
        """Cells that are scrolled away on the left."""
        self.pattern: Pattern | None = None
        self.hit: int | None = None
        """The byte of the match that was gone to."""
        self.sides: dict[int, tuple[int, str]] = {}
        """Pieces of long lines that were read for sideways scrolling: line -> (cell, text)."""
        self._anchor = (0, 0)
        self._placed: list[tuple[LogLine, Line]] = []
        self._rows: dict[tuple[int, int], list[Line]] = {}
        self._look: tuple[object, ...] = ()

    @property
    def plain(self) -> str:
        """What is on the screen."""
        return "\n".join("".join(text for text, _ in row).rstrip() for _, row in self._placed)

    def changed(self) -> None:
        """Draw what differs from the last time."""
        self._lay_out()
        self._repaint()

    # -- where a person is -----------------------------------------------------------------

    @property
    def top(self) -> int:
        """The byte where the first visible line begins."""
        return self._placed[0][0].start if self._placed else self.text.start

    @property
    def bottom(self) -> int:
        """The byte where the last visible line ends."""
        return self._placed[-1][0].end if self._placed else self.text.end

    @property
    def near_start(self) -> bool:
        return self.text.index(self.top) < NEAR * max(1, self.size.height)

    @property
    def near_end(self) -> bool:
        left = len(self.text.lines) - self.text.index(self.bottom)
        return left < NEAR * max(1, self.size.height)

    def long_lines(self) -> list[LogLine]:
        """The visible lines of which the part that is scrolled to has not been read."""
        if self.wrap:
            return []
        end = self.x + self.size.width
        return [
            line
            for line in dict.fromkeys(line for line, _ in self._placed)
            if line.is_cut and not line.is_redrawn and len(line.head) < end and self.x < line.size
            and not self._side(line)
        ]  # fmt: skip

    def _side(self, line: LogLine) -> str | None:
        """What was read of a long line from cell `x` on."""
        at, text = self.sides.get(line.start, (0, ""))
        if at <= self.x < at + len(text) and (
            len(text) - (self.x - at) >= self.size.width or at + len(text) >= line.size
        ):
            return text[self.x - at :]
        return None

    def scroll_rows(self, delta: int) -> None:
        """Up or down by rows of the screen."""
        self._settle()
        self._anchor = self._from(self._anchor, delta)
        self.changed()

    def _from(self, anchor: tuple[int, int], delta: int) -> tuple[int, int]:
        """The place so many rows below (above) another one."""
        index, row = self.text.index(anchor[0]), anchor[1]
        while delta < 0 and (index or row):
            step = min(row, -delta)
            row, delta = row - step, delta + step
            if delta and index:
                index, delta = index - 1, delta + 1
                row = len(self._rows_of(self.text.lines[index])) - 1
        while delta > 0:
            left = len(self._rows_of(self.text.lines[index])) - 1 - row
            step = min(left, delta)
            row, delta = row + step, delta - step
            if delta:
                if index + 1 >= self._count:
                    break
                index, row, delta = index + 1, 0, delta - 1
        return self.text.lines[index].start, row

    def page(self, sign: int) -> None:
        self.scroll_rows(sign * max(1, self.size.height - 1))

    def show(self, offset: int) -> None:
        """Bring the line with a byte to the screen, some lines below the top."""
        self.following = False
        line = self.text.lines[self.text.index(offset)]
        visible = {place.start for place, _ in self._placed}
        if line.start not in visible:
            self._anchor = self._from((line.start, 0), -min(5, self.size.height // 3))
        if not self.wrap and offset - line.start >= self.x + self.size.width - 20:
            self.x = max(0, offset - line.start - self.size.width // 2)
        elif not self.wrap and offset - line.start < self.x:
            self.x = max(0, offset - line.start - 8)
        self.changed()

    def to_top(self) -> None:
        self.following = False
        self._anchor = (self.text.start, 0)
        self.changed()

    def to_end(self) -> None:
        self._anchor = self._last_screen()
        self.changed()

    # -- drawing ---------------------------------------------------------------------------

    @property
    def _count(self) -> int:
        """Lines to show: the last one only when something is in it."""
        return len(self.text.lines) - (self.text.lines[-1].size == 0)

    def _settle(self) -> None:
        if self.following:
            self.following = False
            self._anchor = self._last_screen()

    def _last_screen(self) -> tuple[int, int]:
        """Where to begin so that the last line is at the bottom."""
        left, index = self.size.height, self._count
        while index > 0:
            index -= 1
            rows = len(self._rows_of(self.text.lines[index]))
            if rows >= left:
                return self.text.lines[index].start, rows - left
            left -= rows
        return self.text.lines[0].start, 0

    def _lay_out(self) -> None:
        look = (self.size.width, self.wrap, self.x, self.pattern, self.hit, self.text)
        if look != self._look or len(self._rows) > KEPT:
            self._look = look
            self._rows.clear()
        height = self.size.height
        if self.following:
            self._anchor = self._last_screen()
        self._placed = self._place(height)
        if len(self._placed) < height:  # never an empty half where there is text above
            last = self._last_screen()
            if last < self._anchor:
                self._anchor = last
                self._placed = self._place(height)

    def _place(self, height: int) -> list[tuple[LogLine, Line]]:
        index, skip = self.text.index(self._anchor[0]), self._anchor[1]
        found: list[tuple[LogLine, Line]] = []
        while len(found) < height and index < self._count:
            line = self.text.lines[index]
            found += [(line, row) for row in self._rows_of(line)[skip:]]
            index, skip = index + 1, 0
        return found[:height]

    def _line_at(self, y: int) -> Line:
        return self._placed[y][1] if y < len(self._placed) else ()

    def _rows_of(self, line: LogLine) -> list[Line]:
        key = (line.start, line.end)
        rows = self._rows.get(key)
        if rows is None:
            rows = self._wrapped_rows(line) if self.wrap else [self._row(line)]
            if self.pattern is not None:
                here = self.hit is not None and line.start <= self.hit <= line.end
                lead: Span = ("▌" if here else " ", "accent")
                rows = [(lead, *row) for row in rows]
            if not line.is_cut or self.wrap:
                self._rows[key] = rows
        return rows

    @property
    def _width(self) -> int:
        return max(8, self.size.width - (self.pattern is not None))

    def _row(self, line: LogLine) -> Line:
        text = line.text
        whole = not line.is_cut or line.is_redrawn
        note = "" if whole else f" … {size_words(line.size)} line"
        width = max(8, self._width - len(note))
        x = self.x
        if not whole and x + width > len(text):
            side = self._side(line)
            if side is None:
                unread = "" if x >= line.size else "…"
                text, x = (text, x) if x < len(text) else (unread, 0)
            else:
                text, x = side, 0
        first, last = cells(text, x, width)
        row = self._marked(text, first, last)
        if whole and last < len(text):
            first, last = cells(text, x, width - 1)
            row = (*self._marked(text, first, last), ("…", "dim"))
        if note:
            used = sum(cell_len(part) for part, _ in row)
            row = (*row, (" " * (width - used), ""), (note, "dim"))
        return row

    def _wrapped_rows(self, line: LogLine) -> list[Line]:
        text = line.text
        rows = [self._marked(text, first, last) for first, last in pieces(text, self._width)]
        if line.is_cut and not line.is_redrawn:
            rest = size_words(line.size - len(line.head))
            words = f"… {size_words(line.size)} line: {rest} more, seen sideways without wrapping"
            rows.append(((words, "dim"),))
        return rows

    def _marked(self, text: str, first: int, last: int) -> Line:
        """Part of a text, with its matches as they are in the whole."""
        row: list[Span] = []
        at = first
        if self.pattern is not None:
            for start, end in self.pattern.spans(text):
                start, end = max(start, at), min(end, last)
                if start >= last:
                    break
                if start < end:
                    tone: Tone = "match"
                    row += [(text[at:start], ""), (text[start:end], tone)]
                    at = end
        return tuple(part for part in (*row, (text[at:last], "")) if part[0])
