"""The benchmarks on a small queue: the cluster comes up, the tables are made, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labtui.lab.layout import Lab

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import burst  # noqa: E402
import loop  # noqa: E402
import report  # noqa: E402
from cluster import cluster  # noqa: E402
from jobs import measure  # noqa: E402
from programs import PROGRAMS  # noqa: E402
from terminal import quantile  # noqa: E402

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the cluster has namespaces of its own")


@pytest.mark.lab
@pytest.mark.slow
@root_only
@pytest.mark.timeout(400, func_only=True)
def test_the_cluster_comes_up_and_the_console_is_measured_on_it(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.SINGLES", 40)  # each costs a sbatch
    folder = tmp_path / "cluster"
    programs = [p for p in PROGRAMS if p.name in ("labtui", "empty Textual app")]
    with cluster(500, 50, folder=folder) as made:
        argv = [str(made.bin / "squeue"), "--array", "-h", "-O", "JobArrayID"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert len(made.tasks) == 132
        assert len(set(done.stdout.split())) == 500
        rows = {p.name: measure(p, made, 500, idle_s=3) for p in programs}
        calls = made.calls.read_text()
    assert not folder.exists()
    assert "squeue --array -h -O JobArrayID" in calls.splitlines()
    console = rows["labtui"]
    assert "why" not in console, console
    assert console["p95"] and console["jobs"] and console["sight B"], "a change in sight is drawn"
    results = [report.Results(500, 50, 1.0, 0.1, rows)]
    document = tmp_path / "performance.md"
    report.write(document, "queue", report.whole(results))
    text = document.read_text()
    assert "### Budgets" in text and "| labtui |" in text and "not measured" in text


def test_a_section_is_written_anew_and_others_stay(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    report.write(document, "queue", "first")
    report.write(document, "burst", "second")
    report.write(document, "queue", r"third \1")
    text = document.read_text()
    assert text.startswith("# Performance") and "second" in text
    assert r"third \1" in text and "first" not in text


def test_a_budget_that_is_missed_is_called_so() -> None:
    rows: dict[str, report.Figures] = {"labtui": {"frame": 0.6, "p95": 4.0}, "turm": {"why": "no"}}
    one = report.Results(100, 5, 1.0, 0.1, rows)
    lines = report.budgets([one]).splitlines()
    assert any(
        "first complete frame" in line and "0.60" in line and "missed" in line for line in lines
    )
    assert any("key p95" in line and "met" in line for line in lines)
    assert any("turm" in line and "skipped: no" in line for line in report.table(one).splitlines())


def test_a_burst_that_misses_says_so() -> None:
    rows = burst.budgets([3.0] * 90 + [24.0] * 8 + [490.0] * 2, 3.93, 0.96, 1.2, 78.0, 2.0)
    told = {what: verdict for what, _, _, verdict in rows}
    assert [what for what, verdict in told.items() if verdict == "**missed**"] == [
        "key p95, ms", "loop blocked (key p99 less p50), ms",
        "slurmctld's RPCs for the console, all types, an interval of 2 s",
    ]  # fmt: skip
    assert told["memory, MiB"] == "met"
    assert burst.budgets([], 1, 1, 1, 1, 2)[0][3] == "not measured"


def test_the_loop_is_measured() -> None:
    heads, _, row = loop.table([20], 2).splitlines()
    assert "squeue's answer" in heads and row.startswith("| 20 | ")


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, part) for part in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([7.0], 0.99) == 7.0
