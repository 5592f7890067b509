"""Rotate a secret and watch it arrive; back to the earlier version the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Plan, Step
from labtui.actions.vault.arrival import Reporter, Sighting
from labtui.actions.vault.asking import called
from labtui.actions.vault.versions import HIDDEN, NewVersion, chosen, wait_of
from labtui.keyholder.operations.secret import KEPT
from labtui.sources.agents import AgentReport
from labtui.sources.base import SourceError
from labtui.spec import Wanted
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

WRITER = Wanted("token", "token", "a token that may write the secret")


def value_of(name: str) -> Wanted:
    return Wanted("value", "value", f"the new value of {inert(name, 60)}")


VALUE = value_of("the secret")


class Rotate(NewVersion):
    """The value that the keyholder was given, as a new version."""

    id = "vault.rotate"

    def expected(self) -> Plan:
        seen, words = self.seen, self.secret.words
        now, field = seen["version"], inert(self.secret.field, 60)
        assert self.door is not None
        if seen.get("same"):
            raise ActionError(f"{self.place} has this value already, in version {now}")
        risks = []
        if not now:
            risks.append(f"there is no secret {self.place} yet: this makes it")
        elif seen["deleted"]:
            risks.append(f"version {now} was deleted, and its other fields with it")
        elif seen["digest"] is None:
            there = ", ".join(seen["others"]) or "none"
            risks.append(f"version {now} has no field {field} (there: {there}): it is added")
        if now >= KEPT:
            risks.append(f"Vault keeps {KEPT} versions unless it is told another number: the "
                         "oldest goes")  # fmt: skip
        back = f"version {now} stays in Vault: b, or `labtui vault rollback {words}`"
        return Plan(
            title=f"Rotate {words}: version {now + 1} of {self.place}",
            targets=(f"{self.place} {field}",),
            steps=(Step(self.door.address, self.call_words(HIDDEN)),),
            risks=tuple(risks),
            undo=back if seen["digest"] else "there is no earlier value to go back to",
        )

    async def write(self) -> Mapping[str, Any]:
        assert self.door is not None
        return await called(
            self.doors.need_holder(), "secret.put", self.door,
            **self.at(before=self.seen["version"]),
        )  # fmt: skip

    def is_there(self, now: Mapping[str, Any]) -> bool:
        return bool(now.get("same")) and now["version"] > self.seen["version"]


class Rollback(NewVersion):
    """The value of an earlier version as a new version; nothing that came after it is lost."""

    id = "vault.rollback"

    def __init__(self, *args: Any, version: int = 0, **more: Any) -> None:
        """`version`: 0 is the newest earlier one with another value."""
        super().__init__(*args, **more)
        self.version = version

    def more(self) -> dict[str, Any]:
        return {"earlier": self.version}

    def expected(self) -> Plan:
        seen, words = self.seen, self.secret.words
        now, old, field = seen["version"], seen["earlier"], inert(self.secret.field, 60)
        assert self.door is not None
        risks = []
        if seen["deleted"]:
            risks.append(f"version {now} was deleted, and its other fields with it")
        risks.append("the earlier key works only while its issuer has not revoked it")
        return Plan(
            title=f"Roll {words} back: version {old} of {self.place} again, as {now + 1}",
            targets=(f"{self.place} {field}",),
            steps=(
                Step(self.door.address, f"GET /v1/{seen['mount']}/data/{seen['path']}"
                     f"?version={old} (of {seen['earlier_created'][:16]})"),
                Step(self.door.address, self.call_words(f"(that of version {old}, not shown)")),
            ),
            risks=tuple(risks),
            undo=f"version {now} stays in Vault: `labtui vault rollback {words} --version {now}`",
        )  # fmt: skip

    async def write(self) -> Mapping[str, Any]:
        assert self.door is not None
        return await called(
            self.doors.need_holder(), "secret.rollback", self.door,
            **self.at(before=self.seen["version"], to=self.seen["earlier"]),
        )  # fmt: skip

    def is_there(self, now: Mapping[str, Any]) -> bool:
        newer: bool = now["version"] > self.seen["version"]
        return newer and now["digest"] == self.seen["earlier_digest"]


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """`answer`: the secret's name or path. `changes`: `field`, `wait`, `exact`, `version`."""
    if id not in (Rotate.id, Rollback.id):
        return None
    secret = chosen(doors.config.vault, answer, changes.get("field", ""))
    wait = wait_of(changes.get("wait", ""))
    if id == Rotate.id:
        exact = changes.get("exact") == "yes"
        return Rotate(doors, secret, reporter(doors), wait=wait, exact=exact)
    text = changes.get("version") or "0"
    if not text.isdecimal() or len(text) > 9:
        raise ActionError(f"{inert(text, 20)} is no version: a number from 1")
    return Rollback(doors, secret, reporter(doors), wait=wait, version=int(text))


def reporter(doors: Doors) -> Reporter | None:
    """What tells of the nodes' files; None where no node has an agent."""
    return NodeReports(doors) if doors.config.vault.agents else None


class NodeReports:
    """The report of each node's own agent, by the node's transport."""

    def __init__(self, doors: Doors) -> None:
        self._reports = AgentReport(doors.config.vault)
        self._hosts = doors.hosts

    async def look(self, node: str, name: str, salt: str) -> Sighting:
        host = self._hosts.get(node)
        if host is None:
            raise SourceError("config", f"{inert(node, 60)} is not in [nodes]: it cannot be asked")
        told = await self._reports.report(host, salt)
        agent = told.agent
        alive = False if agent.state == "absent" else agent.alive
        secret = next((s for s in agent.secrets if s.name == name), None)
        if secret is None:
            why = "its agent does not render it: install the agents anew (n)"
            return Sighting(fault=why, alive=alive, agent=agent.state or "")
        return Sighting(
            digest=told.digests.get(name),
            age_s=secret.age_s,
            fault=secret.fault or "its file is not there",
            alive=alive,
            agent=agent.state or "",
            old=secret.old,
        )
