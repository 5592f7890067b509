"""`labtui vault rotate PATH|NAME` and `labtui vault rollback PATH|NAME`."""

from __future__ import annotations

import click

from labtui.actions.vault.rotation import WRITER, value_of
from labtui.actions.vault.serving import serving
from labtui.actions.vault.versions import chosen, wait_of
from labtui.commands.basics import USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.vault.prompt import asked
from labtui.commands.vault.servers import doors
from labtui.session import Session

NEVER = (
    "one PATH or NAME, and options: see --help; a value is never given as an argument: if that was"
    " one, it is in the shell's history and was in the list of processes, so rotate to another"
)
_field = click.option("--field", default="", help="Of a secret that is not in [vault.secrets].")
_wait = click.option("--wait", default="", metavar="S", help="Seconds to watch: 90, at most 360.")
_token = click.option("--token-gpg", default="", metavar="FILE", help="A token that gpg decrypts.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_json = json_option()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("secret", metavar="PATH|NAME")
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="")
@_field
@click.option("--value-gpg", default="", metavar="FILE", help="The value, which gpg decrypts.")
@_token
@click.option("--exact", is_flag=True, help="White space at the value's ends is a part of it.")
@_wait
@_yes
@_json
@click.pass_context
def rotate(
    context: click.Context, secret: str, more: tuple[str, ...], field: str, value_gpg: str,
    token_gpg: str, exact: bool, wait: str, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Put a new version of a secret, and watch until every node's file has it.

    The value and the token are typed or pasted at a prompt, or come out of gpg files.
    """
    if more:  # click would repeat it
        fail(NEVER, USAGE)

    async def work(session: Session) -> int:
        name = chosen(session.config.vault, secret, field).words
        wait_of(wait)
        await serving(doors(session))  # before anything is asked
        files = {"value": value_gpg, "token": token_gpg}
        async with asked(session, (value_of(name), WRITER), files) as holder:
            changes = {"field": field, "wait": wait, "exact": "yes" if exact else ""}
            action = session.action("vault.rotate", [], secret, changes, holder)
            return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work, changes="vault.rotate")


@click.command()
@click.argument("secret", metavar="PATH|NAME")
@_field
@click.option("--version", "number", default="", metavar="N",
              help="Which one; else the last one with another value.")  # fmt: skip
@_token
@_wait
@_yes
@_json
@click.pass_context
def rollback(
    context: click.Context, secret: str, field: str, number: str, token_gpg: str, wait: str,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write an earlier version of a secret again, and watch it likewise."""

    async def work(session: Session) -> int:
        chosen(session.config.vault, secret, field)
        wait_of(wait)
        await serving(doors(session))
        async with asked(session, (WRITER,), {"token": token_gpg}) as holder:
            changes = {"field": field, "wait": wait, "version": number}
            action = session.action("vault.rollback", [], secret, changes, holder)
            return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work, changes="vault.rollback")
