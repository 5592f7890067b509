"""The vault-agent of each node: alive, its token, and what it rendered; a closer look at Vault."""

from __future__ import annotations

from collections.abc import Sequence

from labtui.config import Config
from labtui.model import Agent
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import inert


def items(store: Store, config: Config, now: float) -> list[Agent]:
    """One item a node of [vault] agents, also while nothing is known of it."""
    return [Agent(node=name, detail="no answer yet") for name in config.vault.agents]


rows = items


def severity(agent: Agent) -> int:
    return 1


def detail(agent: Agent, store: Store, now: float) -> Sequence[str | Cell]:
    return [inert(agent.node), inert(agent.detail or "")]


SUBJECT = SubjectSpec(
    name="agents",
    key="",
    title="Agents",
    words="vault-agent on each node: alive, its token, the secrets that it rendered.",
    feeds=("agents.",),
    columns=(Column("node", "NODE", 12, lambda a: inert(a.node), wide=20, grow=True),),
    row_key=lambda a: str(a.node),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda a: inert(f"{a.node} {a.state or ''}"),
    parent="vault",
)
