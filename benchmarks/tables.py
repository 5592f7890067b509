"""Our table beside Textual's own, textual-fastdatatable and a textbook ScrollView.

    python benchmarks/tables.py [--rows 100 10000 100000] [--peers rows datatable ...]

One run, one pty of 160x48 an app, read from this process: the app under test is a process of its
own and is timed from outside. Prints a markdown table. What a column means: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from terminal import HEIGHT, WIDTH, Terminal

PEERS = ("empty", "rows", "scrollview", "datatable", "fastdatatable")
FAST = "textual-fastdatatable==0.19.5"
TITLES = ("JOB", "NAME", "USER", "PARTITION", "STATE", "GPUS", "NODES", "TIME", "REASON")
WIDTHS = (9, 28, 10, 10, 12, 5, 14, 11, 40)
STATE, TIME = 4, 7
Row = tuple[str, ...]


def make_rows(count: int) -> list[Row]:
    return [
        (
            str(4_000_000 + i),
            f"train-llama-{i:06d}",
            ("ada", "bo", "cem", "dunya")[i % 4],
            ("gpu", "cpu", "edge")[i % 3],
            ("RUNNING", "PENDING", "COMPLETING", "FAILED")[i % 7 % 4],
            str(i % 5),
            f"desktop-gpu-{i % 90:02d}",
            f"{i % 24}:{i % 60:02d}:00",
            ("None", "Resources", "Priority", "ReqNodeNotAvail, UnavailableNodes:gpu[01-04]")[
                i % 4
            ],
        )
        for i in range(count)
    ]


def changed(rows: list[Row], turn: int) -> tuple[list[Row], list[int]]:
    """1 % of the rows, from the first on, with another state and time."""
    where = list(range(0, len(rows), 100))
    new = list(rows)
    for i in where:
        row = list(rows[i])
        row[STATE], row[TIME] = ("SUSPENDED", "RUNNING")[turn % 2], f"{turn % 24}:59:59"
        new[i] = tuple(row)
    return new, where


# The apps under test: this half runs in the child, `update` gets (rows, indexes that changed).

Update = Callable[[list[Row], list[int]], None]


def table_rows(rows: list[Row]) -> tuple[Any, Update]:
    from labtui.spec import Cell, Column
    from labtui.widgets.rows import Rows

    tones: dict[str, Any] = {"RUNNING": "ok", "PENDING": "dim", "FAILED": "crit"}

    def text(i: int) -> Callable[[Row], Cell | str]:
        return lambda row: Cell(row[i], tones.get(row[i], "")) if i == STATE else row[i]

    table = Rows([Column(TITLES[i], TITLES[i], WIDTHS[i], text(i)) for i in range(len(TITLES))])

    def update(rows: list[Row], where: list[int]) -> None:
        table.set_rows(rows, keys=[row[0] for row in rows])

    update(rows, [])
    return table, update


def table_scrollview(rows: list[Row]) -> tuple[Any, Update]:
    """What the documentation's line API example would become: a style a cell, scroll by line."""
    from rich.segment import Segment
    from textual.binding import Binding
    from textual.geometry import Size
    from textual.scroll_view import ScrollView
    from textual.strip import Strip

    class Table(ScrollView, can_focus=True):
        BINDINGS = [Binding("up", "move(-1)"), Binding("down", "move(1)")]  # noqa: RUF012
        cursor = 0
        rows: list[Row]

        def on_mount(self) -> None:
            self.virtual_size = Size(WIDTH, len(self.rows))

        def render_line(self, y: int) -> Strip:
            index = y + self.scroll_offset.y
            style = self.rich_style
            if index >= len(self.rows):
                return Strip.blank(self.size.width, style)
            if index == self.cursor:
                style += type(style)(reverse=True)
            cells = zip(self.rows[index], WIDTHS, strict=True)
            return Strip(
                [Segment(words.ljust(width)[:width] + " ", style) for words, width in cells]
            ).adjust_cell_length(self.size.width, style)

        def action_move(self, delta: int) -> None:
            old, self.cursor = self.cursor, max(0, min(self.cursor + delta, len(self.rows) - 1))
            self.refresh_line(old)
            self.refresh_line(self.cursor)
            if not 0 <= self.cursor - self.scroll_offset.y < self.size.height:
                self.scroll_to(y=self.scroll_offset.y + delta, animate=False)

    table = Table()
    table.rows = rows

    def update(rows: list[Row], where: list[int]) -> None:
        table.rows = rows
        if table.virtual_size.height != len(rows):
            table.virtual_size = Size(WIDTH, len(rows))
        for index in where:
            table.refresh_line(index)

    return table, update


def table_datatable(rows: list[Row]) -> tuple[Any, Update]:
    from textual.widgets import DataTable

    table: Any = DataTable(cursor_type="row")
    for title, width in zip(TITLES, WIDTHS, strict=True):
        table.add_column(title, width=width, key=title)
    for row in rows:
        table.add_row(*row, key=row[0])

    def update(rows: list[Row], where: list[int]) -> None:
        for index in where:  # its best case: somebody else knows what has changed
            row = rows[index]
            table.update_cell(row[0], TITLES[STATE], row[STATE])
            table.update_cell(row[0], TITLES[TIME], row[TIME])
        for row in rows[table.row_count :]:
            table.add_row(*row, key=row[0])

    return table, update


def table_fastdatatable(rows: list[Row]) -> tuple[Any, Update]:
    import pyarrow as pa  # type: ignore[import-not-found]
    from textual_fastdatatable import (  # type: ignore[import-not-found]
        ArrowBackend,
        DataTable,
    )

    def backend(rows: list[Row]) -> Any:
        columns = zip(*rows, strict=True)
        return ArrowBackend(pa.table({t: list(c) for t, c in zip(TITLES, columns, strict=True)}))

    table = DataTable(
        backend=backend(rows),
        cursor_type="row",
        column_widths=[*WIDTHS],
        render_markup=False,
    )

    def update(rows: list[Row], where: list[int]) -> None:
        table.backend = backend(rows)  # Arrow columns cannot be changed in place
        table._clear_caches()
        table._require_update_dimensions = True
        table.refresh()

    return table, update


def run_app(kind: str, count: int) -> None:
    report_fd = int(os.environ["BENCH_FD"])

    def report(**what: Any) -> None:
        os.write(report_fd, (json.dumps(what) + "\n").encode())

    rows = make_rows(count)
    report(data=True)

    from textual.app import App
    from textual.widgets import Static

    class Table(App[None]):
        CSS = "Screen { layout: vertical; } DataTable { height: 1fr; }"
        ENABLE_COMMAND_PALETTE = False
        turn = 0

        def get_default_screen(self) -> Any:
            if kind != "rows":
                return super().get_default_screen()
            from labtui.widgets.exact import ExactScreen

            return ExactScreen(id="_default")

        def compose(self) -> Iterator[Any]:
            if kind == "empty":
                yield Static(rows[40][1])
                return
            self.rows = rows
            self.table, self.update = globals()[f"table_{kind}"](rows)
            yield self.table

        def on_mount(self) -> None:
            if kind != "empty":
                self.table.focus()

        def on_key(self, event: Any) -> None:
            where: list[int] = []
            if event.key == "r":
                self.turn += 1
                self.rows, where = changed(self.rows, self.turn)
            elif event.key == "u":
                self.rows = [tuple(map(str, row)) for row in self.rows]
            elif event.key == "a":
                self.rows = [*self.rows, ("9000000", "new", *self.rows[0][2:])]
            else:
                return
            start, cpu = time.perf_counter(), time.process_time()
            self.update(self.rows, where)
            called = time.perf_counter() - start

            def painted() -> None:
                report(
                    call_ms=called * 1e3,
                    painted_ms=(time.perf_counter() - start) * 1e3,
                    cpu_ms=(time.process_time() - cpu) * 1e3,
                )

            self.call_after_refresh(painted)

    Table().run(mouse=False)


# The reader


class Bench(Terminal):
    """A pty with one app in it, and a pipe on which the app reports its own timings."""

    def __init__(self, python: str, kind: str, count: int) -> None:
        self.reports, writer = os.pipe()
        argv = [python, __file__, "--app", kind, str(count)]
        super().__init__(argv, {"BENCH_FD": str(writer)}, keep=[writer])
        os.close(writer)

    def report(self, timeout: float = 120) -> dict[str, Any]:
        """The next report; reads what is drawn meanwhile so that the app can go on."""
        line = b""
        end = time.perf_counter() + timeout
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.reports, self.fd], [], [], end - time.perf_counter())
            if not ready:
                raise TimeoutError("the app reported nothing")
            if self.fd in ready:
                self.dropped += len(self.take(0))
            if self.reports in ready:
                line += os.read(self.reports, 1)
        return dict(json.loads(line))

    dropped = 0

    def close(self) -> None:
        super().close()
        os.close(self.reports)


def measure(python: str, kind: str, count: int) -> dict[str, str]:
    terminal = Bench(python, kind, count)
    try:
        terminal.report()
        start = time.perf_counter()
        _, _, last = terminal.read(0.3, 120, needle=make_rows(41)[40][1].encode())
        found = {"first frame s": f"{last - start:.2f}"}
        if kind == "empty":
            return found | {"RSS MiB": f"{terminal.memory()[0]:.0f}"}
        down, up = b"\x1b[B", b"\x1b[A"
        moves = [terminal.key(key) for key in [down] * 40 + [up] * 30]
        delays = sorted(seconds * 1e3 for _, seconds in moves if seconds is not None)
        found["key p50 ms"] = f"{statistics.median(delays):.1f}"
        found["key p95 ms"] = f"{delays[int(len(delays) * 0.95)]:.1f}"
        found["bytes a move"] = f"{statistics.mean(size for size, _ in moves):.0f}"
        for name, key in (("unchanged", b"u"), ("1 % changed", b"r"), ("row added", b"a")):
            terminal.dropped = 0
            os.write(terminal.fd, key)
            told = terminal.report()
            size = terminal.dropped + len(terminal.read(0.3, 2)[0])
            found[f"{name}: B"] = f"{size}"
            found[f"{name}: ms"] = f"{told['painted_ms']:.0f}"
        if count > 300:
            held = [terminal.key(down)[0] for _ in range(37 + 100)][37:]
            found["scrolling"] = f"{statistics.mean(held):.0f}"
        found["RSS MiB"] = f"{terminal.memory()[0]:.0f}"
        return found
    finally:
        terminal.close()


@contextlib.contextmanager
def interpreters(peers: list[str]) -> Iterator[dict[str, str]]:
    """A Python for each peer; textual-fastdatatable gets an environment that is thrown away."""
    pythons = dict.fromkeys(peers, sys.executable)
    with tempfile.TemporaryDirectory(prefix="tables-") as folder:
        if "fastdatatable" in peers:
            from importlib.metadata import version

            python = f"{folder}/bin/python"
            packages = [FAST, f"textual=={version('textual')}"]
            try:
                subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
                install = [python, "-m", "pip", "-q", "install", *packages]
                subprocess.run(install, check=True, timeout=600)
                pythons["fastdatatable"] = python
            except (subprocess.SubprocessError, OSError) as error:
                print(f"!! SKIPPED {FAST}: it could not be installed: {error}", file=sys.stderr)
                del pythons["fastdatatable"]
        yield pythons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--app", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.app:
        run_app(options.app[0], int(options.app[1]))
        return
    results: list[dict[str, str]] = []
    with interpreters(options.peers) as pythons:
        for kind, python in pythons.items():
            for count in options.rows:
                print(f"{kind}, {count} rows ...", file=sys.stderr)
                results.append({"app": kind, "rows": f"{count:,}"} | measure(python, kind, count))
    heads = list(dict.fromkeys(head for result in results for head in result))
    heads.sort(key=lambda head: head == "scrolling")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {load}"
    print(f"{datetime.date.today()}, {machine}, {WIDTH}x{HEIGHT}\n")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for result in results:
        print("| " + " | ".join(result.get(head, "") for head in heads) + " |")


if __name__ == "__main__":
    main()
