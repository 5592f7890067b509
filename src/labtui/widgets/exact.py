"""A screen that sends exactly the cells that a widget asked to repaint.

Textual 8.2.8 honours where a repainted region ends but not where it starts: a line goes out from
the widget's left edge on. For one changed cell at the end of a line of 160 that is 300 bytes and
not 50. This cuts both sides. It touches what Textual does not promise (`Screen._compositor`,
`ChopsUpdate`); without it everything is drawn alike, at more bytes. tests/test_rows.py counts them.
"""

from __future__ import annotations

from typing import Generic

from rich.console import Console
from textual._compositor import ChopsUpdate, Compositor
from textual.screen import Screen, ScreenResultType


class ExactUpdate(ChopsUpdate):
    def render_segments(self, console: Console) -> str:
        """The terminal sequences for each span, cut to its first and last cell."""
        out: list[str] = []
        for y, start, stop in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(x, start), min(end, stop)
                if strip is not None and first < last:
                    words = strip.crop(first - x, last - x).render(console)
                    out.append(f"\x1b[{y + 1};{first + 1}H{words}")
        return "".join(out)


class ExactCompositor(Compositor):
    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return update and ExactUpdate(update.chops, update.spans, update.chop_ends)


class ExactScreen(Screen[ScreenResultType], Generic[ScreenResultType]):
    """Base of screens with tables or live lines."""

    def __init__(
        self, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name, id, classes)
        self._compositor = ExactCompositor()
