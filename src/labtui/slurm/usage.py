"""What jobs hold and ask, beside what limits let them. Pure figures: None where one is not known.

Resources are by Slurm's names, as in `types.Limits`. Held is what jobs hold now, by the queue
itself: it is newer than what slurmctld counts for its limits, and says which job holds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from labtui.model import Job, Node, Reservation
from labtui.slurm import values
from labtui.slurm.joblist import JobList, active
from labtui.slurm.reasons import LimitCode
from labtui.slurm.types import Association, License, Limits, Partition, Qos
from labtui.store import Store
from labtui.text import inert, mib

HOLDS = frozenset({"RUNNING", "SUSPENDED", "CONFIGURING", "STOPPED", "SIGNALING", "RESIZING"})
"""States whose jobs count in limits."""
SHORT_QUEUE = 2000
"""Jobs up to which all waiting ones are looked at: beyond that it would be felt at the keyboard."""


class Context(msgspec.Struct, frozen=True, eq=False, dict=True):
    """What is known of the cluster beside the job. What was not asked is empty or None."""

    now: float
    jobs: Sequence[Job] = ()
    """The queue: a list, or the poll's `JobList`."""
    nodes: Sequence[Node] = ()
    partitions: Sequence[Partition] = ()
    qos: Sequence[Qos] = ()
    associations: Sequence[Association] = ()
    reservations: Sequence[Reservation] = ()
    licenses: Sequence[License] = ()
    settings: Mapping[str, str] = msgspec.field(default_factory=dict)
    """slurm.conf."""
    me: str = ""
    """The user who reads it: "you"."""
    record: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The job's own `scontrol show job`, where it was asked: NumNodes, Licenses, Reservation."""
    told: dict[Any, Any] = msgspec.field(default_factory=dict)
    """What was worked out for a job that asks the same: many do, and all that hold something were
    looked at for it."""

    @classmethod
    def of(
        cls, store: Store, *, now: float | None = None, me: str = "",
        record: Mapping[str, str] | None = None,
    ) -> Context:  # fmt: skip
        """From the feeds `slurm.*`, as old as they are."""

        def known(name: str) -> Any:
            return store.value(f"slurm.{name}") or ()

        return cls(
            now=now or time.time(),
            jobs=known("jobs"),
            nodes=known("nodes"),
            partitions=known("partitions"),
            qos=known("qos"),
            associations=known("associations"),
            reservations=known("reservations"),
            licenses=known("licenses"),
            settings=store.value("slurm.settings") or {},
            me=me,
            record=record or {},
        )

    @cached_property
    def holding(self) -> list[Job]:
        """Jobs that hold resources."""
        return [job for job in active(self.jobs) if job.state in HOLDS]

    @cached_property
    def waiting(self) -> list[Job] | None:
        """Jobs that wait; None where there are too many to look at each."""
        if len(self.jobs) > SHORT_QUEUE:
            return None
        if isinstance(self.jobs, JobList):
            return [
                self.jobs.job(row, keep=True) for row in self.jobs.rows if row.state == "PENDING"
            ]
        return [job for job in self.jobs if job.state == "PENDING"]

    @cached_property
    def contending(self) -> list[tuple[int, int | None, frozenset[str]]] | None:
        """(priority, tasks, partitions) of what waits for its turn and nothing else."""
        if self.waiting is None:
            return None
        return [
            (job.priority, tasks(job), frozenset((job.partition or "").split(",")))
            for job in self.waiting
            if job.priority is not None and job.reason in (None, "None", "Priority", "Resources")
        ]

    @cached_property
    def _by_id(self) -> dict[str, Job]:
        return {job.job_id: job for job in self.jobs}

    def find(self, job_id: str) -> list[Job]:
        """The rows of a job, a task or an array; none where the queue does not know it."""
        queue = self.jobs
        exact = queue.get(job_id) if isinstance(queue, JobList) else self._by_id.get(job_id)
        if exact is not None:
            return [exact]
        if len(queue) > SHORT_QUEUE:
            return []
        if isinstance(queue, JobList):
            return [queue.job(row, keep=True) for row in queue.task_rows(job_id)]
        return [job for job in queue if job.job_id.partition("_")[0] == job_id]

    def partitions_of(self, job: Job) -> list[Partition]:
        names = (job.partition or "").split(",")
        return [one for one in self.partitions if one.name in names]


def asks(job: Job, tres: str) -> int | None:
    """How much of one resource a job holds, or each waiting task of it asks."""
    if tres == "cpu":
        return job.cpus
    if tres == "mem":
        return job.memory_mib
    if tres == "node":
        return len(job.nodes) or None
    if tres.startswith("gres/"):
        name, _, kind = tres.removeprefix("gres/").partition(":")
        parts = values.gres(job.gres or "")
        return sum(count for n, t, count, _ in parts if n == name and kind in ("", t))
    return None


def tasks(job: Job) -> int | None:
    """How many jobs a row stands for: the waiting tasks of a folded array, else one."""
    return values.count_tasks(job.job_id)


def total(jobs: Iterable[Job], tres: str) -> int | None:
    """What they hold together; None where that of one is not known."""
    counts = [asks(job, tres) for job in jobs]
    return None if None in counts else sum(c for c in counts if c is not None)


def amount(tres: str, count: int) -> str:
    """`8 CPUs`, `4.0G`, `1 node`, `2 a100 GPUs`: inert."""
    if tres == "mem":
        return f"{mib(count)} of memory"
    name, _, kind = tres.removeprefix("gres/").partition(":")
    word = {"cpu": "CPU", "gpu": "GPU", "jobs": "job", "submit": "queued job"}.get(name, name)
    if word.startswith(("license/", "bb/")):
        sort, _, own = word.partition("/")
        word = f"{own} licence" if sort == "license" else f"{own} burst buffer unit"
    kind = f"{inert(kind, 40)} " if kind else ""
    plural = "" if count == 1 or name in ("billing", "energy") else "s"
    return f"{count} {kind}{inert(word, 40)}{plural}"


class Bound(msgspec.Struct, frozen=True):
    """One limit that may hold a job back, and the jobs that count against it."""

    whose: str
    """`QoS normal`, `account research`: inert."""
    holder: str
    """`user`, `account`, `job` or `all`: for whom the limit holds."""
    tres: str
    """The resource, or `jobs`, `submit`, `wall`."""
    limit: int
    counted: tuple[Job, ...] = ()
    limits: Limits | None = None


def bounds(job: Job, code: LimitCode, context: Context) -> list[Bound]:
    """The limits that a reason can mean for a job, as far as they are known."""
    found: list[Bound] = []
    if code.of_qos:
        for one, jobs in _of_qos(job, context):
            found += _bounds(code, one, f"QoS {inert(one.name, 40)}", jobs, job)
    else:
        for place, jobs in _of_associations(job, context):
            own = f"account {inert(place.account, 40)}"
            whose = f"{own} (user {inert(place.user, 40)})" if place.user else own
            if place.user is None and code.kind != "Grp":
                continue
            found += _bounds(code, place, whose, jobs, job)
    return found


def _of_qos(job: Job, context: Context) -> list[tuple[Qos, list[Job]]]:
    """The job's QoS and its partition's, each with the jobs that count in it."""
    found = [
        (one, [j for j in context.holding if j.qos == one.name])
        for one in context.qos
        if one.name == job.qos
    ]
    for name in {p.qos for p in context.partitions_of(job) if p.qos} - {job.qos}:
        where = {p.name for p in context.partitions if p.qos == name}
        jobs = [j for j in context.holding if j.partition in where]
        found += [(one, jobs) for one in context.qos if one.name == name]
    return found


def here(context: Context) -> list[Association]:
    """The associations of this cluster; none where it cannot be told which they are."""
    cluster = context.settings.get("ClusterName")
    found = [a for a in context.associations if cluster in (None, a.cluster)]
    return found if cluster or len({a.cluster for a in found}) == 1 else []


def associations_of(job: Job, context: Context) -> list[Association]:
    """A user's place in the account and the accounts above it, the nearest first."""
    known = here(context)
    own = [a for a in known if a.account == job.account and a.user == job.user and a.user]
    own = [a for a in own if a.partition == job.partition] or [
        a for a in own if a.partition is None
    ]
    accounts = {a.account: a for a in known if a.user is None}
    chain, name = own[:1], job.account
    while name in accounts and accounts[name] not in chain:
        chain.append(accounts[name])
        name = accounts[name].parent
    return chain


def _of_associations(job: Job, context: Context) -> list[tuple[Association, list[Job]]]:
    chain = associations_of(job, context)
    parents = {a.account: a.parent for a in here(context) if a.user is None}

    def under(account: str | None, top: str) -> bool:
        seen: set[str] = set()
        while account and account not in seen:
            if account == top:
                return True
            seen.add(account)
            account = parents.get(account)
        return False

    found = []
    for place in chain:
        if place.user:
            jobs = [
                j for j in context.holding if j.account == place.account and j.user == place.user
            ]
        else:
            jobs = [j for j in context.holding if under(j.account, place.account)]
        found.append((place, jobs))
    return found


def _bounds(
    code: LimitCode, of: Qos | Association, whose: str, jobs: list[Job], job: Job
) -> list[Bound]:
    if code.kind == "Max" and code.what in ("jobs", "submit") and not code.per:
        per = "User"
    else:
        per = code.per if code.kind != "Grp" else ""
    holder = {"": "all", "User": "user", "Account": "account", "Job": "job", "Node": "job"}[per]
    if code.kind == "Min":
        holder = "job"
    keep: Callable[[Job], bool] = {
        "user": lambda j: j.user == job.user,
        "account": lambda j: j.account == job.account,
    }.get(holder, lambda j: True)
    counted = tuple(j for j in jobs if keep(j)) if holder != "job" else ()
    name = _field(code, holder)
    value: Any = getattr(of, name, None)
    if isinstance(value, dict):
        return [
            Bound(whose, holder, tres, limit, counted, of)
            for tres, limit in value.items()
            if tres == code.what or (code.what.endswith("/") and tres.startswith(code.what))
        ]
    return [] if value is None else [Bound(whose, holder, code.what, value, counted, of)]


def _field(code: LimitCode, holder: str) -> str:
    """The field of `types.Limits`, `Qos` or `Association` that a reason is about."""
    if code.what == "wall":
        return "max_wall" if code.per == "Job" else "grp_wall"
    if code.what in ("jobs", "submit"):
        what = "jobs" if code.what == "jobs" else "submit_jobs"
        if code.kind == "Grp":
            return f"grp_{what}"
        return f"max_{what}_per_{holder}" if code.of_qos else f"max_{what}"
    if code.kind == "Min":
        return "min_tres_per_job"
    if code.kind == "Grp":
        return {"": "grp_tres", "Minutes": "grp_tres_mins", "RunMinutes": "grp_tres_run_mins"}[
            code.minutes
        ]
    if code.minutes:
        return "max_tres_mins_per_job"
    return {
        "Job": "max_tres_per_job", "Node": "max_tres_per_node", "User": "max_tres_per_user",
        "Account": "max_tres_per_account", "": "",
    }[code.per]  # fmt: skip


def ends_at(job: Job, now: float) -> float | None:
    """When a job that holds something gives it back at the latest; None: that is not known."""
    if job.state not in ("RUNNING", "CONFIGURING") or not job.start_time or not job.time_limit_s:
        return None
    end = job.start_time + job.time_limit_s
    return end if end > now else None


def freed(bound: Bound, over: int, now: float) -> tuple[float | None, list[Job]]:
    """When `over` of a resource comes free at the latest, and by the end of which jobs."""
    one = bound.tres in ("jobs", "submit")
    held = [(j, 1 if one else asks(j, bound.tres) or 0) for j in bound.counted]
    ends = [(ends_at(j, now), n, j) for j, n in held if n > 0]
    known = sorted((e, n, j.job_id, j) for e, n, j in ends if e is not None)
    jobs: list[Job] = []
    for end, count, _, job in known:
        jobs.append(job)
        over -= count
        if over <= 0:
            return end, jobs
    return None, [j for _, _, j in ends]
