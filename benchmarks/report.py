"""Figures as markdown: tables, the budgets beside what was measured, sections of a document."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from terminal import HEIGHT, WIDTH, quantile

Figures = Mapping[str, float | str]


@dataclass(frozen=True)
class Results:
    """What every program did on one queue."""

    jobs: int
    nodes: int
    made_s: float
    squeue_s: float
    rows: Mapping[str, Figures]


BUSY = ("busy p50", "busy p95", "busy p99", "busy max")
IDLE = ("idle %", "idle squeue %", "idle slurmctld %")
COLUMNS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("first frame s", ("frame",), ".2f"),
    ("jobs in it s", ("jobs",), ".2f"),
    ("key p50 / p95 / p99 ms", ("p50", "p95", "p99"), ".1f"),
    ("keys while refreshing: p50 / p95 / p99 / max ms", BUSY, ".1f"),
    ("bytes a move", ("move B",), ".0f"),
    ("bytes a refresh: unchanged", ("unchanged B",), ".0f"),
    ("1 % out of sight", ("away B",), ".0f"),
    ("1 %, one in sight", ("sight B",), ".0f"),
    ("CPU a refresh ms", ("refresh ms",), ".0f"),
    ("idle CPU %: own / its commands / slurmctld", IDLE, ".1f"),
    ("polls a minute", ("polls/min",), ".0f"),
    ("RSS / peak MiB", ("RSS", "peak"), ".0f"),
)  # fmt: skip
"""Title, the figures in it, their format."""


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    lines.insert(1, "|" + "---|" * len(heads))
    return "\n".join(lines) + "\n"


def cell(found: Figures, keys: Sequence[str], form: str) -> str:
    values = [found.get(key) for key in keys]
    if all(value is None for value in values):
        return "-"
    return " / ".join("-" if value is None else format(value, form) for value in values)


def delays(prefix: str, values: Sequence[float]) -> dict[str, float | str]:
    """The usual three quantiles of them."""
    return {f"{prefix}p{n}": quantile(values, n / 100) for n in (50, 95, 99)}


def table(results: Results) -> str:
    """One queue: a row a program."""
    rows = []
    for name, found in results.rows.items():
        if "why" in found:
            rows.append([name, f"skipped: {found['why']}", *[""] * (len(COLUMNS) - 1)])
        else:
            rows.append([name, *(cell(found, keys, form) for _, keys, form in COLUMNS)])
    made = f"made in {results.made_s:.1f} s, `squeue --array` takes {results.squeue_s:.2f} s"
    head = f"### {results.jobs:,} jobs, {results.nodes:,} nodes\n\n{made}.\n\n"
    return head + markdown(["", *(title for title, _, _ in COLUMNS)], rows)


def budget(
    what: str, budget: str, value: float | None, form: str, limit: float | None
) -> list[str]:
    """A row: what is allowed, what was measured, and whether that is met; a miss is called one."""
    if value is None or limit is None:
        verdict = "not measured"
    else:
        verdict = "met" if value <= limit else "**missed**"
    return [what, budget, "-" if value is None else format(value, form), verdict]


BUDGET = ("what", "budget", "measured", "")
"""The heads of such rows."""
TASKS = "labtui, a row a task"


def budgets(found: Sequence[Results]) -> str:
    """Design's budgets, each with what we measured; a miss is called one."""
    by_jobs = {one.jobs: one.rows for one in found}
    if not by_jobs:
        return ""
    most, least = max(by_jobs), min(by_jobs)
    large = by_jobs[most].get(TASKS) or by_jobs[most].get("labtui") or {}
    small = by_jobs[least].get("labtui", {})
    small_tasks = by_jobs[least].get(TASKS) or small
    turm, empty = by_jobs[most].get("turm", {}), by_jobs[least].get("empty Textual app", {})

    def get(figures: Figures, key: str) -> float | None:
        value = figures.get(key)
        return float(value) if isinstance(value, int | float) else None

    rows: list[list[str]] = []

    def line(what: str, text: str, value: float | None, form: str, limit: float | None) -> None:
        rows.append(budget(what, text, value, form, limit))

    frame, floor = get(small, "frame"), get(empty, "frame")
    line("exec to first complete frame, s", "0.25", frame, ".2f", 0.25)
    ratio = frame / floor if frame and floor else None
    line("the same over an empty Textual app", "1.3", ratio, ".2f", 1.3)
    theirs = get(turm, "jobs")
    with_python = theirs + floor if theirs and floor else None
    text = f"{with_python:.2f} (turm {theirs:.2f} + start {floor:.2f})" if with_python else "turm's"
    line(f"exec to jobs on the screen at {most:,}, s", text, get(large, "jobs"), ".2f", with_python)
    noise = get(by_jobs[most].get("cat (the floor)", {}), "p95")
    text = "5" if noise is None else f"5 (cat {noise:.1f})"
    line(f"key p95 at {most:,}, ms", text, get(large, "p95"), ".1f", 5)
    line(f"key p95 at {least:,}, ms", "5", get(small_tasks, "p95"), ".1f", 5)
    line("bytes a cursor move", "350", get(large, "move B"), ".0f", 350)
    line("bytes a refresh, nothing changed", "0", get(large, "unchanged B"), ".0f", 0)
    line("bytes a refresh, one cell changed in sight", "200", get(large, "sight B"), ".0f", 200)
    line("bytes a refresh, changes out of sight", "0", get(large, "away B"), ".0f", 0)
    slowest, usual = get(large, "busy p99"), get(large, "p50")
    blocked = max(0.0, slowest - usual) if slowest is not None and usual is not None else None
    line("loop blocked in a refresh (key p99 less idle p50), ms", "16", blocked, ".1f", 16)
    line("CPU a refresh, 1 % changed, ms", "200", get(large, "refresh ms"), ".0f", 200)
    line(f"idle with {most:,} jobs, % of a core", "5", get(large, "idle %"), ".1f", 5)
    line(f"memory at {most:,}, MiB", "250", get(large, "RSS"), ".0f", 250)
    line(f"memory at {least:,}, MiB", "100", get(small, "RSS"), ".0f", 100)
    return "### Budgets\n\n" + markdown(BUDGET, rows)


def machine() -> str:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    python = f"Python {platform.python_version()}, Textual {version('textual')}"
    return (
        f"{datetime.date.today()}, {os.cpu_count()} cores, {python}, load {load}, {WIDTH}x{HEIGHT}"
    )


def command() -> str:
    """How this program was started, as one would type it."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def whole(found: Sequence[Results]) -> str:
    """The queue's section."""
    head = f"## The queue and its peers\n\n`{command()}`\n\n{machine()}.\n\n"
    return head + "\n".join([budgets(found), *(table(one) for one in found)])


HEAD = """\
# Performance

Made by the benchmarks themselves ([benchmarks/README.md](../benchmarks/README.md) says what is
measured and how); what stands between two marks is written anew by each run.
"""


def write(path: Path, name: str, text: str) -> None:
    """Put a section between its marks, the document's others stay."""
    old = path.read_text() if path.exists() else HEAD
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{start}\n{text.strip()}\n{end}"
    place = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    replace: Callable[[re.Match[str]], str] = lambda _: block  # noqa: E731
    new = place.sub(replace, old) if place.search(old) else f"{old.rstrip()}\n\n{block}\n"
    path.write_text(new)
