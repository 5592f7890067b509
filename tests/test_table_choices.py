"""What a person chooses of a table: columns, order, filters used before, folds, the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from labtui.screens.columns import ColumnChooser
from labtui.screens.lab import LabScreen
from labtui.tablestate import FILTERS, TableState, TableStates
from sample_lab import sample_app, until


def screen_of(app: object) -> LabScreen:
    screen = app.screen  # type: ignore[attr-defined]
    assert isinstance(screen, LabScreen)
    return screen


def header(screen: LabScreen) -> str:
    return screen.table._line(0).text


def test_filters_are_remembered_once_each_the_newest_last() -> None:
    state = TableState()
    for text in ("a", "b", "a", "", *map(str, range(FILTERS))):
        state.used(text)
    assert state.filters == tuple(map(str, range(FILTERS)))
    state.used("3")
    assert state.filters[-1] == "3" and len(state.filters) == FILTERS


def test_a_broken_file_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    states = TableStates("lab")
    states.subject("jobs").columns = ("job", "left")
    states.keep()
    assert TableStates("lab").subject("jobs").columns == ("job", "left")
    states.path.write_text('{"jobs": {"columns": 3}}')
    assert TableStates("lab").subject("jobs") == TableState()


async def test_columns_are_chosen_ordered_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(app).table.count > 0)
        before = header(screen_of(app))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, ColumnChooser))
        # NAME off; JOB two places down; the first that is not shown at 80 cells on.
        await pilot.press("j", "space", "k", "J", "J", *["j"] * 5, "space", "enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        after = header(screen_of(app))
        assert "NAME" in before and "NAME" not in after and "GRES" in after
        assert after.index("USER") < after.index("JOB")
        await pilot.press("s")
    again = sample_app(screen="jobs")
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(again).table.count > 0)
        assert header(screen_of(again)).split() == after.split() or "↑" in header(screen_of(again))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(again.screen, ColumnChooser))
        await pilot.press("0")
        await until(pilot, lambda: isinstance(again.screen, LabScreen))
        assert "NAME" in header(screen_of(again))


async def test_an_array_is_unfolded_under_the_cursor_and_folded_again() -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: screen_of(app).table.count > 0)
        screen = screen_of(app)
        count = screen.table.count
        screen.goto("jobs", "1430")
        await pilot.press("x")
        await until(pilot, lambda: screen.table.count == count + 2)
        assert screen.table.cursor_key == "1430"
        await pilot.press("j", "x")
        await until(pilot, lambda: screen.table.count == count)
        assert screen.table.cursor_key == "1430"


async def test_a_task_of_a_folded_array_is_gone_to_by_name() -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(app).table.count > 0)
        await pilot.press("slash", *"nothing-like-it", "enter")
        await pilot.press("colon", *"1430_7", "enter")
        await until(pilot, lambda: screen_of(app).table.cursor_key == "1430_7")


async def test_an_earlier_filter_comes_back_with_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(app).table.count > 0)
        screen = screen_of(app)
        await pilot.press("slash", *"user:ben", "enter")
        await until(pilot, lambda: screen.view.filter == "user:ben")
        await pilot.press("escape")
        await until(pilot, lambda: screen.view.filter == "")
        await pilot.press("slash", "up", "enter")
        await until(pilot, lambda: screen.view.filter == "user:ben")


async def test_rows_that_take_long_to_arrange_arrive_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every step a pause: as with 100,000 rows on a busy machine."""
    monkeypatch.setattr("labtui.screens.view.PIECE", 0.0)
    app = sample_app(screen="nodes")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: screen_of(app).table.count > 0)
        await pilot.press("4")
        await until(pilot, lambda: screen_of(app).table.count > 5)
        await pilot.press("slash", *"user:ben", "enter", "s", "s", "T")
        screen = screen_of(app)
        await until(pilot, lambda: screen.view.tree and not screen._arranger.busy)
        assert {item.user for item in screen.table._items} == {"ben"}
        await pilot.press("2")
        await until(pilot, lambda: screen.current == "nodes" and screen.table.count > 0)
