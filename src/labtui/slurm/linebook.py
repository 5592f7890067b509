"""Answers of a line a record, parsed once for as long as the line stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LineBook(Generic[T]):
    """What is remembered from one answer to the next. `parse` gives None for what is no record."""

    def __init__(self, parse: Callable[[str], T | None]) -> None:
        self.parse = parse
        self.known: dict[bytes, T | None] = {}
        self.latest: list[T] | None = None

    def begin(self) -> LineAnswer[T]:
        return LineAnswer(self)


class LineAnswer(Generic[T]):
    """One answer as it arrives. Nothing of it counts until it is whole."""

    def __init__(self, book: LineBook[T]) -> None:
        self._book = book
        self._rest = b""
        self._found: dict[bytes, T | None] = {}

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._add(line)

    def _add(self, line: bytes) -> None:
        known = self._book.known
        if line in known:
            self._found[line] = known[line]
        elif line:
            self._found[line] = self._book.parse(line.decode(errors="replace"))

    def done(self) -> list[T]:
        """The records in the answer's order; the same list as before where nothing changed."""
        self._add(self._rest)
        book = self._book
        if book.latest is None or list(self._found) != list(book.known):
            book.known = self._found
            book.latest = [value for value in self._found.values() if value is not None]
        return book.latest
