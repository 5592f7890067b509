"""A stretch of a log file as lines. Pure: bytes come in at either end, lines are there to read.

What is held is bounded, whatever the file is: of a line only its beginning and its end, of the
file only some thousand lines. Offsets are bytes from the beginning of the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from labtui.text import inert

HEAD = 8 << 10
"""Bytes that are kept of the beginning of a line."""
TAIL = 2 << 10
"""Bytes that are kept of the end of a longer line: where a progress bar stands."""
MAX_LINE = 8 << 20
"""Bytes after which a line without an end is broken in two."""
MAX_LINES = 20_000
MAX_BYTES = 6 << 20


class Line(msgspec.Struct, frozen=True):
    """One line, its newline left out."""

    start: int
    end: int
    head: bytes
    """The line, or the first `HEAD` bytes of it."""
    tail: bytes = b""
    """The last `TAIL` bytes of a line that is longer than `head`."""

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def is_cut(self) -> bool:
        return self.size > len(self.head)

    def grown(self, more: bytes) -> Line:
        """With what was written to it since."""
        end = self.end + len(more)
        head = self.head if len(self.head) >= HEAD else (self.head + more)[:HEAD]
        if end - self.start <= len(head):
            return Line(self.start, end, head)
        return Line(self.start, end, head, ((self.tail or self.head) + more)[-TAIL:])

    @property
    def is_redrawn(self) -> bool:
        """A progress bar, which returns to the beginning of its line: its last state counts."""
        return b"\r" in (self.tail or self.head).rstrip(b"\r")

    @property
    def text(self) -> str:
        """What a terminal would show of it, inert; of a long line its beginning."""
        if self.is_redrawn:
            return _decoded((self.tail or self.head).rstrip(b"\r").rpartition(b"\r")[2])
        shown = _decoded(self.head.rstrip(b"\r"))
        return shown.rstrip("\ufffd") if self.is_cut else shown  # a character cut in two


def _decoded(data: bytes) -> str:
    text = data.decode(errors="replace")
    return inert(text.expandtabs(8) if "\t" in text else text, 8 * HEAD)


def _line(start: int, data: bytes) -> Line:
    if len(data) <= HEAD:
        return Line(start, start + len(data), data)
    return Line(start, start, b"").grown(data)


class LogText:
    """The lines between two offsets of a file. The last one may still be growing."""

    def __init__(self, at: int = 0) -> None:
        self.lines = [Line(at, at, b"")]
        """Never empty: the last one has no newline yet, and may hold nothing."""
        self.start = self.end = at
        """The bytes that are covered, as offsets."""
        self._kept = 0

    def append(self, data: bytes) -> int:
        """What follows `end`; the number of newlines in it. Lines fall off at the other end."""
        if not data:
            return 0
        first, *rest = data.split(b"\n")
        if self.lines[-1].size < MAX_LINE:
            last = self.lines.pop()
            self._kept -= _weight(last)
            self._add(last.grown(first))
        else:
            self._add(_line(self.end, first))
        at = self.end + len(first) + 1
        for piece in rest:
            self._add(_line(at, piece))
            at += len(piece) + 1
        self.end += len(data)
        self._shorten(front=True)
        return len(rest)

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        self._kept += _weight(line)

    def prepend(self, data: bytes) -> int:
        """What comes before `start`, from the beginning of a line on; how many lines that adds."""
        if not data:
            return 0
        start = self.start - len(data)
        found, at = [], start
        for piece in data.removesuffix(b"\n").split(b"\n"):
            found.append(_line(at, piece))
            at += len(piece) + 1
        self._kept += sum(map(_weight, found))
        self.lines[:0] = found
        self.start = start
        self._shorten(front=False)
        return len(found)

    def _shorten(self, *, front: bool) -> None:
        lines, drop = self.lines, 0
        while len(lines) - drop > 1 and (len(lines) - drop > MAX_LINES or self._kept > MAX_BYTES):
            self._kept -= _weight(lines[drop] if front else lines[-1 - drop])
            drop += 1
        if not drop:
            return
        if front:
            del lines[:drop]
            self.start = lines[0].start
        else:
            self.end = lines[-drop].start
            lines[-drop:] = [Line(self.end, self.end, b"")]

    def index(self, offset: int) -> int:
        """The index of the line that holds a byte, or of the nearest."""
        return max(0, bisect_right(self.lines, offset, key=lambda line: line.start) - 1)

    def holds(self, offset: int) -> bool:
        return self.start <= offset <= self.end


def _weight(line: Line) -> int:
    return len(line.head) + len(line.tail) + 100


class Pattern(msgspec.Struct, frozen=True):
    """What is searched: plain text, or `/regex/`. Small letters find capitals too."""

    source: str
    is_regex: bool
    ignores_case: bool
    in_text: re.Pattern[str]
    in_bytes: re.Pattern[bytes]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it is in a text, without empty matches."""
        return (m.span() for m in self.in_text.finditer(text) if m.end() > m.start())

    @property
    def grep(self) -> list[str]:
        """grep's options for the same thing."""
        kind = ["-P"] if self.is_regex else ["-F"]
        return [*kind, *(["-i"] if self.ignores_case else []), "-e", self.source]


def pattern(typed: str) -> Pattern:
    """ValueError with one sentence for a regex that is none."""
    is_regex = len(typed) > 2 and typed.startswith("/") and typed.endswith("/")
    source = typed[1:-1] if is_regex else typed
    ignores = source == source.lower()
    flags = re.IGNORECASE if ignores else re.NOFLAG
    plain = source if is_regex else re.escape(source)
    try:
        return Pattern(
            source,
            is_regex,
            ignores,
            re.compile(plain, flags),
            re.compile(plain.encode(), flags | re.MULTILINE),
        )
    except (re.error, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"not a regular expression: {inert(error, 80)}") from None


def size_words(count: int) -> str:
    """Bytes as a person reads them: `512 B`, `12 kB`, `1.0 MB`, `1.2 GB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if value >= 99.5 or unit == "kB" else f"{value:.1f} {unit}"
    raise AssertionError
