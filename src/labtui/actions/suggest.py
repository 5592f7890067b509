"""What would let a waiting job or pod have a GPU of one machine: suggestions, the best first. Pure.

A suggestion changes nothing: choosing it opens the ordinary plan of an action. What Slurm and
Kubernetes wait for is judged apart, as each of them does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any

from labtui.actions.nodes import is_drained
from labtui.actions.queue import is_held
from labtui.config import Config
from labtui.model import Gpu, Holder, Job, KubeGpus, KubeNode, Node, Pod
from labtui.shares.cards import items
from labtui.slurm import values
from labtui.slurm.argv import cancel_argv, node_argv, scontrol_argv
from labtui.slurm.asked import asked
from labtui.slurm.fitting import Cluster, Verdict
from labtui.slurm.joblist import JobList
from labtui.slurm.types import Partition
from labtui.slurm.usage import SHORT_QUEUE, Context
from labtui.slurm.waiting import explain_with
from labtui.slurm.whynot import why_not
from labtui.store import Store
from labtui.text import clock, inert, mib
from labtui.views.gpus import GpuRow

LOOKED_AT = 20
"""Waiting jobs that are judged, in the scheduler's order."""
TRIED, MANY_NODES = 3, 200
"""Of these, the first that are tried with less, and elsewhere; where there are more nodes, one:
each look at 1,000 nodes takes 0.1 s."""
SHARES = ("gpu", "shard", "mps")
UNSHARED = ("mig", "mps")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """All texts are inert."""

    words: str
    """`Release job 1431 eval of ana`."""
    why: str
    command: str = ""
    """What would be sent, to read or to copy; empty where there is nothing to do."""
    action: str = ""
    """For `Session.action(action, items, answer, changes)`; empty: only to be read."""
    items: tuple[Any, ...] = ()
    answer: str = ""
    changes: Mapping[str, str] | None = None


def suggestions(where: Gpu | str, store: Store, config: Config, now: float) -> list[Suggestion]:
    """For a card, or for all of a machine's by its name. Never empty."""
    if isinstance(where, Gpu):
        node, cards = where.node, [where]
    else:
        node, cards = where, [g for g in items(store, config, now) if g.node == where]
    ranked = [*_of_slurm(node, cards, store, now), *_of_pods(node, cards, store)]
    found = [one for _, one in sorted(ranked, key=lambda pair: pair[0])]
    told: dict[tuple[str, str], Suggestion] = {}
    for one in found:
        told.setdefault((one.words, one.command), one)
    if told:
        return list(told.values())
    name = inert(node, 60)
    sources = [f for f in ("slurm.jobs", "k8s.gpus") if store.feed(f) is not None]
    silent = [f for f in sources if store.value(f) is None]
    if silent or not sources:
        why = f"{silent[0]}: no answer yet" if silent else "neither Slurm nor Kubernetes is asked"
        return [Suggestion(f"it is not known what waits for a GPU of {name}", why)]
    return [Suggestion(f"nothing waits for a GPU of {name}", "nobody is in line for it")]


def _line(argv: Sequence[str]) -> str:
    return inert(shlex.join(argv), 300)


_Ranked = tuple[int, Suggestion]
_NOW, _OPEN, _FREE, _ORDER, _ELSEWHERE, _LATER = range(6)
"""What works at once and costs nobody; what gives a machine back; what ends somebody idle; what
changes the order; what changes the job; what only tells."""


# -- Slurm ---------------------------------------------------------------------------------


def _of_slurm(node: str, cards: Sequence[Gpu], store: Store, now: float) -> Iterator[_Ranked]:
    context = Context.of(store, now=now)
    here = [p for p in context.partitions if node in p.nodes]
    names = {p.name for p in here}
    waiting = [job for job in _waiting(context) if _wants(job) and names & _partitions(job)]
    waiting.sort(key=lambda job: (-(job.priority or 0), _number(job)))
    cluster = Cluster(context, store.value("slurm.allocations") or ())
    known = cluster.nodes.get(node)
    if waiting and known is None:
        yield _LATER, Suggestion(f"{_named(waiting[0])} waits", "Slurm does not tell of this node")
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
            yield from _after_idle(job, cards, verdict)
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
        return [queue.look(row) for row in islice(rows, SHORT_QUEUE)]
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


def _in_line(job: Job, count: int, verdict: Verdict) -> _Ranked:
    others = f" of {count}" if count > 1 else ""
    return _LATER, Suggestion(f"{_named(job)} is first{others} in line", _lacks(verdict))


def _release(job: Job, verdict: Verdict, context: Context) -> _Ranked:
    why = explain_with(job, context).text
    room = f"{verdict.node} has room for it now" if verdict.fits else _lacks(verdict)
    return (
        _NOW if verdict.fits else _ELSEWHERE,
        Suggestion(
            f"Release {_named(job)}", f"{why}; {room}",
            _line(scontrol_argv("release", [job.job_id])), "queue.release", (job,),
        ),
    )  # fmt: skip


def _resume(job: Job, node: Node) -> _Ranked:
    name = inert(node.name, 60)
    reason = f": {inert(node.slurm_reason, 120)}" if node.slurm_reason else ""
    return _OPEN, Suggestion(
        f"Resume {name}", f"it is drained{reason}; {_named(job)} waits and could run there",
        _line(node_argv(node.name, "resume")), "nodes.resume", (node,),
    )  # fmt: skip


def _let_in(job: Job, waiting: Sequence[Job], context: Context, *, first: bool) -> _Ranked:
    """A job that the machine has room for."""
    explained = explain_with(job, context)
    code = (job.reason or "None").partition(",")[0]
    room = "there is room for it now"
    if code not in ("None", "Priority", "Resources"):
        return _LATER, Suggestion(f"{_named(job)} waits for something else",
                                  f"{explained.text}; {room}", explained.advice)  # fmt: skip
    ahead = [
        other for other in waiting
        if (other.priority or 0) > (job.priority or 0) and _partitions(other) & _partitions(job)
    ]  # fmt: skip
    if first or not ahead:
        until = explained.until
        soon = "Slurm starts it in its next round" if until is None else explained.text
        return _LATER, Suggestion(f"{_named(job)} comes first and fits", f"{room}: {soon}")
    others = f"{len(ahead)} with a higher priority wait for more than is free"
    if {other.user for other in ahead} == {job.user}:
        argv = scontrol_argv("top", [job.job_id])
        return _ORDER, Suggestion(
            f"Put {_named(job)} first", f"{room}; {others}, all of the same user",
            _line(argv), "queue.top", (job,),
        )  # fmt: skip
    priority = str(max(other.priority or 0 for other in ahead) + 1)
    return _ORDER, _modify(
        job, {"priority": priority}, f"Raise the priority of {_named(job)}",
        f"{room}; {others}; operators only",
    )  # fmt: skip


def _modify(job: Job, changes: Mapping[str, str], words: str, why: str) -> Suggestion:
    key = {"priority": "Priority", "partition": "Partition", "time_limit": "TimeLimit"}
    sets = [f"{key[name]}={value}" for name, value in changes.items()]
    return Suggestion(
        words, why, _line(["scontrol", "update", f"JobId={job.job_id}", *sets]),
        "queue.modify", (job,), changes=changes,
    )  # fmt: skip


def _changed(job: Job, context: Context, store: Store) -> Iterator[_Ranked]:
    """Another partition or a shorter time limit, where one of them would do."""
    told = why_not(job, context, store.value("slurm.allocations") or ())
    for help in told.helps:
        option, _, why = help.partition(": ")
        name, _, value = option.partition("=")
        value = value.removesuffix(" or less")
        if name == "--partition":
            yield (
                _ELSEWHERE,
                _modify(job, {"partition": value}, f"Move {_named(job)} to {value}", why),
            )
        elif name == "--time":
            yield (
                _ORDER,
                _modify(job, {"time_limit": value}, f"Give {_named(job)} {value} at most", why),
            )
    most = [p.max_time for p in context.partitions_of(job)]
    if (job.reason or "").startswith("PartitionTimeLimit") and most and None not in most:
        allowed = clock(max(m for m in most if m is not None) * 60)
        yield _ELSEWHERE, _modify(
            job, {"time_limit": allowed}, f"Give {_named(job)} {allowed} at most",
            f"{inert(job.partition, 40)} allows no more: as it is, it never starts",
        )  # fmt: skip


def _after_idle(job: Job, cards: Sequence[Gpu], verdict: Verdict) -> Iterator[_Ranked]:
    for row, held, said in _idle(cards, "job"):
        yield _FREE, Suggestion(
            f"Cancel job {inert(held.id, 40)} {inert(held.name or '', 40)}".rstrip(),
            f"{said}; {_named(job)} waits: {_lacks(verdict)}",
            _line(cancel_argv([held.id])[0]), "gpus.cancel", (row,),
        )  # fmt: skip


def _idle(cards: Sequence[Gpu], kind: str) -> Iterator[tuple[GpuRow, Holder, str]]:
    """Those who hold a slice and do nothing with it, and what tells so."""
    for card in cards:
        said = {f.holder: f.text for f in card.findings if f.kind == "idle-slice"}
        for held in card.holders:
            if held.kind == kind and held.id in said:
                number = held.indexes[0] + 1 if held.indexes else 1
                row = GpuRow(node=card.node, index=card.index, gpu=card, slice=number, holder=held)
                yield row, held, inert(said[held.id], 200)


# -- Kubernetes ----------------------------------------------------------------------------


def _of_pods(node: str, cards: Sequence[Gpu], store: Store) -> Iterator[_Ranked]:
    told = store.value("k8s.gpus")
    if not isinstance(told, KubeGpus):
        return
    here = next((n for n in told.nodes if node in (n.node, n.name)), None)
    if "pods" in told.denied:
        yield _LATER, Suggestion("which pods wait is not known", inert(told.denied["pods"], 200))
        return
    pending = [p for p in told.pods if p.phase == "Pending" and p.node is None and p.slices]
    pending.sort(key=lambda p: (-(p.priority or 0), p.created or 0.0))
    if here is None or not pending:
        return
    pod = pending[0]
    why = inert(pod.reason_text or pod.reason or "Kubernetes does not say why", 200)
    if here.unschedulable:
        argv = ["kubectl", "uncordon", here.name]
        yield _OPEN, Suggestion(
            f"Let Kubernetes use {inert(node, 60)} again", f"it is cordoned; {_pod(pod)} waits",
            _line(argv),
        )  # fmt: skip
        return
    free = _free(here, told)
    if free is None or free < pod.slices:
        yield _LATER, Suggestion(f"{_pod(pod)} is first of {len(pending)} in line", why)
    if free is None:
        return
    if free >= pod.slices:
        yield _LATER, Suggestion(f"{_pod(pod)} waits for something else",
                                 f"{free} slices are free here; {why}")  # fmt: skip
        return
    for row, held, said in _idle(cards, "pod"):
        namespace, _, name = held.id.partition("/")
        argv = ["kubectl", "delete", "pod", "-n", namespace, name]
        yield _FREE, Suggestion(f"Delete pod {inert(held.id, 80)}", f"{said}; {_pod(pod)} waits",
                                _line(argv), "gpus.cancel", (row,))  # fmt: skip
    yield from _move(pod, here, free, told)
    yield from _slice_more(pod, here, free, cards)


def _pod(pod: Pod) -> str:
    return f"pod {inert(f'{pod.namespace}/{pod.name}', 80)}"


def _free(node: KubeNode, told: KubeGpus) -> int | None:
    if node.slices is None:
        return None
    return node.slices - sum(p.slices for p in told.pods if p.node in (node.node, node.name))


def _move(pod: Pod, here: KubeNode, free: int, told: KubeGpus) -> Iterator[_Ranked]:
    """One that is made anew when it is deleted, and that another node has room for."""
    room = {
        n.node: count for n in told.nodes
        if n is not here and n.ready and not n.unschedulable and (count := _free(n, told))
    }  # fmt: skip
    for held in told.pods:
        there = next((name for name, count in room.items() if count >= held.slices), None)
        if (
            held.node not in (here.node, here.name) or held.owner is None or there is None
            or held.slices + free < pod.slices
        ):  # fmt: skip
            continue
        argv = ["kubectl", "delete", "pod", "-n", held.namespace, held.name]
        yield _ELSEWHERE, Suggestion(
            f"Move {_pod(held)} away",
            f"{inert(held.owner, 60)} makes it anew and {inert(there, 60)} has room, though "
            f"Kubernetes chooses; {_pod(pod)} waits",
            _line(argv), "pods.cancel", (held,),
        )  # fmt: skip
        return


def _slice_more(pod: Pod, here: KubeNode, free: int, cards: Sequence[Gpu]) -> Iterator[_Ranked]:
    count = here.cards or 1
    card = next((c for c in cards if c.index is not None), None)
    if card is None or here.mig or (here.sharing or card.sharing) in UNSHARED:
        return
    each = (here.slices or 0) // count + ceil((pod.slices - free) / count)
    memory = "slices do not split memory"
    if card.memory_used_mib is not None and card.memory_total_mib:
        memory += f": {mib(card.memory_used_mib)} of {mib(card.memory_total_mib)} are used"
    row = GpuRow(node=card.node, index=card.index, gpu=card)
    held = f"{(here.slices or 0) - free} of {here.slices} slices are held"
    yield _ORDER, Suggestion(
        f"Cut {inert(here.node, 60)}'s cards into {each} slices",
        f"{held}, {_pod(pod)} asks {pod.slices}; {memory}",
        _line(["labtui", "gpu", "slices", here.node, str(each)]),
        "gpus.slices", (row,), answer=str(each),
    )  # fmt: skip
