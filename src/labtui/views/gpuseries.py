"""What this console saw of each card: short series for the curves of its detail."""

from __future__ import annotations

import time

from labtui.collectors.gpus import GpuMetrics
from labtui.model import Gpu
from labtui.store import Feed, Store

FIELDS = {
    "util": "util_percent", "memory": "memory_used_mib", "temperature": "temperature_c",
    "power": "power_w",
}  # fmt: skip
DIRECT = ("nvml", "smi", "jetson")
"""Feeds of one machine's own cards, the best first; Prometheus counts where none of them answers.
"""
ENOUGH = 200
"""Cards above which only the utilisation is kept: a thousand cards' series of 120 values take
10 MB each."""


def series(card: Gpu, name: str) -> str:
    """The store's series of a card, whoever tells it: `name` is one of FIELDS."""
    return f"gpu.{card.node}.{card.uuid or card.index}.{name}"


def remember(store: Store) -> None:
    """Keep them from now on, each from the best source that answers."""

    def listen(_old: Feed, new: Feed) -> None:
        kind, _, node = new.name.partition(".")
        reading = new.latest
        if reading is None or reading.value is None:
            return
        if new.name == "prom.gpus" and isinstance(reading.value, GpuMetrics):
            cards = reading.value.cards
            silent = {n for n in {c.node for c in cards} if not _answers(store, n, DIRECT)}
            cards = tuple(card for card in cards if card.node in silent)
        elif kind in DIRECT and isinstance(reading.value, list):
            if _answers(store, node, DIRECT[: DIRECT.index(kind)]):
                return
            cards = tuple(card for card in reading.value if isinstance(card, Gpu))
        else:
            return
        fields = list(FIELDS.items())[: 1 if len(cards) > ENOUGH else len(FIELDS)]
        for card in cards:
            for name, field in fields:
                value = getattr(card, field)
                store.record(series(card, name), value, reading.taken_at)

    store.subscribe(["*"], listen)


def _answers(store: Store, node: str, kinds: tuple[str, ...]) -> bool:
    now = time.time()
    feeds = (store.feed(f"{kind}.{node}") for kind in kinds)
    return any(feed is not None and feed.state(now) == "ok" for feed in feeds)
