"""How well one job used what it asked for. Of a running one the figures are read anew."""

from __future__ import annotations

from typing import cast

from labtui.actions.base import ActionError
from labtui.hosts.base import HostError
from labtui.model import Job
from labtui.screens.console import Console
from labtui.screens.page import Page
from labtui.slurm.efficiency import Efficiency
from labtui.slurm.errors import RPCError
from labtui.spec import Cell
from labtui.text import inert
from labtui.views.efficiency import lines

AGAIN = 10.0
"""Seconds until a running job is asked about again: sstat asks the machines it runs on."""


class EfficiencyPage(Page):
    def __init__(self, job: Job) -> None:
        title = f"Efficiency of job {inert(job.job_id, 40)} {inert(job.name, 60)}"
        super().__init__(title, self._said)
        self._job = job
        self._found: Efficiency | None = None
        self._note = "asking the accounting"

    def on_mount(self) -> None:
        super().on_mount()
        self._ask()
        self.set_interval(AGAIN, self._ask)

    def _ask(self) -> None:
        if self._found is None or self._found.end_time is None:
            self.run_worker(self._load(), exit_on_error=False, exclusive=True)

    async def _load(self) -> None:
        session = cast("Console", self.app).session
        try:
            found = await session.efficiency(self._job.job_id)
        except (RPCError, HostError, ActionError, ValueError) as error:
            self._note = inert(error, 300)
        else:
            self._found = found or self._found
            self._note = "" if found else "the accounting does not know this job (yet)"
        self._draw()

    def _said(self) -> list[str | Cell]:
        found = lines(self._found) if self._found else []
        return [*found, *([Cell(self._note, "warn")] if self._note else [])]
