"""`labtui node drain|resume|shell NODE`."""

from __future__ import annotations

import os
import sys

import click

from labtui.commands.basics import USAGE, enter_lab, fail, json_option, load_config
from labtui.commands.common import perform, with_session
from labtui.model import Node
from labtui.session import Session


@click.group()
def node() -> None:
    """Act on a machine."""


def _act(context: click.Context, id: str, name: str, reason: str, yes: bool, js: bool) -> None:
    async def work(session: Session) -> int:
        action = session.action(id, [Node(name=name)], reason)
        return await perform(session, action, yes=yes, as_json=js)

    with_session(context, work)


@node.command()
@click.argument("name")
@click.option("--reason", required=True, help="What others will read.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@click.pass_context
def drain(context: click.Context, name: str, reason: str, yes: bool, as_json: bool) -> None:
    """Take no new jobs; running ones go on."""
    _act(context, "nodes.drain", name, reason, yes, as_json)


@node.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@click.pass_context
def resume(context: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Take jobs again."""
    _act(context, "nodes.resume", name, "", yes, as_json)


@node.command()
@click.argument("name")
@click.pass_context
def shell(context: click.Context, name: str) -> None:
    """Hand the terminal over to a shell on the machine."""
    from labtui.hosts.connect import connect

    config = load_config(context.obj["config"])
    if config is None:
        fail("no config: name one with --config", USAGE)
    enter_lab(config)
    hosts = connect(config)
    if name not in hosts:
        fail(f"no node {name!r} in the config; there are {', '.join(hosts)}", USAGE)
    argv = hosts[name].shell_argv()
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - a list, no shell
