"""What is wrong with the Vault servers, taken together: one sentence a problem, with what to do.

Pure. A server of a set is judged by what it says at its own address and by what the others say:
that one is sealed while another is active is another matter than that none is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from labtui.model import VaultNode
from labtui.text import inert

WAITING = "no answer yet"
SKEW_MS = 2000
"""Health tells whole seconds: a difference below this says nothing."""
SETTLE = 10.0
"""Seconds that a set may take to agree on who is active."""


class Finding(msgspec.Struct, frozen=True):
    severity: int
    """1 worth knowing, 2 warn, 3 critical."""
    nodes: tuple[str, ...]
    """The servers that it is about."""
    words: str
    """For a top line: `vault sealed on truenas`."""
    sentence: str
    """What is wrong, and what to do."""
    since: float | None = None


def findings(nodes: Sequence[VaultNode], now: float) -> list[Finding]:
    """Everything wrong with these servers at `now` (Unix seconds), the worst first."""
    found = [f for node in nodes for f in _of_one(node)]
    found += _of_keys(nodes)
    found += _of_activity(nodes, now)
    found += _of_clocks(nodes)
    found += _of_likeness(nodes)
    return sorted(found, key=lambda f: -f.severity)


def severity(node: VaultNode, now: float, peers: Sequence[VaultNode] = ()) -> int:
    """Of one server among its `peers`: 0 fine, 1 not known yet, 2 warn, 3 critical."""
    match node.state:
        case "active":
            return 0
        case "standby" if node.leaderless:
            alone = not any(p.state == "active" for p in peers)
            return 3 if alone and _settled(node, now) else 2
        case "standby":
            return 0
        case "sealed" | "unsealing":
            return 2 if node.removed else 3
        case "refused" | "tls":
            return 3
        case "unknown" if node.detail == WAITING:
            return 1
    return 2


def missing(node: VaultNode) -> int | None:
    """Shares that are still needed to unseal; None when it is not sealed or not known."""
    if not node.sealed or node.threshold is None or not opens_by_shares(node):
        return None
    return max(0, node.threshold - (node.progress or 0))


def opens_by_shares(node: VaultNode) -> bool:
    """Whether shares unseal it: not where a key service does, not where it is out of its set."""
    return node.seal_type in (None, "shamir") and not node.recovery_seal and not node.removed


def why(node: VaultNode) -> str:
    """Its fault in words, without the address that stands in the row."""
    return (node.detail or "it does not say why").removeprefix(f"Vault at {node.address}: ")


def _settled(node: VaultNode, now: float) -> bool:
    return node.since is None or now - node.since > SETTLE


def _of_one(node: VaultNode) -> Iterator[Finding]:
    name = inert(node.node)

    def one(level: int, words: str, sentence: str) -> Finding:
        return Finding(level, (node.node,), f"vault {words}", sentence, node.since)

    match node.state:
        case "sealed" | "unsealing" if node.removed:
            yield one(2, f"removed: {name}", _removed(name))
        case "sealed" | "unsealing" if not opens_by_shares(node):
            kind = inert(node.seal_type or "a key service")
            yield one(
                3, f"sealed on {name}",
                f"{name} is sealed by {kind}, which has to open it: shares do not;"
                f" look whether {name} reaches that service, then at its log",
            )  # fmt: skip
        case "sealed":
            yield one(
                3, f"sealed on {name}",
                f"{name} is sealed: {_needs(node)}; u gives a share (`labtui vault unseal {name}`)",
            )  # fmt: skip
        case "unsealing":
            yield one(
                3, f"sealed on {name}",
                f"{name} is being unsealed: {node.progress} of {node.threshold} shares are in"
                f" (nonce {inert((node.nonce or '-')[:8])}), {_needs(node)}; u gives a share,"
                " somebody else may be adding too",
            )  # fmt: skip
        case "refused":
            yield one(
                3, f"down on {name}",
                f"{name} refuses the connection: nothing listens at {inert(node.address)};"
                " is the service up on that machine?",
            )  # fmt: skip
        case "tls":
            yield one(3, f"TLS fails on {name}", f"{name}: {inert(why(node))}")
        case "unknown" if node.detail != WAITING:
            yield one(2, f"silent on {name}", f"{name}: {inert(why(node))}")
        case "standby" if node.ha_mode == "dr secondary":
            yield one(
                1, f"DR secondary: {name}",
                f"{name} is a DR secondary: it serves nobody until it is promoted",
            )  # fmt: skip
    if node.migration:
        yield one(
            1, f"seal migration on {name}",
            f"{name} changes its kind of seal: until that is done shares are given by"
            " `vault operator unseal -migrate`, not here",
        )  # fmt: skip


def _needs(node: VaultNode) -> str:
    need = missing(node)
    if need is None:
        return "how many shares it needs it does not say"
    shares = f"{node.shares} shares" if node.shares else "the shares"
    return f"it needs {need} {'more of' if node.progress else 'of'} {shares}"


def _removed(name: str) -> str:
    return (
        f"{name} was removed from its raft cluster: shares do not bring it back; stop it, empty"
        " its raft folder and let it join anew, or take it out of [vault.nodes]"
    )


def _of_keys(nodes: Sequence[VaultNode]) -> Iterator[Finding]:
    """Servers without keys: the first of their set, or those that have not joined it yet."""
    bare = [n for n in nodes if n.state == "uninitialised"]
    have = [n for n in nodes if n.sealed is not None and n not in bare]
    if not bare:
        return
    names, has = _names(bare), "have" if len(bare) > 1 else "has"
    if not have:
        once = "I makes its shares, once"
        if len(nodes) > 1:
            once = "I makes the shares on one of them; the others join it"
        said = f"{names} {has} no keys yet: {once} (`labtui vault init NODE`)"
    else:
        up = next((n for n in have if n.state == "active"), have[0])
        wait = "" if up.state == "active" else f", once {inert(up.node)} is unsealed"
        said = (
            f"{names} {has} not joined the set: with retry_join that comes by itself{wait}; else"
            f" `vault operator raft join {inert(up.address)}` there; I would make a set of its own"
        )
    yield Finding(2, tuple(n.node for n in bare), f"vault without keys: {names}", said)


def _address(text: str | None) -> str:
    return (text or "").rstrip("/").lower()


def leader_of(node: VaultNode, nodes: Sequence[VaultNode]) -> VaultNode | None:
    """The server of these that this one calls active."""
    told = _address(node.leader)
    return next((n for n in nodes if told and _address(n.address) == told), None)


def _of_activity(nodes: Sequence[VaultNode], now: float) -> Iterator[Finding]:
    active = [n for n in nodes if n.state == "active"]
    standby = [n for n in nodes if n.state == "standby" and n.ha_mode != "dr secondary"]
    if len(active) > 1 and len({n.cluster_id for n in active}) == 1:
        yield Finding(
            2, tuple(n.node for n in active), "two active vaults",
            f"{_names(active)} say that they are active: one of them is cut off from the others;"
            " trust the one that the standbys name",
        )  # fmt: skip
    if active:
        yield from _of_the_lost(standby, active)
        yield from _of_quorum(nodes, [*active, *standby])
    if active or not standby:
        return
    foreign = [n for n in standby if n.leader and not n.leaderless and not leader_of(n, nodes)]
    if foreign:
        yield Finding(
            1, tuple(n.node for n in foreign), "the active vault is not watched",
            f"{_names(foreign)} {_call(foreign)} {inert(foreign[0].leader)} active, which"
            " [vault.nodes] does not name: it is not watched",
        )  # fmt: skip
        return
    level = 3 if any(_settled(n, now) for n in standby) else 2
    down = [n for n in nodes if n.state not in ("standby", "unknown") or _is_silent(n)]
    raise_them = f": unseal or start {_names(down)}" if down else ": look at their logs"
    need = len(nodes) // 2 + 1
    raft = f"; {need} of {len(nodes)} have to be up" if _is_raft(standby, nodes) else ""
    yield Finding(
        level, tuple(n.node for n in standby), "no active vault",
        f"no server is active: {_names(standby)} {_stand(standby)} by and"
        f" {_reach(standby)} no leader{raft}{raise_them}",
        max((n.since for n in standby if n.since), default=None),
    )  # fmt: skip


def _of_the_lost(
    standby: Sequence[VaultNode], active: Sequence[VaultNode]
) -> Iterator[Finding]:  # fmt: skip
    for node in standby:
        if node.leaderless:
            name = inert(node.node)
            yield Finding(
                2, (node.node,), f"{name} reaches no active vault",
                f"{name} stands by and reaches no leader, though {_names(active)}"
                f" {_are(active)} active: look at the cluster port (8201) between them",
            )  # fmt: skip


def _is_raft(some: Sequence[VaultNode], nodes: Sequence[VaultNode]) -> bool:
    return len(nodes) > 2 and all(n.storage == "raft" for n in some)


def _is_silent(node: VaultNode) -> bool:
    return node.state == "unknown" and node.detail != WAITING


def _of_quorum(nodes: Sequence[VaultNode], up: Sequence[VaultNode]) -> Iterator[Finding]:
    members = [n for n in nodes if not n.removed]
    down = [n for n in members if n not in up]
    if down and len(up) == len(members) // 2 + 1 and _is_raft(up, members):
        yield Finding(
            2, tuple(n.node for n in down), "vault without a spare",
            f"{len(up)} of {len(members)} servers are up, the least that it takes: lose one more"
            f" and none is active; {_names(down)} {_are(down)} not up",
        )  # fmt: skip


def _of_clocks(nodes: Sequence[VaultNode]) -> Iterator[Finding]:
    known = [n for n in nodes if n.clock_skew_ms is not None]
    off = [n for n in known if abs(n.clock_skew_ms or 0) >= SKEW_MS]
    signs = {(n.clock_skew_ms or 0) > 0 for n in off}
    if len(off) > 1 and off == known and len(signs) == 1:
        seconds = min(abs(n.clock_skew_ms or 0) for n in off) // 1000
        way = "behind" if signs == {True} else "ahead of"
        yield Finding(
            2, tuple(n.node for n in off), "clocks differ",
            f"this machine's clock is {seconds} s {way} that of every Vault server: look at its"
            " own time service first",
        )  # fmt: skip
        return
    for node in off:
        skew = node.clock_skew_ms or 0
        way = "ahead of" if skew > 0 else "behind"
        yield Finding(
            2, (node.node,), f"clock off on {inert(node.node)}",
            f"the clock of {inert(node.node)} is {abs(skew) // 1000} s {way} this machine's:"
            " tokens and certificates expire by it; look at its time service",
        )  # fmt: skip


def _of_likeness(nodes: Sequence[VaultNode]) -> Iterator[Finding]:
    """A set is one cluster of one version."""
    versions = _groups((n.version, n.node) for n in nodes if n.sealed is not None)
    if len(versions) > 1:
        told = ", ".join(f"{', '.join(who)} {version}" for version, who in versions.items())
        yield Finding(
            1, tuple(n.node for n in nodes if n.version), "vault versions differ",
            f"versions differ: {inert(told)}; in an upgrade standbys go first, the active one last",
        )  # fmt: skip
    clusters = _groups((n.cluster_id, n.node) for n in nodes)
    if len(clusters) > 1:
        told = "; ".join(f"{', '.join(who)} in {id[:8]}" for id, who in clusters.items())
        yield Finding(
            2, tuple(n.node for n in nodes if n.cluster_id), "vaults of several clusters",
            f"these are not one set: {inert(told)}; [vault.nodes] wants servers of one cluster",
        )  # fmt: skip


def _groups(pairs: Iterator[tuple[str | None, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value, node in pairs:
        if value:
            found.setdefault(value, []).append(node)
    return found


def _names(nodes: Sequence[VaultNode]) -> str:
    names = [inert(n.node) for n in nodes]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _are(nodes: Sequence[VaultNode]) -> str:
    return "are" if len(nodes) > 1 else "is"


def _stand(nodes: Sequence[VaultNode]) -> str:
    return "stand" if len(nodes) > 1 else "stands"


def _reach(nodes: Sequence[VaultNode]) -> str:
    return "reach" if len(nodes) > 1 else "reaches"


def _call(nodes: Sequence[VaultNode]) -> str:
    return "call" if len(nodes) > 1 else "calls"
