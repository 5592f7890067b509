"""Which Slurm the commands are of, asked once a client, and what that means."""

from __future__ import annotations

import re
import weakref
from typing import Any

from labtui.slurm import bridge, documents
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import PyslurmError, RPCError

JSON_SINCE = (23, 2)
"""From this release on scontrol prints JSON."""

_releases: weakref.WeakKeyDictionary[SlurmClient, tuple[int, int]] = weakref.WeakKeyDictionary()


async def release(client: SlurmClient) -> tuple[int, int]:
    """(24, 11). Asks no daemon; (0, 0) where it is not told."""
    known = _releases.get(client)
    if known is None:
        parts = [int(part) for part in (await client.version()).split(".")[:2] if part.isdigit()]
        known = _releases[client] = (parts[0], parts[1]) if len(parts) == 2 else (0, 0)
    return known


class NoJson(RPCError):
    """This Slurm was built without JSON, whatever its release."""


_without: weakref.WeakSet[SlurmClient] = weakref.WeakSet()
_REFUSED = re.compile(r"json|serializer|unrecognized option", re.IGNORECASE)


def without_json(client: SlurmClient) -> bool:
    """Whether it is known that this Slurm prints no JSON at all."""
    return client in _without


async def has_json(client: SlurmClient) -> bool:
    """Whether scontrol prints JSON."""
    return not without_json(client) and await release(client) >= JSON_SINCE


async def document(client: SlurmClient, *argv: str) -> dict[str, Any]:
    """The JSON object that a command printed.

    RPCError where it is none, or reports an error; NoJson where there never will be any.
    """
    try:
        done = await client.read(argv)
    except RPCError as error:
        if not _REFUSED.search(error.msg):
            raise
        _without.add(client)
        raise NoJson(error.errno, error.msg, kind=error.kind) from None
    try:
        found = documents.load(done.stdout)
    except RPCError:
        raise
    except PyslurmError as error:
        raise RPCError(msg=str(error)) from None
    if isinstance(found, str):
        raise RPCError(msg=f"{argv[0]} gave something that is not its JSON")
    return found


_clusters: weakref.WeakKeyDictionary[SlurmClient, str | None] = weakref.WeakKeyDictionary()


async def named(client: SlurmClient) -> str | None:
    """The cluster's name, asked once a client: items that nobody named a cluster for are of it."""
    if client not in _clusters:
        _clusters[client] = await bridge.ask_cluster(client)
    current = bridge.current()
    if current.client is client and not current.named:
        current.cluster, current.named = _clusters[client], True
    return _clusters[client]
