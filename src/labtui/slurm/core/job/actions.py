"""Telling slurmctld what to do with a job. Every function raises HostError or RPCError.

Commands exit 0 for some refusals, and print others on a line among noise: see each function.
"""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING, Any

from labtui.slurm.client import SlurmClient
from labtui.slurm.core.telling import plain, tell
from labtui.slurm.errors import ESLURM_ALREADY_DONE, ESLURM_INVALID_JOB_ID, RPCError, error_of
from labtui.slurm.utils.helpers import signal_to_num

if TYPE_CHECKING:
    from labtui.slurm.core.job.submission import JobSubmitDescription

KILL = 9


async def signal_job(
    client: SlurmClient, job_id: int, signal: Any, steps: str = "children", hurry: bool = False
) -> None:
    """scancel exits 0 for an unknown job and says so only with -v."""
    number = signal_to_num(signal)
    if number is None:
        raise ValueError(f"Invalid Signal: {signal}.")
    part = {"all": ["--full"], "batch": ["--batch"]}.get(str(steps).casefold(), [])
    argv = ["scancel", "-v", *part, *(["--hurry"] if hurry else [])]
    if number != KILL or part:
        argv.append(f"--signal={Signals(number).name.removeprefix('SIG')}")
    await _signal(client, [*argv, str(int(job_id))], number)


async def signal_step(client: SlurmClient, job_id: int, step_id: int | str, signal: Any) -> None:
    number = signal_to_num(signal)
    if number is None:
        raise ValueError(f"Invalid Signal: {signal}.")
    word = [] if number == KILL else [f"--signal={Signals(number).name.removeprefix('SIG')}"]
    await _signal(client, ["scancel", "-v", *word, f"{int(job_id)}.{step_id}"], number)


async def _signal(client: SlurmClient, argv: list[str], number: int) -> None:
    try:
        done = await client.tell(argv)
        said = [line for line in done.stderr.splitlines() if "error:" in line]
        if not said:
            return
        error = error_of("scancel", client.host.name, "", "\n".join(said))
    except RPCError as failed:
        error = failed
    known = (ESLURM_ALREADY_DONE, ESLURM_INVALID_JOB_ID if number == KILL else ESLURM_ALREADY_DONE)
    if error.errno not in known:
        raise plain(error)


async def suspend_job(client: SlurmClient, job_id: int) -> None:
    """For an unknown job slurmctld answers "Unexpected message received"."""
    await tell(client, ["scontrol", "suspend", str(int(job_id))])


async def unsuspend_job(client: SlurmClient, job_id: int) -> None:
    await tell(client, ["scontrol", "resume", str(int(job_id))])


async def hold_job(client: SlurmClient, job_id: int, mode: str | None = None) -> None:
    """An administrator's hold, unless mode is "user" (or the caller is no operator)."""
    verb = "uhold" if mode and mode.casefold() == "user" else "hold"
    await tell(client, ["scontrol", verb, str(int(job_id))])


async def release_job(client: SlurmClient, job_id: int) -> None:
    await tell(client, ["scontrol", "release", str(int(job_id))])


async def requeue_job(client: SlurmClient, job_id: int, hold: bool = False) -> None:
    await tell(client, ["scontrol", "requeuehold" if hold else "requeue", str(int(job_id))])


async def notify_job(client: SlurmClient, job_id: int, msg: str) -> None:
    await tell(client, ["scontrol", "notify", str(int(job_id)), str(msg)])


async def modify_job(client: SlurmClient, job_id: int, changes: JobSubmitDescription) -> None:
    """`scontrol update`. ValueError, and nothing is sent, for an option that it cannot change."""
    from labtui.slurm.core.job.update import assignments

    await tell(client, ["scontrol", "update", f"JobId={int(job_id)}", *assignments(changes)])


async def modify_step(client: SlurmClient, job_id: int, step_id: int | str, limit: Any) -> None:
    from labtui.slurm.core.job.update import time_limit

    if limit is None:
        raise ValueError("nothing to change: only a step's time limit can be")
    step = f"StepId={int(job_id)}.{step_id}"
    await tell(client, ["scontrol", "update", step, f"TimeLimit={time_limit(limit)}"])


async def batch_script(client: SlurmClient, job_id: int) -> str:
    """Where there is none, scontrol of 24.11 exits 0, with the reason on stderr."""
    argv = ["scontrol", "write", "batch_script", str(int(job_id)), "-"]
    try:
        done = await client.tell(argv)
    except RPCError as error:
        raise plain(error) from None
    if not done.stdout and done.stderr.strip():
        raise plain(error_of("scontrol", client.host.name, "", done.stderr))
    return done.stdout
