"""A form of what can be changed in jobs: what they have now stands in each box until one types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from labtui.actions.base import ActionError
from labtui.actions.modify import FIELDS, ModifyField, checked, shown
from labtui.model import Job
from labtui.slurm.usage import Context, associations_of
from labtui.text import clock, inert
from labtui.widgets.form import Known
from labtui.widgets.lines import Lines

FOOT = "enter goes on   tab next field   right completes   esc leaves"


class Row(Horizontal):
    """What can be changed: its name, a box, what may be."""

    DEFAULT_CLASSES = "field"

    def __init__(self, field: ModifyField, words: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._words = field.words
        self.box = Input(select_on_focus=False, suggester=Known(words))
        self.box.cursor_blink = False
        self.note = Lines(classes="note")

    def compose(self) -> ComposeResult:
        label = Lines(classes="label")
        label.set_lines([self._words])
        yield label
        yield self.box
        yield self.note


class ModifyForm(ModalScreen["dict[str, str] | None"]):
    """Ends with the fields that were typed into, or None. An empty box changes nothing."""

    DEFAULT_CLASSES = "dialog modify"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("down", "app.focus_next", show=False, priority=True),
        Binding("up", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(self, jobs: Sequence[Job], context: Context) -> None:
        super().__init__()
        self._jobs = jobs
        self._cluster = context
        arrays = any("_" in job.job_id or hasattr(job, "tasks") for job in jobs)
        self._fields = [f for f in FIELDS if f.name != "at_once" or arrays]

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="modify-title")
            for field in self._fields:
                yield Row(field, self._words(field))
            yield Lines(id="modify-foot", wrap=True)

    def _words(self, field: ModifyField) -> Callable[[], list[str]]:
        return lambda: choices(field, self._jobs, self._cluster)

    def on_mount(self) -> None:
        first = self._jobs[0]
        name = f"{inert(first.job_id, 40)} {inert(first.name, 40)}"
        title = f"Modify job {name}" if len(self._jobs) == 1 else f"Modify {len(self._jobs)} jobs"
        self.query_one("#modify-title", Lines).set_lines([[(title, "accent")], ""])
        self.query_one("#modify-foot", Lines).set_lines(["", [(FOOT, "dim")]])
        for field, row in zip(self._fields, self.query(Row), strict=True):
            row.box.placeholder = now(field, self._jobs)
            row.note.set_lines([[(note(field, self._jobs, self._cluster), "dim")]])
        self.query(Row).first().box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = {
            field.name: row.box.value.strip()
            for field, row in zip(self._fields, self.query(Row), strict=True)
            if row.box.value.strip()
        }
        try:
            self.dismiss(checked(typed))
        except ActionError as error:
            self.query_one("#modify-foot", Lines).set_lines(
                [[(inert(error, 200), "warn")], [(FOOT, "dim")]]
            )

    def action_leave(self) -> None:
        self.dismiss(None)


def now(field: ModifyField, jobs: Sequence[Job]) -> str:
    """What all of them have; that they differ; nothing where the queue does not tell."""
    if field.name == "nice":
        return ""
    values = {shown(field, field.of(job)) for job in jobs}
    return values.pop() if len(values) == 1 else "(they differ)"


def choices(field: ModifyField, jobs: Sequence[Job], context: Context) -> list[str]:
    if field.name == "partition":
        return [inert(p.name, 60) for p in context.partitions]
    return allowed_qos(jobs, context) if field.name == "qos" else []


def allowed_qos(jobs: Sequence[Job], context: Context) -> list[str]:
    """The QoS that the accounts of all these jobs may use; all there are where that is unknown."""
    sets = [set(found[0].qos) for job in jobs[:50] if (found := associations_of(job, context))]
    common: set[str] = set.intersection(*sets) if sets else {one.name for one in context.qos}
    return sorted(inert(name, 60) for name in common)


def note(field: ModifyField, jobs: Sequence[Job], context: Context) -> str:
    """What may be, as far as this cluster tells it; else how it is written."""
    words = choices(field, jobs, context)
    if words:
        return " ".join(words)
    if field.name == "time_limit":
        names = {name for job in jobs for name in (job.partition or "").split(",")}
        here = [p for p in context.partitions if p.name in names and p.max_time is not None]
        if here:
            lowest = min(here, key=lambda p: p.max_time or 0)
            return f"{inert(lowest.name, 20)} allows {clock((lowest.max_time or 0) * 60)}"
    return field.help
