"""Rekey: new shares for a server that has some, and the second round that sets them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import asked
from labtui.actions.vault.ceremony import Standing
from labtui.actions.vault.rounds import GiveShare, nonce8, plainly, so_far
from labtui.actions.vault.wrapping import Wrapping, wrapping
from labtui.keyholder.holder import Keyholder
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


class StartRekey(Action):
    id = "vault.rekey"

    def __init__(self, doors: Doors, node: str, changes: Mapping[str, str]) -> None:
        self._node, self._changes = node, changes
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
        return Outcome(
            "done",
            f"{self._node}: a rekey has begun, nonce {nonce8(now['nonce'])}: "
            f"{now.get('required')} of the present shares are to be given",
            {"nonce": str(now["nonce"])},
        )


class CancelRekey(Action):
    id = "vault.rekey-cancel"

    def __init__(self, doors: Doors, node: str) -> None:
        self._node = node
        self._door = doors.door(node)
        self._nonce = ""

    async def plan(self) -> Plan:
        now = await state(self._door)
        if not now.get("started"):
            raise ActionError(f"{self._node}: no rekey is under way")
        self._nonce = str(now["nonce"])
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

    async def run(self, progress: Progress) -> None:
        await asked(self._door, rekey.cancel, writes=True, nonce=self._nonce)

    async def verify(self) -> Outcome:
        now = await state(self._door)
        if now.get("started"):
            who = "it" if now.get("nonce") == self._nonce else "another one"
            return Outcome("failed", f"{self._node}: {who} is still under way")
        return Outcome("done", f"{self._node}: no rekey is under way; the old shares stay valid")


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


class GiveOldShare(GiveShare):
    id = "vault.rekey-share"
    operation = "rekey.share"
    path = "sys/rekey/update"
    to = "the rekey of"

    async def verify(self) -> Outcome:
        now = await state(self._door)
        node = self._node
        if now.get("nonce") != self._told["nonce"]:
            return Outcome("failed", f"{node}: this rekey is not under way any more: look who did")
        if not now.get("verifying"):
            return Outcome("done", f"{node}: {so_far(now.get('progress'), now.get('required'))}")
        files = self.answer.get("files", ())
        needed = now["verifying"].get("t")
        where = (
            f"{len(files)} new shares are in {inert(self._told['folder'], 80)}"
            if files
            else "the new shares are at the console that gave the last one, or were lost on the "
            "way: then cancel, and begin anew"
        )
        return Outcome(
            "done",
            f"{node}: {where}. Not in force before {needed} of them come back: each holder opens "
            "one and gives it, which verifies them",
        )


class GiveNewShare(GiveShare):
    id = "vault.rekey-verify"
    operation = "rekey.verify"
    path = "sys/rekey/verify"
    to = "the verification on"

    async def verify(self) -> Outcome:
        now = await state(self._door)
        node = self._node
        if self.answer.get("complete"):
            return Outcome(
                "done",
                f"{node}: the new shares are in force; the old ones open nothing more. Have every "
                "holder open theirs: those that were not given are unproven",
            )
        verifying = now.get("verifying")
        if not verifying:
            return Outcome(
                "unknown",
                f"{node}: the verification is over: the new shares are in force, or it was "
                "cancelled elsewhere; keep both sets until one of them has unsealed it",
            )
        return Outcome("done", f"{node}: {so_far(verifying.get('progress'), verifying.get('t'))}")


class RekeyCeremony:
    """The first round: enough of the shares that are valid now."""

    def __init__(self, doors: Doors, node: str, folder: Path) -> None:
        """`folder`: where the new shares go, if the last share is given here."""
        self._doors, self.node, self._folder = doors, node, folder
        self._door = doors.door(node)
        self._seen: dict[str, Any] = {}
        self.title = f"Rekey {node}"
        self.promise = f"new shares, each wrapped for its holder, in {inert(folder, 80)}"

    async def standing(self) -> Standing:
        now = await state(self._door)
        progress, required = int(now.get("progress") or 0), int(now.get("required") or 0)
        nonce = str(now.get("nonce") or "")
        if not now.get("started"):
            words = "no rekey is under way" if not self._seen else "this rekey is over: cancelled"
            return Standing(0, required, "", words=words)
        self._seen = self._seen or now
        if nonce != self._seen["nonce"] or not rekey.same(now, prints(self._seen)):
            words = "somebody began another rekey: leave, and find out who"
            return Standing(progress, required, nonce, words=words)
        done = bool(now.get("verifying"))
        return Standing(required if done else progress, required, nonce, done=done)

    def lines(self) -> list[str]:
        return owners(self._seen)

    def give(self, holder: Keyholder, number: int) -> Action:
        nonce = str(self._seen.get("nonce") or "")
        told = {
            "nonce": nonce,
            "fingerprints": prints(self._seen),
            "folder": str(self._folder),
            "stem": f"{self.node}-rekey-{nonce8(nonce)}",
        }
        return GiveOldShare(self._doors, self.node, holder, number, told, self.lines())

    def reset(self) -> Action | None:
        return CancelRekey(self._doors, self.node)

    def afterwards(self) -> Action | None:
        return None


class VerifyCeremony:
    """The second round: enough of the new shares. Without it nothing has changed."""

    def __init__(self, doors: Doors, node: str) -> None:
        self._doors, self.node = doors, node
        self._door = doors.door(node)
        self._nonce = ""
        self._given: GiveNewShare | None = None
        self.title = f"Verify the new shares of {node}"
        self.promise = "the new shares are in force, the old ones open nothing more"

    async def standing(self) -> Standing:
        given = self._given
        if given is not None and given.answer.get("complete"):
            return Standing(1, 1, self._nonce, done=True)
        now = (await state(self._door)).get("verifying")
        if not now:
            words = "no new shares wait for verification"
            if self._nonce:
                words = "the verification is over: complete, or cancelled elsewhere"
            return Standing(0, 0, "", words=words)
        # It has another nonce after each wrong set: what was given until then is dropped.
        self._nonce = str(now.get("nonce") or "")
        return Standing(int(now.get("progress") or 0), int(now.get("t") or 0), self._nonce)

    def give(self, holder: Keyholder, number: int) -> Action:
        self._given = GiveNewShare(self._doors, self.node, holder, number, {"nonce": self._nonce})
        return self._given

    def reset(self) -> Action | None:
        return RestartVerification(self._doors, self.node)

    def afterwards(self) -> Action | None:
        return None
