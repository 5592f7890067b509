"""`labtui vault status`: each server's state in plain words, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import msgspec

from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, json_option
from labtui.commands.common import with_session
from labtui.commands.documents import document, echo_json
from labtui.commands.vault.servers import servers
from labtui.model import VaultNode
from labtui.session import Session
from labtui.text import inert
from labtui.views import vault as view
from labtui.views.vaultset import Finding, findings, opens_by_shares


@click.command()
@click.argument("node", required=False)
@json_option("vault")
@click.pass_context
def status(context: click.Context, node: str | None, as_json: bool) -> None:
    """The state of each Vault server, asked at its own address and without a token.

    Exit status: 0 healthy, 1 sealed or otherwise not well, 2 wrong usage, 3 no server answers.
    """

    async def work(session: Session) -> int:
        servers(session, node or "")
        await session.scheduler.once(("vault.", *(("agents.",) if as_json else ())))
        now = time.time()
        nodes = view.items(session.store, session.config, now)
        found = findings(nodes, now)
        if node is not None:
            nodes = [n for n in nodes if n.node == node]
            found = [f for f in found if node in f.nodes]
        if as_json:
            feeds = session.store.feeds("vault.")
            feeds = [f for f in feeds if node is None or f.name == f"vault.{node}"]
            _echo(document("vault", nodes, feeds), found)
        else:
            _print(nodes, found)
        if all(n.sealed is None for n in nodes):
            return UNREACHABLE
        return UNHEALTHY if any(f.severity >= 2 for f in found) else OK

    with_session(context, work)


def _echo(document: bytes, found: Sequence[Finding]) -> None:
    """The document of `get vault`, and what is wrong with the servers together."""
    body = msgspec.json.decode(document)
    body["findings"] = msgspec.to_builtins(found)
    echo_json(msgspec.json.format(msgspec.json.encode(body), indent=1))


def _print(nodes: Sequence[VaultNode], found: Sequence[Finding]) -> None:
    width = max(len(inert(n.node)) for n in nodes)
    for node in nodes:
        parts = [node.state, *_parts(node), inert(node.address)]
        click.echo(f"{inert(node.node):{width}}  {', '.join(parts)}")
    for finding in found:
        word = {1: "NOTE", 2: "WARNING", 3: "CRITICAL"}[finding.severity]
        click.echo(f"{word} {finding.sentence}")
    if not any(f.severity >= 2 for f in found):
        click.echo("nothing is wrong")


def _parts(node: VaultNode) -> list[str]:
    found: list[str] = []
    if node.sealed and node.threshold and opens_by_shares(node):
        found.append(f"{node.progress or 0} of {node.threshold} shares are in")
        if node.nonce:
            found.append(f"nonce {inert(node.nonce)}")
    if node.ha_mode and node.ha_mode != node.state:
        found.append(node.ha_mode)
    if node.version:
        found.append(f"version {inert(node.version)}")
    return found
