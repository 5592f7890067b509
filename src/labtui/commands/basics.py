"""What every command needs and what costs nothing to import: exit codes, the config, the lab."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from labtui.config import Config

OK, UNHEALTHY, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done or healthy; unhealthy; wrong usage or config; a source missing; interrupted."""
START_LAB = -1
"""Never an exit code: the person chose to start the lab on the first-run screen."""


def json_option(noun: str = "outcome") -> Callable[[Any], Any]:
    """`--json`, and the noun of the document."""

    def given(context: click.Context, option: click.Parameter, yes: bool) -> bool:
        prints(context, noun)
        return yes

    return click.option(
        "--json", "as_json", is_flag=True, callback=given, help="One JSON document on stdout."
    )


def prints(context: click.Context, noun: str) -> None:
    """The noun of a command's document, where that is not the same each time."""
    context.meta[_NOUN] = noun


_NOUN = "labtui.noun"
_KINDS = {USAGE: "usage", UNHEALTHY: "failed", INTERRUPTED: "cancelled"}


def fail(message: str, code: int, kind: str = "") -> NoReturn:
    """End, and say why: on stderr, and with `--json` in the document too.

    `kind`: that of the error, where it has one.
    """
    click.echo(f"labtui: {message}", err=True)
    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("as_json") and _NOUN in context.meta:
        from labtui.commands.documents import echo_json, refusal

        kind = kind or _KINDS.get(code, "unreachable")
        echo_json(refusal(context.meta[_NOUN], message, kind))
    sys.exit(code)


def load_config(path: str | None) -> Config | None:
    """The config that is named, or found; None when there is none. Ends with 2 when it is bad."""
    from labtui.config import ConfigError, find, load

    chosen = Path(path) if path else find()
    if chosen is None:
        return None
    try:
        return load(chosen)
    except ConfigError as error:
        fail(str(error), USAGE)


def need_config(context: click.Context) -> Config:
    """For commands without a screen: a config there must be, and its lab must be up."""
    config = load_config(context.obj["config"])
    if config is None:
        fail("no config: name one with --config, or `labtui config init` writes one", USAGE)
    enter_lab(config)
    return config


def enter_lab(config: Config) -> None:
    """Into the lab's network namespace, before anything connects. Ends with 3 when it is down."""
    if config.lab and config.lab.namespace:
        from labtui.hosts.namespace import NamespaceError, enter

        try:
            enter(config.lab.namespace)
        except NamespaceError as error:
            fail(str(error), UNREACHABLE)
