"""`labtui audit`: what was done from here."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from labtui.commands.basics import USAGE, fail, json_option, load_config
from labtui.text import inert


@click.command()
@json_option("audit")
@click.option("-n", "limit", default=1000, show_default=True, help="The newest N lines.")
@click.pass_context
def audit(context: click.Context, as_json: bool, limit: int) -> None:
    """Each action: when, who, from where, what, on what, outcome, duration."""
    from labtui.commands.documents import document, echo_json
    from labtui.history import default_path, read_audit

    config = load_config(context.obj["config"])
    if config is None:
        fail("no config: name one with --config", USAGE)
    lines = read_audit(default_path(config.cluster.name), limit)
    if as_json:
        echo_json(document("audit", [msgspec.to_builtins(line) for line in lines], []))
        return
    for line in lines:
        at = datetime.fromtimestamp(line.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        click.echo(
            f"{at}  {inert(line.who)}@{inert(line.origin)}  {line.action}"
            f"  {' '.join(inert(t) for t in line.targets)}  {line.outcome}  {line.took_s:.1f} s"
            f"  {inert(line.message)}"
        )
