"""Each Vault server by its own address: sealed, standby, refused are different things."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from labtui.config import Config
from labtui.model import VaultNode, VaultState
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Fault, Feed, Store
from labtui.text import age, inert

_FAULTS: dict[str, VaultState] = {"refused": "refused", "tls": "tls"}
_SEVERITY: dict[str, int] = {
    "active": 0, "standby": 0, "unsealing": 3, "sealed": 3, "refused": 3, "tls": 3,
    "uninitialised": 2, "unknown": 2,
}  # fmt: skip
_TONES: dict[int, Tone] = {0: "ok", 1: "dim", 2: "warn", 3: "crit"}
WAITING = "no answer yet"


def items(store: Store, config: Config, now: float) -> list[VaultNode]:
    """One item a configured server, also while it has never answered."""
    return [
        _item(name, address, store.feed(f"vault.{name}"))
        for name, address in config.vault.nodes.items()
    ]


rows = items


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
    was = f"; before that it was {before.state}" if before else ""
    return VaultNode(
        node=name,
        address=address,
        state=_FAULTS.get(fault.kind, "unknown"),
        version=before.version if before else None,
        detail=inert(fault.message + was),
        since=feed.since,
    )


def building(node: VaultNode, store: Store) -> bool:
    """The lab is still making this Vault: no fault, but nothing to reach either."""
    feed = store.feed(f"vault.{node.node}")
    return bool(feed and feed.error and feed.error.kind == "building")


def missing(node: VaultNode) -> int | None:
    """Shares that are still needed to unseal; None when it is not sealed or not known."""
    if not node.sealed or node.threshold is None:
        return None
    return max(0, node.threshold - (node.progress or 0))


def severity(node: VaultNode) -> int:
    if node.state == "unknown" and node.detail == WAITING:
        return 1
    return _SEVERITY[node.state]


def _state(node: VaultNode) -> Cell:
    return Cell(node.state, _TONES[severity(node)])


def _unseal(node: VaultNode) -> Cell | str:
    if node.threshold is None:
        return Cell("-", "dim")
    if node.sealed:
        return Cell(f"{node.progress or 0} of {node.threshold}", "warn")
    return Cell(f"{node.threshold} of {node.shares}", "dim")


def _dash(value: Any, width: int = 64) -> Cell | str:
    return Cell("-", "dim") if value is None else inert(value, width)


def _since(node: VaultNode) -> Cell | str:
    return "-" if node.since is None else age(time.time() - node.since)


def _next(node: VaultNode) -> str:
    """What to do about it, in one sentence."""
    need = missing(node)
    match node.state:
        case "sealed" | "unsealing" if node.seal_type not in (None, "shamir"):
            return f"seal type {node.seal_type}: shares do not open it; look at its key service"
        case "sealed" | "unsealing" if need is not None:
            shares = f"{node.shares} shares" if node.shares else "the shares"
            word = "more of" if node.progress else "of"
            return (
                f"needs {need} {word} {shares}: each holder runs `vault operator unseal`"
                f" with VAULT_ADDR={node.address}"
            )
        case "uninitialised":
            return "has no keys yet: `vault operator init` makes them, once"
        case "refused":
            return "nothing listens there: is the service up on that machine?"
        case "tls":
            return "[vault] ca_file must name the CA that signed this server's certificate"
        case "standby":
            return "ready to take over; another server is active"
        case "active":
            return "serves requests"
    return ""


def detail(node: VaultNode, store: Store, now: float) -> list[str | Cell]:
    since = f" for {age(now - node.since)}" if node.since else ""
    feed = store.feed(f"vault.{node.node}")
    tone = _TONES[severity(node)]
    lines: list[str | Cell] = [
        Cell(f"{inert(node.node)}  {inert(node.address)}  {node.state}{since}", "accent")
    ]
    if building(node, store):
        return [*lines, Cell(inert(node.detail or ""), "warn")]
    if node.detail:
        lines.append(Cell(inert(node.detail), tone))
    if text := _next(node):
        lines.append(Cell(inert(text), tone if severity(node) else ""))
    if node.state == "unsealing":
        lines.append(
            f"{node.progress} of {node.threshold} shares are in; somebody may be adding the rest"
            f" (nonce {inert(node.nonce or '-')})"
        )
    facts = [
        ("seal", node.seal_type),
        ("shares", f"{node.threshold} of {node.shares}" if node.threshold else None),
        ("version", node.version),
        ("cluster", node.cluster),
    ]
    known = [f"{name} {inert(value)}" for name, value in facts if value]
    if known:
        lines.append(Cell(" · ".join(known), "dim"))
    if feed and feed.failures > 1:
        lines.append(Cell(f"{feed.failures} tries failed", "dim"))
    for agent in node.agents:
        alive = {True: "alive", False: "dead", None: "unknown"}[agent.alive]
        lines.append(f"agent {inert(agent.node)}: {alive}, {len(agent.secrets)} secrets")
    return lines


def _heading(nodes: Sequence[VaultNode]) -> str:
    states = [n.state for n in nodes]
    return ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states), key=states.index))


SUBJECT = SubjectSpec(
    name="vault",
    key="5",
    title="Vault",
    words="The seal of each Vault server, asked at its own address and without a token.",
    feeds=("vault.",),
    columns=(
        Column("node", "NODE", 12, lambda n: inert(n.node), wide=20),
        Column("state", "STATE", 13, _state, lambda n: -severity(n)),
        Column("unseal", "UNSEAL", 7, _unseal, lambda n: missing(n)),
        Column("since", "SINCE", 5, _since, lambda n: n.since, "right"),
        Column("nonce", "NONCE", 8, lambda n: inert((n.nonce or "-")[:8])),
        Column("version", "VERSION", 8, lambda n: _dash(n.version), wide=12),
        Column("cluster", "CLUSTER", 24, lambda n: _dash(n.cluster), min_total=120),
        Column("address", "ADDRESS", 18, lambda n: inert(n.address), grow=True),
    ),
    row_key=lambda n: str(n.node),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda n: inert(f"{n.node} {n.state} {n.address} {n.version or ''}"),
    heading=_heading,
)
