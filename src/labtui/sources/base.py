"""What a source's client raises, and how foreign values become ours."""

from __future__ import annotations

import math
from typing import Any

from labtui.store import Fault, FaultKind
from labtui.text import inert


class SourceError(Exception):
    """A source did not do what was asked: a kind to act on, one inert sentence naming it."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(kind, inert(message, 300))


def number(value: Any) -> float | None:
    """A finite number, also from a string; None for NaN, infinities and anything else."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def millis(value: Any) -> float | None:
    """Unix seconds of a time stamp in milliseconds; None for 0, which means "not yet"."""
    found = number(value)
    return found / 1000 if found else None
