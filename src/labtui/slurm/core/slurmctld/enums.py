"""How much is shut down."""

from __future__ import annotations

from enum import IntEnum


class ShutdownMode(IntEnum):
    """slurm/slurm.h: the argument of slurm_shutdown()."""

    ALL = 0
    """slurmctld and every slurmd."""
    CORE_FILE = 1
    """slurmctld alone, leaving a core file."""
    CONTROLLER_ONLY = 2
    """slurmctld alone."""
