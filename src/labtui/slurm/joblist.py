"""The jobs of one answer of squeue, 100,000 of them as cheaply as a hundred.

A record is kept as squeue wrote it and becomes a `Job` when somebody looks at it. Of a new record
only its id, state, end and reason are read at once: what the order of the queue needs. A record
that did not change since the last answer costs one look-up in a dict.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator, Sequence, Set
from itertools import islice
from operator import attrgetter

from msgspec import structs

from labtui.model import Job
from labtui.slurm import urgency
from labtui.slurm.errors import RPCError
from labtui.slurm.polling import Marks, end_of
from labtui.slurm.row import JobRows, Row

MOST_ENDED = 1000
"""Jobs that are taken note of as ended in one answer."""
RESTING = urgency.FINISHED | {"PENDING"}
"""States in which a job holds nothing."""
STEP = 5000
"""New rows that are taken in between two pauses."""
PIECE = 0.004
"""Seconds of parsing between two pauses."""
KEPT = 4000
"""Jobs that are kept parsed; beyond that all are forgotten and parsed again when looked at."""


class JobList(JobRows):
    """In the order of the queue."""

    def __init__(self, rows: list[Row], marks: Marks, book: Book) -> None:
        self.rows = rows
        self.marks = marks
        self.states = Counter(book.states)
        """How many jobs there are in each state."""
        self.arrays: Set[str] = {*book.arrays}
        """Ids of the arrays that have rows."""
        self._active = book.holders
        self._just_ended: list[Job] = []
        self._book = book

    def job(self, row: Row, *, keep: bool = False) -> Job:
        job = row.job(self.marks)
        if keep and row.record:
            self._book.keep(row, job)
        return job

    @property
    def known(self) -> Set[str]:
        """What Slurm's controller knew when it answered last, by id."""
        return self._book.by_key.keys()

    def get(self, key: str) -> Job | None:
        row = self._book.by_key.get(key)
        return None if row is None else row.job(self.marks)

    def just_ended(self) -> list[Job]:
        """Those that were not over in the answer before; of very many the latest."""
        return self._just_ended

    def active(self) -> list[Job]:
        """Those that have started and are not over, without `time_used_s`: each is the same
        object from answer to answer for as long as nothing else of it changes, and so is the list.
        """
        return self._active

    def where(self, row: Row) -> tuple[str, ...]:
        """The nodes that a job runs on."""
        known = self._book.bare.get(row.key)
        return known[1].nodes if known else row.job(self.marks).nodes

    def task_rows(self, array: str) -> list[Row]:
        return [row for row in self.rows if row.array == array]


class Book:
    """What is remembered from one answer to the next."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self._reason_ends = marks.text.encode()
        self.known: dict[bytes, Row] = {}
        self.by_key: dict[str, Row] = {}
        self.active: dict[str, Row] = {}
        self.holders: list[Job] = []
        """The jobs of `active`, see `JobList.active`."""
        self.bare: dict[str, tuple[bytes, Job]] = {}
        """Of each of them its record without the time used, and what was made of it."""
        self.states: Counter[str] = Counter()
        self.arrays: Counter[str] = Counter()
        """How many rows each has."""
        self.turn = 0
        self.latest: JobList | None = None
        self._kept: list[Row] = []
        self._ranks: dict[bytes, tuple[str, int]] = {}
        self._places: dict[tuple[int, str], int] = {}
        self._hour = 0

    def keep(self, row: Row, job: Job) -> None:
        if row.kept is None:
            row.kept = job
            self._kept.append(row)
            if len(self._kept) > KEPT:
                for old in self._kept[: KEPT // 2]:
                    old.kept = None
                del self._kept[: KEPT // 2]

    def row_of(self, record: bytes) -> Row:
        """A record that was not there before. RPCError where it is not in the asked format."""
        begin = record.find(b"\x1f")
        end = record.find(self._reason_ends)
        if not 0 <= begin < end:
            raise RPCError(msg="a line of squeue is not in the asked format")
        head = record[begin + 1 : end]
        found = self._ranks.get(head)
        if found is None:
            state, reason, ended = end_of(head.decode(errors="replace"))
            found = self._ranks[head] = (state, urgency.rank(state, reason, ended))
        state, leading = found
        key = record[:begin].decode("ascii", "replace")
        if not key[:1].isdigit():  # before the first may stand what a login script printed
            key = key.rpartition("\n")[2].strip()
        array, task, index = key.partition("_")
        if not task:
            return Row(key, state, urgency.place(leading, key), "", record)
        base = self._places.get((leading, array))
        if base is None:
            base = self._places[leading, array] = urgency.place(leading, array)
        order = base + int(index) + 1 if index.isdecimal() else urgency.place(leading, key)
        return Row(key, state, order, array, record)

    def begin(self) -> Poll:
        hour = int(time.time() // 3600)
        if hour != self._hour or len(self._ranks) > 50_000:
            # What failed long ago no longer matters most.
            self._hour = hour
            self._ranks.clear()
            self._places.clear()
        return Poll(self)

    def take(self, added: list[Row], total: int) -> Generator[None, None, JobList]:
        """The rows of a whole answer, in steps of some milliseconds each, also with 100,000 rows.

        The same object as before where nothing changed.
        """
        latest, turn = self.latest, self.turn
        if latest is not None and not added and total == len(latest.rows):
            return latest
        before = latest.rows if latest else []
        rows = [row for row in before if row.seen == turn]
        gone = [row for row in before if row.seen != turn] if len(rows) < len(before) else []
        yield
        # The new first: who asks meanwhile finds a job that goes on.
        for start in range(0, len(added), STEP):
            self._add(added[start : start + STEP])
            yield
        for start in range(0, len(gone), STEP):
            for row in gone[start : start + STEP]:
                self._drop(row)
            yield
        added.sort(key=attrgetter("order"))
        yield
        rows += added
        rows.sort(key=attrgetter("order"))  # two sorted runs
        yield
        yield from self._hold()
        ended = (row for row in added if row.state in urgency.FINISHED)
        just_ended = []
        pause = time.perf_counter() + PIECE
        for row in islice(ended, MOST_ENDED):
            just_ended.append(row.job(self.marks))
            if time.perf_counter() > pause:
                yield
                pause = time.perf_counter() + PIECE
        self.latest = JobList(rows, self.marks, self)
        self.latest._just_ended = just_ended
        return self.latest

    def _hold(self) -> Generator[None, None, None]:
        """Parse what started; what goes on was parsed when it did."""
        before, mark = self.bare, self._reason_ends
        bare: dict[str, tuple[bytes, Job]] = {}
        same = len(before) == len(self.active)
        pause = time.perf_counter() + PIECE
        for key, row in self.active.items():
            record = row.record[: row.record.rfind(mark)]
            known = before.get(key)
            if known is None or known[0] != record:
                same = False
                known = record, structs.replace(row.job(self.marks), time_used_s=None)
            bare[key] = known
            if time.perf_counter() > pause:
                yield
                pause = time.perf_counter() + PIECE
        self.bare = bare
        if not same:
            self.holders = [job for _, job in bare.values()]

    def _add(self, rows: list[Row]) -> None:
        self.known.update((row.record, row) for row in rows)
        self.by_key.update((row.key, row) for row in rows)
        for row in rows:
            self.states[row.state] += row.jobs
        self.arrays.update(row.array for row in rows if row.array)
        self.active.update((row.key, row) for row in rows if row.state not in RESTING)

    def _drop(self, row: Row) -> None:
        del self.known[row.record]
        self.states[row.state] -= row.jobs
        if row.array:
            self.arrays[row.array] -= 1
            if not self.arrays[row.array]:
                del self.arrays[row.array]
        if self.by_key.get(row.key) is row:
            del self.by_key[row.key]
        if self.active.get(row.key) is row:
            del self.active[row.key]


class Poll:
    """One answer as it arrives, piece by piece; nothing of it counts until it is whole."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.turn += 1
        self._turn = book.turn
        self._known = book.known
        self._end = (book.marks.end + "\n").encode()
        self._rest = b""
        self._added: dict[bytes, Row] = {}
        self._total = 0
        self._problem: RPCError | None = None

    def feed(self, piece: bytes) -> None:
        """What comes next. It does not raise: what is wrong is told by `done`."""
        if self._problem is None:
            try:
                self._feed(piece)
            except RPCError as error:
                self._problem = error

    def _feed(self, piece: bytes) -> None:
        *records, self._rest = (self._rest + piece).split(self._end)
        known, turn = self._known, self._turn
        for record in records:
            row = known.get(record)
            if row is None:
                if record in self._added:
                    continue
                row = self._added[record] = self._book.row_of(record)
            elif row.seen == turn:
                continue
            row.seen = turn
            self._total += 1

    def done(self) -> JobList:
        """RPCError when the answer was cut off. Not to be called on one that failed."""
        steps = self._steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: JobList = end.value
                return found

    async def settle(self) -> JobList:
        """`done`, with pauses for others."""
        steps = self._steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: JobList = end.value
                return found
            await asyncio.sleep(0)

    def _steps(self) -> Generator[None, None, JobList]:
        if self._problem is not None:
            raise self._problem
        if self._rest.strip():
            raise RPCError(msg="the answer of squeue was cut off or is not in the asked format")
        return (yield from self._book.take(list(self._added.values()), self._total))


def active(jobs: object) -> list[Job]:
    """Of a feed's value the jobs that have started and are not over."""
    if isinstance(jobs, JobList):
        return jobs.active()
    found = (job for job in jobs if isinstance(job, Job)) if isinstance(jobs, Sequence) else ()
    return [j for j in found if j.state not in RESTING]


def find(jobs: object, job_id: str) -> Job | None:
    """The job of this id in a feed's value."""
    if isinstance(jobs, JobList):
        return jobs.get(job_id)
    found = jobs if isinstance(jobs, Sequence) else ()
    return next((j for j in found if isinstance(j, Job) and j.job_id == job_id), None)
