"""`labtui job log -f` without a lab: how it ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from labtui.commands import job as job_commands
from labtui.hosts.base import HostError
from labtui.model import Job

OVER = {"state": "COMPLETED", "end_time": 1795471000.0}


def run(
    command: click.Command, words: list[str], session: Any, monkeypatch: pytest.MonkeyPatch,
    stdin: str = "",
) -> Result:  # fmt: skip
    """One command on a session that is made up."""

    def with_session(context: Any, work: Callable[[Any], Awaitable[int]]) -> None:
        sys.exit(asyncio.run(work(session)))  # type: ignore[arg-type]

    monkeypatch.setattr(job_commands, "with_session", with_session)
    return CliRunner().invoke(command, words, input=stdin)


class Follows:
    """A job, and a log of which some lines come before its machine is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.asked = 0
        self.lost: HostError | None = None
        self.hosts: dict[str, Any] = {}
        self.config = SimpleNamespace(slurm=SimpleNamespace(login="login"))

        async def located(*more: Any) -> str:
            return "login"

        async def follow(host: str, path: str, lines: int) -> AsyncIterator[str]:
            yield "line one"
            if self.lost is not None:
                raise self.lost
            await asyncio.sleep(60)

        monkeypatch.setattr(job_commands, "locate", located)
        monkeypatch.setattr(job_commands, "follow", follow)
        monkeypatch.setattr(job_commands, "ASK", 0.05)
        monkeypatch.setattr(job_commands, "LAST", 0.05)

    def need_slurm(self) -> Follows:
        return self

    async def job(self, job_id: str) -> Job:
        self.asked += 1
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return Job(**{"job_id": job_id, "name": "x", "state": "RUNNING", "stdout": "/x", **now})


def test_a_log_that_cannot_be_followed_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Follows(monkeypatch, {})
    session.lost = HostError("unreachable", "login: the connection was lost", "login")
    done = run(job_commands.log, ["7", "-f"], session, monkeypatch)
    assert (done.exit_code, done.stdout) == (3, "line one\n")
    assert "the connection was lost" in done.stderr
    assert session.asked == 1, "not asked again once it is lost"


def test_following_ends_when_the_job_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for states in ([{}, {}, OVER], [OVER]):
        session = Follows(monkeypatch, *states)
        done = run(job_commands.log, ["7", "-f"], session, monkeypatch)
        assert (done.exit_code, done.stdout, session.asked) == (0, "line one\n", len(states))
