"""What is told of a job that waits, or that has ended."""

from __future__ import annotations

import time

import msgspec


class Explained(msgspec.Struct, frozen=True):
    """All texts are inert."""

    short: str
    """For a column: `you hold 4 of 4 GPUs until 14:20`."""
    text: str
    """A sentence or two."""
    advice: str
    """What to do about it; empty where there is nothing to say."""
    until: float | None = None
    """Unix seconds when the cause is gone at the latest, as far as that is known."""
    never: bool = False
    """It does not start as it is, however long it waits."""


def when(moment: float, now: float) -> str:
    """`14:20`, or with the day when that is not today."""
    try:
        then, today = time.localtime(moment), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "some day"
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%m-%d %H:%M", then)
