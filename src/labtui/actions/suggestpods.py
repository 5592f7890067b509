"""What would let a waiting pod have a GPU of one machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from labtui.actions.slicing import MOST
from labtui.actions.suggestion import (
    ELSEWHERE,
    FREE,
    LATER,
    OPEN,
    ORDER,
    Idle,
    Ranked,
    Suggestion,
    line,
    not_known,
)
from labtui.model import Gpu, KubeGpus, KubeNode, Pod
from labtui.shares.inputs import fresh, why
from labtui.shares.place import is_counted
from labtui.sources.kubereasons import causes
from labtui.store import Store
from labtui.text import inert, mib
from labtui.views.gpus import GpuRow

SLICES = "slices"
"""What a pod asks that asks for no MIG profile."""


def of_pods(
    node: str, cards: Sequence[Gpu], idle: Sequence[Idle], store: Store, now: float
) -> Iterator[Ranked]:
    """What would let Kubernetes' waiting pods through. `cards`: all of the node's."""
    feed, told = store.feed("k8s.gpus"), store.value("k8s.gpus")
    if feed is None:
        return
    if not isinstance(told, KubeGpus) or not fresh(feed, now):
        yield not_known("pods", node, why(feed, "kubernetes"))
        return
    for part in ("pods", "nodes"):
        if part in told.denied:
            yield LATER, Suggestion("which pods wait is not known", inert(told.denied[part], 200))
            return
    here = next((n for n in told.nodes if node in (n.node, n.name)), None)
    if here is None:
        return
    pending = [p for p in told.pods if p.phase == "Pending" and p.node is None and _may(p, here)]
    if not pending:
        return
    pod = min(pending, key=lambda p: (-(p.priority or 0), p.created or 0.0))
    reason = inert(pod.reason_text or pod.reason or "Kubernetes does not say why", 200)
    first = Suggestion(f"{_pod(pod)} is first of {len(pending)} in line", reason)
    if here.unschedulable:
        if pod.reason is not None and "unschedulable" not in pod.reason:
            yield LATER, first
            return
        yield OPEN, Suggestion(
            f"Let Kubernetes use {inert(node, 60)} again", f"it is cordoned; {_pod(pod)} waits",
            line(["kubectl", "uncordon", here.name]),
        )  # fmt: skip
        return
    free = {what: _free(here, told, what) for what in _asks(pod)}
    known = {what: count for what, count in free.items() if count is not None}
    if len(known) < len(free):
        yield LATER, first
    elif all(known[what] >= count for what, count in _asks(pod).items()):
        there = " and ".join(f"{count} {inert(what, 40)}" for what, count in known.items())
        yield LATER, Suggestion(f"{_pod(pod)} waits for something else",
                                f"{there} are free here; {reason}")  # fmt: skip
    elif (short := _only_short(pod)) is None:
        unsure = f"{reason}; which of these keeps it from {inert(node, 60)} is not known"
        yield LATER, Suggestion(first.words, unsure)
    else:
        yield LATER, first
        if short:
            yield from _freed(pod, here, known, cards, idle, told)


def _pod(pod: Pod) -> str:
    return f"pod {inert(f'{pod.namespace}/{pod.name}', 80)}"


def _asks(pod: Pod) -> dict[str, int]:
    return ({SLICES: pod.slices} if pod.slices else {}) | pod.mig


def _may(pod: Pod, node: KubeNode) -> bool:
    """The node has of what it asks, or gives nothing at all now: then nobody can tell."""
    has = {SLICES} if node.slices or node.capacity else set()
    has |= node.mig.keys()
    asks = _asks(pod)
    return bool(asks) and (not has or has >= asks.keys())


def _free(node: KubeNode, told: KubeGpus, what: str = SLICES) -> int | None:
    given = node.slices if what == SLICES else node.mig.get(what)
    if given is None:
        return None
    there = (p for p in told.pods if p.node in (node.node, node.name))
    return given - sum(_asks(p).get(what, 0) for p in there)


def _only_short(pod: Pod) -> bool | None:
    """It waits for GPUs and for nothing else; None: the scheduler has several reasons, for several
    nodes, and does not say which is whose."""
    told = causes(pod.reason or "")
    short = ["Insufficient nvidia.com/" in cause for _, cause in told]
    if not any(short):
        return False
    if all(short):
        return True
    return False if (pod.reason or "").startswith("0/1 ") else None


def _freed(
    pod: Pod, here: KubeNode, free: dict[str, int], cards: Sequence[Gpu], idle: Sequence[Idle],
    told: KubeGpus,
) -> Iterator[Ranked]:  # fmt: skip
    for row, held, said in idle:
        if held.kind == "pod" and (held.share or SLICES) in free:
            namespace, _, name = held.id.partition("/")
            argv = ["kubectl", "delete", "pod", "-n", namespace, name]
            yield FREE, Suggestion(f"Delete pod {inert(held.id, 80)}", f"{said}; {_pod(pod)} waits",
                                   line(argv), "gpus.cancel", (row,))  # fmt: skip
    if not pod.mig:
        yield from _move(pod, here, free[SLICES], told)
        yield from _slice_more(pod, here, free[SLICES], cards)


def _move(pod: Pod, here: KubeNode, free: int, told: KubeGpus) -> Iterator[Ranked]:
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
        yield ELSEWHERE, Suggestion(
            f"Move {_pod(held)} away",
            f"{inert(held.owner, 60)} makes it anew and {inert(there, 60)} has room, though "
            f"Kubernetes chooses; {_pod(pod)} waits",
            line(argv), "pods.cancel", (held,),
        )  # fmt: skip
        return


def _slice_more(pod: Pod, here: KubeNode, free: int, cards: Sequence[Gpu]) -> Iterator[Ranked]:
    count = here.cards or 1
    card = next((c for c in cards if c.index is not None and is_counted(c)), None)
    if card is None or here.sharing == "mps" or here.mig or card.mig or card.sharing == "mig":
        return
    if any(f.kind == "overbooked" for c in cards for f in c.findings):
        return  # more is given away already than the cards have
    now = here.replicas or (here.slices or 0) // count
    if now * count > (here.slices or 0):  # a card gives nothing: it would not give more
        return
    pods = (here.slices or 0) - free
    jobs = sum(c.booked.get("slurm", 0) for c in cards)
    each = ceil((pods + jobs + pod.slices) / count)
    if each > MOST:
        return
    memory = "slices do not split memory"
    if card.memory_used_mib is not None and card.memory_total_mib:
        memory += f": {mib(card.memory_used_mib)} of {mib(card.memory_total_mib)} are used"
    row = GpuRow(node=card.node, index=card.index, gpu=card)
    held = f"{pods} of {here.slices} slices are held"
    if jobs:
        held += f", {jobs} more by Slurm"
    if unknown := next((c.na["holders"] for c in cards if "holders" in c.na), ""):
        held += f", as far as is known ({inert(unknown, 100)})"
    yield ORDER, Suggestion(
        f"Cut {inert(here.node, 60)}'s cards into {each} slices",
        f"{held}, {_pod(pod)} asks {pod.slices}; {memory}",
        line(["labtui", "gpu", "slices", here.node, str(each)]),
        "gpus.slices", (row,), answer=str(each),
    )  # fmt: skip
