"""Why a job waits, or how it ended, in one short plain sentence.

`reasons.tsv` has the codes; limits of accounts and QoS are a family by name (there are some 130 of
them), and free texts are known by how they begin.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources

from labtui.model import Job

_BEGINS: tuple[tuple[str, str], ...] = (
    ("nodes required for job are down", "its nodes are down, drained or kept for others"),
    ("launch failed requeued held", "held: it could not be started on its node"),
    ("job requeued in held state", "held after it was requeued"),
    ("user env retrieval failed", "held: its user's environment could not be read"),
    ("reservation", "waits for its reservation to begin"),
    ("partition", "its partition is not available"),
)
_FAMILY = re.compile(
    r"(Assoc|QOS)?(Grp|Max|Min)([A-Za-z]+?)(?:(Run)?(Minutes))?"
    r"(PerJob|PerUser|PerAccount|PerNode)?(?:Limit|NotSatisfied)?\Z"
)
_WHOSE = {"Assoc": "account", "QOS": "QoS", None: "QoS"}
_WHAT = {
    "BB": "burst buffer", "Billing": "billing", "Cpu": "CPUs", "CPU": "CPUs", "Energy": "energy",
    "GRES": "GPUs", "Jobs": "running jobs", "License": "licences", "Mem": "memory",
    "Memory": "memory", "Node": "nodes", "SubmitJobs": "queued jobs", "SubmitJob": "queued jobs",
    "Unknown": "a resource", "Wall": "run time", "WallDuration": "run time",
}  # fmt: skip
_PER = {"PerJob": " a job", "PerUser": " a user", "PerAccount": " an account", "PerNode": " a node"}


@cache
def table() -> dict[str, str]:
    """Code -> words."""
    source = resources.files("labtui.slurm").joinpath("reasons.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in source.splitlines() if "\t" in line)


@lru_cache(maxsize=4096)
def words(reason: str) -> str:
    """The words of a reason without its job's context; the reason itself where none are known."""
    code, comma, rest = reason.partition(",")
    if code.strip() in table():
        plain = table()[code.strip()]
        names = rest.partition("UnavailableNodes:")[2].strip()
        return f"not available: {names}" if comma and names else plain
    lower = reason.replace("_", " ").lower().strip("() ")
    for start, plain in _BEGINS:
        if lower.startswith(start):
            return plain
    family = _FAMILY.match(code)
    if family and family[3] in _WHAT:
        whose, kind, what, running, minutes, per = family.groups()
        amount = _WHAT[what] + (" x minutes" if minutes else "") + (", running" if running else "")
        if kind == "Min":
            return f"asks less {amount} than its {_WHOSE[whose]} wants"
        return f"{_WHOSE[whose]} limit: {amount}{_PER.get(per or '', '')}"
    return reason


def explain(reason: str | None, job: Job) -> str | None:
    """Why this job waits. None for a job without a reason."""
    if reason is None:
        return table()["None"] if job.state == "PENDING" else None
    if reason in ("Dependency", "DependencyNeverSatisfied") and job.dependency:
        return _dependency(reason, job.dependency)
    if reason == "JobArrayTaskLimit" and job.array_task and "%" in job.array_task:
        return f"its array runs {job.array_task.rpartition('%')[2]} at once"
    return words(reason)


def _dependency(reason: str, dependency: str) -> str:
    """`afterok:12(unfulfilled),afterany:13_*(failed)` in words."""
    kinds = {"afterok": "to end well", "afternotok": "to fail", "after": "to start",
             "afterany": "to end", "aftercorr": "to end well, task by task"}  # fmt: skip
    found = re.findall(r"(\w+):([0-9_*+]+)(?:\((\w+)\))?", dependency)
    if dependency.startswith("singleton"):
        return "waits for its user's other job of that name"
    if not found:
        return words(reason)
    if reason == "DependencyNeverSatisfied":
        ids = ", ".join(job for _, job, _ in found)
        return f"never starts: {ids} did not end as asked"
    parts = [f"{job.removesuffix('_*')} {kinds.get(kind, '')}".strip() for kind, job, _ in found]
    return "waits for " + ", ".join(parts)


def outcome(state: str, code: str | None, more: str | None) -> str | None:
    """How a finished job ended; None when it ended well."""
    if state == "COMPLETED":
        return None
    rc, _, signal = (code or "").partition(":")
    if state == "FAILED":
        if signal not in ("", "0"):
            return f"ended by signal {signal}"
        if more in ("JobLaunchFailure", "BadConstraints") and rc in ("", "0"):
            return words(more)
        return f"exit {rc}" if rc not in ("", "0") else "failed"
    plain = {
        "TIMEOUT": "ran out of time",
        "OUT_OF_MEMORY": "ran out of memory",
        "NODE_FAIL": "its node failed",
        "PREEMPTED": "made room for a job of higher priority",
        "DEADLINE": "missed its deadline",
        "BOOT_FAIL": "its node did not boot",
        "LAUNCH_FAILED": "could not be started",
        "REVOKED": "went to another cluster",
    }
    if state == "CANCELLED":
        by = re.fullmatch(r"by (\d+)", more or "")
        if by is None:
            return "cancelled"
        return "cancelled by root" if by[1] == "0" else f"cancelled by user id {by[1]}"
    return plain.get(state)
