"""`labtui vault ...`: one file a family, imported when one of its commands is used."""

from __future__ import annotations

from importlib import import_module

import click

from labtui.commands.vault.arguments import WithoutSecrets

COMMANDS = {
    "status": ("status", "The state of each server: sealed, standby, refused ..."),
    "unseal": ("unseal", "Give shares to a sealed server, by prompt or gpg file."),
    "reset": ("unseal", "Drop the shares that were given so far."),
    "seal": ("operations", "Seal a server: everything but what is cached stops."),
    "setup": ("operations", "AppRole, policies and secrets engine, as a diff to confirm."),
    "token": ("operations", "What a token may, and how long it lives."),
    "audit-devices": ("operations", "Where Vault writes who asked for what."),
    "rotate": ("rotation", "A new version of a secret, watched until every node has it."),
    "rollback": ("rotation", "The earlier version of a secret again, watched likewise."),
    "init": ("ceremonies", "Make a new server's shares, each wrapped for its holder."),
    "rekey": ("ceremonies", "New shares for a server that has some."),
    "generate-root": ("ceremonies", "A new root token, wrapped for its holder."),
    "revoke-root": ("ceremonies", "Give a root token back, when its work is done."),
    "snapshot": ("snapshots", "Save what Vault stores to a file."),
    "restore": ("snapshots", "Put a snapshot in the place of what Vault stores."),
}


class _Lazy(WithoutSecrets):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=_Lazy)
def vault() -> None:
    """Vault from the shell. Shares, tokens and values: by prompt or gpg file only."""
