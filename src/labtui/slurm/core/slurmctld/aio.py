"""The asynchronous face of the controller: the same objects.

All functions take a SlurmClient first and raise HostError or RPCError.
"""

from __future__ import annotations

import time

from labtui.slurm import documents
from labtui.slurm.client import SlurmClient
from labtui.slurm.commands import PING_TIMEOUT
from labtui.slurm.core.slurmctld.base import PingResponse
from labtui.slurm.core.slurmctld.config import Config
from labtui.slurm.core.slurmctld.stats import Statistics
from labtui.slurm.documents import slurmctld as slurmctld_documents
from labtui.slurm.errors import PyslurmError, RPCError, error_of
from labtui.slurm.release import has_json


async def pings(client: SlurmClient) -> list[PingResponse]:
    """Every controller, also those that do not answer; `latency` is the whole command's time."""
    before = time.perf_counter()
    done = await client.run(["scontrol", "ping"], timeout=PING_TIMEOUT + 5)
    took = round((time.perf_counter() - before) * 1000, 3)
    try:
        found = slurmctld_documents.pings(done.stdout)
    except PyslurmError:
        raise error_of("scontrol", client.host.name, done.stdout, done.stderr) from None
    for one in found:
        one.__dict__["latency"] = took
    return found


async def config(client: SlurmClient) -> Config:
    """slurm.conf as slurmctld has it."""
    return slurmctld_documents.config((await client.read(["scontrol", "show", "config"])).stdout)


async def statistics(client: SlurmClient) -> Statistics:
    """What slurmctld did since counting began."""
    if await has_json(client):
        try:
            printed = (await client.read(["sdiag", "--json"])).stdout
            if isinstance(document := documents.load(printed), dict):
                return slurmctld_documents.statistics(document)
        except RPCError as error:
            if error.kind in ("timeout", "refused"):
                raise
        except PyslurmError:
            pass  # built without JSON
    return slurmctld_documents.statistics((await client.read(["sdiag"])).stdout)
