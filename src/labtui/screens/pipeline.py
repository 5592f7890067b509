"""A pipeline: its stages as a tree, submitted as one, watched, and taken up where it failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key

from labtui.actions.base import ActionError, Outcome
from labtui.actions.pipeline import SubmitPipeline
from labtui.draft import write_private
from labtui.hosts.base import HostError
from labtui.kept import Kept
from labtui.model import Job
from labtui.registry import SUBJECT
from labtui.screens.console import Console
from labtui.screens.job import JobScreen
from labtui.screens.menu import Entry
from labtui.screens.plan import PlanDialog
from labtui.screens.submit import editor
from labtui.slurm.errors import RPCError
from labtui.slurm.log import locate, tail
from labtui.slurm.pipelines import ENDING, Pipeline, PipelineRun, Stage, pipeline, pipelines
from labtui.slurm.templates import FileError, own_folder, read_text, shipped
from labtui.slurm.urgency import FINISHED
from labtui.store import Feed, Store
from labtui.text import inert, inert_lines
from labtui.views import pipelines as view
from labtui.views.jobs import rows as job_rows
from labtui.views.submitform import FEEDS, context_of
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines, Pager, TopLine

SETTLE = 0.1
LOG_LINES = 12
"""Last lines of a stage's output that are shown under the tree."""
LOG_EVERY = 3.0
"""Seconds between two looks at the output of a stage that runs."""


class PipelineScreen(ExactScreen[None]):
    """One pipeline, with the newest run of it where there is one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", show=False),
        Binding("up,k", "move(-1)", show=False, priority=True),
        Binding("down,j", "move(1)", show=False, priority=True),
        Binding("enter", "job", show=False, priority=True),
        Binding("ctrl+s", "submit", show=False, priority=True),
    ]

    def __init__(self, chosen: Pipeline, source: str, run: PipelineRun | None = None) -> None:
        super().__init__()
        self.pipeline = chosen
        self.run = run
        self._source = source
        self._at = ""
        """The stage under the cursor; empty until a person moved it."""
        self._said = ""
        self._script = False
        self._logs: dict[str, tuple[str, float, list[str]]] = {}
        """Job id -> its state, when its output was read, its last lines."""
        self._jobs: dict[str, Job] = {}
        self._dirty = False

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        yield Lines(id="stages")
        yield Pager(id="page", wrap=True)
        yield Lines(id="problems", wrap=True)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        session = self.lab.session
        self._kept = Kept(session.config.cluster.name)
        session.scheduler.show([*FEEDS, *SUBJECT["jobs"].feeds])
        self._leave_store = session.store.subscribe(["slurm.finished", *FEEDS], self._on_feed)
        self.set_interval(1.0, self._draw)
        self.query_one(Pager).focus()
        self._find()
        self._draw()

    def on_unmount(self) -> None:
        self._leave_store()

    def _on_feed(self, old: Feed, new: Feed) -> None:
        if old.value is not new.value:
            self._find()
        if not self._dirty:
            self._dirty = True
            self.set_timer(SETTLE, self._draw)

    def _find(self) -> None:
        session = self.lab.session
        table = job_rows(session.store, session.config, time.time())
        self._jobs = view.jobs_of(self.run, table)

    # Drawing

    @property
    def stage(self) -> Stage:
        """The one under the cursor: what a person chose, else what matters most."""
        name = self._at or view.worst(self.pipeline, self._jobs)
        return self.pipeline.stage(name) or self.pipeline.stages[0]

    def _draw(self) -> None:
        self._dirty = False
        if not self.is_attached:
            return
        session = self.lab.session
        at = f"not submitted yet: {self.pipeline.summary}"
        at = view.words_of(self.run, self._jobs) if self.run else at
        self.query_one("#top", Lines).set_lines(
            [[(f" Pipeline {inert(self.pipeline.name, 40)} ", "accent"), (f" {at}", "")]]
        )
        known = context_of(session.store)
        mark = ">" if self.lab.ascii_mode else "▌"
        lines: list[LineLike] = []
        for branch in view.tree(self.pipeline):
            stage = branch.stage
            here = stage.name == self.stage.name
            job = self._jobs.get(stage.name)
            job_id = self.run.job_of(stage.name) if self.run else ""
            bad = job is None and bool(view.wrong(stage, known))
            spans = view.row(branch, job, job_id, bad, self.size.width)
            lines.append([(f"{mark if here else ' '} ", "accent"), *spans])
        box = self.query_one("#stages", Lines)
        box.styles.height = min(len(lines), max(4, self.size.height // 2 - 3))
        box.set_lines(lines)
        self.query_one("#page", Lines).set_lines(self._page())
        self._draw_problems(view.wrong(self.stage, known))
        keys = " ctrl+s submit all  f from here on  enter job  v script  e t edit  esc back"
        if self.run is None:
            keys = " ctrl+s submit all  j k stages  e edit its file  t edit its script  esc back"
        self.query_one("#foot", Lines).set_lines([[(keys, "accent")]])

    def _page(self) -> list[LineLike]:
        """Why the stage is as it is and its last output; before it is submitted its script."""
        job = self._jobs.get(self.stage.name)
        if job is None or self._script:
            return [[(self.stage.source, "dim")], *inert_lines(self.stage.script)]
        self._want_log(job)
        log = self._logs.get(job.job_id, ("", 0.0, []))[2]
        return [*view.detail(self.stage, job, time.time()), *log]

    def _draw_problems(self, found: list[str]) -> None:
        if self._said:
            found = [self._said]
        elif self._jobs.get(self.stage.name):
            found = []
        lines: list[LineLike] = [[("! ", "warn"), (inert(p, 300), "")] for p in found[:3]]
        self.query_one("#problems", Lines).set_lines(lines)

    def say(self, text: str) -> None:
        self._said = text
        self._draw()

    # The output of the stage under the cursor

    def _want_log(self, job: Job) -> None:
        state, at, _ = self._logs.get(job.job_id, ("", 0.0, []))
        fresh = state == job.state and (job.state in FINISHED or time.time() - at < LOG_EVERY)
        if job.state == "PENDING" or fresh:
            return
        before = self._logs.get(job.job_id, ("", 0.0, []))[2]
        self._logs[job.job_id] = (job.state, time.time(), before)
        self.run_worker(self._read_log(job), exit_on_error=False, group="log")

    async def _read_log(self, job: Job) -> None:
        session = self.lab.session
        try:
            whole = job if job.stdout else await session.need_slurm().job(job.job_id)
            path = whole.stdout if whole else None
            if not path:
                return  # a queue so long that it comes without, or a job without output
            host = await locate(session.hosts, session.config.slurm.login, job, path)
            lines = await tail(host, path, LOG_LINES) if host else ["it is not there (yet)"]
        except (HostError, RPCError, ActionError) as error:
            lines = [inert(error, 200)]
        self._logs[job.job_id] = (job.state, time.time(), lines)
        self._draw()

    # What a person does

    def early_key(self, event: Key) -> bool:
        """A key, before it is sent to a widget (screens/lab.py has the why)."""
        act: dict[str, Callable[[], object]] = {
            "f": self.from_here, "v": self.script, "e": self.edit_pipeline, "t": self.edit_script,
        }  # fmt: skip
        if event.key not in act:
            return False
        self._said = ""
        act[event.key]()
        return True

    def action_move(self, by: int) -> None:
        names = [branch.stage.name for branch in view.tree(self.pipeline)]
        at = names.index(self.stage.name)
        self._at = names[max(0, min(len(names) - 1, at + by))]
        self._said = ""
        self._draw()

    def action_leave(self) -> None:
        self.dismiss()

    def action_job(self) -> None:
        """The job of this stage, with its output; without one its script."""
        job = self._jobs.get(self.stage.name)
        if job is not None:
            self.app.push_screen(JobScreen(job.job_id))
        else:
            self.say(f"{self.stage.name} has no job yet; ctrl+s submits the pipeline")

    def script(self) -> None:
        self._script = not self._script
        self._draw()

    def action_submit(self) -> None:
        self._submit("")

    def from_here(self) -> None:
        """This stage and all that wait for it, once more."""
        self._submit(self.stage.name)

    def _submit(self, start: str) -> None:
        session = self.lab.session
        if session.runner.read_only:
            self.say("this console is read-only: nothing is submitted")
            return
        try:
            self.pipeline = pipeline(self._source)  # as its files are now
            slurm = session.need_slurm()
        except (FileError, ActionError) as error:
            self.say(str(error))
            return
        known = context_of(session.store)
        chosen = self.pipeline.from_stage(start) if start else self.pipeline.stages
        action = SubmitPipeline(
            slurm, self.pipeline, self._kept, source=self._source, start=start,
            before=self.run if start else None,
            warnings=[f"{s.name}: {w}" for s in chosen for w in view.wrong(s, known)],
        )  # fmt: skip

        def done(outcome: Outcome | None) -> None:
            if outcome is None:
                return
            self._said = "" if outcome.ok else outcome.message
            if action.jobs:
                self.run, self._at = action.run_record, ""
                self._find()
            session.scheduler.refresh(["slurm.jobs"])
            self._draw()

        self.app.push_screen(PlanDialog(action), done)

    # The files behind it

    def edit_pipeline(self) -> None:
        path = self.pipeline.path or own_folder() / f"{self.pipeline.name}{ENDING}"
        self.run_worker(self._edit(path, f"{self.pipeline.name}{ENDING}"), exit_on_error=False)

    def edit_script(self) -> None:
        kind, _, name = self.stage.source.partition(" ")
        if kind == "command":
            self.edit_pipeline()
        elif kind == "script":
            folder = self.pipeline.path.parent if self.pipeline.path else Path()
            path = folder / Path(name).expanduser()
            self.run_worker(self._edit(path, ""), exit_on_error=False)
        else:
            path = own_folder() / f"{name}.sbatch"
            self.run_worker(self._edit(path, f"{name}.sbatch"), exit_on_error=False)

    async def _edit(self, path: Path, ours: str) -> None:
        """In the editor; what comes with labtui is copied to one's own folder first."""
        try:
            _own_copy(path, ours)
            rc = await self.lab.hand_over([*editor(self.lab.session.config.ui.editor), str(path)])
            self.pipeline = pipeline(self._source)
            self._said = "" if rc == 0 else f"the editor ended with {rc}"
        except (OSError, FileError) as error:
            self._said = inert(error, 300)
        self._draw()


def _own_copy(path: Path, ours: str) -> None:
    if ours and not path.exists():
        write_private(path, read_text(shipped(ours)).encode())


def entries(kept: Kept, store: Store, job_id: str = "") -> list[Entry]:
    """What `N` offers: the run that a job is of, other runs lately, then the files."""
    now = time.time()
    table = job_rows(store, None, now)  # type: ignore[arg-type]  # it reads the store alone
    runs = sorted(kept.runs(), key=lambda r: job_id not in view.ids(r))[:6]
    found = [
        Entry(f"run {r.id}", "", r.pipeline, view.words_of(r, view.jobs_of(r, table)), None)
        for r in runs
    ]
    files, broken = pipelines()
    found += [Entry(f"file {p.name}", "", p.name, p.summary, None) for p in files]
    return found + [Entry("", "", "broken", "", inert(text, 300)) for text in broken]


def chosen_screen(kept: Kept, id: str) -> PipelineScreen:
    """The screen for an entry's id. Raises FileError where its file cannot be used (any more)."""
    kind, _, name = id.partition(" ")
    if kind == "file":
        return PipelineScreen(pipeline(name), name)
    run = next((r for r in kept.runs() if r.id == name), None)
    if run is None:
        raise FileError("this run is not kept any more")
    return PipelineScreen(pipeline(run.source), run.source, run)
