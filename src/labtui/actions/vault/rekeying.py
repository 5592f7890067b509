"""Rekey: new shares for a server that has some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import asked
from labtui.actions.vault.ceremony import Ceremony
from labtui.actions.vault.rekeyrounds import RekeyCeremony
from labtui.actions.vault.rekeystate import state
from labtui.actions.vault.rounds import nonce8, so_far
from labtui.actions.vault.wrapping import Wrapping, wrapping
from labtui.keyholder.operations import rekey

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


class StartRekey(Action):
    id = "vault.rekey"
    ceremony: Ceremony | None = None

    def __init__(self, doors: Doors, node: str, changes: Mapping[str, str]) -> None:
        self._doors, self._node, self._changes = doors, node, changes
        self._door = doors.door(node)
        self._wrapping: Wrapping | None = None

    async def plan(self) -> Plan:
        node = self._node
        now = await state(self._door)
        if now.get("started"):
            raise ActionError(
                f"{node}: a rekey is under way (nonce {nonce8(now['nonce'])}, "
                f"{so_far(now.get('progress'), now.get('required'))}): go on with it or cancel it"
            )
        of = self._wrapping = await wrapping(self._changes, root=False)
        return Plan(
            title=f"Rekey {node}: {of.shares} shares, {of.threshold} needed",
            targets=(node,),
            steps=(
                Step(
                    node,
                    f"PUT /v1/sys/rekey/init secret_shares={of.shares} secret_threshold="
                    f"{of.threshold} pgp_keys=({of.shares} keys) require_verification=true",
                ),
            ),
            risks=(
                *of.risks(),
                f"{now.get('required')} of the shares that are valid now are needed; then "
                f"{of.threshold} of the new ones, before which the old ones stay valid",
                "afterwards the old shares open nothing more, and an old snapshot still needs them",
            ),
            undo="cancel it, until the new shares are verified; afterwards none",
            preview="\n".join(of.lines()),
        )

    async def run(self, progress: Progress) -> None:
        of = self._wrapping
        if of is None:
            raise ActionError("there is no plan")
        await asked(
            self._door, rekey.start, writes=True,
            shares=of.shares, threshold=of.threshold, pgp_keys=[key.data for key in of.keys],
        )  # fmt: skip

    async def verify(self) -> Outcome:
        assert self._wrapping is not None
        now = await state(self._door)
        if not now.get("started"):
            return Outcome("failed", f"{self._node}: no rekey has begun")
        if not rekey.same(now, [key.fingerprint for key in self._wrapping.keys]):
            text = f"{self._node}: a rekey for other keys is under way: somebody else began it"
            return Outcome("failed", text)
        self.ceremony = RekeyCeremony(self._doors, self._node, self._wrapping.folder)
        return Outcome(
            "done",
            f"{self._node}: a rekey has begun, nonce {nonce8(now['nonce'])}: "
            f"{now.get('required')} of the present shares are to be given",
            {"nonce": str(now["nonce"])},
        )
