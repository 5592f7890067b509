"""Pods that ask for a GPU: where they run, or why they wait."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import msgspec

from labtui.config import Config
from labtui.model import KubeGpus, KubeNode, Pod
from labtui.shares import cards
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import age, inert

_COMES_BACK: dict[str, str] = {
    "Node": "its node's kubelet makes it anew at once: it is a static pod",
    "Job": "{owner} makes it anew, unless the Job is over or has failed too often",
}


def rows(store: Store, config: Config, now: float) -> list[Pod]:
    """Each pod that asks for a GPU, with the cards that it is known to be on."""
    told = store.value("k8s.gpus")
    if not isinstance(told, KubeGpus):
        return []
    placed: dict[str, list[str]] = {}
    for gpu in cards.items(store, config, now) if told.pods else ():
        for holder in gpu.holders:
            if holder.kind == "pod" and gpu.index is not None and cards.is_counted(gpu):
                placed.setdefault(holder.id, []).append(f"{gpu.node}:{gpu.index}")
    return [
        msgspec.structs.replace(pod, cards=tuple(placed.get(key(pod), ()))) for pod in told.pods
    ]


def key(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"


def _starts(pod: Pod) -> bool:
    """It has its machine, and nothing has gone wrong."""
    reason = (pod.reason or "").partition(":")[0]
    return pod.node is not None and reason in ("", "ContainerCreating", "PodInitializing")


def severity(pod: Pod) -> int:
    """2 waits for a place or fails, 1 is on its way in or out, 0 runs."""
    if pod.reason == "Terminating":
        return 1
    if pod.phase == "Running" and pod.reason is None:
        return 0
    return 1 if _starts(pod) else 2


def state(pod: Pod) -> str:
    """One word: what a person would call it."""
    if pod.reason == "Terminating":
        return "ending"
    if pod.node is None:
        return "waits"
    if pod.phase == "Running":
        return "fails" if pod.reason else "runs"
    return "starts" if _starts(pod) else "fails"


def asks(pod: Pod) -> str:
    """`2`, `1 mig-1g.10gb`."""
    parts = [f"{pod.slices}"] if pod.slices else []
    return " ".join([*parts, *(f"{n} {inert(part, 40)}" for part, n in pod.mig.items())])


def _state(pod: Pod) -> Cell:
    word = state(pod)
    return Cell(word, "warn" if severity(pod) == 2 else "ok" if word == "runs" else "")


def _where(pod: Pod) -> str:
    return inert(", ".join(pod.cards) or pod.node or "-", 60)


def _at(pod: Pod) -> float | None:
    return pod.since if pod.since is not None else pod.created


def _since(pod: Pod) -> str:
    at = _at(pod)
    return "-" if at is None else age(time.time() - at)


def _why(pod: Pod) -> str:
    """What matters first: how many nodes say it, and the remedy, are the detail's."""
    text = re.sub(r"^\d+ nodes?: ", "", pod.reason_text or pod.reason or pod.owner or "")
    return inert(text.partition(" - ")[0].replace("nvidia.com/", ""), 300)


def _slices(count: int) -> str:
    return f"{count} slice{'s' * (count != 1)}"


def detail(pod: Pod, store: Store, now: float) -> list[str | Cell]:
    asked = asks(pod) if pod.mig else _slices(pod.slices)
    since, created = pod.since, pod.created
    lines: list[str | Cell] = [
        f"{inert(key(pod), 120)} {state(pod)} · asks for {asked}"
        + (f" · on {_where(pod)}" if pod.node else "")
        + (f" · since {age(now - since)}" if since is not None else "")
        + (f" · made {age(now - created)} ago" if created is not None else ""),
    ]
    if pod.reason_text or pod.reason:
        words = inert(pod.reason_text or pod.reason, 400)
        lines.append(Cell(words, "warn" if severity(pod) == 2 else ""))
    told = store.value("k8s.gpus")
    if isinstance(told, KubeGpus) and pod.node is None:
        lines += _room(told)
    if pod.node and not pod.cards:
        lines.append("on which card: nobody says; it holds its slices all the same")
    if pod.restarts:
        lines.append(f"its containers were started anew {pod.restarts} times")
    lines.append(comes_back(pod))
    said = inert(pod.reason, 400) if pod.reason else ""
    if said and said != inert(pod.reason_text or "", 400):
        lines.append(Cell(f"Kubernetes says: {said}", "dim"))
    return lines


def comes_back(pod: Pod) -> str:
    """Whether deleting it ends it."""
    if pod.owner is None:
        return "deleting it ends it for good: nobody makes it anew"
    kind = pod.owner.partition("/")[0]
    words = _COMES_BACK.get(kind, "{owner} makes it anew when it is deleted: scale that to 0 first")
    return inert(words.format(owner=pod.owner), 300)


def _room(told: KubeGpus) -> list[str | Cell]:
    """What each node has given away: a pod that waits, waits for one of these."""
    held: dict[str, int] = {}
    for pod in told.pods:
        if pod.node is not None:
            held[pod.node] = held.get(pod.node, 0) + pod.slices
    lines: list[str | Cell] = []
    for node in [n for n in told.nodes if n.slices is not None][:3]:
        lines.append(f"{inert(node.node, 60)}: {_given(node, held.get(node.node, 0))}")
    return lines


def _given(node: KubeNode, held: int) -> str:
    closed = " · cordoned" if node.unschedulable else " · not ready" if node.ready is False else ""
    free = max(0, (node.slices or 0) - held)
    return f"{held} of {node.slices} slices are given to pods, {free} free{closed}"


def heading(pods: Sequence[Pod]) -> str:
    held = sum(p.slices for p in pods if p.node is not None)
    waits = [p for p in pods if p.node is None]
    text = f"{len(pods) - len(waits)} placed, {_slices(held)} held"
    if not waits:
        return text
    verb = "wait" if len(waits) > 1 else "waits"
    return f"{text}, {len(waits)} {verb} for {_slices(sum(p.slices for p in waits))}"


def missing(store: Store) -> str:
    """Why there may be more pods than the rows; empty: there are not."""
    told = store.value("k8s.gpus")
    return inert(told.denied.get("pods", ""), 300) if isinstance(told, KubeGpus) else ""


SUBJECT = SubjectSpec(
    name="pods",
    key="",
    title="Pods",
    words="Pods that ask for a GPU: where they run, or why they wait.",
    feeds=("k8s.gpus",),
    columns=(
        Column("name", "POD", 24, lambda p: inert(key(p), 120), key, wide=36),
        Column("state", "STATE", 6, _state, severity),
        Column("slices", "ASKS", 6, asks, lambda p: p.slices, "right", wide=16),
        Column("where", "ON", 14, _where, _where, wide=22),
        Column("since", "SINCE", 5, _since, _at, "right"),
        Column("why", "WHY", 17, _why, grow=True),
    ),
    row_key=key,
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda p: inert(
        f"{key(p)} {state(p)} {p.node or ''} {p.owner or ''} {p.reason or ''}"
    ),
    heading=heading,
    missing=missing,
    also=("nvml.", "smi.", "prom.gpus", "slurm.allocations"),
    parent="gpus",
    counted=False,
)  # fmt: skip
