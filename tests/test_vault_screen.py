"""What the Vault screen does to the others, and a plan that is left before it is made."""

from __future__ import annotations

import asyncio

import pytest

from labtui.actions.base import ActionError, Outcome, Plan
from labtui.screens.lab import LabScreen
from labtui.screens.plan import PlanDialog
from sample_lab import RecordedAction, cancel_plan, frozen, sample_app, until

__all__ = ["frozen"]
pytestmark = pytest.mark.usefixtures("frozen")


async def test_other_screens_have_their_rows_back_after_a_look_at_vault() -> None:
    app = sample_app(screen="nodes")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        height = screen.table.size.height
        await pilot.press("5")
        await until(pilot, lambda: screen.table.size.height < height)
        await pilot.press("2")
        await until(pilot, lambda: screen.table.size.height == height)


class SlowPlan(RecordedAction):
    """Its source answers, with a refusal, only after the dialog was left."""

    def __init__(self) -> None:
        super().__init__(cancel_plan(), Outcome("done", ""))
        self.left = asyncio.Event()
        self.over = asyncio.Event()

    async def plan(self) -> Plan:
        try:
            await asyncio.shield(self.left.wait())
        except asyncio.CancelledError:
            await self.left.wait()
        self.over.set()
        raise ActionError("Vault does not answer")


async def test_a_plan_that_fails_after_it_was_left_disturbs_nobody() -> None:
    app = sample_app(screen="vault")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        action = SlowPlan()
        app.push_screen(PlanDialog(action, "L"))
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        dialog = app.screen
        assert isinstance(dialog, PlanDialog)
        await until(pilot, lambda: dialog._work is not None)
        work = dialog._work
        assert work is not None
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        action.left.set()
        await action.over.wait()
        await until(pilot, work.done)
        assert work.cancelled() or work.exception() is None
