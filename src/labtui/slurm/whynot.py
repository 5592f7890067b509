"""Why a job does not start: the one-line answer, node by node, and what would help. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from labtui.model import Job, Node
from labtui.slurm.asked import Asked, asked
from labtui.slurm.explained import when
from labtui.slurm.fitting import Cluster, Verdict, free_of, together, wanted_words
from labtui.slurm.never import Charge, shut
from labtui.slurm.reasons import limit_code, several
from labtui.slurm.types import Allocation, Partition
from labtui.slurm.urgency import has_held
from labtui.slurm.usage import Context
from labtui.slurm.waiting import explain_with, takes_jobs
from labtui.text import clock, inert

OWN = frozenset({
    "Dependency", "DependencyNeverSatisfied", "BeginTime", "JobArrayTaskLimit", "Reservation",
    "ReservationDeleted", "Licenses", "DeadLine", "InvalidAccount", "InvalidQOS",
    "AccountNotAllowed", "QOSNotAllowed",
})  # fmt: skip
"""Reasons that keep a job back whatever the nodes have, beside a hold."""
HELPS = 4


class WhyNot(msgspec.Struct, frozen=True):
    """All texts are inert."""

    job_id: str
    conclusion: str
    advice: str
    gates: tuple[str, ...]
    """What keeps it from every node of a partition."""
    nodes: tuple[Verdict, ...]
    helps: tuple[str, ...]
    start_time: float | None
    """The scheduler's own estimate, Unix seconds."""
    wanted: str
    never: bool
    """It does not start as it is, however long it waits."""


def why_not(job: Job, context: Context, allocations: Sequence[Allocation] = ()) -> WhyNot:
    """Of a pending job. `context.record` is its `scontrol show job`, as far as it was asked."""
    wants = asked(job, context.record)
    plain = explain_with(job, context)
    partitions = context.partitions_of(job)
    gates = {p.name: _gates(job, wants, p, context) for p in partitions}
    open_ones = [p for p in partitions if not gates[p.name]]
    cluster = Cluster(context, allocations)
    verdicts = [v for p in partitions for v in cluster.judge(wants, p)]
    own = _own(job)
    said = [f"{inert(name, 40)}: {words}" for name, found in gates.items() for words in found]
    names = (job.partition or "").split(",")
    unknown = [name for name in names if name and name not in gates]
    if unknown and context.partitions:
        said.append(f"there is no partition {inert(unknown[0], 40)} (any more)")
    inside = [v for v in verdicts if v.partition in {p.name for p in open_ones}]
    if own:
        conclusion = plain.text or plain.short
    elif said and not open_ones:
        conclusion = said[0]
    else:
        conclusion = _by_nodes(job, wants, inside, plain.text, context.now)
    start = job.start_time if job.start_time and job.start_time > context.now else None
    return WhyNot(
        job_id=inert(job.job_id, 60),
        conclusion=conclusion,
        advice=plain.advice,
        gates=tuple(said),
        nodes=tuple(sorted(verdicts, key=_order)),
        helps=() if own else _helps(job, wants, inside, context, cluster),
        start_time=start,
        wanted=wanted_words(wants),
        never=plain.never,
    )


def _own(job: Job) -> bool:
    codes = [code.partition(",")[0].strip() for code in several(job.reason or "")]
    return any(code in OWN or limit_code(code) is not None for code in codes) or has_held(job)


def _order(verdict: Verdict) -> tuple[object, ...]:
    """What fits, what will, what might, what cannot."""
    rank = 0 if verdict.fits else 4 if verdict.never else 3 if verdict.closed else 2
    return rank, verdict.frees_at or float("inf"), len(verdict.lacks), verdict.node


# -- partitions ----------------------------------------------------------------------------


def _gates(job: Job, wants: Asked, partition: Partition, context: Context) -> list[str]:
    found: list[str] = []
    if partition.state != "UP":
        found.append(f"it is {inert(partition.state, 20).lower()}: nothing starts there")
    charge = Charge(job.user, job.account, job.qos)
    return found + [no.of_partition for no in shut(wants, charge, partition, context)]


# -- conclusions ---------------------------------------------------------------------------


def enough(wants: Asked, verdicts: Sequence[Verdict], nodes: Mapping[str, Node]) -> list[Verdict]:
    """The nodes that fit, where they are as many as it wants; else none."""
    fitting = list({v.node: v for v in verdicts if v.fits}.values())
    if len(fitting) < max(wants.nodes, len(wants.only)):
        return []
    if wants.spreads:
        known = [nodes[v.node] for v in fitting if v.node in nodes]
        free = sum(max(0, (n.cpus_total or 0) - (n.cpus_alloc or 0)) for n in known)
        if free < wants.total_cpus or any(
            sum(free_of(n, name, kind) for n in known) < count
            for name, kind, count in wants.total_gres
        ):
            return []
    return fitting


def _by_nodes(job: Job, wants: Asked, verdicts: Sequence[Verdict], reason: str, now: float) -> str:
    if not verdicts:
        return reason or "nothing is known of the nodes of its partition"
    where = inert(job.partition or "its partition", 60)
    possible = list({v.node: v for v in verdicts if not v.never}.values())
    if len(possible) < wants.nodes:
        if wants.nodes > 1 and possible:
            return (
                f"it can never start as it is: {wants.nodes} nodes wanted,"
                f" {len(possible)} of {where} could ever take part"
            )
        nearest = min(verdicts, key=lambda v: (len(v.lacks), v.node))
        return f"no node of {where} can ever run it: {nearest.node}: {'; '.join(nearest.lacks)}"
    fitting = [v.node for v in possible if v.fits]
    if len(fitting) >= wants.nodes and not wants.spreads:
        names = ", ".join(fitting[:3]) + (", ..." if len(fitting) > 3 else "")
        code = (job.reason or "None").partition(",")[0]
        if code == "Priority":
            return f"it would fit now on {names}, but {reason or 'others come first'}"
        return f"it would fit now on {names}: {reason or 'the scheduler has not come to it yet'}"
    opened = [v for v in possible if not v.closed]
    if len(opened) < wants.nodes:
        first = next(v for v in possible if v.closed)
        return f"too few nodes of {where} take jobs now: {first.node}: {'; '.join(first.lacks)}"
    waits = sorted((v for v in opened if not v.fits and v.frees_at), key=attrgetter("frees_at"))
    missing = wants.nodes - len(fitting)
    if 0 < missing <= len(waits):
        last = waits[missing - 1]
        ends = ", ".join(inert(i, 40) for i in last.by[:3])
        more = " and others" if len(last.by) > 3 else ""
        verb = "ends" if len(last.by) == 1 else "end"
        till = when(last.frees_at or now, now)
        return (
            f"{last.node} has too little free: {last.lacks[0]};"
            f" enough when {ends}{more} {verb}, ~{till} at the latest"
        )
    first = next((v for v in opened if v.lacks), opened[0])
    lack = first.lacks[0] if first.lacks else f"{together(wants)} wanted on all together"
    return f"{first.node} has too little free: {lack}"


def _helps(
    job: Job, wants: Asked, inside: Sequence[Verdict], context: Context, cluster: Cluster
) -> tuple[str, ...]:
    """What would let it start now, each tried out on the nodes as they are."""
    mine = context.partitions_of(job)
    now_here = enough(wants, inside, cluster.nodes)
    found: list[str] = []
    if not now_here:
        for fewer, words in _smaller(wants, mine, cluster):
            open_ones = [p for p in mine if not _gates(job, fewer, p, context)]
            fits = enough(fewer, [v for p in open_ones for v in cluster.judge(fewer, p)],
                          cluster.nodes)  # fmt: skip
            if fits and not (found and " --" in words):
                found.append(f"{words}: {fits[0].node} has that free now")
        for partition in context.partitions:
            if partition in mine or _gates(job, wants, partition, context):
                continue
            fits = enough(wants, cluster.judge(wants, partition), cluster.nodes)
            if fits:
                name = inert(partition.name, 40)
                found.append(f"--partition={name}: it would fit on {fits[0].node} now")
    elif (less := _shorter(job, wants, context)) is not None:
        found.append(less)
    return tuple(found[:HELPS])


def _smaller(
    wants: Asked, partitions: Sequence[Partition], cluster: Cluster
) -> Iterable[tuple[Asked, str]]:
    """The same with less of one thing, then of all: as much as the node with most of it has."""
    names = {name for p in partitions for name in p.nodes}
    nodes = [cluster.nodes[n] for n in sorted(names) if n in cluster.nodes]
    nodes = [n for n in nodes if takes_jobs(n.slurm_state)]
    less: list[tuple[Callable[[Asked], Asked], str]] = []
    gpus = [g for g in wants.gres if g[0] == "gpu"]
    if len(gpus) == 1:
        _, kind, count = gpus[0]
        free = [free_of(n, "gpu", kind) for n in nodes]
        if 0 < (cards := max(free, default=0)) < count:
            sort = f"{inert(kind, 40)}:" if kind else ""
            less.append((lambda asked: asked.with_gpus(cards), f"--gres=gpu:{sort}{cards}"))
    cpus = max(((n.cpus_total or 0) - (n.cpus_alloc or 0) for n in nodes), default=0)
    if 0 < cpus < wants.cpus:
        word = "--cpus-per-task" if wants.nodes == 1 else "--mincpus"
        fewer_cpus = partial(replace, cpus=cpus, total_cpus=cpus)
        less.append((fewer_cpus, f"{word}={cpus}"))
    rooms = [(n.memory_total_mib or 0) - (n.memory_alloc_mib or 0) for n in nodes]
    if wants.memory_mib is not None and 0 < (room := max(rooms, default=0)) < wants.memory_mib:
        less.append((partial(replace, memory_mib=room), f"--mem={room}M"))
    yield from ((change(wants), words) for change, words in less)
    if len(less) > 1:
        every = wants
        for change, _ in less:
            every = change(every)
        yield every, " ".join(words for _, words in less)


def _shorter(job: Job, wants: Asked, context: Context) -> str | None:
    """A time limit with which it would be over before those that come first are due."""
    if context.waiting is None or job.priority is None:
        return None
    here = set((job.partition or "").split(","))
    due = [
        (other.start_time, other.job_id)
        for other in context.waiting
        if other.job_id != job.job_id
        and (other.priority or 0) > job.priority
        and other.start_time
        and other.start_time > context.now + 120
        and here & set((other.partition or "").split(","))
    ]
    if not due:
        return None
    start, first = min(due)
    gap = int(start - context.now) // 60 * 60
    if gap < 60 or (wants.time_limit_s is not None and wants.time_limit_s <= gap):
        return None
    return f"--time={clock(gap)} or less: it could end before {inert(first, 40)} is due (backfill)"
