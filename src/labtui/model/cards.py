"""GPUs: who holds which share of which card, and what the sources say of it."""

from __future__ import annotations

from typing import Literal

from labtui.model.base import Item


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
    """None: not one card, but what was booked on the node and cannot be put on a card. With `index`
    in `na` it stands for all cards of the node: nobody says how many these are."""
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
    """How it is shared: `gres`, `shard`, `mps`, `time-slicing`, `mig`; None: it is not, or
    nobody knows (`na`)."""
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
    minor: int | None = None
    """Of its device file, /dev/nvidia0: how Slurm counts cards; `index` is by place on the bus."""


class GpuHours(Item, frozen=True, kw_only=True):
    """What Prometheus kept of each card's utilisation, for the strip of the last hour."""

    util: dict[str, tuple[float | None, ...]] = {}
    """`node:UUID`, of an exporter without UUIDs `node:index` -> means of STEP_S seconds each, the
    oldest first; None: nothing was scraped."""
    throttled: dict[str, tuple[int, int]] = {}
    """As `util` -> looks at the end of a minute that found the clocks held down, and all looks
    of the hour: 60, or as many as there were."""
    violated: dict[str, tuple[int, int]] = {}
    """The same of a card without such looks: minutes in which its counters of violations grew, if
    only for a moment."""
    step_s: float = 300.0
