"""How well a job used what it asked for: Slurm's accounting, and Prometheus for its GPUs."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping

from msgspec import structs

from labtui.collectors.gpus import node_of
from labtui.config import Config
from labtui.slurm.client import SlurmClient
from labtui.slurm.efficiency import Efficiency, Figure, advised, parse
from labtui.slurm.types import Allocation
from labtui.sources.base import SourceError
from labtui.sources.prometheus import Prometheus
from labtui.sources.threads import Lane
from labtui.store import Feed, Store

KEPT = 2000
"""Jobs whose cards, and whose figures, are remembered."""
UTIL = ("DCGM_FI_DEV_GPU_UTIL", "jetson_gpu_utilization_percent")
SETTLED_S = 60.0
"""Seconds after its end from which a job's figures change no more."""
LEAST_S = 20.0
"""Seconds that must be covered: exporters are scraped every 15 s or so."""

Held = frozenset[tuple[str, int]]
"""(node, index) of GPUs as Slurm counts them."""


class Efficiencies:
    """Asks when a person looks; keeps what can change no more. `of` raises RPCError, HostError."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._held_by: OrderedDict[str, Held] = OrderedDict()
        self._known: OrderedDict[str, Efficiency] = OrderedDict()
        section = config.prometheus
        self._client = (
            Prometheus(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
            if section.url
            else None
        )
        self._lane = Lane(self._client.who) if self._client else None
        store.subscribe(["slurm.allocations"], self._on_allocations)

    def _on_allocations(self, _old: Feed, new: Feed) -> None:
        """Which cards a job has is forgotten with it: remembered here while we look on."""
        self.see(new.value if isinstance(new.value, list) else [])

    def see(self, allocations: list[Allocation]) -> None:
        found: dict[str, set[tuple[str, int]]] = {}
        for a in allocations:
            if a.name == "gpu" and len(a.indexes) == a.count:
                found.setdefault(a.job_id, set()).update((a.node, i) for i in a.indexes)
        for job_id, held in found.items():
            self._held_by[job_id] = frozenset(held)
            self._held_by.move_to_end(job_id)
        while len(self._held_by) > KEPT:
            self._held_by.popitem(last=False)

    def known(self, job_id: str) -> Efficiency | None:
        """What was read of a job that is over."""
        return self._known.get(job_id)

    async def of(self, slurm: SlurmClient, job_id: str) -> Efficiency | None:
        """One job or array task; None where the accounting does not know it."""
        if (known := self._known.get(job_id)) is not None:
            return known
        found = await self._read(slurm, job_id)
        exact = next((e for e in found if e.job_id == job_id), None)
        return None if exact is None else await self._completed(slurm, exact)

    async def tasks_of(self, slurm: SlurmClient, job_id: str) -> list[Efficiency]:
        """A job, or of an array's id the tasks that have started."""
        found = [e for e in await self._read(slurm, job_id) if e.state != "PENDING"]
        return [await self._completed(slurm, e) for e in found]

    async def _completed(self, slurm: SlurmClient, found: Efficiency) -> Efficiency:
        if found.gpus and found.gpu_percent.used is None:
            found = structs.replace(found, gpu_percent=await self._measured(slurm, found))
        found = structs.replace(found, suggestions=advised(found))
        if found.end_time is not None and time.time() - found.end_time > SETTLED_S:
            self._known[found.job_id] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    async def _read(self, slurm: SlurmClient, job_id: str) -> list[Efficiency]:
        accounted = await slurm.usage(job_id)
        found = parse(accounted)
        if any(e.state == "RUNNING" and e.job_id == job_id for e in found):
            return parse(accounted, await slurm.live_usage(job_id))
        return found

    async def _measured(self, slurm: SlurmClient, job: Efficiency) -> Figure:
        """The average of its cards over its time. Slurm's GPUs may be slices of the cards that
        are there: then each card has as many of them, as on the screen of GPU shares."""
        said = job.gpu_percent.why_not or "not measured"
        if self._client is None or self._lane is None:
            return _unknown(f"{said}, and no Prometheus is in the config")
        nodes = self._store.value("slurm.nodes") or await slurm.nodes()
        there = {node.name: node.gpus or 0 for node in nodes}
        held = self._held(job, there)
        if held is None:
            return _unknown(f"{said}; which of its node's GPUs it had is not known any more")
        end = job.end_time or time.time()
        span = end - (job.start_time or end)
        if span < LEAST_S:
            return _unknown(f"{said}, and it ran too shortly for Prometheus")
        try:
            shares = await self._averages(self._lane, self._client, span, end)
        except (SourceError, ValueError) as error:
            return _unknown(f"{said}; {error}")
        cards = Counter(node for node, _ in shares)
        slices = {node: there[node] // cards[node] for node in cards if there.get(node)}
        if any(not slices.get(node) or there[node] % cards[node] for node, _ in held):
            return _unknown(f"{said}, and Prometheus has no figures of its cards for that time")
        mine = {(node, index // slices[node]) for node, index in held}
        if not mine <= shares.keys():
            return _unknown(f"{said}, and Prometheus has no figures of its cards for that time")
        share = sum(shares[card] for card in mine) / len(mine)
        names = ", ".join(f"{node}:{index}" for node, index in sorted(mine))
        shared = len(held) < sum(slices[node] for node, _ in mine)
        return Figure(
            used=share,
            asked=100.0,
            percent=share,
            source=f"Prometheus, the average of {names} over its time",
            note="others had slices of it too: their work is in it" if shared else None,
        )

    async def _averages(
        self, lane: Lane, client: Prometheus, span: float, end: float
    ) -> dict[tuple[str, int], float]:
        """Card -> its average utilisation, in percent."""
        found: dict[tuple[str, int], float] = {}
        for name in UTIL:
            query = f"avg_over_time({name}[{span:.0f}s] @ {end:.0f})"
            budget = self._config.prometheus.timeout_s
            for sample in await lane.call(budget, client.instant, query):
                card = node_of(sample.labels, self._config), int(sample.labels.get("gpu") or 0)
                if sample.value is not None and 0 <= sample.value <= 100:
                    found[card] = sample.value
        return found

    def _held(self, job: Efficiency, there: Mapping[str, int]) -> Held | None:
        """The GPUs it had, as Slurm counts them, where that is certain."""
        if (held := self._held_by.get(job.job_id)) is not None and len(held) == job.gpus:
            return held
        if not job.nodes or sum(there.get(node, 0) for node in job.nodes) != job.gpus:
            return None
        return frozenset((node, i) for node in job.nodes for i in range(there.get(node, 0)))

    def close(self) -> None:
        if self._client:
            self._client.close()


def _unknown(why: str) -> Figure:
    return Figure(asked=100.0, why_not=why)
