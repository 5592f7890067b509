"""Resources as jobs and steps have them in JSON and text."""

from __future__ import annotations

from typing import Any

from labtui.slurm import values
from labtui.slurm.db.tres import TrackableResources


def tres(value: Any) -> TrackableResources | None:
    """`cpu=1,mem=4G`; None for nothing and for what cannot be read."""
    return _tres(value.replace("gres:", "gres/")) if isinstance(value, str) else None


def _tres(value: str) -> TrackableResources | None:
    # `gres/gpu:a100:2` of what was asked, `gres/gpu:a100=2` of what is had
    parts = []
    for part in value.split(","):
        name, mark, count = part.rpartition(":")
        asked = "=" not in part and mark and values.whole(count) is not None
        parts.append(f"{name}={count}" if asked else part if "=" in part else f"{part}=1")
    try:
        found: TrackableResources | None = TrackableResources.from_str(
            ",".join(parts) if values.text(value) else None
        )
    except (ValueError, OverflowError):
        return None
    if found is not None:
        found.raw_str = value
    return found
