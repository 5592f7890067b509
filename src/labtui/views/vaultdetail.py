"""One Vault server in detail, with what is wrong in its set and the agents that live of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from labtui.collectors.vaultmetrics import NAME as METRICS
from labtui.model import Agent, Secret, VaultNode
from labtui.sources.node import HostFacts
from labtui.sources.vaultmetrics import VaultMetrics
from labtui.spec import Cell, Tone
from labtui.store import Store
from labtui.text import age, cut, inert, mib
from labtui.views import agents as agents_view
from labtui.views.vaultset import Finding, findings, leader_of, opens_by_shares, severity

TONES: dict[int, Tone] = {0: "ok", 1: "dim", 2: "warn", 3: "crit"}
JUST = 2.0
"""Seconds by which two moments have to differ to be told apart."""

Line = str | Cell


class VaultRow(VaultNode, frozen=True, kw_only=True):
    """A server as the table has it: with the others, and with all agents."""

    peers: tuple[VaultNode, ...] = ()
    """All servers, this one among them."""
    living: tuple[Agent, ...] = ()


def detail(node: VaultNode, store: Store, now: float) -> list[Line]:
    peers = node.peers if isinstance(node, VaultRow) else (node,)
    agents = node.living if isinstance(node, VaultRow) else node.agents
    lines: list[Line] = [Cell(_head(node, store, now), "accent")]
    tone = TONES[severity(node, now, peers)]
    found = findings(peers, now)
    own = [f for f in found if f.nodes == (node.node,)]
    if node.detail and (not own or node.sealed is not None):
        lines.append(Cell(inert(node.detail), "" if tone == "ok" else tone))
    if is_building(node, store):
        own = []
        lines[1:] = [Cell(inert(node.detail or ""), "warn")]
    lines += [Cell(f.sentence, _tone(f)) for f in own]
    lines += [Cell(f.sentence, _tone(f)) for f in found if f.nodes != (node.node,)]
    if text := _calm(node, peers, own):
        lines.append(text)
    feed = store.feed(f"vault.{node.node}")
    if feed and feed.failures > 1:
        lines.append(Cell(f"{feed.failures} tries failed", "dim"))
    if agents:
        lines += ["", *_agents(agents)]
    facts = [*_facts(node), *_figures(node, store)]
    return [*lines, "", *facts] if agents and facts else [*lines, *facts]


def is_building(node: VaultNode, store: Store) -> bool:
    """The lab is still making this Vault: no fault, but nothing to reach either."""
    feed = store.feed(f"vault.{node.node}")
    return bool(feed and feed.error and feed.error.kind == "building")


def _tone(finding: Finding) -> Tone:
    return "" if finding.severity == 1 else TONES[finding.severity]


def _at(seconds: float, now: float) -> str:
    then = time.localtime(seconds)
    near = abs(now - seconds) < 43200
    return time.strftime("%H:%M:%S" if near else "%m-%d %H:%M:%S", then)


def _head(node: VaultNode, store: Store, now: float) -> str:
    """`truenas  sealed since 20:08:12, 6m (was active; the machine booted at 20:07:55)`."""
    words = f"{inert(node.node)}  {node.state}"
    if node.since is None:
        return f"{words}  {inert(node.address)}"
    words += ", sealed" if node.state == "unsealing" else ""
    words += f" since {_at(node.since, now)}, for {age(now - node.since)}"
    known = [f"was {node.was}"] if node.was else ["first seen so"]
    booted = _booted(node.node, store)
    if booted is not None:
        known.append(f"the machine booted at {_at(booted, now)}")
    return f"{words} ({'; '.join(known)})"


def _booted(node: str, store: Store) -> float | None:
    """Unix seconds; None where the machine does not tell."""
    feed = store.feed(f"host.{node}")
    if feed is None or feed.good is None or not isinstance(feed.value, HostFacts):
        return None
    up = feed.value.uptime_s
    return None if up is None else feed.good.taken_at - up


def _calm(node: VaultNode, peers: Sequence[VaultNode], own: Sequence[Finding]) -> str:
    """What a server that nothing is wrong with does."""
    if node.state == "active":
        return "serves requests"
    if node.state != "standby" or own or node.leaderless:
        return ""
    active = next((p for p in peers if p.state == "active"), None)
    leader = leader_of(node, peers) or (None if node.leader else active)
    name = inert(leader.node) if leader else inert(node.leader or "another server")
    reads = ", and serves reads meanwhile" if node.ha_mode == "performance standby" else ""
    return f"ready to take over from {name}{reads}"


def _agents(agents: Sequence[Agent]) -> Iterator[Line]:
    width = max(12, *(min(24, len(inert(a.node))) for a in agents))
    states = max(16, *(min(24, len(_state(a))) for a in agents))
    yield Cell(f"{cut('AGENTS', width)}  {cut('STATE', states)}  TOKEN    SECRETS", "dim")
    for agent in agents:
        line = f"{cut(inert(agent.node), width)}  {cut(_state(agent), states)}"
        line += f"  {cut(_token(agent), 7)}  {_secrets(agent.secrets)}"
        level = agents_view.severity(agent)
        yield Cell(line.rstrip(), TONES[level] if level >= 2 else "")


def _state(agent: Agent) -> str:
    if agent.state:
        return inert(agent.state, 40)
    return {True: "running", False: "dead", None: "unknown"}[agent.alive]


def _token(agent: Agent) -> str:
    if agent.token_ttl_s is None:
        return "-"
    return age(agent.token_ttl_s) if agent.token_ttl_s > 0 else "expired"


def _secrets(secrets: Sequence[Secret]) -> str:
    """`ngc 2h  hf 2h`: mode and owner only where they are others than root's alone."""
    return "  ".join(map(_secret, secrets)) or "-"


def _secret(secret: Secret) -> str:
    name = inert(secret.name or PurePosixPath(secret.path).name, 24)
    if secret.fault:
        return f"{name} {inert(secret.fault, 40)}"
    words = f"{name} {'-' if secret.age_s is None else age(secret.age_s)}"
    if secret.mode and (secret.mode, secret.owner) != ("0600", "root:root"):
        words += f" {inert(secret.mode, 8)} {inert(secret.owner or '', 30)}"
    return f"{words} ({len(secret.old)} old)" if secret.old else words


def _facts(node: VaultNode) -> Iterator[Line]:
    shares = None
    if node.threshold:
        kind = "shares" if opens_by_shares(node) or node.removed else "recovery shares"
        shares = f"{node.threshold} of {node.shares or '-'} {kind}"
    facts = [
        ("seal", node.seal_type),
        ("", shares),
        ("version", node.version),
        ("storage", node.storage),
        ("cluster", node.cluster),
    ]
    known = [f"{name} {inert(value)}".strip() for name, value in facts if value]
    if known:
        yield Cell(" · ".join(known), "dim")


def _figures(node: VaultNode, store: Store) -> Iterator[Line]:
    told = store.value(METRICS)
    figures = told.get(node.node) if isinstance(told, dict) else None
    if not isinstance(figures, VaultMetrics):
        return
    if figures.why:
        if node.sealed is False:
            yield Cell(f"no metrics: {inert(figures.why)}", "dim")
        return
    known = [
        (figures.in_flight, "requests under way"),
        (figures.leases, "leases"),
        (figures.tokens, "tokens"),
    ]
    words = [f"{count} {name}" for count, name in known if count is not None]
    if figures.audit_failures is not None:
        words.append(f"{figures.audit_failures} audit failures")
    if figures.memory_mib is not None:
        words.append(f"memory {mib(figures.memory_mib)}")
    if words:
        source = "Prometheus" if figures.source == "prometheus" else "the server"
        tone: Tone = "warn" if figures.audit_failures else "dim"
        yield Cell(f"{' · '.join(words)} ({source} says)", tone)
