"""Series of GPU exporters as cards: DCGM's names, and those of the Jetson exporter. Pure.

DCGM's names are those of dcgm-exporter (memory in MiB), by default or by a list of one's own.
There is no total of the frame buffer in it: used + free + reserved make the total. Under MIG the
series carry GPU_I_ID, and what they say of memory and load is the instance's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from labtui.config import Config
from labtui.model import Gpu, Item, MigInstance
from labtui.sources.gpufigures import possible
from labtui.sources.nvml import throttle_words
from labtui.sources.prometheus import Sample
from labtui.text import inert

METRICS: dict[str, str] = {
    "DCGM_FI_DEV_GPU_UTIL": "util_percent",
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "engine",
    "DCGM_FI_DEV_FB_USED": "memory_used_mib",
    "DCGM_FI_DEV_FB_FREE": "free",
    "DCGM_FI_DEV_FB_RESERVED": "reserved",
    "DCGM_FI_DEV_GPU_TEMP": "temperature_c",
    "DCGM_FI_DEV_POWER_USAGE": "power_w",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": "power_limit_w",
    "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": "power_limit_w",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF": "power_default_w",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT_MIN": "power_min_w",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX": "power_max_w",
    "DCGM_FI_DEV_SM_CLOCK": "clock_mhz",
    "DCGM_FI_DEV_MAX_SM_CLOCK": "clock_max_mhz",
    "DCGM_FI_DEV_XID_ERRORS": "xid",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "ecc_uncorrected",
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": "throttle",
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": "throttle",
    "jetson_gpu_utilization_percent": "util_percent",
    "jetson_memory_used_mib": "memory_used_mib",
    "jetson_memory_total_mib": "memory_total_mib",
    "jetson_temperature_celsius": "temperature_c",
    "jetson_power_milliwatts": "power_w",
    "jetson_gpu_frequency_mhz": "clock_mhz",
}
"""Metric -> field of a card."""

ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
_ONLY = {
    "jetson_temperature_celsius": ("part", "gpu"),
    "jetson_power_milliwatts": ("rail", "VDD_IN"),
}
"""Of several series of one name, the one of the GPU, or of the whole board."""
_SCALE = {"jetson_power_milliwatts": 0.001}
_OF_INSTANCE = frozenset({"util_percent", "engine", "memory_used_mib", "free", "reserved"})
_BLANK = float(1 << 47)
"""DCGM's values from here on are no values (dcgm_structs.h, DCGM_FP64_BLANK and up)."""
FIGURES = (
    "util_percent", "memory_used_mib", "memory_total_mib", "temperature_c", "power_w", "clock_mhz"
)  # fmt: skip
JETSON_LACKS = "no DCGM on a Jetson"
UNDER_MIG = "under MIG it is told of each instance"

Key = tuple[str, int]
"""Node and index of a card."""


class GpuMetrics(Item, frozen=True, kw_only=True):
    """One answer: the cards as the exporters see them, and which exporters answer at all."""

    cards: tuple[Gpu, ...] = ()
    up: dict[str, bool] = msgspec.field(default_factory=dict)
    """Node -> its GPU exporter answers Prometheus."""
    pods: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """`node:index` -> `namespace/name` of the pods that the kubelet gave the card, as the exporter
    was told; of a card that several share, perhaps not all."""


def cards_of(samples: list[Sample], config: Config) -> GpuMetrics:
    """Series as cards. A value that cannot be (105 %, NaN) is None with the reason in `na`."""
    found: dict[Key, dict[str, Any]] = {}
    up: dict[str, bool] = {}
    exporters = {s.labels.get("pod", "") for s in samples if s.name == "up"}
    pods: dict[str, set[str]] = {}
    for sample in samples:
        node = node_of(sample.labels, config)
        if sample.name == "up":
            if sample.labels.get("instance") in config.gpu.metrics:
                up[node] = sample.value == 1
            continue
        label, wanted = _ONLY.get(sample.name, ("", ""))
        if sample.name not in METRICS or (label and sample.labels.get(label) != wanted):
            continue
        key = key_of(sample, config)
        card = found.setdefault(key, {"na": {}, "jetson": False, "mig": {}, "said": {}})
        card["uuid"] = sample.labels.get("UUID") or card.get("uuid")
        card["product"] = sample.labels.get("modelName") or card.get("product")
        card["product"] = card["product"] or sample.labels.get("model")
        card["driver"] = sample.labels.get("DCGM_FI_DRIVER_VERSION") or card.get("driver")
        card["jetson"] |= sample.name.startswith("jetson_")
        if pod := _pod(sample.labels, exporters):
            pods.setdefault(f"{key[0]}:{key[1]}", set()).add(pod)
        field, said = METRICS[sample.name], card["said"]
        part = sample.labels.get("GPU_I_ID", "")
        if part.isdecimal() and len(part) < 4:
            instance = card["mig"].setdefault(int(part), {})
            instance["profile"] = sample.labels.get("GPU_I_PROFILE") or instance.get("profile")
            said = instance if field in _OF_INSTANCE else said
        value = sample.value
        if value is None:
            card["na"].setdefault(field, "the exporter says NaN")
        elif value >= _BLANK:
            card["na"].setdefault(field, "the exporter says DCGM has no such value of this card")
        else:
            said[field] = value * _SCALE.get(sample.name, 1)
    return GpuMetrics(
        cards=tuple(_card(node, index, card) for (node, index), card in sorted(found.items())),
        up=up,
        pods={key: tuple(sorted(names)) for key, names in sorted(pods.items())},
    )


def _card(node: str, index: int, card: dict[str, Any]) -> Gpu:
    na: dict[str, str] = card["na"]
    said: dict[str, Any] = card["said"]
    total = _total(said)
    if total is None and "free" in na:
        na["memory_total_mib"] = na["free"]
    engine = said.pop("engine", None)
    for part in ("free", "reserved", "engine"):
        said.pop(part, None)
        na.pop(part, None)
    mig = tuple(_instance(id, part) for id, part in sorted(card["mig"].items()))
    if said.get("util_percent") is None and engine is not None and not mig:
        said["util_percent"] = engine * 100
    said = possible({**said, "memory_total_mib": total}, na, "the exporter")
    for field in FIGURES:
        if said.get(field) is None:
            why = UNDER_MIG if mig and field in (*_OF_INSTANCE, "memory_total_mib") else ""
            na.setdefault(field, JETSON_LACKS if card["jetson"] else why or "no such series")
    xid, throttle = said.pop("xid", None), said.pop("throttle", None)
    if xid is None:
        na.setdefault("xid", "a Jetson has no XIDs" if card["jetson"] else "no such series")
    ecc = said.pop("ecc_uncorrected", None)
    return Gpu(
        node=node,
        index=index,
        uuid=inert(card["uuid"], 64) if card.get("uuid") else None,
        product=inert(card["product"], 64) if card.get("product") else None,
        driver=inert(card["driver"], 40) if card.get("driver") else None,
        sharing="mig" if mig else None,
        mig=mig,
        throttle=None if throttle is None else throttle_words(int(throttle)),
        xid=None if xid is None else int(xid),
        ecc_uncorrected=None if ecc is None else int(ecc),
        na=na,
        **said,
    )


def _total(said: dict[str, Any]) -> float | None:
    """MiB: as told, else what is used, free and reserved together."""
    total, used, free = (said.get(f) for f in ("memory_total_mib", "memory_used_mib", "free"))
    if total is None and used is not None and free is not None:
        total = used + free + said.get("reserved", 0)
    return total or None


def _instance(id: int, part: dict[str, Any]) -> MigInstance:
    engine, util = part.get("engine"), part.get("util_percent")
    figures = possible(
        {
            "util_percent": engine * 100 if engine is not None else util,
            "memory_used_mib": part.get("memory_used_mib"),
            "memory_total_mib": _total(part),
        },
        {},
        "the exporter",
    )
    profile = part.get("profile")
    return MigInstance(id=id, profile=inert(profile, 40) if profile else None, **figures)


def _pod(labels: dict[str, str], exporters: set[str]) -> str | None:
    """`namespace/name` of the pod that has the card. Without honor_labels Prometheus calls the
    exporter's own pod `pod`, and the one that was meant `exported_pod`."""
    prefix = "exported_" if "exported_pod" in labels else ""
    namespace, pod = labels.get(f"{prefix}namespace"), labels.get(f"{prefix}pod")
    if not namespace or not pod or (not prefix and (pod in exporters or "dcgm-exporter" in pod)):
        return None
    return inert(f"{namespace}/{pod}", 320)


def key_of(sample: Sample, config: Config) -> Key:
    """The card that a series is of."""
    index = sample.labels.get("gpu", "0")
    number = int(index) if index.isdecimal() and len(index) < 4 else 0
    return node_of(sample.labels, config), number


def node_of(labels: dict[str, str], config: Config) -> str:
    """The configured node that a series is of: where it was scraped counts before its labels."""
    host = labels.get("instance", "").rpartition(":")[0]
    for name, node in config.nodes.items():
        if host and host in (name, node.address):
            return name
    said = labels.get("Hostname") or labels.get("node") or host or "unknown"
    return inert(said, 64)
