"""The command line. Imports nothing heavy: each command imports what it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from labtui import __version__
from labtui.commands.basics import OK, USAGE, enter_lab, fail, load_config

SCREENS = ("nodes", "gpus", "jobs", "vault", "runs")


def open_console(config_path: Path | None, **options: Any) -> int:
    """The full-screen console; the exit status of the process."""
    config = load_config(str(config_path) if config_path else None)
    if config is not None:
        enter_lab(config)
    _prepare_terminal(bool(options.get("ascii_mode")))
    from labtui.app import LabApp
    from labtui.keys import KeyMapError

    try:
        app = LabApp(config, config_path=config_path, **options)
    except KeyMapError as error:
        fail(str(error), USAGE)
        raise
    mouse = bool(config and config.ui.mouse)
    answer = app.run(mouse=mouse)
    if answer == "lab up":
        from labtui.lab.commands import lab

        try:
            lab.main(["up"], standalone_mode=False)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        return OK
    return app.return_code or OK


def _prepare_terminal(ascii_mode: bool) -> None:
    """Textual reads these at import: fewer frames and no animation on a slow link."""
    import os

    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_FPS", "20")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    os.environ.setdefault("ESCDELAY", "50")
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        fail("the console needs a terminal; `labtui status` and `labtui get` do not", USAGE)


_COMMANDS = {
    "lab": ("labtui.lab.commands:lab", "The four real machines on this one: up, down, fault ..."),
    "get": ("labtui.commands.get:get", "Print a subject: nodes, gpus, jobs, vault, runs ..."),
    "status": ("labtui.commands.status:status", "One glance without a screen."),
    "submit": ("labtui.commands.submit:submit", "Send a job script to Slurm."),
    "job": ("labtui.commands.job:job", "cancel, hold, release, requeue, suspend, resume, log."),
    "node": ("labtui.commands.node:node", "drain, resume, shell."),
    "audit": (
        "labtui.commands.audit:audit",
        "What was done from here, by whom, with what outcome.",
    ),
    "config": ("labtui.commands.config:config", "check, init, keys."),
}


class _Lazy(click.Group):
    """Each subcommand is imported when it is used: `labtui get` never loads Textual."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        import importlib

        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in _COMMANDS.items()])


@click.group(
    cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--config", metavar="FILE", help="The TOML file to use.")
@click.option("--screen", type=click.Choice(SCREENS), default="nodes", help="Open on this screen.")
@click.option("--read-only", is_flag=True, help="No action that changes anything.")
@click.option("--ascii", "ascii_mode", is_flag=True, help="Draw with ASCII characters only.")
@click.option("--reset", is_flag=True, help="Mend a terminal that a killed program left broken.")
@click.version_option(__version__, prog_name="labtui")
@click.pass_context
def main(
    context: click.Context,
    config: str | None,
    screen: str,
    read_only: bool,
    ascii_mode: bool,
    reset: bool,
) -> None:
    """A keyboard-driven console for a GPU lab. Without a command it opens the console."""
    context.obj = {"config": config, "read_only": read_only}
    if reset:
        sys.stdout.write(
            "\x1b[<u\x1b[?1049l\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[0m"
        )
        sys.stdout.flush()
        import subprocess

        subprocess.run(["stty", "sane"], check=False)
        return
    if context.invoked_subcommand is None:
        path = Path(config) if config else None
        sys.exit(open_console(path, screen=screen, read_only=read_only, ascii_mode=ascii_mode))


if __name__ == "__main__":
    main()
