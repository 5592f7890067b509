"""What Slurm tells beside jobs and nodes. PySlurm's names and units where it has them."""

from __future__ import annotations

import msgspec


class Partition(msgspec.Struct, frozen=True):
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
    allowed_groups: tuple[str, ...] = ()
    """Empty: all."""
    allowed_qos: tuple[str, ...] = ()
    """Empty: all."""
    denied_accounts: tuple[str, ...] = ()
    denied_qos: tuple[str, ...] = ()
    qos: str | None = None
    """The partition's own QoS, whose limits hold for all of its jobs."""
    tres: dict[str, int] = msgspec.field(default_factory=dict)
    """All that its nodes have; see `Limits`."""


class PingResponse(msgspec.Struct, frozen=True):
    """One slurmctld, as `scontrol ping` sees it."""

    is_primary: bool
    is_responding: bool
    index: int
    hostname: str
    latency: float | None = None
    """Milliseconds; None: the command does not tell."""


class Estimate(msgspec.Struct, frozen=True):
    """What `sbatch --test-only` answers."""

    start_time: float | None
    """Unix seconds; None where Slurm cannot tell (it names a year far away then)."""
    nodes: tuple[str, ...] = ()
    processors: int | None = None
    partition: str | None = None


class Allocation(msgspec.Struct, frozen=True):
    """The part of one job's generic resources that lies on one node.

    A struct: thousands are compared at every answer.
    """

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
    raw_id: str | None = None
    """The id by which slurmd and cgroups call it: of an array's task a number of its own."""
    state: str | None = None
    parts: tuple[tuple[int, int], ...] = ()
    """(device, how many of `count` lie on it), where Slurm tells of shards and MPS so."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an association and a QoS can limit alike. None, or no entry: no limit.

    Resources are by Slurm's names: `cpu`, `mem` (MiB), `node`, `billing`, `gres/gpu`,
    `gres/gpu:a100`, `license/matlab`. They hold only as AccountingStorageEnforce says
    (`slurm.settings`).
    """

    grp_tres: dict[str, int] = msgspec.field(default_factory=dict)
    """All its running jobs together."""
    grp_tres_mins: dict[str, int] = msgspec.field(default_factory=dict)
    """Resource times minutes that its jobs may ever use, what ran before included (decayed)."""
    grp_tres_run_mins: dict[str, int] = msgspec.field(default_factory=dict)
    """Resource times minutes that its running jobs may still need."""
    grp_jobs: int | None = None
    grp_submit_jobs: int | None = None
    """Running and waiting jobs together."""
    grp_wall: int | None = None
    """Minutes."""
    max_tres_per_job: dict[str, int] = msgspec.field(default_factory=dict)
    max_tres_per_node: dict[str, int] = msgspec.field(default_factory=dict)
    max_tres_mins_per_job: dict[str, int] = msgspec.field(default_factory=dict)
    max_wall: int | None = None
    """Minutes that one job may ask for."""
    used_tres_mins: dict[str, int] = msgspec.field(default_factory=dict)
    """Used so far of `grp_tres_mins`; empty where Slurm was not asked or does not tell."""


class Qos(Limits, frozen=True, kw_only=True):
    """One quality of service: `sacctmgr show qos`."""

    name: str
    priority: int | None = None
    flags: tuple[str, ...] = ()
    """`DenyOnLimit`, `PartitionTimeLimit`, `OverPartQOS`, ..."""
    preempt: tuple[str, ...] = ()
    """QoS whose jobs it may stop."""
    usage_factor: float | None = None
    max_tres_per_user: dict[str, int] = msgspec.field(default_factory=dict)
    max_jobs_per_user: int | None = None
    max_submit_jobs_per_user: int | None = None
    max_tres_per_account: dict[str, int] = msgspec.field(default_factory=dict)
    max_jobs_per_account: int | None = None
    max_submit_jobs_per_account: int | None = None
    min_tres_per_job: dict[str, int] = msgspec.field(default_factory=dict)


class Association(Limits, frozen=True, kw_only=True):
    """One account of a cluster, or one user's place in it: `sacctmgr show assoc`.

    A user's `max_*` are what holds, also where the account gave them; `grp_*` hold at each
    account above as well.
    """

    cluster: str
    account: str
    user: str | None = None
    """None: the account's own."""
    partition: str | None = None
    parent: str | None = None
    """The account above; None of a user's."""
    shares: int | None = None
    priority: int | None = None
    max_jobs: int | None = None
    """Running at once."""
    max_submit_jobs: int | None = None
    """Running and waiting together."""
    qos: tuple[str, ...] = ()
    """QoS that its jobs may use."""
    default_qos: str | None = None


class License(msgspec.Struct, frozen=True):
    """One kind of licence that Slurm counts: `scontrol show licenses`."""

    name: str
    total: int | None = None
    used: int | None = None
    free: int | None = None
