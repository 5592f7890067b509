"""A job's batch script, from whoever still has it: to read, to search, to submit again."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.events import Key

from labtui.actions.base import ActionError
from labtui.actions.submit import script_of
from labtui.hosts.base import HostError
from labtui.kept import Kept
from labtui.model import Job
from labtui.screens.ask import Ask
from labtui.screens.console import Console
from labtui.screens.logpane import LogPane, keys_page
from labtui.slurm.errors import RPCError
from labtui.slurm.log import TextFile
from labtui.slurm.logreader import LogReader
from labtui.text import inert
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import Lines, TopLine


class ScriptScreen(ExactScreen[None]):
    AUTO_FOCUS: ClassVar[str] = ""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._script: str | None = None

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    @property
    def pane(self) -> LogPane:
        return self.query_one(LogPane)

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        yield LogPane(id="log-pane")
        yield Lines(id="foot")

    def on_mount(self) -> None:
        title = f" Script of job {inert(self._job.job_id, 40)} {inert(self._job.name, 60)}"
        self.query_one("#top", Lines).set_lines([[(title, "accent")]])
        self.pane.note = "asking Slurm"
        self.pane.draw()
        self.run_worker(self._load(), exit_on_error=False)

    async def _load(self) -> None:
        pane, session = self.pane, self.lab.session
        try:
            kept = Kept(session.config.cluster.name)
            self._script = await script_of(session.need_slurm(), kept, self._job)
        except (RPCError, HostError, ActionError, ValueError) as error:
            pane.note = f"it cannot be had: {inert(error, 300)}"
            pane.draw()
            return
        reader = LogReader(TextFile(self._script, "script"))
        await reader.open()
        await reader.goto(0)
        pane.note, pane.name_line = "", "as it was sent"
        pane.read(reader)
        pane.view.to_top()

    def on_log_pane_said(self, event: LogPane.Said) -> None:
        event.stop()
        keys = self.lab.keys
        more = ["y copy"] if self._script else []
        if self._script and not self.lab.session.runner.read_only:
            more.append(f"{keys.key('queue.edit')} {keys.specs['queue.edit'].words}")
        self.query_one("#foot", Lines).set_lines([self.pane.foot(more, self.size.width)])

    def early_key(self, event: Key) -> bool:
        ask = self.query_one(Ask)
        if ask.display:
            return ask.early_key(event)
        own: dict[str, Callable[[], object]] = {
            "y": self.copy, "q": self.dismiss, "escape": self.back,
            "question_mark": self.help
        }  # fmt: skip
        spec = self.lab.keys.lookup("jobs", event.key)
        if spec is not None and spec.id == "queue.edit" and self._script:
            self.edit()
        elif event.key in own:
            own[event.key]()
        elif event.key in self.pane.keys:
            self.pane.keys[event.key]()
        else:
            return False
        return True

    def back(self) -> None:
        if not self.pane.back():
            self.dismiss()

    def help(self) -> None:
        keys = self.lab.keys
        own = [
            ("y", "send it to your clipboard"),
            (keys.key("queue.edit"), "edit, and submit anew"),
        ]
        self.app.push_screen(keys_page("A job's script", own))

    def copy(self) -> None:
        if self._script:
            self.app.copy_to_clipboard(self._script)
            self.pane.say(f"sent to your terminal's clipboard: {len(self._script)} characters")

    def edit(self) -> None:
        """Into the form, to be changed and submitted again."""
        if self.lab.session.runner.read_only:
            self.pane.say(f"{self.lab.session.config.cluster.name} is read-only here", "warn")
            return
        self.run_worker(self._edit(), exit_on_error=False, exclusive=True)

    async def _edit(self) -> None:
        from labtui.screens.again import again

        try:
            form = await again(self.lab.session, self._job)
        except (RPCError, HostError, ActionError) as error:
            self.pane.say(f"it cannot be had: {inert(error, 200)}", "warn")
            return
        self.app.push_screen(form)
