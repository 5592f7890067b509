"""Seal, set up, audit devices, the end of a token: what an operator does now and then."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.vault.asking import called
from labtui.actions.vault.serving import cannot_serve, fresh, serving
from labtui.actions.vault.wanted import addresses, named, paths, role_problem, wanted
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import audit
from labtui.keyholder.operations.setup import Difference, differences
from labtui.model import VaultNode
from labtui.spec import ActionSpec, Wanted
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

SETTLES = 20.0
"""Seconds until a server that was sealed says so, and another one of the set is active."""


def wants(words: str) -> Wanted:
    return Wanted("token", "token", words)


SEALER = wants("a token that may seal")
READER = wants("the token to look at")
AUDITOR = wants("a token that may see audit devices")
SETTER = wants("a token that may set Vault up")


class Seal(Action):
    """One server forgets its key."""

    id = "vault.seal"

    def __init__(self, doors: Doors, node: str) -> None:
        self.doors, self.node = doors, node
        self._others: list[str] = []
        """Servers of the set that are unsealed."""

    async def look(self) -> VaultNode:
        """The server, which can be sealed. Raises ActionError where it cannot."""
        self.doors.door(self.node)
        now = await fresh(self.doors.config, self.node)
        if now.state in ("sealed", "unsealing"):
            raise ActionError(f"{self.node} is sealed already")
        if now.state == "standby":
            raise ActionError(
                f"{self.node} is a standby, which Vault does not seal: the active one is "
                f"{inert(now.leader or 'not known', 120)}. To take its key, stop its service"
            )
        if now.state != "active":
            raise ActionError(f"{self.node}: {now.detail or f'its state is {now.state}'}")
        return now

    async def plan(self) -> Plan:
        door = self.doors.door(self.node)
        self.doors.need_holder()
        now = await self.look()
        await self._look_around()
        return Plan(
            title=f"Seal Vault on {self.node}",
            targets=(self.node,),
            steps=(Step(door.address, "PUT /v1/sys/seal"),),
            risks=self._risks(now),
            undo=self._undo(now),
            dangerous=True,
            confirm_word=self.node,
        )

    async def _look_around(self) -> None:
        self._others = []
        for name in self.doors.config.vault.nodes:
            if name == self.node:
                continue
            try:
                state = (await fresh(self.doors.config, name)).state
            except ActionError:
                continue
            if state in ("standby", "active"):
                self._others.append(name)

    def _risks(self, now: VaultNode) -> tuple[str, ...]:
        total, left = len(self.doors.config.vault.nodes), len(self._others)
        if left:
            found = [f"{named(self._others)} of the set stay open: one of them becomes active "
                     "within seconds, so Vault as a whole is not sealed by this; each has to be "
                     "sealed by itself, the active one first"]  # fmt: skip
            if now.storage == "raft" and left <= total // 2:
                found = [f"only {named(self._others)} would be left of {total}: too few for raft "
                         "to agree, so that Vault stops, and what is left cannot be sealed by a "
                         "call any more: stop its service"]  # fmt: skip
        else:
            found = ["every login, every new secret and every renewal fails until it is unsealed"]
        agents = len(self.doors.config.vault.agents)
        if agents:
            found.append(f"{_count(agents, 'agent')} on nodes: the files that are there stay, and "
                         "jobs go on with them; what needs a new login fails")  # fmt: skip
        return tuple(found)

    def _undo(self, now: VaultNode) -> str:
        if now.recovery_seal or now.seal_type not in (None, "shamir"):
            return f"its seal is {now.seal_type}: it unseals itself when its service is restarted"
        if now.threshold and now.shares:
            people = f"{now.threshold} of {now.shares} shares"
        else:
            people = "the shares"
        return f"unseal it: {people} are needed, so see that their holders can be had"

    async def run(self, progress: Progress) -> None:
        await called(self.doors.need_holder(), "seal.seal", self.doors.door(self.node))

    async def verify(self) -> Outcome:
        details = {"node": self.node}
        deadline = time.monotonic() + SETTLES
        while True:
            now = await fresh(self.doors.config, self.node)
            details["state"] = str(now.state)
            if now.sealed:
                break
            if time.monotonic() > deadline:
                return Outcome("failed", f"{self.node} is {now.state}, not sealed", details)
            await asyncio.sleep(0.3)
        text = f"{self.node} is sealed"
        if self._others:
            text += f"; {await self._active(deadline)}"
        return Outcome("done", text, details)

    async def _active(self, deadline: float) -> str:
        while True:
            try:
                door = await serving(self.doors)
                return f"{door.node} is active now: what the set serves goes on"
            except ActionError:
                if time.monotonic() > deadline:
                    return f"none of {named(self._others)} became active in its place"
                await asyncio.sleep(0.5)


class SetUp(Action):
    """KV engines, AppRole, the agents' policy and role: only what differs is written."""

    id = "vault.setup"

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.door: Door | None = None
        self.state: Mapping[str, Any] = {}

    async def look(self) -> list[Difference]:
        """What differs from what is wanted. Raises ActionError."""
        vault = self.doors.config.vault
        if problem := role_problem(vault.role):
            raise ActionError(problem)
        if not paths(self.doors.config):
            raise ActionError("[vault.secrets] names no path: there is nothing to set up for")
        self.door = self.door or await serving(self.doors)
        try:
            self.state = await called(
                self.doors.need_holder(), "setup.read", self.door,
                role=vault.role, paths=paths(self.doors.config),
            )  # fmt: skip
        except Unknown as error:
            raise ActionError(str(error)) from None
        try:
            return differences(self.state, wanted(self.doors.config, self.state))
        except Refused as error:
            raise ActionError(f"Vault on {self.door.node}: {error}") from None

    async def plan(self) -> Plan:
        found = await self.look()
        if not found:
            raise ActionError("; ".join(("nothing to do: all is as it is wanted", *self.notes())))
        assert self.door is not None
        return Plan(
            title="Set Vault up for the agents",
            targets=(", ".join(f"{d.kind} {d.name}" for d in found),),
            steps=tuple(Step(self.door.address, inert(d.call, 200)) for d in found),
            risks=self._risks(found),
            undo="the diff shows what was there: `-` lines set it back"
            if any(d.have for d in found) else "disable or delete what is made, by the same paths",
            preview=diff(found),
            whole=True,
        )  # fmt: skip

    def _risks(self, found: Sequence[Difference]) -> tuple[str, ...]:
        risks = []
        if any(d.kind == "role" for d in found):
            bound, unknown = addresses(self.doors.config)
            if bound:
                risks.append("the role works from these addresses only: an agent that Vault sees "
                             "come from another one cannot log in any more")  # fmt: skip
            elif unknown:
                risks.append(f"a stolen secret-id would work from anywhere: {named(unknown)} "
                             "have no number as address in [nodes]")  # fmt: skip
        if any(d.kind == "policy" and d.have for d in found):
            risks.append("the policy is replaced: what else uses it loses what it does not name")
        return (*risks, *self.notes())

    def notes(self) -> tuple[str, ...]:
        """What is not this action's to change, and worth a word."""
        found = []
        for path, version in self.state.get("secrets", {}).items():
            if version == 0:
                found.append(f"there is no secret {inert(path, 80)} yet: rotate it (o)")
        alone = self.state.get("alone", {})
        words = [_count(alone[key], f"other {name}") for key, name in
                 (("policies", "policy"), ("auths", "auth method"), ("engines", "engine"))
                 if alone.get(key)]  # fmt: skip
        if words:
            found.append(f"left alone: {', '.join(words)}")
        return tuple(found)

    async def run(self, progress: Progress) -> None:
        assert self.door is not None
        told = await called(
            self.doors.need_holder(), "setup.apply", self.door, seen=dict(self.state),
            wanted=wanted(self.doors.config, self.state), paths=paths(self.doors.config),
        )  # fmt: skip
        for what in told["made"]:
            progress(f"written: {what}")

    async def verify(self) -> Outcome:
        left = await self.look()
        details = {"role": self.doors.config.vault.role,
                   "differs": ", ".join(f"{d.kind} {d.name}" for d in left)}  # fmt: skip
        if left:
            return Outcome("failed", f"still not as it is wanted: {details['differs']}", details)
        return Outcome("done", "; ".join(("all is as it is wanted", *self.notes())), details)


def diff(found: Sequence[Difference]) -> str:
    """A unified diff of each object."""
    lines: list[str] = []
    for d in found:
        name = f"{d.kind}/{d.name}"
        old = f"a/{name}" if d.have else "/dev/null"
        lines += difflib.unified_diff(d.have, d.want, old, f"b/{name}", lineterm="", n=2)
    return "\n".join(inert(line, 300) for line in lines)


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
            raise ActionError(str(error)) from None
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
            where = "the server's own log" if self.path == "stdout" else inert(self.path, 120)
            return Plan(
                title=f"Write who asks Vault for what to {where}",
                targets=(f"audit device {self.name}",),
                steps=(Step(self.door.address, f"POST /v1/sys/audit/{self.name} "
                            f'{{"type": "file", "options": {{"file_path": "{where}"}}}}'),),
                risks=(*risks, "the file grows: rotate it (logrotate, then SIGHUP to Vault)"),
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
            raise ActionError(str(error)) from None

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


def _count(number: int, name: str) -> str:
    """`1 other policy`, `2 other policies`."""
    many = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{number} {name if number == 1 else many}"


def _cannot_seal(node: VaultNode) -> str | None:
    match node.state:
        case "standby":
            return "it is a standby: only the active one can be sealed"
        case "sealed" | "unsealing":
            return "it is sealed already"
    return cannot_serve(node)


_VAULT = ("vault",)

ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "vault.seal", "L", "seal", "It forgets its key: nothing is served until shares are given.",
        _VAULT, dangerous=True, disabled=_cannot_seal, secrets=lambda item, store: (SEALER,),
    ),
    ActionSpec(
        "vault.setup", "e", "set up", "AppRole, policy and engine for the agents, as a diff.",
        _VAULT, disabled=cannot_serve, secrets=lambda item, store: (SETTER,), footer=False,
    ),
    ActionSpec(
        "vault.token", "t", "token", "What a token may, how long it lives, how many there are.",
        _VAULT, changes=False, asks=False, disabled=cannot_serve,
        secrets=lambda item, store: (READER,), footer=False,
    ),
    ActionSpec(
        "vault.audit", "D", "audit devices", "Where Vault writes who asked for what.",
        _VAULT, changes=False, asks=False, disabled=cannot_serve,
        secrets=lambda item, store: (AUDITOR,), footer=False,
    ),
)  # fmt: skip


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
