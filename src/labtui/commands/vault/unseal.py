"""`labtui vault unseal` and `labtui vault reset`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from labtui.actions.base import ActionError
from labtui.actions.vault.unsealed import look
from labtui.actions.vault.unsealing import cannot_unseal
from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.vault.prompt import give_shares
from labtui.commands.vault.servers import doors, server, servers
from labtui.model import VaultNode
from labtui.session import Session
from labtui.text import inert

AGENTS_EVERY = 3.0
"""Seconds between two questions to the agents, while they are waited for."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("node", nargs=-1, type=click.UNPROCESSED)
@click.option("--gpg", "files", multiple=True, metavar="FILE", help="A share that gpg decrypts.")
@click.option("--all", "every", is_flag=True, help="Every sealed server, one after another.")
@click.pass_context
def unseal(
    context: click.Context, node: tuple[str, ...], files: tuple[str, ...], every: bool
) -> None:
    """Give shares to NODE, or to the one server that is sealed.

    They are typed or pasted at a prompt, or come out of gpg files: never as arguments.
    """
    if len(node) > 1 or any(name.startswith("-") for name in node):
        fail("one NODE at most, and --gpg FILE for shares: see --help", USAGE)

    async def work(session: Session) -> int:
        first = await _chosen(session, node[0] if node else "", every)
        if first is None:
            click.echo("no server is sealed")
            return OK
        ceremony = session.ceremony("vault.unseal", [first])
        assert ceremony is not None
        async with _agents_watched(session):
            return await give_shares(session, ceremony, files, every=every)

    with_session(context, work, changes="vault.unseal")


@click.command()
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@click.pass_context
def reset(context: click.Context, node: str, yes: bool, as_json: bool) -> None:
    """Drop the shares that NODE has so far, whoever gave them."""

    async def work(session: Session) -> int:
        action = session.action("vault.reset", [server(session, node)])
        return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work, changes="vault.reset")


async def _chosen(session: Session, name: str, every: bool) -> VaultNode | None:
    """The server to begin with; None where none is sealed. Ends the process where that is not
    clear, or shares do not open it."""
    names = servers(session, name)
    sealed: list[VaultNode] = []
    silent: list[str] = []
    closed: list[str] = []
    for one in names:
        try:
            found = await look(doors(session), one)
        except ActionError as error:
            silent.append(inert(error))
            continue
        if found.state in ("active", "standby"):
            continue
        if why := cannot_unseal(found):
            closed.append(f"{one}: {inert(why)}")
        else:
            sealed.append(found)
    if len(sealed) > 1 and not every:
        fail(f"{', '.join(n.node for n in sealed)} are sealed: name one, or --all", USAGE)
    if not sealed and (silent or closed):
        fail("; ".join((*silent, *closed)), UNHEALTHY if closed else UNREACHABLE)
    for words in silent:
        click.echo(f"labtui: {words}", err=True)
    return sealed[0] if sealed else None


@asynccontextmanager
async def _agents_watched(session: Session) -> AsyncIterator[None]:
    """A command has no schedule: the agents are asked again and again for as long as it takes."""

    async def ask() -> None:
        while True:
            await session.scheduler.once(("agents.",))
            await asyncio.sleep(AGENTS_EVERY)

    asking = asyncio.create_task(ask()) if session.config.vault.agents else None
    try:
        yield
    finally:
        if asking is not None:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
