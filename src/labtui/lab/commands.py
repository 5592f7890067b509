"""`labtui lab ...`: the four machines from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labtui.lab import up as lab_up
from labtui.lab.layout import SUITES
from labtui.lab.system import LabError


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Group(click.Group):
    """Tells a LabError in one sentence and exits with its code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LabError as e:
            click.echo(f"labtui lab: {e}", err=True)
            sys.exit(e.code)


name_option = click.option("--name", default="lab", show_default=True, help="Which lab.")


@click.group(cls=_Group)
def lab() -> None:
    """Four real machines on this one: up, down, status, shell, fault."""


@lab.command()
@name_option
@click.option("--suite", type=click.Choice(list(SUITES)), help="Debian suite (default trixie).")
@click.option("--no-console", is_flag=True, help="Do not open the console when it is up.")
@click.option("--wait", is_flag=True, help="Wait for the services that are built in background.")
def up(name: str, suite: str | None, no_console: bool, wait: bool) -> None:
    """Bring the lab up; harmless when it is up, and mends what was killed."""
    chosen = lab_up.remembered(name, suite)
    lab_up.bring_up(chosen, _say, wait)
    _say(f"open the console with: labtui --config {chosen.config}")


@lab.command()
@name_option
@click.option("--forget", is_flag=True, help="Also remove what its machines hold.")
def down(name: str, forget: bool) -> None:
    """Take the lab down; nothing of it stays running, mounted or linked."""
    lab_up.take_down(lab_up.remembered(name, None), _say, forget)


@lab.command(hidden=True)
@click.argument("state", type=click.Path(path_type=Path))
def finish(state: Path) -> None:
    """The services' slower part; started by `up`."""
    lab_up.finish(lab_up.remembered(state.name, None))


if __name__ == "__main__":
    lab()
