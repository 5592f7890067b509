"""The jobs of the queue and of the accounting as one table of any length."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from labtui.model import ArrayJob, Job
from labtui.slurm.joblist import JobList
from labtui.slurm.past import Past
from labtui.slurm.row import JobRows, Row
from labtui.slurm.urgency import FINISHED
from labtui.slurm.values import covers
from labtui.spec import Column, SubjectSpec
from labtui.text import inert
from labtui.views.arrange import Arranged, How, Work
from labtui.views.filtering import Filter
from labtui.views.sorting import unknown

SLICE = 250
"""Rows that are looked into between two pauses: two milliseconds."""
MAX_NODES = 4
T = TypeVar("T")


class JobTable(JobRows):
    """Each job once: squeue wins while slurmctld still knows one. In the queue's own order.

    What is left of an array whose waiting tasks were cancelled is no job: squeue may show it as
    one with the array's own id, beside the array's other rows.
    """

    def __init__(self, live: Sequence[Job], past: Sequence[Job]) -> None:
        self.live = live if isinstance(live, JobList) else None
        rows = live.rows if isinstance(live, JobList) else _rows(live)
        known = live.known if isinstance(live, JobList) else {row.key for row in rows}
        past = past if isinstance(past, Past) else Past.of(past)
        gone = past.without(known)
        if gone:
            rows = rows + gone
            rows.sort(key=attrgetter("order"))
        arrays = self.live.arrays if self.live else {row.array for row in rows}
        arrays = arrays | {row.array for row in gone}
        left = {key for key in arrays if key in known or key in past.keys}
        over = [row for row in rows if row.key in left and row.state in FINISHED] if left else []
        left = {row.key for row in over}
        self.rows = [row for row in rows if row.key not in left] if left else rows
        self.states = Counter(self.live.states if self.live else (row.state for row in rows))
        if self.live:
            self.states.update(row.state for row in gone)
        self.states -= Counter(row.state for row in over)
        self.has_arrays = any(arrays)

    @property
    def failed(self) -> int:
        """How many failed lately: they come first."""
        return bisect_left(self.rows, 1 << 100, key=attrgetter("order"))

    def job(self, row: Row, *, keep: bool = False) -> Job:
        if self.live is None or not row.record:
            return row.job(None)
        return self.live.job(row, keep=keep)

    def where(self, row: Row) -> tuple[str, ...]:
        """The nodes that a job runs on."""
        if self.live is None or not row.record:
            return row.job(None).nodes
        return self.live.where(row)

    def keys(self) -> list[str]:
        return [row.key for row in self.rows]

    def leads_to(self, job_id: str, *, apart: bool) -> str | None:
        """The key of the row that an id means: of a task that of those it waits with, of an array
        of several rows, which are one unless shown `apart`, the array's own."""
        found = [row for row in self.rows if covers(job_id, row.key)]
        if len(found) > 1 and not apart and found[0].array == job_id:
            return job_id
        return found[0].key if found else None


def _rows(jobs: Sequence[Job]) -> list[Row]:
    return sorted(map(Row.of, jobs), key=attrgetter("order"))


class _Shown(JobRows):
    """The jobs of chosen rows, parsed when they are drawn."""

    def __init__(self, table: JobTable, rows: list[Row]) -> None:
        self._table, self.rows = table, rows

    def job(self, row: Row, *, keep: bool = False) -> Job:
        return self._table.job(row, keep=keep)


def arrange(table: JobTable, spec: SubjectSpec, how: How) -> Work:
    """Filtered, sorted, its arrays folded or its dependencies as a tree."""
    rows = table.rows
    if how.test is not None:
        rows = yield from _matching(table, rows, how.test)
    matched = len(rows)
    column = next((c for c in spec.columns if c.id == how.sort), None)
    if column is not None and column.id != spec.default_sort:
        rows = yield from _sorted(table, rows, column, how.reverse)
    elif how.reverse:
        rows = rows[::-1]
    leads: dict[str, str] = {}
    if how.tree:
        rows, leads = yield from _tree(table, rows)
    elif table.has_arrays and not how.apart:
        rows, leads = yield from _folded(table, rows, how.unfolded)
    yield
    return Arranged(_Shown(table, rows), [row.key for row in rows], matched, leads)


def _matching(table: JobTable, rows: list[Row], test: Filter) -> Generator[None, None, list[Row]]:
    found = []
    fresh = 0
    yes, no, not_before = (test, True), (test, False), (test.within, False)
    for row in rows:
        memo = row.memo
        if memo is None or memo[0] is not test:
            if memo == not_before:
                row.memo = no
                continue
            row.memo = memo = yes if test(table.job(row)) else no
            fresh += 1
            if fresh % SLICE == 0:
                yield
        if memo[1]:
            found.append(row)
    return found


def _sorted(
    table: JobTable, rows: list[Row], column: Column, reverse: bool
) -> Generator[None, None, list[Row]]:
    """By a column's key; rows without one come last, equal ones keep the queue's order."""
    key = column.sort or (lambda job: inert(column.text(job)))
    known: list[tuple[Any, Row]] = []
    rest: list[Row] = []
    for index, row in enumerate(rows):
        value = key(table.job(row))
        if unknown(value):
            rest.append(row)
        else:
            known.append((value, row))
        if index % SLICE == SLICE - 1:
            yield
    known.sort(key=lambda pair: pair[0], reverse=reverse)
    yield
    return [row for _, row in known] + rest


def _folded(
    table: JobTable, rows: list[Row], unfolded: frozenset[str]
) -> Generator[None, None, tuple[list[Row], dict[str, str]]]:
    """An array of several rows as one, where its most pressing task is; unfolded ones below it."""
    arrays: dict[str, list[Row]] = {}
    found: list[Row] = []
    for row in rows:
        if not row.array:
            found.append(row)
        elif row.array in arrays:
            arrays[row.array].append(row)
        else:
            arrays[row.array] = [row]
            found.append(row)
    yield
    leads: dict[str, str] = {}
    shown: list[Row] = []
    for row in found:
        tasks = arrays.get(row.array) if row.array else None
        if tasks is None or len(tasks) == 1:
            shown.append(row)
            continue
        head = Row(row.array, row.state, row.order, row.array)
        head.kept = _array_job(table, row.array, tasks)
        shown.append(head)
        leads[head.key] = "▾" if row.array in unfolded else "▸"
        if row.array in unfolded:
            shown += tasks
            leads |= {task.key: " " for task in tasks}
        yield
    return shown, leads


def _array_job(table: JobTable, array: str, tasks: list[Row]) -> ArrayJob:
    """What an array is as one job: its most pressing task's state, and how many are in each."""
    first = table.job(tasks[0])
    counts: Counter[str] = Counter()
    for row in tasks:
        counts[row.state] += row.jobs
    nodes: dict[str, None] = {}
    for row in tasks:
        if row.state not in FINISHED and row.state != "PENDING" and len(nodes) < MAX_NODES:
            nodes |= dict.fromkeys(table.where(row))
    return ArrayJob(
        job_id=array,
        name=first.name,
        user=first.user,
        partition=first.partition,
        state=first.state,
        reason=first.reason,
        nodes=tuple(nodes),
        cpus=first.cpus,
        memory_mib=first.memory_mib,
        gres=first.gres,
        submit_time=first.submit_time,
        time_limit_s=first.time_limit_s,
        account=first.account,
        qos=first.qos,
        priority=first.priority,
        dependency=first.dependency,
        work_dir=first.work_dir,
        source=first.source,
        tasks=dict(sorted(counts.items())),
    )


def _tree(
    table: JobTable, rows: list[Row]
) -> Generator[None, None, tuple[list[Row], dict[str, str]]]:
    """Each job under the first job in the table that it waits for."""
    by_id: dict[str, Row] = {}
    for row in rows:
        by_id.setdefault(row.key, row)
        if row.array:
            by_id.setdefault(row.array, row)
    below: dict[str, list[Row]] = {}
    roots: list[Row] = []
    for index, row in enumerate(rows):
        parent = _parent(table, row, by_id)
        if parent is None:
            roots.append(row)
        else:
            below.setdefault(parent.key, []).append(row)
        if index % SLICE == SLICE - 1:
            yield
    found: list[Row] = []
    leads: dict[str, str] = {}
    stack = [(row, 0) for row in reversed(roots)]
    seen: set[str] = set()
    while stack:
        row, depth = stack.pop()
        if row.key in seen:
            continue
        seen.add(row.key)
        found.append(row)
        if depth:
            leads[row.key] = "  " * (depth - 1) + "└ "
        stack += [(child, depth + 1) for child in reversed(below.get(row.key, ()))]
    # Jobs that wait for each other in a ring have no root; they are not to disappear.
    found += [row for row in rows if row.key not in seen]
    return found, leads


def _parent(table: JobTable, row: Row, by_id: dict[str, Row]) -> Row | None:
    if row.state != "PENDING":
        return None
    for job_id in table.job(row).waits_for():
        parent = by_id.get(job_id)
        if parent is not None and parent is not row:
            return parent
    return None
