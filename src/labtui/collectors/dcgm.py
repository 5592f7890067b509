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
from labtui.sources.gpufigures import CANNOT_BE, LIMITS, inside, possible
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
_NO_VALUE = "the exporter says DCGM has no such value of this card"
_PARTS = {"memory_used_mib": "used", "free": "free", "reserved": "reserved"}
"""What makes the total of the frame buffer."""
_MOST_MIB = LIMITS["memory_total_mib"][1]
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
        field, said, na = METRICS[sample.name], card["said"], card["na"]
        part = sample.labels.get("GPU_I_ID", "")
        if part.isdecimal() and len(part) < 4:
            instance = card["mig"].setdefault(int(part), {"na": {}})
            instance["profile"] = sample.labels.get("GPU_I_PROFILE") or instance.get("profile")
            if field in _OF_INSTANCE:
                said, na = instance, instance["na"]
        value = sample.value
        if value is None:
            na.setdefault(field, "the exporter says NaN")
        elif value >= _BLANK:
            na.setdefault(field, _NO_VALUE)
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
    total = _total(said, na)
    engine = said.pop("engine", None)
    for part in ("free", "reserved", "engine"):
        said.pop(part, None)
        na.pop(part, None)
    parts = [_instance(id, part, na) for id, part in sorted(card["mig"].items())]
    _, mig = inside((), parts, None, na, "the exporter")
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


def _total(said: dict[str, Any], na: dict[str, str]) -> float | None:
    """MiB: as told, else what is used, free and reserved together. None, and why in `na`, where
    one of them cannot be, for then nobody knows which of them is wrong."""
    if said.get("memory_total_mib") is not None:
        return said["memory_total_mib"] or None
    for field, word in _PARTS.items():
        value, why = said.get(field), na.get(field, _NO_VALUE)
        if value is not None and not 0 <= value <= _MOST_MIB:
            why = f"the exporter says {value:g} MiB {word}: {CANNOT_BE}"
        if why != _NO_VALUE:
            na["memory_total_mib"] = why
            return None
    used, free = said.get("memory_used_mib"), said.get("free")
    if used is None or free is None:
        if "free" in na:
            na["memory_total_mib"] = na["free"]
        return None
    return used + free + said.get("reserved", 0) or None


def _instance(id: int, part: dict[str, Any], na: dict[str, str]) -> MigInstance:
    engine, profile = part.get("engine"), part.get("profile")
    total = _total(part, part["na"])
    if (why := part["na"].get("memory_total_mib", "")).endswith(CANNOT_BE):
        na["instance"] = f"of instance {id} {why}"
    return MigInstance(
        id=id,
        profile=inert(profile, 40) if profile else None,
        util_percent=part.get("util_percent") if engine is None else engine * 100,
        memory_used_mib=part.get("memory_used_mib"),
        memory_total_mib=total,
    )


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
