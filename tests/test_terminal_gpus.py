"""The GPU shares by keyboard at 80x24 on the real lab: who waits for a slice is let through."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labcards import Rig
from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, Lab
from tmux import Terminal, terminal

pytestmark = [pytest.mark.terminal, pytest.mark.lab]
NAME = f"tg{os.getpid()}"


@pytest.fixture
def submit(lab: Lab) -> Iterator[Callable[..., str]]:
    def sbatch(*options: str) -> str:
        argv = ("runuser", "-u", "labop", "--", "sbatch", "--parsable", "-p", "gpu", "--mem=100",
                "--chdir=/tmp", "--output=/dev/null", "--wrap=sleep 600", *options)  # fmt: skip
        return machines.run(lab, CONTROLLER, argv).stdout.strip()

    machines.run(lab, CONTROLLER, ("scancel", "-p", "gpu"))
    yield sbatch
    machines.run(lab, CONTROLLER, ("scancel", "-p", "gpu"))


def state(lab: Lab, job: str) -> str:
    argv = ("squeue", "-h", "-o", "%T", "-j", job)
    return machines.run(lab, CONTROLLER, argv, check=False).stdout.strip()


def answer(t: Terminal) -> None:
    time.sleep(0.5)  # a key that comes at once is no answer
    t.keys("y")


def cursor_to(t: Terminal, pattern: str) -> None:
    """Down the table until the cursor's row says so."""
    t.keys("Home")
    for _ in range(30):
        row = next((line for line in t.screen.splitlines() if line.startswith("▌")), "")
        if re.search(pattern, row):
            return
        t.keys("j")
        time.sleep(0.15)
    raise AssertionError(f"no row {pattern!r}:\n{t.screen}")


def test_a_job_that_waits_for_a_slice_is_understood_and_let_through(
    lab: Lab, submit: Callable[..., str], tmp_path: Path
) -> None:
    holder = submit("--gres=gpu:4", "-J", f"{NAME}-holds", "-t", "60")
    waits = submit("--gres=gpu:1", "-J", f"{NAME}-waits", "-t", "10")
    argv = (sys.executable, "-m", "labtui", "--config", str(lab.config))
    own = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
    with terminal(*argv, size=(80, 24), **own) as t:
        # From the job that waits to the card it waits for.
        t.keys("4", "/")
        t.type(NAME)
        t.keys("Enter")
        t.wait(rf"{holder} +{NAME}-holds +labop gpu +running", timeout=40)
        t.wait(rf"{waits} +{NAME}-waits +labop gpu +pending")
        cursor_to(t, NAME + "-waits")
        t.keys("g")
        t.wait("GPU shares")
        t.wait(rf"job {holder} {NAME}-ho")
        # Why it waits, and what would help.
        t.keys("w")
        t.wait("Who could have a GPU of desktop-gpu")
        t.wait(rf"job {waits} .*first in line")
        t.keys("Escape")
        t.gone("Who could have")
        # From the slice to its holder and back.
        cursor_to(t, rf"job {holder}")
        t.keys("f")
        t.wait(rf"{holder} +{NAME}-holds .*running")
        t.keys("Escape")
        t.wait("HELD BY")
        # Let it through.
        cursor_to(t, rf"job {holder}")
        t.keys("c")
        t.wait(rf"Cancel job {holder}")
        t.wait(rf"scancel.* {holder}")
        answer(t)
        t.wait(rf"job {holder}.* cancelled")
        t.wait(rf"job {waits} {NAME}-wa", timeout=40)
        assert state(lab, waits) == "RUNNING"
        t.wait("q quit")  # the dialog has closed: the keys below are back
        t.keys("q")
        t.wait("ended with 0", timeout=8)


def test_a_pod_that_waits_gets_more_slices_and_they_are_taken_back(
    sliced: Rig, tmp_path: Path
) -> None:
    config = str(sliced.lab.config)
    argv = (sys.executable, "-m", "labtui", "--config", config, "--screen", "gpus")
    own = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
    with terminal(*argv, size=(80, 24), **own) as t:
        t.wait("pod nim/llama-0")
        t.keys("p")
        t.wait(r"nim/embed-0 +waits +4")
        t.keys("Escape")
        t.wait("HELD BY")
        cursor_to(t, "desktop-gpu:0|pod nim")
        t.keys("m")
        t.wait("Slices a card in Kubernetes")
        t.type("8")
        t.keys("Enter")
        t.wait("nvidia.com/device-plugin.config")
        answer(t)
        t.wait("of 8", timeout=60)
        t.wait(r"pod nim/embed-0", timeout=40)
        assert sliced.allocatable() == 8
        t.wait("q quit")
        t.keys("u")
        t.wait("Undo on desktop-gpu:0: slices back to slices-4")
        answer(t)
        t.wait("5 of 4, overbooked", timeout=60)
        assert sliced.allocatable() == 4
        t.wait("q quit")
        t.keys("q")
        t.wait("ended with 0", timeout=8)
