"""The two rounds of a rekey: present shares make the new ones, new ones put them in force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, Outcome, Plan, Progress, Step
from labtui.actions.vault.ceremony import Standing
from labtui.actions.vault.rekeystate import (
    CancelRekey,
    RestartVerification,
    owners,
    prints,
    state,
)
from labtui.actions.vault.rounds import GiveShare, nonce8
from labtui.actions.vault.serving import fresh
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operations import rekey
from labtui.sources.pgp import KeyFileError, recipients
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


class GiveOldShare(GiveShare):
    id = "vault.rekey-share"
    operation = "rekey.share"
    path = "sys/rekey/update"
    to = "the rekey of"

    async def standing(self) -> Outcome:
        now = await state(self._door)
        node = self._node
        if now.get("nonce") != self._told["nonce"]:
            return Outcome("failed", f"{node}: this rekey is not under way any more: look who did")
        if not now.get("verifying"):
            return self.counted(now.get("progress"), now.get("required"), now.get("nonce"))
        return Outcome("done", f"{node}: there are enough: the new shares are made")


class GiveNewShare(GiveShare):
    id = "vault.rekey-verify"
    operation = "rekey.verify"
    path = "sys/rekey/verify"
    to = "the verification on"

    async def standing(self) -> Outcome:
        now = await state(self._door)
        node = self._node
        if self.answer.get("complete"):
            return Outcome("done", f"{node}: there are enough: the new shares are in force")
        verifying = now.get("verifying")
        if not verifying:
            return Outcome(
                "unknown",
                f"{node}: the verification is over: the new shares are in force, or it was "
                "cancelled elsewhere; keep both sets until one of them has unsealed it",
            )
        return self.counted(verifying.get("progress"), verifying.get("t"), verifying.get("nonce"))


class NewShares(Action):
    """Looks at what the first round made, and says what comes next. Changes nothing."""

    id = "vault.rekey-made"

    def __init__(self, doors: Doors, node: str, files: Sequence[str]) -> None:
        self._node, self._files = node, files
        self._door = doors.door(node)

    async def plan(self) -> Plan:
        step = Step("this machine", "gpg --list-packets: each is addressed to somebody")
        return Plan(f"The new shares of {self._node}", (self._node,), (step,))

    async def run(self, progress: Progress) -> None:
        pass

    async def verify(self) -> Outcome:
        verifying = (await state(self._door)).get("verifying") or {}
        folder = inert(Path(self._files[0]).parent, 80) if self._files else ""
        where = f"{len(self._files)} new shares are in {folder}, each for its holder alone"
        for path in self._files:
            try:
                found = await recipients(path)
            except KeyFileError as error:
                return Outcome("failed", f"{self._node}: {error}: cancel, and begin anew")
            if not found:
                text = f"{inert(path, 120)} is addressed to nobody: cancel, and begin anew"
                return Outcome("failed", f"{self._node}: {text}")
        if not self._files:
            where = (
                "the new shares are at the console that gave the last one; were they lost on the "
                "way, cancel and begin anew"
            )
        return Outcome(
            "done",
            f"{self._node}: {where}. Not in force yet: {verifying.get('t')} holders open theirs "
            f"and give it (labtui vault rekey {self._node} --gpg FILE): that verifies them",
            {"folder": folder},
        )


class RekeyCeremony:
    """The first round: enough of the shares that are valid now."""

    resets = "cancel rekey"

    def __init__(self, doors: Doors, node: str, folder: Path) -> None:
        """`folder`: where the new shares go, if the last share is given here."""
        self._doors, self.node, self._folder = doors, node, folder
        self._door = doors.door(node)
        self._seen: dict[str, Any] = {}
        self._given: GiveOldShare | None = None
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
        keys = ", ".join(print_[-8:] for print_ in prints(self._seen))
        self.promise = f"new shares for the keys {keys} in {inert(self._folder, 60)}"
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
        self._given = GiveOldShare(self._doors, self.node, holder, number, told, self.lines())
        return self._given

    def reset(self) -> Action:
        return CancelRekey(self._doors, self.node)

    def afterwards(self) -> Action | None:
        files = self._given.answer.get("files", ()) if self._given else ()
        return NewShares(self._doors, self.node, [str(path) for path in files])


class InForce(Action):
    """Looks whether a rekey went through. Changes nothing."""

    id = "vault.rekey-done"

    def __init__(self, doors: Doors, node: str) -> None:
        self._node = node
        self._door = doors.door(node)
        self._config = doors.config

    async def plan(self) -> Plan:
        step = Step(self._node, "GET /v1/sys/seal-status: how many shares it has now")
        return Plan(f"The rekey of {self._node}", (self._node,), (step,))

    async def run(self, progress: Progress) -> None:
        pass

    async def verify(self) -> Outcome:
        node = self._node
        if (await state(self._door)).get("started"):
            return Outcome("failed", f"{node}: a rekey is still under way")
        now = await fresh(self._config, node)
        return Outcome(
            "done",
            f"{node}: {now.shares} new shares are in force, {now.threshold} are needed; the old "
            "ones open nothing more, but for snapshots taken before. Have every holder open "
            "theirs: those that were not given are unproven",
        )


class VerifyCeremony:
    """The second round: enough of the new shares. Without it nothing has changed."""

    resets = "verify anew"

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
        told = {"nonce": self._nonce}
        self._given = GiveNewShare(self._doors, self.node, holder, number, told)
        return self._given

    def reset(self) -> Action:
        return RestartVerification(self._doors, self.node)

    def afterwards(self) -> Action | None:
        return InForce(self._doors, self.node)
