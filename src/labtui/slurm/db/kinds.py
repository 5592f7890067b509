"""How sacct and sacctmgr write what they account."""

from __future__ import annotations

from typing import Any

from labtui.slurm import fields, values
from labtui.slurm.constants import UNLIMITED
from labtui.slurm.db.tres import GPU, TrackableResource, TrackableResources
from labtui.slurm.enums import SchedulerType
from labtui.slurm.served import Kind, none
from labtui.slurm.utils.helpers import cpu_freq_int_to_str

_SCHEDULERS = {
    "SCHEDSUBMIT": SchedulerType.SUBMIT, "STARTED_ON_SUBMIT": SchedulerType.SUBMIT,
    "SCHEDMAIN": SchedulerType.MAIN, "STARTED_ON_SCHEDULE": SchedulerType.MAIN,
    "SCHEDBACKFILL": SchedulerType.BACKFILL, "STARTED_ON_BACKFILL": SchedulerType.BACKFILL,
}  # fmt: skip


def resources(value: str) -> TrackableResources | None:
    """Of `cpu=2,mem=2000M,node=1`; None where it is empty or cannot be read."""
    try:
        found: TrackableResources | None = TrackableResources.from_str(values.text(value))
    except (ValueError, OverflowError):
        return None
    return found


def _resource_list(value: Any) -> TrackableResources | None:
    """Of `[{"type": "gres", "name": "gpu", "count": 2}]`."""
    found = TrackableResources()
    records = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    for one in records:
        kind, name = fields.text(one.get("type")), fields.text(one.get("name"))
        count = fields.num(one.get("count"))
        if kind and count is not None and count >= 0:  # -2: not set, of energy
            found.put(TrackableResource(kind, count, name, fields.num(one.get("id"))))
    return found if records else None


def gpus(found: TrackableResources | None) -> dict[str, GPU]:
    """The GPUs among them."""
    held = found.gres.items() if found else ()
    return {name: one for name, one in held if isinstance(one, GPU)}


def count_of(found: TrackableResources | None, name: str) -> int | None:
    """How much of `cpu`, `mem` or `node`."""
    one = getattr(found, name, None) if found else None
    return one.count if isinstance(one, TrackableResource) else None


def _limit(value: Any) -> int | str | None:
    """Minutes, "UNLIMITED", or "PartitionLimit" where the job asked for none."""
    if isinstance(value, str):
        word = value.strip()
        if word in ("Partition_Limit", "PartitionLimit"):
            return "PartitionLimit"
        return UNLIMITED if word == UNLIMITED else values.whole(word)
    if isinstance(value, dict) and value.get("set") is False and value.get("infinite") is not True:
        return "PartitionLimit"
    return fields.limit(value)


def _scheduler(value: Any) -> SchedulerType:
    words = fields.states(value.split(",") if isinstance(value, str) else value)
    return next((_SCHEDULERS[w] for w in words if w in _SCHEDULERS), SchedulerType.UNKNOWN)


def _received(value: Any) -> bool | None:
    words = fields.states(value.split(",") if isinstance(value, str) else value)
    return "STARTRECEIVED" in words or "START_RECEIVED" in words


def _state(value: Any) -> str | None:
    """`CANCELLED` of `CANCELLED by 1001`."""
    return next(iter(fields.states(value)), None)


def _code(value: Any) -> int | None:
    return fields.exit_status(value)[0]


def _signal(value: Any) -> int | None:
    return fields.exit_status(value)[1]


def _frequency(value: Any) -> int | str | None:
    number = fields.num(value)
    if number is not None:
        return cpu_freq_int_to_str(number)
    word = fields.text(value)
    return word.upper() if word else None


def _governor(value: Any) -> int | str | None:
    """v0.0.37 and v0.0.38 list every governor where none was asked for."""
    return _frequency(value) if isinstance(value, str) else None


def _task(value: str) -> int | None:
    return values.whole(value)


TRACKED: Kind[TrackableResources | None] = Kind(resources, _resource_list, none)
SCHEDULER: Kind[SchedulerType] = Kind(_scheduler, _scheduler, lambda: SchedulerType.UNKNOWN)
RECEIVED: Kind[bool | None] = Kind(_received, _received, none)
STATE: Kind[str | None] = Kind(_state, _state, none)
CODE: Kind[int | None] = Kind(_code, _code, none)
SIGNAL: Kind[int | None] = Kind(_signal, _signal, none)
TIME_LIMIT: Kind[int | str | None] = Kind(_limit, _limit, none)
FREQUENCY: Kind[int | str | None] = Kind(_frequency, _frequency, none)
GOVERNOR: Kind[int | str | None] = Kind(_frequency, _governor, none)
CLOCK: Kind[int | None] = Kind(values.seconds, lambda v: fields.num(v), none)
"""`00:01:02` in seconds."""
TASK: Kind[int | None] = Kind(_task, fields.num, none)
