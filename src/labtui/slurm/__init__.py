"""Slurm through its own commands, under PySlurm's names: `import labtui.slurm as pyslurm`.

Names are looked up when they are first used (PEP 562): what the console imports from here before
its first frame stays small. `labtui.slurm.aio` is the asynchronous face, `bridge.connect` chooses
where Slurm's commands run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labtui.slurm import aio, bridge, constants, db, error, settings, utils
    from labtui.slurm.bridge import connect
    from labtui.slurm.documents import parse
    from labtui.slurm.enums import SchedulerType
    from labtui.slurm.errors import PyslurmError, RPCError

_HOMES = {
    "Job": "core.job.job",
    "Jobs": "core.job.job",
    "JobStep": "core.job.step",
    "JobSteps": "core.job.step",
    "JobSubmitDescription": "core.job.submission",
    "Node": "core.node",
    "Nodes": "core.node",
    "Partition": "core.partition",
    "Partitions": "core.partition",
    "PyslurmError": "errors",
    "RPCError": "errors",
    "Reservation": "core.reservation",
    "ReservationFlags": "core.reservation",
    "ReservationReoccurrence": "core.reservation",
    "Reservations": "core.reservation",
    "SchedulerType": "enums",
    "connect": "bridge",
    "parse": "documents",
}
_MODULES = {
    name.rpartition(".")[2]: name
    for name in ("aio", "bridge", "constants", "core", "core.slurmctld", "db", "error", "settings",
                 "utils", "xcollections")
}  # fmt: skip

__all__ = [
    "PyslurmError", "RPCError", "SchedulerType", "aio", "bridge", "connect", "constants", "db",
    "error", "parse", "settings", "slurm_fini", "slurm_init", "utils",
]  # fmt: skip


def slurm_init(config_path: str | None = None) -> None:
    """Nothing is to be set up: Slurm's commands read their own configuration. PySlurm's name."""


def slurm_fini() -> None:
    """Close the connection that `connect` made, or the first call to this machine."""
    from labtui.slurm import bridge

    bridge.close()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"labtui.slurm.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"labtui.slurm.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
