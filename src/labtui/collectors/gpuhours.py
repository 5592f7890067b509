"""`prom.gpuhours`: the last hour of each card, for a strip of it.

Means of five minutes, and in how many minutes the clocks were held down: by DCGM's mask of reasons,
of a card without it by its counters of violations, which tell that they were, not for how long.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from labtui.collectors.dcgm import key_of
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.model import GpuHours
from labtui.sources.prometheus import Prometheus, Sample
from labtui.sources.threads import Lane
from labtui.text import inert

SPAN_S = 3600.0
STEP_S = 300.0
_UTIL = ("DCGM_FI_DEV_GPU_UTIL", "jetson_gpu_utilization_percent")
_MASKS = "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS|DCGM_FI_DEV_CLOCKS_EVENT_REASONS"
_VIOLATIONS = ("DCGM_FI_DEV_POWER_VIOLATION", "DCGM_FI_DEV_THERMAL_VIOLATION")
"""Counters of time, whose unit has changed: only that they grew counts."""
_GROWTH = [f"increase({name}[120s])" for name in _VIOLATIONS]
_GROWN = (
    f"({' or '.join([*(f'{one} > 0' for one in _GROWTH), *_GROWTH])}) "
    f'unless on (instance, gpu) {{__name__=~"{_MASKS}"}}'
)
"""Of the cards without a mask: of the counters of a card, one that grew, else any of them."""
_IDLE = 0x1


class PromGpuHours(SourceCollector):
    name = "prom.gpuhours"
    kind = "prom"
    interval = 60.0
    lazy = True

    def __init__(self, config: Config) -> None:
        section = config.prometheus
        self.timeout = 3 * section.timeout_s + 1.0
        self._budget = section.timeout_s
        self._config = config
        self._client = Prometheus(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
        self._lane = Lane(f"{self._client.who} (the last hour)")

    async def ask(self) -> GpuHours:
        now = time.time()
        # Not one selector for both names: a function drops the name, and two series may be alike.
        means = " or ".join(f"avg_over_time({name}[{STEP_S:.0f}s])" for name in _UTIL)
        util = await self._range(means, now, STEP_S)
        masks = await self._range(f'{{__name__=~"{_MASKS}"}}', now, 60.0)
        grown = await self._range(_GROWN, now, 60.0)
        return await self._lane.call(self._budget, hours, util, masks, grown, self._config, now)

    async def _range(self, query: str, now: float, step: float) -> list[Sample]:
        start = now - SPAN_S + step
        return await self._lane.call(self._budget, self._client.range, query, start, now, step)

    async def close(self) -> None:
        self._client.close()


def hours(
    util: list[Sample], masks: list[Sample], grown: list[Sample], config: Config, now: float
) -> GpuHours:
    """Series as strips of 12 means, and minutes that were looked at."""
    strips: dict[str, list[float | None]] = {}
    for sample in util:
        if sample.labels.get("GPU_I_ID"):
            continue
        strip = strips.setdefault(_name(sample, config), [None] * round(SPAN_S / STEP_S))
        for at, value in sample.values:
            # A mean's moment is its end: the newest ends now.
            place = len(strip) - 1 - round((now - at) / STEP_S)
            if value is not None and 0 <= value <= 100 and 0 <= place < len(strip):
                strip[place] = value
    throttled = _minutes(masks, _by_mask, config)
    violated = _minutes(grown, lambda value: value > 0, config)
    return GpuHours(
        util={name: tuple(strip) for name, strip in sorted(strips.items())},
        throttled=throttled,
        violated={name: told for name, told in violated.items() if name not in throttled},
        step_s=STEP_S,
    )


def _minutes(
    samples: list[Sample], is_held: Callable[[float], bool], config: Config
) -> dict[str, tuple[int, int]]:
    """Of each card the minutes that are held, and all that have a sample."""
    found: dict[str, dict[int, bool]] = {}
    for sample in samples:
        minutes = found.setdefault(_name(sample, config), {})
        for at, value in sample.values:
            if value is not None:
                minute = math.floor(at / 60)
                minutes[minute] = minutes.get(minute, False) or is_held(value)
    return {name: (sum(m.values()), len(m)) for name, m in sorted(found.items()) if m}


def _by_mask(value: float) -> bool:
    """A mask that can be, with a reason other than that there is nothing to do."""
    return 0 <= value < 1 << 32 and bool(int(value) & ~_IDLE)


def _name(sample: Sample, config: Config) -> str:
    """By UUID, for an exporter may count in another order than the driver."""
    node, index = key_of(sample, config)
    return f"{node}:{inert(sample.labels.get('UUID', ''), 64) or index}"
