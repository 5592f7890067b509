"""Which server a command means, and what actions on it reach the lab through."""

from __future__ import annotations

from labtui.actions.vault import Doors
from labtui.commands.basics import USAGE, fail
from labtui.keyholder.holder import Keyholder
from labtui.model import VaultNode
from labtui.session import Session
from labtui.text import inert


def server(session: Session, name: str) -> VaultNode:
    """The one of that name. Ends the process with 2 where there is none."""
    nodes = session.config.vault.nodes
    if name not in nodes:
        there = ", ".join(nodes) or "none"
        fail(f"no Vault {inert(name, 40)!r} in [vault.nodes] (there: {there})", USAGE)
    return VaultNode(node=name, address=nodes[name])


def servers(session: Session, name: str = "") -> list[str]:
    """The one that is named, else all. Ends the process with 2 where there is none."""
    if name:
        return [server(session, name).node]
    if not session.config.vault.nodes:
        fail("no Vault is configured: name its servers in [vault.nodes]", USAGE)
    return list(session.config.vault.nodes)


def doors(session: Session, holder: Keyholder | None = None) -> Doors:
    return Doors(session.config, session.store, session.hosts, holder)
