"""Preview and confirmation: what exactly will be sent, asked once; then progress and outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key, Paste
from textual.screen import ModalScreen

from labtui.actions.base import Action, ActionError, Outcome, Plan
from labtui.screens.console import Console
from labtui.spec import Cell
from labtui.text import inert, inert_lines
from labtui.widgets.lines import LineLike, Lines, Pager

if TYPE_CHECKING:
    from labtui.actions.runner import Runner

SCROLLS = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}
BURST = 0.3
"""Seconds after opening, and 0.03 s between keys: quicker ones were not meant as an answer."""
FIRST_TARGETS = 5
"""Targets that are named; of more the number is told."""
ALL_STEPS, FIRST_STEPS, LONG_STEP = 12, 4, 240
"""Commands shown, and characters shown of one: hundreds of ids are not read, they are counted."""

WHOLE = 2000
"""Lines of a preview that has to be read to the end."""


class PlanDialog(ModalScreen["Outcome | None"]):
    """Ends with the verified outcome, or None when nothing was sent.

    The confirming key is never the one that opened it; enter alone never confirms; a dangerous
    action asks for the target's name. Pasted text and bursts of keys are not answers.
    """

    DEFAULT_CLASSES = "dialog"

    def __init__(self, action: Action, trigger: str = "") -> None:
        super().__init__()
        self._action = action
        self._yes = "y" if trigger != "y" else "Y"
        self._plan: Plan | None = None
        self._typed = ""
        self._outcome: Outcome | None = None
        self._log: list[str] = []
        self._work: asyncio.Task[None] | None = None
        self._opened = 0.0
        self._last_key = 0.0

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="plan-title", wrap=True)
            plan = Pager(id="plan", wrap=True)
            plan.can_focus = False  # letters are answers here
            yield plan
            yield Lines(id="plan-foot", wrap=True)

    @property
    def _runner(self) -> Runner:
        return cast("Console", self.app).session.runner

    def on_mount(self) -> None:
        self._show([[("making the plan ...", "dim")]], "esc leave", "")
        self._work = asyncio.create_task(self._make())

    async def _make(self) -> None:
        try:
            self._plan = await self._runner.plan(self._action)
        except ActionError as error:
            self._show([inert(error, 400)], "esc leave", "It cannot be done")
            self._outcome = Outcome("refused", inert(error, 400))
            return
        self._opened = time.monotonic()
        self._ask()

    def _ask(self) -> None:
        plan = self._plan
        if plan is None:
            return
        lines: list[LineLike] = []
        if len(plan.targets) > 1:
            rest = len(plan.targets) - FIRST_TARGETS
            named = [f"  {inert(target, 100)}" for target in plan.targets[:FIRST_TARGETS]]
            lines += [*named, *([f"  and {rest} more"] if rest > 0 else []), ""]
        most = len(plan.steps) if len(plan.steps) <= ALL_STEPS else FIRST_STEPS
        for step in plan.steps[:most]:
            what = inert(step.what)
            if len(what) > LONG_STEP:
                what = f"{what[:LONG_STEP]} ... ({len(what)} characters)"
            lines.append([(f"{inert(step.where)}: ", "dim"), (what, "")])
        if len(plan.steps) > most:
            lines.append(Cell(f"and {len(plan.steps) - most} more commands like it", "dim"))
        if not plan.whole:
            lines += self._preview(plan, max(4, self.size.height - 13))
        if plan.risks:
            lines.append("")
            lines += [[("! ", "warn"), (inert(risk), "")] for risk in plan.risks]
        if plan.undo:
            lines.append([("undo: ", "dim"), (inert(plan.undo), "dim")])
        if plan.whole:
            lines += self._preview(plan, WHOLE)
        if plan.dangerous:
            word = inert(plan.confirm_word)
            lines += ["", [(f"type {word} and enter: ", "warn"), (self._typed + "_", "accent")]]
            foot = "esc leave without doing it"
        else:
            foot = f"[ esc  leave it ]    {self._yes}  do it"
            foot += "    up down  read on" if most > FIRST_STEPS or plan.whole else ""
        self._show(lines, foot, plan.title)

    def _preview(self, plan: Plan, room: int) -> list[LineLike]:
        text = inert_lines(plan.preview.rstrip()) if plan.preview else []
        lines: list[LineLike] = ["", *[f"  {line}" for line in text[:room]]] if text else []
        if len(text) > room:
            lines.append(Cell(f"  ... and {len(text) - room} more lines", "dim"))
        return lines

    def _show(self, lines: Sequence[LineLike], foot: str, title: str) -> None:
        if not self.is_attached:  # it was left while its plan was under way
            return
        self.query_one("#plan-title", Lines).set_lines([[(inert(title, 200), "accent")], ""])
        self.query_one("#plan", Lines).set_lines(lines)
        self.query_one("#plan-foot", Lines).set_lines(["", [(foot, "accent")]])

    def on_paste(self, event: Paste) -> None:
        event.stop()

    def on_key(self, event: Key) -> None:
        event.stop()
        if event.key in SCROLLS:
            self.query_one("#plan", Pager).scroll_lines(SCROLLS[event.key])
            return
        now = time.monotonic()
        quick = now - self._last_key < 0.03 or now - self._opened < BURST
        self._last_key = now
        if event.key == "escape" or (self._outcome is not None and event.key in ("enter", "q")):
            self._leave()
            return
        if self._plan is None or self._outcome is not None or self._under_way or quick:
            return
        if self._plan.dangerous:
            self._type(event)
        elif (event.character or event.key) == self._yes:
            self._go()

    @property
    def _under_way(self) -> bool:
        return bool(self._log) and self._outcome is None

    def _type(self, event: Key) -> None:
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.key == "enter" and self._plan and self._typed == self._plan.confirm_word:
            self._go()
            return
        elif event.character and event.is_printable:
            self._typed += event.character
        self._ask()

    def _go(self) -> None:
        self._log = ["sending"]
        self._work = asyncio.create_task(self._perform())

    async def _perform(self) -> None:
        plan = self._plan
        if plan is None:
            return
        self._progress("")
        try:
            self._outcome = await self._runner.perform(self._action, plan, self._progress)
        except asyncio.CancelledError:
            self._outcome = Outcome("unknown", "interrupted: look at the state before trying again")
            raise
        finally:
            if self.is_attached:
                self._progress("")

    def _progress(self, line: str) -> None:
        if line:
            self._log.append(inert(line, 300))
        title = self._plan.title if self._plan else ""
        lines: list[LineLike] = [*self._log[-8:]]
        foot = "esc stops waiting"
        if self._outcome:
            said = f"{self._outcome.kind}: {inert(self._outcome.message, 400)}"
            lines += ["", Cell(said, "ok" if self._outcome.ok else "crit")]
            foot = "enter or esc closes"
            if self._outcome.ok and not self._action.evidence:
                self.set_timer(0.6, self._leave)
        self._show(lines, foot, title)

    def _leave(self) -> None:
        if not self.is_current:
            return
        if self._work and not self._work.done() and self._outcome is None:
            self._work.cancel()
            if self._log:
                self._outcome = Outcome("unknown", "left while it was under way: see the audit")
        self.dismiss(self._outcome)
