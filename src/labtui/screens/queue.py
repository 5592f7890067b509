"""What the main screen can be told to do with jobs: all that opens a screen of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labtui.actions.base import ActionError
from labtui.actions.queue import is_array
from labtui.actions.submit import waited_for
from labtui.hosts.base import HostError
from labtui.kept import Kept
from labtui.model import ArrayJob
from labtui.screens.again import again
from labtui.screens.job import JobScreen
from labtui.screens.jobpages import job_page
from labtui.screens.menu import Menu
from labtui.screens.pipeline import chosen_screen, entries
from labtui.screens.submit import SubmitScreen
from labtui.screens.tasks import TasksScreen
from labtui.slurm.argv import whole_id
from labtui.slurm.errors import RPCError
from labtui.slurm.templates import FileError
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.screens.commands import Commands


class QueueCommands:
    """Part of Commands; made when the first of these is used."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._screen = commands.screen

    @property
    def _item(self) -> Any:
        return self._commands.item

    def detail(self) -> None:
        """Of a folded array its tasks, of a job everything about it."""
        item = self._item
        whole = isinstance(item, ArrayJob)
        self._screen.app.push_screen(TasksScreen(item.job_id) if whole else JobScreen(item.job_id))

    def log(self) -> None:
        if self._item is not None:
            if is_array(self._item):
                self._screen.app.push_screen(TasksScreen(whole_id(self._item.job_id)))
            else:
                self._screen.app.push_screen(JobScreen(self._item.job_id, log=True))

    def page(self, id: str) -> None:
        """What one job's own screens show: its script, its efficiency, why it waits."""
        if self._item is not None:
            self._screen.app.push_screen(job_page(id, self._item))

    def submit(self, script: str | None) -> None:
        self._screen.app.push_screen(SubmitScreen(script), self._submitted)

    def _submitted(self, job_id: str | None) -> None:
        if job_id:
            self._screen.show("jobs")
            self._screen.goto("jobs", job_id)
            self._screen.app.push_screen(JobScreen(job_id))

    def resubmit(self) -> None:
        self._screen.run_worker(self._resubmit(), exit_on_error=False, group="act")

    async def _resubmit(self) -> None:
        try:
            form = await again(self._screen.session, self._item)
        except (ActionError, HostError, RPCError) as error:
            self._screen.say(f"its script cannot be had: {inert(error, 120)}", "warn")
            return
        self._screen.app.push_screen(form, self._submitted)

    def submit_after(self) -> None:
        """A new job that waits for the marked ones; how they must end is chosen in its field."""
        jobs = self._commands.targets(self._screen.lab.keys.specs["queue.after"])
        ids = ",".join(dict.fromkeys(waited_for(job.job_id) for job in jobs))
        self._screen.app.push_screen(SubmitScreen(after=f"{ids} ok"), self._submitted)

    def pipeline(self) -> None:
        session = self._screen.session
        kept = Kept(session.config.cluster.name)
        item = self._item
        found = entries(kept, session.store, waited_for(item.job_id) if item else "")

        def chosen(id: str | None) -> None:
            if not id:
                return
            try:
                self._screen.app.push_screen(chosen_screen(kept, id))
            except FileError as error:
                self._screen.say(inert(error, 200), "warn")

        self._screen.app.push_screen(Menu("Pipelines", found, typing=True), chosen)
