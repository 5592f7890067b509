"""Secret-ids that nobody is to have any more: which they are after a run, and their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from labtui.actions.base import ActionError, Outcome, Unknown
from labtui.actions.vault.asking import called
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door
from labtui.plays.events import Report

TAKEN = "Check that it was taken"
"""The playbook's task of that name."""


def sorted_out(report: Report, nodes: Sequence[str], task: str) -> tuple[list[str], list[str]]:
    """Nodes that took the secret-id which `task` handed over, and those that did not: somebody
    else may have opened it. Of a run that was broken off, some are neither."""
    taken, left = [], []
    for node in nodes:
        host = report.hosts.get(node)
        handed = host is not None and any(r.task == task for r in host.changed)
        refused = host is not None and host.failed is not None and host.failed.task == TAKEN
        if not handed or refused:
            left.append(node)
        elif report.ended:
            taken.append(node)
    return taken, left


async def destroyed(holder: Keyholder, door: Door, role: str, accessors: Sequence[str]) -> str:
    """Why it could not be done; empty: it is."""
    try:
        await called(holder, "approle.destroy", door, role=role, accessors=list(accessors))
    except (ActionError, Unknown) as error:
        return str(error)
    return ""


def counted(outcome: Outcome, told: Mapping[str, Any], role: str, had: Sequence[str]) -> Outcome:
    """An undo's, with what was destroyed of each node. `had`: nodes that must have had one."""
    message = f"{outcome.message}; {told['destroyed']} secret-ids destroyed in Vault"
    outcome = replace(outcome, message=message)
    without = [node for node in had if not told["of"].get(node)]
    if not without:
        return outcome
    return worse(outcome, f"none was known by its node's name for {', '.join(without)}: if one "
                 f"was made elsewhere, it is among those of {role} still")  # fmt: skip


def worse(outcome: Outcome, why: str) -> Outcome:
    """What failed already or is not known stays so."""
    kind = "failed" if outcome.ok else outcome.kind
    return replace(outcome, kind=kind, message=f"{outcome.message}; {why}")
