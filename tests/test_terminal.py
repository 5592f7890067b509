"""The real program in a real terminal on the real machines: from first frame to finished job."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

from labtui.config import LAB_CONFIG
from labtui.lab import fault, machines
from labtui.lab.layout import Lab
from test_traps import EVIL, Pty, console, gone
from tmux import Terminal, terminal

pytestmark = [pytest.mark.terminal, pytest.mark.lab]
LABTUI = (sys.executable, "-m", "labtui")
CONTROLLER = "desktop-gpu"
Open = Callable[..., contextlib.AbstractContextManager[Terminal]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """No draft, history or config of the person who runs the tests."""
    return tmp_path


@pytest.fixture
def open_console(
    lab: Lab, home: Path
) -> Callable[..., contextlib.AbstractContextManager[Terminal]]:
    """The console on the lab, once every source has answered."""

    @contextlib.contextmanager
    def start(*more: str, size: tuple[int, int] = (80, 24), **env: str) -> Iterator[Terminal]:
        argv = (*LABTUI, "--config", str(lab.config), *more)
        own = {"XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home / "config")}
        with terminal(*argv, size=size, **own, **env) as t:
            t.wait("4 of 4 answer")
            yield t

    return start


def slurm(lab: Lab, *argv: str, user: str = "labop", stdin: str | None = None) -> str:
    """A Slurm command on the controller's machine, as a user: the other eye on what is so."""
    argv = ("runuser", "-u", user, "--", *argv)
    return machines.run(lab, CONTROLLER, argv, stdin=stdin).stdout.strip()


def sbatch(lab: Lab, *options: str, body: str = "sleep 300", user: str = "labop") -> str:
    argv = ("sbatch", "--parsable", "--chdir=/mnt/nfs/labop", "-t", "10", *options)
    return slurm(lab, *argv, user=user, stdin=f"#!/bin/sh\n{body}\n")


@pytest.fixture
def job(lab: Lab) -> Iterator[Callable[..., str]]:
    """Submits jobs for a test; they are gone afterwards."""
    made: list[str] = []

    def submit(*options: str, **more: str) -> str:
        made.append(sbatch(lab, *options, **more))
        return made[-1]

    yield submit
    if made:
        slurm(lab, "scancel", *made)


def state(lab: Lab, job_id: str) -> str:
    return slurm(lab, "squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T %r")


def leave(t: Terminal) -> None:
    t.wait("q quit")  # a dialog that is still there would have the key
    t.keys("q")
    t.wait("ended with 0", timeout=6)


def test_the_main_job_by_keyboard(lab: Lab, open_console: Open) -> None:
    """At 80x24: queue, form, script, submit, followed to COMPLETED, its output read."""
    word = f"mark{os.getpid()}"
    with open_console() as t:
        t.keys("4")
        t.wait("WHY / WHERE")
        t.keys("n")
        t.wait("New job")
        t.wait(r"partition +gpu cpu edge|default cpu")
        t.type("hello")
        t.keys("Tab")
        t.type("cpu")
        t.keys("Tab", "Tab")
        t.type("1")
        t.keys("Tab")
        t.type("200M")
        t.keys("Tab")
        t.type("5")
        t.keys("Tab")
        t.type(f"echo {word}-on-$(hostname); sleep 1; echo {word}-end")
        t.wait("#SBATCH --job-name=hello")
        t.wait("#SBATCH --mem=200M")
        t.wait(r"start estimate \(sbatch --test-only\)")
        t.keys("C-s")
        t.wait("Submit hello")
        t.wait("sbatch --parsable")
        time.sleep(0.4)  # a key that comes at once is no answer
        t.keys("y")
        screen = t.wait(r"Job \d+ hello")
        found = re.search(r"Job (\d+) hello", screen)
        assert found
        t.wait(f"{word}-end", timeout=40)
        screen = t.wait(r"hello +completed", timeout=40)
        assert f"{word}-on-xps15-cpu" in screen
        t.keys("Escape")
        t.wait(rf"{found[1]} +hello +\w+ +cpu +done")
        leave(t)
    assert state(lab, found[1]).startswith("COMPLETED")


def on_job(t: Terminal, job_id: str) -> None:
    t.keys("4")
    t.wait("WHY / WHERE")
    t.keys(":")
    t.wait(r"^:")
    t.type(job_id)
    t.keys("Enter")
    t.wait(rf"^ *{job_id} .* [·-] ")


def test_cancel_hold_and_release_are_verified(
    lab: Lab, open_console: Open, job: Callable[..., str], home: Path
) -> None:
    job_id = job("-p", "cpu", "-J", "held", "--begin=now+1hour")
    running = job("-p", "cpu", "-J", "sleeper")
    with open_console() as t:
        t.keys("C-r")
        on_job(t, job_id)
        t.keys("h")
        t.wait(f"scontrol hold {job_id}")
        time.sleep(0.4)
        t.keys("y")
        t.wait("is held")
        assert "JobHeld" in state(lab, job_id)
        t.gone("enter or esc closes")
        on_job(t, job_id)
        t.keys("H")
        t.wait(f"scontrol release {job_id}")
        time.sleep(0.4)
        t.keys("y")
        t.wait("is released")
        assert "JobHeld" not in state(lab, job_id)
        t.gone("enter or esc closes")
        on_job(t, running)
        t.keys("c")
        t.wait(f"scancel {running}")
        time.sleep(0.4)
        t.keys("c")  # the key that opened it is no answer
        t.keys("Enter")
        time.sleep(0.2)
        assert state(lab, running).startswith("RUNNING")
        t.keys("y")
        t.wait("is cancelled")
        assert state(lab, running).startswith("CANCELLED")
        t.wait(rf"^ job {running} is cancelled")
        leave(t)
    lines = json.loads(labtui(lab, home, "audit", "--json").stdout)["items"]
    assert [(i["action"], i["outcome"]) for i in lines] == [
        ("queue.hold", "done"), ("queue.release", "done"), ("queue.cancel", "done")
    ]  # fmt: skip


def labtui(lab: Lab, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in the same home as the console."""
    return subprocess.run(
        [*LABTUI, "--config", str(lab.config), *words], capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "XDG_STATE_HOME": str(home / "state")},
    )  # fmt: skip


def test_a_hostile_name_is_inert_on_every_screen(
    lab: Lab, open_console: Open, job: Callable[..., str], home: Path
) -> None:
    """Submitted for real, to a real slurmctld; seen on the queue, the job's page, the CLI."""
    job_id = job("-p", "cpu", f"--job-name={EVIL}", body=f"printf '%s\\n' {EVIL!r}; sleep 120")
    with open_console() as t:
        on_job(t, job_id)
        screen = t.wait(r"a\[/b\]\[red\]x")
        assert_harmless(screen)
        t.keys("Enter")
        t.wait(rf"Job {job_id}")
        assert_harmless(t.screen)
        t.keys("Escape")
        t.wait("WHY / WHERE")
        t.keys("a")
        t.wait(f"Actions on {job_id}")
        t.keys("Escape")
        t.gone("Actions on")
        t.keys("c")
        assert_harmless(t.wait("scancel"))
        t.keys("Escape")
        t.gone("scancel")
        for key, words in (("3", "HELD BY"), ("5", "UNSEAL"), ("6", "METRIC"), ("2", "SEEN")):
            t.keys(key)
            assert_harmless(t.wait(words))
        leave(t)
    done = labtui(lab, home, "get", "jobs", job_id)
    assert "a[/b][red]x" in done.stdout
    for line in done.stdout.splitlines():
        assert_harmless(line)


def assert_harmless(screen: str) -> None:
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", screen
    )
    assert len(screen.rstrip("\n").splitlines()) <= 40


def test_it_survives_detach_and_attach_at_another_size(open_console: Open) -> None:
    with open_console() as t:
        t._tmux("set-option", "-g", "window-size", "latest")
        for size in ((40, 120), (24, 80), (50, 160)):
            client = pexpect.spawn(
                "tmux", ["-L", t.socket, "attach", "-t", t.session], dimensions=size,
                env={**os.environ, "TERM": "xterm-256color"}, timeout=10,
            )  # fmt: skip
            t.wait(r"SEEN", timeout=10)
            end = time.monotonic() + 10
            while len(t.screen.splitlines()[0]) < 1 or t.size != (size[1], size[0] - 1):
                assert time.monotonic() < end, t.size
                time.sleep(0.05)
            for key, words in (("4", "WHY / WHERE"), ("2", "4 of 4 answer")):
                client.send(key)
                t.wait(words, timeout=10)
            t._tmux("detach-client", "-s", t.session)
            client.expect(pexpect.EOF)
            client.close()
        t.keys("4")
        t.wait("WHY / WHERE")
        leave(t)


def test_a_resize_redraws(open_console: Open) -> None:
    with open_console() as t:
        t.resize(160, 40)
        t.wait("ADDRESS")
        t.resize(40, 10)
        t.wait("SLURM")
        t.resize(80, 24)
        t.wait("SEEN")
        assert "ADDRESS" not in t.screen
        leave(t)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"]
)
def test_a_signal_ends_it_cleanly(open_console: Open, number: int, code: int) -> None:
    with open_console() as t:
        pids = t.pids
        os.kill(console(pids), number)
        screen = t.wait(f"ended with {code}", timeout=8)
        assert "4 of 4" not in screen, "the alternate screen was left"
        assert t._tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}").split() == [
            "1",
            "0",
        ]
        gone(pids)


def test_a_terminal_that_is_closed_leaves_no_orphan(open_console: Open) -> None:
    with open_console() as t:
        t.keys("4", "n")
        t.wait("New job")
        pids = t.pids
        assert console(pids)
        t.kill()
        gone(pids)


EDITOR = """#!/bin/sh
sed -i 's/^echo .*/echo edited/; 2i #SBATCH --job-name=edited' "$1"
echo EDITOR OPEN
sleep ${EDITOR_S:-15}
"""


def test_an_editor_left_open_while_everything_refreshes(
    lab: Lab, open_console: Open, job: Callable[..., str], tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    with open_console(EDITOR=str(editor), VISUAL="") as t:
        t.keys("4", "n")
        t.wait("New job")
        t.keys(*["Tab"] * 6)
        t.type("echo first")
        t.wait("│ echo first")
        t.keys("C-e")
        t.wait("EDITOR OPEN")
        job_id = job("-p", "cpu", "-J", "meanwhile")
        assert "New job" not in t.screen
        t.wait("New job", timeout=40)
        t.wait("--job-name=edited")
        t.wait("echo edited")
        t.keys("Escape")
        t.wait("esc keep draft")
        t.keys("Escape")
        t.wait("WHY / WHERE")
        on_job(t, job_id)  # by its name: what failed lately may fill the first page
        t.wait(rf"{job_id} +meanwhile")
        leave(t)


def test_the_first_run_without_a_config(lab: Lab, tmp_path: Path) -> None:
    """The default lab's config, which is found where there is no other, is hidden from it."""
    missing = str(tmp_path / "none")
    hide = 'if [ -d "$0" ]; then mount -t tmpfs none "$0"; fi && exec "$@"'
    hidden = ("unshare", "-m", "sh", "-c", hide, str(LAB_CONFIG.parent.parent))
    with terminal(
        *hidden, *LABTUI, HOME=missing, XDG_CONFIG_HOME=missing, XDG_STATE_HOME=missing,
        LABTUI_CONFIG="",
    ) as t:  # fmt: skip
        t.wait("no config yet")
        t.keys("w")
        t.wait("written:")
        t.keys("m")
        t.wait("1 of 1 answer")
        leave(t)


def test_read_only_has_no_key_that_changes_anything(
    lab: Lab, open_console: Open, job: Callable[..., str]
) -> None:
    job_id = job("-p", "cpu", "-J", "stays")
    with open_console("--read-only") as t:
        on_job(t, job_id)
        screen = t.wait("read-only")
        assert not re.search(r"\b(cancel|hold|new|requeue)\b", screen.splitlines()[-1])
        for key in "chHRzn":
            t.keys(key)
        time.sleep(0.3)
        assert "New job" not in t.screen and "scancel" not in t.screen
        t.keys("a")
        menu = t.wait("Actions on")
        assert not re.search(r"\b(cancel|hold|requeue|suspend)\b", menu.split("Actions on")[1])
        t.keys("Escape")
        t.gone("Actions on")
        leave(t)
    assert state(lab, job_id).startswith("RUNNING")


def test_ascii_sends_only_ascii(lab: Lab, open_console: Open, job: Callable[..., str]) -> None:
    job("-p", "cpu", "-J", "größe-日本")
    with open_console("--ascii") as t:
        steps = {"4": "WHERE", "3": "HELD", "5": "UNSEAL", "6": "METRIC", "2": "SEEN", "?": "Help"}
        for key, words in steps.items():
            t.keys(key)
            screen = t.wait(words)
            assert screen.isascii(), screen
        t.keys("Escape")
        t.gone("Help")
        t.keys("4", "n")
        screen = t.wait("New job")
        assert screen.isascii(), screen


def test_no_color_sends_no_colour(lab: Lab, tmp_path: Path) -> None:
    """Every byte to the terminal: attributes, never a colour."""
    run = Pty([*LABTUI, "--config", str(lab.config)], tmp_path, NO_COLOR="1")
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    fed = 0

    def shows(words: str) -> bool:
        nonlocal fed
        stream.feed(run.seen[fed:])
        fed = len(run.seen)
        return any(words in line for line in screen.display)

    try:
        run.read(lambda: shows("4 of 4 answer"))
        steps = {
            "4": "WHERE",
            "3": "HELD",
            "2": "SEEN",
            "a": "esc leave",  # the menu's last line: it is whole
            "\x1b": "SEEN",
            "?": "Help",
        }
        for key, words in steps.items():
            os.write(run.master, key.encode())
            # A dialog leaves the table in sight: what follows esc waits until it is gone.
            run.read(
                lambda words=words: shows(words) and not (words == "SEEN" and shows("esc leave"))
            )
    finally:
        run.close()
    codes = re.findall(rb"\x1b\[([0-9;:]*)m", run.seen)
    used = {n for code in codes for n in code.replace(b":", b";").split(b";")}
    assert used <= {b"", b"0", b"1", b"2", b"4", b"7", b"22", b"24", b"27", b"39", b"49"}, used


# What breaks is shown as exactly that, and nothing else suffers


def answers(t: Terminal) -> None:
    """Every other key still answers at once."""
    for key, words in (("4", "WHY / WHERE"), ("3", "HELD BY"), ("5", "UNSEAL"), ("6", "EXPERIMENT"),
                       ("2", "SEEN")):  # fmt: skip
        began = time.monotonic()
        t._tmux("send-keys", "-t", t.session, key)
        t.wait(words, timeout=3)
        assert time.monotonic() - began < 0.6, key


def test_a_machine_that_stops_is_seen_within_five_seconds(healed: Lab, open_console: Open) -> None:
    with open_console() as t:
        fault.make(healed, "jetson-edge", "stop", lambda line: None)
        began = time.monotonic()
        t.wait("3 of 4 answer", timeout=8)
        assert time.monotonic() - began < 5.0
        assert "jetson-edge" in t.screen.splitlines()[3], "the worst comes first"
        answers(t)
        fault.heal(healed, "jetson-edge", lambda line: None)
        t.wait("4 of 4 answer", timeout=30)
        leave(t)


@pytest.mark.parametrize(
    ("machine", "unit", "source", "screen", "words"),
    [
        (
            "desktop-gpu",
            "slurmctld",
            r"slurm (refused|timeout)",
            "4",
            "slurmctld.* does not answer",
        ),
        ("xps15-cpu", "prometheus", "prom refused", "3", "prometheus:"),
        ("xps15-cpu", "mlflow", "mlflow refused", "6", "MLflow"),
    ],
    ids=["slurmctld", "prometheus", "mlflow"],
)
def test_a_service_that_stops_is_shown_as_that(
    lab: Lab, open_console: Open, machine: str, unit: str, source: str, screen: str, words: str
) -> None:
    with open_console(size=(200, 40)) as t:
        t.wait("mlflow [0-9]+s")
        machines.run(lab, machine, ["systemctl", "stop", unit])
        try:
            t.keys(screen)
            t.wait(source, timeout=30)
            # A figure is shown for three intervals before its source counts as silent.
            seen = t.wait(words, timeout=40)
            others = {"slurm", "prom", "mlflow"} - {source.split(" ")[0]}
            for other in others:
                assert re.search(rf"{other} \d+s", seen), seen.splitlines()[0]
            answers(t)
        finally:
            machines.run(lab, machine, ["systemctl", "start", unit], timeout=60)
        t.keys(screen)
        # What no screen shows is asked again within a minute.
        t.wait(rf"{source.split(' ')[0]} \d+s", timeout=70)
        leave(t)


def test_a_sealed_vault_is_shown_as_sealed(lab: Lab, open_console: Open, home: Path) -> None:
    known = json.loads(labtui(lab, home, "get", "vault", "--json").stdout)
    state = known["items"][0]["state"]
    with open_console() as t:
        t.keys("5")
        seen = t.wait(rf"truenas +{state}", timeout=20)
        if state == "sealed":
            assert "0 of 3" in seen and "needs 3 of 5 shares" in seen
        t.wait(r"slurm \d+s")
        leave(t)
