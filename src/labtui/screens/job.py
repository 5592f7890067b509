"""One job, live: its state and reason in words above, its log below, until it is done."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key

from labtui.hosts.base import Host, HostError
from labtui.model import Job
from labtui.registry import SUBJECT
from labtui.screens.console import Console
from labtui.slurm.log import follow, locate
from labtui.spec import Tone
from labtui.store import Feed
from labtui.text import inert
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines, Pager, Span

KEEP = 5000
"""Lines of the log that are kept; the file itself is on the cluster."""
SETTLE = 0.1
RETRY = 2.0
"""Seconds until a log that was not there, or a lost connection, is tried again."""


class JobScreen(ExactScreen[None]):
    """Follows one job by its id; what the queue's feed says is what it shows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("o", "other", show=False),
    ]

    def __init__(self, job_id: str, *, log: bool = False) -> None:
        super().__init__()
        self._job_id = job_id
        self._full = log
        self._stream = "stdout"
        self._lines: deque[str] = deque(maxlen=KEEP)
        self._note = ""
        self._path: str | None = None
        self._dirty = False
        self._following: asyncio.Task[None] | None = None

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield Lines(id="job", wrap=True)
        yield Lines(id="log-title")
        yield Pager(id="log", follow=True, wrap=True)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        self.query_one("#job").styles.height = 1 if self._full else min(9, self.size.height // 2)
        self.query_one("#log-title").styles.height = 1
        self.query_one("#log").styles.height = "1fr"
        session = self.lab.session
        self._feeds = SUBJECT["jobs"].feeds
        session.scheduler.show(self._feeds)
        self._leave_store = session.store.subscribe(["slurm.jobs", "slurm.finished"], self._on_feed)
        self.set_interval(1.0, self._draw)
        self.query_one(Pager).focus()
        self._draw()
        self._following = asyncio.create_task(self._follow())

    def on_unmount(self) -> None:
        self._leave_store()
        if self._following:
            self._following.cancel()

    def _on_feed(self, _old: Feed, _new: Feed) -> None:
        self._settle()

    def _settle(self) -> None:
        if not self._dirty:
            self._dirty = True
            self.set_timer(SETTLE, self._draw)

    @property
    def job(self) -> Job | None:
        """The row of this job, as the queue has it now."""
        session = self.lab.session
        rows = SUBJECT["jobs"].rows(session.store, session.config, time.time())
        return next((job for job in rows if job.job_id == self._job_id), None)

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
        path = inert(self._path or "no log yet", 300)
        self.query_one("#log-title", Lines).set_lines([[(f"{self._stream}: {path}", "dim")]])
        log: list[LineLike] = list(self._lines)
        if self._note:
            log.append([(self._note, "dim")])
        self.query_one("#log", Lines).set_lines(log)
        other = "stderr" if self._stream == "stdout" else "stdout"
        keys = self.lab.keys
        foot = f" esc back  o {other}  {keys.key('queue.cancel')} cancel  j k g G scroll"
        self.query_one("#foot", Lines).set_lines([[(foot, "dim")]])

    # The log

    async def _follow(self) -> None:
        """Follow the file as soon as it is there; ends with the screen."""
        while True:
            job = self.job
            path: str | None = getattr(job, self._stream) if job else None
            session = self.lab.session
            if job is None or not path:
                self._note = "waiting for Slurm to name the log"
            elif job.state == "PENDING":
                self._path = path
                self._note = "not started: " + inert(job.reason_text or job.reason or "pending")
            else:
                self._path = path
                await self._read(
                    path, await locate(session.hosts, session.config.slurm.login, job, path)
                )
            self._settle()
            await asyncio.sleep(RETRY)

    async def _read(self, path: str, host: Host | None) -> None:
        if host is None:
            self._note = "the file is not there, on the login node or where the job ran"
            return
        self._lines.clear()
        self._path = f"{path}  on {host.name}"
        self._note = ""
        try:
            async for line in follow(host, path, lines=KEEP):
                self._lines.append(line)
                self._settle()
            self._note = "the log cannot be followed any further"
        except HostError as error:
            self._note = inert(error.message, 200)

    def action_leave(self) -> None:
        self.dismiss()

    def action_other(self) -> None:
        """Standard error instead of standard output, and back."""
        self._stream = "stderr" if self._stream == "stdout" else "stdout"
        self._lines.clear()
        self._path = None
        if self._following:
            self._following.cancel()
        self._following = asyncio.create_task(self._follow())
        self._draw()

    def on_key(self, event: Key) -> None:
        """The queue's own actions work here too, on this job."""
        spec = self.lab.keys.lookup("jobs", event.key)
        if spec is None or spec.id != "queue.cancel":
            return
        event.stop()
        job = self.job
        if job is not None and not (spec.disabled and spec.disabled(job)):
            from labtui.screens.plan import PlanDialog

            action = self.lab.session.action(spec.id, [job])
            self.app.push_screen(PlanDialog(action, spec.key))


_BAD = frozenset({
    "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "BOOT_FAIL", "DEADLINE",
    "PREEMPTED",
})  # fmt: skip
