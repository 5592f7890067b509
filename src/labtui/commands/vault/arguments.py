"""Arguments, none of which is a secret."""

from __future__ import annotations

import click

from labtui.commands.basics import USAGE, fail
from labtui.keyholder.slip import slipped

NEVER = (
    "a {kind} is never given as an argument: this one is in the shell's history and was in the"
    " list of processes now; remove it there, and {then} if others may have seen it"
)
THEN = {"share": "rekey", "token": "revoke it"}


class WithoutSecrets(click.Group):
    """Ends with 2 where any word after its name is a share or a token: before click, which repeats
    what it does not understand, and before a command, which repeats a file's name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for kind in filter(None, map(slipped, args)):
            fail(NEVER.format(kind=kind, then=THEN[kind]), USAGE)
        return super().parse_args(ctx, args)
