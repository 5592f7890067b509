"""A log in windows: pure, with arbitrary bytes and borders, and on a file of this machine."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from labtui.hosts.base import HostError
from labtui.hosts.local import LocalHost
from labtui.model import Job
from labtui.screens.logpane import offset_of
from labtui.slurm import logreader, logtext
from labtui.slurm.log import FileState, LogFile, TextFile, default_path
from labtui.slurm.logreader import LogReader
from labtui.slurm.logtext import LogText, pattern, size_words
from labtui.widgets.log import LogView, cells, pieces

FEW = settings(max_examples=60, deadline=None)
BYTES = st.lists(
    st.sampled_from(
        [b"\n", b"a", b"\r", "é".encode(), "日本".encode(), b"\xff", b"\x1b[31m", b"\0"]
    )
).map(b"".join)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(n % (len(data) + 1) for n in at)})
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@FEW
@given(BYTES, st.lists(st.integers(0, 500)))
def test_windows_make_the_same_lines_as_the_whole(data: bytes, at: list[int]) -> None:
    """Wherever the borders are, also within a character."""
    text = LogText(100)
    newlines = sum(text.append(piece) for piece in cut(data, at))
    assert newlines == data.count(b"\n") and text.end == 100 + len(data)
    assert [line.head for line in text.lines] == data.split(b"\n")
    starts = [line.start - 100 for line in text.lines]
    assert all(data[s - 1 : s] == b"\n" for s in starts[1:])
    for line in text.lines:
        assert line.text == line.text.encode(errors="replace").decode()
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in line.text)


@FEW
@given(BYTES, st.lists(st.integers(0, 500)))
def test_it_can_be_read_backwards(data: bytes, at: list[int]) -> None:
    whole = data + b"\n"
    borders = [n + 1 for n, byte in enumerate(whole) if byte == 10]
    chosen = sorted({0, len(whole), *(borders[n % len(borders)] for n in at)})
    text = LogText(len(whole))
    for a, b in reversed(list(itertools.pairwise(chosen))):
        text.prepend(whole[a:b])
    assert text.start == 0 and text.end == len(whole)
    assert [line.head for line in text.lines] == whole.split(b"\n")


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtext, "MAX_LINES", 10)
    text = LogText()
    for n in range(100):
        text.append(b"line %d\n" % n)
    assert len(text.lines) <= 10 and text.lines[-2].text == "line 99"
    start = text.start
    text.prepend(b"".join(b"x\n" for _ in range(8)))
    assert text.start == start - 16 and len(text.lines) <= 11
    end = text.end
    text.append(b"new\nnext")  # what fell off at the end does not run into what comes
    assert [line.text for line in text.lines[-2:]] == ["new", "next"]
    assert text.lines[-2].start == end


def test_a_long_line_keeps_its_ends_only() -> None:
    text = LogText()
    for _ in range(64):
        text.append(b"a" * 16384)
    text.append(b"z\nshort\n")
    long, short = text.lines[:2]
    assert (long.size, long.is_cut, short.text) == ((1 << 20) + 1, True, "short")
    assert len(long.head) == logtext.HEAD and long.tail.endswith(b"az")
    assert long.text == "a" * logtext.HEAD


def test_a_progress_bar_shows_its_last_state() -> None:
    text = LogText()
    text.append(b"10%\r50%\r")
    assert text.lines[-1].text == "50%"
    text.append(b"".join(b"%6d/100000\r" % n for n in range(5000)))
    assert text.lines[-1].text == "  4999/100000" and text.lines[-1].is_redrawn
    text.append(b"done\r\nnext")
    assert [line.text for line in text.lines] == ["done", "next"]


def test_a_pattern_is_plain_or_a_regex_and_small_letters_find_capitals() -> None:
    assert list(pattern("error").spans("an ERROR, an error")) == [(3, 8), (13, 18)]
    assert list(pattern("Error").spans("an ERROR, an error")) == []
    assert list(pattern("a.b*").spans("a.b* axb")) == [(0, 4)]
    assert list(pattern("/lo+s/").spans("loss 1 loos")) == [(0, 3), (7, 11)]
    assert list(pattern("/x*/").spans("ab")) == []
    assert pattern("-v").grep == ["-F", "-i", "-e", "-v"]
    with pytest.raises(ValueError, match="not a regular expression"):
        pattern("/(/")


@FEW
@given(st.text(max_size=40))
def test_no_pattern_breaks_it(typed: str) -> None:
    try:
        found = pattern(typed)
    except ValueError as error:
        assert "not a regular expression" in str(error)
    else:
        list(found.spans("some text"))


@FEW
@given(st.text(max_size=60), st.integers(0, 40), st.integers(1, 30))
def test_cells_and_pieces_cover_a_text(text: str, start: int, width: int) -> None:
    first, last = cells(text, start, width)
    assert 0 <= first <= last <= len(text)
    found = pieces(text, max(2, width))
    assert "".join(text[a:b] for a, b in found) == text


def test_places_are_named_in_several_ways() -> None:
    size = 2_000_000
    asked = {"50%": 1_000_000, "12kB": 12_000, "1.5M": 1_500_000, "7": 7, "top": 0, "9GB": size}
    assert {k: offset_of(k, size) for k in asked} == asked
    for bad in ("", "x", "%", "-3", "1e5", "nan", "12 MB", "1.2.3"):
        assert offset_of(bad, size) is None
    assert [size_words(n) for n in (999, 12_300, 1_048_576, 2**30)] == [
        "999 B", "12 kB", "1.0 MB", "1.1 GB"
    ]  # fmt: skip


def test_the_default_path_of_a_task() -> None:
    job = Job(job_id="7_3", name="x", state="COMPLETED", work_dir="/home/ana")
    assert default_path(job) == "/home/ana/slurm-7_3.out"


# A real file


def reading(path: Path, body: Callable[[LogReader], Awaitable[None]]) -> None:
    async def run() -> None:
        reader = LogReader(LogFile(LocalHost("here"), str(path)))
        await reader.open()
        await body(reader)

    asyncio.run(run())


def shown(reader: LogReader) -> list[str]:
    return [line.text for line in reader.text.lines if line.size]


def test_it_follows_pauses_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "-a log"
    log.write_bytes(b"one\ntw")

    async def body(reader: LogReader) -> None:
        assert shown(reader) == ["one", "tw"]
        assert not await reader.poll()
        with log.open("ab") as out:
            out.write(b"o\nthree\n")
        assert await reader.poll()
        assert shown(reader) == ["one", "two", "three"]
        reader.stand_still()
        with log.open("ab") as out:
            out.write(b"four\nfive\n")
        assert await reader.poll()
        assert (reader.came_lines, reader.came_bytes, shown(reader)[-1]) == (2, 10, "three")
        await reader.follow()
        assert shown(reader)[-1] == "five" and reader.came_bytes == 0

    reading(log, body)


def test_what_comes_too_fast_is_skipped_and_said(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n")

    async def body(reader: LogReader) -> None:
        with log.open("ab") as out:
            out.write(b"".join(b"%015d\n" % n for n in range(500_000)))
        assert await reader.poll()
        assert shown(reader)[-1] == f"{499_999:015d}"
        assert reader.skipped == 8_000_000 + 6 - (reader.text.end - reader.text.start) - 6
        assert reader.rate > 0
        reader.stand_still()
        start = reader.text.start
        assert await reader.before() > 10_000 and reader.text.start < start
        with log.open("ab") as out:
            out.write(b"x\n" * logreader.SKIP)
        await reader.poll()
        assert reader.came_more
        await reader.follow()
        assert shown(reader)[-1] == "x"

    reading(log, body)


@pytest.mark.parametrize("following", [True, False])
def test_another_file_of_its_name_is_said(tmp_path: Path, following: bool) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old\n" * 100)

    async def body(reader: LogReader) -> None:
        if not following:
            reader.stand_still()
        log.write_bytes(b"cut\n")
        assert await reader.poll()
        assert reader.note.startswith("cut from 400 B to 4 B")
        assert shown(reader)[-1] == ("cut" if following else "old")
        other = tmp_path / "other"
        other.write_bytes(b"new file, longer\n")
        other.replace(log)
        assert await reader.poll() and reader.note.startswith("replaced by a new file at ")
        await reader.follow()
        assert shown(reader) == ["new file, longer"]
        log.write_bytes(b"rewritten, and longer still\n")  # the same file, in one go
        assert await reader.poll() and reader.note.startswith("written anew")
        assert shown(reader) == ["rewritten, and longer still"]

    reading(log, body)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    async def run(path: str) -> HostError:
        with pytest.raises(HostError) as caught:
            await LogReader(LogFile(LocalHost("here"), path)).open()
        return caught.value

    missing = asyncio.run(run(str(tmp_path / "none")))
    assert missing.kind == "not-found" and "No such file" in missing.message
    assert "directory, not a file" in asyncio.run(run(str(tmp_path))).message
    assert "character special file" in asyncio.run(run("/dev/null")).message


@FEW
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6), st.integers(4, 40))
def test_wherever_it_goes_the_lines_are_the_file_s(
    data: bytes, offsets: list[int], window: int
) -> None:
    async def run() -> None:
        reader = LogReader(TextFile("", "x"))
        reader.file._data = data  # type: ignore[union-attr]
        await reader.open()
        for offset in offsets:
            start = await reader.goto(offset)
            assert start == 0 or data[start - 1 : start] == b"\n"
            assert start <= min(offset, len(data))
            await reader.before()
            await reader.after()
            for line in reader.text.lines:
                assert data[line.start : line.end] == line.head
                assert line.start == 0 or data[line.start - 1 : line.start] == b"\n"

    before = logreader.WINDOW
    logreader.WINDOW = window
    try:
        asyncio.run(run())
    finally:
        logreader.WINDOW = before


def test_search_finds_all_of_the_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(b"step %d%s\n" % (n, b" ERROR" * (n % 997 == 5)) for n in range(50_000))
    )

    async def body(reader: LogReader) -> None:
        found = await reader.search(pattern("error"))
        assert found.lines == 51 and found.found is not None and len(found.found) == 51
        last = await reader.next(reader.size, -1)
        assert last is not None and (last.number, last.line) == (51, 997 * 50 + 6)
        above = await reader.next(last.offset, -1)
        assert above is not None and above.number == 50
        start = await reader.goto(above.offset)
        line = reader.text.lines[reader.text.index(start)]
        assert line.text == f"step {997 * 49 + 5} ERROR"
        assert await reader.next(last.offset, 1) is None
        with log.open("ab") as out:
            out.write(b"a new ERROR\n")
        await reader.poll()
        later = await reader.next(last.offset, 1)
        assert later is not None and later.number == 52
        # More lines than are listed: window by window.
        many = await reader.search(pattern("/step [0-9]+/"))
        assert (many.lines, many.found) == (50_000, None)
        first = await reader.next(-1, 1)
        assert first is not None and first.offset == 0
        end = await reader.next(reader.size, -1)
        assert end is not None and end.offset > log.stat().st_size - 40
        assert (await reader.search(pattern("nowhere"))).lines == 0

    reading(log, body)


def test_a_regex_that_never_ends_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a" * 5000 + b"b\n")

    async def body(reader: LogReader) -> None:
        with pytest.raises(HostError, match="limit"):
            await reader.search(pattern("/(a+)+$/"))
        assert reader.matches is None

    reading(log, body)


def test_a_gigabyte_and_megabyte_lines_cost_no_more(tmp_path: Path) -> None:
    """Sparse in the middle: its size is real, its cost is not."""
    log = tmp_path / "big"
    with log.open("wb") as out:
        out.write(b"first line\n" + b"m" * (1 << 20) + b"\nthird\n")
        out.seek(1 << 30)
        out.write(b"\n")
        for n in range(4):
            out.write(bytes([97 + n]) * (1 << 20) + b"\n")
        out.write(b"last line\n")
    random.seed(1)

    async def body(reader: LogReader) -> None:
        assert shown(reader)[-1] == "last line"
        slowest = 0.0
        for offset in [0, *(random.randrange(1 << 30) for _ in range(8)), reader.size]:
            began = time.monotonic()
            await reader.goto(offset)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 3.0
        await reader.goto(0)
        long = reader.text.lines[1]
        assert (await reader.side(long.start, 1 << 19, 100)) == b"m" * 100
        while len(reader.text.lines) < 3:
            assert await reader.after()
        assert (reader.text.lines[1].size, reader.text.lines[2].text) == (1 << 20, "third")
        assert sum(len(line.head) for line in reader.text.lines) < 1 << 20

    reading(log, body)
    assert os.stat(log).st_blocks * 512 < 1 << 24  # noqa: PTH116


# The view


@pytest.mark.parametrize("at", [0, 3, 60, 95, 99])
async def test_a_place_that_is_gone_to_is_on_the_screen(at: int) -> None:
    """Also near the end, where it cannot be near the top."""

    class Viewer(App[None]):
        def compose(self) -> ComposeResult:
            yield LogView()

    app = Viewer()
    async with app.run_test(size=(40, 20)) as pilot:
        view = app.query_one(LogView)
        view.styles.height = 20
        await pilot.pause()
        view.text.append(b"".join(b"line %02d\n" % n for n in range(100)))
        view.changed()
        assert view.plain.splitlines()[-1] == "line 99"
        view.show(view.text.lines[at].start)
        assert f"line {at:02d}" in view.plain
        assert len(view.plain.splitlines()) == 20
        before = view.plain
        view.page(-1)
        view.page(1)
        assert at in (0, 3) or view.plain == before
        view.wrap = True
        view.text.append(b"x" * 100 + "é".encode() * 50)
        view.changed()
        view.to_end()
        assert view.plain.splitlines()[-4:] == ["x" * 40, "x" * 40, "x" * 20 + "é" * 20, "é" * 30]


def test_a_slow_link_is_asked_for_less() -> None:
    """256 kB in one go would never arrive in time."""

    class Slow(LogFile):
        async def window(self, start: int, size: int) -> bytes:
            if size > 10_000:
                raise HostError("timeout", "no answer within 6.0 s", "here")
            return (b"line\n" * 100_000)[start : start + size]

        async def state(self) -> FileState:
            return FileState(500_000, "1:1")

    async def run() -> None:
        reader = LogReader(Slow(LocalHost("here"), "x"))
        for _ in range(2):
            with pytest.raises(HostError):
                await reader.open()
        await reader.open()
        assert shown(reader)[-1] == "line" and reader.text.end == 500_000
        assert not await reader.poll()

    asyncio.run(run())
