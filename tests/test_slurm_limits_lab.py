"""Limits, modify and top as a real Slurm has them: a QoS of the test's own, on its own jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from labtui.actions.base import Action, ActionError, Outcome
from labtui.actions.modify import ModifyJob, TopJob
from labtui.actions.queue import CancelJob, HoldJob, ReleaseJob, SuspendJob
from labtui.actions.runner import Runner
from labtui.config import load
from labtui.hosts.base import Host
from labtui.hosts.connect import host as make_host
from labtui.lab import machines, net
from labtui.lab.layout import CONTROLLER, Lab
from labtui.model import Job
from labtui.slurm import accounting
from labtui.slurm.client import SlurmClient
from labtui.slurm.waiting import Context, Explained, explain_with

pytestmark = pytest.mark.lab

QOS = "qtest"
NAME = "qtest-job"
Body = Callable[[SlurmClient], Awaitable[Any]]


def root(lab: Lab, *argv: str) -> str:
    return machines.run(lab, CONTROLLER, argv, check=False).stdout.strip()


@pytest.fixture
def on(lab: Lab) -> Iterator[Callable[[Body], Any]]:
    """Runs a coroutine as the lab's operator, on its login node."""
    config = load(lab.config)

    def run(body: Body) -> Any:
        async def whole() -> Any:
            login: Host = make_host(CONTROLLER, config.nodes[CONTROLLER])
            try:
                return await body(SlurmClient(login))
            finally:
                await login.close()

        return net.call(lab, asyncio.run, whole())

    yield run
    root(lab, "scancel", f"--name={NAME}")


@pytest.fixture
def limited(lab: Lab) -> Iterator[Lab]:
    """A QoS in which a user may hold one GPU, 6 CPUs a job and 30 minutes."""
    root(lab, "sacctmgr", "-iQ", "add", "qos", QOS)
    root(lab, "sacctmgr", "-iQ", "modify", "qos", "where", f"name={QOS}", "set",
         "MaxTRESPerUser=gres/gpu=1", "MaxTRESPerJob=cpu=6", "MaxWall=30", "GrpJobs=9")  # fmt: skip
    for user in ("ana", "labop"):
        root(lab, "sacctmgr", "-iQ", "modify", "user", "where", f"name={user}", "set",
             f"qos+={QOS}")  # fmt: skip
    # slurmdbd hands it on to slurmctld when it gets to it.
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if "MaxTRESPJ=cpu=6" in root(
            lab, "scontrol", "show", "assoc_mgr", "flags=qos", f"qos={QOS}"
        ):
            break
        time.sleep(0.2)
    yield lab
    root(lab, "scancel", f"--name={NAME}")
    root(lab, "sacctmgr", "-iQ", "delete", "qos", QOS)


def submit(lab: Lab, *options: str, user: str = "ana") -> str:
    argv = ("runuser", "-u", user, "--", "sbatch", "--parsable", f"--job-name={NAME}",
            "--chdir=/tmp", "--output=/dev/null", "--wrap=sleep 120", *options)  # fmt: skip
    return machines.run(lab, CONTROLLER, argv).stdout.strip()


async def perform(action: Action) -> Outcome:
    runner = Runner(lambda line: None, cluster="lab")
    return await runner.perform(action, await runner.plan(action), lambda line: None)


async def row(client: SlurmClient, job_id: str, *reasons: str) -> Job:
    """The job once it is as the test needs it."""
    deadline = time.monotonic() + 30
    while True:
        job = await client.job(job_id)
        if job and (job.state in reasons or (job.reason or "").partition(",")[0] in reasons):
            return job
        assert time.monotonic() < deadline, f"{job_id}: {job and (job.state, job.reason)}"
        await asyncio.sleep(0.3)


async def explained(client: SlurmClient, job: Job, me: str = "ana") -> Explained:
    context = Context(
        time.time(),
        jobs=await client.jobs(),
        nodes=await client.nodes(),
        partitions=await client.partitions(),
        qos=await accounting.qos(client),
        associations=await accounting.associations(client),
        settings=await accounting.settings(client),
        me=me,
    )
    return explain_with(job, context)


def test_what_a_qos_lets_one_hold(limited: Lab, on: Callable[[Body], Any]) -> None:
    if "limits" not in root(limited, "scontrol", "show", "config").partition("Enforce")[2][:60]:
        pytest.skip("this lab was brought up before it enforced limits: bring it up anew")
    first = submit(limited, "-p", "gpu", "--gres=gpu:1", "-t", "20", "-q", QOS)
    on(lambda client: row(client, first, "RUNNING"))
    second = submit(limited, "-p", "gpu", "--gres=gpu:1", "-t", "20", "-q", QOS)

    async def body(client: SlurmClient) -> Explained:
        waits = await row(client, second, "QOSMaxGRESPerUser")
        return await explained(client, waits)

    found = on(body)
    assert found.short.startswith("you hold 1 of 1 GPU until ")
    assert f"QoS {QOS} allows 1 GPU a user" in found.text and f"(job {first})" in found.text
    assert found.until is not None and 60 < found.until - time.time() < 21 * 60
    greedy = submit(limited, "-p", "cpu", "-n", "8", "-t", "20", "-q", QOS)
    long = submit(limited, "-p", "cpu", "-t", "60", "-q", QOS)

    async def never(client: SlurmClient) -> tuple[Explained, Explained]:
        many = await row(client, greedy, "QOSMaxCpuPerJobLimit")
        slow = await row(client, long, "QOSMaxWallDurationPerJobLimit")
        return await explained(client, many), await explained(client, slow)

    many, slow = on(never)
    assert many.short == f"asks 8 CPUs, QoS {QOS} lets a job have 6 CPUs" and many.never
    assert slow.short == f"asks 1:00:00, QoS {QOS} allows 30:00" and slow.never

    async def mend(client: SlurmClient) -> Outcome:
        return await perform(ModifyJob(client, [long], {"time_limit": "10"}))

    assert on(mend).message == f"job {long} has time limit 10:00"
    on(lambda client: row(client, long, "RUNNING"))


def test_modify_reads_back_what_became_of_each(limited: Lab, on: Callable[[Body], Any]) -> None:
    later = ("--begin=now+1hour", "-t", "10")
    one, other = submit(limited, *later), submit(limited, *later)
    array = submit(limited, *later, "-a", "0-5%2")

    async def body(client: SlurmClient) -> None:
        changes = {"time_limit": "20", "nice": "7", "qos": QOS, "partition": "edge"}
        outcome = await perform(ModifyJob(client, [one], changes))
        assert outcome.message == (
            f"job {one} has time limit 20:00, nice 7, QoS {QOS}, partition edge"
        )
        # A task of an array and a whole one beside a plain job: one command, an outcome for each.
        ids = [other, f"{array}_[1-2]", f"{array}_4"]
        outcome = await perform(ModifyJob(client, ids, {"time_limit": "15"}))
        assert outcome.kind == "done", outcome.message
        assert {k for k in outcome.details if k.startswith("job ")} == {f"job {i}" for i in ids}
        outcome = await perform(ModifyJob(client, [array], {"at_once": "3"}))
        assert outcome.message == f"job {array} has at once 3"
        with pytest.raises(ActionError, match="there is no no-such-qos; choose from"):
            await ModifyJob(client, [one], {"qos": "no-such-qos"}).plan()
        with pytest.raises(ActionError, match="there is no nope; choose from gpu, cpu, edge"):
            await ModifyJob(client, [one], {"partition": "nope"}).plan()

    on(body)
    limits = root(limited, "squeue", "-r", "-h", "-j", array, "-O", "ArrayTaskID:4,TimeLimit:9")
    assert sorted(" ".join(line.split()) for line in limits.splitlines()) == [
        "0 10:00", "1 15:00", "2 15:00", "3 10:00", "4 15:00", "5 10:00",
    ]  # fmt: skip


def test_put_first_and_act_on_many(limited: Lab, on: Callable[[Body], Any]) -> None:
    later = ("--begin=now+1hour", "-t", "10")
    ids = [submit(limited, *later) for _ in range(4)]
    array = submit(limited, *later, "-a", "0-3")
    runs = submit(limited, "-t", "10")

    async def body(client: SlurmClient) -> None:
        await row(client, runs, "RUNNING")
        first = await perform(TopJob(client, [ids[-1]]))
        assert first.message == f"job {ids[-1]} is first of ana's jobs in cpu"
        marked = [*ids, f"{array}_[0-3]", runs]
        plan = await HoldJob(client, marked).plan()
        assert plan.title == "Hold 5 jobs" and len(plan.steps) == 1
        assert plan.risks == ("1 of 6 left out: only a waiting job: it is running",)
        assert (await perform(HoldJob(client, marked))).message == "5 jobs are held"
        assert (await perform(ReleaseJob(client, marked))).message == "5 jobs are released"
        stop = await perform(SuspendJob(client, [runs]))
        assert stop.message == f"job {runs} is suspended"
        over = await perform(CancelJob(client, marked))
        assert over.message == "6 jobs are cancelled"
        assert len([k for k in over.details if k.startswith("job ")]) == 6

    on(body)


def test_who_is_no_operator_is_told_beforehand(limited: Lab, on: Callable[[Body], Any]) -> None:
    """Ana's own view: the levels as slurmdbd has them."""
    told = root(limited, "runuser", "-u", "ana", "--", "sacctmgr", "-n", "-P", "show", "user",
                "where", "name=ana", "format=User,AdminLevel")  # fmt: skip
    assert told == "ana|None"
    assert on(accounting.is_operator) is True  # the lab's operator
    assert on(SlurmClient.whoami) == "labop"


def test_shares_and_reservations(limited: Lab, on: Callable[[Body], Any]) -> None:
    root(limited, "scontrol", "create", "reservation=qtest-kept", "starttime=now+5days",
         "duration=60", "nodes=xps15-cpu", "users=ana", "flags=maint")  # fmt: skip
    try:
        shares = on(accounting.shares)
        assert {s.user for s in shares} >= {"root", "ana", "ben", "labop"}
        assert shares[0].account == "root" and shares[0].depth == 0
        kept = {r.name: r for r in on(accounting.reservations)}["qtest-kept"]
        assert (kept.nodes, kept.users) == (("xps15-cpu",), ("ana",))
        assert "MAINT" in kept.flags and kept.end_time - kept.start_time == 3600
        assert on(accounting.licenses) == []
    finally:
        root(limited, "scontrol", "delete", "reservation=qtest-kept")
