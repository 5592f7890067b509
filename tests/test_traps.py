"""The seven traps of the toolkit that were measured: each is built around, and stays so."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from labtui.actions.base import Outcome, Step
from labtui.app import LabApp
from labtui.registry import SUBJECTS
from labtui.screens.job import JobScreen
from labtui.screens.lab import LabScreen
from labtui.screens.page import Page
from labtui.screens.plan import PlanDialog
from labtui.screens.submit import SubmitScreen
from sample_lab import (
    EVIL,
    GPU_READINGS,
    JOBS,
    NOW,
    READINGS,
    RecordedAction,
    RecordedHost,
    cancel_plan,
    frozen,
    gpu_app,
    hostile,
    put,
    sample_app,
    until,
)
from standin import hang, standing_in
from tmux import terminal

__all__ = ["frozen"]

TESTS = Path(__file__).parent
SMALL = (80, 24)


def program(tmp_path: Path, body: str) -> list[str]:
    """A console over the sample, with something of the test's own in it, as a program."""
    path = tmp_path / "program.py"
    path.write_text(
        "import sys; sys.path.insert(0, " + repr(str(TESTS)) + ")\n"
        "from sample_lab import *\n"
        "from labtui.launch import prepare_terminal\n"
        "import labtui.app; from pathlib import Path\n"
        "LabApp.CSS_PATH = Path(labtui.app.__file__).with_name('labtui.tcss')\n"
        "prepare_terminal(False)\n" + body
    )
    return [sys.executable, str(path)]


# 1. Handing the terminal over while everything repaints

HAND_OVER = """
class Probe(LabApp):
    ticks = 0
    def on_mount(self):
        super().on_mount()
        self.set_interval(0.02, self.tick)
    def tick(self):
        self.ticks += 1
        if self._session:
            self.screen.query_one("#top").set_lines([f"tick {self.ticks}"])
            self.screen.refresh()
    async def on_event(self, event):
        if getattr(event, "key", "") == "f5":
            self.run_worker(self.give(), exit_on_error=False)
        else:
            await super().on_event(event)
    async def give(self):
        began = self.ticks
        try:
            said = f"came back with {await self.hand_over(sys.argv[1:])}"
        except OSError as error:
            said = type(error).__name__
        self.screen.say(f"{said}, {self.ticks - began > 40} ticks")
app = Probe(CONFIG, make_session=lambda c, r: sample_session(c))
app.run(mouse=False)
"""


@pytest.mark.terminal
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sh", "-c", "echo IN THE PROGRAM; sleep 1.5"], "came back with 0, True ticks"),
        (["sh", "-c", "exit 7"], "came back with 7"),
        (["/does/not/exist"], "FileNotFoundError"),
    ],
    ids=["long", "fails", "missing"],
)
def test_the_terminal_comes_back(tmp_path: Path, argv: list[str], said: str) -> None:
    """Textual's writer takes 30 frames and then blocks for good; an exception skips its resume."""
    with terminal(*program(tmp_path, HAND_OVER), *argv) as t:
        t.wait("jetson-edge")
        t.keys("F5")
        if "IN THE" in argv[-1]:
            t.wait("IN THE PROGRAM")
        t.wait(said)
        t.wait("jetson-edge")
        t.keys("4")
        t.wait("llama-lora")
        t.keys("q")
        t.wait("ended with 0")


@pytest.mark.terminal
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_terminal_is_handed_over(tmp_path: Path, number: int) -> None:
    with terminal(*program(tmp_path, HAND_OVER), "sh", "-c", "echo EDITING; sleep 300") as t:
        t.wait("jetson-edge")
        t.keys("F5")
        t.wait("EDITING")
        pids = t.pids
        os.kill(console(pids), number)
        t.wait(r"^(-?)icanon")
        gone(pids)


def console(pids: list[int]) -> int:
    """The pid of the Python program among them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if "python" in Path(f"/proc/{pid}/exe").readlink().name:
                return pid
    raise AssertionError(f"no console among {pids}")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], timeout: float = 8.0) -> None:
    """Every one of them ends."""
    end = time.monotonic() + timeout
    # The last of the shell around the console stays to be read.
    left: list[int] = []
    while time.monotonic() < end:
        left = [p for p in pids if alive(p) and "sleep\x00600" not in cmdline(p)]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {[(p, cmdline(p)) for p in left]}")


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


# 2. Text from outside is never markup and never acts on the terminal


def assert_inert(app: LabApp) -> str:
    """What is on the screen, line by line, as it would be sent: no control, nothing hidden."""
    width = app.size.width
    lines = []
    for strip in app.screen._compositor.render_strips():
        words = "".join(segment.text for segment in strip if not segment.control)
        bad = [c for c in words if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]
        assert not bad, f"{bad!r} in {words!r}"
        assert strip.cell_length == width
        lines.append(words)
    return "\n".join(lines)


HOSTILE = {
    "markup": "x[/y] [user=bo,state=R] reason=[/dev/nvidia0 lost] gpu[a,b] node[a]" + EVIL,
    "controls": "\u202e\u2066abc\u2069 \u05d0\u05d1 \u200f\x1b]52;c;aGk=\x07\x1bP1$r\x1b\\"
    + "\x1b[?1049l\x9b2J\x90"
    + "".join(map(chr, [*range(32), *range(127, 160), 0xD800, 0xE000, 0xFEFF])),
    "wide": "日本語" * 40 + "👩\u200d👩\u200d👧" + "e\u0301" * 20,
    "a megabyte": "x" * (1 << 20),
    "empty": "",
}
EVERYWHERE = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


async def settled(pilot: Pilot[Any]) -> None:
    await pilot.pause(0.1)


@EVERYWHERE
@pytest.mark.usefixtures("frozen")
async def test_hostile_text_is_inert_everywhere(text: str) -> None:
    """One console through every screen, page and menu: nothing raises, nothing acts."""
    app = gpu_app(hostile(text, GPU_READINGS), screen="nodes")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        for spec in SUBJECTS:
            main = app.screen
            assert isinstance(main, LabScreen)
            main.show(spec.name)
            await settled(pilot)
            seen = assert_inert(app)
            if text.startswith("x[/y]") and spec.name in ("jobs", "runs"):
                assert "x[/y] [user=b" in seen, "shown as it is"
            for key, back in (("enter", "escape"), ("a", "escape"), ("i", "escape")):
                await pilot.press(key)
                await settled(pilot)
                assert_inert(app)
                await pilot.press(back)
            await pilot.press("y")
            await settled(pilot)
            assert_inert(app)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        screen.say(text, "warn")
        await settled(pilot)
        assert_inert(app)
        await pilot.press("escape", "colon", *"x[/y]", "enter")
        await settled(pilot)
        assert_inert(app)
        await pilot.press("ctrl+p", "a")
        await settled(pilot)
        assert_inert(app)
        await pilot.press("escape")
        await pilot.resize_terminal(120, 40)
        await settled(pilot)
        assert_inert(app)


@EVERYWHERE
@pytest.mark.usefixtures("frozen")
async def test_hostile_text_is_inert_in_dialogs_and_logs(text: str) -> None:
    app = sample_app(hostile(text), screen="jobs")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        app.session.hosts["desktop-gpu"] = RecordedHost("desktop-gpu", [text, *text.split("\n")])
        app.push_screen(JobScreen("1422"))
        await settled(pilot)
        assert_inert(app)
        await pilot.press("escape")

        plan = cancel_plan(
            text, title=text, steps=(Step(text, text),), risks=(text,), undo=text, preview=text,
            dangerous=True, confirm_word=text,
        )  # fmt: skip
        dialog = PlanDialog(RecordedAction(plan, Outcome("failed", text)), "c")
        app.push_screen(dialog)
        await settled(pilot)
        assert_inert(app)
        dialog._go()
        await settled(pilot)
        assert_inert(app)
        await pilot.press("escape")

        name = text.splitlines()[0][:4096] if text else ""
        script = f"#!/bin/bash\n#SBATCH --job-name={name}\n{text}\n"
        app.push_screen(SubmitScreen(script))
        await settled(pilot)
        assert_inert(app)
        await pilot.press("escape", "escape")

        app.push_screen(Page(text, lambda: [text, [(text, "warn")]]))
        await settled(pilot)
        assert_inert(app)


# 3. A refresh keeps the row, and costs what changed


@pytest.mark.usefixtures("frozen")
async def test_a_refresh_keeps_cursor_and_marks_by_identity() -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        assert screen.view.spec.name == "jobs"
        screen.goto("jobs", "1422")
        await pilot.press("space")
        screen.goto("jobs", "1431")
        await settled(pilot)
        newer = [msgspec.structs.replace(JOBS[0], job_id=str(n)) for n in range(9000, 9040)]
        put(app.session, {"slurm.jobs": [*newer, *reversed(JOBS)], "slurm.finished": []})
        await settled(pilot)
        assert screen.table.cursor_key == "1431"
        assert screen.table.marked == {"1422"}
        put(app.session, {"slurm.jobs": [j for j in JOBS if j.job_id != "1431"]})
        await settled(pilot)
        assert screen.table.cursor_key not in (None, "1431")
        assert_inert(app)


@pytest.mark.usefixtures("frozen")
async def test_an_unchanged_reading_repaints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        drawn: list[Any] = []
        widgets = list(app.screen.query("Lines, Rows"))
        for widget in widgets:
            monkeypatch.setattr(widget, "refresh", lambda *a, **k: drawn.append(a))
        put(app.session, READINGS)
        await settled(pilot)
        assert drawn == []
        put(app.session, {"slurm.jobs": [*JOBS[:-1]]})
        await settled(pilot)
        assert drawn


# 4. A source that hangs costs its own feed only


@pytest.mark.terminal
def test_a_hung_source_neither_starves_others_nor_delays_the_exit(tmp_path: Path) -> None:
    with standing_in(hang) as server:
        config = tmp_path / "config.toml"
        config.write_text(
            '[cluster]\nname = "hung"\n[nodes.here]\ntransport = "local"\n'
            f'[prometheus]\nurl = "{server.url}"\ntimeout_s = 60\n'
            f'[mlflow]\nurl = "{server.url}"\ntimeout_s = 60\n'
            f'[vault.nodes]\nhere = "{server.url.replace("http", "https")}"\n'
        )
        with labtui(config, tmp_path) as t:
            t.wait(r"here +- .* now")
            end = time.monotonic() + 10
            while len(server.requests) < 2 and time.monotonic() < end:
                time.sleep(0.05)
            assert len(server.requests) == 2, "one flight each"
            t.wait(r"local \ds")
            began = time.monotonic()
            t.keys("q")
            t.wait("ended with 0", timeout=5)
            assert time.monotonic() - began < 2.0
            gone(t.pids)


@contextlib.contextmanager
def labtui(config: Path, home: Path, *more: str) -> Iterator[Any]:
    with terminal(
        sys.executable, "-m", "labtui", "--config", str(config), *more, HOME=str(home)
    ) as t:
        yield t


# 5. What is old looks old


def top(app: LabApp) -> str:
    return str(app.screen.query_one("#top").plain)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("frozen")
async def test_a_source_that_stops_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its age in the top line, its rows dimmed; the others stay as they are."""
    app = sample_app(screen="jobs")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        assert "stale" not in top(app) and not screen.table.stale
        monkeypatch.setattr(time, "time", lambda: NOW + 80)
        others = {k: v for k, v in READINGS.items() if k not in ("slurm.jobs", "slurm.finished")}
        put(app.session, others, NOW + 79)
        await settled(pilot)
        await until(pilot, lambda: "slurm stale 80s" in top(app))
        assert "vault stale" not in top(app) and "prom stale" not in top(app)
        assert screen.table.stale
        put(app.session, READINGS, NOW + 79)
        await until(pilot, lambda: "stale" not in top(app) and not screen.table.stale)


@pytest.mark.usefixtures("frozen")
async def test_a_source_that_fails_shows_its_age_and_keeps_its_rows() -> None:
    from labtui.store import Fault

    app = sample_app(screen="jobs")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        bad = {k: Fault("refused", "slurmctld does not answer") for k in READINGS if "slurm" in k}
        put(app.session, bad, NOW + 20)
        await until(pilot, lambda: "slurm refused" in top(app))
        screen = app.screen
        assert isinstance(screen, LabScreen)
        assert screen.table.stale and screen.table.count == 12  # an array's two rows are folded


# 6. The key map: tests/test_keys.py

# 7. Every way to end leaves a clean terminal and no process

PLAIN = "app = sample_app()\ncode = app.run(mouse=False)\nsys.exit(app.return_code)\n"
CRASH = """
class Crash(LabApp):
    def action_leave(self):
        share = "-".join(["s3cr3t", "share"])
        raise RuntimeError("it broke")
app = Crash(CONFIG, make_session=lambda c, r: sample_session(c))
app.run(mouse=False)
sys.exit(app.return_code)
"""
ALT_SCREEN_LEFT, CURSOR_SHOWN = b"\x1b[?1049l", b"\x1b[?25h"


class Pty:
    """A program that is session leader on a terminal of its own, read to the last byte."""

    def __init__(self, argv: list[str], home: Path, **more: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")
        self.before = termios.tcgetattr(self.slave)
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TMUX")}
        self.process = subprocess.Popen(
            argv, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            env={**env, "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": str(home), **more},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self.seen = b""

    def read(self, until: Callable[[], bool], timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < end, self.seen[-3000:]
            if select.select([self.master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 65536)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def on_pty(tmp_path: Path) -> Iterator[Callable[[str], Pty]]:
    made: list[Pty] = []

    def start(body: str) -> Pty:
        made.append(Pty(program(tmp_path, body), tmp_path))
        made[-1].read(lambda: b"jetson-edge" in made[-1].seen)
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"]
)
def test_a_signal_leaves_a_clean_terminal(
    on_pty: Callable[[str], Pty], number: int, code: int
) -> None:
    run = on_pty(PLAIN)
    assert termios.tcgetattr(run.slave) != run.before, "raw while it runs"
    os.kill(run.process.pid, number)
    run.read(lambda: run.process.poll() is not None)
    run.read(lambda: not select.select([run.master], [], [], 0)[0])
    assert run.process.returncode == code
    assert ALT_SCREEN_LEFT in run.seen and CURSOR_SHOWN in run.seen
    assert run.seen.rindex(CURSOR_SHOWN) > run.seen.rindex(b"\x1b[?25l")
    assert termios.tcgetattr(run.slave) == run.before


def test_a_closed_terminal_ends_it(on_pty: Callable[[str], Pty]) -> None:
    run = on_pty(PLAIN)
    os.close(run.slave)
    os.close(run.master)
    assert run.process.wait(8) in (129, -signal.SIGHUP)
    assert not subprocess.run(
        ["pgrep", "-s", str(run.process.pid)], capture_output=True, check=False
    ).stdout


def test_a_crash_shows_no_local_variables(on_pty: Callable[[str], Pty]) -> None:
    run = on_pty(CRASH)
    os.write(run.master, b"\x11")  # ctrl+q
    run.read(lambda: run.process.poll() is not None)
    run.read(lambda: not select.select([run.master], [], [], 0)[0])
    assert run.process.returncode not in (0, None)
    assert b"it broke" in run.seen and b"RuntimeError" in run.seen
    shown = run.seen[run.seen.rindex(ALT_SCREEN_LEFT) :]
    assert b"s3cr3t-share" not in shown
    assert termios.tcgetattr(run.slave) == run.before


async def test_what_was_loaded_is_looked_through_for_cycles_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[int] = []
    monkeypatch.setattr("labtui.app.LOADED", 0.01)
    monkeypatch.setattr("gc.freeze", lambda: taken.append(1))
    async with sample_app().run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.pause(0.05)
    assert taken == [1]
