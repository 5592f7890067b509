"""Vault servers, the agents on the nodes and what these rendered."""

from __future__ import annotations

from typing import Literal

from labtui.model.base import Item


class OldHolder(Item, frozen=True, kw_only=True):
    """Something that was started, or logged in, with another value than the file now has."""

    kind: Literal["process", "job", "container", "registry"]
    id: str
    """pid, job id, container id or registry."""
    name: str | None = None
    variable: str | None = None
    """The environment variable in which it holds it."""


class Secret(Item, frozen=True, kw_only=True):
    """A file that the agent rendered; its value never leaves the node."""

    path: str
    age_s: float | None = None
    """Seconds since it was written."""
    mode: str | None = None
    """`0600`."""
    hash: str | None = None
    """The first 12 hex digits of SHA-256 over salt and content; the salt is new with each console,
    so it tells same from changed and nothing else."""
    name: str | None = None
    """What [vault.secrets] calls it."""
    owner: str | None = None
    """`root:root`."""
    fault: str | None = None
    """Why there is nothing to tell, or what is wrong with it: missing, readable by all."""
    old: tuple[OldHolder, ...] = ()


class Agent(Item, frozen=True, kw_only=True):
    node: str
    alive: bool | None = None
    token_ttl_s: float | None = None
    secrets: tuple[Secret, ...] = ()
    state: str | None = None
    """In a word or three: `running`, `retrying, 503`, `failed`, `absent`, `unknown (refused)`."""
    token_life_s: float | None = None
    """For how long its token was granted."""
    renewed_at: float | None = None
    """Unix seconds of its token's last renewal or login."""
    address: str | None = None
    """The Vault server that it talks to."""
    version: str | None = None
    detail: str | None = None
    """One sentence: what it last said, or why nothing is known."""


VaultState = Literal[
    "refused", "tls", "uninitialised", "sealed", "unsealing", "standby", "active", "unknown"
]


class VaultNode(Item, frozen=True, kw_only=True):
    node: str
    address: str
    state: VaultState = "unknown"
    sealed: bool | None = None
    threshold: int | None = None
    shares: int | None = None
    progress: int | None = None
    nonce: str | None = None
    version: str | None = None
    ha_mode: str | None = None
    """`active`, `standby`, `performance standby`, `dr secondary`."""
    seal_type: str | None = None
    cluster: str | None = None
    agents: tuple[Agent, ...] = ()
    detail: str | None = None
    """One sentence: the TLS or connection error, or how far the lab's build of Vault is."""
    since: float | None = None
    """Unix seconds since when it has this state, as far as this console has seen; `sealed` and
    `unsealing` are one."""
    was: VaultState | None = None
    """Its state before that; None: this console has seen no other."""
    leader: str | None = None
    """Address of the active server, as this one tells it."""
    leaderless: bool | None = None
    """It stands by and knows of no active server, or does not reach the one it knows."""
    storage: str | None = None
    """`raft`, `file`, ..."""
    cluster_id: str | None = None
    recovery_seal: bool | None = None
    """Its keys come from a key service: what people hold are recovery shares, which unseal
    nothing."""
    migration: bool | None = None
    """It changes from one kind of seal to another."""
    removed: bool | None = None
    """It was removed from its raft cluster: shares do not bring it back."""
    clock_skew_ms: int | None = None
    """Its clock less ours, in steps of a second; 0 when that could be the way there."""
