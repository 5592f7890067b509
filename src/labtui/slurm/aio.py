"""The asynchronous face: `await aio.jobs(client)`, the same objects as the synchronous one.

All functions take a SlurmClient first and raise HostError or RPCError.
"""

from __future__ import annotations

from typing import Any

from labtui.slurm import documents
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError


async def release(client: SlurmClient) -> tuple[int, int]:
    """(24, 11): which Slurm the commands are of. Asked once a client."""
    known: tuple[int, int] | None = client.__dict__.get("_release")
    if known is None:
        parts = [int(p) for p in (await client.version()).split(".")[:2] if p.isdigit()]
        known = client.__dict__["_release"] = (parts[0], parts[1]) if len(parts) == 2 else (0, 0)
    return known


async def document(client: SlurmClient, *argv: str) -> dict[str, Any]:
    """The JSON object that a command printed. RPCError where it is none, or reports an error."""
    done = await client.read(argv)
    found = documents.load(done.stdout)
    if isinstance(found, str):
        raise RPCError(msg=f"{' '.join(argv[:2])} gave something that is not its JSON")
    return found


__all__ = ["document", "release"]
