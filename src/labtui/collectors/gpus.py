"""`prom.gpus`: what the GPU exporters told Prometheus; `nvml.NODE`: the cards of this machine.

DCGM's names are those of dcgm-exporter's default list (memory in MiB). There is no total of the
frame buffer in it: used + free + reserved make the total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from labtui.collectors.base import Collector
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.model import Gpu, Item
from labtui.sources.base import SourceError
from labtui.sources.nvml import Nvml, throttle_words
from labtui.sources.prometheus import Prometheus, Sample
from labtui.sources.threads import Lane
from labtui.text import inert

METRICS: dict[str, tuple[str, float, float]] = {
    "DCGM_FI_DEV_GPU_UTIL": ("util_percent", 0, 100),
    "DCGM_FI_DEV_FB_USED": ("memory_used_mib", 0, 1 << 24),
    "DCGM_FI_DEV_FB_FREE": ("free", 0, 1 << 24),
    "DCGM_FI_DEV_FB_RESERVED": ("reserved", 0, 1 << 24),
    "DCGM_FI_DEV_GPU_TEMP": ("temperature_c", -40, 200),
    "DCGM_FI_DEV_POWER_USAGE": ("power_w", 0, 5000),
    "DCGM_FI_DEV_SM_CLOCK": ("clock_mhz", 0, 10000),
    "DCGM_FI_DEV_XID_ERRORS": ("xid", 0, 1 << 16),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": ("throttle", 0, 1 << 32),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": ("throttle", 0, 1 << 32),
    "jetson_gpu_utilization_percent": ("util_percent", 0, 100),
    "jetson_memory_used_mib": ("memory_used_mib", 0, 1 << 24),
    "jetson_memory_total_mib": ("memory_total_mib", 0, 1 << 24),
    "jetson_temperature_celsius": ("temperature_c", -40, 200),
    "jetson_power_milliwatts": ("power_w", 0, 5e6),
    "jetson_gpu_frequency_mhz": ("clock_mhz", 0, 10000),
}
"""Metric -> (field of a card, lowest and highest value that can be)."""

_ONLY = {
    "jetson_temperature_celsius": ("part", "gpu"),
    "jetson_power_milliwatts": ("rail", "VDD_IN"),
}
"""Of several series of one name, the one of the GPU, or of the whole board."""
_SCALE = {"jetson_power_milliwatts": 0.001}
FIGURES = (
    "util_percent", "memory_used_mib", "memory_total_mib", "temperature_c", "power_w", "clock_mhz"
)  # fmt: skip
JETSON_LACKS = "no DCGM on a Jetson"


class GpuMetrics(Item, frozen=True, kw_only=True):
    """One answer: the cards as the exporters see them, and which exporters answer at all."""

    cards: tuple[Gpu, ...] = ()
    up: dict[str, bool] = msgspec.field(default_factory=dict)
    """Node -> its GPU exporter answers Prometheus."""


def cards_of(samples: list[Sample], config: Config) -> GpuMetrics:
    """Series as cards. A value that cannot be (105 %, NaN) is None with the reason in `na`."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    up: dict[str, bool] = {}
    for sample in samples:
        node = node_of(sample.labels, config)
        if sample.name == "up":
            if sample.labels.get("instance") in config.gpu.metrics:
                up[node] = sample.value == 1
            continue
        label, wanted = _ONLY.get(sample.name, ("", ""))
        if sample.name not in METRICS or (label and sample.labels.get(label) != wanted):
            continue
        index = sample.labels.get("gpu", "0")
        key = (node, int(index) if index.isdecimal() and len(index) < 4 else 0)
        card = found.setdefault(key, {"na": {}, "jetson": False})
        card["uuid"] = sample.labels.get("UUID") or card.get("uuid")
        card["product"] = sample.labels.get("modelName") or card.get("product")
        card["product"] = card["product"] or sample.labels.get("model")
        card["jetson"] |= sample.name.startswith("jetson_")
        field, low, high = METRICS[sample.name]
        if sample.value is None or not low <= sample.value <= high:
            said = "NaN" if sample.value is None else f"{sample.value:g}"
            card["na"][field] = f"the exporter says {said}"
        else:
            card[field] = sample.value * _SCALE.get(sample.name, 1)
    return GpuMetrics(
        cards=tuple(_card(node, index, card) for (node, index), card in sorted(found.items())),
        up=up,
    )


def _card(node: str, index: int, card: dict[str, Any]) -> Gpu:
    na: dict[str, str] = card["na"]
    total = card.get("memory_total_mib")
    used, free = card.get("memory_used_mib"), card.get("free")
    if total is None and used is not None and free is not None:
        total = used + free + card.get("reserved", 0)
    elif total is None and "free" in na:
        na["memory_total_mib"] = na["free"]
    for field in FIGURES:
        if card.get(field) is None and (field != "memory_total_mib" or total is None):
            na.setdefault(field, JETSON_LACKS if card["jetson"] else "no such series")
    xid, throttle = card.get("xid"), card.get("throttle")
    return Gpu(
        node=node,
        index=index,
        uuid=inert(card["uuid"], 64) if card.get("uuid") else None,
        product=inert(card["product"], 64) if card.get("product") else None,
        util_percent=card.get("util_percent"),
        memory_used_mib=card.get("memory_used_mib"),
        memory_total_mib=total or None,
        temperature_c=card.get("temperature_c"),
        power_w=card.get("power_w"),
        throttle=None if throttle is None else throttle_words(int(throttle)),
        clock_mhz=card.get("clock_mhz"),
        xid=None if xid is None else int(xid),
        na={field: why for field, why in na.items() if field not in ("free", "reserved")},
    )


def node_of(labels: dict[str, str], config: Config) -> str:
    """The configured node that a series is of: where it was scraped counts before its labels."""
    host = labels.get("instance", "").rpartition(":")[0]
    for name, node in config.nodes.items():
        if host and host in (name, node.address):
            return name
    said = labels.get("Hostname") or labels.get("node") or host or "unknown"
    return inert(said, 64)


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
        self._query = '{__name__=~"' + "|".join(["up", *METRICS]) + '"}'

    async def ask(self) -> GpuMetrics:
        samples = await self._lane.call(self._budget, self._client.instant, self._query)
        return cards_of(samples, self._config)

    async def close(self) -> None:
        self._client.close()


class NvmlGpus(SourceCollector):
    """Cards of the machine that labtui itself runs on, with the processes on them."""

    kind = "nvml"
    interval = 5.0
    timeout = 5.0

    def __init__(self, node: str) -> None:
        self.name = f"nvml.{node}"
        self._client = Nvml(node)
        self._lane = Lane(f"NVML on {node}")

    async def ask(self) -> list[Gpu]:
        cards = await self._lane.call(self.timeout - 1.0, self._client.cards)
        if not cards:
            raise SourceError("not-found", f"NVML finds no card on {self._client.node}")
        return cards


def collectors(config: Config, hosts: Mapping[str, Host]) -> list[Collector]:
    prom: list[Collector] = [PromGpus(config)] if config.prometheus.url else []
    return prom + [NvmlGpus(node) for node in config.gpu.nvml]
