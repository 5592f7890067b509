"""Reservations: `Reservation("maint", start_time="now", duration=60, nodes="gpu-01").create()`."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Self

from labtui.slurm import bridge, fields, settings, values, xcollections
from labtui.slurm.core.telling import control
from labtui.slurm.enums import SlurmEnum, SlurmFlag
from labtui.slurm.errors import RPCError
from labtui.slurm.served import (
    COUNT,
    LIST,
    MOMENT,
    SIZE,
    TRES,
    WORD,
    WRITTEN,
    Changeable,
    Kind,
    Served,
    as_list,
    as_moment,
    as_seconds,
    as_text,
    none,
)
from labtui.slurm.utils import cstr, ctime


class ReservationFlags(SlurmFlag):
    """slurm/slurm.h: RESERVE_FLAG_*"""

    MAINTENANCE = 1 << 0
    MAGNETIC = 1 << 32
    FLEX = 1 << 25
    IGNORE_RUNNING_JOBS = 1 << 6
    ANY_NODES = 1 << 8
    STATIC_NODES = 1 << 10
    PARTITION_NODES_ONLY = 1 << 12
    USER_DELETION = 1 << 39
    PURGE = 1 << 20
    SPECIFIC_NODES = 1 << 15
    NO_JOB_HOLD_AFTER_END = 1 << 29
    OVERLAP = 1 << 14
    ALL_NODES = 1 << 19
    SKIP = 1 << 34
    SCHED_FAILED = 1 << 41
    REPLACE_DOWN = 1 << 30


class ReservationReoccurrence(SlurmEnum):
    """How often a reservation comes again."""

    NO = "NO"
    DAILY = "DAILY", 1 << 2
    HOURLY = "HOURLY", 1 << 35
    WEEKLY = "WEEKLY", 1 << 4
    WEEKDAY = "WEEKDAY", 1 << 21
    WEEKEND = "WEEKEND", 1 << 23


WORDS = {
    "MAINT": ReservationFlags.MAINTENANCE,
    "MAGNETIC": ReservationFlags.MAGNETIC,
    "FLEX": ReservationFlags.FLEX,
    "IGNORE_JOBS": ReservationFlags.IGNORE_RUNNING_JOBS,
    "ANY_NODES": ReservationFlags.ANY_NODES,
    "STATIC": ReservationFlags.STATIC_NODES,
    "STATIC_ALLOC": ReservationFlags.STATIC_NODES,
    "PART_NODES": ReservationFlags.PARTITION_NODES_ONLY,
    "USER_DELETE": ReservationFlags.USER_DELETION,
    "PURGE_COMP": ReservationFlags.PURGE,
    "SPEC_NODES": ReservationFlags.SPECIFIC_NODES,
    "NO_HOLD_JOBS_AFTER": ReservationFlags.NO_JOB_HOLD_AFTER_END,
    "NO_HOLD_JOBS_AFTER_END": ReservationFlags.NO_JOB_HOLD_AFTER_END,
    "OVERLAP": ReservationFlags.OVERLAP,
    "ALL_NODES": ReservationFlags.ALL_NODES,
    "SKIP": ReservationFlags.SKIP,
    "SCHED_FAILED": ReservationFlags.SCHED_FAILED,
    "REPLACE_DOWN": ReservationFlags.REPLACE_DOWN,
}
"""The words of Slurm's commands."""
_SAID = {flag: word for word, flag in reversed(WORDS.items())} | {
    ReservationFlags.STATIC_NODES: "STATIC_ALLOC",
    ReservationFlags.NO_JOB_HOLD_AFTER_END: "NO_HOLD_JOBS_AFTER_END",
}
_TOLD_ONLY = ReservationFlags.SPECIFIC_NODES | ReservationFlags.SCHED_FAILED
"""Set by slurmctld, never by a person."""


def _flag_words(value: Any) -> ReservationFlags:
    found = ReservationFlags(0)
    for word in fields.states(value.split(",") if isinstance(value, str) else value):
        found |= WORDS.get(word.partition("=")[0], ReservationFlags(0))
    return found


def _as_flags(value: Any) -> ReservationFlags:
    """Of flags, or of a list of their names."""
    if isinstance(value, list | tuple):
        return ReservationFlags.from_list(value)
    return ReservationFlags(value)


def _again(value: Any) -> ReservationReoccurrence:
    words = fields.states(value.split(",") if isinstance(value, str) else value)
    known = ReservationReoccurrence.__members__
    return next((known[w] for w in words if w in known), ReservationReoccurrence.NO)


def _as_amounts(value: Any) -> dict[str, Any]:
    return cstr.to_dict(cstr.dict_to_str(value))


def _uts(value: Any) -> str:
    """A moment that means the same on any machine: in no time zone."""
    return f"uts{value}"


def _as_whole(value: Any) -> int:
    return int(value)


FLAGS: Kind[ReservationFlags] = Kind(_flag_words, _flag_words, lambda: ReservationFlags(0))
AGAIN: Kind[ReservationReoccurrence] = Kind(_again, _again, lambda: ReservationReoccurrence.NO)
WHEN: Kind[int | None] = Kind(MOMENT.text, MOMENT.json, none, _uts)
DELAY: Kind[int | None] = Kind(
    lambda v: values.seconds(v) or values.whole(v) or None,
    SIZE.json,
    none,
    lambda v: ctime.secs_to_timestr(v, default="") or "00:00:00",
)


class Reservation(Changeable):
    """One reservation. Moments in unix seconds."""

    cluster: str
    """The cluster it is in."""

    accounts = Served(LIST, "Accounts", "accounts", "Accounts that may use it.", put=as_list)
    burst_buffer = Served(WORD, "BurstBuffer", "burst_buffer", "Burst buffers.", put=as_text)
    comment = Served(WRITTEN, "Comment", "", "Free text.", put=as_text)
    cpus = Served(COUNT, "CoreCnt", "core_count", "Cores.", put=_as_whole)
    cpu_ids_by_node = Served(
        Kind(lambda v: {}, lambda v: {}, dict[str, str]), "", "",
        "`NodeName=... CoreIDs=...`, JSON `core_specializations`: cores by node.",
    )  # fmt: skip
    end_time = Served(WHEN, "EndTime", "end_time", "When it ends.", put=as_moment)
    features = Served(LIST, "Features", "features", "Features of its nodes.", put=as_list)
    groups = Served(LIST, "Groups", "groups", "Groups that may use it.", put=as_list)
    licenses = Served(LIST, "Licenses", "licenses", "Licenses it holds.", put=as_list)
    max_start_delay = Served(
        DELAY, "MaxStartDelay", "max_start_delay", "Seconds that its start may be late.",
        put=_as_whole,
    )  # fmt: skip
    name = Served(WORD, "ReservationName", "name", "Its name.", put=as_text)
    node_count = Served(COUNT, "NodeCnt", "node_count", "Nodes.", put=_as_whole)
    nodes = Served(WORD, "Nodes", "node_list", "Its nodes as a list with ranges.", put=as_text)
    partition = Served(WORD, "PartitionName", "partition", "Whose nodes it takes.", put=as_text)
    purge_time = Served(
        SIZE, "", "", "Seconds idle after which it is taken away: of `Flags=PURGE_COMP=...`, JSON "
        "`purge_completed.time`; None without that flag.", put=as_seconds,
    )  # fmt: skip
    start_time = Served(WHEN, "StartTime", "start_time", "When it starts.", put=as_moment)
    tres = Served(TRES, "TRES", "tres", "What it holds: `{'cpu': 12}`.", put=_as_amounts)
    users = Served(LIST, "Users", "users", "Users that may use it.", put=as_list)
    reoccurrence = Served(
        AGAIN, "Flags", "flags", "How often it comes again.", put=ReservationReoccurrence
    )
    flags = Served(FLAGS, "Flags", "flags", "What it allows and how it takes nodes.", put=_as_flags)

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self._changed = {}
        self.name = name
        self.cluster = settings.local_cluster()
        self._assign(kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        start = self.start_time
        if name == "end_time" and start and (as_moment(value) or start) < start:
            raise ValueError("end_time cannot be earlier then start_time.")
        super().__setattr__(name, value)
        if name == "purge_time" and value is not None:
            self.flags |= ReservationFlags.PURGE

    def __repr__(self) -> str:
        return f"pyslurm.Reservation({self.name})"

    @property
    def duration(self) -> int:
        """Minutes between `start_time` and `end_time`; 0 where these are not known. Setting it
        sets `end_time`, and `start_time` to now where there is none."""
        if not self.start_time or not self.end_time or self.end_time < self.start_time:
            return 0
        return (self.end_time - self.start_time) // 60

    @duration.setter
    def duration(self, value: Any) -> None:
        if value is None:
            return
        minutes = ctime.timestr_to_mins(value)
        if not self.start_time:
            self.start_time = as_moment(datetime.now())
        assert self.start_time is not None
        self.end_time = self.start_time + minutes * 60

    @property
    def is_active(self) -> bool:
        """Whether it is between `start_time` and `end_time` now, by this machine's clock."""
        return (self.start_time or 0) <= time.time() <= (self.end_time or 0)

    def _error_or_name(self) -> str:
        if not self.name:
            raise RPCError(
                msg="No Reservation name was specified. Did you set the `name` attribute on the "
                "Reservation instance?"
            )
        return self.name

    def _asked(self, had: ReservationFlags | None = None) -> list[str]:
        """What was assigned, as scontrol takes it; `had`: flags that are to go where not asked."""
        asked = self._sent("name", "flags", "reoccurrence", "purge_time", "partition", "cpus")
        if "partition" in self._changed:
            asked.append(f"PartitionName={self.partition}")
        if "cpus" in self._changed:
            asked.append(f"CoreCnt={self.cpus}")
        words = []
        if self._changed.keys() & {"flags", "purge_time"}:
            words = [self._word(flag) for flag in self.flags & ~_TOLD_ONLY]
            gone = (had or ReservationFlags(0)) & ~self.flags & ~_TOLD_ONLY
            words += [f"-{_SAID[flag]}" for flag in gone]
        if "reoccurrence" in self._changed:
            again = self.reoccurrence
            words.append(again.value if again != "NO" else "")
        return [*asked, f"Flags={','.join(filter(None, words))}"] if any(words) else asked

    def _word(self, flag: ReservationFlags) -> str:
        if flag is ReservationFlags.PURGE and self.purge_time:  # a plain number would be minutes
            return f"{_SAID[flag]}={ctime.secs_to_timestr(self.purge_time)}"
        return _SAID[flag]

    @staticmethod
    def load(name: str) -> Reservation:
        """One of `scontrol show reservation`. RPCError where there is no such reservation."""
        from labtui.slurm.core import aio

        return bridge.call(lambda client: aio.reservation(client, name))

    def create(self) -> Self:
        """`scontrol create reservation ...`. RPCError without a name or times, and where Slurm
        refuses."""
        if not self.start_time or not self.duration or not self.end_time:
            raise RPCError(
                msg="You must at least specify a start_time, combined with an end_time or a "
                "duration."
            )
        name = self._error_or_name()
        control("create", "reservation", f"ReservationName={name}", *self._asked())
        self._remember()
        return self

    def modify(self, changes: Reservation | None = None) -> None:
        """`scontrol update ReservationName=NAME ...` with what is set in `changes`, else in this
        object. RPCError where Slurm refuses."""
        updates = self if changes is None else changes
        name = self._error_or_name()
        was, again = self.__dict__.get("_had", (self.flags, self.reoccurrence))
        asked = updates._asked(was)
        if "reoccurrence" in updates._changed and updates.reoccurrence == "NO" and again != "NO":
            asked = _with_flag(asked, f"-{again}")
        if asked:
            control("update", f"ReservationName={name}", *asked)
        updates._remember()

    def _remember(self) -> None:
        """What is set now is what Slurm has."""
        self._changed = {}
        self.__dict__["_had"] = (self.flags, self.reoccurrence)

    def _fill(self, values: dict[str, Any]) -> None:
        super()._fill(values)
        self._remember()

    def delete(self) -> None:
        """`scontrol delete ReservationName=NAME`. RPCError where Slurm refuses."""
        control("delete", f"ReservationName={self._error_or_name()}")


def _with_flag(asked: list[str], word: str) -> list[str]:
    flags = next((part for part in asked if part.startswith("Flags=")), "")
    rest = [part for part in asked if part != flags]
    return [*rest, f"{flags},{word}" if flags else f"Flags={word}"]


class Reservations(xcollections.MultiClusterMap[str, Reservation]):
    """Reservations by name."""

    def __init__(self, reservations: Any = None) -> None:
        super().__init__(reservations, "Reservations", Reservation, str, Reservation.name)

    @staticmethod
    def load() -> Reservations:
        """`scontrol -a -o show reservation`."""
        from labtui.slurm.core import aio

        return bridge.call(aio.reservations)
