"""`labtui job cancel|hold|...|top|modify|log|efficiency|why JOBID ...`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import click

from labtui.actions.base import ActionError
from labtui.actions.modify import FIELD, checked
from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.documents import document, echo_json
from labtui.model import Job
from labtui.session import Session
from labtui.slurm.argv import exact_id, whole_id
from labtui.slurm.log import default_path, follow, locate, tail
from labtui.spec import Cell
from labtui.text import inert
from labtui.views.efficiency import lines as efficiency_lines
from labtui.views.whynot import FEEDS as WHY_FEEDS
from labtui.views.whynot import lines as why_lines

ASK = 10.0
"""Seconds between two questions whether a job is over whose log is followed."""
LAST = 1.0
"""Seconds for what it wrote last."""


@click.group()
def job() -> None:
    """Act on jobs; what is told at the end is what was read back from Slurm."""


def _job(job_id: str, form: Callable[[str], str] = whole_id) -> Job:
    """Ends with 2 for what is no job id, or none of this form."""
    try:
        form(job_id)
    except ValueError as error:
        fail(str(error), USAGE)
    return Job(job_id=job_id, name="", state="")


def _command(verb: str, words: str) -> None:
    @job.command(verb, help=words)
    @click.argument("job_ids", nargs=-1, required=True, metavar="JOBID...")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @json_option()
    @click.pass_context
    def act(context: click.Context, job_ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
        items = [_job(job_id) for job_id in job_ids]

        async def work(session: Session) -> int:
            action = session.action(f"queue.{verb}", items)
            return await perform(session, action, yes=yes, as_json=as_json)

        with_session(context, work)


for _verb, _words in (
    ("cancel", "End jobs, or take them out of the queue."),
    ("hold", "Keep jobs from starting."),
    ("release", "Let held jobs start."),
    ("requeue", "Back into the queue, to run again."),
    ("suspend", "Stop running jobs where they are."),
    ("resume", "Let suspended jobs go on."),
    ("top", "Put jobs before their user's other waiting ones."),
):
    _command(_verb, _words)


@job.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOBID...")
@click.option(
    "--set",
    "sets",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    help=f"What to change, repeatable: {', '.join(FIELD)}.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@click.pass_context
def modify(
    context: click.Context,
    job_ids: tuple[str, ...],
    sets: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Change jobs that are in the queue: `modify 1431 --set time_limit=2:00:00`."""
    wrong = next((one for one in sets if "=" not in one), None)
    if wrong is not None:
        fail(f"--set {inert(wrong, 60)}: write NAME=VALUE, such as time_limit=2:00:00", USAGE)
    changes = {name: value for name, _, value in (one.partition("=") for one in sets)}
    try:
        checked(changes)
    except ActionError as error:
        fail(str(error), USAGE)
    items = [_job(job_id) for job_id in job_ids]

    async def work(session: Session) -> int:
        action = session.action("queue.modify", items, changes=changes)
        return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work)


@job.command()
@click.argument("job_id", metavar="JOBID")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job is over.")
@click.option("-n", "lines", default=200, show_default=True, help="The last N lines.")
@click.pass_context
def log(context: click.Context, job_id: str, stderr: bool, following: bool, lines: int) -> None:
    """Print a job's output; escape sequences in it are shown inert."""
    _job(job_id)

    async def work(session: Session) -> int:
        slurm = session.need_slurm()
        found = await slurm.job(job_id)
        path = (found.stderr if stderr else found.stdout) or default_path(found) if found else None
        if found is not None and "[" in found.job_id:
            fail(f"job {inert(job_id, 40)} is several tasks: name the one", UNHEALTHY)
        if found is None or not path:
            fail(f"Slurm names no log of job {inert(job_id, 40)}", UNHEALTHY)
        host = await locate(session.hosts, session.config.slurm.login, found, path)
        if host is None:
            fail(f"{inert(path, 300)} is not there (yet)", UNHEALTHY)
        if not following:
            for line in await tail(host, path, lines):
                click.echo(line)
            return OK
        reading = asyncio.create_task(_follow(host, path, lines))
        try:
            while not _over(found):
                await asyncio.wait({reading}, timeout=ASK)
                if reading.done():
                    break
                found = await slurm.job(job_id)
            await asyncio.wait({reading}, timeout=LAST)
            if reading.done():
                reading.result()  # raises what ended it
            if not _over(found):
                fail(f"{inert(path, 300)} is not followed any more", UNREACHABLE)
        finally:
            reading.cancel()
        return OK

    with_session(context, work)


@job.command()
@click.argument("job_id", metavar="JOBID")
@json_option("efficiency")
@click.pass_context
def efficiency(context: click.Context, job_id: str, as_json: bool) -> None:
    """How much a job (or each task of an array) used of what it asked for."""
    _job(job_id, exact_id)

    async def work(session: Session) -> int:
        found = await session.efficiencies(job_id)
        if not found:
            fail(f"the accounting knows no job {inert(job_id, 40)}", UNHEALTHY, "not-found")
        if as_json:
            echo_json(document("efficiency", found, ()))
            return OK
        for one in found:
            click.echo(f"job {inert(one.job_id, 40)}: ", nl=False)
            for line in efficiency_lines(one):
                click.echo(line.text if isinstance(line, Cell) else line)
        return OK

    with_session(context, work)


@job.command()
@click.argument("job_id", metavar="JOBID")
@json_option("why")
@click.pass_context
def why(context: click.Context, job_id: str, as_json: bool) -> None:
    """Why a job does not start, node by node, and what would help."""
    _job(job_id)

    async def work(session: Session) -> int:
        slurm = session.need_slurm()
        found = await slurm.job(job_id)
        if found is None or found.state != "PENDING":
            state = "is not known" if found is None else f"is {inert(found.state.lower(), 40)}"
            said = f"job {inert(job_id, 40)} does not wait: it {state}"
            fail(said, UNHEALTHY, "not-found" if found is None else "")
        record = await slurm.record(found)
        await session.scheduler.once(WHY_FEEDS)
        told = await session.why_not(found, record)
        if as_json:
            feeds = [f for name in WHY_FEEDS if (f := session.store.feed(name)) is not None]
            echo_json(document("why", [told], feeds))
            return OK
        for line in why_lines(told, time.time()):
            click.echo(line.text if isinstance(line, Cell) else line)
        return OK

    with_session(context, work)


def _over(job: Job | None) -> bool:
    return job is None or (job.end_time is not None and job.state not in _GOING)


_GOING = frozenset({"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED"})


async def _follow(host: object, path: str, lines: int) -> None:
    async for line in follow(host, path, lines):  # type: ignore[arg-type]
        click.echo(line)
