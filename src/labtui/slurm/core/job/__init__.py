"""Jobs, their steps and their submission. Names are looked up when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Job": "job",
    "Jobs": "job",
    "JobStep": "step",
    "JobSteps": "step",
    "JobSubmitDescription": "submission",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
