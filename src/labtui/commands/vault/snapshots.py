"""`labtui vault snapshot [FILE]` and `labtui vault restore FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labtui.commands.basics import USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.vault.servers import doors, servers
from labtui.model import VaultNode

if TYPE_CHECKING:
    from labtui.session import Session
    from labtui.spec import Wanted

_json = json_option()
_node = click.option("--node", default="", help="The server; without it the active one.")
_token = click.option("--token-gpg", metavar="FILE", help="A token, which gpg decrypts.")


@click.command()
@click.argument("file", default=".")
@_node
@_token
@click.option("--confirm", default="", metavar="NODE", help="The name, where Vault is stopped.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
@click.pass_context
def snapshot(
    context: click.Context,
    file: str,
    node: str,
    token_gpg: str | None,
    confirm: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Save what Vault stores to FILE, or into a folder under a name of its own.

    Raft storage is saved while it runs, with a token. File storage is copied while the server is
    stopped: it is sealed afterwards.
    """

    async def work(session: Session) -> int:
        from labtui.actions.vault.snapshots import SAVES

        one = await _chosen(session, node)
        changes = {"file": file}
        return await _done(
            session, "vault.snapshot", one, changes, SAVES, token_gpg, yes, as_json, confirm
        )

    with_session(context, work, changes="vault.snapshot")


@click.command()
@click.argument("file")
@_node
@click.option("--force", is_flag=True, help="Though the server has other keys by now.")
@_token
@click.option("--confirm", default="", metavar="NODE", help="The name of the server.")
@_json
@click.pass_context
def restore(
    context: click.Context,
    file: str,
    node: str,
    force: bool,
    token_gpg: str | None,
    confirm: str,
    as_json: bool,
) -> None:
    """Put a snapshot in the place of what Vault stores now. What was written since is lost."""

    async def work(session: Session) -> int:
        from labtui.actions.vault.snapshots import RESTORES

        one = await _chosen(session, node)
        changes = {"file": file, "force": "yes" if force else ""}
        return await _done(
            session, "vault.restore", one, changes, RESTORES, token_gpg, False, as_json, confirm
        )

    with_session(context, work, changes="vault.restore")


async def _done(
    session: Session,
    id: str,
    one: VaultNode,
    changes: dict[str, str],
    wanted: Wanted,
    token_gpg: str | None,
    yes: bool,
    as_json: bool,
    confirm: str,
) -> int:
    from labtui.actions.vault.snapshots import active_of
    from labtui.commands.vault.prompt import asked

    if one.storage == "file":
        action = session.action(id, [one], "", changes)
        return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)
    await active_of(doors(session), one.node)  # before a token is asked for in vain
    async with asked(session, [wanted], {"token": token_gpg} if token_gpg else {}) as holder:
        action = session.action(id, [one], "", changes, holder)
        return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)


async def _chosen(session: Session, name: str) -> VaultNode:
    """The server that is named, the only one, or the active one, with its kind of storage."""
    from labtui.collectors.vault import standing
    from labtui.sources.base import SourceError

    names = servers(session, name)
    found: list[VaultNode] = []
    for one in names:
        storage = "file" if one in session.config.vault.storage else None
        try:
            now = await standing(session.config, one)
        except SourceError:
            address = session.config.vault.nodes[one]
            now = VaultNode(node=one, address=address, storage=storage)
        if now.state == "active":
            return now
        found.append(now)
    if len(found) > 1:
        fail(f"none of {', '.join(names)} is active: name one with --node", USAGE)
    return found[0]
