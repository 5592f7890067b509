"""A root token: made by shares, wrapped for one person; and given back when its work is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import asked, called
from labtui.actions.vault.ceremony import Ceremony, Standing
from labtui.actions.vault.rounds import CancelRound, GiveShare, nonce8, plainly, so_far
from labtui.actions.vault.wrapping import folder, root_key
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door
from labtui.keyholder.operations import root
from labtui.sources.pgp import KeyFileError, PublicKey, recipients
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


async def state(door: Door) -> dict[str, Any]:
    """How far the making of a root token is. Raises ActionError."""
    try:
        return await asked(door, root.status)
    except ActionError as error:
        raise plainly(error, door.node, "generate-root", "generate-root") from None


def file_name(node: str, fingerprint: str, nonce: str) -> str:
    return f"{node}-root-token-{fingerprint[-8:].upper()}-{nonce8(nonce)}.asc"


def owner(now: Mapping[str, Any]) -> str:
    """Whose the token will be: the key's fingerprint; empty where it is hidden by a password."""
    return inert(now.get("pgp_fingerprint") or "", 64).upper()


class StartRoot(Action):
    id = "vault.generate-root"
    ceremony: Ceremony | None = None

    def __init__(self, doors: Doors, node: str, changes: Mapping[str, str]) -> None:
        self._doors, self._node, self._changes = doors, node, changes
        self._door = doors.door(node)
        self._folder = Path()
        self._key: PublicKey | None = None

    async def plan(self) -> Plan:
        node = self._node
        now = await state(self._door)
        if now.get("started"):
            raise ActionError(
                f"{node}: a root token is being made (nonce {nonce8(now['nonce'])}, "
                f"{so_far(now.get('progress'), now.get('required'))}): go on with it or cancel it"
            )
        key = self._key = await root_key(self._changes, "pgp")
        self._folder = await folder(self._changes.get("out", ""))
        return Plan(
            title=f"Make a root token of {node}",
            targets=(node,),
            steps=(Step(node, f"PUT /v1/sys/generate-root/attempt pgp_key=({key.short})"),),
            risks=(
                f"{key.holder} may do anything with it, until it is revoked",
                f"{now.get('required')} holders give their shares for it",
            ),
            undo=f"cancel it before the last share; afterwards: labtui vault revoke-root {node}",
            preview=f"for  {key}",
        )

    async def run(self, progress: Progress) -> None:
        if self._key is None:
            raise ActionError("there is no plan")
        await asked(self._door, root.start, writes=True, pgp_key=self._key.data)

    async def verify(self) -> Outcome:
        assert self._key is not None
        now = await state(self._door)
        if not now.get("started"):
            return Outcome("failed", f"{self._node}: no root token is being made")
        if owner(now) != self._key.fingerprint:
            text = f"{self._node}: a root token for another key is being made: somebody began it"
            return Outcome("failed", text)
        self.ceremony = RootCeremony(self._doors, self._node, self._folder)
        text = f"{self._node}: begun, nonce {nonce8(now['nonce'])}: {now.get('required')} shares"
        return Outcome("done", f"{text} are to be given", {"nonce": str(now["nonce"])})


class CancelRoot(CancelRound):
    id = "vault.generate-root-cancel"
    what = "no root token is being made"

    async def state(self) -> Mapping[str, Any]:
        return await state(self._door)

    def planned(self, now: Mapping[str, Any]) -> Plan:
        return Plan(
            title=f"Cancel the making of a root token of {self._node}",
            targets=(self._node,),
            steps=(Step(self._node, "DELETE /v1/sys/generate-root/attempt"),),
            risks=(f"{so_far(now.get('progress'), now.get('required'))} and dropped",),
            undo="begin it again",
            preview=f"root token  for the key {owner(now) or '(a one-time password)'}",
        )

    async def cancel(self) -> None:
        await asked(self._door, root.cancel, writes=True, nonce=self._nonce)


class GiveRootShare(GiveShare):
    id = "vault.generate-root-share"
    operation = "root.share"
    path = "sys/generate-root/update"
    to = "the root token of"

    async def run(self, progress: Progress) -> None:
        await super().run(progress)
        if self.answer.get("unwritten"):
            why = inert(self.answer.get("why"))
            progress(f"the file could not be written ({why}): copy this, it is wrapped")
            for text in self.answer["unwritten"].values():
                for line in text.splitlines():
                    progress(line)

    async def standing(self) -> Outcome:
        node = self._node
        if self.answer.get("complete"):
            files = self.answer.get("files", ())
            if not files:
                return Outcome("failed", f"{node}: made, but in no file: copy the block above now")
            return Outcome("done", f"{node}: there are enough: the root token is made")
        now = await state(self._door)
        if now.get("nonce") != self._told["nonce"]:
            return Outcome(
                "unknown",
                f"{node}: it is over: cancelled, or the token was made and its answer lost. Then a "
                "root token lives that nobody has: list and revoke it by its accessor",
            )
        return self.counted(now.get("progress"), now.get("required"), now.get("nonce"))


class RootMade(Action):
    """Looks at the wrapped token, and says what comes next. Changes nothing."""

    id = "vault.generate-root-made"

    def __init__(self, node: str, path: str) -> None:
        self._node, self._path = node, path

    async def plan(self) -> Plan:
        step = Step("this machine", "gpg --list-packets: it is addressed to somebody")
        return Plan(f"The root token of {self._node}", (self._node,), (step,))

    async def run(self, progress: Progress) -> None:
        pass

    async def verify(self) -> Outcome:
        node, path = self._node, inert(self._path, 120)
        if not path:
            return Outcome("failed", f"{node}: made, but in no file: copy the block above now")
        try:
            found = await recipients(self._path)
        except KeyFileError as error:
            return Outcome("failed", f"{node}: {error}")
        if not found:
            return Outcome("failed", f"{node}: {path} is addressed to nobody")
        return Outcome(
            "done",
            f"{node}: the root token is in {path}, for its holder alone: --token-gpg takes it. "
            f"Revoke it when done: labtui vault revoke-root {node} --token-gpg {path}",
            {"file": self._path},
        )


class RootCeremony:
    resets = "cancel it all"

    def __init__(self, doors: Doors, node: str, out: Path, name: str = "") -> None:
        """`out`: the folder of the file; `name`: what it is to be called, if not by itself."""
        self._doors, self.node, self._out, self._name = doors, node, out, name
        self._door = doors.door(node)
        self._seen: dict[str, Any] = {}
        self._given: GiveRootShare | None = None
        self.title = f"Make a root token of {node}"
        self.promise = (
            f"the token, wrapped for its holder, in {inert(out, 80)}: revoke it when done"
        )

    async def standing(self) -> Standing:
        given = self._given
        if given is not None and given.answer.get("complete"):
            required = int(self._seen.get("required") or 0)
            return Standing(required, required, str(self._seen["nonce"]), done=True)
        now = await state(self._door)
        progress, required = int(now.get("progress") or 0), int(now.get("required") or 0)
        nonce = str(now.get("nonce") or "")
        if not now.get("started"):
            words = "no root token is being made"
            if self._seen:
                words = "it is over: cancelled, or complete at another console"
            return Standing(0, required, "", words=words)
        if not owner(now):
            words = "this one is hidden by a password, not by a key: who began it gets the token"
            return Standing(progress, required, nonce, words=words)
        self._seen = self._seen or now
        self.promise = (
            f"the token for the key {owner(self._seen)[-8:]} in {inert(self._out, 60)}; revoke it "
            "when done"
        )
        if nonce != self._seen["nonce"] or owner(now) != owner(self._seen):
            words = "somebody began another one: leave, and find out who"
            return Standing(progress, required, nonce, words=words)
        return Standing(progress, required, nonce)

    def lines(self) -> list[str]:
        return [f"root token  for the key {owner(self._seen)}"]

    def give(self, holder: Keyholder, number: int) -> Action:
        nonce = str(self._seen.get("nonce") or "")
        told = {
            "nonce": nonce,
            "fingerprint": owner(self._seen),
            "folder": str(self._out),
            "name": self._name or file_name(self.node, owner(self._seen), nonce),
        }
        self._given = GiveRootShare(self._doors, self.node, holder, number, told, self.lines())
        return self._given

    def reset(self) -> Action:
        return CancelRoot(self._doors, self.node)

    def afterwards(self) -> Action | None:
        files = self._given.answer.get("files", ()) if self._given else ()
        return RootMade(self.node, str(files[0]) if files else "")


class RevokeRoot(Action):
    """The root token gives itself back. The keyholder has it."""

    id = "vault.revoke-root"

    def __init__(self, doors: Doors, node: str) -> None:
        self._node = node
        self._door = doors.door(node)
        self._holder = doors.need_holder()

    async def plan(self) -> Plan:
        node = self._node
        found = await called(self._holder, "root.lookup", self._door)
        if not found["root"]:
            named = inert(", ".join(found["policies"]), 80)
            raise ActionError(
                f"{node}: this is no root token (it has {named}): nothing was revoked"
            )
        return Plan(
            title=f"Revoke the root token of {node}",
            targets=(node,),
            steps=(
                Step(node, "POST /v1/auth/token/revoke-self"),
                Step(node, "GET /v1/auth/token/lookup-self: 403 when it is gone"),
            ),
            risks=(
                "tokens that were made with it end with it, unless they are orphans",
                f"without a token that may administer {node}, the next change needs the shares: "
                f"labtui vault generate-root {node}",
            ),
            undo=f"none; another one: labtui vault generate-root {node}",
        )

    async def run(self, progress: Progress) -> None:
        await called(self._holder, "root.revoke", self._door)

    async def verify(self) -> Outcome:
        found = await called(self._holder, "root.gone", self._door)
        if found["gone"]:
            return Outcome("done", f"{self._node}: this root token is revoked: 403")
        return Outcome("failed", f"{self._node}: this root token still works")
