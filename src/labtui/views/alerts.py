"""What Alertmanager says, worst and newest first: for `labtui get alerts`."""

from __future__ import annotations

from labtui.config import Config
from labtui.model import Alert
from labtui.store import Store

_RANK = {"critical": 3, "page": 3, "error": 3, "warning": 2, "info": 1, "none": 0}


def severity(alert: Alert) -> int:
    """0 to 3; a suppressed alert is worth knowing at most, an unknown word is a warning."""
    rank = _RANK.get(alert.severity.lower(), 2)
    return min(rank, 1) if alert.suppressed_by else rank


def items(store: Store, config: Config, now: float) -> list[Alert]:
    value = store.value("alerts")
    found = [a for a in value if isinstance(a, Alert)] if isinstance(value, list) else []
    return sorted(found, key=lambda a: (-severity(a), -(a.since or 0.0), a.id))
