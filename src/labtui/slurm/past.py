"""Jobs that are over: what the accounting tells of them, and what was seen to end here.

What is over does not change. Each is parsed, and given its place in the queue's order, once; after
an hour anew, since what failed long ago no longer matters most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence, Set
from operator import attrgetter

from msgspec import structs

from labtui.model import Job
from labtui.slurm.errors import RPCError
from labtui.slurm.polling import accounted_job
from labtui.slurm.row import JobRows, Row

REMEMBERED = 5000
"""Jobs that were seen to end, kept in mind for where Slurm keeps no accounting."""


class Past(JobRows):
    """In the order of the queue."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = sorted(rows, key=attrgetter("order"))
        self.keys = {row.key for row in self.rows}

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> Past:
        return cls(map(Row.of, jobs))

    def without(self, known: Set[str]) -> list[Row]:
        """The rows of those that are not known otherwise."""
        twice = self.keys & known
        return [row for row in self.rows if row.key not in twice] if twice else self.rows


def _since(rows: Iterable[Row], moment: float) -> list[Row]:
    """Those that ended then or later; also those whose end is not known."""
    return [row for row in rows if ((row.job(None).end_time) or moment) >= moment]


class PastBook:
    """What the accounting told, from one answer to the next."""

    def __init__(self, mark: str) -> None:
        self.mark = mark.encode()
        self.known: dict[bytes, Row] = {}
        self.latest: Past | None = None
        self._hour = 0

    def begin(self, names: Sequence[str]) -> PastAnswer:
        """For an answer with these fields of sacct."""
        hour = int(time.time() // 3600)
        if hour != self._hour:
            self._hour = hour
            self.known = {}
        return PastAnswer(self, names)


class PastAnswer:
    """One answer as it arrives, piece by piece; nothing of it counts until it is whole.

    Each field ends with the mark, each record with a newline, which a job's name may hold too:
    only counting the fields tells where a record ends.
    """

    def __init__(self, book: PastBook, names: Sequence[str]) -> None:
        self._book = book
        self._names = names
        self._rest = b""
        self._fields: list[bytes] = []
        self._found: dict[bytes, Row] = {}

    def feed(self, piece: bytes) -> None:
        mark, width, known = self._book.mark, len(self._names), self._book.known
        *fields, self._rest = (self._rest + piece).split(mark)
        fields = self._fields + fields
        whole = len(fields) - len(fields) % width
        self._fields = fields[whole:]
        for start in range(0, whole, width):
            record = mark.join(fields[start : start + width])
            row = known.get(record)
            if row is None:
                texts = record.decode(errors="replace").split(mark.decode())
                row = Row.of(accounted_job(dict(zip(self._names, texts, strict=True))))
            self._found[record] = row

    async def settle(self, since: float) -> Past:
        """Those that ended at or after `since`; the same object as before where these are the
        same. RPCError when the answer was cut off."""
        if self._rest.strip() or self._fields:
            raise RPCError(msg="the answer of sacct was cut off or is not in the asked format")
        book = self._book
        book.known = self._found
        rows = _since(book.known.values(), since)
        await asyncio.sleep(0)
        past = Past(rows)
        if book.latest is None or past.rows != book.latest.rows:
            book.latest = past
        return book.latest


class Seen:
    """Jobs that were seen to end, the newest REMEMBERED."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, float | None], Row] = {}
        self._hour = 0

    def add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            key = job.job_id, job.submit_time
            self._rows[key] = Row.of(structs.replace(job, source="labtui"))
        while len(self._rows) > REMEMBERED:
            del self._rows[next(iter(self._rows))]

    def since(self, moment: float) -> Past:
        hour = int(time.time() // 3600)
        if hour != self._hour:
            self._hour = hour
            self._rows = {key: Row.of(row.job(None)) for key, row in self._rows.items()}
        return Past(_since(self._rows.values(), moment))
