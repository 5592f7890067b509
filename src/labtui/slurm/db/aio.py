"""The asynchronous face of the accounting."""

from __future__ import annotations

from labtui.slurm import documents
from labtui.slurm.client import SlurmClient
from labtui.slurm.db.tres import TrackableResources


async def tres(client: SlurmClient) -> TrackableResources:
    """All resources that the accounting tracks, with their numbers."""
    argv = ["sacctmgr", "-n", "-P", "show", "tres", "format=ID,Type,Name"]
    found: TrackableResources = documents.parse((await client.read(argv)).stdout, kind="tres")
    return found
