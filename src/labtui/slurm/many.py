"""Many jobs at once: one question for all of them, and commands that are never too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labtui.model import Job
from labtui.slurm import polling, values
from labtui.slurm.argv import whole_id, written_out
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError

LONGEST = 30_000
"""Characters of ids in one command: a remote shell takes 128 KiB as one argument."""


def chunks(job_ids: Iterable[str]) -> list[list[str]]:
    """The ids in parts that fit into one command each. ValueError for what is no job id."""
    found: list[list[str]] = []
    room = 0
    for job_id in job_ids:
        size = len(written_out(job_id)) + 1
        if not found or size > room:
            found.append([])
            room = LONGEST
        found[-1].append(job_id)
        room -= size
    return found


async def rows(client: SlurmClient, job_ids: Sequence[str], *, apart: bool = False) -> list[Job]:
    """All rows of these ids, as `SlurmClient.tasks` gives them of one: what slurmctld has
    forgotten comes from the accounting. One question a thousand jobs.

    `apart`: each waiting task of an array on a row of its own.
    """
    if len(job_ids) == 1:
        return await client.tasks(job_ids[0], apart=apart)
    found: list[Job] = []
    for part in chunks(dict.fromkeys(whole_id(job_id) for job_id in job_ids)):
        live = await _queued(client, *(["-r"] if apart else []), "-j", ",".join(part))
        known = {whole_id(job.job_id) for job in live}
        gone = [job_id for job_id in part if job_id not in known]
        found += live + (await _accounted(client, gone) if gone else [])
    return found


async def known(client: SlurmClient, job_ids: Sequence[str]) -> list[Job]:
    """As `rows`, with a row of its own for each single task that was named."""
    alone = [job_id for job_id in job_ids if values.is_task(job_id)]
    others = [job_id for job_id in job_ids if not values.is_task(job_id)]
    found = await rows(client, others) if others else []
    return found + (await rows(client, alone, apart=True) if alone else [])


async def of_user(client: SlurmClient, user: str) -> list[Job]:
    """The waiting jobs of one user."""
    return await _queued(client, f"--user={user}", states="PENDING")


async def nice(client: SlurmClient, job_ids: Sequence[str]) -> dict[str, int]:
    """Nice values by id, each waiting task of an array apart and as its folded row."""
    found: dict[str, int] = {}
    for part in chunks(dict.fromkeys(whole_id(job_id) for job_id in job_ids)):
        for more in ([], ["-r"]):
            argv = ["squeue", "--local", "-a", "-h", *more, "-t", "all", "-j", ",".join(part)]
            try:
                done = await client.read([*argv, "-O", "JobArrayID:\x1f,Nice:\x1f"])
            except RPCError as error:
                if error.kind == "not-found":
                    continue
                raise
            for line in done.stdout.split("\n"):
                fields = line.split("\x1f")
                number = values.whole(fields[1].strip().removeprefix("-")) if fields[1:] else None
                if number is not None:
                    sign = -1 if fields[1].strip().startswith("-") else 1
                    found[fields[0].strip()] = sign * number
    return found


async def _queued(client: SlurmClient, *more: str, states: str = "all") -> list[Job]:
    try:
        done = await client.read(client.squeue("-t", states, *more))
    except RPCError as error:
        if error.kind == "not-found":  # of none of them
            return []
        raise
    marks = client.marks
    return [polling.queued_job(record, marks) for record in polling.records(done.stdout, marks.end)]


async def _accounted(client: SlurmClient, ids: list[str]) -> list[Job]:
    try:
        return await client.sacct("-j", ",".join(ids))
    except RPCError:
        return []
