"""`labtui config check|init|keys`."""

from __future__ import annotations

from pathlib import Path

import click

from labtui.commands.basics import USAGE, fail
from labtui.config import ConfigError, find, load, user_config_path, write_example


@click.group()
def config() -> None:
    """The TOML file that names machines and services."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_context
def check(context: click.Context, file: Path | None) -> None:
    """Say what is wrong, each with file, line, key and fix; exit 2 when anything is."""
    from labtui.keys import KeyMap, KeyMapError

    named = context.obj["config"]
    path = file or (Path(named) if named else find())
    if path is None:
        fail("no config found: name one, or `labtui config init` writes one", USAGE)
    try:
        found = load(path)
        KeyMap(found.keys)
    except (ConfigError, KeyMapError) as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise SystemExit(USAGE) from None
    click.echo(f"{path}: ok, {len(found.nodes)} nodes")


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def init(file: Path | None) -> None:
    """Write a commented config to start from; never over a file that is there."""
    path = file or user_config_path()
    try:
        write_example(path)
    except ConfigError as error:
        fail(str(error), USAGE)
    click.echo(f"written: {path}; edit it, then `labtui config check`")


@config.command()
def keys() -> None:
    """Every action and command: its id for [keys], its key, its words."""
    from labtui.keys import shown
    from labtui.registry import ACTIONS, COMMANDS

    for spec in (*COMMANDS, *ACTIONS):
        click.echo(f"{spec.id:<18} {shown(spec.key):<8} {spec.words}")
