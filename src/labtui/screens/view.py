"""One subject's table as a person left it, and how its rows come from the store to the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from labtui.spec import Column, SubjectSpec
from labtui.tablestate import TableState
from labtui.views.arrange import Arranged, How
from labtui.views.filtering import Filter
from labtui.widgets.rows import Place

PIECE = 0.004
"""Seconds that rows are arranged in one go, with a PAUSE for keys and repaints in between."""
PAUSE = 0.001


class View(msgspec.Struct):
    """What is remembered of one subject's table while another one is shown."""

    spec: SubjectSpec
    place: Place | None = None
    moved: bool = False
    """The person chose a row; until then the cursor stays on the first, which matters most."""
    filter: str = ""
    test: Filter | None = None
    sort: str = ""
    reverse: bool = False
    items: Sequence[Any] = ()
    """All rows there are, as the table was last made from them."""
    shown: int = 0
    unfolded: frozenset[str] = frozenset()
    tree: bool = False
    columns: tuple[str, ...] = ()
    """Ids of the columns that the person chose, in their order; empty: the subject's own."""

    def how(self, apart: bool) -> How:
        return How(self.test, self.sort, self.reverse, self.unfolded, apart, self.tree)

    def chosen_columns(self) -> tuple[Column, ...]:
        if not self.columns:
            return self.spec.columns
        known = {column.id: column for column in self.spec.columns}
        return tuple(replace(known[id], min_total=0) for id in self.columns if id in known)

    def recall(self, state: TableState) -> None:
        """As it was left when the console was last used."""
        known = {column.id for column in self.spec.columns}
        self.columns = tuple(id for id in state.columns if id in known)
        self.sort = state.sort if state.sort in known else ""
        self.reverse = state.reverse

    def keep(self, state: TableState) -> None:
        state.columns, state.sort, state.reverse = self.columns, self.sort, self.reverse


def advance(work: Generator[None, None, Any]) -> StopIteration | None:
    """Go on with it for a PIECE; its end, with its value, where that was reached."""
    until = time.perf_counter() + PIECE
    try:
        next(work)
        while time.perf_counter() < until:
            next(work)
    except StopIteration as end:
        return end
    return None


Making = Generator[None, None, tuple[Sequence[Any], Arranged]]
"""All rows that there are, and those that are to be shown."""


class _Job(msgspec.Struct):
    view: View
    work: Making


class Arranger:
    """Runs the arranging of rows between keys and repaints; one at a time.

    `later(seconds, call)` is the screen's timer, `done` gets the rows, `again` is called when
    something was asked for meanwhile.
    """

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], object],
        done: Callable[[View, Arranged], None],
        again: Callable[[], None],
    ) -> None:
        self._later, self._done, self._again = later, done, again
        self._job: _Job | None = None
        self._missed = False
        self._void = False

    @property
    def busy(self) -> bool:
        return self._job is not None

    def void(self) -> None:
        """What is under way is no longer what the person wants: the next `begin` replaces it."""
        self._void = True

    def waits_for(self, view: View) -> bool:
        """Whether this view is being arranged already; then it is done once more afterwards."""
        if self._job is not None and self._job.view is view and not self._void:
            self._missed = True
            return True
        return False

    def begin(self, view: View, work: Making) -> None:
        """Short work is done when this returns."""
        self._void = False
        self._job = None
        self._go_on(_Job(view, work))

    def _go_on(self, job: _Job) -> None:
        if end := advance(job.work):
            self._job = None
            job.view.items, rows = end.value
            self._done(job.view, rows)
            if self._missed:
                self._missed = False
                self._again()
            return
        self._job = job
        self._later(PAUSE, lambda: self._go_on(job) if self._job is job else None)
