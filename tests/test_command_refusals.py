"""How commands end that cannot be done: exit codes, one sentence, and one document by `--json`."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import Result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from commandline import run
from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.runner import Runner
from labtui.commands import common
from labtui.commands import submit as submit_commands
from labtui.commands.basics import fail, json_option
from labtui.commands.gpu import gpu
from labtui.commands.job import job
from labtui.commands.node import node
from labtui.commands.play import play
from labtui.commands.vault import vault
from labtui.hosts.base import HostError
from labtui.model import Job
from labtui.slurm.argv import whole_id
from labtui.slurm.errors import RPCError


class Lab(SimpleNamespace):
    """A session whose Slurm answers with what a test says; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(runner=Runner(lambda line: None, cluster="x"), store=None)
        self.answers = answers

    def need_slurm(self) -> Lab:
        return self

    def action(self, id: str, items: Any, *more: Any, **named: Any) -> Action:
        found: Action = self.answers["action"]
        return found

    async def _answer(self, name: str) -> Any:
        found = self.answers[name]
        if isinstance(found, Exception):
            raise found
        return found

    async def job(self, job_id: str) -> Job | None:
        found: Job | None = await self._answer("job")
        return found

    async def efficiencies(self, job_id: str) -> Any:
        return await self._answer("efficiencies")

    async def test_only(self, script: str, *, chdir: str) -> Any:
        return await self._answer("test_only")


class Does(Action):
    """Refused where there is a `why`."""

    id = "queue.cancel"

    def __init__(self, why: str = "") -> None:
        self.why = why

    async def plan(self) -> Plan:
        if self.why:
            raise ActionError(self.why)
        return Plan("Cancel job 7", ("7",), (Step("login", "scancel 7"),))

    async def run(self, progress: Progress) -> None:
        progress("sent")

    async def verify(self) -> Outcome:
        return Outcome("done", "job 7 is cancelled", {"job_id": "7"})


def document(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)  # one, and nothing else
    return found


def sentence(done: Result) -> str:
    """What was said, by `labtui: ...`; no traceback."""
    assert isinstance(done.exception, SystemExit), done.exception
    last = done.stderr.splitlines()[-1]
    assert last.startswith("labtui: ")
    return last.removeprefix("labtui: ")


@pytest.mark.parametrize(
    "words",
    [
        "cancel x", "hold x", "top 7 x", "log x;id", "why x", "efficiency x",
        "efficiency 6_[1...]", "modify x --set nice=1",
    ],
)  # fmt: skip
def test_what_is_no_job_id_is_wrong_usage(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(job, words.split(), Lab(), monkeypatch)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "job id" in sentence(done) or "shortened" in sentence(done)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nope=1", "nope: cannot be changed; there are time_limit"),
        ("time_limit=0", "time limit: 0: write it as 90 (minutes)"),
        ("nice", "--set nice: write NAME=VALUE"),
    ],
)
def test_what_cannot_be_set_is_wrong_usage(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["modify", "7", "--set", given, "--json", "--yes"]
    done = run(job, words, Lab(), monkeypatch)
    assert done.exit_code == 2 and said in sentence(done)
    told = document(done)
    assert (told["schema"], told["outcome"]) == ("labtui/outcome/1", "refused")
    assert told["message"] == sentence(done)


@given(st.text(max_size=12))
@example("")
@example("7_[1-3]%2")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_job_id_or_wrong_usage(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    try:
        whole_id(text)
        code = 1
    except ValueError:
        code = 2
    lab = Lab(action=Does("Slurm does not know it"))
    done = run(job, ["cancel", "--yes", "--json", "--", text], lab, monkeypatch)
    assert done.exit_code == code
    assert document(done)["message"] == sentence(done)


LOST = HostError("unreachable", "login: no route", "login")
DOWN = RPCError(msg="Unable to contact slurm controller (connect failure)")


@pytest.mark.parametrize(
    ("words", "answers", "code", "kind", "said"),
    [
        ("why 1", {"job": None}, 1, "not-found", "job 1 does not wait: it is not known"),
        ("why 1", {"job": Job(job_id="1", name="x", state="RUNNING")}, 1, "failed", "is running"),
        ("why 1", {"job": LOST}, 3, "unreachable", "no route"),
        ("why 1", {"job": DOWN}, 3, "refused", "Unable to contact"),
        ("why x", {}, 2, "usage", "'x' is not a job id"),
        ("efficiency 99999", {"efficiencies": []}, 1, "not-found", "knows no job 99999"),
        ("efficiency 9", {"efficiencies": DOWN}, 3, "refused", "Unable to contact"),
    ],
)
def test_a_question_without_an_answer_has_its_document(
    words: str, answers: dict[str, Any], code: int, kind: str, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    done = run(job, [*words.split(), "--json"], Lab(**answers), monkeypatch)
    assert done.exit_code == code and said in sentence(done)
    told, noun = document(done), words.split()[0]
    assert (told["schema"], told["items"]) == (f"labtui/{noun}/1", [])
    assert told["errors"] == [{"source": noun, "kind": kind, "message": sentence(done)}]
    plain = run(job, words.split(), Lab(**answers), monkeypatch)
    assert (plain.exit_code, plain.stdout, sentence(plain)) == (code, "", sentence(done))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (job, "cancel 99999"), (node, "resume nowhere"), (gpu, "power n1:0 400"),
        (vault, "setup"), (vault, "audit-devices --enable a --disable b"), (play, "apply nope"),
        (gpu, "power nonsense 400"),
    ],
)  # fmt: skip
def test_an_action_that_cannot_be_done_has_its_document(
    command: click.Command, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(action=Does("no such thing"))
    lab.config = None
    lab.runner.read_only = True
    options = ["--json"] if command in (vault, play) else ["--json", "--yes"]
    done = run(command, [*words.split(), *options], lab, monkeypatch)
    assert done.exit_code in (1, 2)
    told = document(done)
    assert (told["schema"], told["outcome"]) == ("labtui/outcome/1", "refused")
    assert told["message"] == sentence(done)


@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [(RPCError(msg="Memory specification can not be satisfied"), 1, "protocol"),
     (DOWN, 3, "refused")],
)  # fmt: skip
def test_an_estimate_that_slurm_refuses_has_its_document(
    answer: RPCError, code: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(session: Any) -> None:
        pass

    for name, value in (("_ask", ask), ("problems", lambda *more: []), ("context_of", str)):
        monkeypatch.setattr(submit_commands, name, value)
    words = ["-", "--test-only", "--json"]
    done = run(submit_commands.submit, words, Lab(test_only=answer), monkeypatch, "#!/bin/sh\n")
    told = document(done)
    assert (done.exit_code, told["schema"]) == (code, "labtui/estimate/1")
    assert [e["kind"] for e in told["errors"]] == [kind]
    assert answer.msg in sentence(done)


@pytest.mark.parametrize(("said", "outcome"), [("n", "cancelled"), ("y", "done")])
def test_a_person_who_says_no_gets_a_document_too(
    said: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(
        common, "sys", SimpleNamespace(stdin=terminal, stdout=sys.stdout, exit=sys.exit)
    )
    monkeypatch.setattr(click, "confirm", lambda *more, **named: said == "y")

    @click.command()
    @json_option()
    @click.pass_context
    def act(context: click.Context, as_json: bool) -> None:
        async def work(session: Any) -> int:
            return await common.perform(session, Does(), yes=False, as_json=as_json)

        common.with_session(context, work)

    done = run(act, ["--json"], Lab(), monkeypatch)
    assert done.exit_code == 0 and document(done)["outcome"] == outcome


def test_what_ends_without_a_command_has_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail("no", 2)
    assert capsys.readouterr() == ("", "labtui: no\n")
