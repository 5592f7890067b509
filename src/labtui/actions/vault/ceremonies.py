"""Vault: ceremonies. Making shares and root tokens, making them anew, giving them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress
from labtui.actions.vault.initial import InitServer
from labtui.actions.vault.rekeying import StartRekey
from labtui.actions.vault.rekeystate import CancelRekey
from labtui.actions.vault.rooting import CancelRoot, RevokeRoot, StartRoot
from labtui.model import VaultNode
from labtui.spec import Wanted

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


class CancelCeremony(Action):
    """Of the one that is under way; of both the rekey first."""

    id = "vault.cancel-ceremony"

    def __init__(self, doors: Doors, node: str) -> None:
        self._choices = (CancelRekey(doors, node), CancelRoot(doors, node))
        self._node = node
        self._chosen: Action | None = None

    async def plan(self) -> Plan:
        refused: list[ActionError] = []
        for action in self._choices:
            try:
                plan = await action.plan()
            except ActionError as error:
                refused.append(error)
                continue
            self._chosen, self.id = action, action.id
            return plan
        raise ActionError("; ".join(map(str, refused)), refused[0].kind)

    async def run(self, progress: Progress) -> None:
        if self._chosen is None:
            raise ActionError("there is no plan")
        await self._chosen.run(progress)

    async def verify(self) -> Outcome:
        assert self._chosen is not None
        return await self._chosen.verify()


ROOT = Wanted("token", "token", "the root token that is to be revoked")
_OPEN = ("active", "standby")


def _silent(node: VaultNode) -> str | None:
    known = node.state not in ("refused", "tls", "unknown")
    return None if known else f"it does not answer: {node.state}"


def initialised(node: VaultNode) -> str | None:
    if node.state in ("sealed", "unsealing", *_OPEN):
        return "it is initialised: it has shares already"
    return _silent(node)


def closed(node: VaultNode) -> str | None:
    if node.state in ("sealed", "unsealing"):
        return "it is sealed: unseal it first"
    return "it is not initialised" if node.state == "uninitialised" else _silent(node)


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these."""
    match id:
        case "vault.init":
            return InitServer(doors, items[0].node, changes)
        case "vault.rekey":
            return StartRekey(doors, items[0].node, changes)
        case "vault.rekey-cancel":
            return CancelRekey(doors, items[0].node)
        case "vault.generate-root":
            return StartRoot(doors, items[0].node, changes)
        case "vault.generate-root-cancel":
            return CancelRoot(doors, items[0].node)
        case "vault.cancel-ceremony":
            return CancelCeremony(doors, items[0].node)
        case "vault.revoke-root":
            return RevokeRoot(doors, items[0].node)
    return None
