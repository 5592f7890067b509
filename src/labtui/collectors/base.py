"""What a collector is. The scheduler runs them (`schedule.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from labtui.store import Fault, FaultKind


class CollectError(Exception):
    """A source answered with an error that a person should read as one sentence."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(kind, message)


class Collector(ABC):
    """Asks one source for one thing, again and again. It belongs to the app, not to a screen."""

    name: str
    """The feed it fills, e.g. `slurm.jobs` or `host.truenas`."""
    kind: str
    """What the top line calls it: `slurm`, `vault`, `prom`, `mlflow`, `ssh`."""
    interval: float = 5.0
    """Seconds between two answers while a screen shows it."""
    timeout: float = 10.0
    """Seconds after which an attempt counts as failed."""
    background: float = 4.0
    """Factor on `interval` while no screen shows it; 1.0 for what must be noticed anyway."""

    lazy: bool = False
    """Not asked at all before a screen first wants it."""
    cost: float = 0.0
    """A poll may take one part in this many of the time: an expensive one stretches its interval.
    0 where its time is spent waiting."""

    patience: float = 0.0
    """Seconds between attempts while it fails, at most; 0: as the scheduler thinks best."""

    @abstractmethod
    async def collect(self) -> Any:
        """One value. Raises HostError, CollectError or anything: it costs this feed only."""

    async def close(self) -> None:
        """Give back what it holds; called once, with a second to finish."""
        return
