"""What the queue opens for one job or array: its script, its tasks."""

from __future__ import annotations

import pytest

from labtui.actions.base import ActionError
from labtui.screens.lab import LabScreen
from labtui.screens.script import ScriptScreen
from labtui.screens.tasks import TasksScreen
from labtui.widgets.lines import Lines
from sample_lab import FINISHED, JOBS, NOW, frozen, job, sample_app, until

__all__ = ["frozen"]
pytestmark = pytest.mark.usefixtures("frozen")


async def test_why_no_script_is_to_be_had_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    why = f"slurmctld has forgotten it, {'and the accounting keeps no scripts ' * 3}at all"

    async def script_of(*what: object) -> str:
        raise ActionError(why)

    monkeypatch.setattr("labtui.screens.script.script_of", script_of)
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        await app.push_screen(ScriptScreen(JOBS[0]))
        title = app.screen.query_one("#log-title", Lines)
        await until(pilot, lambda: "forgotten" in title.plain and title.size.height == 3)
        drawn = " ".join(strip.text.strip() for strip in map(title.render_line, range(3)))
        assert drawn.strip() == f"it cannot be had: {why}"


async def test_a_task_that_was_cancelled_while_it_waited_was_not_started() -> None:
    ended = {"array_task": "1", "end_time": NOW - 60, "start_time": NOW - 60}
    tasks = [
        *(job(f"1430_{n}", "sweep", "CANCELLED", nodes=(), **ended) for n in range(3)),
        job("1430_3", "sweep", "CANCELLED", nodes=("xps15-cpu",), **ended),
    ]
    app = sample_app({"slurm.jobs": [*JOBS, *tasks], "slurm.finished": FINISHED}, screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        await app.push_screen(TasksScreen("1430"))
        top = app.screen.query_one("#top", Lines)
        assert top.plain.startswith(" Array 1430 sweep: 2 tasks were started")
