"""The asynchronous face: `await aio.jobs(client)`, the same objects as the synchronous one.

All functions take a SlurmClient first and raise HostError or RPCError.
"""

from __future__ import annotations

from labtui.slurm.core.aio import (
    cluster,
    node,
    nodes,
    partition,
    partitions,
    reservation,
    reservations,
)
from labtui.slurm.core.job.actions import (
    batch_script,
    hold_job,
    modify_job,
    modify_step,
    notify_job,
    release_job,
    requeue_job,
    signal_job,
    signal_step,
    suspend_job,
    unsuspend_job,
)
from labtui.slurm.core.job.aio import (
    all_steps,
    job,
    job_stats,
    jobs,
    jobs_stats,
    load_steps,
    step,
    step_stats,
    steps,
)
from labtui.slurm.core.job.submission import submit
from labtui.slurm.core.slurmctld.aio import config, pings, statistics
from labtui.slurm.release import document, release

__all__ = [
    "all_steps",
    "batch_script",
    "cluster",
    "config",
    "document",
    "hold_job",
    "job",
    "job_stats",
    "jobs",
    "jobs_stats",
    "load_steps",
    "modify_job",
    "modify_step",
    "node",
    "nodes",
    "notify_job",
    "partition",
    "partitions",
    "pings",
    "release",
    "release_job",
    "requeue_job",
    "reservation",
    "reservations",
    "signal_job",
    "signal_step",
    "statistics",
    "step",
    "step_stats",
    "steps",
    "submit",
    "suspend_job",
    "unsuspend_job",
]
