"""`labtui vault init|rekey|generate-root|revoke-root NODE`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labtui.commands.basics import OK, USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.vault.servers import doors, server

if TYPE_CHECKING:
    from labtui.actions.vault.ceremony import Ceremony
    from labtui.session import Session

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_json = json_option()
_gpg = click.option(
    "--gpg", "gpg", multiple=True, metavar="FILE",
    help="A share that gpg decrypts. Repeatable; without one it is asked on the terminal.",
)  # fmt: skip
_pgp = click.option(
    "--pgp", multiple=True, metavar="FILE",
    help="A holder's public key, or a folder of them: one a share, in their order.",
)  # fmt: skip
_shares = click.option("--shares", type=int, help="How many shares are made.")
_threshold = click.option("--threshold", type=int, help="How many of them are needed.")
_out = click.option(
    "--out", default=".", show_default=True, metavar="DIR", help="Where the wrapped files go."
)


def _place(out: str) -> tuple[Path, str]:
    """The folder, and the file's name where one is named, which may not be there yet."""
    from labtui.actions.vault.wrapping import full

    path = full(out)
    if path.is_dir():
        return path, ""
    if os.path.lexists(path):
        fail(f"{path} is there already: nothing is overwritten", USAGE)
    return path.parent, path.name


def _changes(
    shares: int | None, threshold: int | None, pgp: Sequence[str], out: str
) -> dict[str, str]:
    return {
        "shares": "" if shares is None else str(shares),
        "threshold": "" if threshold is None else str(threshold),
        "pgp": shlex.join(pgp),
        "out": out,
    }


@click.command()
@click.argument("node")
@_shares
@_threshold
@_pgp
@click.option("--root-pgp", metavar="FILE", help="Public key of who gets the root token.")
@_out
@click.option("--confirm", default="", metavar="NODE", help="The name, where that is asked.")
@_yes
@_json
@click.pass_context
def init(
    context: click.Context,
    node: str,
    shares: int | None,
    threshold: int | None,
    pgp: tuple[str, ...],
    root_pgp: str | None,
    out: str,
    confirm: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Make a new server's shares, each wrapped for its holder.

    There is no way to have them plain: every share and the root token needs a public key.
    """
    changes = _changes(shares, threshold, pgp, out)
    changes["root_pgp"] = shlex.join([root_pgp] if root_pgp else [])

    async def work(session: Session) -> int:
        action = session.action("vault.init", [server(session, node)], "", changes)
        return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)

    with_session(context, work, changes="vault.init")


@click.command()
@click.argument("node")
@click.option("--start", is_flag=True, help="Begin one: with --shares, --threshold, --pgp.")
@click.option("--cancel", is_flag=True, help="End the one that is under way.")
@_shares
@_threshold
@_pgp
@_out
@_gpg
@_yes
@_json
@click.pass_context
def rekey(
    context: click.Context,
    node: str,
    start: bool,
    cancel: bool,
    shares: int | None,
    threshold: int | None,
    pgp: tuple[str, ...],
    out: str,
    gpg: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """New shares for a server that has some.

    With --start it begins. Without, shares are given to the one under way: first present ones, by
    as many people as are needed; whoever gives the last gets the new ones, wrapped, in --out. Then
    new ones, which verifies them: before that the old ones stay valid.
    """
    if start and cancel:
        fail("--start or --cancel, not both", USAGE)

    async def work(session: Session) -> int:
        from labtui.actions.vault import rekeyrounds, rekeystate
        from labtui.actions.vault.wrapping import folder

        one = server(session, node)
        if cancel:
            action = session.action("vault.rekey-cancel", [one])
            return await perform(session, action, yes=yes, as_json=as_json)
        if start:
            changes = _changes(shares, threshold, pgp, out)
            action = session.action("vault.rekey", [one], "", changes)
            code = await perform(session, action, yes=yes, as_json=as_json, last=not gpg)
            if code != OK or not gpg:
                return code
        reach = doors(session)
        now = await rekeystate.state(reach.door(node))
        if not now.get("started"):
            fail(f"{node}: no rekey is under way; --start begins one", USAGE)
        from labtui.commands.vault.prompt import give_shares

        if now.get("verifying"):
            ceremony: Ceremony = rekeyrounds.VerifyCeremony(reach, node)
        else:
            for line in rekeystate.owners(now):
                click.echo(line, err=True)
            ceremony = rekeyrounds.RekeyCeremony(reach, node, await folder(out))
        return await give_shares(session, ceremony, gpg, as_json=as_json)

    with_session(context, work, changes="vault.rekey-cancel" if cancel else "vault.rekey")


@click.command("generate-root")
@click.argument("node")
@click.option("--pgp", metavar="FILE", help="Public key of who gets it: begins one.")
@click.option("--cancel", is_flag=True, help="End the one that is under way.")
@click.option("--out", default=".", metavar="FILE", help="File or folder of the wrapped token.")
@_gpg
@_yes
@_json
@click.pass_context
def generate_root(
    context: click.Context,
    node: str,
    pgp: str | None,
    cancel: bool,
    out: str,
    gpg: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """A new root token, wrapped for its holder. Revoke it when its work is done.

    With --pgp it begins. Without, shares are given to the one under way; whoever gives the last
    gets the wrapped token.
    """
    if pgp and cancel:
        fail("--pgp or --cancel, not both", USAGE)

    async def work(session: Session) -> int:
        from labtui.actions.vault import rooting
        from labtui.actions.vault.wrapping import folder

        one = server(session, node)
        if cancel:
            action = session.action("vault.generate-root-cancel", [one])
            return await perform(session, action, yes=yes, as_json=as_json)
        inside, name = _place(out)
        await folder(str(inside))
        if pgp:
            changes = {"pgp": shlex.join([pgp]), "out": str(inside)}
            action = session.action("vault.generate-root", [one], "", changes)
            code = await perform(session, action, yes=yes, as_json=as_json, last=not gpg)
            if code != OK or not gpg:
                return code
        reach = doors(session)
        now = await rooting.state(reach.door(node))
        if not now.get("started"):
            fail(f"{node}: no root token is being made; --pgp begins it", USAGE)
        from labtui.commands.vault.prompt import give_shares

        click.echo(f"for the key {rooting.owner(now)}", err=True)
        ceremony = rooting.RootCeremony(reach, node, inside, name)
        return await give_shares(session, ceremony, gpg, as_json=as_json)

    with_session(
        context, work, changes="vault.generate-root-cancel" if cancel else "vault.generate-root"
    )


@click.command("revoke-root")
@click.argument("node")
@click.option("--token-gpg", metavar="FILE", help="The root token, which gpg decrypts.")
@_yes
@_json
@click.pass_context
def revoke_root(
    context: click.Context, node: str, token_gpg: str | None, yes: bool, as_json: bool
) -> None:
    """The root token gives itself back: the end of init, and of generate-root."""

    async def work(session: Session) -> int:
        from labtui.actions.vault.ceremonies import ROOT
        from labtui.actions.vault.serving import fresh
        from labtui.commands.vault.prompt import asked

        one = server(session, node)
        await fresh(session.config, node)
        async with asked(session, [ROOT], {"token": token_gpg} if token_gpg else {}) as holder:
            action = session.action("vault.revoke-root", [one], holder=holder)
            return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work, changes="vault.revoke-root")
