"""The GPUs' feeds: `prom.gpus` and `prom.gpuhours`, `nvml.NODE`, `smi.NODE`, `jetson.NODE`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Protocol

from labtui.collectors.base import Collector
from labtui.collectors.dcgm import ENERGY, FIGURES, METRICS, GpuMetrics, cards_of, node_of
from labtui.collectors.frozen import Frozen
from labtui.collectors.gpuhours import PromGpuHours
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.hosts.command import CommandHost
from labtui.model import Gpu
from labtui.sources.base import SourceError
from labtui.sources.jetson import Jetson
from labtui.sources.nvml import Nvml
from labtui.sources.prometheus import Prometheus
from labtui.sources.smi import Smi
from labtui.sources.threads import Lane

__all__ = ["FIGURES", "GpuMetrics", "PromGpus", "cards_of", "collectors", "node_of"]

LEAST_S = 2.0
"""Seconds between two looks at a card: its driver answers on the card's own time."""


class PromGpus(SourceCollector):
    name = "prom.gpus"
    kind = "prom"

    def __init__(self, config: Config) -> None:
        section = config.prometheus
        self.interval = section.interval_s
        self.timeout = section.timeout_s + 1.0
        self._budget = section.timeout_s
        self._config = config
        self._client = Prometheus(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
        self._lane = Lane(self._client.who)
        self._query = '{__name__=~"' + "|".join(["up", ENERGY, *METRICS]) + '"}'
        self._frozen = Frozen()

    async def ask(self) -> GpuMetrics:
        return await self._lane.call(self._budget, self._cards)

    def _cards(self) -> GpuMetrics:
        """In the lane: with a thousand cards the series take longer than a key may wait."""
        samples = self._client.instant(self._query)
        found = cards_of(samples, self._config)
        return self._frozen.marked(found, samples, self._config, time.time())

    async def close(self) -> None:
        self._client.close()


class NvmlGpus(SourceCollector):
    """Cards of the machine that labtui itself runs on, with the processes on them."""

    kind = "nvml"
    timeout = 5.0

    def __init__(self, node: str, interval: float = 5.0) -> None:
        self.name = f"nvml.{node}"
        self.interval = max(LEAST_S, interval)
        self._client = Nvml(node)
        self._lane = Lane(f"NVML on {node}")

    async def ask(self) -> list[Gpu]:
        cards = await self._lane.call(self.timeout - 1.0, self._client.cards)
        if not cards:
            raise SourceError("not-found", f"NVML finds no card on {self._client.node}")
        return cards

    async def close(self) -> None:
        with contextlib.suppress(SourceError):  # it hangs: the process's end closes it
            await self._lane.call(0.5, self._client.close)


class Reader(Protocol):
    """What reads the cards of one machine by a command there."""

    async def cards(self, timeout: float) -> list[Gpu]: ...


class NodeGpus(SourceCollector):
    """Cards of another machine, by one command a poll over the connection to it."""

    timeout = 15.0
    """More than the limits within the script together."""

    def __init__(
        self, kind: str, node: str, host: Host, reader: Reader, interval: float = 5.0
    ) -> None:
        self.name = f"{kind}.{node}"
        self.kind = kind
        self.interval = max(LEAST_S, interval)
        self._host = host
        self._reader = reader

    async def ask(self) -> list[Gpu]:
        # The scheduler paces this one; a back-off of the transport would only delay the return.
        if isinstance(self._host, CommandHost):
            self._host.retry()
        return await self._reader.cards(self.timeout - 1.0)


def collectors(config: Config, hosts: Mapping[str, Host]) -> list[Collector]:
    gpu, pace = config.gpu, config.gpu.interval_s
    found: list[Collector] = []
    if config.prometheus.url:
        found += [PromGpus(config), PromGpuHours(config)]
    found += [NvmlGpus(node, pace) for node in gpu.nvml]
    for node in gpu.smi:
        if node in hosts:
            found.append(NodeGpus("smi", node, hosts[node], Smi(node, hosts[node]), pace))
    for node in gpu.jetson:
        if node in hosts:
            reader = Jetson(node, hosts[node], gpu.sysfs)
            found.append(NodeGpus("jetson", node, hosts[node], reader, pace))
    return found
