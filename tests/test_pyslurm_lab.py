"""A program written for PySlurm, on the lab's own Slurm: `import labtui.slurm as pyslurm`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

import labtui.slurm as pyslurm
from labtui.config import load
from labtui.hosts.connect import host as make_host
from labtui.lab import net
from labtui.lab.layout import CONTROLLER, Lab
from labtui.slurm import aio
from labtui.slurm.client import SlurmClient

pytestmark = pytest.mark.lab

T = TypeVar("T")
Inside = Callable[[Callable[[], Any]], Any]

SLEEP = "#!/bin/bash\nsrun --mem=10 -J inner sleep 120\n"


@pytest.fixture
def inside(lab: Lab) -> Iterator[Inside]:
    """Runs a function in the lab's network, connected to its login node; ends its jobs."""
    config = load(lab.config)
    submitted: list[int] = []
    submit = pyslurm.JobSubmitDescription.submit

    def noted(desc: Any) -> int:
        submitted.append(submit(desc))
        return submitted[-1]

    def run(function: Callable[[], T]) -> T:
        def connected() -> T:
            pyslurm.connect(make_host(CONTROLLER, config.nodes[CONTROLLER]))
            try:
                return function()
            finally:
                for job_id in submitted:
                    pyslurm.Job(job_id).cancel()
                pyslurm.slurm_fini()

        return net.call(lab, connected)

    pyslurm.JobSubmitDescription.submit = noted  # type: ignore[method-assign]
    yield run
    pyslurm.JobSubmitDescription.submit = submit  # type: ignore[method-assign]


def describe(**more: Any) -> pyslurm.JobSubmitDescription:
    small = {"partitions": "cpu", "memory_per_node": 50, "time_limit": 10, "script": SLEEP}
    return pyslurm.JobSubmitDescription(**{"name": "pyslurm-test", **small, **more})


def until(job_id: int, *states: str, limit: float = 30.0) -> pyslurm.Job:
    deadline = time.monotonic() + limit
    while True:
        job = pyslurm.Job.load(job_id)
        if job.state in states:
            return job
        assert time.monotonic() < deadline, f"job {job_id} is {job.state}"
        time.sleep(0.3)


def step_of(job_id: int, step_id: int | str, limit: float = 20.0) -> pyslurm.JobStep:
    """The step, once it is there: slurmctld knows of it a moment after its job runs."""
    deadline = time.monotonic() + limit
    while True:
        try:
            return pyslurm.JobStep.load(job_id, step_id)
        except pyslurm.RPCError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def test_a_held_job_is_loaded_changed_and_released(inside: Inside) -> None:
    def program() -> None:
        desc = describe(priority=0, ntasks=2, nice=7, comment="mine", time_limit_min=5)
        desc.mail_types, desc.mail_user = ["END", "FAIL"], "a@b.c"
        job_id = desc.submit()
        job = pyslurm.Job.load(job_id)
        assert (job.id, job.name, job.comment) == (job_id, "pyslurm-test", "mine")
        assert job.state == "PENDING" and job.priority == 0
        assert job.state_reason == "JobHeldUser"
        assert (job.ntasks, job.cpus, job.memory, job.nice) == (2, 2, 50, 7)
        assert (job.time_limit, job.time_limit_min) == (10, 5)
        assert job.mail_user == ["a@b.c"] and job.mail_types == ["END", "FAIL"]
        assert job.user_name == "labop" and job.partition == "cpu" and job.run_time == 0
        assert job.cluster == pyslurm.settings.LOCAL_CLUSTER and job.steps == {}
        assert job.standard_output == f"{job.working_directory}/slurm-{job_id}.out"
        assert job.get_batch_script() == SLEEP

        pyslurm.Job(job_id).modify(
            pyslurm.JobSubmitDescription(time_limit="2-00:00:00", ntasks=3, comment="a b = c")
        )
        job = pyslurm.Job.load(job_id)
        assert (job.time_limit, job.ntasks, job.comment) == (2880, 3, "a b = c")

        jobs = pyslurm.Jobs.load()
        listed = jobs[job_id]
        assert (listed.name, listed.time_limit, listed.cluster) == (job.name, 2880, job.cluster)
        assert jobs[job.cluster][job_id] is listed and job in jobs and jobs.cpus >= 3

        job.release()
        assert pyslurm.Job.load(job_id).priority != 0
        job.hold("user")
        job = until(job_id, "PENDING", "RUNNING")
        if job.state == "PENDING":  # it had not started meanwhile
            assert job.priority == 0
        job.cancel()
        assert until(job_id, "CANCELLED").end_time is not None
        job.cancel()  # once more is no error

    inside(program)


def test_a_running_job_has_steps_and_numbers(inside: Inside) -> None:
    def program() -> None:
        job_id = describe(ntasks=1, environment={"PATH": "/usr/bin:/bin", "A": "x,y"}).submit()
        until(job_id, "RUNNING")
        step = step_of(job_id, 0)
        assert (step.job_id, step.name, step.ntasks, step.state) == (job_id, "inner", 1, "RUNNING")
        assert step.tres is not None and step.tres.mem is not None and step.tres.mem.count == 10
        assert pyslurm.JobStep.load(job_id, "batch").name == "batch"
        with pytest.raises(pyslurm.RPCError, match=rf"^Step 77 of Job {job_id} not found\.$"):
            pyslurm.JobStep.load(job_id, 77)

        job = pyslurm.Job.load(job_id)
        assert set(job.steps) >= {0, "batch"} and job.allocated_nodes and job.start_time
        layout = job.get_resource_layout_per_node()[job.allocated_nodes]
        assert layout["memory"] == 50 and layout["cpu_ids"]
        stats = job.load_stats()
        assert stats is job.stats and stats.elapsed_cpu_time >= 0
        assert job.pids[job.allocated_nodes] and job.steps["batch"].stats.avg_resident_memory
        jobs = pyslurm.Jobs.load()
        jobs.load_steps()
        assert 0 in jobs[job_id].steps and job_id in pyslurm.JobSteps.load_all()
        assert jobs.to_json()

        step.modify(pyslurm.JobStep(time_limit="00:05:00"))
        assert pyslurm.JobStep.load(job, 0).time_limit == 5
        job.notify("hello there")
        job.suspend()
        assert pyslurm.Job.load(job_id).state == "SUSPENDED"
        job.unsuspend()
        until(job_id, "RUNNING")
        step.cancel()
        assert until(job_id, "COMPLETED", "FAILED", "COMPLETING").derived_exit_code is not None

    inside(program)


def test_a_job_goes_back_into_the_queue(inside: Inside) -> None:
    def program() -> None:
        job_id = describe().submit()
        job = until(job_id, "RUNNING")
        assert job.requeue_count == 0
        job.requeue(hold=True)
        assert pyslurm.Job.load(job_id).requeue_count == 1
        assert until(job_id, "PENDING").priority == 0

    inside(program)


def test_tasks_of_an_array_are_told_apart(inside: Inside) -> None:
    def program() -> None:
        array = describe(array="0-1,8-9%2").submit()
        deadline = time.monotonic() + 30
        while True:
            tasks = [j for j in pyslurm.Jobs.load().values() if j.array_id == array]
            running = {j.array_task_id: j for j in tasks if j.state == "RUNNING"}
            if len(running) == 2:
                break
            assert time.monotonic() < deadline, tasks
            time.sleep(0.5)
        (waiting,) = (j for j in tasks if j.array_task_id is None)
        assert waiting.array_tasks_waiting == "8-9" and waiting.array_tasks_parallel == 2
        for number, task in running.items():
            job = pyslurm.Job.load(task.id)
            assert (job.id, job.array_id, job.array_task_id) == (task.id, array, number)
            step = step_of(task.id, "batch")
            assert (step.job_id, step.array_task_id) == (task.id, number)
            assert {task.id} <= set(pyslurm.JobSteps.load_all())

    inside(program)


def test_no_name_imitates_another_job(inside: Inside) -> None:
    name = (
        "x\n   UserId=root(0) GroupId=root(0) MCS_label=N/A\n   Priority=9 Nice=0\n"
        "   JobState=RUNNING Reason=None\n   Command=/evil\n\nJobId=1 JobName=y"
    )
    comment = "one\n   StdErr=/etc/shadow\n\nJobId=2 JobName=z"

    def program() -> None:
        job_id = describe(priority=0, name=name, comment=comment, dependencies="singleton").submit()
        for job in (pyslurm.Job.load(job_id), pyslurm.Jobs.load()[job_id]):
            assert (job.name, job.comment) == (name, comment)
            assert (job.user_name, job.state, job.priority) == ("labop", "PENDING", 0)
            assert job.standard_error in (f"{job.working_directory}/slurm-{job_id}.out", None)
            assert job.dependencies is not None and job.dependencies["singleton"]

    inside(program)


def test_refusals_are_errors_with_slurms_number(inside: Inside) -> None:
    def program() -> None:
        for do in (
            lambda: pyslurm.Job.load(4_000_000),
            lambda: pyslurm.JobSteps.load(4_000_000),
            lambda: pyslurm.JobStep.load(4_000_000, 0),
            lambda: pyslurm.Job(4_000_000).hold(),
            lambda: pyslurm.Job(4_000_000).requeue(),
            lambda: pyslurm.Job(4_000_000).notify("x"),
            lambda: pyslurm.Job(4_000_000).get_batch_script(),
            lambda: pyslurm.Job(4_000_000).send_signal(15),
        ):
            with pytest.raises(pyslurm.RPCError, match="Invalid job id specified") as found:
                do()
            assert found.value.errno == 2017
        pyslurm.Job(4_000_000).cancel()
        with pytest.raises(pyslurm.RPCError, match="Invalid partition") as found:
            describe(partitions="nope").submit()
        assert found.value.errno == pyslurm.error.slurm_errno() == 2000

    inside(program)


def test_the_asynchronous_face_gives_the_same(lab: Lab) -> None:
    config = load(lab.config)

    async def body() -> None:
        login = make_host(CONTROLLER, config.nodes[CONTROLLER])
        client = SlurmClient(login)
        try:
            job_id = await aio.submit(client, describe(priority=0))
            try:
                jobs, job = await asyncio.gather(aio.jobs(client), aio.job(client, job_id))
                assert jobs.get((job.cluster, job_id), jobs.get(job_id)).name == job.name
                await aio.release_job(client, job_id)
            finally:
                await aio.signal_job(client, job_id, 9)
        finally:
            await login.close()

    net.call(lab, asyncio.run, body())
