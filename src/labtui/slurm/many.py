"""Many jobs at once: one question for all of them, and commands that are never too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labtui.model import Job
from labtui.slurm import polling
from labtui.slurm.client import SlurmClient, exact_id, whole_id
from labtui.slurm.errors import RPCError

LONGEST = 30_000
"""Characters of ids in one command: a remote shell takes 128 KiB as one argument."""


def chunks(job_ids: Iterable[str]) -> list[list[str]]:
    """The ids in parts that fit into one command each. ValueError for what is no job id."""
    found: list[list[str]] = []
    room = 0
    for job_id in job_ids:
        size = len(exact_id(job_id)) + 1
        if not found or size > room:
            found.append([])
            room = LONGEST
        found[-1].append(job_id)
        room -= size
    return found


async def rows(client: SlurmClient, job_ids: Sequence[str]) -> list[Job]:
    """All rows of these ids, as `SlurmClient.tasks` gives them of one: what slurmctld has
    forgotten comes from the accounting. One question a thousand jobs."""
    if len(job_ids) == 1:
        return await client.tasks(job_ids[0])
    found: list[Job] = []
    for part in chunks(dict.fromkeys(whole_id(job_id) for job_id in job_ids)):
        live = await _queued(client, part)
        known = {whole_id(job.job_id) for job in live}
        gone = [job_id for job_id in part if job_id not in known]
        found += live + (await _accounted(client, gone) if gone else [])
    return found


async def _queued(client: SlurmClient, ids: list[str]) -> list[Job]:
    try:
        done = await client._read(client._squeue("-t", "all", "-j", ",".join(ids)))
    except RPCError as error:
        if error.kind == "not-found":  # of none of them
            return []
        raise
    marks = client._marks
    return [polling.queued_job(record, marks) for record in polling.records(done.stdout, marks.end)]


async def _accounted(client: SlurmClient, ids: list[str]) -> list[Job]:
    try:
        return await client._sacct("-j", ",".join(ids))
    except RPCError:
        return []
