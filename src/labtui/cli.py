"""The command line. Imports nothing heavy: each command imports what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labtui import __version__
from labtui.commands.basics import START_LAB

SCREENS = (
    "nodes",
    "gpus",
    "jobs",
    "vault",
    "agents",
    "runs",
    "partitions",
    "reservations",
    "qos",
    "fairshare",
    "pods",
    "processes",
    "slurmclusters",
)


_COMMANDS = {
    "lab": ("labtui.lab.commands:lab", "The four real machines on this one: up, down, fault ..."),
    "get": ("labtui.commands.get:get", "Print a subject: nodes, gpus, jobs, vault, runs ..."),
    "status": ("labtui.commands.status:status", "One glance without a screen."),
    "submit": ("labtui.commands.submit:submit", "Send a job script to Slurm."),
    "job": (
        "labtui.commands.job:job",
        "cancel, hold, release, requeue, suspend, resume, modify, top, log.",
    ),
    "node": ("labtui.commands.node:node", "drain, resume, shell."),
    "gpu": (
        "labtui.commands.gpu:gpu",
        "power, persistence, clocks, slices, cancel, undo, waiting.",
    ),
    "vault": (
        "labtui.commands.vault:vault",
        "status, unseal, reset, seal, rotate, setup, init, rekey, snapshot ...",
    ),
    "play": ("labtui.commands.play:play", "list, show, preview, apply, undo playbooks."),
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
        from labtui.launch import open_console

        code = open_console(path, screen=screen, read_only=read_only, ascii_mode=ascii_mode)
        if code == START_LAB:
            from labtui.lab.commands import lab

            lab.main(["up"])
        sys.exit(code)


if __name__ == "__main__":
    main()
