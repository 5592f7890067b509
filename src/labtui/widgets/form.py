"""The fields of a job as rows of a label, a box to type in and a note; completion from a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from labtui.slurm.form import FIELD, FIELDS, Field, value_of
from labtui.slurm.script import BatchScript
from labtui.text import cut, inert
from labtui.widgets.lines import Lines

LABEL, LABEL_WIDE = 10, 19
NOTED = frozenset({"partition", "gpus", "cpus", "memory", "time", "nodes", "qos", "account"})
"""Fields with something beside them also where it is narrow: what is there now."""
Words = Callable[[Field], Sequence[str]]
"""What a field can be completed with."""


class Form(VerticalScroll, can_focus=False):
    """Rows for the fields in sight, and at the end a line that shows more."""

    def __init__(self, words: Words, fields: Sequence[Field], job: BatchScript, *, id: str) -> None:
        super().__init__(id=id)
        self._words = words
        self._first = [self._row(field, job) for field in fields]
        self._turn = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield from self._first
        yield More(id="more")

    @property
    def rows(self) -> list[Row]:
        return list(self.query(Row))

    def _row(self, field: Field, job: BatchScript) -> Row:
        row = Row(field.id, partial(self._words, field))
        row.put(job)
        return row

    async def show(self, fields: Sequence[Field], job: BatchScript) -> None:
        """A row for each of these; those that are there stay as they are."""
        async with self._turn:  # one change after the other
            if not self.is_attached:
                return
            there = {row.name_of: row for row in self.rows}
            new: dict[Row | None, list[Row]] = {}
            after: Row | None = None
            for field in fields:
                row = there.pop(field.id, None)
                if row is None:
                    new.setdefault(after, []).append(self._row(field, job))
                else:
                    after = row
            with self.app.batch_update():
                for before, rows in new.items():
                    await self.mount(*rows, **({"after": before} if before else {"before": 0}))
                for row in there.values():
                    if not row.box.has_focus:
                        await row.remove()

    def put(self, job: BatchScript) -> None:
        """What the job has, into every row."""
        for row in self.rows:
            row.put(job)

    def set_notes(self, said: Mapping[str, str]) -> None:
        """What is there now beside its field; where nothing is said its help."""
        for row in self.rows:
            words = said.get(row.name_of) or FIELD[row.name_of].help
            room = row.note.size.width or len(words)
            row.note.set_lines([[(cut(inert(words), room).rstrip(), "dim")]])

    def set_more(self, wanted: Sequence[Field]) -> None:
        common = [f for f in FIELDS if f.tier == "common" and f not in wanted]
        words = f"+ {len(common)} common fields"
        words = words if common else f"+ all of sbatch: {len(FIELDS) - len(wanted)} fields"
        self.query_one(More).set_lines([[(words, "dim"), ("  enter", "accent")]])

    def step(self, by: int) -> Widget:
        """The next of what can be typed in, round and round, the last line included."""
        stops: list[Widget] = [row.box for row in self.rows if not row.box.disabled]
        stops.append(self.query_one(More))
        focused = self.screen.focused
        at = stops.index(focused) if focused in stops else -1 if by > 0 else 0
        return stops[(at + by) % len(stops)]


class Row(Horizontal):
    """One field: what it is called, what is typed, what is there now."""

    DEFAULT_CLASSES = "field"

    def __init__(self, name: str, words: Callable[[], Sequence[str]]) -> None:
        super().__init__(id=f"row-{name}")
        self.name_of = name
        self.set_class(name not in NOTED, "-plain")
        self.box = Input(id=f"field-{name}", select_on_focus=False, suggester=Known(words))
        self.box.cursor_blink = False
        self.label = Lines(classes="label")
        self.note = Lines(id=f"note-{name}", classes="note")

    def compose(self) -> ComposeResult:
        yield self.label
        yield self.box
        yield self.note

    def put(self, job: BatchScript) -> None:
        """What the job has; a script of several lines is not for this box."""
        with self.prevent(Input.Changed):
            self.box.value = inert(value_of(job, FIELD[self.name_of]))
        self.box.disabled = self.name_of == "command" and "\n" in job.body.strip()

    def on_mount(self) -> None:
        self.on_resize()

    def on_resize(self) -> None:
        room = LABEL_WIDE if self.label.size.width > LABEL + 1 else LABEL
        self.label.set_lines([cut(self.name_of, room).rstrip()])


class More(Lines, can_focus=True):
    """The last line of a form: enter shows more of it."""


class Known(Suggester):
    """Completes the last word of a list with what there is; the right arrow takes it."""

    def __init__(self, words: Callable[[], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._words = words

    async def get_suggestion(self, value: str) -> str | None:
        head, comma, last = value.rpartition(",")
        for word in self._words():
            if last and word.startswith(last) and word != last:
                return head + comma + word
        return None
