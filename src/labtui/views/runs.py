"""MLflow's runs: what failed and what is running first, then the newest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from labtui.config import Config
from labtui.model import Job, Run
from labtui.slurm.joblist import find
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Store
from labtui.text import age, clock, inert, spark

RECENT_S = 86400.0
"""A failure is pressing for a day; after that it is history."""
_TONES: dict[str, Tone] = {
    "FINISHED": "ok", "RUNNING": "accent", "SCHEDULED": "dim", "FAILED": "crit", "KILLED": "warn"
}  # fmt: skip
CURVE = 40
"""Values of a curve that are drawn."""
PLAIN = ("loss", "val_loss", "train_loss", "accuracy", "val_accuracy")
"""The metrics that a table has room for, the most telling first."""


def items(store: Store, config: Config, now: float) -> list[Run]:
    value = store.value("mlflow.runs")
    found = [r for r in value if isinstance(r, Run)] if isinstance(value, list) else []
    return sorted(found, key=lambda r: -(r.start_time or 0.0))


rows = items


def severity(run: Run) -> int:
    recent = time.time() - (run.end_time or run.start_time or 0.0) < RECENT_S
    match run.status:
        case "FAILED" if recent:
            return 3 if run.metrics else 2
        case "KILLED" if recent:
            return 1
        case "RUNNING":
            return 1
    return 0


def headline(run: Run) -> tuple[str, float | None] | None:
    """The metric that the table shows, with its last value."""
    known = [name for name in PLAIN if name in run.metrics] or sorted(run.metrics)
    return (known[0], run.metrics[known[0]]) if known else None


def value_text(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.4g}"


def took(run: Run, now: float) -> float | None:
    """Seconds; of a running one so far."""
    if run.start_time is None:
        return None
    end = now if run.status == "RUNNING" else run.end_time
    return None if end is None else max(0.0, end - run.start_time)


def _metric(run: Run) -> Cell | str:
    best = headline(run)
    if best is None:
        return Cell("-", "dim")
    return Cell(f"{inert(best[0], 12)} {value_text(best[1])}", "crit" if best[1] is None else "")


def _status(run: Run) -> Cell:
    return Cell(inert(run.status.lower(), 16), _TONES.get(run.status, "warn"))


def _when(run: Run) -> str:
    return "-" if run.start_time is None else age(time.time() - run.start_time)


def _params(run: Run) -> Cell:
    return Cell(inert("  ".join(f"{k}={v}" for k, v in run.params.items()), 200), "dim")


def detail(run: Run, store: Store, now: float) -> list[str | Cell]:
    lines: list[str | Cell] = [
        Cell(f"{inert(run.name or run.run_id)}  in {inert(run.experiment)}", "accent"),
        f"{inert(run.status.lower())} · took {clock(took(run, now))} · {inert(run.run_id)}",
    ]
    if run.job_id:
        lines.append(f"made by job {inert(run.job_id)}{_job(run, store)}")
    elif run.node:
        lines.append(f"on {inert(run.node)}; no Slurm job is named in its tags")
    if run.status == "RUNNING" and run.job_id and _gone(run, store):
        lines.append(
            Cell("its job has ended: the run was never closed, MLflow only thinks it runs", "warn")
        )
    for name, value in run.metrics.items():
        curve = spark(store.series(series(run, name)), CURVE).strip()
        text = f"{inert(name, 24):<24} {value_text(value):>10}  {curve}".rstrip()
        lines.append(Cell(text, "crit") if value is None else text)
    if run.params:
        lines.append(_params(run))
    if run.note:
        lines.append(f"note {inert(run.note)}")
    tags = "  ".join(f"{k}={v}" for k, v in run.tags.items())
    if tags:
        lines.append(Cell(inert(tags, 300), "dim"))
    return lines


def series(run: Run, metric: str) -> str:
    """The store's series of a curve."""
    return f"mlflow.history.{run.run_id}.{metric}"


def remember(store: Store, run: Run, curves: dict[str, list[float | None]]) -> None:
    """Put freshly read curves (`collectors.experiments.Curves`) where `detail` finds them.

    Always exactly as many values as are drawn, so that the newest curve replaces the last one.
    """
    for metric, values in curves.items():
        for value in thin(values, CURVE):
            store.record(series(run, metric), value)


def thin(values: list[float | None], count: int) -> list[float | None]:
    """Exactly `count` of the values, evenly chosen with the last; missing ones lead as gaps."""
    if len(values) <= count:
        return [None] * (count - len(values)) + values
    return [values[(i + 1) * len(values) // count - 1] for i in range(count)]


def _find(run: Run, store: Store) -> Job | None:
    for feed in ("slurm.jobs", "slurm.finished"):
        job = find(store.value(feed), run.job_id) if run.job_id else None
        if job is not None:
            return job
    return None


def _job(run: Run, store: Store) -> str:
    job = _find(run, store)
    if job is None:
        return f" on {inert(run.node)}" if run.node else ""
    return f" ({inert(job.name)}, {inert(job.state.lower())}) on {inert(','.join(job.nodes))}"


def _gone(run: Run, store: Store) -> bool:
    job = _find(run, store)
    return job is not None and job.state.upper().split("+")[0] in {
        "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "BOOT_FAIL", "DEADLINE",
    }  # fmt: skip


def _heading(runs: Sequence[Run]) -> str:
    states = [r.status for r in runs]
    order = [s for s in ("RUNNING", "FAILED", "KILLED", "FINISHED") if s in states]
    counts = [f"{states.count(s)} {s.lower()}" for s in order]
    return ", ".join([*counts, f"{len({r.experiment for r in runs})} experiments"])


def _search(run: Run) -> str:
    words: list[Any] = [run.name, run.experiment, run.status, run.run_id, run.job_id, run.node]
    return inert(" ".join(str(w) for w in words if w))


SUBJECT = SubjectSpec(
    name="runs",
    key="6",
    title="Experiments",
    words="MLflow's newest runs with their metrics, and the Slurm job behind each.",
    feeds=("mlflow.runs", "slurm.jobs", "slurm.finished"),
    columns=(
        Column("experiment", "EXPERIMENT", 13, lambda r: inert(r.experiment), wide=20),
        Column("name", "RUN", 16, lambda r: inert(r.name or r.run_id[:8]), wide=24),
        Column("status", "STATUS", 9, _status),
        Column("metric", "METRIC", 16, _metric, lambda r: (headline(r) or (None, None))[1]),
        Column("job", "JOB", 6, lambda r: inert(r.job_id or "-"), align="right"),
        Column("took", "TOOK", 7, lambda r: clock(took(r, time.time())),
               lambda r: took(r, time.time()), "right"),
        Column("age", "AGE", 5, _when, lambda r: r.start_time, "right"),
        Column("node", "NODE", 12, lambda r: inert(r.node or "-"), min_total=100),
        Column("params", "PARAMETERS", 16, _params, min_total=120, grow=True),
    ),
    counted=False,
    row_key=lambda r: str(r.run_id),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=_search,
    heading=_heading,
)  # fmt: skip
