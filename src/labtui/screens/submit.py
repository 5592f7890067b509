"""A new job: the fields people need, the script as it will be sent beside them."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantBlur, DescendantFocus, Key
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from labtui.actions.base import ActionError, Outcome
from labtui.actions.submit import SubmitJob
from labtui.draft import Draft
from labtui.hosts.base import HostError
from labtui.kept import Kept
from labtui.screens.console import Console
from labtui.screens.menu import Entry, Menu
from labtui.screens.plan import PlanDialog
from labtui.slurm.errors import RPCError
from labtui.slurm.form import FIELD, FIELDS, Field, set_field, value_of
from labtui.slurm.script import BatchScript, ScriptError, parse_script
from labtui.slurm.templates import templates
from labtui.slurm.usage import Context
from labtui.spec import Cell
from labtui.text import cut, inert, inert_lines
from labtui.views.submitform import FEEDS, choices, context_of, notes, problems, shown
from labtui.widgets.exact import ExactScreen
from labtui.widgets.form import More, Row
from labtui.widgets.lines import LineLike, Lines, Pager, Span

ESTIMATE_AFTER = 1.0
"""Seconds without a key until the scheduler is asked (each question takes a job id)."""

ROOM = 36
"""Lines of the terminal from which on the common fields are all in sight."""
ROOMY = 170
"""Columns from which on each field's help is read whole beside it."""
NOTED = frozenset({"partition", "gpus", "cpus", "memory", "time", "nodes", "qos", "account"})
"""Fields with something beside them: what is there now."""
ASK_AGAIN, ASK_AGAIN_AFTER = 3, 4.0
"""How often a refused question is asked again, and after how many seconds."""


class SubmitScreen(ExactScreen[str | None]):
    """Ends with the new job's id, or None; the draft is kept until it was accepted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "submit", show=False, priority=True),
        Binding("ctrl+e", "editor", show=False, priority=True),
        Binding("ctrl+t", "template", show=False, priority=True),
        Binding("ctrl+f", "field", show=False, priority=True),
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

    def __init__(self, script: str | None = None, *, after: str = "") -> None:
        """With a script to begin with, or as a job after another one (`1429 ok`)."""
        super().__init__()
        self._given = parse_script(script) if script else None
        if after:
            self._given = set_field(self._given or BatchScript(), FIELD["after"], after)
        self.job = self._given or BatchScript()
        self._opened: bool | None = None
        """Whether the common fields are in sight; None: as the room allows."""
        self._added: tuple[str, ...] = ()
        self._turn = asyncio.Lock()
        self._kept_at: float | None = None
        self._estimate = ""
        self._timer: Timer | None = None
        self._asked = 0
        self._asking: asyncio.Task[None] | None = None

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    @property
    def known(self) -> Context:
        return context_of(self.lab.session.store)

    def compose(self) -> ComposeResult:
        self._draft = Draft(self.lab.session.config.cluster.name)
        if self._given is None and (kept := self._draft.load()):
            self.job, self._kept_at = kept
        yield Lines(id="top")
        with Horizontal(id="submit-body"):
            with VerticalScroll(id="form", can_focus=False):
                for field in self._in_sight:
                    yield self._row(field)
                yield More(id="more")
            with Vertical(id="script"):
                yield Pager(id="preview")
        yield Lines(id="field-help")
        yield Lines(id="problems", wrap=True)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        session = self.lab.session
        session.scheduler.show([*FEEDS])
        session.scheduler.refresh(["slurm.partitions"])
        self._leave_store = session.store.subscribe(list(FEEDS), lambda old, new: self._draw())
        self._draw_more()
        self._draw()
        self.query(Row).first().box.focus()
        self._ask_later()

    def on_unmount(self) -> None:
        self._leave_store()
        if self._asking:
            self._asking.cancel()

    def on_resize(self) -> None:
        if self._opened is None and self.is_mounted:
            self._later(self._show_fields())

    # Fields <-> job

    @property
    def _in_sight(self) -> list[Field]:
        room = self.app.size.height >= ROOM
        return shown(self.job, room if self._opened is None else self._opened, self._added)

    def _words(self, field: Field) -> list[str]:
        return choices(self.known, field)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Rows come and go one change after the other."""

        async def in_turn() -> None:
            async with self._turn:
                await work

        self.run_worker(in_turn(), exit_on_error=False, group="form")

    async def _show_fields(self) -> None:
        """A row for each field in sight; those that are there stay as they are."""
        if not self.is_attached:
            return
        form = self.query_one("#form")
        there = {row.name_of: row for row in self.query(Row)}
        new: dict[Row | None, list[Row]] = {}
        """Rows to come, by the one that they come after."""
        after: Row | None = None
        for field in self._in_sight:
            row = there.pop(field.id, None)
            if row is None:
                new.setdefault(after, []).append(self._row(field))
            else:
                after = row
        with self.app.batch_update():
            for before, rows in new.items():
                await form.mount(*rows, **({"after": before} if before else {"before": 0}))
            for row in there.values():
                if not row.box.has_focus:
                    await row.remove()
        self._draw_more()
        self._draw()

    def _row(self, field: Field) -> Row:
        row = Row(field.id, field.id in NOTED, partial(self._words, field))
        self._put(row)
        return row

    def _put(self, row: Row) -> None:
        """What the job has, into a row."""
        with self.prevent(Input.Changed):
            row.box.value = inert(value_of(self.job, FIELD[row.name_of]))
        row.box.disabled = row.name_of == "command" and "\n" in self.job.body.strip()

    def _draw_more(self) -> None:
        wanted = self._in_sight
        hidden = len(FIELDS) - len(wanted)
        common = [f for f in FIELDS if f.tier == "common" and f not in wanted]
        words = f"+ {len(common)} common fields" if common else f"+ all of sbatch: {hidden} fields"
        self.query_one("#more", Lines).set_lines([[(words, "dim"), ("  enter", "accent")]])

    async def _fill(self) -> None:
        """The fields from the job: after a template, an editor, a kept draft."""
        await self._show_fields()
        for row in self.query(Row):
            self._put(row)
        self._draw()
        self._ask_later()

    def on_input_changed(self, event: Input.Changed) -> None:
        name = (event.input.id or "").removeprefix("field-")
        field = FIELD.get(name)
        if field is None or event.value == inert(value_of(self.job, field)):
            return
        if name not in self._added:
            self._added += (name,)  # a field that is emptied stays where it is
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
        said = notes(self.known, self.job)
        self.set_class(self.size.width >= ROOMY, "-roomy")
        for row in self.query(Row):
            words = said.get(row.name_of) or FIELD[row.name_of].help
            room = row.note.size.width or len(words)
            row.note.set_lines([[(cut(inert(words), room).rstrip(), "dim")]])
        self.query_one("#preview", Lines).set_lines(self._preview())
        self._draw_problems()
        typing = isinstance(self.focused, Input)
        keys = (
            " ctrl+s submit  ctrl+t template  ctrl+e editor  ctrl+f find field  esc commands"
            if typing
            else " ctrl+s submit  e editor  t template  f find field  esc keep draft and leave"
        )
        self.query_one("#foot", Lines).set_lines([[(keys, "accent")]])
        self._draw_help()

    def _draw_help(self) -> None:
        """One line on the field that is typed in, and what it can be completed with."""
        spans: list[Span] = []
        row = self.focused.parent if isinstance(self.focused, Input) else None
        if isinstance(row, Row):
            field = FIELD[row.name_of]
            spans = [(f"{field.id}: ", "accent"), (field.help, "")]
            if words := self._words(field):
                spans.append((f"  {' '.join(words)}", "dim"))
        elif isinstance(self.focused, More):
            spans = [("enter shows more fields; ctrl+f finds one by name", "dim")]
        self.query_one("#field-help", Lines).set_lines([spans])

    def _preview(self) -> Sequence[LineLike]:
        """The script as it would be sent; dim while it cannot be."""
        try:
            return list(inert_lines(self.job.script()))
        except ScriptError:
            return [Cell(line, "dim") for line in inert_lines(self.job.text())]

    def _problems(self) -> list[str]:
        return problems(self.known, self.job)

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
            found = await slurm.test_only(script, chdir=self.job.get("chdir"))
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
        if isinstance(self.focused, More) and event.key in ("enter", "space"):
            event.stop()
            self._more()
            return
        act = {"e": self.action_editor, "t": self.action_template, "f": self.action_field}
        if event.key in act:
            event.stop()
            act[event.key]()

    def _more(self) -> None:
        """First the common fields, then any of sbatch's by name."""
        if any(f.tier == "common" and f not in self._in_sight for f in FIELDS):
            self._opened = True
            self._later(self._show_fields())
        else:
            self.action_field()

    def action_field(self) -> None:
        """Any option of sbatch, found by a few letters of its name or help."""
        entries = [Entry(f.id, "", f.id, f.help, None) for f in FIELDS]
        self.app.push_screen(Menu("Fields: all of sbatch", entries, typing=True), self._add)

    def _add(self, id: str | None) -> None:
        if id is None:
            return
        self._added += (id,)

        async def show() -> None:
            await self._show_fields()
            self.query_one(f"#field-{id}", Input).focus()

        self._later(show())

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
        stops: list[Widget] = [r.box for r in self.query(Row) if not r.box.disabled]
        stops.append(self.query_one(More))
        at = stops.index(self.focused) if self.focused in stops else -1 if by > 0 else 0
        self.set_focus(stops[(at + by) % len(stops)])

    def action_leave(self) -> None:
        """From a field to the commands; from there out, with the draft kept."""
        if isinstance(self.focused, (Input, More)):
            self._to_commands()
            return
        self._draft.keep(self.job)
        self.dismiss(None)

    def _to_commands(self) -> None:
        self.set_focus(self.query_one("#preview", Pager))
        self._draw()

    def action_template(self) -> None:
        found, broken = templates()
        entries = [Entry(t.name, "", t.name, t.summary, None) for t in found]
        entries += [Entry("", "", "broken", inert(p, 300), "broken") for p in broken]

        def chosen(name: str | None) -> None:
            for template in found:
                if template.name == name:
                    self._use(parse_script(template.script))

        self.app.push_screen(Menu("Templates", entries, typing=True), chosen)

    def _use(self, job: BatchScript) -> None:
        """Another script in the form; what it waits for stays, when it has none of its own."""
        if "dependency" not in job.options and self.job.get("dependency"):
            job = job.with_options({"dependency": self.job.get("dependency")})
        self.job = job
        self._draft.keep(job)
        self._later(self._fill())

    def action_editor(self) -> None:
        self._after_typing(
            lambda: self.run_worker(self._edit(), exit_on_error=False, exclusive=True)
        )

    async def _edit(self) -> None:
        path = self._draft.script_path
        script = self.job.text()
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
        self._use(parse_script(text))

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
            self._estimate = f"not sent: {error}"
            self._draw_problems()
            return
        kept = Kept(self.lab.session.config.cluster.name)
        action = SubmitJob(slurm, script, chdir=self.job.get("chdir"), kept=kept)

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
