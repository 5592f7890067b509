"""What the commands share: a session for a moment, an action on it, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

import click

from labtui.actions.base import Action, ActionError, Outcome, Plan
from labtui.commands.basics import INTERRUPTED, OK, UNHEALTHY, UNREACHABLE, USAGE, fail, need_config
from labtui.commands.documents import tell
from labtui.commands.signals import at_prompt, heeded
from labtui.hosts.base import HostError
from labtui.session import Session
from labtui.slurm.errors import RPCError
from labtui.text import inert, inert_lines

AWAY = frozenset({"refused", "unreachable", "timeout", "tls", "auth", "host-key"})
"""Kinds of fault by which a source could not be reached at all."""


def with_session(
    context: click.Context, work: Callable[[Session], Awaitable[int]], *, changes: str = ""
) -> None:
    """Run `work` on a session of its own and end the process with what it returns.

    `changes`: the action that it comes to, refused before anything where all is read-only.
    """
    config = need_config(context)
    read_only = bool(context.obj["read_only"])

    signals: list[int] = []

    async def main() -> int:
        nonlocal signals
        signals = heeded()
        session = Session(config, read_only=read_only)
        try:
            if changes:
                session.runner.allow(changes)
            return await work(session)
        finally:
            await session.close()

    try:
        code = asyncio.run(main())
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except asyncio.CancelledError:
        code = 128 + signals[0] if signals else INTERRUPTED
    except ActionError as error:
        fail(inert(error), UNREACHABLE if error.kind in AWAY else UNHEALTHY, error.kind)
    except (HostError, RPCError) as error:
        fail(inert(error), UNREACHABLE, error.kind)
    with contextlib.suppress(OSError):  # nobody may be there to read it any more
        sys.stdout.flush()
    sys.exit(code)


async def perform(
    session: Session, action: Action, *, yes: bool, as_json: bool, confirm: str | None = None,
    implied: bool = False, last: bool = True,
) -> int:  # fmt: skip
    """Plan, ask on a terminal, run, verify: the same steps as on screen.

    With a `confirm`, be it empty, a dangerous action takes no `yes`: its word is given or typed.
    `implied` is a `yes` that holds only where there is no danger. Where it is not the `last` that
    is done, the document is left to what is.
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
    go_on = True
    if plan.dangerous and confirm is not None:
        go_on = _named(plan, confirm)
    elif not yes and (plan.dangerous or not implied):
        if not sys.stdin.isatty():
            fail("asks before it changes anything: give --yes when there is nobody to ask", USAGE)
        with at_prompt():
            go_on = click.confirm(inert(plan.title), default=False, err=True)
    outcome = Outcome("cancelled", "nothing was done")
    if go_on:
        outcome = await session.runner.perform(action, plan, show)
    code = _CODES.get(outcome.kind, UNHEALTHY)
    if as_json and code == OK and not last:
        click.echo(inert(outcome.message), err=True)
    else:
        tell(outcome, as_json)
    return code


def show(line: str) -> None:
    """A terminal that has gone is no reason to break off what is under way."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


_CODES = {"done": OK, "cancelled": OK, "unknown": UNREACHABLE}


def _named(plan: Plan, confirm: str) -> bool:
    """The word that the plan asks for is given or typed. Ends with 2 where it is another."""
    word = inert(plan.confirm_word)
    if not confirm and sys.stdin.isatty():
        asks = f"{inert(plan.title)}: type {word} to go on"
        with at_prompt():
            confirm = click.prompt(asks, default="", err=True)
        if not confirm:
            return False
    if confirm != plan.confirm_word:
        fail(f"nothing was done: it needs the name {word}, by --confirm or typed", USAGE)
    return True
