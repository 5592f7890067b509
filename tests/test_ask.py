"""Keys that come at once, as from a slow link or who types ahead: the asking line, the table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from labtui.screens.ask import Ask
from labtui.screens.lab import LabScreen
from labtui.screens.menu import Menu
from labtui.screens.page import Page
from sample_lab import sample_app, until


@asynccontextmanager
async def jobs() -> AsyncIterator[tuple[LabScreen, Pilot[Any]]]:
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        assert isinstance(app.screen, LabScreen)
        yield app.screen, pilot


def burst(pilot: Pilot[Any], *keys: str) -> None:
    """All of them before any is looked at."""
    for key in keys:
        pilot.app.post_message(Key(key, key if len(key) == 1 else None))


def state(screen: LabScreen) -> tuple[str, bool, int]:
    return screen.view.filter, screen.query_one(Ask).display, screen.table.place.cursor


@pytest.mark.parametrize(
    ("keys", "filter", "row"),
    [
        (("slash", *"cpu", "enter", "j"), "cpu", 1),
        (("slash", *"cpuu", "backspace", "enter", "j", "j", "k"), "cpu", 1),
        (("slash", *"pu", "home", "right", "c", "enter"), "cpu", 0),
        (("slash", *"xx", "ctrl+u", "j"), "", 1),
        (("slash", *"xx", "escape", "j"), "", 1),
        (("slash", *"cpu", "enter", "slash", *"xx", "escape", "j"), "cpu", 1),
        (("slash", *"cpu", "enter", "escape", "j"), "", 1),
    ],
)
async def test_keys_in_a_burst_mean_what_they_mean_one_by_one(
    keys: tuple[str, ...], filter: str, row: int
) -> None:
    async with jobs() as (screen, pilot):
        burst(pilot, *keys)
        await until(pilot, lambda: state(screen) == (filter, False, row))
        await pilot.pause(0.3)
        assert state(screen) == (filter, False, row)
    async with jobs() as (screen, pilot):
        await pilot.press(*keys)
        assert state(screen) == (filter, False, row)


async def test_a_name_is_gone_to_before_the_next_key() -> None:
    async with jobs() as (screen, pilot):
        burst(pilot, "colon", *"nodes", "enter", "j", "question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, Page))
        await until(pilot, lambda: (screen.current, screen.table.place.cursor) == ("nodes", 1))


async def test_an_action_is_for_the_row_that_the_keys_before_it_led_to() -> None:
    async with jobs() as (screen, pilot):
        first, second, third = screen.table._keys[:3]
        burst(pilot, "j", "j", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Menu))
        assert isinstance(pilot.app.screen, Menu) and third in pilot.app.screen._title
        await pilot.press("escape")
        burst(pilot, "home", "space", "j", "space")
        await until(pilot, lambda: screen.table.marked == {first, third})
        assert second not in screen.table.marked


async def test_a_return_from_before_the_terminal_was_ours_is_one() -> None:
    """A terminal that is not raw yet makes a line feed of it."""
    async with jobs() as (screen, pilot):
        burst(pilot, "slash", *"cpu", "ctrl+j", "j")
        await until(pilot, lambda: state(screen) == ("cpu", False, 1))
