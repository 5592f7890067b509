"""Each Vault server by its own address: sealed, standby, refused are different things."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from labtui.config import Config
from labtui.model import Agent, VaultNode, VaultState
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Fault, FaultKind, Feed, Store
from labtui.text import age, inert
from labtui.views import agents as agents_view
from labtui.views import vaultset
from labtui.views.vaultdetail import TONES, VaultRow, detail
from labtui.views.vaultset import WAITING, findings, missing, opens_by_shares

_FAULTS: dict[str, VaultState] = {"refused": "refused", "tls": "tls"}
_ADVICE: dict[FaultKind, str] = {
    "unreachable": "is the machine on, and is there a way to it?",
    "timeout": "it hangs, or the way there does: look at its load and its log",
    "not-found": "look at its address in [vault.nodes]",
    "permission": "the server itself forbids this to nobody: what stands before it?",
    "auth": "the server itself wants none for this: what stands before it?",
}
"""What to look at, where the state says nothing."""


def states(store: Store, config: Config, now: float) -> list[VaultNode]:
    """One item a configured server, also while it has never answered; without its agents."""
    return [
        _item(name, address, store.feed(f"vault.{name}"))
        for name, address in config.vault.nodes.items()
    ]


def items(store: Store, config: Config, now: float) -> list[VaultNode]:
    """The same with the agents that talk to each; those of no known server are the first's."""
    nodes = states(store, config, now)
    living = agents_view.items(store, config, now)
    addresses = [node.address.rstrip("/") for node in nodes]
    of: dict[int, list[Agent]] = {}
    for agent in living:
        told = (agent.address or "").rstrip("/")
        of.setdefault(addresses.index(told) if told in addresses else 0, []).append(agent)
    return [
        msgspec.structs.replace(node, agents=tuple(of[i])) if i in of else node
        for i, node in enumerate(nodes)
    ]


def rows(store: Store, config: Config, now: float) -> list[VaultRow]:
    nodes = tuple(states(store, config, now))
    living = tuple(agents_view.items(store, config, now))
    return [
        VaultRow(
            **{f: getattr(node, f) for f in node.__struct_fields__}, peers=nodes, living=living
        )
        for node in nodes
    ]


def alarm(store: Store, config: Config, now: float) -> str:
    """The worst of it for the top line of any screen: `vault sealed on truenas 6m`; or nothing."""
    found = [f for f in findings(states(store, config, now), now) if f.severity >= 3]
    if not found:
        return ""
    # That nobody is active is worse than why.
    first = next((f for f in found if len(f.nodes) > 1), found[0])
    since = f" {age(now - first.since)}" if first.since else ""
    return f"{first.words}{since}" + (f" +{len(found) - 1}" if len(found) > 1 else "")


def _item(name: str, address: str, feed: Feed | None) -> VaultNode:
    if feed is None or feed.latest is None:
        return VaultNode(node=name, address=address, detail=WAITING)
    if feed.error is None:
        value = feed.value
        if isinstance(value, VaultNode):
            return value
        return VaultNode(node=name, address=address, detail=WAITING)
    return _failed(name, address, feed.error, feed)


def _failed(name: str, address: str, fault: Fault, feed: Feed) -> VaultNode:
    """A server that does not answer: nothing that it once said is taken for so now."""
    before = feed.value if isinstance(feed.value, VaultNode) else None
    advice = _ADVICE.get(fault.kind, "")
    return VaultNode(
        node=name,
        address=address,
        state=_FAULTS.get(fault.kind, "unknown"),
        version=before.version if before else None,
        detail=inert(f"{fault.message}{'; ' if advice else ''}{advice}"),
        since=feed.since,
        was=before.state if before else None,
    )


def severity(node: VaultNode) -> int:
    peers = node.peers if isinstance(node, VaultRow) else (node,)
    return vaultset.severity(node, time.time(), peers)


def _state(node: VaultNode) -> Cell:
    return Cell(node.state, TONES[severity(node)])


def _unseal(node: VaultNode) -> Cell | str:
    if not node.sealed or node.state == "uninitialised":
        return Cell("-", "dim")
    if not opens_by_shares(node):
        return Cell("gone" if node.removed else "auto", "warn")
    if node.threshold is None:
        return Cell("-", "dim")
    return Cell(f"{node.progress or 0} of {node.threshold}", "warn")


def _dash(value: Any, width: int = 64) -> Cell | str:
    return Cell("-", "dim") if value is None else inert(value, width)


def _since(node: VaultNode) -> Cell | str:
    return "-" if node.since is None else age(time.time() - node.since)


def _heading(nodes: Sequence[VaultNode]) -> str:
    """What the whole set is, the worst sentence of it where there is one."""
    counted = [n.state for n in nodes]
    counts = ", ".join(f"{counted.count(s)} {s}" for s in sorted(set(counted), key=counted.index))
    now = time.time()
    worst = [f for f in findings(nodes, now) if f.severity >= 3]
    if worst and worst[0].since:
        return f"{worst[0].words} for {age(now - worst[0].since)}; {counts}"
    return f"{worst[0].words}; {counts}" if worst else counts


SUBJECT = SubjectSpec(
    name="vault",
    key="5",
    title="Vault",
    words="The seal of each Vault server, asked at its own address and without a token.",
    feeds=("vault.",),
    also=("agents.", "vaultmetrics"),
    columns=(
        Column("node", "NODE", 12, lambda n: inert(n.node), wide=20),
        Column("state", "STATE", 13, _state, lambda n: -severity(n)),
        Column("unseal", "UNSEAL", 7, _unseal, missing,
               help="shares that are in, of those it takes"),
        Column("nonce", "NONCE", 8, lambda n: inert((n.nonce or "-")[:8]),
               help="of the unsealing that is under way"),
        Column("since", "SINCE", 5, _since, lambda n: n.since, "right", min_total=100),
        Column("version", "VERSION", 8, lambda n: _dash(n.version), wide=12),
        Column("cluster", "CLUSTER", 24, lambda n: _dash(n.cluster), min_total=140),
        Column("address", "ADDRESS", 18, lambda n: inert(n.address), grow=True),
    ),
    row_key=lambda n: str(n.node),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda n: inert(f"{n.node} {n.state} {n.address} {n.version or ''}"),
    heading=_heading,
    alarm=alarm,
    roomy=True,
)  # fmt: skip
