"""The asynchronous face of nodes, partitions and reservations: the same objects.

All functions take a SlurmClient first and raise HostError or RPCError.
"""

from __future__ import annotations

import re
import weakref

from labtui.slurm.client import SlurmClient
from labtui.slurm.core.node import Node, Nodes
from labtui.slurm.core.partition import Partition, Partitions
from labtui.slurm.core.reservation import Reservation, Reservations
from labtui.slurm.documents import node as node_documents
from labtui.slurm.documents import partition as partition_documents
from labtui.slurm.documents import reservation as reservation_documents
from labtui.slurm.errors import RPCError
from labtui.slurm.values import whole

_facts: weakref.WeakKeyDictionary[SlurmClient, tuple[str | None, int | None]] = (
    weakref.WeakKeyDictionary()
)


async def cluster(client: SlurmClient) -> str | None:
    """The cluster's name. Asked once a client, with slurmd's port."""
    return (await _known(client))[0]


async def _known(client: SlurmClient) -> tuple[str | None, int | None]:
    known = _facts.get(client)
    if known is None:
        done = await client.read(["scontrol", "show", "config"])
        said = dict(re.findall(r"^(ClusterName|SlurmdPort)\s*= (\S+)$", done.stdout, re.MULTILINE))
        known = _facts[client] = said.get("ClusterName"), whole(said.get("SlurmdPort", ""))
    return known


async def nodes(client: SlurmClient) -> Nodes:
    """Every node."""
    return await _nodes(client)


async def node(client: SlurmClient, name: str) -> Node:
    """One node. RPCError where there is no such node."""
    missing = RPCError(msg=f"Node '{name}' does not exist", kind="not-found")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise missing
    try:
        found = (await _nodes(client, name)).values()
    except RPCError as error:
        raise missing if error.kind == "not-found" else error from None
    for one in found:
        if one.name == name:
            return one  # type: ignore[no-any-return]
    raise missing


async def _nodes(client: SlurmClient, *name: str) -> Nodes:
    cluster, port = await _known(client)
    done = await client.read(["scontrol", "-a", "-d", "-o", "show", "node", *name])
    found = node_documents.nodes(done.stdout, cluster)
    for one in found.values():
        if one.slurmd_port is None:
            one.__dict__["slurmd_port"] = port
    return found


async def partitions(client: SlurmClient) -> Partitions:
    """Every partition."""
    cluster, _ = await _known(client)
    done = await client.read(["scontrol", "-a", "-o", "show", "partition"])
    return partition_documents.partitions(done.stdout, cluster)


async def partition(client: SlurmClient, name: str) -> Partition:
    """One partition. RPCError where there is no such partition."""
    for one in (await partitions(client)).values():
        if one.name == name:
            return one  # type: ignore[no-any-return]
    raise RPCError(msg=f"Partition '{name}' doesn't exist", kind="not-found")


async def reservations(client: SlurmClient) -> Reservations:
    """Every reservation."""
    cluster, _ = await _known(client)
    done = await client.read(["scontrol", "-a", "-o", "show", "reservation"])
    return reservation_documents.reservations(done.stdout, cluster)


async def reservation(client: SlurmClient, name: str) -> Reservation:
    """One reservation. RPCError where there is no such reservation."""
    for one in (await reservations(client)).values():
        if one.name == name:
            return one  # type: ignore[no-any-return]
    raise RPCError(msg=f"Reservation '{name}' doesn't exist", kind="not-found")
