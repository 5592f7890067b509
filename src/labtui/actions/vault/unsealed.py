"""What has to be so again after an unseal: health, a leader, AppRole, the agents."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.serving import fresh
from labtui.hosts.base import HostError
from labtui.model import Agent, VaultNode
from labtui.sources.agents import AgentReport, new_salt
from labtui.sources.base import SourceError
from labtui.sources.threads import Lane
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

HEALTH = 30.0
"""Seconds until it is active or a standby with a leader: an election takes some."""
APPROLE = 10.0
"""Seconds until AppRole answers: a server that has just become active does not serve yet."""
AGENTS = 45.0
"""Seconds until the agents are back: they try again at growing intervals."""
AGENT = 6.0
"""Seconds for one node's answer."""
LOOK = 1.0
"""Seconds between two looks."""
PROBE = "labtui-probe"
"""A role-id that no role has: the answer to it tells that AppRole answers, and logs nobody in."""


async def look(doors: Doors, node: str) -> VaultNode:
    """The server as it is now. Raises ActionError."""
    return await fresh(doors.config, node)


class CheckUnsealed(Action):
    """Changes nothing; its line in the audit says what the unsealing led to."""

    id = "vault.verify"
    run_timeout = HEALTH + APPROLE + AGENTS + 30.0

    def __init__(self, doors: Doors, node: str) -> None:
        self._doors, self._node = doors, node
        self._wrong: list[str] = []
        self._good: list[str] = []

    async def plan(self) -> Plan:
        where = self._doors.door(self._node).address
        steps = [
            Step(where, "GET /v1/sys/health, /v1/sys/leader"),
            Step(where, f'POST /v1/auth/approle/login {{"role_id": "{PROBE}"}}'),
        ]
        if self._doors.config.vault.agents:
            steps.append(Step("agents", "what each says of itself"))
        return Plan(f"Check {self._node}", (self._node,), tuple(steps))

    async def run(self, progress: Progress) -> None:
        await self._health(progress)
        await self._approle(progress)
        await self._agents(progress)

    async def verify(self) -> Outcome:
        good = ", ".join(self._good)
        if not self._wrong:
            return Outcome("done", f"{self._node} is unsealed: {good}")
        wrong = "; ".join(self._wrong)
        return Outcome(
            "failed", f"{self._node} is unsealed, but {wrong}{'; ' + good if good else ''}"
        )

    async def _health(self, progress: Progress) -> None:
        progress("waiting for its health and a leader")
        end = time.monotonic() + HEALTH
        why = "its health is not known"
        while time.monotonic() < end:
            try:
                found = await look(self._doors, self._node)
            except ActionError as error:
                why = str(error)
            else:
                if found.state in ("sealed", "unsealing"):
                    self._wrong.append("it is sealed again")
                    return
                if found.state == "active":
                    self._good.append("active")
                    return
                if found.state == "standby" and not found.leaderless:
                    leader = f" of {inert(found.leader, 80)}" if found.leader else ""
                    self._good.append(f"standby{leader}")
                    return
                why = "no server of its set is active" if found.state == "standby" else found.state
            await asyncio.sleep(LOOK)
        self._wrong.append(f"after {HEALTH:.0f} s {why}")

    async def _approle(self, progress: Progress) -> None:
        progress("asking AppRole")
        end = time.monotonic() + APPROLE
        while why := await self._approle_fails():
            if time.monotonic() > end:
                self._wrong.append(f"AppRole does not answer: {why}")
                return
            await asyncio.sleep(LOOK)

    async def _approle_fails(self) -> str:
        """Why it does not work; empty where it does, or is not there."""
        door = self._doors.door(self._node)
        timeout = self._doors.config.vault.timeout_s
        try:
            status, said = await Lane("AppRole").call(
                timeout + 1.0, approle, door.address, door.ca_file, timeout
            )
        except SourceError as error:
            return error.fault.message
        if status == 400:
            self._good.append("AppRole answers")
        elif status in (403, 404):
            self._good.append("AppRole is not set up")
        else:
            return f"{status}{': ' + said if said else ''}"
        return ""

    async def _agents(self, progress: Progress) -> None:
        """Each node is asked itself: what was seen before the unseal tells nothing."""
        config, hosts = self._doors.config, self._doors.hosts
        names = [name for name in config.vault.agents if name in hosts]
        report, salt = AgentReport(config.vault), new_salt()

        async def ask(name: str) -> Agent:
            try:
                return await report.ask(hosts[name], salt, timeout=AGENT)
            except HostError as error:
                return Agent(node=name, state="unknown", detail=error.message)

        end = time.monotonic() + AGENTS
        waits, back = names, 0
        while waits:
            found = await asyncio.gather(*map(ask, waits))
            # A node without an agent has none that could come back.
            missed = [a for a in found if a.state != "absent" and not _is_back(a)]
            back += sum(map(_is_back, found))
            waits = [agent.node for agent in missed]
            if not waits or time.monotonic() > end:
                break
            progress(f"waiting for {', '.join(_waiting(agent) for agent in missed)}")
            await asyncio.sleep(2 * LOOK)
        if back:
            self._good.append(f"{back} agent{'s' if back > 1 else ''} back")
        if waits:
            self._wrong.append("still waiting: " + ", ".join(map(_waiting, missed)))


def _is_back(agent: Agent) -> bool:
    return agent.alive is True and agent.state == "running" and not _faults(agent)


def _faults(agent: Agent) -> list[str]:
    return [secret.fault for secret in agent.secrets if secret.fault]


def _waiting(agent: Agent) -> str:
    why = (_faults(agent) if agent.alive else []) or [agent.detail or "not known"]
    if agent.state not in (None, "unknown", "running"):
        why = [agent.state or ""]
    return f"{inert(agent.node, 40)} ({inert(why[0], 80)})"


def approle(address: str, ca_file: str, timeout: float) -> tuple[int, str]:
    """Status and words of a login that nobody may have: 400 tells that AppRole works. Blocking,
    without a token. Raises SourceError."""
    from labtui.sources.http import BoundedSession, explained

    who = f"Vault at {address}"
    with explained(who, ca_file), BoundedSession(timeout=timeout, ca_file=ca_file) as session:
        answer = session.post(f"{address.rstrip('/')}/v1/auth/approle/login",
                              json={"role_id": PROBE, "secret_id": PROBE})  # fmt: skip
        return answer.status_code, inert(answer.text[:200], 120)
