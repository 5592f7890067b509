"""What surrounds the main screen's table: top line, title, detail, footer and its messages."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from textual.timer import Timer

from labtui.registry import SUBJECTS
from labtui.screens.view import PAUSE, advance
from labtui.spec import SubjectSpec, Tone
from labtui.store import Feed, matches
from labtui.views.severities import Severities
from labtui.views.summary import title_line, top_line
from labtui.widgets.lines import Lines, Span

if TYPE_CHECKING:
    from labtui.screens.lab import LabScreen

SAY = 6.0
"""Seconds a message stays in the footer."""

OF_A_MACHINE = ("nvml.", "smi.", "jetson.")
"""Feeds of one machine: its own row says that it is silent."""


class Frame:
    """Part of LabScreen: reads its view and the store, draws lines, changes neither."""

    def __init__(self, screen: LabScreen) -> None:
        self._screen = screen
        self.message: tuple[str, Tone] | None = None
        self._fades: Timer | None = None
        self._severities: Severities | None = None
        self._counting: Generator[None, None, None] | None = None

    def draw(self) -> None:
        self.draw_top()
        self.draw_title()
        self.draw_detail()
        self.draw_foot()

    def feeds(self) -> list[Feed]:
        """Those that the subject on screen rests on."""
        screen = self._screen
        return [f for f in screen.session.store.feeds() if matches(f.name, screen.view.spec.feeds)]

    def missing(self) -> str:
        """Why there may be more than the subject's rows, though its source answers."""
        spec = self._screen.view.spec
        return spec.missing(self._screen.session.store) if spec.missing else ""

    def severities(self) -> tuple[int, int]:
        """(critical, warning) counts of the whole lab; counted anew between keys and repaints."""
        session = self._screen.session
        if self._severities is None:
            self._severities = Severities(SUBJECTS, session.store, session.config)
        if self._counting is None:
            self._count(self._severities.recount())
        return self._severities.counts()

    def _count(self, work: Generator[None, None, None]) -> None:
        before = self._counting
        self._counting = None if advance(work) else work
        if self._counting:
            self._screen.set_timer(PAUSE, lambda: self._count(work))
        elif before:
            self.draw_top()

    def draw_top(self) -> None:
        screen = self._screen
        session = screen.session
        note = "read-only" if session.runner.read_only else ""
        if session.history and session.history.problem:
            note = "no history"
        line = top_line(
            session.config.cluster.name,
            self.severities(),
            session.store.feeds(),
            time.time(),
            screen.size.width,
            note,
            [feed.kind for feed in self.feeds()],
            screen.lab.alarm(),
        )
        screen.query_one("#top", Lines).set_lines([line])

    def draw_title(self) -> None:
        screen = self._screen
        view = screen.view
        words = ["working..."] if screen.arranging else []
        words += [f"/{view.filter}"] if view.filter else []
        words += ["tree"] if view.tree else [f"sort: {view.sort or view.spec.default_sort}"]
        words += ["reversed"] if view.reverse else []
        counts = (view.shown, len(view.items), len(screen.table.marked))
        said = self._said()
        plain = view.spec.heading_counts and bool(said[0])
        line = title_line(view.spec.title, counts, said, words, screen.size.width, plain)
        screen.query_one("#title", Lines).set_lines([line])

    def _said(self) -> Span:
        """Beside the title: what fails, else what is missing, else what the rows come to."""
        spec: SubjectSpec = self._screen.view.spec
        feeds = self.feeds()
        failed = [f.error for f in feeds if f.error]
        if any(f.good for f in feeds):  # what a healthy source does not have is no failure
            failed = [f.error for f in feeds if f.error and not f.name.startswith(OF_A_MACHINE)]
            failed = [error for error in failed if error.kind != "not-found"]
        if failed and not matches("host.", spec.feeds):
            return (failed[0].message, "crit")
        if why := self.missing():
            return (why, "crit")
        items = self._screen.view.items
        return (spec.heading(items) if spec.heading and items else "", "dim")

    def draw_detail(self) -> None:
        screen = self._screen
        item = screen.table.cursor_item
        lines: Sequence[Any] = ()
        if item is not None:
            lines = screen.view.spec.detail(item, screen.session.store, time.time())
        screen.query_one("#detail", Lines).set_lines(lines)

    def draw_foot(self) -> None:
        screen = self._screen
        foot = screen.query_one("#foot", Lines)
        if screen.app.screen is not screen:
            foot.set_lines([[]])  # none of these keys works under a dialog
        elif self.message:
            foot.set_lines([[(f" {self.message[0]}", self.message[1])]])
        else:
            foot.set_lines([screen.commands.footer(screen.size.width)])

    def say(self, text: str, tone: Tone = "") -> None:
        """One sentence in the footer for a few seconds."""
        self.message = (text, tone)
        if self._fades:
            self._fades.stop()
        self._fades = self._screen.set_timer(SAY, self.unsay)
        self.draw_foot()

    def unsay(self) -> None:
        self.message = None
        self.draw_foot()
