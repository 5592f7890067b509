"""`pyslurm.core.error`"""

from labtui.slurm.error import (
    PyslurmError,
    RPCError,
    get_last_slurm_error,
    slurm_errno,
    slurm_strerror,
    verify_rpc,
)

__all__ = [
    "PyslurmError",
    "RPCError",
    "get_last_slurm_error",
    "slurm_errno",
    "slurm_strerror",
    "verify_rpc",
]
