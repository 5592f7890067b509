"""What the commands share: a session for a moment, one JSON document, exit codes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from labtui.actions.base import Action, ActionError, Outcome, Plan
from labtui.commands.basics import INTERRUPTED, OK, UNHEALTHY, UNREACHABLE, USAGE, fail, need_config
from labtui.session import Session
from labtui.store import Feed
from labtui.text import inert, inert_lines


def with_session(
    context: click.Context, work: Callable[[Session], Awaitable[int]], *, changes: str = ""
) -> None:
    """Run `work` on a session of its own and end the process with what it returns.

    `changes`: the action that it comes to, refused before anything where all is read-only.
    """
    config = need_config(context)
    read_only = bool(context.obj["read_only"])

    async def main() -> int:
        session = Session(config, read_only=read_only)
        try:
            if changes:
                session.runner.allow(changes)
            return await work(session)
        finally:
            await session.close()

    try:
        code = asyncio.run(main())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ActionError as error:
        click.echo(f"labtui: {inert(error)}", err=True)
        code = UNHEALTHY
    sys.stdout.flush()
    sys.exit(code)


def document(noun: str, items: Sequence[Any], feeds: Sequence[Feed], missing: str = "") -> bytes:
    """The document of design section 5: schema, taken_at, items, errors.

    `missing`: why there may be more items, where a source answers and does not tell all.
    """
    errors = [
        {"source": f.name, "kind": f.error.kind, "message": f.error.message}
        for f in feeds
        if f.error
    ]
    if missing:
        errors.append({"source": noun, "kind": "permission", "message": missing})
    taken = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    body = {
        "schema": f"labtui/{noun}/1",
        "taken_at": taken.replace("+00:00", "Z"),
        "items": msgspec.to_builtins(items),
        "errors": errors,
    }
    return msgspec.json.format(msgspec.json.encode(body), indent=1)


def echo_json(data: bytes) -> None:
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


async def perform(
    session: Session, action: Action, *, yes: bool, as_json: bool, confirm: str | None = None,
    implied: bool = False,
) -> int:  # fmt: skip
    """Plan, ask on a terminal, run, verify: the same steps as on screen.

    With a `confirm`, be it empty, a dangerous action takes no `yes`: its word is given or typed.
    `implied` is a `yes` that holds only where there is no danger.
    """
    plan = await session.runner.plan(action)
    for step in plan.steps:
        click.echo(f"{inert(step.where)}: {inert(step.what)}", err=True)
    if plan.preview:
        click.echo("\n".join(inert_lines(plan.preview.rstrip())), err=True)
    for risk in plan.risks:
        click.echo(f"! {inert(risk)}", err=True)
    if plan.undo:
        click.echo(f"undo: {inert(plan.undo)}", err=True)
    if plan.dangerous and confirm is not None:
        if not _named(plan, confirm):
            return OK
    elif not yes and (plan.dangerous or not implied):
        if not sys.stdin.isatty():
            fail("asks before it changes anything: give --yes when there is nobody to ask", USAGE)
        if not click.confirm(inert(plan.title), default=False, err=True):
            return OK
    outcome = await session.runner.perform(action, plan, lambda line: click.echo(line, err=True))
    tell(outcome, as_json)
    return OK if outcome.ok else UNREACHABLE if outcome.kind == "unknown" else UNHEALTHY


def _named(plan: Plan, confirm: str) -> bool:
    """The word that the plan asks for is given or typed. Ends with 2 where it is another."""
    word = inert(plan.confirm_word)
    if not confirm and sys.stdin.isatty():
        confirm = click.prompt(f"{inert(plan.title)}: type {word} to go on", default="", err=True)
        if not confirm:
            return False
    if confirm != plan.confirm_word:
        fail(f"nothing was done: it needs the name {word}, by --confirm or typed", USAGE)
    return True


def tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        body = {"schema": "labtui/outcome/1", "outcome": outcome.kind, "message": outcome.message}
        echo_json(msgspec.json.format(msgspec.json.encode(body | outcome.details), indent=1))
    else:
        click.echo(inert(outcome.message))
