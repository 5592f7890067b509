"""Who holds which share of which GPU: one item a physical card, from every source at once.

Slurm and Kubernetes say how many slices there are and who holds them, what measures the cards how
they are and what runs there. Where one of them is silent, the row stays and says which and why.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple
from weakref import WeakKeyDictionary

from labtui.config import Config
from labtui.model import Gpu
from labtui.shares.bookings import gres_gpus
from labtui.shares.inputs import FEEDS, Inputs, Reader, hour
from labtui.shares.place import free, held, is_counted, slots
from labtui.shares.reconcile import Placement, cards_of
from labtui.store import Feed, Store

__all__ = [
    "Remembered", "free", "gres_gpus", "held", "hour", "is_counted", "items", "pieces", "slots",
]  # fmt: skip


def items(store: Store, config: Config, now: float) -> list[Gpu]:
    """Every card of the configured machines, by node and index; after a node's cards, with index
    None, what is booked there on no card that is known.

    The list is the same object as last time where nothing changed, and each card of it is where
    nothing of its node did: it is not to be changed.
    """
    return _remembered(store, config).items(store, now)


def pieces(store: Store, config: Config, now: float) -> Generator[None, None, list[Gpu]]:
    """The same with a pause after each node that is made anew, for a thousand cards."""
    return _remembered(store, config).pieces(store, now)


def _remembered(store: Store, config: Config) -> Remembered:
    remembered = _REMEMBERED.get(store)
    if remembered is None or remembered.config is not config:
        remembered = _REMEMBERED[store] = Remembered(config)
    return remembered


class _Made(NamedTuple):
    """The cards of one node, what they were made of, and how long that holds by itself."""

    inputs: Inputs
    since: float
    until: float
    placement: Placement
    cards: list[Gpu]


class Remembered:
    """What was made last time of a store, and of what."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._reader = Reader(config)
        self._nodes: dict[str, _Made] = {}
        self._feeds: list[Feed] = []
        self._from = self._until = 0.0
        self._items: list[Gpu] = []

    def items(self, store: Store, now: float) -> list[Gpu]:
        """As `items` of this module."""
        work = self.pieces(store, now)
        while True:
            try:
                next(work)
            except StopIteration as end:
                made: list[Gpu] = end.value
                return made

    def pieces(self, store: Store, now: float) -> Generator[None, None, list[Gpu]]:
        """As `pieces` of this module. What is told meanwhile counts the next time."""
        feeds = [feed for feed in store.feeds() if feed.name.startswith(FEEDS)]
        in_time = self._from <= now <= self._until
        if in_time and len(feeds) == len(self._feeds) and all(
            a is b for a, b in zip(feeds, self._feeds, strict=True)
        ):  # fmt: skip
            return self._items
        inputs, until = self._reader.read(store, now)
        nodes: dict[str, _Made] = {}
        for told in inputs:
            last = self._nodes.get(told.name)
            if last is None or not last.since <= now <= last.until or last.inputs != told:
                cards, turn, placement = cards_of(told, now, last.placement if last else None)
                if last is not None:
                    cards = _kept(last.cards, cards)
                last = _Made(told, now, turn, placement, cards)
                yield
            nodes[told.name] = last
            until = min(until, last.until)
        found = [gpu for made in nodes.values() for gpu in made.cards]
        if len(found) != len(self._items) or any(
            a is not b for a, b in zip(found, self._items, strict=True)
        ):
            self._items = found
        self._nodes, self._feeds, self._from, self._until = nodes, feeds, now, until
        return self._items


def _kept(old: list[Gpu], new: list[Gpu]) -> list[Gpu]:
    """Of cards that came out the same the old ones."""
    before = {gpu.index: gpu for gpu in old}
    return [last if (last := before.get(gpu.index)) == gpu else gpu for gpu in new]


_REMEMBERED: WeakKeyDictionary[Store, Remembered] = WeakKeyDictionary()
