"""`labtui job log -f` and `labtui submit -` without a lab: how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from commandline import run
from labtui.actions.base import Action, Outcome, Plan, Progress, Step
from labtui.actions.runner import Runner
from labtui.commands import get as get_commands
from labtui.commands import job as job_commands
from labtui.commands import submit as submit_commands
from labtui.hosts.base import HostError
from labtui.model import Job

OVER = {"state": "COMPLETED", "end_time": 1795471000.0}


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


class Submits(Action):
    """What would be sent, and whether it asks for a word."""

    id = "queue.submit"
    dangerous = False
    sent = 0

    def __init__(self, *more: Any, **options: Any) -> None:
        pass

    async def plan(self) -> Plan:
        word = "root" if self.dangerous else ""
        return Plan("Submit", ("x",), (Step("login", "sbatch"),), dangerous=self.dangerous,
                    confirm_word=word)  # fmt: skip

    async def run(self, progress: Progress) -> None:
        type(self).sent += 1

    async def verify(self) -> Outcome:
        return Outcome("done", "job 9 is pending")


@pytest.mark.parametrize(
    ("dangerous", "words", "code", "sent"),
    [(False, [], 0, 1), (True, [], 2, 0), (True, ["--yes"], 0, 1)],
)
def test_a_script_on_standard_input_implies_yes_where_there_is_no_danger(
    monkeypatch: pytest.MonkeyPatch, dangerous: bool, words: list[str], code: int, sent: int
) -> None:
    async def ask(session: Any) -> None:
        pass

    monkeypatch.setattr(Submits, "dangerous", dangerous)
    monkeypatch.setattr(Submits, "sent", 0)
    for name, value in (("SubmitJob", Submits), ("_ask", ask), ("Kept", str),
                        ("problems", lambda *more: []), ("context_of", str)):  # fmt: skip
        monkeypatch.setattr(submit_commands, name, value)
    session = SimpleNamespace(
        runner=Runner(lambda line: None, cluster="x"), need_slurm=lambda: None, store=None,
        config=SimpleNamespace(cluster=SimpleNamespace(name="x")),
    )  # fmt: skip
    done = run(submit_commands.submit, ["-", *words], session, monkeypatch, "#!/bin/sh\ntrue\n")
    assert (done.exit_code, Submits.sent) == (code, sent), done.output
    assert ("--yes" in done.stderr) is (code == 2)


def test_which_jobs_an_id_lists() -> None:
    def called(name: str) -> list[str]:
        keys = ("5", "41_5", "45_5", "45_[0-4,6-9]", "6_45")
        jobs = [Job(job_id=key, name="x", state="PENDING", array_task=key[3:]) for key in keys]
        return [job.job_id for job in jobs if get_commands._is_called(name, "jobs", job)]

    assert called("5") == ["5"]
    assert called("45") == ["45_5", "45_[0-4,6-9]"]
    assert called("45_5") == ["45_5"]
    assert called("45_7") == called("45_[7-8]") == ["45_[0-4,6-9]"]
    assert called("46") == called("") == []
