"""How far a rekey is, and what ends it or its second round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import asked
from labtui.actions.vault.rounds import CancelRound, nonce8, plainly, so_far
from labtui.keyholder.operation import Door
from labtui.keyholder.operations import rekey
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


async def state(door: Door) -> dict[str, Any]:
    """How far a rekey is. Raises ActionError."""
    try:
        return await asked(door, rekey.status)
    except ActionError as error:
        raise plainly(error, door.node, "rekey", "rekey") from None


def prints(now: Mapping[str, Any]) -> list[str]:
    return [inert(p, 64).upper() for p in now.get("pgp_fingerprints") or ()]


def owners(now: Mapping[str, Any]) -> list[str]:
    """Whose the new shares will be, as the server tells it."""
    return [f"new share {n}  for the key {p}" for n, p in enumerate(prints(now), 1)]


class CancelRekey(CancelRound):
    id = "vault.rekey-cancel"
    what = "no rekey is under way"
    besides = "; the old shares stay valid"

    async def state(self) -> Mapping[str, Any]:
        return await state(self._door)

    def planned(self, now: Mapping[str, Any]) -> Plan:
        given = so_far(now.get("progress"), now.get("required"))
        if now.get("verifying"):
            given = "the new shares are made and not yet verified: they will open nothing"
        return Plan(
            title=f"Cancel the rekey of {self._node}",
            targets=(self._node,),
            steps=(Step(self._node, f"DELETE /v1/sys/rekey/init nonce={nonce8(self._nonce)}..."),),
            risks=(f"{given}; whoever gave one begins anew",),
            undo="begin another one; the shares that are valid now stay so",
            preview="\n".join(owners(now)),
        )

    async def cancel(self) -> None:
        await asked(self._door, rekey.cancel, writes=True, nonce=self._nonce)


class RestartVerification(Action):
    id = "vault.rekey-restart"

    def __init__(self, doors: Doors, node: str) -> None:
        self._node = node
        self._door = doors.door(node)
        self._nonce = ""

    async def plan(self) -> Plan:
        now = (await state(self._door)).get("verifying")
        if not now:
            raise ActionError(f"{self._node}: no verification is under way")
        self._nonce = str(now.get("nonce"))
        return Plan(
            title=f"Begin the verification on {self._node} anew",
            targets=(self._node,),
            steps=(Step(self._node, "DELETE /v1/sys/rekey/verify"),),
            risks=(f"{so_far(now.get('progress'), now.get('t'))} and dropped",),
            undo="give them again",
        )

    async def run(self, progress: Progress) -> None:
        await asked(self._door, rekey.restart, writes=True)

    async def verify(self) -> Outcome:
        now = (await state(self._door)).get("verifying") or {}
        if now.get("nonce") == self._nonce:
            return Outcome("failed", f"{self._node}: the verification is as it was")
        return Outcome(
            "done", f"{self._node}: no new share is in; nonce {nonce8(now.get('nonce'))}"
        )
