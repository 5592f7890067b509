"""One job of the queue, kept as squeue wrote it until somebody looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import msgspec

from labtui.model import Job
from labtui.slurm import urgency
from labtui.slurm.polling import Marks, queued_job
from labtui.slurm.values import count_tasks


class Row(msgspec.Struct, eq=False, gc=False):
    """One job of the queue. It changes only where it remembers what was worked out from it.

    A struct outside Python's search for cycles: there may be 100,000, and none can be in one.
    """

    key: str
    """As Slurm writes it: `1431`, `1430_7`, `1430_[8-99]`."""
    state: str
    order: int
    array: str
    """The id of the array that it is of; empty for a job of its own."""
    record: bytes = b""
    seen: int = 0
    memo: tuple[object, object] | None = None
    """(what asked, its answer): a filter's verdict."""
    kept: Job | None = None
    """The record parsed, while it is on screen."""

    @classmethod
    def of(cls, job: Job) -> Row:
        """A job from elsewhere, the accounting."""
        leading = urgency.rank(job.state, job.reason, job.end_time)
        head, task, _ = job.job_id.partition("_")
        order = urgency.place(leading, job.job_id)
        row = cls(job.job_id, job.state, order, head if task else "")
        row.kept = job
        return row

    @property
    def jobs(self) -> int:
        """How many jobs it stands for: the waiting tasks of an array are one row."""
        return 1 if self.key[-1:] != "]" else count_tasks(self.key) or 1

    def job(self, marks: Marks | None) -> Job:
        if self.kept is not None:
            return self.kept
        assert marks is not None
        return queued_job(self.record.decode(errors="replace"), marks)


class JobRows(Sequence[Job]):
    """Jobs by their rows. Immutable; equal only to itself."""

    rows: list[Row]

    def job(self, row: Row, *, keep: bool = False) -> Job:
        """The job of a row. `keep`: parsed, for it is on screen and drawn again and again."""
        return row.job(None)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        if isinstance(index, slice):
            return [self.job(row) for row in self.rows[index]]
        return self.job(self.rows[index], keep=True)

    def __iter__(self) -> Iterator[Job]:
        return (self.job(row) for row in self.rows)
