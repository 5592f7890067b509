"""A server forgets its key."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import called, count
from labtui.actions.vault.serving import cannot_serve, fresh, serving
from labtui.actions.vault.wanted import named
from labtui.model import VaultNode
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

SETTLES = 20.0
"""Seconds until a server that was sealed says so, and another one of the set is active."""


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
            found.append(f"{count(agents, 'agent')} on nodes: the files that are there stay, and "
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


def cannot_seal(node: VaultNode) -> str | None:
    match node.state:
        case "standby":
            return "it is a standby: only the active one can be sealed"
        case "sealed" | "unsealing":
            return "it is sealed already"
    return cannot_serve(node)
