"""Which server of a set an operation is sent to, and how its answer is taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from labtui.actions.base import ActionError
from labtui.collectors.vault import standing
from labtui.config import Config
from labtui.keyholder.operation import Door
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


def cannot_serve(node: VaultNode) -> str | None:
    """Why it answers no request with a token; None when it does. A standby passes them on."""
    match node.state:
        case "active" | "standby":
            return None
        case "sealed" | "unsealing":
            return "it is sealed: unseal it first"
        case "uninitialised":
            return "it has no keys yet"
    return node.detail or f"its state is {node.state}"


async def fresh(config: Config, node: str) -> VaultNode:
    """Asked now. Raises ActionError."""
    try:
        return await standing(config, node)
    except SourceError as error:
        raise ActionError(error.fault.message, error.fault.kind) from None


async def serving(doors: Doors) -> Door:
    """The active server. Raises ActionError that tells what each of them is."""
    names = list(doors.config.vault.nodes)
    if not names:
        raise ActionError("no Vault is configured: [vault.nodes] names each server")
    found = await asyncio.gather(*(_state(doors.config, name) for name in names))
    for name, state, _ in found:
        if state == "active":
            return doors.door(name)
    words = "; ".join(f"{inert(name, 60)}: {state}" for name, state, _ in found)
    kinds = [kind for *_, kind in found]
    raise ActionError(f"no Vault server is active ({words})", kinds[0] if all(kinds) else "")


async def _state(config: Config, node: str) -> tuple[str, str, str]:
    """Name, state in words, and the kind of the fault where it does not answer."""
    try:
        found = await standing(config, node)
    except SourceError as error:
        return node, error.fault.message, error.fault.kind
    if found.state in ("sealed", "unsealing"):
        return node, f"{found.state}, unseal it first", ""
    return node, str(found.state), ""
