"""One job's own screens in a real terminal, at 80x24: its log, its tasks, its script, why not."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

import pytest

from labtui.lab.layout import Lab
from test_terminal import Open, home, job, leave, open_console, slurm
from tmux import Terminal

__all__ = ["home", "job", "open_console"]

pytestmark = [pytest.mark.terminal, pytest.mark.lab]

STEPS = (
    "printf 'first \\033[31mred\\033[0m \\033]0;title\\007 line\\n'; "
    "head -c 300000 /dev/zero | tr '\\0' m; echo; i=0; "
    'while [ $i -lt 2000 ]; do i=$((i+1)); echo "step $i"; '
    '[ $((i % 20)) = 0 ] && echo "WARN: gradient norm at $i"; sleep 0.1; done'
)


def on_row(t: Terminal, job_id: str) -> None:
    """The cursor on a job that was submitted just now: as soon as the queue has it."""
    t.keys("4")
    t.wait("WHY / WHERE")
    end = time.monotonic() + 30
    while True:
        t.keys("C-r")
        time.sleep(0.5)
        t.keys(":")
        t.wait("^:")
        t.type(job_id)
        t.keys("Enter")
        try:
            t.wait(rf"^ *{job_id} .* [·-] ", timeout=2)
        except AssertionError:
            assert time.monotonic() < end, t.screen
        else:
            return


def test_a_log_is_followed_paused_searched_and_walked_through(
    lab: Lab, open_console: Open, job: Callable[..., str]
) -> None:
    job_id = job("-p", "cpu", "-J", "grows", "--chdir=/tmp", body=STEPS)
    with open_console() as t:
        on_row(t, job_id)
        t.wait(rf"{job_id} +grows +\w+ +cpu +running", timeout=40)
        t.keys("l")
        t.wait("^ following  .*slurm-" + job_id, timeout=30)
        t.wait("step [0-9]+$")
        t.keys("Space")
        t.wait("paused: [1-9][0-9]* lines, [0-9]+ B came meanwhile")
        stood = t.screen.splitlines()[3:-1]
        time.sleep(1.2)
        assert t.screen.splitlines()[3:-1] == stood, "what is shown stands still"
        t.keys("G")
        t.wait("^ following")
        t.wait("gradient norm at [4-9]0$", timeout=30)

        t.keys("/")
        t.type("warn")
        t.keys("Enter")
        found = re.search(r"match ([0-9]+) of \1, line", t.wait("match [0-9]+ of [0-9]+, line"))
        assert found, "from the end, the last match"
        assert "▌WARN: gradient norm at" in t.screen
        for _ in range(int(found[1]) - 1):
            t.keys("N")
        t.wait("▌WARN: gradient norm at 20$")
        t.keys("N")
        t.wait("no match above")
        t.keys("n")
        t.wait("▌WARN: gradient norm at 40$")
        t.wait("match 2 of")
        t.keys("Escape")
        t.wait("n N next  w wrap")
        t.keys("Escape")
        t.gone("▌")

        t.keys("g")
        t.wait("^ first red +line")
        t.wait("m … 300 kB line")
        t.keys("w")
        t.wait("w unwrap")
        t.gone("300 kB line")
        t.keys("w")
        t.wait("m … 300 kB line")
        t.keys(":")
        t.type("50%")
        t.keys("Enter")
        t.wait("[0-9]+% of 30[0-9] kB")
        t.keys(":")
        t.type("nonsense")
        t.keys("Enter")
        t.wait("nonsense: write 50%, a byte such as 12MB, top or end")
        t.keys("Escape")
        t.gone("nonsense")
        t.keys("G")
        t.wait("^ following")
        t.keys("?")
        t.wait("Keys: A job's output")
        t.keys("Escape")
        t.wait("^ following")
        t.keys("Escape")
        t.wait("WHY / WHERE")
        leave(t)


def test_output_that_floods_does_not_hold_up_a_key(
    lab: Lab, open_console: Open, job: Callable[..., str]
) -> None:
    flood = (
        'block=$(seq 1 140000); i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "$block"; '
        "sleep 0.01; done; echo; echo over; sleep 300"
    )
    job_id = job(
        "-p", "cpu", "-J", "flood", "--chdir=/tmp", "-o", "/var/tmp/flood-%j.out", body=flood
    )
    with open_console() as t:
        on_row(t, job_id)
        t.wait(rf"{job_id} +flood +\w+ +cpu +running", timeout=40)
        t.keys("l")
        t.wait("only on xps15-cpu", timeout=30)
        for _ in range(5):
            for key, words in (("Space", "^ paused"), ("G", "^ following")):
                began = time.monotonic()
                t._tmux("send-keys", "-t", t.session, key)
                t.wait(words, timeout=5)
                assert time.monotonic() - began < 1.5, key
        t.wait("^ over$", timeout=90)
        t.keys("Escape")
        t.wait("WHY / WHERE")
        leave(t)
    slurm(lab, "srun", "-w", "xps15-cpu", "-p", "cpu", "--overlap", f"--jobid={job_id}", "rm", "-f",
          f"/var/tmp/flood-{job_id}.out")  # fmt: skip


def test_an_array_asks_which_task(lab: Lab, open_console: Open, job: Callable[..., str]) -> None:
    name = f"tasks{os.getpid()}"
    array = job(
        "-p", "cpu", "-J", name, "--chdir=/tmp", "--array=1-4%2", "--mem=50", "-o", "t-%A_%2a.txt",
        body="echo task $SLURM_ARRAY_TASK_ID here; echo trouble >&2; sleep 200",
    )  # fmt: skip
    with open_console() as t:
        t.keys("4")
        t.wait("WHY / WHERE")
        t.keys("/")
        t.type(name)
        t.keys("Enter")
        t.wait(f"{name} +labop +cpu +running", timeout=40)
        t.keys("l")
        t.wait(f"Array {array} {name}: 2 tasks were started")
        t.wait(rf"{array}_\[3-4%(2\]|…) +pending")
        line = t.wait(rf"{array}_1 +running")
        down = [row for row in line.splitlines() if array in row and "_" in row]
        at = next(i for i, row in enumerate(down) if f"{array}_1 " in row)
        t.keys(*["j"] * at, "Enter")
        t.wait(rf"stdout: .*t-{array}_01.txt")
        t.wait("^ task 1 here")
        t.keys("o")
        t.wait("stderr(?s:.)*trouble")
        t.keys("t")
        t.wait(f"Array {array} {name}")
        t.keys("Escape")
        t.gone(f"Array {array}")
        leave(t)


def test_why_not_script_and_efficiency_by_their_keys(
    lab: Lab, open_console: Open, job: Callable[..., str]
) -> None:
    holder = job(
        "-p", "gpu", "-J", "holder", "--chdir=/tmp", "--gres=gpu:3", "-c", "2", "--mem=200"
    )
    with open_console() as t:
        on_row(t, holder)
        t.wait(rf"{holder} +holder +\w+ +gpu +running", timeout=60)
        waits = job("-p", "gpu", "-J", "wants2", "--gres=gpu:2", "--mem=200", body="# marked\ntrue")
        on_row(t, waits)
        t.keys("w")
        t.wait(f"Why {waits} wants2 does not start")
        screen = t.wait("It wants a node with 1 CPU, 200M of memory, 2 GPUs")
        assert re.search(rf"2 GPUs wanted, 1 free\s+\({holder} holds\s+3", screen), screen
        assert "--gres=gpu:1: desktop-gpu has that free now" in screen
        t.keys("Escape")
        t.wait("WHY / WHERE")
        t.keys("v")
        t.wait(f"Script of job {waits}")
        t.wait("# marked")
        t.keys("/")
        t.type("mark")
        t.keys("Enter")
        t.wait("match 1 of 1, line 2")
        t.keys("Escape")
        t.wait("n N next")
        t.keys("Escape")
        t.gone("n N next")
        t.keys("e")
        t.wait("New job")
        t.wait("# marked")
        t.keys("Escape")
        t.wait("keep draft and leave")
        t.keys("Escape")
        t.wait(f"Script of job {waits}")
        t.keys("Escape")
        t.wait("WHY / WHERE")
        t.keys("E")
        t.wait("efficiency: it has not started")
        on_row(t, holder)
        t.keys("E")
        t.wait(f"Efficiency of job {holder}")
        t.wait("memory +[0-9]+M +200M|memory +n/a", timeout=30)
        t.wait("sacct Elapsed")
        t.keys("Escape")
        t.wait("WHY / WHERE")
        leave(t)
