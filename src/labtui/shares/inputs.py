"""What every source says, by node; and what is still the same as last time.

A poll brings new objects that mostly equal the old ones: then the old ones are kept, so that
everything made of them can be kept too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from labtui.collectors.gpus import GpuMetrics
from labtui.config import Config
from labtui.model import Gpu, Job, KubeGpus, KubeNode, Node, Pod
from labtui.shares.bookings import KINDS, Gres, holding, node_gres
from labtui.slurm.joblist import active
from labtui.slurm.types import Allocation
from labtui.store import STALE_AFTER, Feed, Store

LOCAL = ("nvml", "smi", "jetson")
"""Sources that ask a machine itself, the best first; each has a feed a node."""
FEEDS = (
    *(f"{name}." for name in LOCAL), "prom.gpus", "k8s.gpus",
    "slurm.nodes", "slurm.allocations", "slurm.jobs",
)  # fmt: skip


class Source(NamedTuple):
    """The cards of one node as one source sees them."""

    name: str
    """`nvml`, `smi`, `jetson`, `prom`."""
    cards: list[Gpu]
    why: str | None = None
    """Why these are no figures of now; None: they are."""
    fault: str = ""
    """What its newest attempt said; empty where it succeeded."""


class OfSlurm(NamedTuple):
    gres: Gres
    counts: int | None
    """GPUs that the node itself counts as given away."""


class Cluster(NamedTuple):
    """What holds for all nodes: None of a `why` means that it is known."""

    slurm: bool
    """There is a Slurm."""
    slurm_why: str | None
    """Why its holders are not known."""
    nodes_why: str | None
    """Why its nodes' gres are not known."""
    kubernetes: bool
    kubernetes_why: str | None
    """Why its pods are not known."""
    kube_nodes_why: str | None
    prom: bool
    prom_why: str | None
    prom_waits: str | None
    """Why there is no series: of a Prometheus that has not failed, another reason a node."""


class Inputs(NamedTuple):
    """All that the cards of one node are made of, but the time."""

    name: str
    cluster: Cluster
    slurm: OfSlurm | None
    could_slurm: bool
    """Slurm may have bookings here, for all that is known."""
    parts: list[Allocation | Job]
    kube: KubeNode | None
    could_kubernetes: bool
    pods: list[Pod]
    unread: str | None
    """What Kubernetes says of this node, or of a pod on it, that cannot be understood."""
    sources: tuple[Source, ...]
    up: bool | None
    """Its GPU exporter answers Prometheus."""
    given: list[tuple[str, int]]
    """(pod, index of a card that it was given), as exporters were told."""


def fresh(feed: Feed | None, now: float) -> bool:
    """A figure of this feed may still be shown as what is so now."""
    seconds = feed.age(now) if feed else None
    return feed is not None and seconds is not None and seconds <= _lasts(feed)


def _lasts(feed: Feed) -> float:
    return STALE_AFTER * max(feed.interval, feed.pace)


def turns(feed: Feed | None, now: float) -> float:
    """When it stops being fresh by time alone."""
    if feed is None or feed.good is None or not fresh(feed, now):
        return math.inf
    return feed.good.taken_at + _lasts(feed)


def why(feed: Feed | None, label: str) -> str:
    """Why this source has no figure of now."""
    if feed is None:
        return f"{label}: not configured"
    if feed.error is not None:
        return f"{label}: {feed.error.kind}"
    if feed.good is None:
        return f"{label}: no answer yet"
    return f"{label}: silent since {hour(feed.good.taken_at)}"


def hour(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


Groups = dict[str, Any]


class _Grouped:
    """One feed's value by node, grouped anew only when it changed."""

    def __init__(self, group: Callable[[Any], Groups]) -> None:
        self._group = group
        self._value: Any = None
        self.groups: Groups = {}

    def of(self, value: Any) -> Groups:
        if value is self._value:
            return self.groups
        same = type(value) is type(self._value) and value == self._value
        self._value = value
        if not same:
            self.groups = self._group(value)
        return self.groups


def _of_kind(value: Any, kind: type[Any]) -> Iterable[Any]:
    return (v for v in value if isinstance(v, kind)) if isinstance(value, (list, tuple)) else ()


def _cards(value: Any) -> Groups:
    found: Groups = {}
    for card in value.cards if isinstance(value, GpuMetrics) else ():
        found.setdefault(card.node, []).append(card)
    return found


def _nodes(value: Any) -> Groups:
    return {
        node.name: OfSlurm(gres, node.gpus_alloc)
        for node in _of_kind(value, Node)
        if any(gres := node_gres(node))
    }


def _allocations(value: Any) -> Groups:
    found: Groups = {}
    for part in _of_kind(value, Allocation):
        if part.name in KINDS and part.count > 0:
            found.setdefault(part.node, []).append(part)
    return found


def _kube_nodes(value: Any) -> Groups:
    nodes = value.nodes if isinstance(value, KubeGpus) else ()
    return {n.node: n for n in nodes if n.slices is not None or n.mig or n.cards or n.capacity}


def _pods(value: Any) -> Groups:
    found: Groups = {}
    for pod in value.pods if isinstance(value, KubeGpus) else ():
        if pod.node is not None and (pod.slices > 0 or pod.mig):
            found.setdefault(pod.node, []).append(pod)
    return found


class Reader:
    """Reads a store for one reconciliation after the other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._slurm = _Grouped(_nodes)
        self._allocations = _Grouped(_allocations)
        self._jobs = _Grouped(lambda jobs: dict(holding(jobs)))
        self._prom = _Grouped(_cards)
        self._seen = _Grouped(_seen)
        self._kube, self._pods = _Grouped(_kube_nodes), _Grouped(_pods)
        self._local: dict[str, tuple[Feed, bool, Source]] = {}
        hosts = {c.address: name for name, c in config.nodes.items()}
        parts = (instance.rpartition(":")[0] or instance for instance in config.gpu.metrics)
        self._exporters = {h if h in config.nodes else hosts.get(h, h) for h in parts}
        self._order: tuple[Any, list[str]] = (None, [])

    def read(self, store: Store, now: float) -> tuple[list[Inputs], float]:
        """Every node that may have a card, in the order of the configuration, then by name; and
        until when this is so, if no feed changes."""
        exact, jobs = store.feed("slurm.allocations"), store.feed("slurm.jobs")
        nodes, kube, prom = (store.feed(f) for f in ("slurm.nodes", "k8s.gpus", "prom.gpus"))
        until = min(turns(feed, now) for feed in (exact, jobs, nodes, kube, prom))
        told = exact if exact is not None and (fresh(exact, now) or not fresh(jobs, now)) else jobs
        if told is None:
            parts: Groups = {}
        elif told is exact:
            parts = self._allocations.of(told.value)
        else:
            parts = self._jobs.of(active(told.value))
        slurm = self._slurm.of(nodes.value if nodes else None)
        answer = kube.value if kube and isinstance(kube.value, KubeGpus) else None
        kube_nodes, pods = self._kube.of(answer), self._pods.of(answer)
        unread = answer.unread if answer else {}
        metrics = prom.value if prom and isinstance(prom.value, GpuMetrics) else None
        cards, up = self._prom.of(metrics), metrics.up if metrics else {}
        seen = self._seen.of(metrics)
        there = told is not None or nodes is not None
        cluster = Cluster(
            there,
            None if fresh(told, now) else why(told, "slurm"),
            None if fresh(nodes, now) else why(nodes, "slurm"),
            kube is not None,
            _denied("pods", kube, answer, now),
            _denied("nodes", kube, answer, now),
            prom is not None,
            None if fresh(prom, now) else why(prom, "prom"),
            None if prom is not None and fresh(prom, now) and not prom.error else why(prom, "prom"),
        )
        local, turn = self._locals(store, now)
        # Which machines a scheduler has is believed of its last answer, however old.
        anywhere = nodes is None or nodes.good is None
        everywhere = kube is not None and (answer is None or "nodes" in answer.denied)
        fault = prom.error.message if prom and prom.error else ""
        found = []
        for name in self._names(slurm, parts, kube_nodes, pods, unread, cards, local):
            sources = local.get(name, ())
            if name in cards:
                sources = (*sources, Source("prom", cards[name], cluster.prom_why, fault))
            found.append(
                Inputs(
                    name,
                    cluster,
                    slurm.get(name),
                    there and (anywhere or name in slurm or name in parts),
                    parts.get(name, []),
                    kube_nodes.get(name),
                    kube is not None
                    and (everywhere or any(name in some for some in (kube_nodes, pods, unread))),
                    pods.get(name, []),
                    unread.get(name),
                    sources,
                    up.get(name),
                    seen.get(name, []),
                )
            )
        return found, min(until, turn)

    def _locals(self, store: Store, now: float) -> tuple[dict[str, tuple[Source, ...]], float]:
        """What machines say of themselves, by node, the best source first."""
        found: dict[str, tuple[Source, ...]] = {}
        first = math.inf
        for kind in LOCAL:
            for feed in store.feeds(f"{kind}."):
                turn = turns(feed, now)
                last = self._local.get(feed.name)
                if last is None or last[0] is not feed or last[1] != (turn < math.inf):
                    source = _source(feed, kind, now, last[2] if last else None)
                    last = self._local[feed.name] = (feed, turn < math.inf, source)
                first = min(first, turn)
                name = feed.name[len(kind) + 1 :]
                found[name] = (*found.get(name, ()), last[2])
        return found, first

    def _names(self, *groups: Mapping[str, Any]) -> list[str]:
        key = tuple(map(len, groups)), *(list(g) for g in groups)
        if self._order[0] != key:
            gpu = self._config.gpu
            known = self._exporters.union(*groups, gpu.nvml, gpu.smi, gpu.jetson)
            ordered = [name for name in self._config.nodes if name in known]
            self._order = (key, [*ordered, *sorted(known.difference(ordered))])
        return self._order[1]


def _source(feed: Feed, kind: str, now: float, last: Source | None) -> Source:
    cards = list(_of_kind(feed.value, Gpu))
    if last is not None and cards == last.cards:
        cards = last.cards
    stale = None if fresh(feed, now) else why(feed, kind)
    return Source(kind, cards, stale, feed.error.message if feed.error else "")


def _denied(part: str, feed: Feed | None, answer: KubeGpus | None, now: float) -> str | None:
    if answer is None or not fresh(feed, now):
        return why(feed, "kubernetes")
    return f"kubernetes: {answer.denied[part]}" if part in answer.denied else None


def _seen(value: Any) -> Groups:
    """Node -> (pod, index of a card that it was given) as exporters were told."""
    found: Groups = {}
    for card, pods in value.pods.items() if isinstance(value, GpuMetrics) else ():
        node, _, index = card.rpartition(":")
        if index.isdecimal():
            found.setdefault(node, []).extend((pod, int(index)) for pod in pods)
    return found
