"""A full screen of text that is read again every second: details, help, sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines, Pager, TopLine


class Page(ExactScreen[None]):
    """`lines` is called anew each second; what did not change is not sent. `indent`: cells before
    what goes on from the line above."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", show=False),
    ]
    FOOT = " j k space scroll  g G ends  esc back"

    def __init__(
        self, title: str, lines: Callable[[], Sequence[LineLike]], *, indent: int = 2
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._indent = indent

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        yield Pager(id="page", wrap=True, indent=self._indent)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        self.query_one("#top", Lines).set_lines([[(f" {self._title}", "accent")]])
        self.query_one("#foot", Lines).set_lines([[(self.FOOT, "dim")]])
        self._draw()
        self.query_one(Pager).focus()
        self.set_interval(1.0, self._draw)

    def _draw(self) -> None:
        self.query_one(Pager).set_lines(self._lines())

    def action_leave(self) -> None:
        self.dismiss()
