"""QoS: their limits in words, and who holds what of them now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from labtui.config import Config
from labtui.model import Job, Qos
from labtui.slurm import types
from labtui.slurm.usage import Context, amount, asks, tasks
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import clock, inert, mib
from labtui.views import waiting

_TRES = (("gpus", "gres/gpu"), ("cpus", "cpu"), ("memory_mib", "mem"), ("nodes", "node"))
_NAMES = {"cpu": "CPUs", "mem": "memory", "node": "nodes", "gres/gpu": "GPUs"}


def rows(store: Store, config: Config, now: float) -> list[Qos]:
    context = waiting.look(store, now)
    known = store.value("slurm.jobs") is not None
    return [_row(one, context, known) for one in context.qos]


def _row(one: types.Qos, context: Context, known: bool) -> Qos:
    jobs = [job for job in context.holding if job.qos == one.name]
    users = sorted({job.user for job in jobs if job.user})
    waits = context.waiting
    counts = [tasks(job) for job in waits or () if job.qos == one.name]
    return Qos(
        name=one.name,
        priority=one.priority,
        flags=one.flags,
        preempts=one.preempt,
        limits=limits(one),
        max_time_s=None if one.max_wall is None else one.max_wall * 60,
        running=len(jobs) if known else None,
        pending=None if not known or waits is None or None in counts else sum(filter(None, counts)),
        held=_held(jobs),
        holders={user: _held(job for job in jobs if job.user == user) for user in users},
    )


def _held(jobs: Iterable[Job]) -> dict[str, int]:
    """What they hold together; a resource that one of them does not tell is left out."""
    found: Counter[str] = Counter()
    unknown: set[str] = set()
    for job in jobs:
        for name, tres in _TRES:
            count = asks(job, tres)
            if count is None:
                unknown.add(name)
            else:
                found[name] += count
    return {name: count for name, count in found.items() if name not in unknown}


def limits(one: types.Limits) -> dict[str, str]:
    """Every limit that is set, in words: `GPUs a user` -> `4`."""
    found: dict[str, str] = {}
    for attribute, per in (
        ("max_tres_per_user", "a user"), ("max_tres_per_account", "an account"),
        ("grp_tres", "in all"), ("max_tres_per_job", "a job"), ("max_tres_per_node", "a node"),
        ("min_tres_per_job", "at least"),
    ):  # fmt: skip
        for tres, count in getattr(one, attribute, {}).items():
            found[f"{_word(tres)} {per}"] = mib(count) if tres == "mem" else str(count)
    for attribute, per in (
        ("grp_tres_mins", "minutes in all"), ("grp_tres_run_mins", "minutes running"),
        ("max_tres_mins_per_job", "minutes a job"),
    ):  # fmt: skip
        for tres, count in getattr(one, attribute, {}).items():
            used = one.used_tres_mins.get(tres) if attribute == "grp_tres_mins" else None
            told = f"{count}" if used is None else f"{count} ({used} used)"
            one_of = {"CPUs": "CPU", "GPUs": "GPU", "nodes": "node"}.get(_word(tres), _word(tres))
            found[f"{one_of} {per}"] = told
    for attribute, word in (
        ("max_jobs_per_user", "running jobs a user"), ("max_jobs", "running jobs"),
        ("max_jobs_per_account", "running jobs an account"), ("grp_jobs", "running jobs in all"),
        ("max_submit_jobs_per_user", "queued jobs a user"), ("max_submit_jobs", "queued jobs"),
        ("max_submit_jobs_per_account", "queued jobs an account"),
        ("grp_submit_jobs", "queued jobs in all"),
    ):  # fmt: skip
        count = getattr(one, attribute, None)
        if count is not None:
            found[word] = str(count)
    if one.grp_wall is not None:
        found["run time in all"] = clock(one.grp_wall * 60)
    return found


def _word(tres: str) -> str:
    name, _, kind = tres.removeprefix("gres/").partition(":")
    if name == "gpu":
        return f"{kind} GPUs" if kind else "GPUs"
    return _NAMES.get(tres, tres.removeprefix("gres/").removeprefix("license/"))


_SINGULAR = re.compile(r"(CPU|GPU|node|job)s")


def _limits(one: Qos) -> str:
    words = {w: _SINGULAR.sub(r"\1", w, count=1) if n == "1" else w for w, n in one.limits.items()}
    return inert(", ".join(f"{n} {words[w]}" for w, n in one.limits.items()) or "none", 300)


def holds(held: dict[str, int]) -> str:
    """`3 GPUs, 24 CPUs`."""
    parts = [amount(tres, held[name]) for name, tres in _TRES[:2] if held.get(name)]
    return ", ".join(parts) or "-"


def _holders(one: Qos) -> str:
    ranked = sorted(one.holders.items(), key=lambda pair: (-pair[1].get("gpus", 0), pair[0]))
    return "; ".join(f"{inert(user, 40)} {holds(held)}" for user, held in ranked) or "-"


def detail(one: Qos, store: Store, now: float) -> list[str | Cell]:
    lines: list[str | Cell] = [
        f"{inert(one.name, 60)} · priority {'-' if one.priority is None else one.priority}"
        + (f" · {inert(', '.join(one.flags), 200)}" if one.flags else "")
        + (f" · may stop jobs of {inert(', '.join(one.preempts), 200)}" if one.preempts else ""),
        f"limits: {_limits(one)}",
        f"time: {'no limit' if one.max_time_s is None else clock(one.max_time_s)} a job",
        f"{_known(one.running)} run{' and hold ' + holds(one.held) if one.running else ''}, "
        f"{_known(one.pending)} wait",
        f"held by: {_holders(one)}",
    ]
    enforce = (store.value("slurm.settings") or {}).get("AccountingStorageEnforce")
    if store.value("slurm.settings") is not None and "limits" not in (enforce or ""):
        lines.append(
            Cell("this Slurm does not enforce limits: AccountingStorageEnforce has none", "warn")
        )
    return lines


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


SUBJECT = SubjectSpec(
    name="qos",
    key="",
    title="QoS",
    words="The limits of each quality of service, and who holds what of it now.",
    feeds=("slurm.qos", "slurm.jobs"),
    columns=(
        Column("name", "QOS", 12, lambda q: inert(q.name, 60), lambda q: q.name, wide=20),
        Column("priority", "PRIO", 6, lambda q: _known(q.priority), lambda q: q.priority, "right"),
        Column("time", "TIME", 10,
               lambda q: "no limit" if q.max_time_s is None else clock(q.max_time_s),
               lambda q: q.max_time_s or 1 << 40, "right"),
        Column("running", "RUN", 4, lambda q: _known(q.running), lambda q: q.running, "right",
               wide=6),
        Column("pending", "WAIT", 5, lambda q: _known(q.pending), lambda q: q.pending, "right",
               wide=7),
        Column("held", "HELD", 16, lambda q: holds(q.held), lambda q: q.held.get("gpus")),
        Column("limits", "LIMITS", 18, _limits, grow=True),
        Column("holders", "HELD BY", 34, _holders, min_total=140),
    ),
    row_key=lambda q: str(q.name),
    severity=lambda q: 0,
    rows=rows,
    detail=detail,
    searchable=lambda q: inert(f"{q.name} {_limits(q)} {' '.join(q.holders)}"),
    default_sort="name",
    also=("slurm.partitions", "slurm.settings"),
    parent="jobs",
)  # fmt: skip
