"""AppRole, policy and engine for the agents, as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.vault.asking import called, count
from labtui.actions.vault.serving import serving
from labtui.actions.vault.wanted import addresses, named, paths, role_problem, wanted
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations.setup import Difference, differences
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors


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
            raise ActionError(str(error), "timeout") from None
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
        words = [count(alone[key], f"other {name}") for key, name in
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
