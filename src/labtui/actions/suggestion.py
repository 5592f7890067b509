"""A suggestion, and what those for jobs and for pods have in common."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from labtui.model import Gpu, Holder
from labtui.text import inert
from labtui.views.gpus import GpuRow


class Suggestion(msgspec.Struct, frozen=True):
    """All texts are inert."""

    words: str
    """`Release job 1431 eval of ana`."""
    why: str
    command: str = ""
    """What would be sent, to read or to copy; empty where there is nothing to do."""
    action: str = ""
    """For `Session.action(action, items, answer, changes)`; empty: only to be read."""
    items: tuple[Any, ...] = ()
    answer: str = ""
    changes: Mapping[str, str] | None = None


NOW, OPEN, FREE, ORDER, ELSEWHERE, LATER = range(6)
"""What works at once and costs nobody; what gives a machine back; what ends somebody idle; what
changes the order; what changes the job; what only tells."""
Ranked = tuple[int, Suggestion]


class Idle(NamedTuple):
    """One who holds slices, does nothing with any of them, and what tells so."""

    row: GpuRow
    holder: Holder
    said: str


def line(argv: Sequence[str]) -> str:
    return inert(shlex.join(argv), 300)


def not_known(what: str, node: str, why: str) -> Ranked:
    name = inert(node, 60)
    return LATER, Suggestion(f"it is not known which {what} wait for a GPU of {name}", why)


def idle(cards: Sequence[Gpu], all_cards: Sequence[Gpu]) -> list[Idle]:
    """Of these cards; of all that there are, for who works on one card uses what it booked."""
    said = [(card, _said(card)) for card in cards]
    if not any(words for _, words in said):
        return []
    working = set()
    for card in all_cards:
        waits = _said(card)
        working |= {(h.kind, h.id) for h in card.holders if h.slices and h.id not in waits}
    found = []
    for card, words in said:
        for held in card.holders:
            if held.slices and held.id in words and (held.kind, held.id) not in working:
                number = held.indexes[0] + 1 if held.indexes else 1
                row = GpuRow(node=card.node, index=card.index, gpu=card, slice=number, holder=held)
                found.append(Idle(row, held, inert(words[held.id], 200)))
    return found


def _said(card: Gpu) -> dict[str, str]:
    return {f.holder: f.text for f in card.findings if f.kind == "idle-slice" and f.holder}
