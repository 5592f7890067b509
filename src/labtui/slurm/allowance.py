"""What QoS and accounts let a job have that is not sent yet. Pure.

Slurm looks at the partition's QoS first, then at the job's, then at the user's account: a limit
that one of them sets hides the same limit of those behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from labtui.model import Job
from labtui.slurm.asked import Asked
from labtui.slurm.never import Charge, enforces, low
from labtui.slurm.types import Limits, Partition, Qos
from labtui.slurm.usage import Bound, Context, freed, total
from labtui.text import clock, inert, mib


class _Layer(msgspec.Struct, frozen=True):
    who: str
    """`qos normal`: inert."""
    limits: Limits
    counts: Callable[[Job], bool] = lambda job: False
    """Whether a job counts in it."""


def allowance(
    wants: Asked, tres: Mapping[str, int], charge: Charge, partition: Partition, context: Context
) -> tuple[list[str], list[str]]:
    """What is never allowed, and what is not as long as the user holds what the user holds."""
    never: list[str] = []
    waits: list[str] = []
    met: set[str] = set()

    def first(limit: str) -> bool:
        """Whether nobody before has set this limit."""
        new = limit not in met
        met.add(limit)
        return new

    for layer in _layers(charge, partition, context):
        of, who = layer.limits, layer.who
        if of.max_wall is not None and first("wall"):
            limit = wants.time_limit_s
            if wants.endless or (limit is not None and limit > of.max_wall * 60):
                most_time = clock(of.max_wall * 60)
                never.append(f"time: {who} allows at most {most_time}; ask for less")
        for kind, table in (("job", of.max_tres_per_job), ("all", of.grp_tres)):
            for name, most in table.items():
                want = tres.get(name, 0)
                if not first(f"{kind} {name}") or want <= most:
                    continue
                allows = f"{who} allows {_words(name, most)} for one job"
                if kind == "all":
                    allows = f"{who} has {_words(name, most)} for all its jobs"
                never.append(f"{_field(name)}: {_words(name, want)} wanted, {allows}")
        if isinstance(of, Qos):
            _held(layer, of, tres, context, first, never, waits)
    return never, waits


def _layers(charge: Charge, partition: Partition, context: Context) -> list[_Layer]:
    """Whose limits hold, in Slurm's order; none where one is not known that may come first."""
    if not enforces(context, "limits"):
        return []
    by_name = {low(q.name): q for q in context.qos}
    own, its = by_name.get(low(charge.qos)), by_name.get(low(partition.qos))
    if (partition.qos and its is None) or (own is not None and _shortens(own)):
        return []
    found: list[_Layer] = []
    if its is not None and its is not own:
        where = {p.name for p in context.partitions if low(p.qos) == low(partition.qos)}
        who = f"partition {inert(partition.name, 40)}"
        found.append(_Layer(who, its, lambda job: job.partition in where))
    if own is None:
        return [] if any("OverPartQOS" in q.flags for q in context.qos) else found
    found.append(_Layer(f"qos {inert(own.name, 40)}", own, lambda job: job.qos == own.name))
    if "OverPartQOS" in own.flags:
        found.reverse()
    if charge.place is not None:
        found.append(_Layer(f"account {inert(charge.place.account, 40)}", charge.place))
    return found


def _shortens(qos: Qos) -> bool:
    """Whether it counts a job's time as less than it is."""
    return "UsageFactorSafe" in qos.flags and (qos.usage_factor is None or qos.usage_factor < 1)


def _held(
    layer: _Layer, qos: Qos, tres: Mapping[str, int], context: Context,
    first: Callable[[str], bool], never: list[str], waits: list[str],
) -> None:  # fmt: skip
    """What a user may hold at once, less what the user holds now."""
    if not qos.max_tres_per_user and qos.max_jobs_per_user is None:
        return
    mine = [job for job in context.holding if layer.counts(job) and job.user == context.me]
    name = inert(qos.name, 40)
    for of, most in qos.max_tres_per_user.items():
        want, held = tres.get(of, 0), total(mine, of)
        if not first(f"user {of}"):
            continue
        if want > most:
            never.append(
                f"{_field(of)}: {_words(of, want)} wanted, qos {name} lets you hold"
                f" {_words(of, most)}; it would never start"
            )
        elif want and held is not None and held + want > most:
            bound = Bound(name, "user", of, most, tuple(mine))
            waits.append(
                f"{_field(of)}: you hold {_words(of, held)} of {_words(of, most)}"
                f" that qos {name} lets you have; it would wait"
                f"{_until(bound, held + want - most, context)}"
            )
    most_jobs = qos.max_jobs_per_user
    if most_jobs is not None and first("jobs") and len(mine) >= most_jobs:
        bound = Bound(name, "user", "jobs", most_jobs, tuple(mine))
        waits.append(
            f"qos: {name} lets you run {most_jobs} jobs at once, and you do;"
            f" it would wait{_until(bound, len(mine) + 1 - most_jobs, context)}"
        )


def _until(bound: Bound, over: int, context: Context) -> str:
    at, _jobs = freed(bound, over, context.now)
    return f" until {time.strftime('%H:%M', time.localtime(at))} at the latest" if at else ""


def _field(tres: str) -> str:
    words = {"cpu": "cpus", "mem": "memory", "node": "nodes", "gres/gpu": "gpus"}
    return words.get(tres, inert(tres, 40))


def _words(tres: str, count: int) -> str:
    return mib(count) if tres == "mem" else str(count)
