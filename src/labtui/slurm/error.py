"""`pyslurm.error`: errors by number and by text.

Commands have no errno of their own: the "last" error is the last one that this package raised
through `bridge.call`.
"""

from __future__ import annotations

from labtui.slurm.errors import (
    SLURM_ERROR,
    SLURM_SUCCESS,
    PyslurmError,
    RPCError,
    slurm_strerror,
)

__all__ = [
    "PyslurmError",
    "RPCError",
    "get_last_slurm_error",
    "slurm_errno",
    "slurm_strerror",
    "verify_rpc",
]

_last: tuple[int, str] = (SLURM_SUCCESS, "Success")


def remember(error: RPCError) -> RPCError:
    """Make this the last error."""
    global _last
    _last = (error.errno, error.msg)
    return error


def slurm_errno() -> int:
    """The number of the last error; 0 before the first."""
    return _last[0]


def get_last_slurm_error() -> tuple[int, str]:
    """Number and text of the last error."""
    return _last


def verify_rpc(errno: int) -> None:
    """RPCError for any number but success."""
    if errno != SLURM_SUCCESS:
        number, text = _last
        if errno == SLURM_ERROR and number != SLURM_SUCCESS:
            raise RPCError(number, text)
        raise RPCError(errno)
