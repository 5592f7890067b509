"""The virtual table: identity through every refresh, inert drawing, and what it costs in bytes.

Run as a program it is the app that the byte tests drive on a real pty.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.events import Key, MouseScrollDown
from textual.pilot import Pilot

from labtui.spec import Cell, Column
from labtui.widgets.exact import ExactScreen
from labtui.widgets.rows import Rows
from labtui.widgets.rows_line import difference, lay_out

Item = tuple[str, str, str, str]

COLUMNS = (
    Column("id", "JOB", 8, lambda item: item[0], align="right"),
    Column("name", "NAME", 20, lambda item: item[1], wide=30),
    Column("state", "STATE", 10, lambda item: Cell(item[2], "ok")),
    Column("user", "USER", 8, lambda item: "ada", min_total=100),
    Column("part", "PARTITION", 10, lambda item: "gpu", min_total=120),
    Column("reason", "REASON", 12, lambda item: item[3], grow=True),
)


def make(*numbers: int, state: str = "RUNNING") -> list[Item]:
    return [(str(n), f"train-{n}", state, "Resources") for n in numbers]


def give(rows: Rows, items: list[Item]) -> None:
    rows.set_rows(items, keys=[item[0] for item in items])


class Table(App[None]):
    """`c` changes the last cell of one visible row; `u` sets equal rows; `n` adds one far below."""

    def __init__(self, count: int = 1000, ascii_mode: bool = False) -> None:
        super().__init__()
        self.items = make(*range(count))
        self.ascii_mode = ascii_mode
        self.seen: list[tuple[str, Any]] = []
        self.drawn: list[str] = []

    def get_default_screen(self) -> ExactScreen[None]:
        return ExactScreen(id="_default")

    def compose(self) -> ComposeResult:
        columns = (*COLUMNS[:1], Column("n", "NAME", 20, self.name_of, wide=30), *COLUMNS[2:])
        yield Rows(columns, message="waiting for slurm")

    def name_of(self, item: Item) -> str:
        self.drawn.append(item[0])
        return item[1]

    def on_mount(self) -> None:
        if self.items:
            give(self.query_one(Rows), self.items)

    def on_rows_moved(self, event: Rows.Moved) -> None:
        self.seen.append(("moved", event.key))

    def on_rows_opened(self, event: Rows.Opened) -> None:
        self.seen.append(("opened", event.item))

    def on_key(self, event: Key) -> None:
        if event.key == "c":
            self.items = [*self.items[:5], (*self.items[5][:3], "Priority"), *self.items[6:]]
        elif event.key == "u":
            self.items = [(i[0], str(i[1]), i[2], i[3]) for i in self.items]
        elif event.key == "n":
            self.items = [*self.items, *make(len(self.items))]
        if event.key in "cun":
            give(self.query_one(Rows), self.items)


def lines(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.query_one(Rows)
    return [rows.render_line(y).text for y in range(rows.size.height)]


def line_of(pilot: Pilot[None], key: str) -> int | None:
    found = [y for y, line in enumerate(lines(pilot)) if line[2:].split()[:1] == [key]]
    return found[0] if found else None


# Identity


async def test_cursor_marks_and_scroll_follow_their_rows() -> None:
    app = Table(200)
    async with app.run_test(size=(100, 20)) as pilot:
        rows = app.query_one(Rows)
        rows.move_to("100")
        await pilot.press("space", "up")
        assert (rows.cursor_key, rows.marked) == ("100", {"100"})
        at = line_of(pilot, "100")
        # rows come and go above and below, and the row itself changes
        fresh = (
            make(*range(-30, 0), *range(3, 100))
            + make(100, state="FAILED")
            + make(*range(101, 150))
        )
        give(rows, fresh)
        await pilot.pause()
        assert rows.cursor_key == "100"
        assert rows.cursor_item[2] == "FAILED"
        assert line_of(pilot, "100") == at
        give(rows, sorted(make(*range(200)), key=lambda item: -int(item[0])))
        await pilot.pause()
        assert rows.cursor_key == "100"
        assert rows.cursor == 99
        assert line_of(pilot, "100") == at
        y = line_of(pilot, "100")
        assert y is not None
        assert lines(pilot)[y].startswith("▌•")


async def test_the_view_stands_still_when_rows_arrive_above_it() -> None:
    app = Table(200)
    async with app.run_test(size=(100, 20)) as pilot:
        rows = app.query_one(Rows)
        rows.move_to(100)
        before = lines(pilot)
        give(rows, make(*range(-7, 200)))
        assert lines(pilot) == before


async def test_a_view_at_the_top_shows_what_arrives_there() -> None:
    async with Table(50).run_test(size=(100, 20)) as pilot:
        rows = pilot.app.query_one(Rows)
        give(rows, make(999, *range(50)))
        assert line_of(pilot, "999") == 1
        assert rows.cursor_key == "0"


async def test_a_cursor_whose_row_is_gone_stays_in_place() -> None:
    async with Table(10).run_test(size=(100, 20)) as pilot:
        rows = pilot.app.query_one(Rows)
        rows.move_to(4)
        give(rows, make(0, 1, 2, 3, 5, 6))
        assert rows.cursor_key == "5"
        rows.move_to(5)
        give(rows, make(0, 1))
        assert rows.cursor_key == "1"


async def test_a_filter_that_matches_nothing_loses_nothing() -> None:
    async with Table(50).run_test(size=(100, 20)) as pilot:
        rows = pilot.app.query_one(Rows)
        rows.move_to("7")
        rows.toggle_mark()
        rows.message = "no jobs match /x/"
        give(rows, [])
        await pilot.pause()
        assert rows.cursor_key is None
        assert rows.chosen() == []
        assert "no jobs match /x/" in lines(pilot)[1]
        give(rows, make(*range(50)))
        assert rows.cursor_key == "7"
        assert rows.marked == {"7"}


async def test_an_action_is_for_marked_rows_that_are_seen_or_for_the_cursors() -> None:
    async with Table(10).run_test(size=(100, 20)) as pilot:
        rows = pilot.app.query_one(Rows)
        assert [item[0] for item in rows.chosen()] == ["0"]
        await pilot.press("space", "j", "space")
        assert [item[0] for item in rows.chosen()] == ["0", "2"]
        give(rows, make(2, 3, 4))  # filtered: 0 is marked still, but nothing is done to it unseen
        assert [item[0] for item in rows.chosen()] == ["2"]
        rows.clear_marks()
        assert [item[0] for item in rows.chosen()] == ["3"]


# Keys, mouse, messages


async def test_keys_move_and_open() -> None:
    app = Table(100)
    async with app.run_test(size=(100, 21)) as pilot:
        rows = app.query_one(Rows)
        places = []
        for key in ("j", "down", "k", "G", "up", "g", "pagedown", "pagedown", "pageup", "end"):
            await pilot.press(key)
            places.append(rows.cursor)
        assert places == [1, 2, 1, 99, 98, 0, 19, 38, 19, 99]
        await pilot.press("home", "enter")
        await pilot.pause()
        assert app.seen[-2:] == [("moved", "0"), ("opened", app.items[0])]


async def test_moves_in_one_go_are_told_once() -> None:
    app = Table(100)
    async with app.run_test(size=(100, 21)) as pilot:
        await pilot.pause()
        app.seen.clear()
        rows = app.query_one(Rows)
        for _ in range(30):
            rows.move(1)
        await pilot.pause()
        await pilot.pause()
        assert app.seen == [("moved", "30")]


async def test_mouse() -> None:
    app = Table(100)
    async with app.run_test(size=(100, 21)) as pilot:
        rows = app.query_one(Rows)
        await pilot.click(Rows, offset=(5, 4))
        assert rows.cursor_key == "3"
        await pilot.click(Rows, offset=(5, 0))
        assert rows.cursor_key == "3"
        await pilot._post_mouse_events([MouseScrollDown], Rows)
        assert line_of(pilot, "3") == 1


# Drawing


@pytest.mark.parametrize("width", [40, 80, 120, 200])
async def test_lines_fill_the_width_and_columns_follow_it(width: int) -> None:
    async with Table(50).run_test(size=(width, 12)) as pilot:
        drawn = lines(pilot)
        assert {cell_len(line) for line in drawn} == {width}
        assert ("USER" in drawn[0]) == (width >= 100)
        assert ("PARTITION" in drawn[0]) == (width >= 120)
        name, state = drawn[0].index("NAME"), drawn[0].index("STATE")
        assert state - name == (31 if width >= 120 else 21)
        await pilot.resize_terminal(91, 12)
        await pilot.pause()
        assert {cell_len(line) for line in lines(pilot)} == {91}


def test_the_growing_column_takes_what_is_left() -> None:
    assert [width for _, width in lay_out(COLUMNS, 80)] == [8, 20, 10, 80 - 2 - 38 - 3]
    assert sum(width + 1 for _, width in lay_out(COLUMNS, 200)) == 200 - 2 + 1


async def test_only_lines_that_are_seen_are_drawn_and_only_once() -> None:
    app = Table(100_000)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert set(app.drawn) == {str(n) for n in range(29)}
        app.drawn.clear()
        give(app.query_one(Rows), make(*range(100_000)))
        await pilot.pause()
        assert app.drawn == []


HOSTILE = [
    "\x1b[2J\x1b[Hgone",
    "\x1b]0;title\x07x",
    "[red]bold[/red] [/x] [@click=app.quit]",
    "two\nlines\r\t",
    "\u202eevil\u202c",
    "日本語の名前がとても長いので切られる",
    "e\u0301\u0301\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ud800",
    "x" * 100_000,
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_text_is_inert(hostile: str) -> None:
    async with Table(0).run_test(size=(100, 8)) as pilot:
        rows = pilot.app.query_one(Rows)
        give(rows, [("1", hostile, hostile, hostile), *make(2)])
        await pilot.press("j", "k", "space")
        for line in lines(pilot):
            assert cell_len(line) == 100
            assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in line)
            assert "\u202e" not in line
        if hostile.startswith("[red]"):
            assert "[red]bold[/red]" in lines(pilot)[1]


async def test_ascii_mode_draws_ascii() -> None:
    async with Table(0, ascii_mode=True).run_test(size=(100, 8)) as pilot:
        rows = pilot.app.query_one(Rows)
        rows.sorted_by = ("id", True)
        give(rows, [("1", "日本語", "é…▌", "x" * 400), *make(2)])
        rows.toggle_mark()
        assert all(line.isascii() and len(line) == 100 for line in lines(pilot))
        assert lines(pilot)[1].startswith(">*")
        assert "JOBv" in lines(pilot)[0]


async def test_cursor_is_seen_without_colour_and_stale_is_style_only() -> None:
    async with Table(5).run_test(size=(100, 8)) as pilot:
        rows = pilot.app.query_one(Rows)
        before = lines(pilot)
        assert [any(s.style and s.style.reverse for s in rows.render_line(y)) for y in (1, 2)] == [
            True,
            False,
        ]
        rows.stale = True
        assert lines(pilot) == before
        assert all(s.style and s.style.dim for y in (1, 2) for s in rows.render_line(y))


async def test_message_before_data() -> None:
    async with Table(0).run_test(size=(100, 8)) as pilot:
        assert "waiting for slurm" in lines(pilot)[1]
        give(pilot.app.query_one(Rows), make(1))
        assert not any("waiting" in line for line in lines(pilot))


def test_difference_is_in_cells() -> None:
    from rich.segment import Segment
    from textual.strip import Strip

    def strip(words: str) -> Strip:
        return Strip([Segment(words)])

    assert difference(strip("abcdef"), strip("abcdef")) is None
    assert difference(strip("abcdef"), strip("abXdYf")) == (2, 5)
    assert difference(strip("日本 x"), strip("日本 y")) == (0, 6)  # wide cells: the whole line
    assert difference(None, strip("abc")) == (0, 3)


# Bytes, on a real pty


class Terminal:
    def __init__(self) -> None:
        self.fd, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
        env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.app = subprocess.Popen(
            [sys.executable, __file__], stdin=end, stdout=end, stderr=end, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(end)

    def read(self, first: float, quiet: float = 0.4) -> bytes:
        data = b""
        while select.select([self.fd], [], [], quiet if data else first)[0]:
            chunk = os.read(self.fd, 1 << 16)
            if b"\x1b[?2026$p" in chunk:
                os.write(self.fd, b"\x1b[?2026;2$y")
            data += chunk
        return data

    def press(self, key: bytes, first: float = 5, quiet: float = 0.4) -> bytes:
        os.write(self.fd, key)
        return self.read(first, quiet)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    seen = b""
    while b"train-45" not in seen:
        news = terminal.read(60)
        assert news, f"nothing more came after {seen!r}"
        seen += news
    yield terminal
    terminal.app.kill()
    terminal.app.wait()
    os.close(terminal.fd)


def test_bytes(terminal: Terminal) -> None:
    for key in (b"\x1b[B", b"j", b"k"):
        assert 0 < len(terminal.press(key)) <= 350
    assert terminal.press(b"u", first=1) == b""  # equal rows
    assert terminal.press(b"n", first=1) == b""  # a row far below the screen
    changed = terminal.press(b"c")
    assert b"Priority" in changed
    assert len(changed) < 200
    assert terminal.press(b"u", first=1) == b""
    down = [len(terminal.press(b"j", quiet=0.1)) for _ in range(60)]
    assert sum(down) / len(down) < 1000  # scrolling included: it jumps by half a page


if __name__ == "__main__":
    Table().run(mouse=False)
