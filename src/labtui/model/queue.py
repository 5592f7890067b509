"""Slurm's jobs, and what they wait in and for."""

from __future__ import annotations

import re

from labtui.model.base import Item


class Job(Item, frozen=True, kw_only=True, gc=False):
    """Outside Python's search for cycles, where many thousands would be felt at the keyboard."""

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
