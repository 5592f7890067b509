"""The queue by keyboard at 80x24 on the real Slurm: why, modify, many marked, closer looks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, Lab
from tmux import Terminal, terminal

pytestmark = [pytest.mark.terminal, pytest.mark.lab]
NAME = f"tq{os.getpid()}"
Open = Callable[..., contextlib.AbstractContextManager[Terminal]]


@pytest.fixture
def open_jobs(lab: Lab, tmp_path: Path) -> Open:
    """The console on the jobs of this test alone, with a home of its own."""

    @contextlib.contextmanager
    def start(size: tuple[int, int] = (80, 24)) -> Iterator[Terminal]:
        argv = (sys.executable, "-m", "labtui", "--config", str(lab.config), "--screen", "jobs")
        own = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
        with terminal(*argv, size=size, **own) as t:
            t.wait("WHY / WHERE")
            t.keys("/")
            t.type(NAME)
            t.keys("Enter")
            t.wait(rf"/{NAME} +sort")
            yield t

    return start


@pytest.fixture
def submit(lab: Lab) -> Iterator[Callable[..., str]]:
    def sbatch(*options: str, user: str = "labop") -> str:
        argv = ("runuser", "-u", user, "--", "sbatch", "--parsable", f"--job-name={NAME}",
                "--chdir=/tmp", "--output=/dev/null", "--wrap=sleep 300", *options)  # fmt: skip
        return machines.run(lab, CONTROLLER, argv).stdout.strip()

    yield sbatch
    machines.run(lab, CONTROLLER, ("scancel", f"--name={NAME}"))


def leave(t: Terminal) -> None:
    t.wait("q quit")  # a dialog that is still there would have the key
    t.keys("q")
    t.wait("ended with 0", timeout=6)


def test_why_it_waits_and_what_to_do_about_it(open_jobs: Open, submit: Callable[..., str]) -> None:
    """A time limit that its partition does not allow: told, changed, and the job runs."""
    long = submit("-p", "cpu", "-t", "5-00:00:00")
    with open_jobs() as t:
        t.wait(rf"{long} +{NAME} +labop cpu +pending +asks 5-00")
        t.wait("pending: asks 5-00:00:00, cpu allows 2-00:00:00")
        t.wait("to do: lower its time limit")
        t.keys("m")
        t.wait(rf"Modify job {long} {NAME}")
        t.wait("cpu allows 2-00:00:00")
        t.type("soon")
        t.keys("Enter")
        t.wait("time limit: soon: write it as 90")
        t.keys("BSpace", "BSpace", "BSpace", "BSpace")
        t.wait(r"time limit +5-00:00:00")  # empty again: what it has now
        t.type("0:20:00")
        t.wait(r"time limit +0:20:00")
        t.keys("Enter")
        t.wait(rf"scontrol update JobId={long} TimeLimit=0:20:00")
        t.wait("undo: scontrol update")
        time.sleep(0.4)  # a key that comes at once is no answer
        t.keys("y")
        t.wait(rf"job {long} has time limit 20:00")
        t.wait(rf"{long} +{NAME} +labop cpu +running +xps15-cpu", timeout=30)
        leave(t)


def test_many_marked_jobs_are_held_and_released_with_one_plan(
    lab: Lab, open_jobs: Open, submit: Callable[..., str]
) -> None:
    ids = [submit("--begin=now+1hour", "-t", "5") for _ in range(7)]
    array = submit("--begin=now+1hour", "-t", "5", "-a", "0-3")
    with open_jobs() as t:
        t.wait(rf"{array}_\[0-3\]")
        for _ in range(8):
            t.keys("Space")
        t.wait("8 marked")
        t.keys("h")
        screen = t.wait("Hold 8 jobs")
        t.wait("and 3 more")
        t.wait("undo: release it")
        assert screen.count("scontrol hold") <= 1
        time.sleep(0.4)
        t.keys("y")
        t.wait("8 jobs are held", timeout=30)
        t.wait("held by an operator", timeout=30)  # as Slurm takes it of the lab's operator
        leave(t)
    reasons = machines.run(
        lab, CONTROLLER, ("squeue", "-r", "-h", f"--name={NAME}", "-O", "Reason:30")
    ).stdout.split()
    assert len(reasons) == len(ids) + 4 and set(reasons) == {"JobHeldAdmin"}


def test_the_closer_looks_and_back_to_the_same_row(
    open_jobs: Open, submit: Callable[..., str]
) -> None:
    one, other = (submit("--begin=now+1hour", "-p", "edge", "-t", "5") for _ in range(2))
    with open_jobs() as t:
        t.wait(rf"^▌ {other} ")
        t.keys("j")
        t.wait(rf"^▌ {one} ")
        t.keys("p")
        t.wait(r"^ Partitions 3")
        t.wait(r"edge +up +\d/\d/\d/\d +\d+/6 +\d/1 +12:00:00")
        t.wait("esc jobs")
        t.keys("p")
        t.wait(r"^ Reservations")
        t.keys("p")
        t.wait(r"^ QoS")
        t.wait(r"normal +0 +no limit")
        t.keys("p")
        t.wait(r"^ Fair share")
        t.wait(r"    +ana +1 +\d")
        t.keys("Escape")
        t.wait(rf"^▌ {one} ")
        t.keys(":")
        t.wait(r"^:")
        t.type("partitions")
        t.keys("Enter")
        t.wait(r"^ Partitions 3")
        t.keys("G")
        t.wait(r"^▌ edge ")
        t.keys("f")
        t.wait(r"/partition:=edge")
        t.wait(rf"{other} +{NAME} +labop edge")
        t.keys("4")
        leave(t)
