"""Slurm as it is: the lab's own, through a real ssh connection as its operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from labtui.actions.base import Action, Outcome
from labtui.actions.nodes import DrainNode, ResumeNode
from labtui.actions.queue import (
    CancelJob,
    HoldJob,
    ReleaseJob,
    RequeueJob,
    ResumeJob,
    SuspendJob,
)
from labtui.actions.runner import Runner
from labtui.actions.submit import SubmitJob
from labtui.config import load
from labtui.hosts.base import Host, HostError
from labtui.hosts.connect import host as make_host
from labtui.lab import machines, net
from labtui.lab.layout import CONTROLLER, Lab
from labtui.model import Job
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.log import follow, tail
from labtui.slurm.script import batch_script
from labtui.slurm.templates import templates

pytestmark = pytest.mark.lab

SHARED = ("/mnt/nfs", "/mnt/nfs/labop")
"""Where its output goes: its own folder on the share, when another test has made that."""

Body = Callable[[SlurmClient, Host], Awaitable[Any]]


@pytest.fixture
def on(lab: Lab) -> Iterator[Callable[[Body], Any]]:
    """Runs a coroutine inside the lab's network, with its login node at hand."""
    config = load(lab.config)

    def run(body: Body) -> Any:
        async def whole() -> Any:
            login = make_host(CONTROLLER, config.nodes[CONTROLLER])
            try:
                return await body(SlurmClient(login), login)
            finally:
                await login.close()

        return net.call(lab, asyncio.run, whole())

    yield run
    run(_sweep)


async def _sweep(slurm: SlurmClient, login: Host) -> None:
    await login.run(["scancel", "--me"], timeout=10)


async def perform(action: Action) -> Outcome:
    runner = Runner(lambda line: None, cluster="lab")
    return await runner.perform(action, await runner.plan(action), lambda line: None)


async def until(slurm: SlurmClient, job_id: str, *states: str, limit: float = 30.0) -> Job:
    deadline = time.monotonic() + limit
    while True:
        job = await slurm.job(job_id)
        if job is not None and job.state in states:
            return job
        assert time.monotonic() < deadline, f"job {job_id} is {job and job.state}"
        await asyncio.sleep(0.3)


def script(body: str, **fields: str) -> str:
    small = {"partition": "cpu", "mem": "50", "time": "5"}
    return batch_script(body, **{**small, **fields}).script()


async def submit(slurm: SlurmClient, body: str, **fields: str) -> str:
    outcome = await perform(SubmitJob(slurm, script(body, **fields)))
    assert outcome.kind == "done", outcome.message
    return outcome.details["job_id"]


def test_a_job_from_submission_to_its_output(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        job_id = await submit(
            slurm, "for i in 1 2 3; do echo line $i; sleep 0.3; done; printf '10%%\\r100%%\\n'"
        )
        job = await until(slurm, job_id, "RUNNING", "COMPLETED")
        assert job.stdout in (f"{folder}/slurm-{job_id}.out" for folder in SHARED)
        lines: list[str] = []
        async with asyncio.timeout(30), aclosing(follow(login, job.stdout)) as log:
            async for line in log:
                lines.append(line)
                if len(lines) == 4:
                    break
        assert lines == ["line 1", "line 2", "line 3", "100%"]
        done = await until(slurm, job_id, "COMPLETED")
        assert done.exit_code == "0:0" and done.end_time is not None
        assert await tail(login, job.stdout) == lines
        with pytest.raises(HostError, match="No such file"):
            await tail(login, "/nope")

    on(body)


def test_names_made_to_break_things_come_back_as_they_were(on: Callable[[Body], Any]) -> None:
    names = [
        "a\nb\x1fc\x1ed", "\x1b[31mred\x1b[0m", "[bold]x[/]", "\u202ertl\u202c", "x" * 300,
        "per%cent %j", "back\\slash 'q'", "é 漢字", "=eq State=RUNNING JobId=1", "two\n\nlines",
    ]  # fmt: skip

    async def body(slurm: SlurmClient, login: Host) -> None:
        made = {}
        for name in names:
            argv = ["sbatch", "--parsable", "--hold", "-J", name, f"--comment=c{name}"]
            argv += ["--chdir=/tmp", "--mem=10", "--wrap", "true"]
            done = await login.run(argv, timeout=10)
            made[done.stdout.strip()] = name
        found = {job.job_id: job for job in await slurm.jobs()}
        for job_id, name in made.items():
            job = found[job_id]
            assert (job.name, job.comment, job.state) == (name, "c" + name, "PENDING")
            assert (job.reason, job.cpus, job.memory_mib) == ("JobHeldUser", 1, 10)
        outcome = await perform(CancelJob(slurm, list(made)))
        assert outcome.kind == "done"

    on(body)


def test_hold_release_suspend_requeue_cancel(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        held = await submit(slurm, "sleep 60", begin="now+1hour")
        assert (await perform(HoldJob(slurm, [held]))).kind == "done"
        job = await slurm.job(held)
        assert job is not None and job.reason is not None and job.reason.startswith("JobHeld")
        assert (await perform(ReleaseJob(slurm, [held]))).kind == "done"
        job_id = await submit(slurm, "sleep 60")
        await until(slurm, job_id, "RUNNING")
        for action in (SuspendJob, ResumeJob):  # one after the other, as root's sudo would
            outcome = await perform(action(slurm, [job_id]))
            assert outcome.kind == "done" or "permission" in outcome.message.lower()
        assert (await perform(RequeueJob(slurm, [job_id]))).kind == "done"
        outcome = await perform(CancelJob(slurm, [job_id, held]))
        assert outcome.kind == "done", outcome.message

    on(body)


def test_an_array_is_one_row_and_its_tasks(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        job_id = await submit(slurm, "sleep 60", array="0-9%2")
        deadline = time.monotonic() + 20
        while len(rows := await slurm.tasks(job_id)) < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
        folded = next(job for job in rows if "[" in job.job_id)
        assert folded.job_id == f"{job_id}_[2-9%2]" and folded.array_task == "2-9%2"
        assert (await perform(CancelJob(slurm, [folded.job_id]))).kind == "done"
        states = {job.job_id: job.state for job in await slurm.tasks(job_id)}
        assert states[f"{job_id}_0"] == "RUNNING" and states[f"{job_id}_1"] == "RUNNING"
        assert (await perform(CancelJob(slurm, [job_id]))).kind == "done"

    on(body)


def test_gpus_are_known_by_index(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        job_id = await submit(slurm, "sleep 60", partition="gpu", gres="gpu:2")
        job = await until(slurm, job_id, "RUNNING")
        assert (job.gres, job.nodes) == ("gpu:2", ("desktop-gpu",))
        held = [a for a in await slurm.allocations() if a.job_id == job_id]
        assert [(a.node, a.name, a.count, len(a.indexes)) for a in held] == [
            ("desktop-gpu", "gpu", 2, 2)
        ]
        nodes = {node.name: node for node in await slurm.nodes()}
        gpus = nodes["desktop-gpu"]
        assert gpus.gpus == 4 and (gpus.gpus_alloc or 0) >= 2
        await perform(CancelJob(slurm, [job_id]))

    on(body)


def test_the_accounting_remembers(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        began = time.time() - 1
        job_id = await submit(slurm, "exit 3", job_name="it 'fails'")
        await until(slurm, job_id, "FAILED")
        deadline = time.monotonic() + 20
        found: dict[str, Job] = {}
        # Until slurmctld has sent the rest, 22.05 calls a job "allocation".
        while time.monotonic() < deadline and (
            job_id not in found or found[job_id].name == "allocation"
        ):
            found = {job.job_id: job for job in await slurm.finished(began)}
            await asyncio.sleep(0.5)
        job = found[job_id]
        assert (job.name, job.state, job.exit_code) == ("it 'fails'", "FAILED", "3:0")
        assert (job.reason_text, job.time_limit_s, job.memory_mib) == ("exit 3", 300, 50)
        assert job.end_time is not None and job.end_time >= began

    on(body)


def test_values_of_directives_reach_slurm_as_they_were(on: Callable[[Body], Any]) -> None:
    values = ["two words", 'say "hi"', "it's", "back\\slash", "a # b", "#x", "$HOME `id`", "a;b|c"]

    async def body(slurm: SlurmClient, login: Host) -> None:
        made = {}
        for value in values:
            text = script("true", job_name=value, comment=value)
            made[await slurm.submit(text, token="ab12", chdir="/tmp", hold=True)] = value
        found = {job.job_id: job for job in await slurm.jobs()}
        for job_id, value in made.items():
            assert (found[job_id].name, found[job_id].comment) == (value, f"{value} labtui:ab12")
        await perform(CancelJob(slurm, list(made)))

    on(body)


def test_a_submission_whose_answer_was_lost_is_found(on: Callable[[Body], Any]) -> None:
    class Lossy(SlurmClient):
        async def submit(self, script: str, **fields: Any) -> str:
            await super().submit(script, **fields)
            raise RPCError(msg="no answer", kind="timeout")

    async def body(slurm: SlurmClient, login: Host) -> None:
        action = SubmitJob(Lossy(login), script("sleep 60"))
        outcome = await perform(action)
        assert outcome.kind == "done", outcome.message
        job = await slurm.job(outcome.details["job_id"])
        assert job is not None and action.token in (job.comment or "")

    on(body)


def test_estimates_and_refusals(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        for template in templates()[0]:
            estimate = await slurm.test_only(template.script, chdir="/tmp")
            assert estimate.nodes and estimate.processors
        for text, words in (
            (script("true", partition="nope"), "Invalid partition name specified"),
            (script("true", partition="gpu", gres="gpu:99"), "not available"),
            ("hello", "does not look like a batch script"),
        ):
            with pytest.raises(RPCError, match=words):
                await slurm.test_only(text)
        with pytest.raises(RPCError, match="Invalid job id") as caught:
            await slurm.tell(["scontrol", "hold", "999999"])
        assert caught.value.kind == "not-found"
        assert await slurm.job("999999") is None

    on(body)


def test_drain_and_resume(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        outcome = await perform(DrainNode(slurm, ["jetson-edge"], "fan; $(id) 'x'"))
        assert outcome.kind == "done", outcome.message
        node = next(n for n in await slurm.nodes() if n.name == "jetson-edge")
        assert node.slurm_reason == "fan; $(id) 'x' (root)"
        assert (await perform(ResumeNode(slurm, ["jetson-edge"]))).kind == "done"

    on(body)


def test_a_stopped_slurmctld_is_named_within_seconds(on: Callable[[Body], Any], lab: Lab) -> None:
    machines.run(lab, CONTROLLER, ["systemctl", "stop", "slurmctld"], timeout=60)
    try:

        async def body(slurm: SlurmClient, login: Host) -> None:
            for limit in (4.0, 2.0):
                began = time.monotonic()
                with pytest.raises(RPCError, match="slurmctld on desktop-gpu does not answer"):
                    await slurm.jobs()
                assert time.monotonic() - began < limit

        on(body)
    finally:
        machines.run(lab, CONTROLLER, ["systemctl", "start", "slurmctld"], timeout=60)
