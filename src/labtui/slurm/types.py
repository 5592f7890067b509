"""What Slurm tells beside jobs and nodes. PySlurm's names and units where it has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. Times in minutes, None where unlimited or not set."""

    name: str
    state: str = "UP"
    is_default: bool = False
    nodes: tuple[str, ...] = ()
    max_time: int | None = None
    default_time: int | None = None
    total_cpus: int | None = None
    total_nodes: int | None = None
    max_nodes: int | None = None
    max_cpus_per_node: int | None = None
    max_memory_per_node: int | None = None
    """MiB."""
    allowed_accounts: tuple[str, ...] = ()
    """Empty: all."""
    allow_root_jobs: bool = True


@dataclass(frozen=True, slots=True)
class PingResponse:
    """One slurmctld, as `scontrol ping` sees it."""

    is_primary: bool
    is_responding: bool
    index: int
    hostname: str
    latency: float | None = None
    """Milliseconds; None: the command does not tell."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `sbatch --test-only` answers."""

    start_time: float | None
    """Unix seconds; None where Slurm cannot tell (it names a year far away then)."""
    nodes: tuple[str, ...] = ()
    processors: int | None = None
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of one job's generic resources that lies on one node."""

    job_id: str
    job_name: str
    user: str | None
    node: str
    name: str
    """`gpu`, `shard`, `mps`."""
    type: str | None
    count: int
    indexes: tuple[int, ...] = ()
    """Which devices of the node; empty where Slurm does not say."""
    start_time: float | None = None
