"""`labtui vault seal|setup|token|audit-devices`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from labtui.actions.base import ActionError
from labtui.actions.vault.operations import AUDITOR, READER, SEALER, SETTER
from labtui.actions.vault.sealing import Seal
from labtui.actions.vault.serving import serving
from labtui.actions.vault.settingup import SetUp, diff
from labtui.commands.basics import OK, UNHEALTHY, USAGE, fail, json_option, prints
from labtui.commands.common import perform, with_session
from labtui.commands.documents import document, echo_json
from labtui.commands.vault.prompt import asked
from labtui.commands.vault.servers import doors, server
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.session import Session
from labtui.spec import Cell
from labtui.text import inert
from labtui.views import vaultpages

_token = click.option("--token-gpg", default="", metavar="FILE", help="A token that gpg decrypts.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_json = json_option()
_confirm = click.option("--confirm", default="", metavar="NAME", help="The name that is asked for.")


@click.command()
@click.argument("node")
@_confirm
@_token
@_json
@click.pass_context
def seal(context: click.Context, node: str, confirm: str, token_gpg: str, as_json: bool) -> None:
    """Seal NODE: everything but what is cached stops, until enough shares are given."""

    async def work(session: Session) -> int:
        row = server(session, node)
        await Seal(doors(session), node).look()
        async with asked(session, (SEALER,), {"token": token_gpg}) as holder:
            action = session.action("vault.seal", [row], holder=holder)
            return await perform(session, action, yes=False, as_json=as_json, confirm=confirm)

    with_session(context, work, changes="vault.seal")


@click.command()
@click.option("--show", is_flag=True, help="Only the diff; exit status 1 where there is one.")
@_token
@_yes
@_json
@click.pass_context
def setup(context: click.Context, show: bool, token_gpg: str, yes: bool, as_json: bool) -> None:
    """What the agents need in Vault: engine, AppRole, policy, role. As a diff, then asked."""

    if show:
        prints(context, "vault-setup")

    async def work(session: Session) -> int:
        await serving(doors(session))
        async with asked(session, (SETTER,), {"token": token_gpg}) as holder:
            if not show:
                action = session.action("vault.setup", [], holder=holder)
                return await perform(session, action, yes=yes, as_json=as_json)
            look = SetUp(doors(session, holder))
            found = await look.look()
            if as_json:
                items = [{"kind": d.kind, "name": d.name, "have": list(d.have),
                          "want": list(d.want)} for d in found]  # fmt: skip
                echo_json(document("vault-setup", items, ()))
            elif found:
                click.echo(diff(found))
            for note in look.notes():
                click.echo(f"labtui: {inert(note, 300)}", err=True)
            return UNHEALTHY if found else OK

    with_session(context, work, changes="" if show else "vault.setup")


@click.command()
@click.option("--all", "every", is_flag=True, help="Also how many there are, and which are root.")
@click.option("--revoke", is_flag=True, help="Revoke the token that is given.")
@_token
@_yes
@_json
@click.pass_context
def token(
    context: click.Context, every: bool, revoke: bool, token_gpg: str, yes: bool, as_json: bool
) -> None:
    """What a token may, and how long it lives. The token itself is never shown."""

    if not revoke:
        prints(context, "vault-token")

    async def work(session: Session) -> int:
        await serving(doors(session))
        async with asked(session, (READER,), {"token": token_gpg}) as holder:
            if revoke:
                action = session.action("vault.revoke", [], holder=holder)
                return await perform(session, action, yes=yes, as_json=as_json)
            told = await _call(session, holder, "token.lookup")
            count = await _call(session, holder, "token.accessors") if every else None
        now = time.time()
        lines = vaultpages.token(told, now)
        lines += ["", *vaultpages.tokens(count, now)] if count else []
        _show(lines, "vault-token", told | ({"all": count} if count else {}), as_json)
        return UNHEALTHY if told["findings"] else OK

    with_session(context, work, changes="vault.revoke" if revoke else "")


@click.command()
@click.option("--enable", metavar="PATH", default="", help="A file on the server, or `stdout`.")
@click.option("--disable", metavar="NAME", default="", help="The device of that name.")
@_confirm
@_token
@_yes
@_json
@click.pass_context
def audit_devices(
    context: click.Context, enable: str, disable: str, confirm: str, token_gpg: str, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Where Vault writes who asked for what. Without options they are listed."""
    if enable and disable:
        fail("--enable or --disable, not both", USAGE)
    if not (enable or disable):
        prints(context, "vault-audit")

    async def work(session: Session) -> int:
        await serving(doors(session))
        async with asked(session, (AUDITOR,), {"token": token_gpg}) as holder:
            if enable or disable:
                changes = {"path": enable, "name": disable}
                action = session.action("vault.audit", [], "", changes, holder)
                return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)
            told = await _call(session, holder, "audit.list")
        _show(vaultpages.audit(told), "vault-audit", told, as_json)
        return UNHEALTHY if told["findings"] else OK

    with_session(context, work, changes="vault.audit" if enable or disable else "")


async def _call(session: Session, holder: Keyholder, id: str) -> dict[str, Any]:
    door = await serving(doors(session, holder))
    try:
        return await holder.call(id, door)
    except HolderError as error:
        raise ActionError(error.message, error.kind) from None


def _show(lines: Sequence[str | Cell], noun: str, told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(document(noun, [told], ()))
        return
    for line in lines:
        click.echo(line.text if isinstance(line, Cell) else line)
