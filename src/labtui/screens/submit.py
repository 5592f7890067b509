"""A new job: the fields people need, the script as it will be sent beside them."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantBlur, DescendantFocus, Key
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Input

from labtui.actions.base import ActionError, Outcome
from labtui.actions.submit import SubmitJob
from labtui.draft import Draft
from labtui.hosts.base import HostError
from labtui.screens.console import Console
from labtui.screens.menu import Entry, Menu
from labtui.screens.plan import PlanDialog
from labtui.slurm.errors import RPCError
from labtui.slurm.script import BatchScript, ScriptError, parse_script
from labtui.slurm.templates import templates
from labtui.text import inert, inert_lines
from labtui.views.submitform import FIELDS, notes, problems, set_field, value_of
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines, Pager

ESTIMATE_AFTER = 1.0
"""Seconds without a key until the scheduler is asked (each question takes a job id)."""


ASK_AGAIN, ASK_AGAIN_AFTER = 3, 4.0
"""How often a refused question is asked again, and after how many seconds."""


class SubmitScreen(ExactScreen[str | None]):
    """Ends with the new job's id, or None; the draft is kept until it was accepted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "submit", show=False, priority=True),
        Binding("ctrl+e", "editor", show=False, priority=True),
        Binding("ctrl+t", "template", show=False, priority=True),
        Binding("escape", "leave", show=False, priority=True),
        # Priority: the focus moves before the next key is delivered, however busy the loop is.
        Binding("tab,down", "next", show=False, priority=True),
        Binding("shift+tab,up", "previous", show=False, priority=True),
    ]

    class Settled(Message):
        """Comes through the focused field after every key that was typed into it before."""

        def __init__(self, then: Callable[[], object]) -> None:
            super().__init__()
            self.then = then

    def __init__(self, script: str | None = None) -> None:
        super().__init__()
        self._given = parse_script(script) if script else None
        self.job = self._given or BatchScript()
        self._kept_at: float | None = None
        self._estimate = ""
        self._timer: Timer | None = None
        self._asked = 0
        self._asking: asyncio.Task[None] | None = None

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        with Horizontal(id="submit-body"):
            with VerticalScroll(id="form", can_focus=False):
                for field in FIELDS:
                    with Horizontal(classes="field"):
                        yield Lines(id=f"label-{field.id}", classes="label")
                        yield Input(id=f"field-{field.id}", select_on_focus=False)
                        yield Lines(id=f"note-{field.id}", classes="note")
            with Vertical(id="script"):
                yield Pager(id="preview")
        yield Lines(id="problems", wrap=True)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        session = self.lab.session
        self._draft = Draft(session.config.cluster.name)
        if self._given is None and (kept := self._draft.load()):
            self.job, self._kept_at = kept
        session.scheduler.show(["slurm.partitions", "slurm.nodes", "slurm.jobs"])
        session.scheduler.refresh(["slurm.partitions"])
        for field in FIELDS:
            self.query_one(f"#label-{field.id}", Lines).set_lines([field.id])
            box = self.query_one(f"#field-{field.id}", Input)
            box.cursor_blink = False
        self._leave_store = session.store.subscribe(
            ["slurm.partitions", "slurm.nodes"], lambda old, new: self._draw()
        )
        self._fill()
        self.query_one(f"#field-{FIELDS[0].id}", Input).focus()

    def on_unmount(self) -> None:
        self._leave_store()
        if self._asking:
            self._asking.cancel()

    # Fields <-> job

    def _fill(self) -> None:
        """The fields from the job: after a template, an editor, a kept draft."""
        for field in FIELDS:
            box = self.query_one(f"#field-{field.id}", Input)
            with self.prevent(Input.Changed):
                box.value = inert(value_of(self.job, field))
            box.disabled = field.id == "command" and "\n" in self.job.body.strip()
        self._draw()
        self._ask_later()

    def on_input_changed(self, event: Input.Changed) -> None:
        name = (event.input.id or "").removeprefix("field-")
        field = next((f for f in FIELDS if f.id == name), None)
        if field is None:
            return
        self.job = set_field(self.job, field, event.value)
        self._draft.keep(self.job)
        self._kept_at = time.time()
        self._draw()
        self._ask_later()

    # Drawing

    def _draw(self) -> None:
        if not self.is_attached:
            return
        session = self.lab.session
        kept = "a draft is kept as you type"
        if self._kept_at:
            kept = f"draft kept {time.strftime('%H:%M', time.localtime(self._kept_at))}"
        kept = self._draft.problem or kept
        where = f"to {session.config.slurm.login}"
        gap = max(1, self.size.width - 11 - len(where) - len(kept) - 1)
        self.query_one("#top", Lines).set_lines(
            [[(" New job ", "accent"), (f" {where}", ""), (" " * gap, ""), (kept, "dim")]]
        )
        said = notes(session.store, self.job)
        for field in FIELDS:
            self.query_one(f"#note-{field.id}", Lines).set_lines(
                [[(inert(said.get(field.id, "")), "dim")]]
            )
        names = [p.name for p in session.store.value("slurm.partitions") or ()]
        box = self.query_one("#field-partition", Input)
        if names and box.suggester is None:
            box.suggester = SuggestFromList([inert(n) for n in names])
        self.query_one("#preview", Lines).set_lines(self._preview())
        self._draw_problems()
        typing = isinstance(self.focused, Input)
        keys = (
            " ctrl+s submit  tab next  esc commands  ctrl+e editor  ctrl+t template"
            if typing
            else " ctrl+s submit  e editor  t template  tab fields  esc keep draft and leave"
        )
        self.query_one("#foot", Lines).set_lines([[(keys, "accent")]])

    def _preview(self) -> Sequence[LineLike]:
        try:
            return list(inert_lines(self.job.script()))
        except ScriptError as error:
            return [[(f"{error.field}: {error.message}", "warn")]]

    def _problems(self) -> list[str]:
        return problems(self.lab.session.store, self.job)

    def _draw_problems(self) -> None:
        lines: list[LineLike] = [[("! ", "warn"), (inert(p), "")] for p in self._problems()[:3]]
        if self._estimate:
            lines.append([(f"  {inert(self._estimate, 200)}", "dim")])
        self.query_one("#problems", Lines).set_lines(lines)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if isinstance(event.widget, Input):
            event.widget.cursor_position = len(event.widget.value)
        self._draw()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        if isinstance(event.widget, Input):
            event.widget.cursor_position = 0

    # The scheduler's estimate

    def _ask_later(self) -> None:
        self._estimate = ""
        self._asked = 0
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(ESTIMATE_AFTER, self._ask)

    def _ask(self) -> None:
        if self._asking:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask_scheduler())

    async def _ask_scheduler(self) -> None:
        try:
            script = self.job.script()
            slurm = self.lab.session.need_slurm()
            found = await slurm.test_only(script, chdir=self.job.working_directory)
            if found.start_time is None:
                words = "start estimate: the scheduler cannot tell"
            else:
                wait = found.start_time - time.time()
                at = time.strftime("%H:%M", time.localtime(found.start_time))
                words = "now" if wait < 60 else f"{at}"
                words = f"start estimate (sbatch --test-only): {words} on {','.join(found.nodes)}"
        except ScriptError:
            words = ""
        except (RPCError, HostError, ActionError) as error:
            words = f"sbatch --test-only: {error}"
            self._asked += 1
            if self._asked < ASK_AGAIN and self.is_attached:
                # A node that has just come back, a slurmctld that has just started.
                self._timer = self.set_timer(ASK_AGAIN_AFTER, self._ask)
        self._estimate = words
        if self.is_attached:
            self._draw_problems()

    # Keys

    def on_key(self, event: Key) -> None:
        if isinstance(self.focused, Input):
            return
        if event.key == "e":
            event.stop()
            self.action_editor()
        elif event.key == "t":
            event.stop()
            self.action_template()

    def on_submit_screen_settled(self, event: Settled) -> None:
        event.then()

    def _after_typing(self, then: Callable[[], object]) -> None:
        (self.focused or self).post_message(self.Settled(then))

    def action_next(self) -> None:
        self._step(1)

    def action_previous(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        """Round the fields that can be typed in; the preview is reached with esc."""
        boxes = [b for b in self.query(Input) if not b.disabled]
        at = boxes.index(self.focused) if self.focused in boxes else -1 if by > 0 else 0
        self.set_focus(boxes[(at + by) % len(boxes)])

    def action_leave(self) -> None:
        """From a field to the commands; from there out, with the draft kept."""
        if isinstance(self.focused, Input):
            self._to_commands()
            return
        self._draft.keep(self.job)
        self.dismiss(None)

    def _to_commands(self) -> None:
        self.set_focus(self.query_one("#preview", Pager))
        self._draw()

    def action_template(self) -> None:
        found = templates()
        entries = [Entry(t.name, "", t.name, t.summary, None) for t in found]

        def chosen(name: str | None) -> None:
            for template in found:
                if template.name == name:
                    self.job = parse_script(template.script)
                    self._draft.keep(self.job)
                    self._fill()

        self.app.push_screen(Menu("Templates", entries, typing=True), chosen)

    def action_editor(self) -> None:
        self._after_typing(
            lambda: self.run_worker(self._edit(), exit_on_error=False, exclusive=True)
        )

    async def _edit(self) -> None:
        path = self._draft.script_path
        try:
            script = self.job.script()
        except ScriptError:
            script = self.job.with_fields(body=self.job.body or "echo hello").script()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(script, encoding="utf-8")
            rc = await self.lab.hand_over([*editor(self.lab.session.config.ui.editor), str(path)])
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self._estimate = f"the editor could not be started: {error}"
            self._draw_problems()
            return
        if rc != 0:
            self._estimate = f"the editor ended with {rc}; the script is as it was"
            self._draw_problems()
            return
        self.job = parse_script(text)
        self._draft.keep(self.job)
        self._fill()

    def action_submit(self) -> None:
        self._after_typing(self._submit)

    def _submit(self) -> None:
        if self.lab.session.runner.read_only:
            self._estimate = "this console is read-only: nothing is submitted"
            self._draw_problems()
            return
        try:
            script = self.job.script()
            slurm = self.lab.session.need_slurm()
        except (ScriptError, ActionError) as error:
            self._estimate = str(error)
            self._draw_problems()
            return
        action = SubmitJob(slurm, script, chdir=self.job.working_directory)

        def done(outcome: Outcome | None) -> None:
            if outcome is not None and outcome.ok:
                self._draft.forget()
                self.dismiss(outcome.details.get("job_id"))

        self.app.push_screen(PlanDialog(action), done)


def editor(configured: str) -> list[str]:
    """`[ui] editor`, $VISUAL, $EDITOR, or what is there."""
    for source in (configured, os.environ.get("VISUAL", ""), os.environ.get("EDITOR", "")):
        if source.strip():
            return shlex.split(source)
    return [next((e for e in ("nano", "vim", "vi") if shutil.which(e)), "vi")]
