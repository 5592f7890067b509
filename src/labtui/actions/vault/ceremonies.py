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
from labtui.spec import ActionSpec, Wanted

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
        refused = []
        for action in self._choices:
            try:
                plan = await action.plan()
            except ActionError as error:
                refused.append(str(error))
                continue
            self._chosen, self.id = action, action.id
            return plan
        raise ActionError("; ".join(refused))

    async def run(self, progress: Progress) -> None:
        if self._chosen is None:
            raise ActionError("there is no plan")
        await self._chosen.run(progress)

    async def verify(self) -> Outcome:
        assert self._chosen is not None
        return await self._chosen.verify()


_VAULT = ("vault",)
ROOT = Wanted("token", "token", "the root token that is to be revoked")
_OPEN = ("active", "standby")


def _silent(node: VaultNode) -> str | None:
    known = node.state not in ("refused", "tls", "unknown")
    return None if known else f"it does not answer: {node.state}"


def _initialised(node: VaultNode) -> str | None:
    if node.state in ("sealed", "unsealing", *_OPEN):
        return "it is initialised: it has shares already"
    return _silent(node)


def _closed(node: VaultNode) -> str | None:
    if node.state in ("sealed", "unsealing"):
        return "it is sealed: unseal it first"
    return "it is not initialised" if node.state == "uninitialised" else _silent(node)


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "vault.init", "I", "initialise",
        "A new server's shares and root token, each wrapped for its holder's PGP key.", _VAULT,
        disabled=_initialised, footer=False,
    ),
    ActionSpec(
        "vault.rekey", "r", "rekey",
        "New shares for new holders: present shares make them, new ones confirm them.", _VAULT,
        disabled=_closed, footer=False,
    ),
    ActionSpec(
        "vault.generate-root", "G", "make root token",
        "By shares, wrapped for one person's PGP key. Revoke it when done.", _VAULT,
        disabled=_closed, footer=False,
    ),
    ActionSpec(
        "vault.cancel-ceremony", "K", "cancel ceremony",
        "End the rekey, or the root token, that is under way: its shares are dropped.", _VAULT,
        disabled=_closed, footer=False,
    ),
    ActionSpec(
        "vault.revoke-root", "X", "revoke root token",
        "The root token that is given ends, and what was made with it.", _VAULT,
        disabled=_closed, secrets=lambda item, store: (ROOT,), footer=False,
    ),
)  # fmt: skip


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
