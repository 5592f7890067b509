"""Machines and the sources that tell of the lab."""

from __future__ import annotations

from typing import Literal

from labtui.model.base import Item


class Node(Item, frozen=True, kw_only=True):
    name: str
    address: str | None = None
    reachable: bool | None = None
    fault: str | None = None
    """One sentence: why it cannot be reached."""
    fault_kind: str | None = None
    slurm_state: str | None = None
    slurm_reason: str | None = None
    cpus_total: int | None = None
    cpus_alloc: int | None = None
    memory_total_mib: int | None = None
    memory_used_mib: int | None = None
    load1: float | None = None
    disk_free_mib: int | None = None
    disk_total_mib: int | None = None
    clock_offset_ms: float | None = None
    services: dict[str, str] = {}
    mounts: dict[str, str] = {}
    """Mount point -> "nfs4 from truenas", "not mounted", "hung"."""
    gpus: int | None = None
    gpus_alloc: int | None = None
    jobs: tuple[str, ...] = ()
    seen_at: float | None = None
    """Unix seconds of the last answer from the machine itself."""
    age_s: int | None = None
    """Seconds since then, once they are more than the pace of the polls explains."""
    uptime_s: float | None = None
    attempts: int = 0
    next_try_s: float | None = None
    partitions: tuple[str, ...] = ()
    memory_alloc_mib: int | None = None
    """What Slurm has given to jobs; `memory_used_mib` is what the machine itself uses."""
    features: tuple[str, ...] = ()
    gres: str | None = None
    """As Slurm writes it: `gpu:a100:4,shard:16`."""
    gres_used: str | None = None


class SourceState(Item, frozen=True, kw_only=True):
    name: str
    kind: str
    state: Literal["ok", "stale", "failed", "waiting"]
    age_s: float | None = None
    """Seconds since the last good value; None before the first."""
    took_ms: float | None = None
    error: str | None = None
    error_kind: str | None = None


class Alert(Item, frozen=True, kw_only=True):
    id: str
    severity: str
    title: str
    since: float | None = None
    root_cause: str | None = None
    because: tuple[str, ...] = ()
    suppressed_by: str | None = None
    acknowledged_by: str | None = None
    silenced_until: float | None = None
    source: str = "alertmanager"
    labels: dict[str, str] = {}
