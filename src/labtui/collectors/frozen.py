"""An exporter that repeats itself: fresh for Prometheus, and yet old.

A card that draws power uses energy. While its energy counter stands still its other figures are
as old, whatever the clock of the scrape says.
"""

from __future__ import annotations

import time

import msgspec
from msgspec import structs

from labtui.collectors.dcgm import ENERGY, FIGURES, GpuMetrics, Key, key_of
from labtui.config import Config
from labtui.model import Finding, Gpu
from labtui.sources.prometheus import Sample

LEAST_S = 30.0
"""Seconds without a step of the counter before it counts as frozen."""
UNSEEN_S = 150.0
"""The same while no step was seen: exporters are asked once a minute in some places."""
_STEPS = 4.0
"""So many of its usual steps may be missing."""
_FIELDS = (
    *FIGURES, "throttle", "xid", "ecc_uncorrected", "power_limit_w", "clock_max_mhz",
)  # fmt: skip


class _Counter(msgspec.Struct):
    value: float
    since: float
    """Unix seconds when this value was seen first."""
    step: float | None = None
    """The longest of its last steps, in seconds."""


class Frozen:
    """Remembers when each card's counter moved."""

    def __init__(self) -> None:
        self._counters: dict[Key, _Counter] = {}

    def marked(
        self, metrics: GpuMetrics, samples: list[Sample], config: Config, now: float
    ) -> GpuMetrics:
        """The same, without the figures of cards whose exporter repeats itself."""
        stands: dict[Key, float] = {}
        seen = {key_of(s, config): s.value for s in samples if s.name == ENERGY}
        for key in self._counters.keys() - seen.keys():
            del self._counters[key]
        for key, value in seen.items():
            if value is None:
                continue
            before = self._counters.get(key)
            if before is None:
                self._counters[key] = _Counter(value, now)
            elif value != before.value:
                took = now - before.since
                # A gap of the freeze itself is not how it usually steps.
                step = max(took, (before.step or took) * 0.9) if took < LEAST_S * 2 else None
                self._counters[key] = _Counter(value, now, step or before.step)
            else:
                allowed = UNSEEN_S if before.step is None else max(LEAST_S, _STEPS * before.step)
                if now - before.since > allowed:
                    stands[key] = before.since
        if not stands:
            return metrics
        cards = tuple(
            _without(card, stands[key])
            if (key := (card.node, card.index or 0)) in stands and (card.power_w or 0) > 0
            else card
            for card in metrics.cards
        )
        return structs.replace(metrics, cards=cards)


def _without(card: Gpu, since: float) -> Gpu:
    why = f"the exporter repeats itself since {time.strftime('%H:%M:%S', time.localtime(since))}"
    finding = Finding(
        kind="frozen", severity=2, text=why,
        means="DCGM or its exporter hangs: restart it; what it says is old",
    )  # fmt: skip
    return Gpu(
        node=card.node, index=card.index, uuid=card.uuid, product=card.product,
        driver=card.driver, sharing=card.sharing, na=dict.fromkeys(_FIELDS, why),
        findings=(finding,),
    )  # fmt: skip
