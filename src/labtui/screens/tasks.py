"""The tasks of an array: which one's output is wanted."""

from __future__ import annotations

import time
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key

from labtui.registry import SUBJECT
from labtui.screens.console import Console
from labtui.screens.job import JobScreen
from labtui.store import Feed
from labtui.text import inert
from labtui.views.jobs import rows
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import Lines, TopLine
from labtui.widgets.rows import Rows

SETTLE = 0.1
MOST = 2000
"""Rows that are shown: in the queue's order, so those that need a person come first."""
SHOWN = ("job", "state", "why", "time", "cpus", "memory")


class TasksScreen(ExactScreen[None]):
    """Rows of one array: tasks that were started, worst first, and those that wait together."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
    ]

    def __init__(self, array_id: str) -> None:
        super().__init__()
        self._array = array_id
        self._dirty = False

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        yield Rows([c for c in SUBJECT["jobs"].columns if c.id in SHOWN], id="table")
        yield Lines(id="foot")

    def on_mount(self) -> None:
        session = cast("Console", self.app).session
        session.scheduler.show(SUBJECT["jobs"].feeds)
        self._leave_store = session.store.subscribe(["slurm.jobs", "slurm.finished"], self._on_feed)
        foot = " enter its output  j k up down  esc back"
        self.query_one("#foot", Lines).set_lines([[(foot, "dim")]])
        self.query_one(Rows).focus()
        self._draw()

    def on_unmount(self) -> None:
        self._leave_store()

    def _on_feed(self, _old: Feed, _new: Feed) -> None:
        if not self._dirty:
            self._dirty = True
            self.set_timer(SETTLE, self._draw)

    def _draw(self) -> None:
        self._dirty = False
        if not self.is_attached:
            return
        session = cast("Console", self.app).session
        known = rows(session.store, session.config, time.time())
        found = [row for row in known.rows if row.array == self._array]
        tasks = [known.job(row, keep=True) for row in found[:MOST]]
        table = self.query_one(Rows)
        table.message = f"no task of {self._array} is known"
        table.set_rows(tasks, keys=[job.job_id for job in tasks])
        name = inert(tasks[0].name, 40) if tasks else ""
        started = sum(
            row.state != "PENDING" and (row.state != "CANCELLED" or bool(known.where(row)))
            for row in found
        )
        title = f" Array {inert(self._array, 40)} {name}: {started} tasks were started"
        title += f", the first {MOST} of them" if len(found) > MOST else ""
        self.query_one("#top", Lines).set_lines([[(title, "accent")]])

    def early_key(self, event: Key) -> bool:
        """A key, before it is sent to a widget (screens/lab.py has the why)."""
        if event.key == "l":
            self._open(self.query_one(Rows).cursor_item)
            return True
        return self.query_one(Rows).early_key(event.key)

    def on_rows_opened(self, event: Rows.Opened) -> None:
        self._open(event.item)

    def _open(self, job: Any) -> None:
        if job is not None:
            self.app.push_screen(JobScreen(job.job_id, log="[" not in job.job_id))

    def action_leave(self) -> None:
        self.dismiss()
