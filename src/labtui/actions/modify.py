"""Change jobs that are in the queue: time limit, partition, QoS, priority, nice; first of the own.

What was seen of Slurm 22.05 and 24.11: a waiting job's time limit can be raised by its user, a
running one's only by an operator; partition and QoS only while it waits; priority and a negative
nice only by operators; priority 0 holds the job.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from labtui.actions.base import ActionError, Plan
from labtui.actions.jobs import SETTLE, JobAction
from labtui.actions.queue import over, states
from labtui.model import Job
from labtui.slurm import accounting, many, values
from labtui.slurm.argv import exact_id
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.types import Partition
from labtui.slurm.urgency import FINISHED, is_held
from labtui.text import clock, inert

MAX_PRIORITY = (1 << 32) - 2
MAX_NICE = (1 << 31) - 3
NAMED = 5
"""Jobs up to which the way back is a command to copy."""
_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,200}(?:,[A-Za-z0-9_.@+-]{1,200})*\Z")


class ModifyField(msgspec.Struct, frozen=True):
    """One thing of a job that can be changed."""

    name: str
    """In `labtui job modify --set NAME=VALUE`."""
    words: str
    key: str
    """scontrol's name of it."""
    problem: Callable[[str], str | None]
    """Why a value cannot be; None when it can."""
    of: Callable[[Job], Any]
    """What a job has now; None where its row does not tell."""
    means: Callable[[str], Any]
    """What a row shows once it has the value."""
    help: str = ""


def _bad_time(text: str) -> str | None:
    if text.upper() == "UNLIMITED" or (values.minutes(text) or 0) > 0:
        return None
    return "write it as 90 (minutes), 2:00:00, 1-12:00:00 or UNLIMITED"


def _seconds(text: str) -> int | None:
    found = values.minutes(text)
    return None if found is None else found * 60


def _bad_name(text: str) -> str | None:
    return None if _NAME.match(text) else "write a name, or several with commas between"


def _bad_priority(text: str) -> str | None:
    number = values.whole(text)
    if number == 0:
        return "0 would hold it: use hold"
    known = number is not None and number <= MAX_PRIORITY
    return None if known else f"write a whole number from 1 to {MAX_PRIORITY}"


def _bad_nice(text: str) -> str | None:
    number = values.whole(text.removeprefix("-"))
    known = number is not None and number <= MAX_NICE
    return None if known else f"write a whole number from -{MAX_NICE} to {MAX_NICE}"


def _bad_count(text: str) -> str | None:
    return None if (values.whole(text) or 0) > 0 else "write how many tasks, 1 or more"


def _at_once(job: Job) -> int | None:
    return values.whole((job.array_task or "").partition("%")[2])


FIELDS: tuple[ModifyField, ...] = (
    ModifyField("time_limit", "time limit", "TimeLimit", _bad_time,
                lambda job: job.time_limit_s, _seconds, "90 (minutes), 2:00:00, 1-12:00:00"),
    ModifyField("partition", "partition", "Partition", _bad_name,
                lambda job: job.partition, str, "while it waits"),
    ModifyField("qos", "QoS", "QOS", _bad_name, lambda job: job.qos, str, "while it waits"),
    ModifyField("priority", "priority", "Priority", _bad_priority,
                lambda job: job.priority, int, "operators only; it stays so then"),
    ModifyField("nice", "nice", "Nice", _bad_nice, lambda job: None, int,
                "more waits longer; below 0 operators only"),
    ModifyField("at_once", "at once", "ArrayTaskThrottle", _bad_count, _at_once, int,
                "how many tasks of the array may run at the same time"),
)  # fmt: skip
FIELD = {field.name: field for field in FIELDS}


def shown(field: ModifyField, value: Any) -> str:
    """A value of a job as people write it."""
    if field.name == "time_limit":
        return "unlimited" if value is None else clock(value)
    return "-" if value is None else inert(value, 60)


def checked(changes: Mapping[str, str]) -> dict[str, str]:
    """The changes as they can be sent. ActionError names what cannot be, and how to write it."""
    found: dict[str, str] = {}
    for name, text in changes.items():
        field = FIELD.get(name)
        if field is None:
            raise ActionError(f"{inert(name, 40)}: cannot be changed; there are {', '.join(FIELD)}")
        value = text.strip()
        if problem := field.problem(value):
            raise ActionError(f"{field.words}: {inert(value, 40) or 'nothing'}: {problem}")
        found[name] = value
    if not found:
        raise ActionError("nothing is changed")
    return found


class ModifyJob(JobAction):
    """`changes`: field -> new value, as typed."""

    id = "queue.modify"
    verb = "Modify"
    past = "changed"

    refusal = staticmethod(over)

    def __init__(
        self,
        client: SlurmClient,
        job_ids: Sequence[str],
        changes: Mapping[str, str],
        *,
        settle: float = SETTLE / 3,
    ):
        super().__init__(client, job_ids, settle=settle)
        self.changes = checked(changes)
        self._nice: dict[str, int] = {}

    def commands(self, job_ids: Sequence[str]) -> list[list[str]]:
        ids = ",".join(exact_id(job_id) for job_id in job_ids)
        sets = [f"{FIELD[name].key}={value}" for name, value in self.changes.items()]
        return [["scontrol", "update", f"JobId={ids}", *sets]]

    def target(self, job: Job, job_id: str) -> str:
        before = ", ".join(f"{FIELD[n].words} {self._now(FIELD[n], job)}" for n in self.changes)
        return f"{inert(job_id, 60)} {inert(job.name, 60)} ({before})"

    def _now(self, field: ModifyField, job: Job) -> str:
        value = self._nice.get(job.job_id) if field.name == "nice" else field.of(job)
        return shown(field, value)

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        """What Slurm will refuse, or accept and never run."""
        found: list[str] = []
        changes = self.changes
        active = [job for job in jobs if job.state != "PENDING"]
        for name in ("partition", "qos"):
            if name in changes and active:
                found.append(f"{FIELD[name].words}: Slurm changes it only while a job waits, "
                             f"{len(active)} run{'s' if len(active) == 1 else ''}")  # fmt: skip
        if "at_once" in changes and any("_" not in j.job_id for j in jobs):
            found.append("at once: only an array has tasks; Slurm refuses it for other jobs")
        if needs := self._operators_only(jobs):
            found += await accounting.operator_note(self.client, needs)
        if "qos" in changes:
            await self._must_exist(changes["qos"])
        if "time_limit" in changes or "partition" in changes:
            found += self._against(await self._partitions(), jobs)
        return tuple(found)

    def _operators_only(self, jobs: Sequence[Job]) -> str:
        changes = self.changes
        limit = _seconds(changes.get("time_limit", ""))
        longer = any(
            job.state != "PENDING"
            and job.time_limit_s is not None
            and (limit is None or limit > job.time_limit_s)
            for job in jobs
        )
        if "time_limit" in changes and longer:
            return "raise the time limit of a job that runs"
        if "priority" in changes:
            return "set a priority"
        return "give a nice below 0" if changes.get("nice", "").startswith("-") else ""

    async def _must_exist(self, name: str) -> None:
        """ActionError for a QoS that there is not: 22.05 takes it without a word, and does
        nothing."""
        try:
            names = [one.name for one in await accounting.qos(self.client)]
        except RPCError:
            return
        if names and name not in names:
            there = ", ".join(inert(one, 40) for one in names)
            raise ActionError(f"QoS: there is no {inert(name, 40)}; choose from {there}")

    async def _partitions(self) -> list[Partition]:
        try:
            return await self.client.partitions()
        except RPCError:
            return []

    def _against(self, partitions: Sequence[Partition], jobs: Sequence[Job]) -> list[str]:
        known = {p.name: p for p in partitions}
        wanted = self.changes.get("partition")
        names = wanted.split(",") if wanted else []
        unknown = [name for name in names if known and name not in known]
        if unknown:
            there = ", ".join(inert(name, 40) for name in known)
            raise ActionError(
                f"partition: there is no {inert(unknown[0], 40)}; choose from {there}"
            )
        found: list[str] = []
        for job in jobs:
            here = [known[n] for n in names or (job.partition or "").split(",") if n in known]
            most = max((p.max_time for p in here if p.max_time), default=None)
            if not here or most is None or any(p.max_time is None for p in here):
                continue
            new = self.changes.get("time_limit")
            limit = _seconds(new) if new else job.time_limit_s
            if limit is None or limit > most * 60:
                name = inert(here[0].name, 40)
                found.append(f"{name} allows {clock(most * 60)}: with more time it would wait")
        return list(dict.fromkeys(found))

    async def plan(self) -> Plan:
        if "nice" in self.changes:
            self._nice = await many.nice(self.client, self.asked)
        return await super().plan()

    def way_back(self) -> str:
        """The command that sets back what is so now; of many jobs that differ, the first few."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for job_id, job in self._before.items():
            old = [(name, self._old(FIELD[name], job)) for name in self.changes]
            known = tuple(f"{FIELD[name].key}={value}" for name, value in old if value)
            groups.setdefault(known, []).append(job_id)
        parts = [
            shlex.join(["scontrol", "update", f"JobId={','.join(map(exact_id, ids))}", *known])
            if len(ids) <= NAMED
            else f"{shlex.join(known)} for {len(ids)} jobs again"
            for known, ids in list(groups.items())[:2]
            if known
        ]
        more = len(self._before) > NAMED or len(groups) > 2
        return "; ".join(parts) + ("; the old value of each is in the audit" if more else "")

    def _old(self, field: ModifyField, job: Job) -> str:
        if field.name == "nice":
            return str(self._nice.get(job.job_id, ""))
        value = field.of(job)
        if field.name == "time_limit":
            return "UNLIMITED" if value is None else clock(value)
        return "" if value is None else inert(value, 60)

    async def _rows(self, job_ids: Sequence[str]) -> list[Job]:
        """Each task on a row of its own: folded, they look alike."""
        if "nice" in self.changes:
            self._nice = await many.nice(self.client, job_ids)
        folded = "at_once" in self.changes
        return await many.rows(self.client, job_ids, apart=not folded)

    def settled(self, rows: list[Job]) -> str | None:
        going = [job for job in rows if job.state not in FINISHED]
        if not going:
            return "is over"
        for name, text in self.changes.items():
            field = FIELD[name]
            want = None if text.upper() == "UNLIMITED" else field.means(text)
            have = [self._nice.get(j.job_id) if name == "nice" else field.of(j) for j in going]
            if name == "at_once":
                have = [value for value in have if value is not None] or [want]
            if any(value != want for value in have):
                return None
        told = [f"{FIELD[n].words} {self._means(FIELD[n], t)}" for n, t in self.changes.items()]
        return "has " + ", ".join(told)

    def _means(self, field: ModifyField, text: str) -> str:
        return shown(field, None if text.upper() == "UNLIMITED" else field.means(text))


def cannot_be_first(job: Job) -> str | None:
    if is_held(job):
        return "it is held: release it first"
    waits = "PENDING" in states(job)
    return None if waits else f"only a waiting job: it is {job.state.lower()}"


class TopJob(JobAction):
    id = "queue.top"
    verb = "Put first"
    past = "first"
    undo = "put another of the user's jobs first"
    risks = ("the user's other waiting jobs in this partition, account and QoS go after it",)

    refusal = staticmethod(cannot_be_first)

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        """ActionError where it is known that slurm.conf does not let this account do it."""
        if await accounting.is_operator(self.client) is not False:
            return ()
        try:
            found = await accounting.settings(self.client)
        except RPCError:
            return ()
        if "enable_user_top" not in found.get("SchedulerParameters", ""):
            raise ActionError(
                "Slurm lets only operators do this here: users may, once an operator sets "
                "SchedulerParameters=enable_user_top"
            )
        return ()

    async def _rows(self, job_ids: Sequence[str]) -> list[Job]:
        """The others of the same user too: none of them may come before."""
        rows = await many.known(self.client, job_ids)
        users = {job.user for job in self._before.values() if job.user}
        self._others = [job for user in users for job in await many.of_user(self.client, user)]
        return rows

    _others: Sequence[Job] = ()

    def settled(self, rows: list[Job]) -> str | None:
        waiting = [job for job in rows if job.state == "PENDING"]
        if not waiting:
            return "has started or is over"
        job = waiting[0]
        same = [
            other
            for other in self._others
            if other.state == "PENDING"
            and (other.user, other.partition, other.account, other.qos)
            == (job.user, job.partition, job.account, job.qos)
            and other.job_id not in self.job_ids
        ]
        if job.priority is None or any((o.priority or 0) > job.priority for o in same):
            return None
        user, where = inert(job.user or "its user", 40), inert(job.partition or "", 40)
        return f"is first of {user}'s jobs in {where}"
