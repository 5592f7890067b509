"""The console's one main screen: top line, table of the chosen subject, detail, footer.

Changing the subject swaps the table in place: nothing is rebuilt, so it costs a repaint.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Key, Resize
from textual.timer import Timer

from labtui.registry import SUBJECT, SUBJECTS
from labtui.screens.ask import Ask
from labtui.screens.commands import Commands
from labtui.screens.console import Console
from labtui.screens.frame import Frame
from labtui.screens.view import Arranger, Making, View
from labtui.spec import Tone
from labtui.store import Feed, matches
from labtui.text import inert
from labtui.views.arrange import Arranged, arrange
from labtui.views.filtering import FilterError, compile_filter
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import Lines
from labtui.widgets.rows import Rows

if TYPE_CHECKING:
    from labtui.session import Session

FIRST = 0.03
"""Seconds for the first frame, before connections are made and what they need is imported."""
SETTLE = 0.05
"""Seconds to gather readings that arrive together into one repaint."""
REST = 0.06
"""Seconds that the cursor rests on a row until its detail is drawn."""
LOOK = 0.4
"""Seconds that the cursor rests on a row until more is fetched for its detail."""
MANY = 2000
"""Rows above which a second without news does not make them anew."""
RECHECK = 5
"""Seconds after which cells that tell a time are drawn anew in rows that are otherwise the same."""
TYPING = 0.2
"""Seconds without a key until a long table is filtered by what was typed so far."""
DETAIL = 7
"""Lines of the detail below the table, as in the stylesheet."""
AROUND = 5
"""Lines of the screen beside rows and detail: top, title, header, one to spare, footer."""


class Step(NamedTuple):
    """A jump from a row of one subject to another subject."""

    subject: str
    key: str | None
    to: str
    filter: str
    """That of the other subject when it was reached: esc clears a later one first."""


class LabScreen(ExactScreen[None]):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = ""

    def __init__(self, subject: str = "nodes") -> None:
        super().__init__()
        self._first = subject if subject in SUBJECT else "nodes"
        self.views = {spec.name: View(spec) for spec in SUBJECTS}
        self.current = self._first
        self._seen: set[str] = set()
        self._dirty = False
        self._rest_timer: Timer | None = None
        self._look_timer: Timer | None = None
        self._arranger = Arranger(self.set_timer, self._apply, self.update)
        self._ticks = 0
        self._typing: Timer | None = None
        self._target: str | None = None
        """The row that the cursor is to go to as soon as it is in the table."""
        self._came: list[Step] = []
        """The jumps that esc undoes, the last one first."""
        self._detail_height = 0
        """Lines that this subject's detail was given; 0: as many as the stylesheet says."""
        self.frame = Frame(self)
        self.commands = Commands(self)

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    @property
    def session(self) -> Session:
        return self.lab.session

    @property
    def view(self) -> View:
        return self.views[self.current]

    @property
    def table(self) -> Rows:
        return self.query_one("#table", Rows)

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield Lines(id="title")
        with Container(id="body"):
            yield Rows(id="table")
            yield Lines(id="detail", wrap=True)
        yield Ask(self._asked, id="ask")
        yield Lines(id="foot")

    def on_mount(self) -> None:
        self.show(self._first)
        self._unsubscribe = self.session.store.subscribe(["*"], self._on_reading)
        self.set_interval(1.0, self._tick)
        self.set_timer(FIRST, self.session.scheduler.start)

    def on_unmount(self) -> None:
        self._unsubscribe()

    def on_screen_resume(self) -> None:
        if self._seen:
            self._watch()
            self.update()

    def on_resize(self, event: Resize) -> None:
        if self._seen:
            self.call_after_refresh(self.update)

    # Subjects

    def show(self, name: str) -> None:
        """Bring a subject to the screen, as it was left."""
        if self.frame.message and name != self.current:
            self.frame.unsay()  # it was about the other one
        self._came = []
        self.view.place = self.table.place
        self.current = name
        if name not in self._seen:
            self.view.recall(self.session.tables.subject(name))
        self.table.switch(
            self.view.chosen_columns(), self.view.place if name in self._seen else None
        )
        self._seen.add(name)
        self._watch()
        self.query_one(Ask).close()
        self.update()
        self.set_focus(self.table)

    def _watch(self) -> None:
        """Have the sources of this subject asked at their own pace; another screen had its own."""
        self.session.scheduler.show((*self.view.spec.feeds, *self.view.spec.also))

    def goto(self, subject: str, key: str) -> bool:
        """Show a subject with the cursor on one row, past a filter or a fold that hides it.

        False where it is not there, or not yet: then the cursor goes there when it comes.
        """
        self.show(subject)
        self.view.moved = True
        if self.table.move_to(key):
            return True
        self._target = key
        array, task, _ = key.partition("_")
        if task:
            self.view.unfolded |= {array}
        self.set_filter("")
        return self._target is None

    def jump(self, subject: str, key: str) -> None:
        """Like `goto`; esc comes back to this row."""
        came, here, held = self._came, self.current, self.table.cursor_key
        if not self.goto(subject, key) and not self._arranger.busy:
            self.say(f"{inert(key, 60)} is not among the {self.view.spec.title} now", "warn")
        self._came = [*came, Step(here, held, subject, self.view.filter)]
        self.frame.draw_foot()

    @property
    def came_from(self) -> str:
        """The subject that a jump led here from; empty: none did."""
        return self._came[-1].subject if self._came else ""

    def _back(self) -> None:
        *came, step = self._came
        if step.key is None:
            self.show(step.subject)
        else:
            self.goto(step.subject, step.key)
        self._came = came
        self.frame.draw_foot()

    def set_filter(self, text: str) -> None:
        view = self.view
        try:
            if text != view.filter:
                view.test = compile_filter(text, view.spec.searchable, view.test)
        except FilterError as error:
            self.say(str(error), "warn")
            return
        view.filter = text
        self.rearrange()

    def rearrange(self) -> None:
        """The person chose another order or filter: what is being arranged for the last is void."""
        self._arranger.void()
        self.update()

    def sort_next(self) -> None:
        width = self.table.size.width
        ids = ["", *(c.id for c in self.view.chosen_columns() if c.min_total <= width)]
        at = ids.index(self.view.sort) if self.view.sort in ids else 0
        self.view.sort = ids[(at + 1) % len(ids)]
        self.view.reverse = False
        self.remember()
        self.rearrange()

    def set_columns(self, chosen: tuple[str, ...]) -> None:
        """Other columns for this subject; empty: its own."""
        self.view.columns = chosen
        self.table.set_columns(self.view.chosen_columns())
        self.remember()

    def remember(self) -> None:
        """Columns and order outlive the console."""
        tables = self.session.tables
        self.view.keep(tables.subject(self.current))
        try:
            tables.keep()
        except OSError as error:
            self.say(f"your columns and order cannot be kept: {error.strerror}", "warn")

    # Drawing

    def on_screen_suspend(self) -> None:
        self.frame.draw_foot()

    def _on_reading(self, old: Feed, new: Feed) -> None:
        """Gather what arrives together; what this subject does not rest on waits for the tick."""
        if self._dirty or not matches(new.name, self.view.spec.feeds):
            return
        if old.error == new.error and old.value == new.value:
            return
        self._dirty = True
        if self.table.count:
            self.set_timer(SETTLE, self.update)
        else:
            self.call_later(self.update)

    def _tick(self) -> None:
        """Once a second: ages and what else a passing second changes."""
        if self._dirty or not self.is_current:
            return
        if len(self.view.items) < MANY:
            self.update()
        else:
            self.frame.draw_top()
        self._ticks += 1
        if self._ticks % RECHECK == 0:
            self.table.recheck()

    def update(self) -> None:
        """Rows from the store, filtered and sorted; the widgets repaint what differs."""
        self._dirty = False
        if not self.is_attached:
            return
        view = self.view
        if self._arranger.waits_for(view):
            return
        self._arranger.begin(view, self._rows(view))
        if self._arranger.busy and not view.spec.pieces:
            self.frame.draw_title()

    def _rows(self, view: View) -> Making:
        """All rows there are, and those that are shown, in pieces."""
        spec, store, config, now = view.spec, self.session.store, self.session.config, time.time()
        if spec.pieces:
            yield from spec.pieces(store, config, now)
        items = spec.rows(store, config, now)
        shown = yield from (spec.arrange or arrange)(items, spec, view.how(config.slurm.tasks))
        return items, shown

    def _apply(self, view: View, rows: Arranged) -> None:
        if view is not self.view or not self.is_attached:
            return
        now = time.time()
        view.shown = rows.matched
        feeds = self.frame.feeds()
        self.table.sorted_by = (view.sort, view.reverse) if view.sort else None
        # A machine's own row says that it is silent, and is the last one to be dimmed for it.
        self.table.stale = (
            not matches("host.", view.spec.feeds)
            and bool(feeds)
            and all(f.state(now) in ("failed", "stale") for f in feeds)
        )
        self.table.message = self._why_empty(view, feeds, now)
        self.table.set_rows(rows.items, keys=rows.keys, leads=rows.leads)
        if self._target is not None and self.table.move_to(self._target):
            self._target = None
        if not view.moved:
            self.table.move_to(0)
        self._share_out(len(rows.items))
        if self.is_current:
            self.frame.draw()

    def _share_out(self, rows: int) -> None:
        """Where the rows are few the detail stands below them, and gets the lines they leave."""
        height = max(DETAIL, self.size.height - AROUND - rows) if self.view.spec.roomy else 0
        if height == self._detail_height:
            return
        self._detail_height = height
        self.query_one("#body").set_class(height > 0, "-stacked")
        detail = self.query_one("#detail")
        if height:
            detail.styles.height = height
        else:
            detail.styles.height = None  # clear_rule alone draws nothing anew

    def _why_empty(self, view: View, feeds: list[Feed], now: float) -> str:
        if view.items and view.filter:
            return f"nothing matches {view.filter}  (/ then enter clears it)"
        for part in view.spec.feeds:  # the first has most of what it shows
            for feed in feeds:
                if feed.error and matches(feed.name, (part,)):
                    return f"{feed.kind}: {feed.error.message}"
        if not feeds and self.session.scheduler.has(view.spec.feeds):
            return "waiting for the first answer"
        if not feeds:
            return f"no source for {view.spec.title} is configured"
        if any(f.state(now) == "waiting" for f in feeds):
            return "waiting for " + ", ".join(dict.fromkeys(f.kind for f in feeds))
        if why := self.frame.missing():
            return why
        return f"no {view.spec.title.lower()}"

    @property
    def arranging(self) -> bool:
        return self._arranger.busy

    def say(self, text: str, tone: Tone = "") -> None:
        """One sentence in the footer for a few seconds."""
        self.frame.say(text, tone)

    # Events

    def on_rows_moved(self, event: Rows.Moved) -> None:
        for timer in (self._rest_timer, self._look_timer):
            if timer:
                timer.stop()
        self._rest_timer = self.set_timer(REST, self._rest)
        self._look_timer = self.set_timer(LOOK, self._look)

    def _rest(self) -> None:
        """Of rows that a held key only passes nothing more is told: on a slow link that is felt."""
        self.frame.draw_detail()
        self.frame.draw_foot()

    def _look(self) -> None:
        """The cursor rests on a row: fetch what only its detail needs."""
        self.run_worker(self._fetch(self.table.cursor_item), exit_on_error=False, group="look")

    async def _fetch(self, item: Any) -> None:
        if await self.session.look(item) and self.is_current:
            self.frame.draw_detail()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A double click; the key comes as a command."""
        self.commands.run("show.detail")

    def on_ask_edited(self, event: Ask.Edited) -> None:
        if not self.query_one(Ask).display:
            return  # it was left meanwhile
        if event.mode == "/" and len(self.view.items) < MANY:
            self.set_filter(event.text)
        elif event.mode == "/":
            if self._typing:
                self._typing.stop()
            self._typing = self.set_timer(TYPING, lambda: self.set_filter(event.text))
        else:
            found = self.commands.going.complete(event.text)[:6]
            self.query_one("#foot", Lines).set_lines([[(" " + "  ".join(found), "dim")]])

    def _asked(self, mode: str, text: str | None) -> None:
        """The line that asks was left."""
        self.set_focus(self.table)
        self.frame.draw_foot()
        if self._typing:
            self._typing.stop()
        if mode == "/":
            self.set_filter(text or "")
            self.session.tables.subject(self.current).used(self.view.filter)
            self.remember()
        elif text:
            self.commands.going.go(text)

    def early_key(self, event: Key) -> bool:
        """A key, before it is sent to a widget: each of a burst means what it means alone, whatever
        the one before it opened, closed or moved. True: it is dealt with."""
        ask = self.query_one(Ask)
        if ask.display:
            return ask.early_key(event)
        if event.key == "escape":
            self._escape()
            return True
        spec = self.lab.keys.lookup(self.current, event.key)
        if spec is None:
            self.view.moved = True
            self._target = None
            return self.table.early_key(event.key)
        self.commands.run(spec.id)
        return True

    def _escape(self) -> None:
        """One step back: the message, the marks, the filter, the closer look."""
        if self.frame.message:
            self.frame.unsay()
        elif self.table.marked:
            self.table.clear_marks()
            self.frame.draw_title()
        elif self._came and self._came[-1].filter == self.view.filter:
            self._back()
        elif self.view.filter:
            self.set_filter("")
        elif self.view.spec.parent:
            self.show(self.view.spec.parent)
