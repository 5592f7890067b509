"""A new job: the fields people need, the script as it will be sent beside them."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus, Key
from textual.message import Message
from textual.widgets import Input

from labtui.actions.base import ActionError, Outcome
from labtui.actions.submit import SubmitJob
from labtui.draft import Draft
from labtui.kept import Kept
from labtui.screens.console import Console
from labtui.screens.estimate import StartEstimate
from labtui.screens.menu import Entry, Menu
from labtui.screens.plan import PlanDialog
from labtui.slurm.form import FIELD, FIELDS, Field, set_field, value_of
from labtui.slurm.script import BatchScript, ScriptError, parse_script
from labtui.slurm.templates import templates
from labtui.slurm.usage import Context
from labtui.spec import Cell
from labtui.text import inert, inert_lines
from labtui.views.submitform import FEEDS, choices, context_of, notes, problems, shown
from labtui.widgets.exact import ExactScreen
from labtui.widgets.form import Form, More, Row
from labtui.widgets.lines import LineLike, Lines, Pager, Span, TopLine

ROOM = 36
"""Lines of the terminal from which on the common fields are all in sight."""
ROOMY = 170
"""Columns from which on each field's help is read whole beside it."""


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

    def __init__(self, script: str | None = None, *, after: str = "", said: str = "") -> None:
        """With a script to begin with and what is said of it, or as a job after another one
        (`1429 ok`)."""
        super().__init__()
        self._given = parse_script(script) if script else None
        if after:
            self._given = set_field(self._given or BatchScript(), FIELD["after"], after)
        self.job = self._given or BatchScript()
        self._opened: bool | None = None
        """Whether the common fields are in sight; None: as the room allows."""
        self._added: tuple[str, ...] = ()
        self._kept_at: float | None = None
        self._said = said
        """What came of the last command; until the next change."""
        self._estimate = StartEstimate(self, lambda: self.lab.session.need_slurm(), self._draw)

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
        yield TopLine(id="top")
        with Horizontal(id="submit-body"):
            yield Form(self._words, self._in_sight, self.job, id="form")
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
        self._draw()
        self.form.rows[0].box.focus()
        self._estimate.later(self.job)

    def on_unmount(self) -> None:
        self._leave_store()
        self._estimate.close()

    def on_resize(self) -> None:
        if self._opened is None and self.is_mounted:
            self.run_worker(self._show_fields(), exit_on_error=False)

    # Fields <-> job

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    @property
    def _in_sight(self) -> list[Field]:
        room = self.app.size.height >= ROOM
        return shown(self.job, room if self._opened is None else self._opened, self._added)

    def _words(self, field: Field) -> list[str]:
        return choices(self.known, field)

    async def _show_fields(self) -> None:
        await self.form.show(self._in_sight, self.job)
        self._draw()

    async def _fill(self) -> None:
        """The fields from the job: after a template, an editor, a kept draft."""
        await self._show_fields()
        self.form.put(self.job)
        self._draw()
        self._estimate.later(self.job)

    def on_input_changed(self, event: Input.Changed) -> None:
        name = (event.input.id or "").removeprefix("field-")
        field = FIELD.get(name)
        if field is None or event.value == inert(value_of(self.job, field)):
            return
        if name not in self._added:
            self._added += (name,)  # a field that is emptied stays where it is
        self._said = ""
        self.job = set_field(self.job, field, event.value)
        self._draft.keep(self.job)
        self._kept_at = time.time()
        self._draw()
        self._estimate.later(self.job)

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
        self.set_class(self.size.width >= ROOMY, "-roomy")
        self.form.set_notes(notes(self.known, self.job))
        self.form.set_more(self._in_sight)
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
        said = self._said or self._estimate.words
        if said:
            lines.append([(f"  {inert(said, 200)}", "dim")])
        self.query_one("#problems", Lines).set_lines(lines)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if isinstance(event.widget, Input):
            event.widget.cursor_position = len(event.widget.value)
        self._draw()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        if isinstance(event.widget, Input):
            event.widget.cursor_position = 0

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
            self.run_worker(self._show_fields(), exit_on_error=False)
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

        self.run_worker(show(), exit_on_error=False)

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
        self.set_focus(self.form.step(by))

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
        self.run_worker(self._fill(), exit_on_error=False)

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
            self._said = f"the editor could not be started: {error}"
            self._draw_problems()
            return
        if rc != 0:
            self._said = f"the editor ended with {rc}; the script is as it was"
            self._draw_problems()
            return
        self._use(parse_script(text))

    def action_submit(self) -> None:
        self._after_typing(self._submit)

    def _submit(self) -> None:
        if self.lab.session.runner.read_only:
            self._said = "this console is read-only: nothing is submitted"
            self._draw_problems()
            return
        try:
            script = self.job.script()
            slurm = self.lab.session.need_slurm()
        except (ScriptError, ActionError) as error:
            self._said = f"not sent: {error}"
            self._draw_problems()
            return
        kept = Kept(self.lab.session.config.cluster.name)
        action = SubmitJob(
            slurm, script, chdir=self.job.get("chdir"), kept=kept, warnings=self._problems()
        )

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
