"""`labtui submit`: a script, or fields over a template, to Slurm; the same action as on screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from labtui.actions.pipeline import SubmitPipeline
from labtui.actions.submit import SubmitJob
from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, USAGE, fail, json_option, prints
from labtui.commands.common import perform, with_session
from labtui.commands.documents import echo_json, pretty
from labtui.kept import Kept
from labtui.session import Session
from labtui.slurm.errors import RPCError
from labtui.slurm.form import FIELD, FIELDS, set_field, word_of
from labtui.slurm.limits import check_limits
from labtui.slurm.pipelines import Stage, pipeline
from labtui.slurm.script import BatchScript, ScriptError, parse_script
from labtui.slurm.templates import FileError, template
from labtui.slurm.usage import Context
from labtui.text import inert
from labtui.views.submitform import FEEDS, context_of, problems


@click.command()
@click.argument("script", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="Set a field.")
@click.option("--template", "template_name", metavar="NAME", help="Start from a template.")
@click.option("--pipeline", "pipeline_name", metavar="NAME|FILE", help="Several jobs as one.")
@click.option("--from", "start", metavar="STAGE", help="This stage of it, and what waits for it.")
@click.option("--test-only", is_flag=True, help="Only ask when it would start.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@click.pass_context
def submit(
    context: click.Context,
    script: str | None,
    fields: tuple[str, ...],
    template_name: str | None,
    pipeline_name: str | None,
    start: str | None,
    test_only: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send SCRIPT (or - for standard input) to Slurm.

    FIELD is one of the form's (name, partition, gpus, cpus, memory, time, command, after,
    directory, ...) or any option of sbatch by its long name.
    """
    if test_only:
        prints(context, "pipeline-estimate" if pipeline_name else "estimate")
    if pipeline_name:
        if script or template_name or fields:
            fail("--pipeline stands alone: its file says what its stages are", USAGE)
        _submit_pipeline(context, pipeline_name, start or "", test_only, yes, as_json)
        return
    if start:
        fail("--from needs a --pipeline", USAGE)
    text = _source(script, template_name)
    try:
        job = _with_fields(parse_script(text) if text else BatchScript(), fields)
        final = job.script() if fields or not text else text
    except ScriptError as error:
        fail(f"{word_of(error.field)}: {error.message}", USAGE)

    async def work(session: Session) -> int:
        slurm = session.need_slurm()
        await _ask(session)
        warnings = problems(context_of(session.store), job)
        if test_only:
            for warning in warnings:
                click.echo(f"! {inert(warning)}", err=True)
            return await _estimate(session, final, job, as_json)
        kept = Kept(session.config.cluster.name)
        action = SubmitJob(slurm, final, chdir=job.get("chdir"), kept=kept, warnings=warnings)
        return await perform(session, action, yes=yes, as_json=as_json, implied=script == "-")

    with_session(context, work)


async def _ask(session: Session) -> None:
    """What the checks rest on. Ends with 3 where slurmctld does not answer."""
    await session.scheduler.once(FEEDS)
    feed = session.store.feed("slurm.partitions")
    if feed is not None and feed.error is not None:
        fail(inert(feed.error.message), UNREACHABLE, feed.error.kind)


def _source(script: str | None, name: str | None) -> str:
    if script and name:
        fail("give a SCRIPT or a --template, not both", USAGE)
    if name:
        try:
            return template(name).script
        except FileError as error:
            fail(inert(error), USAGE)
    if script == "-":
        return sys.stdin.read()
    if script:
        try:
            return Path(script).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{script}: cannot be read: {error}", USAGE)
    return ""


def _with_fields(job: BatchScript, given: tuple[str, ...]) -> BatchScript:
    by_option = {field.option: field for field in FIELDS}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ScriptError(inert(pair, 60), "write FIELD=VALUE")
        field = FIELD.get(name) or by_option.get(name)
        if field is None:
            near = [id for id in FIELD if id.startswith(name[:3])]
            hint = f"; did you mean {' or '.join(near[:3])}?" if near else ""
            raise ScriptError(inert(name, 60), f"no such field, and no option of sbatch{hint}")
        job = set_field(job, field, value)
    return job


async def _estimate(session: Session, script: str, job: BatchScript, as_json: bool) -> int:
    try:
        found = await session.need_slurm().test_only(script, chdir=job.get("chdir"))
    except RPCError as error:
        if error.kind in ("refused", "timeout"):
            raise
        fail(f"Slurm would refuse it: {inert(error.msg)}", UNHEALTHY, error.kind)
    if as_json:
        body: dict[str, Any] = {"schema": "labtui/estimate/1", "start_time": found.start_time}
        body |= {"nodes": found.nodes, "partition": found.partition}
        echo_json(pretty(body))
    elif found.start_time is None:
        click.echo("the scheduler cannot tell when it would start")
    else:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.start_time))
        click.echo(f"would start {at} on {','.join(found.nodes)}")
    return OK


def _submit_pipeline(
    context: click.Context, name: str, start: str, test_only: bool, yes: bool, as_json: bool
) -> None:
    try:
        chosen = pipeline(name)
    except FileError as error:
        fail(inert(error), USAGE)
    if start and not chosen.stage(start):
        names = ", ".join(stage.name for stage in chosen.stages)
        fail(f"{chosen.name} has no stage {inert(start, 60)!r}; there are: {names}", USAGE)

    async def work(session: Session) -> int:
        slurm = session.need_slurm()
        await _ask(session)
        known = context_of(session.store)
        stages = chosen.from_stage(start) if start else chosen.stages
        if test_only:
            return await _pipeline_estimate(session, chosen.name, stages, known, as_json)
        kept = Kept(session.config.cluster.name)
        before = next(iter(kept.runs(chosen.name)), None) if start else None
        source = str(chosen.path) if chosen.path else chosen.name
        action = SubmitPipeline(
            slurm, chosen, kept, source=source, start=start, before=before,
            warnings=[f"{s.name}: {w}" for s in stages for w in check_limits(s.job, known)],
        )  # fmt: skip
        return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work)


async def _pipeline_estimate(
    session: Session, name: str, stages: Sequence[Stage], known: Context, as_json: bool
) -> int:
    """Each stage as if it waited for nothing; unhealthy where one would be refused."""
    items: list[dict[str, Any]] = []
    for stage in stages:
        item: dict[str, Any] = {"stage": stage.name, "after": dict(stage.after)}
        item["problems"] = check_limits(stage.job, known)
        try:
            found = await session.need_slurm().test_only(stage.script)
            item |= {"start_time": found.start_time, "nodes": found.nodes, "refused": None}
        except RPCError as error:
            if error.kind in ("refused", "timeout"):
                raise
            item |= {"start_time": None, "nodes": (), "refused": inert(error.msg)}
        items.append(item)
    if as_json:
        body = {"schema": "labtui/pipeline-estimate/1", "pipeline": name, "items": items}
        echo_json(pretty(body))
    for item in () if as_json else items:
        waits = ", ".join(f"{one} {how}" for one, how in item["after"].items())
        said = item["refused"] and f"Slurm would refuse it: {item['refused']}"
        said = said or f"Slurm would take it, on {','.join(item['nodes'])}"
        click.echo(f"{item['stage']}: {said}" + (f"; after {waits}" if waits else ""))
        for problem in item["problems"]:
            click.echo(f"! {item['stage']}: {inert(problem)}")
    return UNHEALTHY if any(item["refused"] for item in items) else OK
