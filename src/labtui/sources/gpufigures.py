"""What a figure of a card may be: the same for every source that tells one.

A source that says 105 % or 5000 W is not asked what it meant: the figure is None, and `na` says
what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from labtui.model import GpuProcess, MigInstance

LIMITS: dict[str, tuple[float, float]] = {
    "util_percent": (0, 100),
    "memory_used_mib": (0, 1 << 24),
    "memory_total_mib": (1, 1 << 24),
    "temperature_c": (-40, 150),
    "power_w": (0, 3000),
    "power_limit_w": (1, 3000),
    "power_default_w": (1, 3000),
    "power_min_w": (1, 3000),
    "power_max_w": (1, 3000),
    "clock_mhz": (0, 6000),
    "clock_max_mhz": (1, 6000),
    "clock_lock_mhz": (1, 6000),
    "ecc_uncorrected": (0, 1 << 48),
    "xid": (0, 1 << 16),
    "throttle": (0, (1 << 32) - 1),
}
"""Field of a Gpu -> the lowest and the highest that can be. No card draws more than 1.5 kW yet;
the rest of the limits are as generous."""
LOCK_UNTOLD = "no driver tells to what its clocks are locked"
UNDER_MIG = "under MIG each instance is busy apart; there is no figure for all"


CANNOT_BE = "cannot be"
"""How every source says that what it was told is impossible."""


def possible(values: dict[str, Any], na: dict[str, str], who: str) -> dict[str, Any]:
    """The figures that can be; for each other one `na` tells what `who` says."""
    kept: dict[str, Any] = {}
    for field, value in values.items():
        low, high = LIMITS.get(field, (None, None))
        if value is not None and low is not None and high is not None and not low <= value <= high:
            na[field] = f"{who} says {value:g}: {CANNOT_BE}"
        else:
            kept[field] = value
    used, total = kept.get("memory_used_mib"), kept.get("memory_total_mib")
    if used is not None and total is not None and used > total:
        na["memory_used_mib"] = f"{who} says {used:g} of {total:g} MiB: {CANNOT_BE}"
        kept["memory_used_mib"] = None
    return kept


def inside(
    processes: Sequence[GpuProcess],
    mig: Sequence[MigInstance],
    total: float | None,
    na: dict[str, str],
    who: str,
) -> tuple[tuple[GpuProcess, ...], tuple[MigInstance, ...]]:
    """What is on a card of `total` MiB, without the figures that cannot be; `na` tells the last."""
    most = total or LIMITS["memory_used_mib"][1]
    using, parts = [], []
    for process in processes:
        memory = process.memory_mib
        if memory is not None and not 0 <= memory <= most:
            na["process_memory"] = f"{who} says {memory:g} MiB of pid {process.pid}: {CANNOT_BE}"
            process = structs.replace(process, memory_mib=None)
        using.append(process)
    for part in mig:
        told = {field: getattr(part, field) for field in _OF_INSTANCE}
        wrong: dict[str, str] = {}
        kept = possible(told, wrong, f"of instance {part.id} {who}")
        if wrong:
            na["instance"] = next(iter(wrong.values()))
            part = structs.replace(part, **{field: kept.get(field) for field in _OF_INSTANCE})
        parts.append(part)
    return tuple(using), tuple(parts)


_OF_INSTANCE = "util_percent", "memory_used_mib", "memory_total_mib"
