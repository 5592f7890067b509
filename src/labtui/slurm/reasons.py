"""Why a job waits, or how it ended, in plain words, and what to do about it.

`reasons.tsv` has the codes; limits of accounts and QoS are a family by name (there are some 140 of
them), and free texts are known by how they begin. What a job's own figures and the cluster's state
tell beyond that is in `waiting.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources

import msgspec

from labtui.model import Job

_BEGINS: tuple[tuple[str, str, str], ...] = (
    ("nodes required for job are down", "its nodes are down, drained or kept for others",
     "wait for the nodes, or move it to another partition"),
    ("launch failed requeued held", "held: it could not be started on its node",
     "read its node's log and its own, then release it"),
    ("job requeued in held state", "held after it was requeued", "release it"),
    ("user env retrieval failed", "held: its user's environment could not be read",
     "check the user's login scripts, then release it"),
    ("reservation", "waits for its reservation to begin", "it starts by itself then"),
    ("partition", "its partition is not available",
     "wait until an operator opens it, or move it to another partition"),
    ("reserved for maintenance", "its nodes are reserved for maintenance",
     "it starts by itself afterwards; a shorter time limit may let it end before"),
    ("may be reserved for other job", "a node it needs may be kept for another job",
     "wait, or submit it again without naming the node"),
)  # fmt: skip
_FAMILY = re.compile(
    r"(Assoc|QOS)?(Grp|Max|Min)([A-Za-z]+?)(?:(Run)?(Minutes))?"
    r"(PerJob|PerUser|PerAccount|PerNode)?(?:Limit|NotSatisfied)?\Z"
)
_WHAT = {
    "BB": ("bb/", "burst buffer"), "Billing": ("billing", "billing units"),
    "Cpu": ("cpu", "CPUs"), "CPU": ("cpu", "CPUs"), "Energy": ("energy", "energy"),
    "GRES": ("gres/", "GPUs"), "Jobs": ("jobs", "running jobs"),
    "License": ("license/", "licences"), "Mem": ("mem", "memory"), "Memory": ("mem", "memory"),
    "Node": ("node", "nodes"), "SubmitJobs": ("submit", "queued jobs"),
    "SubmitJob": ("submit", "queued jobs"), "Unknown": ("other", "other resources"),
    "Wall": ("wall", "run time"), "WallDuration": ("wall", "run time"),
}  # fmt: skip
"""Part of a code -> (Slurm's name of the resource, or its beginning; what people call it)."""
_PER = {"": "", "Job": " a job", "User": " a user", "Account": " an account", "Node": " a node"}


class LimitCode(msgspec.Struct, frozen=True):
    """A code of the family taken apart: `QOSMaxGRESPerUser`, `AssocGrpCPURunMinutesLimit`."""

    of_qos: bool
    """A limit of the QoS, else of the association."""
    kind: str
    """`Grp`, `Max`, `Min`."""
    what: str
    """`cpu`, `mem`, `node`, `billing`, `energy`, `gres/`, `bb/`, `license/`, `other`, `jobs`,
    `submit`, `wall`."""
    words: str
    """The same as people call it."""
    minutes: str = ""
    """`""`, `Minutes`, `RunMinutes`: resource times minutes, of all time or of running jobs."""
    per: str = ""
    """`""`, `Job`, `User`, `Account`, `Node`."""

    @property
    def whose(self) -> str:
        return "QoS" if self.of_qos else "account"

    @property
    def setting(self) -> str:
        """What an operator would raise: sacctmgr's name of the limit."""
        if self.what in ("jobs", "submit", "wall"):
            part = {"jobs": "Jobs", "submit": "SubmitJobs", "wall": "Wall"}[self.what]
        else:
            part = "TRES" + {"": "", "Minutes": "Mins", "RunMinutes": "RunMins"}[self.minutes]
        per = self.per if self.of_qos or self.per == "Node" else ""
        per = "" if self.what == "wall" else per
        return f"{self.kind}{part}{'Per' + per if per else ''}"


@lru_cache(maxsize=512)
def limit_code(code: str) -> LimitCode | None:
    """None where the code is not of the family."""
    family = _FAMILY.match(code)
    if code in table() or family is None or family[3] not in _WHAT:
        return None
    whose, kind, part, running, minutes, per = family.groups()
    what, words = _WHAT[part]
    return LimitCode(
        of_qos=whose != "Assoc",
        kind=kind,
        what=what,
        words=words,
        minutes=f"{running or ''}{minutes or ''}",
        per=(per or "").removeprefix("Per"),
    )


@cache
def table() -> dict[str, tuple[str, str]]:
    """Code -> (words, advice)."""
    source = resources.files("labtui.slurm").joinpath("reasons.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in source.splitlines())
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


@lru_cache(maxsize=4096)
def several(reason: str) -> tuple[str, ...]:
    """The reasons of tasks that wait in one row, which squeue joins: `BeginTime,JobHeldUser`.
    One reason as it stands: it may hold commas too."""
    codes = tuple(dict.fromkeys(code.strip() for code in reason.split(",")))
    return codes if all(code in table() or limit_code(code) for code in codes) else (reason,)


def differ(words: Iterable[str]) -> str:
    return f"its tasks differ: {'; '.join(words)}"


@lru_cache(maxsize=4096)
def words(reason: str) -> str:
    """The words of a reason without its job's context; the reason itself where none are known."""
    code, comma, rest = reason.partition(",")
    if names := unavailable(reason):
        return f"not available: {names}"
    if comma and (free := _begins(rest)):
        return free[0]
    if code.strip() in table():
        return table()[code.strip()][0]
    if free := _begins(reason):
        return free[0]
    limit = limit_code(code)
    if limit is None:
        return reason
    amount = limit.words + (" x minutes" if limit.minutes else "")
    amount += ", running" if limit.minutes.startswith("Run") else ""
    if limit.kind == "Min":
        return f"asks less {limit.words} than its {limit.whose} wants"
    return f"{limit.whose} limit: {amount}{_PER[limit.per]}"


def unavailable(reason: str) -> str:
    """The nodes that `ReqNodeNotAvail, UnavailableNodes:gpu-[1-2]` names; else nothing."""
    code, _, rest = reason.partition(",")
    known = code.strip() == "ReqNodeNotAvail" or "UnavailableNodes" in rest
    return rest.partition("UnavailableNodes:")[2].strip() if known else ""


def _begins(text: str) -> tuple[str, str] | None:
    lower = text.replace("_", " ").lower().strip("() ")
    for start, plain, advice in _BEGINS:
        if lower.startswith(start):
            return plain, advice
    return None


@lru_cache(maxsize=4096)
def sentence(reason: str) -> str:
    """As `words`, where there is room for a whole sentence."""
    limit = limit_code(reason.partition(",")[0].strip())
    if limit is None:
        return words(reason)
    whose, what = limit.whose, limit.words
    if limit.kind == "Min":
        return f"it asks less {what} than its {whose} wants of every job"
    if limit.what == "wall":
        long = f"it asks a longer time limit than its {whose} lets a job have"
        return long if limit.per == "Job" else f"the jobs of its {whose} have used up its run time"
    if limit.what in ("jobs", "submit"):
        done = "run" if limit.what == "jobs" else "wait or run"
        who = {"Account": "of its account", "": f"of its {whose}"}.get(limit.per, "of its user")
        if limit.kind == "Max" and not limit.per:
            who = "of its user"
        return f"as many jobs {who} {done} already as its {whose} allows at once"
    if limit.minutes == "Minutes" and limit.kind == "Grp":
        return f"the jobs of its {whose} have used up its minutes of {what}"
    if limit.minutes == "RunMinutes":
        return f"what runs in its {whose} may need all minutes of {what} that it has"
    if limit.minutes:
        return f"it asks more {what} for longer than its {whose} lets a job have"
    if limit.kind == "Grp":
        return f"with it the jobs of its {whose} would hold more {what} than they may together"
    if limit.per in ("Job", "Node"):
        on = "a job have" if limit.per == "Job" else "a job have on one node"
        return f"it asks more {what} than its {whose} lets {on}"
    who = "user" if limit.per == "User" else "account"
    return f"with it its {who} would hold more {what} than the {whose} allows"


@lru_cache(maxsize=4096)
def advice(reason: str) -> str:
    """What to do about it; empty where the reason is none that we know."""
    code, comma, rest = reason.partition(",")
    if comma and (free := _begins(rest)):
        return free[1]
    if code.strip() in table():
        return table()[code.strip()][1]
    if free := _begins(reason):
        return free[1]
    limit = limit_code(code.strip())
    return limit_advice(limit) if limit else ""


def limit_advice(limit: LimitCode, *, alone: bool = False) -> str:
    """`alone`: the job by itself asks more than the limit, whatever others give back."""
    raised = f"an operator can raise {limit.setting} of the {limit.whose}"
    other = "give it another QoS" if limit.of_qos else "use another account"
    if limit.kind == "Min":
        return f"it never starts so: submit it again with more {limit.words}, or {other}"
    if limit.what == "wall" and limit.per == "Job":
        return f"it never starts so: lower its time limit, or {other}; {raised}"
    if alone and limit.what == "jobs":  # none may run
        return f"it never starts so: {other}; {raised}"
    if alone or limit.per in ("Job", "Node"):
        less = "a lower time limit or less" if limit.minutes else "less"
        return f"it never starts so: submit it again with {less}, or {other}; {raised}"
    if limit.what == "wall" or limit.minutes == "Minutes":
        return f"wait until the usage has decayed, or {other}; {raised}"
    if limit.per == "Account":
        return f"it starts when jobs of the account end, or {other}; {raised}"
    if limit.per == "User" or (limit.kind == "Max" and limit.what in ("jobs", "submit")):
        return f"it starts when the user's other jobs end, or {other}; {raised}"
    return f"it starts when other jobs of the {limit.whose} end, or {other}; {raised}"


def explain(reason: str | None, job: Job) -> str | None:
    """Why this job waits. None for a job without a reason."""
    if reason is None:
        return table()["None"][0] if job.state == "PENDING" else None
    if len(codes := several(reason)) > 1:
        return differ(explain(code, job) or "" for code in codes)
    if reason in ("Dependency", "DependencyNeverSatisfied") and job.dependency:
        return _dependency(reason, job.dependency)
    if reason == "JobArrayTaskLimit" and job.array_task and "%" in job.array_task:
        return f"its array runs {job.array_task.rpartition('%')[2]} at once"
    return words(reason)


DEPENDS = re.compile(r"(\w+):([0-9]{1,10}(?:_[0-9]{1,9}|_\*)?)(?:\+([0-9]{1,9}))?")
"""(kind, job, minutes) of each part of a dependency: `after:12+10(unfulfilled)`."""
_KINDS = {
    "after": "to start", "afterok": "to end well", "afternotok": "to fail", "afterany": "to end",
    "aftercorr": "to end well, task by task", "afterburstbuffer": "to have its data out",
}  # fmt: skip


def what_depends(kind: str, minutes: str = "") -> str:
    """`to end well`, `to start and 10 min to pass`; empty for a kind that we do not know."""
    return _KINDS.get(kind, "") + (
        f" and {minutes} min to pass" if minutes and kind == "after" else ""
    )


def _dependency(reason: str, dependency: str) -> str:
    """`afterok:12(unfulfilled),afterany:13_*(failed)` in words."""
    found = DEPENDS.findall(dependency)
    if dependency.startswith("singleton"):
        return "waits for its user's other job of that name"
    if not found:
        return words(reason)
    if reason == "DependencyNeverSatisfied":
        ids = ", ".join(job for _, job, _ in found)
        return f"never starts: {ids} did not end as asked"
    parts = [
        f"{job.removesuffix('_*')} {what_depends(kind, later)}".strip()
        for kind, job, later in found
    ]
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
