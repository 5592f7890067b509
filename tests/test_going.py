"""`:`: to a screen, a row or a command by a name that is typed or completed."""

from __future__ import annotations

import pytest

from labtui.screens.lab import LabScreen
from labtui.screens.page import Page
from sample_lab import frozen, sample_app, until

__all__ = ["frozen"]
pytestmark = pytest.mark.usefixtures("frozen")


async def test_by_name_by_a_part_of_it_and_by_nothing_that_is_there() -> None:
    app = sample_app(screen="nodes")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        await pilot.press("colon", *"agen", "tab", "enter")
        await until(pilot, lambda: screen.current == "agents")
        await pilot.press("colon", *"1422", "enter")
        await until(pilot, lambda: (screen.current, screen.table.cursor_key) == ("jobs", "1422"))
        await pilot.press("colon", *"v", "enter")
        await until(pilot, lambda: screen.current == "vault")
        await pilot.press("colon", *"nodess", "enter")
        await until(pilot, lambda: "did you mean nodes?" in screen.query_one("#foot").plain)  # type: ignore[attr-defined]
        await pilot.press("colon", *"sources", "enter")
        await until(pilot, lambda: isinstance(app.screen, Page))


async def test_an_array_by_its_id_and_a_task_that_waits_with_others() -> None:
    app = sample_app(screen="nodes")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        for typed, key in (("1430", "1430"), ("1430_50", "1430_[8-99%4]"), ("1430_7", "1430_7")):
            await pilot.press("colon", *typed, "enter")
            await until(pilot, lambda key=key: screen.table.cursor_key == key)  # type: ignore[misc]
            said = "waits in this row: actions take all of it" in screen.query_one("#foot").plain  # type: ignore[attr-defined]
            assert said == (typed == "1430_50")
        await pilot.press("colon", *"1430_200", "enter")
        await until(pilot, lambda: "nothing is called" in screen.query_one("#foot").plain)  # type: ignore[attr-defined]
