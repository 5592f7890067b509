"""The vault-agent of each node: alive, its token, and what it rendered; a closer look at Vault."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from labtui.config import Config
from labtui.model import Agent, Secret
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Feed, Store
from labtui.text import age, inert

WAITING = "no answer yet"
DOWN = "unknown (down)"
_DOWN = ("refused", "unreachable", "timeout")
_BAD_FILE = 3
_LOW = 0.1
"""Of its lifetime: a token that nobody renewed until then will end."""
_TONES: dict[int, Tone] = {0: "ok", 1: "dim", 2: "warn", 3: "crit"}


def items(store: Store, config: Config, now: float) -> list[Agent]:
    """One item a node of [vault] agents, also while nothing is known of it."""
    return [_item(name, store.feed(f"agents.{name}"), now) for name in config.vault.agents]


rows = items


def _item(name: str, feed: Feed | None, now: float) -> Agent:
    if feed is None or feed.latest is None:
        return Agent(node=name, detail=WAITING)
    if feed.error is not None:
        word = "down" if feed.error.kind in _DOWN else inert(feed.error.kind, 20)
        # Nothing that it once said is taken for so now.
        return Agent(node=name, state=f"unknown ({word})", detail=inert(feed.error.message, 300))
    value = feed.value
    if not isinstance(value, Agent):
        return Agent(node=name, detail=WAITING)
    return _later(value, max(0.0, now - (feed.good.taken_at if feed.good else now)))


def _later(agent: Agent, seconds: float) -> Agent:
    """What was told then, as it is some seconds later: tokens run out, files grow old."""
    if seconds < 1.0:
        return agent
    left = agent.token_ttl_s
    return msgspec.structs.replace(
        agent,
        token_ttl_s=None if left is None else max(0.0, left - seconds),
        secrets=tuple(
            s if s.age_s is None else msgspec.structs.replace(s, age_s=s.age_s + seconds)
            for s in agent.secrets
        ),
    )


def low(agent: Agent) -> bool:
    """Its token is about to end, and was not renewed."""
    if agent.token_ttl_s is None or not agent.token_life_s:
        return False
    return agent.token_ttl_s < agent.token_life_s * _LOW


def severity(agent: Agent) -> int:
    if agent.state in (None, "absent"):
        return 1
    if agent.alive is None:
        return 1 if agent.state == DOWN else 2  # the node's own row says it
    if any(s.fault for s in agent.secrets):
        return _BAD_FILE
    if not agent.alive or agent.state != "running" or low(agent):
        return 2
    return 1 if any(s.old for s in agent.secrets) else 0


def name(secret: Secret) -> str:
    return inert(secret.name or PurePosixPath(secret.path).name, 30)


def _state(agent: Agent) -> Cell:
    return Cell(inert(agent.state or WAITING, 40), _TONES[severity(agent)])


def _token(agent: Agent) -> Cell | str:
    if agent.token_ttl_s is None:
        return Cell("-", "dim")
    if agent.token_ttl_s <= 0:
        return Cell("ended", "crit")
    return Cell(age(agent.token_ttl_s), "warn" if low(agent) else "")


def _renewed(agent: Agent) -> Cell | str:
    if agent.renewed_at is None:
        return Cell("-", "dim")
    return age(time.time() - agent.renewed_at)


def _secrets(agent: Agent) -> Cell | str:
    if not agent.secrets:
        return Cell("-", "dim")
    parts = []
    for secret in agent.secrets:
        old = f" ({len(secret.old)} old)" if secret.old else ""
        known = "-" if secret.age_s is None else age(secret.age_s)
        parts.append(f"{name(secret)} {inert(secret.fault, 30) if secret.fault else known}{old}")
    bad = any(s.fault for s in agent.secrets)
    return Cell("  ".join(parts), "crit" if bad else "")


def detail(agent: Agent, store: Store, now: float) -> Sequence[str | Cell]:
    tone = _TONES[severity(agent)]
    version = f"  vault {inert(agent.version, 40)}" if agent.version else ""
    lines: list[str | Cell] = [
        Cell(f"{inert(agent.node)}  {inert(agent.state or WAITING, 40)}{version}", "accent")
    ]
    if agent.detail and agent.detail != WAITING:
        lines.append(Cell(inert(agent.detail, 400), tone if severity(agent) else ""))
    if agent.token_ttl_s is not None:
        of = f" of {age(agent.token_life_s)}" if agent.token_life_s else ""
        renewed = f", renewed {age(now - agent.renewed_at)} ago" if agent.renewed_at else ""
        lines.append(f"token {age(agent.token_ttl_s)} left{of}{renewed}, at {agent.address or '-'}")
    if agent.secrets:
        lines.append(Cell("FILE                          AGE  OWNER      MODE  SALTED HASH", "dim"))
    for secret in agent.secrets:
        old = "-" if secret.age_s is None else age(secret.age_s)
        line = (
            f"{inert(secret.path, 60):<28} {old:>5}  {inert(secret.owner or '-', 20):<10}"
            f" {inert(secret.mode or '-', 6):<5} {secret.hash or '-'}"
        )
        lines.append(Cell(f"{line}  {inert(secret.fault, 60)}", "crit") if secret.fault else line)
    for secret in agent.secrets:
        for holder in secret.old[:8]:
            what = f" in {inert(holder.variable, 60)}" if holder.variable else ""
            called = f" {inert(holder.name, 60)}" if holder.name else ""
            text = (
                f"{holder.kind} {inert(holder.id, 60)}{called} still holds another {name(secret)}"
            )
            lines.append(Cell(text + what, "warn"))
        if len(secret.old) > 8:
            lines.append(Cell(f"and {len(secret.old) - 8} more", "warn"))
    if agent.secrets:
        text = "never by value: the hash is salted anew with each console, and tells changes only"
        lines.append(Cell(text, "dim"))
    return lines


def _heading(agents: Sequence[Agent]) -> str:
    running = sum(a.state == "running" for a in agents)
    return f"{running} of {len(agents)} running"


SUBJECT = SubjectSpec(
    name="agents",
    key="",
    title="Agents",
    words="vault-agent on each node: alive, its token, the secrets that it rendered.",
    feeds=("agents.",),
    columns=(
        Column("node", "NODE", 12, lambda a: inert(a.node), wide=20),
        Column("state", "STATE", 15, _state, lambda a: -severity(a), wide=24),
        Column("token", "TOKEN", 5, _token, lambda a: a.token_ttl_s, "right",
               help="how long its token still lives"),
        Column("renewed", "RENEWED", 7, _renewed, lambda a: a.renewed_at and -a.renewed_at,
               "right", help="since its token was renewed"),
        Column("version", "VERSION", 8, lambda a: inert(a.version or "-"), min_total=120),
        Column("address", "ADDRESS", 26, lambda a: inert(a.address or "-"), min_total=120),
        Column("secrets", "SECRETS", 24, _secrets, grow=True),
    ),
    row_key=lambda a: str(a.node),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda a: inert(f"{a.node} {a.state or ''} {' '.join(map(name, a.secrets))}"),
    heading=_heading,
    parent="vault",
    roomy=True,
)  # fmt: skip
