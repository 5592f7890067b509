"""Slurm through its own commands, under PySlurm's names where they overlap."""

from labtui.slurm.errors import PyslurmError, RPCError

__all__ = ["PyslurmError", "RPCError"]
