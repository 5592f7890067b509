"""What the screens show and `labtui get --json` prints: one struct a noun.

Field names are the contract with scripts (docs/cli.md): units are in the names, an unknown value
is None, never 0 or "". More fields may be added; none is renamed.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable; compared by value, so an unchanged row is never drawn again."""


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


class Holder(Item, frozen=True, kw_only=True):
    kind: Literal["job", "pod", "process"]
    id: str
    """A job's id as Slurm writes it, `namespace/name` of a pod, the pid of a bare process."""
    name: str | None = None
    slices: int = 1
    """How many slices of this card its owner booked for it; 0 of a bare process."""
    source: str = "slurm"
    """Who says so: `slurm`, `kubernetes`, `nvml`, `nvidia-smi`."""
    since: float | None = None
    indexes: tuple[int, ...] = ()
    """Which slices of this card, counted from 0; empty where nobody says."""
    user: str | None = None
    state: str | None = None
    """Slurm's state, or the pod's phase."""
    memory_mib: float | None = None
    """What its processes use on this card; None where nobody can tell."""
    pids: tuple[int, ...] = ()
    """Its processes on this card."""
    share: str | None = None
    """What was asked where it is no whole slice: `shard 2`, `mps 50`, `mig-1g.10gb`."""


class MigInstance(Item, frozen=True, kw_only=True):
    """A part of a card with memory and faults of its own."""

    id: int
    """Of the GPU instance, as NVML and DCGM (GPU_I_ID) count them."""
    profile: str | None = None
    """`1g.10gb`."""
    uuid: str | None = None
    memory_total_mib: float | None = None
    memory_used_mib: float | None = None
    util_percent: float | None = None


class GpuProcess(Item, frozen=True, kw_only=True):
    """A process with memory on a card, and whose it is."""

    pid: int
    node: str = ""
    gpu_uuid: str | None = None
    memory_mib: float | None = None
    name: str | None = None
    user: str | None = None
    since: float | None = None
    job_id: str | None = None
    """The Slurm job it belongs to."""
    pod_uid: str | None = None
    """The Kubernetes pod it belongs to."""
    via: str | None = None
    """What told the owner: `cgroup`, `slurmstepd`; None: nothing did."""
    mig_id: int | None = None


class Finding(Item, frozen=True, kw_only=True):
    """Where sources disagree, or a card wants attention: both sides, and what it probably means."""

    kind: Literal[
        "overbooked", "unknown-process", "idle-slice", "count-differs", "card-unknown",
        "memory-tight", "hot", "throttled", "xid", "ecc", "lost", "frozen", "impossible",
        "driver", "source",
    ]  # fmt: skip
    severity: int
    """1 worth knowing, 2 warn, 3 critical."""
    text: str
    """What each side says."""
    means: str = ""
    """What it probably means, or what to do."""
    holder: str | None = None
    """The id of the holder it is about."""


class Gpu(Item, frozen=True, kw_only=True):
    node: str
    index: int | None
    """None: not one card, but what was booked on the node and cannot be put on a card."""
    uuid: str | None = None
    product: str | None = None
    slices: int | None = None
    holders: tuple[Holder, ...] = ()
    util_percent: float | None = None
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle: str | None = None
    clock_mhz: float | None = None
    xid: int | None = None
    sources: dict[str, str] = {}
    """Source -> what it says or why it cannot: "slurm": "3 of 4 held"."""
    na: dict[str, str] = {}
    """Field -> why the figure cannot be had."""
    origin: dict[str, str] = {}
    """Field -> the source its figure came from."""
    sharing: str | None = None
    """How it is shared: `gres`, `shard`, `mps`, `time-slicing`, `mig`; None: it is not."""
    booked: dict[str, int] = {}
    """Owner (`slurm`, `kubernetes`) -> slices of this card it has given away."""
    capacity: dict[str, int] = {}
    """Owner -> slices of this card it has to give."""
    processes: tuple[GpuProcess, ...] = ()
    mig: tuple[MigInstance, ...] = ()
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    power_limit_w: float | None = None
    power_default_w: float | None = None
    power_min_w: float | None = None
    power_max_w: float | None = None
    persistence: bool | None = None
    clock_max_mhz: float | None = None
    clock_lock_mhz: float | None = None
    """The highest clock it is locked to, where the driver tells."""
    ecc_uncorrected: int | None = None
    """Errors since the driver was loaded that memory could not mend."""
    xid_at: float | None = None
    driver: str | None = None


class KubeNode(Item, frozen=True, kw_only=True):
    """A node of Kubernetes, as far as its GPUs go."""

    name: str
    node: str
    """The configured machine it is, else its own name."""
    ready: bool | None = None
    unschedulable: bool = False
    slices: int | None = None
    """Allocatable nvidia.com/gpu and nvidia.com/gpu.shared; None where it has none."""
    capacity: int | None = None
    mig: dict[str, int] = {}
    """Allocatable MIG resources: `mig-1g.10gb` -> how many."""
    cards: int | None = None
    """Label nvidia.com/gpu.count."""
    replicas: int | None = None
    """Label nvidia.com/gpu.replicas."""
    product: str | None = None
    sharing: str | None = None
    """Label nvidia.com/gpu.sharing-strategy: `none`, `time-slicing`, `mps`."""
    config: str | None = None
    """Label nvidia.com/device-plugin.config: which entry of the ConfigMap it follows."""


class Pod(Item, frozen=True, kw_only=True):
    """A pod that asks for a GPU."""

    namespace: str
    name: str
    uid: str
    node: str | None = None
    """The configured machine it runs on, else Kubernetes' name of it; None: not placed yet."""
    phase: str
    slices: int = 0
    """nvidia.com/gpu and nvidia.com/gpu.shared in its limits, as the scheduler counts them."""
    mig: dict[str, int] = {}
    reason: str | None = None
    """Why it waits or failed, as Kubernetes says it."""
    reason_text: str | None = None
    """The same in words."""
    created: float | None = None
    since: float | None = None
    """When it started; None while it waits."""
    priority: int | None = None
    owner: str | None = None
    """`Deployment/llama`, `Job/eval`; None: nobody makes it anew when it is deleted."""
    restarts: int | None = None
    cards: tuple[str, ...] = ()
    """The cards that its slices are on, `desktop-gpu:0`, where anybody knows."""


class SlicingConfig(Item, frozen=True, kw_only=True):
    """The device plug-in's ConfigMap: entry -> replicas of nvidia.com/gpu (1: not shared)."""

    namespace: str
    name: str
    entries: dict[str, int]
    default: str | None = None
    """ClusterPolicy's spec.devicePlugin.config.default."""
    renamed: tuple[str, ...] = ()
    """Entries whose slices are called nvidia.com/gpu.shared: pods must ask for that."""
    unread: dict[str, str] = {}
    """Entry -> why it cannot be understood."""


class KubeGpus(Item, frozen=True, kw_only=True):
    """One answer of Kubernetes."""

    nodes: tuple[KubeNode, ...] = ()
    pods: tuple[Pod, ...] = ()
    """Those that ask for a GPU and are not over."""
    slicing: SlicingConfig | None = None
    policy: str | None = None
    """ClusterPolicy's status.state: `ready`, `notReady`, `ignored`."""
    denied: dict[str, str] = {}
    """Part (`pods`, `nodes`, `configmaps`, `clusterpolicies`) -> why it could not be read."""


class SlurmCluster(Item, frozen=True, kw_only=True):
    """A Slurm that Soperator runs (slurm.nebius.ai)."""

    namespace: str
    name: str
    phase: str | None = None
    """`Available`, `Not available`, `Reconciling`; None: the operator has not said."""
    conditions: dict[str, str] = {}
    """Type -> `True`, `False: reason`, `Unknown`."""
    nodesets: dict[str, str] = {}
    """NodeSet -> `Ready 2/2`."""
    login_pod: str | None = None
    """The ready pod through which Slurm's commands can be run."""
    login_fault: str | None = None
    """Why there is none."""
    message: str | None = None
    """What the first condition that does not hold says."""
    slurm: str | None = None
    """What the Slurm that labtui asks says, where it is this one."""
    transport: tuple[str, ...] = ()
    """Lines for labtui's configuration, to run Slurm's commands in its login pod."""


class GpuHours(Item, frozen=True, kw_only=True):
    """What Prometheus kept of each card's utilisation, for the strip of the last hour."""

    util: dict[str, tuple[float | None, ...]] = {}
    """`node:index` -> means of STEP_S seconds each, the oldest first; None: nothing was scraped."""
    throttled: dict[str, float] = {}
    """`node:index` -> the part of the hour in which the clocks were held down, 0 to 1."""
    step_s: float = 300.0


class Job(Item, frozen=True, kw_only=True):
    job_id: str
    """As Slurm writes it: `1431`, `1430_7`, `1430_[8-99]`, `15+0`."""
    array_task: str | None = None
    name: str
    user: str | None = None
    partition: str | None = None
    state: str
    reason: str | None = None
    reason_text: str | None = None
    """The reason in words; None when there is none."""
    nodes: tuple[str, ...] = ()
    cpus: int | None = None
    memory_mib: int | None = None
    gres: str | None = None
    submit_time: float | None = None
    start_time: float | None = None
    """Unix seconds; of a pending job the scheduler's estimate."""
    end_time: float | None = None
    time_limit_s: int | None = None
    time_used_s: int | None = None
    exit_code: str | None = None
    """`rc:signal`, as sacct prints it."""
    stdout: str | None = None
    stderr: str | None = None
    account: str | None = None
    qos: str | None = None
    priority: int | None = None
    dependency: str | None = None
    work_dir: str | None = None
    comment: str | None = None
    source: str = "squeue"
    """`squeue` while Slurm's controller knows it, `sacct` afterwards; `labtui` where Slurm keeps no
    accounting and this console, or an earlier one, saw it end."""

    def waits_for(self) -> list[str]:
        """The ids in its dependency: `afterok:12(unfulfilled),afterany:13_*` -> 12, 13."""
        return [
            part.partition("_")[0]
            for kind in (self.dependency or "").replace("?", ",").split(",")
            for part in re.findall(r"[0-9]+(?:_[0-9*]+)?", kind.partition(":")[2])
        ]


class ArrayJob(Job, frozen=True, kw_only=True):
    """An array as one row of the table; `job_id` is the array's own."""

    tasks: dict[str, int]
    """State -> how many of its tasks are in it."""


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


class Run(Item, frozen=True, kw_only=True):
    run_id: str
    experiment: str
    name: str | None = None
    status: str
    start_time: float | None = None
    end_time: float | None = None
    params: dict[str, str] = {}
    metrics: dict[str, float | None] = {}
    """Last value of each metric; NaN and infinities are None."""
    job_id: str | None = None
    node: str | None = None
    note: str | None = None
    tags: dict[str, str] = {}
    experiment_id: str | None = None


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


class Partition(Item, frozen=True, kw_only=True):
    name: str
    state: str | None = None
    """`UP`, `DOWN`, `DRAIN`, `INACTIVE`."""
    is_default: bool = False
    nodes: tuple[str, ...] = ()
    nodes_idle: int | None = None
    nodes_mixed: int | None = None
    nodes_allocated: int | None = None
    nodes_unavailable: int | None = None
    """Down, drained, draining or silent."""
    cpus_alloc: int | None = None
    cpus_total: int | None = None
    gpus_free: int | None = None
    """On nodes that take jobs."""
    gpus_total: int | None = None
    default_time_s: int | None = None
    max_time_s: int | None = None
    """None: no limit."""
    running: int | None = None
    """Jobs that run in it."""
    pending: int | None = None
    """Jobs that wait for it; of an array each task."""
    qos: str | None = None
    allowed: str | None = None
    """Who may use it: `account research, vision`; None: everybody."""


class Reservation(Item, frozen=True, kw_only=True):
    name: str
    state: str | None = None
    """`ACTIVE` or `INACTIVE`."""
    start_time: float | None = None
    end_time: float | None = None
    nodes: tuple[str, ...] = ()
    node_count: int | None = None
    cores: int | None = None
    partition: str | None = None
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    features: str | None = None
    licenses: str | None = None
    tres: str | None = None
    comment: str | None = None


class Qos(Item, frozen=True, kw_only=True):
    name: str
    priority: int | None = None
    flags: tuple[str, ...] = ()
    preempts: tuple[str, ...] = ()
    limits: dict[str, str] = {}
    """What is limited, in words -> how much: "GPUs a user": "4"."""
    max_time_s: int | None = None
    running: int | None = None
    pending: int | None = None
    held: dict[str, int] = {}
    """What its running jobs hold together: "gpus", "cpus", "memory_mib", "nodes"."""
    holders: dict[str, dict[str, int]] = {}
    """User -> what that user's running jobs of this QoS hold."""


class Share(Item, frozen=True, kw_only=True):
    account: str
    user: str | None = None
    """None: the account's own line."""
    depth: int = 0
    """How far below the root account."""
    shares: int | None = None
    """Raw shares; None where it takes its account's (`parent`)."""
    share_part: float | None = None
    """What it should get of all, or of its account: 0 to 1."""
    usage: int | None = None
    """Raw usage, decayed: TRES seconds as PriorityFlags and billing weights make them."""
    usage_part: float | None = None
    """What it had: 0 to 1."""
    fair_share: float | None = None
    """The factor that counts in a job's priority: 0 to 1; None of an account."""
    level: float | None = None
    """Below 1: it had more than its share (LevelFS); None where it is infinite or not told."""
