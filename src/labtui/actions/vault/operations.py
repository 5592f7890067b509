"""What an operator does now and then: seal, set up, audit devices, the end of a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.vault.asking import called
from labtui.actions.vault.sealing import Seal
from labtui.actions.vault.serving import serving
from labtui.actions.vault.settingup import SetUp
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import audit
from labtui.spec import Wanted
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


def wants(words: str) -> Wanted:
    return Wanted("token", "token", words)


SEALER = wants("a token that may seal")
READER = wants("the token to look at")
AUDITOR = wants("a token that may see audit devices")
SETTER = wants("a token that may set Vault up")


class AuditDevice(Action):
    """Enable a file device, or disable one."""

    id = "vault.audit"

    def __init__(self, doors: Doors, *, path: str = "", name: str = "") -> None:
        """`path`: enable one that writes there. Without it: disable `name`."""
        self.doors = doors
        try:
            self.path = audit.file_path(path) if path else ""
            self.name = audit.device_name(name or "file")
        except Refused as error:
            raise ActionError(str(error)) from None
        self.door: Door | None = None

    async def devices(self) -> list[dict[str, Any]]:
        self.door = self.door or await serving(self.doors)
        try:
            told = await called(self.doors.need_holder(), "audit.list", self.door)
        except Unknown as error:
            raise ActionError(str(error), "timeout") from None
        return list(told["devices"])

    async def plan(self) -> Plan:
        there = await self.devices()
        assert self.door is not None
        if self.path:
            if any(d["name"] == self.name for d in there):
                self.name = next(n for n in (f"file-{i}" for i in range(2, 99))
                                 if n not in [d["name"] for d in there])  # fmt: skip
            risks = ["it is the only device then: when it cannot write, its disk being full, Vault "
                     "answers nothing at all"] if not there else []  # fmt: skip
            path = where = inert(self.path, 120)
            if path == "stdout":
                where = "the server's own log"
            else:
                risks.append("the file grows: rotate it (logrotate, then SIGHUP to Vault)")
            return Plan(
                title=f"Write who asks Vault for what to {where}",
                targets=(f"audit device {self.name}",),
                steps=(Step(self.door.address, f"POST /v1/sys/audit/{self.name} "
                            f'{{"type": "file", "options": {{"file_path": "{path}"}}}}'),),
                risks=tuple(risks),
                undo=f"labtui vault audit-devices --disable {self.name}",
            )  # fmt: skip
        if self.name not in [d["name"] for d in there]:
            names = ", ".join(d["name"] for d in there) or "none"
            raise ActionError(f"there is no audit device {self.name}: there is {names}")
        last = len(there) == 1
        return Plan(
            title=f"Disable the audit device {self.name}",
            targets=(f"audit device {self.name}",),
            steps=(Step(self.door.address, f"DELETE /v1/sys/audit/{self.name}"),),
            risks=("it is the last one: nobody can tell afterwards who read what",) if last else (),
            undo="enable one again; what it wrote stays, its hashes are keyed anew",
            dangerous=last,
            confirm_word=self.name if last else "",
        )

    async def run(self, progress: Progress) -> None:
        assert self.door is not None
        holder = self.doors.need_holder()
        if self.path:
            await called(holder, "audit.enable", self.door, path=self.path, name=self.name)
        else:
            await called(holder, "audit.disable", self.door, name=self.name)

    async def verify(self) -> Outcome:
        there = await self.devices()
        names = [d["name"] for d in there]
        details = {"device": self.name, "devices": ", ".join(names)}
        if bool(self.path) != (self.name in names):
            word = "is not there" if self.path else "is still there"
            return Outcome("failed", f"the audit device {self.name} {word}", details)
        word = f"writes to {inert(self.path, 120)}" if self.path else "is gone"
        return Outcome("done", f"the audit device {self.name} {word}", details)


class RevokeToken(Action):
    """The end of the token that was given."""

    id = "vault.revoke"

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.door: Door | None = None
        self._sent = False

    async def _look(self) -> Mapping[str, Any]:
        self.door = self.door or await serving(self.doors)
        try:
            return await called(self.doors.need_holder(), "token.lookup", self.door)
        except Unknown as error:
            raise ActionError(str(error), "timeout") from None

    async def plan(self) -> Plan:
        told = await self._look()
        assert self.door is not None
        name = inert(told.get("display_name") or "without a name", 80)
        risks = ["every token that was made with it ends too, unless it is an orphan"]
        if told["root"]:
            risks.append("a new root token then takes the holders of the shares (generate-root)")
        return Plan(
            title=f"Revoke the token {name} ({', '.join(told.get('policies') or ['no policy'])})",
            targets=(f"token {name}",),
            steps=(Step(self.door.address, "POST /v1/auth/token/revoke-self"),),
            risks=tuple(risks),
            undo="there is none",
        )

    async def run(self, progress: Progress) -> None:
        assert self.door is not None
        await called(self.doors.need_holder(), "token.revoke-self", self.door)

    async def verify(self) -> Outcome:
        try:
            await self._look()
        except ActionError as error:
            if "does not know this token" in str(error):
                return Outcome("done", "the token is revoked")
            raise
        return Outcome("failed", "the token is valid still")


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """`changes` of an audit device: `path` to enable, or `name` to disable."""
    match id:
        case "vault.seal":
            return Seal(doors, items[0].node)
        case "vault.setup":
            return SetUp(doors)
        case "vault.audit":
            return AuditDevice(doors, path=changes.get("path", ""), name=changes.get("name", ""))
        case "vault.revoke":
            return RevokeToken(doors)
    return None
