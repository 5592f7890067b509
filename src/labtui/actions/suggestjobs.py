"""What would let a waiting job of Slurm have a GPU of one machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from labtui.actions.nodes import is_drained
from labtui.actions.suggestion import (
    ELSEWHERE,
    FREE,
    LATER,
    NOW,
    OPEN,
    ORDER,
    Idle,
    Ranked,
    Suggestion,
    line,
    not_known,
)
from labtui.model import Job, Node
from labtui.shares.inputs import fresh, why
from labtui.slurm import values
from labtui.slurm.argv import cancel_argv, node_argv, scontrol_argv
from labtui.slurm.asked import asked
from labtui.slurm.fitting import Cluster, Verdict
from labtui.slurm.joblist import JobList
from labtui.slurm.types import Partition
from labtui.slurm.urgency import is_held
from labtui.slurm.usage import SHORT_QUEUE, Context
from labtui.slurm.waiting import explain_with
from labtui.slurm.whynot import why_not
from labtui.store import Store
from labtui.text import clock, inert

LOOKED_AT = 20
"""Waiting jobs that are judged, in the scheduler's order."""
TRIED, MANY_NODES = 3, 200
"""Of these, the first that are tried with less, and elsewhere; where there are more nodes, one:
each look at 1,000 nodes takes 0.1 s."""
SHARES = ("gpu", "shard", "mps")


def of_slurm(node: str, idle: Sequence[Idle], store: Store, now: float) -> Iterator[Ranked]:
    """What would let Slurm's waiting jobs through."""
    if store.feed("slurm.jobs") is None:
        return
    for feed in map(store.feed, ("slurm.jobs", "slurm.nodes")):
        if feed is not None and not fresh(feed, now):
            yield not_known("jobs", node, why(feed, "slurm"))
            return
    context = Context.of(store, now=now)
    here = [p for p in context.partitions if node in p.nodes]
    names = {p.name for p in here}
    waiting = [job for job in _waiting(context) if names & _partitions(job) and _wants(job)]
    waiting.sort(key=lambda job: (-(job.priority or 0), _number(job)))
    cluster = Cluster(context, store.value("slurm.allocations") or ())
    known = cluster.nodes.get(node)
    if waiting and known is None:
        yield LATER, Suggestion(f"{_named(waiting[0])} waits", "Slurm does not tell of this node")
    left = TRIED if len(context.nodes) <= MANY_NODES else 1
    first = True
    for job in waiting[:LOOKED_AT]:
        verdict = _judge(job, known, here, cluster)
        if verdict is None or verdict.never:
            continue
        if is_held(job):
            yield _release(job, verdict, context)
            continue
        if verdict.closed and known is not None and is_drained(known):
            yield _resume(job, known)
        elif verdict.fits:
            yield _let_in(job, waiting, context, first=first)
        else:
            if not verdict.closed:
                yield from _after_idle(job, idle, verdict)
            if first:
                yield _in_line(job, len(waiting), verdict)
        if left:
            left -= 1
            yield from _changed(job, context, store)
        first = False


def _waiting(context: Context) -> Sequence[Job]:
    if context.waiting is not None:
        return context.waiting
    queue = context.jobs
    if isinstance(queue, JobList):
        rows = (row for row in queue.rows if row.state == "PENDING")
        return [queue.job(row, keep=True) for row in islice(rows, SHORT_QUEUE)]
    return [job for job in queue if job.state == "PENDING"][:SHORT_QUEUE]


def _wants(job: Job) -> bool:
    return any(name in SHARES for name, *_ in values.gres(job.gres or ""))


def _partitions(job: Job) -> set[str]:
    return set((job.partition or "").split(","))


def _number(job: Job) -> int:
    return values.whole(job.job_id.partition("_")[0].partition("+")[0]) or 0


def _named(job: Job) -> str:
    whose = f" of {inert(job.user, 40)}" if job.user else ""
    return f"job {inert(job.job_id, 40)} {inert(job.name, 40)}{whose}"


def _judge(
    job: Job, node: Node | None, here: Sequence[Partition], cluster: Cluster
) -> Verdict | None:
    if node is None:
        return None
    wants = asked(job, {})
    mine = [p for p in here if p.name in _partitions(job)]
    return cluster.verdict(wants, mine[0], node) if mine else None


def _lacks(verdict: Verdict) -> str:
    return "; ".join(verdict.lacks) or "whether it fits cannot be told"


def _in_line(job: Job, count: int, verdict: Verdict) -> Ranked:
    others = f" of {count}" if count > 1 else ""
    return LATER, Suggestion(f"{_named(job)} is first{others} in line", _lacks(verdict))


def _release(job: Job, verdict: Verdict, context: Context) -> Ranked:
    why = explain_with(job, context).text
    room = f"{verdict.node} has room for it now" if verdict.fits else _lacks(verdict)
    return (
        NOW if verdict.fits else ELSEWHERE,
        Suggestion(
            f"Release {_named(job)}", f"{why}; {room}",
            line(scontrol_argv("release", [job.job_id])), "queue.release", (job,),
        ),
    )  # fmt: skip


def _resume(job: Job, node: Node) -> Ranked:
    name = inert(node.name, 60)
    reason = f": {inert(node.slurm_reason, 120)}" if node.slurm_reason else ""
    return OPEN, Suggestion(
        f"Resume {name}", f"it is drained{reason}; {_named(job)} waits and could run there",
        line(node_argv(node.name, "resume")), "nodes.resume", (node,),
    )  # fmt: skip


def _let_in(job: Job, waiting: Sequence[Job], context: Context, *, first: bool) -> Ranked:
    """A job that the machine has room for."""
    explained = explain_with(job, context)
    code = (job.reason or "None").partition(",")[0]
    room = "there is room for it now"
    if code not in ("None", "Priority", "Resources"):
        return LATER, Suggestion(f"{_named(job)} waits for something else",
                                  f"{explained.text}; {room}", explained.advice)  # fmt: skip
    ahead = [
        other for other in waiting
        if (other.priority or 0) > (job.priority or 0) and _partitions(other) & _partitions(job)
    ]  # fmt: skip
    if first or not ahead:
        until = explained.until
        soon = "Slurm starts it in its next round" if until is None else explained.text
        return LATER, Suggestion(f"{_named(job)} comes first and fits", f"{room}: {soon}")
    others = f"{len(ahead)} with a higher priority wait for more than is free"
    if {other.user for other in ahead} == {job.user}:
        argv = scontrol_argv("top", [job.job_id])
        return ORDER, Suggestion(
            f"Put {_named(job)} first", f"{room}; {others}, all of the same user",
            line(argv), "queue.top", (job,),
        )  # fmt: skip
    priority = str(max(other.priority or 0 for other in ahead) + 1)
    return ORDER, _modify(
        job, {"priority": priority}, f"Raise the priority of {_named(job)}",
        f"{room}; {others}; operators only",
    )  # fmt: skip


def _modify(job: Job, changes: Mapping[str, str], words: str, why: str) -> Suggestion:
    key = {"priority": "Priority", "partition": "Partition", "time_limit": "TimeLimit"}
    sets = [f"{key[name]}={value}" for name, value in changes.items()]
    return Suggestion(
        words, why, line(["scontrol", "update", f"JobId={job.job_id}", *sets]),
        "queue.modify", (job,), changes=changes,
    )  # fmt: skip


def _changed(job: Job, context: Context, store: Store) -> Iterator[Ranked]:
    """Another partition or a shorter time limit, where one of them would do."""
    told = why_not(job, context, store.value("slurm.allocations") or ())
    for help in told.helps:
        option, _, why = help.partition(": ")
        name, _, value = option.partition("=")
        value = value.removesuffix(" or less")
        if name == "--partition":
            yield (
                ELSEWHERE,
                _modify(job, {"partition": value}, f"Move {_named(job)} to {value}", why),
            )
        elif name == "--time":
            yield (
                ORDER,
                _modify(job, {"time_limit": value}, f"Give {_named(job)} {value} at most", why),
            )
    most = [p.max_time for p in context.partitions_of(job)]
    if (job.reason or "").startswith("PartitionTimeLimit") and most and None not in most:
        allowed = clock(max(m for m in most if m is not None) * 60)
        yield ELSEWHERE, _modify(
            job, {"time_limit": allowed}, f"Give {_named(job)} {allowed} at most",
            f"{inert(job.partition, 40)} allows no more: as it is, it never starts",
        )  # fmt: skip


def _after_idle(job: Job, idle: Sequence[Idle], verdict: Verdict) -> Iterator[Ranked]:
    for row, held, said in idle:
        if held.kind == "job":
            yield FREE, Suggestion(
                f"Cancel job {inert(held.id, 40)} {inert(held.name or '', 40)}".rstrip(),
                f"{said}; {_named(job)} waits: {_lacks(verdict)}",
                line(cancel_argv([held.id])[0]), "gpus.cancel", (row,),
            )  # fmt: skip
