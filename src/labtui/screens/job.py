"""One job, live: its state and reason in words above, its log below, until it is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.events import Key

from labtui.actions.base import ActionError
from labtui.hosts.base import HostError
from labtui.model import Job
from labtui.registry import SUBJECT
from labtui.screens.ask import Ask
from labtui.screens.console import Console
from labtui.screens.logpane import LogPane, keys_page
from labtui.slurm.argv import whole_id
from labtui.slurm.errors import RPCError
from labtui.slurm.log import LogFile, default_path, locate
from labtui.slurm.logreader import LogReader
from labtui.slurm.urgency import FINISHED
from labtui.spec import Tone
from labtui.store import Feed
from labtui.text import inert
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines, Span, TopLine

SETTLE = 0.1
RETRY = 2.0
"""Seconds until a log that was not there, or a lost connection, is tried again."""
QUICK, IDLE, OVER = 0.25, 1.0, 5.0
"""Seconds between two looks at a file: that grew just now, that did not, of a job that is over."""
STREAMS = {"stdout": "stderr", "stderr": "stdout"}
OTHERS = ("queue.cancel", "queue.script", "queue.efficiency")
"""The queue's own actions that work here too, on this job."""


class JobScreen(ExactScreen[None]):
    """Follows one job by its id; what the queue's feed says is what it shows."""

    AUTO_FOCUS: ClassVar[str] = ""

    def __init__(self, job_id: str, *, log: bool = False) -> None:
        super().__init__()
        self._job_id = job_id
        self._full = log
        self._stream = "stdout"
        self._path: str | None = None
        self._dirty = False
        self._following: asyncio.Task[None] | None = None
        self._job: Job | None = None
        self._opening: LogReader | None = None
        """Tried again after a time-out, with what it has learnt of the link."""

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    @property
    def pane(self) -> LogPane:
        return self.query_one(LogPane)

    @property
    def job(self) -> Job | None:
        return self._job

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        yield Lines(id="job", wrap=True)
        yield LogPane(id="log-pane")
        yield Lines(id="foot")

    def on_mount(self) -> None:
        self.query_one("#job").styles.height = 1 if self._full else min(9, self.size.height // 2)
        session = self.lab.session
        session.scheduler.show(SUBJECT["jobs"].feeds)
        self._leave_store = session.store.subscribe(["slurm.jobs", "slurm.finished"], self._on_feed)
        self.set_interval(1.0, self._draw)
        self._find()
        self._draw()
        self._following = asyncio.create_task(self._follow())

    def on_unmount(self) -> None:
        self._leave_store()
        if self._following:
            self._following.cancel()

    def _on_feed(self, old: Feed, new: Feed) -> None:
        if old.value is not new.value:
            self._find()
        if not self._dirty:
            self._dirty = True
            self.set_timer(SETTLE, self._draw)

    def _find(self) -> None:
        """The row of this job, as the queue has it now."""
        session = self.lab.session
        found = session.job(self._job_id)
        if found is not None:
            self._job = found
            if self._job.state in FINISHED:
                self.run_worker(session.look(self._job), exit_on_error=False, group="look")

    # Drawing

    def _draw(self) -> None:
        self._dirty = False
        if not self.is_attached:
            return
        job = self.job
        title: list[Span] = [(f" Job {inert(self._job_id, 40)} ", "accent")]
        lines: list[LineLike] = []
        if job is None:
            title.append(("not in the queue yet", "dim"))
        else:
            tone: Tone = "crit" if job.state in _BAD else "warn"
            tone = "ok" if job.state in ("COMPLETED", "RUNNING") else tone
            title += [(inert(job.name, 40), ""), (f"  {job.state.lower()}", tone)]
            if job.reason_text:
                title.append((f"  {inert(job.reason_text, 200)}", ""))
            lines = list(SUBJECT["jobs"].detail(job, self.lab.session.store, time.time()))
        self.query_one("#top", Lines).set_lines([title])
        self.query_one("#job", Lines).set_lines(lines)
        self.pane.is_over = job is not None and job.state in FINISHED
        is_same = job is not None and job.stdout is not None and job.stdout == job.stderr
        same = " (the same file)" if is_same and self._stream == "stderr" else ""
        path = inert(self._path or "no file yet", 300)
        self.pane.name_line = f"{self._stream}{same}: {path}"
        self.pane.draw()

    def on_log_pane_said(self, event: LogPane.Said) -> None:
        event.stop()
        keys = self.lab.keys
        more = [f"o {STREAMS[self._stream]}"]
        more += ["t tasks"] if "_" in self._job_id else []
        more += [f"{keys.key(id)} {keys.specs[id].words}" for id in self._here()]
        foot = self.pane.foot(more, self.size.width)
        self.query_one("#foot", Lines).set_lines([foot])

    def _here(self) -> list[str]:
        read_only = self.lab.session.runner.read_only
        specs = self.lab.keys.specs
        found = [i for i in OTHERS if not (read_only and specs[i].changes)]
        # Of a job that waits there is no log, whose keys would come first.
        waits = self.job is not None and self.job.state == "PENDING"
        return ["queue.why", *found] if waits and self.pane.reader is None else found

    # The log

    async def _follow(self) -> None:
        """Look at the file as soon as it is there, again and again; ends with the screen."""
        while True:
            try:
                pause = await self._look()
            except HostError as error:
                self.pane.note = inert(error.message, 200)
                pause = RETRY
            self._draw()
            await asyncio.sleep(pause)

    async def _look(self) -> float:
        """One look at the file; seconds until the next."""
        job, pane = self.job, self.pane
        if pane.reader is not None:
            came = await pane.reader.poll()
            pane.note = ""
            if came:
                return QUICK
            return OVER if job is not None and job.state in FINISHED else IDLE
        if job is None:
            pane.note = "waiting for Slurm to know it"
            return RETRY
        path = await self._named(job)
        guessed = "" if path else "  (sbatch's default: Slurm keeps no name of it)"
        path = self._path = path or default_path(job)
        if job.state == "PENDING":
            pane.note = "not started: " + inert(job.reason_text or job.reason or "pending", 80)
            return RETRY
        if not path:
            pane.note = "Slurm names no log of it"
            return RETRY
        session = self.lab.session
        host = await locate(session.hosts, session.config.slurm.login, job, path)
        if host is None:
            pane.note = self._not_there(job)
            return RETRY
        where = "" if host.name == session.config.slurm.login else f"  only on {host.name}"
        self._path = f"{path}{where}{guessed}"
        reader = self._opening
        if reader is None or reader.file.path != path:
            reader = self._opening = LogReader(LogFile(host, path))
        await reader.open()
        pane.note, self._opening = "", None
        pane.read(reader)
        return QUICK

    async def _named(self, job: Job) -> str | None:
        """The file's name as Slurm has it: a long queue comes without."""
        path: str | None = getattr(job, self._stream)
        if path is None and job.state != "PENDING":
            try:
                whole = await self.lab.session.need_slurm().job(job.job_id)
            except (RPCError, ActionError):
                return None
            if whole is not None and whole.job_id == job.job_id:
                path = getattr(whole, self._stream)
        return path

    def _not_there(self, job: Job) -> str:
        login = self.lab.session.config.slurm.login
        node = inert(job.nodes[0], 40) if job.nodes else ""
        if node and node != login and job.nodes[0] not in self.lab.session.hosts:
            return f"not on {login}, and {node}, where it ran, is not in the config"
        places = f"{login} or {node}" if node and node != login else login
        return f"no such file on {places}" + ("" if job.state in FINISHED else " yet")

    # What a person does

    def early_key(self, event: Key) -> bool:
        """A key, before it is sent to a widget (screens/lab.py has the why)."""
        ask = self.query_one(Ask)
        if ask.display:
            return ask.early_key(event)
        own: dict[str, Callable[[], object]] = {"o": self.other, "t": self.tasks, "y": self.copy,
               "q": self.dismiss, "escape": self.back,
            "question_mark": self.help}  # fmt: skip
        spec = self.lab.keys.lookup("jobs", event.key)
        if spec is not None and spec.id in self._here():
            self._act(spec.id)
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

    def other(self) -> None:
        """Standard error instead of standard output, and back."""
        self._stream = STREAMS[self._stream]
        self._path, self._opening, self.pane.note = None, None, ""
        self.pane.read(None)
        if self._following:
            self._following.cancel()
        self._following = asyncio.create_task(self._follow())
        self._draw()

    def help(self) -> None:
        keys = self.lab.keys
        own = [
            ("o", "standard error instead of standard output, and back"),
            ("t", "the other tasks of its array"),
            ("y", "send the file's name to your clipboard"),
            *((keys.key(id), keys.specs[id].help) for id in self._here()),
        ]
        self.app.push_screen(keys_page("A job's output", own))

    def copy(self) -> None:
        reader = self.pane.reader
        path = reader.file.path if reader else self._path
        if path:
            self.app.copy_to_clipboard(path)
            self.pane.say(f"sent to your terminal's clipboard: {inert(path, 60)}")

    def tasks(self) -> None:
        """The other tasks of its array."""
        from labtui.screens.tasks import TasksScreen

        if isinstance(self.app.screen_stack[-2], TasksScreen):
            self.dismiss()
        elif "_" in self._job_id:
            self.app.push_screen(TasksScreen(whole_id(self._job_id)))

    def _act(self, id: str) -> None:
        job, spec = self.job, self.lab.keys.specs[id]
        if job is None:
            return
        why_not = spec.disabled(job) if spec.disabled else None
        if why_not:
            self.pane.say(f"{spec.words}: {why_not}", "warn")
        elif spec.changes:
            from labtui.screens.plan import PlanDialog

            self.app.push_screen(PlanDialog(self.lab.session.action(id, [job]), spec.key))
        else:
            from labtui.screens.jobpages import job_page

            self.app.push_screen(job_page(id, job))


_BAD = frozenset({
    "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "BOOT_FAIL", "DEADLINE",
    "PREEMPTED",
})  # fmt: skip
