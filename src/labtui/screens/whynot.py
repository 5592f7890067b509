"""Why one job does not start, node by node; read anew as the queue changes."""

from __future__ import annotations

import time
from typing import cast

from labtui.actions.base import ActionError
from labtui.hosts.base import HostError
from labtui.model import Job
from labtui.screens.console import Console
from labtui.screens.page import Page
from labtui.slurm.errors import RPCError
from labtui.slurm.whynot import WhyNot
from labtui.spec import Cell
from labtui.text import inert
from labtui.views.whynot import FEEDS, lines

AGAIN = 2.0
"""Seconds until it is worked out anew from the store; what the job asks is read once."""


class WhyNotPage(Page):
    def __init__(self, job: Job) -> None:
        super().__init__(
            f"Why {inert(job.job_id, 40)} {inert(job.name, 60)} does not start", self._said
        )
        self._job = job
        self._record: dict[str, str] | None = None
        self._found: WhyNot | None = None
        self._note = "asking Slurm what it wants"

    def on_mount(self) -> None:
        super().on_mount()
        cast("Console", self.app).session.scheduler.show(FEEDS)
        self._ask()
        self.set_interval(AGAIN, self._ask)

    def _ask(self) -> None:
        self.run_worker(self._work_out(), exit_on_error=False, exclusive=True)

    async def _work_out(self) -> None:
        session = cast("Console", self.app).session
        try:
            if self._record is None:
                self._record = await session.need_slurm().record(self._job)
            self._note = ""
        except (RPCError, HostError, ActionError, ValueError) as error:
            self._note = f"what exactly it asks could not be read: {inert(error, 200)}"
        job = session.job(self._job.job_id) or self._job
        self._job = job
        if job.state != "PENDING":
            self._found, self._note = None, f"it waits no longer: {inert(job.state.lower(), 40)}"
        else:
            self._found = await session.why_not(job, self._record or {})
        self._draw()

    def _said(self) -> list[str | Cell]:
        console = cast("Console", self.app)
        spec = console.keys.specs.get("queue.modify")
        changes = spec is not None and not console.session.runner.read_only
        key = console.keys.key("queue.modify") if changes else ""
        found = lines(self._found, time.time(), modify=key) if self._found else []
        return [*found, "", Cell(self._note, "warn")] if self._note else found
