"""`labtui lab ...`: the four machines from the command line."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import click

from labtui.lab import background, machines
from labtui.lab import drill as lab_drill
from labtui.lab import fault as lab_fault
from labtui.lab import status as lab_status
from labtui.lab import up as lab_up
from labtui.lab.layout import MACHINES, SUITES
from labtui.lab.system import PATH, LabError
from labtui.lab.vault import shares_file


def _say(line: str) -> None:
    click.echo(line, err=True)


def _silent(line: str) -> None:
    """For documents."""


class _Group(click.Group):
    """Tells a LabError in one sentence and exits with its code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LabError as e:
            click.echo(f"labtui lab: {e}", err=True)
            sys.exit(e.code)


def _program() -> str:
    """How this program was called: it need not be on PATH."""
    here = Path(sys.argv[0])
    return "labtui" if shutil.which("labtui") == str(here.resolve()) else str(here)


name_option = click.option("--name", default="lab", show_default=True, help="Which lab.")


@click.group(cls=_Group)
def lab() -> None:
    """Four real machines on this one: up, down, status, shell, fault, drill."""


@lab.command()
@name_option
@click.option("--suite", type=click.Choice(list(SUITES)), help="Debian suite (default trixie).")
@click.option("--no-console", is_flag=True, help="Do not open the console when it is up.")
@click.option("--wait", is_flag=True, help="Wait for the services that are built in background.")
@click.option("--vault-ha", is_flag=True, help="Three Vault servers; the lab keeps them.")
def up(name: str, suite: str | None, no_console: bool, wait: bool, vault_ha: bool) -> None:
    """Bring the lab up; harmless when it is up, and mends what was killed."""
    chosen = lab_up.remembered(name, suite)
    lab_up.bring_up(chosen, _say, wait, vault_ha)
    _say(f"Vault's shares are kept in {shares_file(chosen)}, for root alone")
    unwell = [s for s in lab_status.take(chosen).services if s.health.state in lab_status.BAD]
    for service in unwell if wait else ():
        _say(f"{service.name} on {service.machine}: {service.health.state} {service.health.detail}")
    if no_console or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _say(f"open the console with: {_program()} --config {chosen.config}")
        sys.exit(1 if wait and unwell else 0)
    from labtui.launch import open_console  # late: only this command ever needs the console

    sys.exit(open_console(chosen.config))


@lab.command()
@name_option
@click.option("--forget", is_flag=True, help="Also remove what its machines hold.")
def down(name: str, forget: bool) -> None:
    """Take the lab down; nothing of it stays running, mounted or linked."""
    lab_up.take_down(lab_up.remembered(name, None), _say, forget)


@lab.command()
@name_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(name: str, as_json: bool) -> None:
    """What runs. Exit status 1 when the lab is not up or something in it is not well."""
    found = lab_status.take(lab_up.remembered(name, None))
    if as_json:
        click.echo(json.dumps(found.document(), indent=1))
    else:
        for line in _table(found):
            click.echo(line)
    sys.exit(0 if found.fine else 1)


def _table(found: lab_status.LabStatus) -> list[str]:
    document = found.document()
    state = "up" if found.up else "not up"
    lines = [f"lab {found.lab.name} ({document['suite'] or found.lab.suite}): {state}"]
    for m in document["machines"]:
        lines.append(f"  {m['name']:<12} {m['address']:<11} {m['state']:<8} {m['fault'] or ''}")
        for s in found.services if m["state"] == "running" else ():
            if s.machine == m["name"]:
                lines.append(f"    {s.name:<26} {s.health.state:<9} {s.health.detail}")
    return [line.rstrip() for line in lines]


@lab.command()
@name_option
@click.argument("node", type=click.Choice(list(MACHINES)))
def shell(name: str, node: str) -> None:
    """A root shell inside a machine."""
    argv = machines.enter(lab_up.remembered(name, None), node, ["/bin/bash", "--login"])
    environment = {k: os.environ[k] for k in ("TERM", "LANG", "COLORTERM") if k in os.environ}
    environment |= {"PATH": PATH, "HOME": "/root", "USER": "root"}
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - the shell is the point


@lab.command()
@name_option
@click.argument("node", type=click.Choice(list(MACHINES)))
@click.argument("what")
def fault(name: str, node: str, what: str) -> None:
    """Break a machine on purpose: stop, hang, partition, slow=KBIT, lossy=PCT, clock=S, fill-disk;
    heal undoes all of them."""
    lab_up.check_host(lab_up.remembered(name, None))
    lab_fault.make(lab_up.remembered(name, None), node, what, _say)


@lab.command()
@name_option
@click.argument("what", type=click.Choice(list(lab_drill.DRILLS)))
@click.option("--json", "as_json", is_flag=True, help="Print the evidence, not each step.")
def drill(name: str, what: str, as_json: bool) -> None:
    """Rehearse a fault: seal Vault while a job runs, or lose its data and restore a snapshot.

    Vault is as it was afterwards. Exit status 1 when a step was not as it should be."""
    chosen = lab_up.remembered(name, None)
    lab_up.check_host(chosen)
    passed, evidence = lab_drill.run(chosen, what, _silent if as_json else _say)
    if as_json:
        click.echo(evidence.read_text(), nl=False)
    else:
        _say(f"{'passed' if passed else 'FAILED'}; the evidence: {evidence}")
    sys.exit(0 if passed else 1)


@lab.command(hidden=True)
@click.argument("state", type=click.Path(path_type=Path))
def finish(state: Path) -> None:
    """The services' slower part; started by `up`."""
    background.finish(lab_up.remembered(state.name, None))


if __name__ == "__main__":
    lab()
