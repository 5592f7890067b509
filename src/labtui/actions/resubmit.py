"""A job that was, for the form: its script, with what sbatch's command line gave it."""

from __future__ import annotations

from labtui.actions.base import ActionError
from labtui.actions.queue import is_array
from labtui.actions.submit import script_of
from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm import polling, resubmission, values
from labtui.slurm.argv import exact_id, whole_id
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.script import parse_script


async def as_it_was(client: SlurmClient, kept: Kept, job: Job) -> tuple[str, tuple[str, ...]]:
    """A script that asks for what the job had; which of its options the job's own did not have.

    Raises ActionError where the script, or what Slurm knows of the job, is not to be had.
    """
    script = parse_script(await script_of(client, kept, job))
    record: dict[str, str] = {}
    paths: tuple[str | None, str | None] = (None, None)
    array = ""
    try:
        if job.source == "squeue":
            record, paths = await client.record(job), await _patterns(client, job)
        if "array" not in script.options:
            array = resubmission.tasks_of(await _rows(client, job) if is_array(job) else [job])
        me = await client.whoami()
    except RPCError as error:
        raise ActionError(error.msg, error.kind) from None
    mine = not me or job.user in (None, me)
    script, own = resubmission.as_it_was(script, job, record, paths=paths, array=array, mine=mine)
    return script.text(), own


async def _patterns(client: SlurmClient, job: Job) -> tuple[str | None, str | None]:
    """Where its output and its errors go, `%j` and the like not filled in."""
    text, end = client.marks.text, client.marks.end
    one = whole_id(job.job_id) if is_array(job) else exact_id(job.job_id)
    argv = ["squeue", "--local", "-a", "-h", "-t", "all", "-j", one]
    done = await client.read([*argv, "-O", f"STDOUT:{text},STDERR:{end}"])
    out, _, err = next(polling.records(done.stdout, end), "").partition(text)
    return values.text(out), values.text(err)


async def _rows(client: SlurmClient, job: Job) -> list[Job]:
    """Of an array all, also of tasks that slurmctld has forgotten while others are still there."""
    array = whole_id(job.job_id)
    try:
        gone = await client.sacct("-j", array)
    except RPCError:  # Slurm keeps no accounting
        gone = []
    return [*await client.tasks(array), *gone]
