"""A command that is ended from outside: the audit has its line, whatever ended it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
import click
from labtui.actions.base import Action, Outcome, Plan, Step
from labtui.actions.runner import Runner
from labtui.commands import common

audit, seconds, yes = open(sys.argv[1], "a", buffering=1), float(sys.argv[2]), len(sys.argv) > 3

class Long(Action):
    id = "a.long"

    async def plan(self):
        return Plan("Do it", ("x",), (Step("here", "wait"),))

    async def run(self, progress):
        print("begun", file=audit)
        for _ in range(int(seconds * 20)):
            await asyncio.sleep(0.05)
            progress("still")

    async def verify(self):
        return Outcome("done", "done")

class Session:
    def __init__(self, *more, **named):
        self.runner = Runner(lambda line: print(line.outcome, file=audit), cluster="x")

    async def close(self):
        print("closed", file=audit)

common.Session, common.need_config = Session, lambda context: None

@click.command()
@click.pass_context
def do(context):
    context.obj = {"read_only": False}
    common.with_session(
        context, lambda session: common.perform(session, Long(), yes=yes, as_json=False)
    )

do([])
"""


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def argv(audit: Path, seconds: float, *more: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(audit), str(seconds), *more]


def until(audit: Path, word: str) -> None:
    deadline = time.monotonic() + 20
    while not audit.exists() or word not in audit.read_text():
        assert time.monotonic() < deadline, audit.read_text() if audit.exists() else "nothing"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_is_under_way_is_told_to_the_audit(audit: Path, number: signal.Signals) -> None:
    with subprocess.Popen(argv(audit, 60, "yes"), stderr=subprocess.DEVNULL) as process:
        until(audit, "begun")
        process.send_signal(number)
        assert process.wait(10) == 128 + number
    assert audit.read_text().split() == ["begun", "unknown", "closed"]


def test_what_ignores_hangups_goes_on(audit: Path) -> None:
    ignored = ["nohup", *argv(audit, 1, "yes")]
    with subprocess.Popen(ignored, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(audit, "begun")
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    assert audit.read_text().split() == ["begun", "done", "closed"]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvp(command[0], command)

    def until(self, word: str) -> None:
        said = ""
        while word not in said:
            said += os.read(self.fd, 4096).decode()

    def ended(self) -> int:
        """Its exit status, less its signal."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("it goes on")


@pytest.fixture
def asked(audit: Path) -> Iterator[Terminal]:
    terminal = Terminal(argv(audit, 60))
    terminal.until("[y/N]")
    yield terminal


def test_a_terminal_that_goes_ends_it_with_a_line(audit: Path, asked: Terminal) -> None:
    os.write(asked.fd, b"y\n")
    until(audit, "begun")
    os.close(asked.fd)
    assert asked.ended() == 128 + signal.SIGHUP
    assert audit.read_text().split() == ["begun", "unknown", "closed"]


def test_at_its_question_ctrl_c_ends_it_at_once(audit: Path, asked: Terminal) -> None:
    os.write(asked.fd, b"\x03")
    assert asked.ended() == 130
    assert audit.read_text().split() == ["closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_at_its_question_a_signal_ends_it_at_once(asked: Terminal, number: signal.Signals) -> None:
    os.kill(asked.pid, number)
    assert asked.ended() == -number
