"""Who holds which share of which GPU: one item a physical card, from every source at once.

Slurm says how many slices there are and which jobs hold them, Prometheus and NVML how the card
is. Where one of them is silent, the row stays and says which and why.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from labtui.collectors.gpus import FIGURES, GpuMetrics
from labtui.config import Config
from labtui.model import Gpu, Holder, Job, Node
from labtui.slurm.joblist import active
from labtui.slurm.types import Allocation
from labtui.store import STALE_AFTER, Feed, Store

Place = tuple[str, int | None]
"""Node and index of a card."""

HOLDING = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED"})
"""Job states in which Slurm counts a gres as allocated."""


def gres_gpus(gres: str | None) -> int:
    """GPUs in a gres or TRES text: `gpu:2`, `gres/gpu:a100:1`, `gres:gpu:2(IDX:0-1)`."""
    found = re.findall(r"(?:^|,|gres[/:])\s*gpu\b((?:[:=][\w.-]+)*)", gres or "")
    count = 0
    for parts in found:
        last = re.split(r"[:=]", parts)[-1]
        count += int(last) if last.isdecimal() else 1
    return count


def items(store: Store, config: Config, now: float) -> list[Gpu]:
    """Every card of the configured machines, by node and index."""
    metrics, cards = _metrics(store, now)
    slurm = {n.name: n for n in _list(store, "slurm.nodes", Node)}
    feed, holders = _holding(store, now)
    exporters = {_host(instance, config) for instance in config.gpu.metrics}
    known = {
        *(node for node, _ in cards), *(n.name for n in slurm.values() if n.gpus),
        *holders, *exporters, *config.gpu.nvml,
    }  # fmt: skip
    order = [name for name in config.nodes if name in known]
    result: list[Gpu] = []
    for name in [*order, *sorted(known - set(order))]:
        own = [cards[key] for key in sorted(cards, key=str) if key[0] == name]
        result += _merge(
            own or [_unmeasured(name, metrics, store, now)],
            slurm.get(name),
            holders.get(name, []),
            feed,
            store,
            now,
        )
    return result


def slots(gpu: Gpu) -> list[Holder | None]:
    """Who is in each slice: by index where Slurm tells it, else in the order of holding."""
    slices: list[Holder | None] = [None] * (gpu.slices or 0)
    loose: list[Holder] = []
    for holder in gpu.holders:
        if holder.indexes and all(i < len(slices) and not slices[i] for i in holder.indexes):
            for i in holder.indexes:
                slices[i] = holder
        else:
            loose += [holder] * holder.slices
    for i, taken in enumerate(slices):
        if taken is None and loose:
            slices[i] = loose.pop(0)
    return slices


def held(gpu: Gpu) -> int:
    return sum(holder.slices for holder in gpu.holders)


def _list(store: Store, feed: str, kind: type[Any]) -> list[Any]:
    value = store.value(feed)
    return [v for v in value if isinstance(v, kind)] if isinstance(value, (list, tuple)) else []


def _host(instance: str, config: Config) -> str:
    host = instance.rpartition(":")[0] or instance
    return next((n for n, c in config.nodes.items() if host in (n, c.address)), host)


def _holding(store: Store, now: float) -> tuple[Feed | None, dict[str, list[Holder]]]:
    """Who holds what by node, and the feed that says so.

    Allocations know the devices; the job list stands in for them where Slurm cannot tell.
    """
    exact, jobs = store.feed("slurm.allocations"), store.feed("slurm.jobs")
    if exact is not None and (_fresh(exact, now) or not _fresh(jobs, now)):
        return exact, _by_allocation(_list(store, exact.name, Allocation))
    return jobs, _by_job(active(store.value("slurm.jobs")))


def _by_allocation(allocations: list[Allocation]) -> dict[str, list[Holder]]:
    found: dict[str, list[Holder]] = {}
    for part in allocations:
        if part.name == "gpu":
            holder = Holder(
                kind="job",
                id=part.job_id,
                name=part.job_name,
                slices=part.count,
                since=part.start_time,
                indexes=part.indexes,
                user=part.user,
            )
            found.setdefault(part.node, []).append(holder)
    return found


def _by_job(jobs: list[Job]) -> dict[str, list[Holder]]:
    found: dict[str, list[Holder]] = {}
    for job in jobs:
        count = gres_gpus(job.gres)
        if not count or not job.nodes or job.state.upper().split("+")[0] not in HOLDING:
            continue
        holder = Holder(
            kind="job",
            id=job.job_id,
            name=job.name,
            slices=max(1, count // len(job.nodes)),
            since=job.start_time,
            user=job.user,
        )
        for node in job.nodes:
            found.setdefault(node, []).append(holder)
    return found


def _fresh(feed: Feed | None, now: float) -> bool:
    """A figure of this feed may still be shown as what is so now."""
    seconds = feed.age(now) if feed else None
    return feed is not None and seconds is not None and seconds <= STALE_AFTER * feed.interval


def _why(feed: Feed | None, label: str, now: float) -> str:
    """Why this source has no figure."""
    if feed is None:
        return f"{label}: not configured"
    if feed.error is not None:
        return f"{label}: {feed.error.kind}"
    if feed.good is None:
        return f"{label}: no answer yet"
    return f"{label}: silent since {hour(feed.good.taken_at)}"


def hour(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _metrics(
    store: Store, now: float
) -> tuple[GpuMetrics | None, dict[Place, Gpu]]:
    """The newest answer of Prometheus, and each card as its best source describes it."""
    feed = store.feed("prom.gpus")
    value = feed.value if feed else None
    metrics = value if isinstance(value, GpuMetrics) else None
    cards: dict[Place, Gpu] = {}
    for card in metrics.cards if metrics else ():
        if not _fresh(feed, now):
            card = _blank(card, _why(feed, "prom", now))
        else:
            card = msgspec.structs.replace(card, sources={"prometheus": "answers"})
        cards[card.node, card.index] = card
    for feed in store.feeds("nvml."):
        for card in feed.value if isinstance(feed.value, list) else ():
            if isinstance(card, Gpu) and _fresh(feed, now):
                key = (card.node, card.index)
                cards[key] = _both(cards.get(key), card)
    return metrics, cards


def _blank(card: Gpu, why: str) -> Gpu:
    """The same card without what changes by the second: an old figure is not shown as today's."""
    gone = [f for f in FIGURES if f != "memory_total_mib"]
    return msgspec.structs.replace(
        card,
        **dict.fromkeys((*gone, "throttle", "xid"), None),
        na=card.na | dict.fromkeys(gone, why),
        sources={"prometheus": why.partition(": ")[2]},
    )


def _both(prom: Gpu | None, nvml: Gpu) -> Gpu:
    """NVML's figures, and Prometheus' where NVML has none."""
    pids = [h.id for h in nvml.holders]
    said = f"{len(pids)} processes" + (f" (pids {', '.join(pids[:4])})" if pids else "")
    if "processes" in nvml.na:
        said = nvml.na["processes"].removeprefix("nvml: ")
    sources = (prom.sources if prom else {}) | {"nvml": said}
    filled = {
        f: getattr(prom, f)
        for f in (*FIGURES, "xid", "throttle", "product", "uuid")
        if prom is not None and getattr(nvml, f) is None
    }
    na = {f: why for f, why in nvml.na.items() if filled.get(f) is None}
    return msgspec.structs.replace(nvml, **filled, na=na, sources=sources)


def _unmeasured(node: str, metrics: GpuMetrics | None, store: Store, now: float) -> Gpu:
    """A card that only Slurm or the configuration knows of."""
    feed = store.feed("prom.gpus")
    why = _why(feed, "prom", now)
    if _fresh(feed, now) and feed is not None and feed.error is None and metrics is not None:
        up = metrics.up.get(node)
        why = "exporter down" if up is False else "prom: no GPU series of this node"
    for nvml in store.feeds(f"nvml.{node}"):
        why = _why(nvml, "nvml", now)
    return Gpu(
        node=node,
        index=0,
        na=dict.fromkeys(FIGURES, why),
        sources={"prometheus": why.removeprefix("prom: ")} if feed else {},
    )


def _merge(
    cards: Sequence[Gpu],
    node: Node | None,
    holders: list[Holder],
    feed: Feed | None,
    store: Store,
    now: float,
) -> list[Gpu]:
    """The cards of one node with Slurm's view of them; `feed` told the holders."""
    if feed is None:
        return list(cards)
    na: dict[str, str] = {}
    total = node.gpus if node else None
    taken = sum(h.slices for h in holders)
    said = f"{taken} of {total} held" if total is not None else f"{taken} held"
    if node and node.gpus_alloc is not None and node.gpus_alloc != taken and _fresh(feed, now):
        said += f", but the node counts {node.gpus_alloc}"
    if not _fresh(feed, now):
        why = _why(feed, "slurm", now)
        na["holders"] = why
        said = why.removeprefix("slurm: ")
    if total is None:
        na["slices"] = _why(store.feed("slurm.nodes"), "slurm", now) if node is None else "no gres"
    elif len(cards) > 1:
        total = total // len(cards) if total % len(cards) == 0 else None
        na |= {} if total else {"slices": f"{node.gpus if node else 0} gres on {len(cards)} cards"}
        if holders and not all(h.indexes for h in holders):
            na["holders"] = "Slurm does not say on which card"
    result = []
    for card in cards:
        mine = holders
        if len(cards) > 1:
            mine = [p for h in holders if (p := _part(h, card.index, total or 1))]
        bare = [h for h in card.holders if h.kind == "process"] if not mine else []
        result.append(
            msgspec.structs.replace(
                card,
                slices=total,
                holders=(*mine, *bare),
                na=card.na | na,
                sources={"slurm": said, **card.sources},
            )
        )
    return result


def _part(holder: Holder, index: int | None, slices: int) -> Holder | None:
    """What of a holder lies on the card `index`, counted from that card's first slice."""
    if index is None:
        return None
    mine = tuple(i - index * slices for i in holder.indexes if i // slices == index)
    if not mine:
        return None
    return msgspec.structs.replace(holder, indexes=mine, slices=len(mine))
