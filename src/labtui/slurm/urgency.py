"""Which job needs a person first: the order of the queue, from a few of its fields."""

from __future__ import annotations

import re
import time

from labtui.model import Job

FINISHED = frozenset(
    {
        "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL",
        "DEADLINE", "OUT_OF_MEMORY", "REVOKED", "LAUNCH_FAILED",
    }
)  # fmt: skip
"""States that a job does not leave by itself."""
HELD = ("jobheld", "jobholdmaxrequeue", "launch failed requeued held",
        "job requeued in held state", "user env retrieval failed")  # fmt: skip
"""How the reasons of held jobs begin; of free texts Slurm writes the blanks as `_` too."""
HELD_STATES = frozenset({"SPECIAL_EXIT", "REQUEUE_HOLD"})
"""States of jobs that were put back into the queue held."""
BAD = frozenset({"FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"})
STUCK = ("DependencyNeverSatisfied", "BadConstraints", "ReservationDeleted", "PartitionConfig",
         "PartitionTimeLimit", "PartitionNodeLimit", "JobHoldMaxRequeue", "InvalidAccount",
         "InvalidQOS", "launch failed")  # fmt: skip
"""How the reasons begin that no waiting cures."""
_MORE_THAN_MAY = re.compile(r"(?:QOS|Assoc)(?:Min|Max\w*?Per(?:Job|Node))|MaxMemPerLimit")
"""One job asks more than one may, whatever others hold: `QOSMaxWallDurationPerJobLimit`."""
RECENT = 12 * 3600.0
"""Seconds for which a failed job stays among what matters."""

_LATEST = 1 << 36
"""A moment (unix seconds) after all that Slurm tells."""
_MAX_ID = (1 << 32) - 1


def is_held(job: Job) -> bool:
    """It waits for somebody to release it; of tasks that wait in one row all do."""
    return job.state in HELD_STATES or (job.state == "PENDING" and all(_holds(job)))


def has_held(job: Job) -> bool:
    """As `is_held`; of tasks that wait in one row some do."""
    return job.state in HELD_STATES or (job.state == "PENDING" and any(_holds(job)))


def _holds(job: Job) -> list[bool]:
    """Of each reason; squeue joins those of tasks that wait in one row."""
    reasons = (job.reason or "").replace("_", " ").lower().split(",")
    return [one.strip().startswith(HELD) for one in reasons]


def _is_stuck(reason: str) -> bool:
    return reason.startswith(STUCK) or _MORE_THAN_MAY.match(reason) is not None


def severity(state: str, reason: str | None, end_time: float | None) -> int:
    """3 failed lately, 2 waits for what will not come, 1 waits or runs, 0 is over."""
    if state in FINISHED:
        recent = end_time is not None and time.time() - end_time < RECENT
        return 3 if state in BAD and recent else 0
    if state == "PENDING":
        return 2 if reason and any(map(_is_stuck, reason.split(","))) else 1
    return 2 if state in ("SUSPENDED", "STOPPED", "SPECIAL_EXIT") else 1


def rank(state: str, reason: str | None, end_time: float | None) -> int:
    """The leading part of `place`: what needs a person, runs, waits, is over; the latest first."""
    bad = severity(state, reason, end_time)
    over = 4 if state in FINISHED else 3 if state == "PENDING" else 2
    group = 3 - bad if bad >= 2 else over
    moment = _LATEST - 1 - min(int(end_time or 0), _LATEST - 1)
    return ((group << 36) | moment) << 64


def place(leading: int, job_id: str) -> int:
    """One number to sort by: `rank`, then the newest job first, the tasks of an array in order."""
    head, _, task = job_id.partition("_")
    try:
        number = int(head)
    except ValueError:  # a part of a heterogeneous job, `15+0`
        plain = head.partition("+")[0]
        number = int(plain) if plain.isascii() and plain.isdigit() else 0
    index = 0
    if task:
        index = int(task) + 1 if task.isascii() and task.isdigit() else 0
    return leading | (_MAX_ID - number & _MAX_ID) << 32 | index & _MAX_ID
