"""The experiments screen: rows, details and the job behind a run."""

from __future__ import annotations

import time
from typing import Any

from labtui.config import Config
from labtui.model import Alert, Job, Run
from labtui.spec import Cell
from labtui.store import Reading, Store
from labtui.views import alerts, runs

NOW = time.time()
RUN = Run(
    run_id="r1", experiment="digits[/b]\x1b[2J", name="lora\n", status="RUNNING",
    start_time=NOW - 90, params={"lr": "0.1"}, metrics={"accuracy": 0.5, "loss": None},
    job_id="1422", node="desktop-gpu", tags={"slurm.partition": "gpu"}, note="notes/lora.md",
)  # fmt: skip


def store(**feeds: Any) -> Store:
    made = Store()
    for name, value in feeds.items():
        feed = name.replace("_", ".", 1)
        made.declare(feed, "x", 5.0)
        made.put(Reading(feed, value, None, NOW, 0.1))
    return made


def details(run: Run, made: Store) -> str:
    lines = runs.detail(run, made, NOW)
    return "\n".join(line.text if isinstance(line, Cell) else line for line in lines)


def test_details_name_the_job_and_every_metric() -> None:
    said = details(RUN, store())
    assert "made by job 1422 on desktop-gpu" in said and "running · took 1:30" in said
    assert "NaN" in said and "lr=0.1" in said and "note notes/lora.md" in said
    assert "\x1b" not in said and "digits[/b]" in said


def test_a_run_whose_job_has_ended_is_called_out() -> None:
    job = Job(job_id="1422", name="train", state="FAILED", nodes=("desktop-gpu",))
    said = details(RUN, store(slurm_jobs=[job]))
    assert "(train, failed)" in said and "its job has ended" in said
    going = Job(job_id="1422", name="train", state="RUNNING", nodes=("desktop-gpu",))
    assert "its job has ended" not in details(RUN, store(slurm_jobs=[going]))


def test_the_newest_curve_replaces_the_last() -> None:
    made = store()
    runs.remember(made, RUN, {"loss": [3.0, 2.0]})
    runs.remember(made, RUN, {"loss": [3.0, 2.0, 1.0]})
    tail = made.series(runs.series(RUN, "loss"))[-runs.CURVE :]
    assert tail[-3:] == [3.0, 2.0, 1.0] and set(tail[:-3]) == {None}
    assert "NaN  █▆▃" in details(RUN, made)
    long = runs.thin([float(i) for i in range(1000)], 40)
    assert len(long) == 40 and long[-1] == 999.0 and long == sorted(long, key=lambda v: v or 0)


def test_rows_and_columns_of_odd_runs() -> None:
    bare = Run(run_id="r2", experiment="e", status="NEWLY INVENTED")
    made = store(mlflow_runs=[bare, RUN])
    assert runs.items(made, Config(), NOW) == [RUN, bare]
    for run in (bare, RUN):
        for column in runs.SUBJECT.columns:
            cell = column.text(run)
            shown = cell.text if isinstance(cell, Cell) else cell
            assert "\x1b" not in shown and "\n" not in shown
            if column.sort:
                column.sort(run)
        assert details(run, made)
    assert runs.headline(RUN) == ("loss", None), "a NaN loss is shown as what it is"
    assert runs.SUBJECT.heading
    assert runs.SUBJECT.heading([RUN, bare]) == "1 running, 2 experiments"
    shown_at_80 = [c for c in runs.SUBJECT.columns if c.min_total <= 80]
    assert 2 + sum(c.width for c in shown_at_80) + len(shown_at_80) - 1 <= 80


def test_alerts_worst_first_and_suppressed_last() -> None:
    def alert(name: str, severity: str, since: float, **more: Any) -> Alert:
        return Alert(id=name, severity=severity, title=name, since=since, **more)

    found = [
        alert("old", "warning", NOW - 50),
        alert("quiet", "critical", NOW, suppressed_by="silenced: known"),
        alert("worst", "critical", NOW - 90),
        alert("new", "invented", NOW),
    ]
    made = store(alerts=found)
    listed = alerts.items(made, Config(), NOW)
    assert [a.id for a in listed] == ["worst", "new", "old", "quiet"]
    assert alerts.items(Store(), Config(), NOW) == []
