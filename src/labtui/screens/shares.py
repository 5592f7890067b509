"""Shares of a ceremony, given one after another; the server's progress is on screen meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key, Paste
from textual.screen import ModalScreen
from textual.worker import Worker

from labtui.actions.base import Outcome
from labtui.actions.vault.ceremony import Ceremony, Standing
from labtui.actions.vault.giving import NONCE, Giving
from labtui.keyholder.holder import UNLOCKED, HolderError, Keyholder, Typed
from labtui.screens.console import Console
from labtui.screens.secret import NAMING, dots
from labtui.spec import Tone
from labtui.text import inert
from labtui.widgets.lines import LineLike, Lines, Span

if TYPE_CHECKING:
    from labtui.actions.runner import Runner

FOOT = "enter sends   ctrl+f from a gpg file   ctrl+r {resets}   esc leave"
SAID = 5
"""Lines of what happened that stay on screen."""


class SharesDialog(ModalScreen["Outcome | None"]):
    """Ends with what came of it. While a share is asked no key comes to the console."""

    DEFAULT_CLASSES = "dialog"

    def __init__(self, ceremony: Ceremony) -> None:
        super().__init__()
        self._ceremony = ceremony
        self._standing: Standing | None = None
        self._mine = 0
        self._typed = Typed()
        self._holder: Keyholder | None = None
        self._reads = False
        """The keyholder reads the keyboard: what is typed now reaches it and nobody else."""
        self._said: list[Span] = []
        self._foot = "esc leave"
        self._question: asyncio.Future[bool] | None = None
        self._outcome: Outcome | None = None
        self._worker: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="shares-title", wrap=True)
            yield Lines(id="shares", wrap=True)
            yield Lines(id="shares-foot", wrap=True)

    @property
    def lab(self) -> Console:
        return cast("Console", self.app)

    @property
    def _runner(self) -> Runner:
        return self.lab.session.runner

    def on_mount(self) -> None:
        self._draw()
        self._worker = self.run_worker(self._run(), exit_on_error=False)

    async def _run(self) -> None:
        giving = Giving(self._ceremony, self._runner, self.lab.keyboard, self)
        try:
            self._outcome = await giving.run()
        except HolderError as error:
            self._outcome = Outcome("failed", error.message)
        if self._outcome.kind == "cancelled":
            self.dismiss(self._outcome)
            return
        self.say(self._outcome.message, "ok" if self._outcome.ok else "crit")
        self._foot = "enter or esc closes"
        self._draw()

    # What `giving.Person` asks for

    def begins(self, ceremony: Ceremony) -> None:
        self._ceremony, self._standing = ceremony, None
        self._draw()

    def stands(self, standing: Standing, mine: int) -> None:
        self._standing, self._mine = standing, mine
        self._draw()

    def holds(self, holder: Keyholder | None) -> None:
        self._holder, self._typed, self._reads = holder, Typed(), False
        self._foot = "a moment" if holder else "esc leave"
        self._draw()

    def typed(self, typed: Typed) -> None:
        self._typed, self._reads = typed, True
        foot = FOOT.format(resets=self._ceremony.resets)
        self._foot = foot if typed.text is None else NAMING
        self._draw()

    def say(self, words: str, tone: Tone = "") -> None:
        span: Span = (inert(words, 300), tone)
        if self._said[-1:] != [span]:
            self._said = [*self._said, span][-SAID:]
        self._draw()

    def waits(self, keys: str) -> None:
        self._foot = keys
        self._draw()

    async def go_on(self, words: str) -> bool:
        self._question = asyncio.get_running_loop().create_future()
        self._foot = words
        self._draw()
        try:
            return await self._question
        finally:
            self._question = None
            self._foot = "esc leave"
            self._draw()

    # Keys: only while the keyboard is not lent

    def on_paste(self, event: Paste) -> None:
        event.stop()

    def on_key(self, event: Key) -> None:
        event.stop()
        if self._outcome is not None:
            if event.key in ("enter", "escape"):
                self.dismiss(self._outcome)
        elif self._question is not None and not self._question.done():
            if event.key in ("enter", "escape"):
                self._question.set_result(event.key == "enter")
        elif event.key == "escape":
            if self._worker is not None:
                self._worker.cancel()
            self.dismiss(Outcome("cancelled", "left"))

    # Drawing

    def _draw(self) -> None:
        if not self.is_attached:
            return
        lines: list[LineLike] = []
        standing = self._standing
        if standing is None:
            lines.append([("asking the server ...", "dim")])
        elif self._outcome is None and not standing.done:
            lines += self._share(standing)
        if self._holder is not None and not self._holder.locked:
            lines.append([(UNLOCKED, "dim")])
        if self._said:
            lines += ["", *[[span] for span in self._said]]
        self.query_one("#shares-title", Lines).set_lines(
            [[(inert(self._ceremony.title, 100), "accent")], ""]
        )
        self.query_one("#shares", Lines).set_lines(lines)
        foot: list[LineLike] = ["", [(inert(self._foot, 200), "accent")]]
        if self._outcome is None:
            foot.append([(inert(f"after the last share: {self._ceremony.promise}", 200), "dim")])
        self.query_one("#shares-foot", Lines).set_lines(foot)

    def _share(self, standing: Standing) -> list[LineLike]:
        if standing.waiting:
            return [[(inert(standing.waiting, 200), "warn")]]
        typed = self._typed
        tone: Tone = "ok" if typed.good else "warn" if typed.shape else "dim"
        number = min(standing.progress + 1, standing.required)
        shown = dots(typed, self.lab.ascii_mode)
        line: list[Span] = [
            (f"share {number} of {standing.required}  ", ""),
            (shown or ("_" if self._reads else ""), "accent"),
            (f"  {inert(typed.shape, 120)}", tone),
        ]
        return [line, [(progress(standing, self._mine), "dim")]]


def progress(standing: Standing, mine: int) -> str:
    """What the server has, and whose it is as far as that is known."""
    if not standing.progress:
        return "no share is in yet"
    one = standing.progress == 1
    count = "1 share is in" if one else f"{standing.progress} shares are in"
    nonce = f"nonce {inert(standing.nonce[:NONCE], NONCE)}"
    if mine >= standing.progress:
        return f"{count}, given here; {nonce}"
    if mine:
        return f"{count}, {mine} given here: somebody else is adding; {nonce}"
    return f"{count} already (somebody else may be adding: {nonce})"
