"""Jobs and steps, asked for without blocking. Every function raises HostError or RPCError."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from labtui.hosts.base import HostError
from labtui.slurm import values
from labtui.slurm.client import HOLDING, SlurmClient
from labtui.slurm.core.job.job import Job, Jobs
from labtui.slurm.core.job.step import JobStep, JobSteps
from labtui.slurm.core.telling import plain
from labtui.slurm.db.stats import JobStatistics, JobStepStatistics
from labtui.slurm.documents import job as job_documents
from labtui.slurm.documents import jobtext
from labtui.slurm.documents import step as step_documents
from labtui.slurm.documents.jobtext import Known
from labtui.slurm.errors import ESLURM_INVALID_JOB_ID, RPCError
from labtui.slurm.polling import Marks
from labtui.slurm.release import NoJson, document, has_json, named, without_json

GONE = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL",
        "DEADLINE", "OUT_OF_MEMORY")  # fmt: skip
AT_ONCE = 4
"""sstat commands that run side by side: each asks the nodes of one job."""


async def jobs(client: SlurmClient) -> Jobs:
    """All jobs that slurmctld knows: `scontrol show job`, before 23.02 squeue's JSON.

    Where there is no JSON, or it is larger than a host may print, scontrol's text.
    """
    await named(client)
    if without_json(client):
        return await _from_text(client)
    if await has_json(client):
        argv: tuple[str, ...] = ("scontrol", "-a", "-d", "show", "job", "--json")
    else:
        argv = ("squeue", "--local", "-a", "-t", "all", "--json")
    try:
        found = await document(client, *argv)
    except NoJson:
        return await _from_text(client)
    except HostError as error:
        if error.kind != "protocol":
            raise
        return await _from_text(client)
    return await asyncio.to_thread(job_documents.jobs, found)


async def job(client: SlurmClient, job_id: int) -> Job:
    """One job, and its steps if it has started. RPCError where slurmctld does not know it."""
    await named(client)
    found = await _job(client, job_id)
    if found.state != "PENDING":
        with contextlib.suppress(RPCError, HostError):
            found.__dict__["steps"] = await steps(client, found.id, found)
    return found


async def _job(client: SlurmClient, job_id: int) -> Job:
    try:
        candidates = await _candidates(client, job_id)
    except RPCError as error:
        raise plain(error) from None
    if not candidates:
        raise RPCError(ESLURM_INVALID_JOB_ID)
    own = candidates.get(job_id)
    found: Job = next(iter(candidates.values())) if own is None else own
    return found


async def _candidates(client: SlurmClient, job_id: int) -> Jobs:
    """The job, or all tasks of the array of that id."""
    if await has_json(client):
        argv = ("scontrol", "-a", "-d", "show", "job", str(job_id), "--json")
        with contextlib.suppress(NoJson):
            return job_documents.jobs(await document(client, *argv))
    return await _from_text(client, job_id)


async def _from_text(client: SlurmClient, *job_id: int) -> Jobs:
    """scontrol's text, read with the names that squeue tells apart: of one job, or of all."""
    marks = Marks()
    form = f"JobID:{marks.text},Comment:{marks.text},Name:{marks.end}"
    one = [f"--jobs={number}" for number in job_id]
    argv = ["squeue", "--local", "-a", "-h", "-r", "-t", "all", *one, "-O", form]
    told = (await _long(client, argv)).split(marks.end)
    argv = ["scontrol", "-a", "-d", "show", "job", *map(str, job_id)]
    shown = await _long(client, argv)
    own = {"cluster": name} if (name := await named(client)) else {}
    return await asyncio.to_thread(_with_names, shown, told, marks, own)


async def _long(client: SlurmClient, argv: list[str]) -> str:
    """An output of any length: 100,000 jobs are 140 MB of scontrol's text."""
    pieces: list[bytes] = []
    await client.read(argv, sink=pieces.append)
    return b"".join(pieces).decode(errors="replace")


def _with_names(shown: str, told: list[str], marks: Marks, own: dict[str, Any]) -> Jobs:
    known: dict[int, Known] = {}
    for record in told:
        number, _, rest = record.partition(marks.text)
        comment, mark, name = rest.partition(marks.text)
        whole = values.whole(number.rsplit("\n", 1)[-1])
        if mark and whole is not None:
            known[whole] = Known(name, values.text(comment))
    found = Jobs()
    for one in jobtext.jobs(shown, known):
        found.add(Job.of(own | one))
    return found


# -- steps --------------------------------------------------------------------------------


async def all_steps(client: SlurmClient) -> dict[int, JobSteps]:
    """Steps of all jobs that run, by job id. Of array tasks by the task's own job id."""
    await named(client)
    found = await _steps(client)
    if not await has_json(client):
        # The text names an array's tasks after it, and without an id scontrol 22.05 leaves out
        # the steps of arrays.
        ids = await _task_ids(client)
        told = {step.array_id for step in found}
        for array in {array for array, _ in ids if array is not None} - told:
            with contextlib.suppress(RPCError):  # it ended meanwhile
                found += await _steps(client, array)
        for step in found:
            task = (step.array_id, step.array_task_id)
            step.__dict__.update(job_id=ids.get(task, step.job_id), _real=task in ids)
    parts = step_documents.by_job(found).items()
    return {key: steps for key, steps in parts if isinstance(key, int)}


async def steps(client: SlurmClient, job_id: int, about: Job | None = None) -> JobSteps:
    """Steps of one job; `about` saves asking what it is. RPCError for an unknown job."""
    await named(client)
    if about is None:
        about = await _job(client, job_id)
    mine = JobSteps()
    task = (about.array_id, about.array_task_id)
    for step in await _steps(client, about.array_id or job_id):
        if (step.array_id, step.array_task_id) == task:
            step.__dict__["job_id"] = job_id
            mine[step.id] = step
    return mine


async def step(client: SlurmClient, job_id: int, step_id: int | str) -> JobStep:
    """One step. RPCError where there is none."""
    found = (await steps(client, job_id)).get(step_id)
    if found is None:
        raise RPCError(msg=f"Step {step_id} of Job {job_id} not found.", kind="not-found")
    return found


async def _steps(client: SlurmClient, target: int | None = None) -> list[JobStep]:
    """Of all jobs, or of one (an array whole: scontrol's JSON finds no single task of one)."""
    argv = ["scontrol", "show", "step", *([] if target is None else [str(target)])]
    if await has_json(client):
        with contextlib.suppress(NoJson):
            return step_documents.listed(await document(client, *argv, "--json"))
    found = step_documents.listed((await client.read(argv)).stdout)
    for step in found:
        step.__dict__["cluster"] = await named(client) or step.cluster
    return found


async def _task_ids(client: SlurmClient) -> dict[tuple[int | None, int | None], int]:
    """The job id of each task of an array that has started, by array and number."""
    form = "JobID:|,ArrayJobID:|,ArrayTaskID:;"
    argv = ["squeue", "--local", "-a", "-h", "-t", HOLDING, "-O", form]
    found: dict[tuple[int | None, int | None], int] = {}
    for record in (await client.read(argv)).stdout.split(";"):
        parts = [values.whole(word) for word in record.split("|")]
        if len(parts) == 3 and parts[0] is not None and parts[2] is not None:
            found[parts[1], parts[2]] = parts[0]
    return found


async def load_steps(client: SlurmClient, into: Jobs) -> None:
    """Give every job of a collection its steps."""
    found = await all_steps(client)
    for one in into.values():
        one.__dict__["steps"] = found.get(one.id, JobSteps())


# -- measuring ----------------------------------------------------------------------------


async def _measure(client: SlurmClient, target: str) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """(statistics, process ids) by job and step, of a job or a step that runs."""
    base = ["sstat", "-a", "-n", "-P", "--noconvert", "-j", target]
    try:
        usage, processes = await asyncio.gather(
            client.read([*base, f"--format={','.join(step_documents.SSTAT)}"]),
            client.read([*base, "-i", "--format=JobID,Nodelist,Pids"]),
        )
    except RPCError as error:
        raise plain(error) from None
    return step_documents.statistics(usage.stdout), step_documents.pids(processes.stdout)


async def job_stats(client: SlurmClient, about: Job) -> JobStatistics:
    """Measure a job's steps; fills them, and the job's `stats` and `pids`."""
    if not about.steps:
        fresh = await job(client, about.id)
        about.__dict__.update({**fresh.__dict__, "stats": about.stats})
    if not about.steps:  # it has not started
        return about.stats
    usage, processes = await _measure(client, str(about.id))
    pids: dict[str, list[int]] = {}
    for one in about.steps.values():
        _give(one, usage, processes)
        for node, numbers in one.pids.items():
            pids.setdefault(node, []).extend(numbers)
    stats = JobStatistics.from_steps(about.steps)
    stats.elapsed_cpu_time = about.elapsed_cpu_time or 0
    about.__dict__.update(stats=stats, pids=pids)
    return stats


async def step_stats(client: SlurmClient, about: JobStep) -> JobStepStatistics:
    """Measure one step; fills its `stats` and `pids`."""
    _give(about, *await _measure(client, f"{about.job_id}.{about.id}"))
    return about.stats


def _give(step: JobStep, usage: dict[Any, Any], processes: dict[Any, Any]) -> None:
    key = (step.job_id, step.id)
    stats = usage.get(key)
    if stats is not None:
        stats.elapsed_cpu_time = step.elapsed_cpu_time
        step.__dict__["stats"] = stats
    step.__dict__["pids"] = processes.get(key, {})


async def jobs_stats(client: SlurmClient, of: Jobs) -> JobStatistics:
    """Measure all jobs of a collection that run; their sum becomes its `stats`."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(about: Job) -> JobStatistics | None:
        async with gate:
            with contextlib.suppress(RPCError):  # it ended meanwhile
                return await job_stats(client, about)
        return None

    running = [about for about in of.values() if about.state == "RUNNING"]
    total = JobStatistics()
    for found in await asyncio.gather(*map(one, running)):
        if found is not None:
            total.add(found)
    of.stats = total
    return total
