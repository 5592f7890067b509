"""From the id of a queue command to the screen that it opens for one job."""

from __future__ import annotations

from textual.screen import Screen

from labtui.model import Job
from labtui.screens.efficiency import EfficiencyPage
from labtui.screens.script import ScriptScreen
from labtui.screens.whynot import WhyNotPage


def job_page(id: str, job: Job) -> Screen[None]:
    if id == "queue.script":
        return ScriptScreen(job)
    if id == "queue.efficiency":
        return EfficiencyPage(job)
    if id == "queue.why":
        return WhyNotPage(job)
    raise KeyError(id)
