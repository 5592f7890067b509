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
