"""What labtui changed of a card before: read from the audit, so that it outlives the console.

A change's target names what it changes and how that was before:
`desktop-gpu:0 GPU-5f1c (power limit 450 W)`, `desktop-gpu (slices time-slicing-4)`.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Sequence

import msgspec

from labtui.history import AuditLine, default_path, read_audit
from labtui.text import inert

FREE = "not locked"
"""Of clocks."""
CHANGES = ("gpus.power", "gpus.persistence", "gpus.clocks", "gpus.slices", "gpus.undo")
_TARGET = re.compile(r"(\S+)(?: (GPU-\S+))? \((power limit|persistence|clocks|slices) (.+)\)")


class Change(msgspec.Struct, frozen=True):
    """One that was done, or sent without an answer."""

    at: float
    """Unix seconds."""
    setting: str
    """`power limit`, `persistence`, `clocks`, `slices`."""
    before: str
    steps: tuple[str, ...]
    who: str

    @property
    def added(self) -> str:
        """The entry of the plug-in's ConfigMap that it added; empty: none."""
        hit = re.search(r" patch configmap .*/device-plugin\.config=(\S+)", " ".join(self.steps))
        return hit[1] if hit else ""


def described(what: str, uuid: str, setting: str, before: str) -> str:
    """The target of a change; `what` is `node:index`, or a node."""
    named = f"{inert(what, 80)} {uuid}" if uuid else inert(what, 80)
    return f"{named} ({setting} {inert(before, 80)})"


async def changes(cluster: str, node: str, index: int | None, uuid: str | None) -> list[Change]:
    """Of this card and of its machine's slicing, the newest first."""
    lines = await asyncio.to_thread(_lines, cluster)
    found = [_change(line, f"{node}:{index}", node, uuid) for line in reversed(lines)]
    return [one for one in found if one is not None]


async def last_clocks(cluster: str, node: str, index: int | None, uuid: str | None) -> str | None:
    """How labtui left the card's clocks, `210,1800 MHz` or FREE; None where it never touched
    them."""
    for change in await changes(cluster, node, index, uuid):
        if change.setting == "clocks":
            locked = re.search(r" -lgc (\d+,\d+)", " ".join(change.steps))
            return f"{locked[1]} MHz" if locked else FREE
    return None


def _lines(cluster: str) -> Sequence[AuditLine]:
    try:
        return read_audit(default_path(cluster))
    except (OSError, sqlite3.Error, ValueError):
        return ()


def _change(line: AuditLine, card: str, node: str, uuid: str | None) -> Change | None:
    if line.action not in CHANGES or line.outcome not in ("done", "unknown"):
        return None
    hit = _TARGET.fullmatch(line.targets[0]) if line.targets else None
    if hit is None or hit[1] != (node if hit[3] == "slices" else card):
        return None
    if hit[2] and uuid and hit[2] != uuid:  # another card is in its place now
        return None
    return Change(line.at, hit[3], hit[4], line.steps, line.who)
