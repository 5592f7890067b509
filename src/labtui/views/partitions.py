"""Partitions: what each has, how much of it is free, what may be asked, who waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from labtui.config import Config
from labtui.model import Job, Node, Partition
from labtui.slurm import types
from labtui.slurm.scontrol import state_word
from labtui.slurm.usage import tasks
from labtui.slurm.waiting import takes_jobs
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import clock, inert
from labtui.views import waiting

_KIND = {"idle": "idle", "mixed": "mixed", "allocated": "allocated", "completing": "allocated",
         "off": "idle", "starting": "idle"}  # fmt: skip


def rows(store: Store, config: Config, now: float) -> list[Partition]:
    context = waiting.look(store, now)
    running = Counter(job.partition for job in context.holding)
    pending = _pending(context.waiting)
    nodes = {node.name: node for node in context.nodes}
    return [
        _row(
            one, [nodes[name] for name in one.nodes if name in nodes],
            running[one.name] if store.value("slurm.jobs") is not None else None,
            None if pending is None else pending.get(one.name, 0),
        )
        for one in context.partitions
    ]  # fmt: skip


def _pending(jobs: Sequence[Job] | None) -> dict[str, int | None] | None:
    """Tasks that wait for each partition; one that may run in two waits for both."""
    if jobs is None:
        return None
    found: dict[str, int | None] = {}
    for job in jobs:
        count = tasks(job)
        for name in (job.partition or "").split(","):
            before = found.get(name, 0)
            found[name] = None if before is None or count is None else before + count
    return found


def _row(
    one: types.Partition, nodes: list[Node], running: int | None, pending: int | None
) -> Partition:
    kinds = Counter(_KIND.get(state_word(n.slurm_state), "unavailable") for n in nodes)
    open_nodes = [n for n in nodes if takes_jobs(n.slurm_state)]
    cards = [n.gpus for n in nodes if n.gpus is not None]
    free = [
        None if n.gpus_alloc is None else max(0, (n.gpus or 0) - n.gpus_alloc)
        for n in open_nodes
        if n.gpus
    ]
    return Partition(
        name=one.name,
        state=one.state,
        is_default=one.is_default,
        nodes=one.nodes,
        nodes_idle=kinds["idle"] if nodes else None,
        nodes_mixed=kinds["mixed"] if nodes else None,
        nodes_allocated=kinds["allocated"] if nodes else None,
        nodes_unavailable=kinds["unavailable"] if nodes else None,
        cpus_alloc=_sum(n.cpus_alloc for n in nodes) if nodes else None,
        cpus_total=_sum(n.cpus_total for n in nodes) if nodes else one.total_cpus,
        gpus_free=_sum(free) if nodes else None,
        gpus_total=sum(cards) if cards else 0 if nodes else one.tres.get("gres/gpu"),
        default_time_s=None if one.default_time is None else one.default_time * 60,
        max_time_s=None if one.max_time is None else one.max_time * 60,
        running=running,
        pending=pending,
        qos=one.qos,
        allowed=_allowed(one),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(c for c in known if c is not None)


def _allowed(one: types.Partition) -> str | None:
    """Who may use it, where that is not everybody."""
    rules = (
        ("account", one.allowed_accounts), ("group", one.allowed_groups),
        ("QoS", one.allowed_qos), ("not account", one.denied_accounts),
        ("not QoS", one.denied_qos),
    )  # fmt: skip
    said = [f"{word} {', '.join(names)}" for word, names in rules if names]
    return "; ".join(said) or None


def severity(one: Partition) -> int:
    """2 takes no jobs, 1 has nodes that cannot be used."""
    if one.state != "UP":
        return 2
    return 1 if one.nodes_unavailable else 0


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def _state(one: Partition) -> Cell:
    word = inert(one.state or "-", 20).lower()
    return Cell(word, "ok" if word == "up" else "warn")


def _nodes(one: Partition) -> Cell:
    counts = (one.nodes_idle, one.nodes_mixed, one.nodes_allocated, one.nodes_unavailable)
    return Cell("/".join(map(_known, counts)), "warn" if one.nodes_unavailable else "")


def limit(seconds: int | None) -> str:
    return "no limit" if seconds is None else clock(seconds)


def detail(one: Partition, store: Store, now: float) -> list[str | Cell]:
    shown = ", ".join(inert(name, 60) for name in one.nodes[:12])
    more = f" and {len(one.nodes) - 12} more" if len(one.nodes) > 12 else ""
    default = " · the default one" if one.is_default else ""
    return [
        f"{inert(one.name, 60)} is {_state(one).text}{default} · nodes: {shown or '-'}{more}",
        f"nodes: {_known(one.nodes_idle)} idle, {_known(one.nodes_mixed)} partly used, "
        f"{_known(one.nodes_allocated)} full, {_known(one.nodes_unavailable)} not available",
        f"free: {_known(one.gpus_free)} of {_known(one.gpus_total)} GPUs · CPUs in use: "
        f"{_known(one.cpus_alloc)} of {_known(one.cpus_total)}",
        f"time: {limit(one.max_time_s)} at most, without asking {_default(one)}",
        f"{_known(one.running)} run, {_known(one.pending)} wait for it · "
        f"for {inert(one.allowed or 'everybody', 200)}"
        + (f" · its own QoS: {inert(one.qos, 60)}" if one.qos else ""),
    ]


def _default(one: Partition) -> str:
    return limit(one.max_time_s) if one.default_time_s is None else clock(one.default_time_s)


SUBJECT = SubjectSpec(
    name="partitions",
    key="",
    title="Partitions",
    words="What each partition has, how much is free, what may be asked, who may use it.",
    feeds=("slurm.partitions", "slurm.nodes", "slurm.jobs"),
    columns=(
        Column("name", "PARTITION", 11, lambda p: inert(p.name, 60) + "*" * p.is_default,
               lambda p: p.name, wide=20),
        Column("state", "STATE", 8, _state, lambda p: p.state),
        Column("nodes", "IDLE/MIX/AL/DN", 14, _nodes, lambda p: p.nodes_idle),
        Column("cpus", "CPUS", 8,
               lambda p: f"{_known(p.cpus_alloc)}/{_known(p.cpus_total)}",
               lambda p: p.cpus_alloc, "right"),
        Column("gpus", "FREE GPU", 8,
               lambda p: f"{_known(p.gpus_free)}/{_known(p.gpus_total)}",
               lambda p: p.gpus_free, "right"),
        Column("limit", "LIMIT", 10, lambda p: limit(p.max_time_s),
               lambda p: p.max_time_s or 1 << 40, "right"),
        Column("default", "DEFAULT", 10, _default, lambda p: p.default_time_s, "right",
               min_total=100),
        Column("running", "RUN", 4, lambda p: _known(p.running), lambda p: p.running, "right",
               wide=6),
        Column("pending", "WAIT", 4, lambda p: _known(p.pending), lambda p: p.pending, "right",
               wide=7),
        Column("allowed", "WHO MAY", 8, lambda p: inert(p.allowed or "everybody", 200),
               min_total=90, grow=True),
    ),
    row_key=lambda p: str(p.name),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda p: inert(f"{p.name} {p.state} {' '.join(p.nodes)} {p.allowed or ''}"),
    default_sort="severity",
    parent="jobs",
)  # fmt: skip
