"""vault-agent on the nodes: put there, mended, and taken away, by its playbook."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Progress, Step
from labtui.actions.plays import PlayAction, memory
from labtui.actions.vault.asking import called
from labtui.collectors.vault import standing
from labtui.hosts.base import HostError
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door
from labtui.model import Agent
from labtui.plays.catalogue import book, targets
from labtui.plays.events import Report
from labtui.plays.inventory import PlayError
from labtui.sources.agents import AgentReport, new_salt
from labtui.sources.base import SourceError
from labtui.spec import ActionSpec, Wanted

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

BOOK = "vault-agent"
TOKEN = Wanted("token", "token", "a token that may make wrapped secret-ids of the agents' role")
UNWRAP = "10m"
KEEP = "Keep the vault program that is there"
"""The playbook's task of that name."""


class AgentPlay(PlayAction):
    """The agents' playbook on some nodes; with a token it tends to their secret-ids too."""

    def __init__(self, doors: Doors, hosts: Sequence[str], *, undo: bool = False) -> None:
        try:
            found = book(BOOK)
            nodes = targets(found, doors.config, hosts)
        except PlayError as error:
            raise ActionError(str(error)) from None
        super().__init__(doors.config, found, nodes, undo=undo)
        self.doors = doors
        self.holder: Keyholder | None = doors.holder


class InstallAgents(AgentPlay):
    """Each node that has no secret-id, or one that is refused, is handed a wrapped one."""

    id = "agents.install"

    def __init__(self, doors: Doors, hosts: Sequence[str]) -> None:
        super().__init__(doors, hosts)
        self.older: list[str] = []

    @property
    def needing(self) -> list[str]:
        """Nodes that need a secret-id, by the preview."""
        return self._changing(self.book.needs)

    def _changing(self, task: str) -> list[str]:
        hosts = self.seen.hosts.values() if self.seen else ()
        return [h.name for h in hosts if any(r.task == task for r in h.changed)]

    async def preview(self) -> Report:
        if self.seen is None:
            refused = await self._refused()
            if refused:
                self.variables["vault_renew"] = refused
        report = await super().preview()
        # What was to be renewed is: another look would else find that it is to be again.
        self.renew = self.variables.pop("vault_renew", [])
        return report

    renew: Sequence[str] = ()

    async def _refused(self) -> list[str]:
        """Nodes whose agent says that its secret-id is not known any more."""
        report, salt = AgentReport(self.config.vault), new_salt()

        async def state(name: str) -> str | None:
            host = self.doors.hosts.get(name)
            try:
                return (await report.ask(host, salt)).state if host else None
            except HostError:
                return None

        states = await asyncio.gather(*map(state, self.hosts))
        return [n for n, s in zip(self.hosts, states, strict=True) if s == "login refused"]

    async def plan(self) -> Any:
        plan = await super().plan()
        if self.needing and self.holder is None:
            raise ActionError(
                f"{', '.join(self.needing)}: a new secret-id is needed, and for that a token which "
                "may make wrapped ones: `labtui play apply vault-agent` asks for it"
            )
        return plan

    def more_steps(self) -> tuple[Step, ...]:
        if not self.needing:
            return ()
        role = self.config.vault.role
        what = f"auth/approle/role/{role}"
        return (
            Step("vault", f"GET {what}/role-id; list and look up its secret-ids' accessors"),
            Step(
                "vault", f"POST {what}/secret-id, wrapped for {UNWRAP}: {', '.join(self.needing)}"
            ),
            Step("vault", "afterwards: destroy older secret-ids of these nodes"),
        )

    def risks(self) -> tuple[str, ...]:
        if self.seen is None or not self.seen.changes:
            return ()
        risks = ["the agent is restarted where its configuration changes; what it rendered stays"]
        if there := self._changing(KEEP):
            risks.append(f"{', '.join(there)}: a vault program is there already: it is replaced "
                         "for all who use it, and undo puts it back")  # fmt: skip
        return tuple(risks)

    async def perform(self, progress: Progress) -> Report:
        if not self.needing:
            return await self._play(self.playbook, progress=progress)
        if self.holder is None:
            raise ActionError("a token is needed, which was not given")
        door = await self._door()
        handed = memory()
        try:
            progress(f"making {len(self.needing)} wrapped secret-ids")
            told = await called(
                self.holder, "approle.deliver", door,
                role=self.config.vault.role, nodes=self.needing, ttl=UNWRAP,
                memory=f"/proc/{os.getpid()}/fd/{handed}",
            )  # fmt: skip
            if self.renew:
                self.variables["vault_renew"] = self.renew
            report = await self._play(self.playbook, progress=progress, handed=handed)
        finally:
            self.variables.pop("vault_renew", None)
            os.close(handed)
        good = {name for name, host in report.hosts.items() if host.failed is None}
        older = [a for node, group in told["older"].items() if node in good for a in group]
        if older and report.ended:
            await self._destroy(door, older, progress)
        return report

    async def _destroy(self, door: Door, accessors: list[str], progress: Progress) -> None:
        """Of secret-ids that nobody has any more; where it cannot be done, that is told."""
        assert self.holder is not None
        try:
            await called(
                self.holder, "approle.destroy", door,
                role=self.config.vault.role, accessors=accessors,
            )  # fmt: skip
            progress(f"destroyed {len(accessors)} older secret-ids")
        except ActionError as error:
            progress(f"{len(accessors)} older secret-ids stay: {error}")

    async def _door(self) -> Door:
        """A server that is unsealed. Raises ActionError."""
        why = "there is no Vault in [vault.nodes]"
        for node in self.config.vault.nodes:
            try:
                found = await standing(self.config, node)
            except SourceError as error:
                why = error.fault.message
                continue
            if found.state in ("active", "standby"):
                return self.doors.door(node)
            why = f"{node} is {found.state}"
        raise ActionError(f"no Vault server can make a secret-id: {why}")


class UndoAgents(AgentPlay):
    """Takes the agent away with all that it rendered, kept and was given."""

    id = "agents.undo"

    def __init__(self, doors: Doors, hosts: Sequence[str]) -> None:
        super().__init__(doors, hosts, undo=True)
        self.id = "agents.undo"

    def risks(self) -> tuple[str, ...]:
        lost = "the rendered secrets are removed: jobs that start afterwards find none"
        if self.holder is not None:
            return (lost,)
        role = self.config.vault.role
        return (lost, f"in Vault their secret-ids of {role} stay, which nobody has any more: "
                "with --token-gpg or a token they are destroyed")  # fmt: skip

    def more_steps(self) -> tuple[Step, ...]:
        if self.holder is None:
            return ()
        return (Step("vault", f"destroy the secret-ids of {', '.join(self.hosts)}"),)

    async def verify(self) -> Outcome:
        outcome = await super().verify()
        if outcome.ok and self.holder is not None:
            for node in self.config.vault.nodes:
                try:
                    await called(
                        self.holder, "approle.destroy", self.doors.door(node),
                        role=self.config.vault.role, nodes=self.hosts,
                    )  # fmt: skip
                    return outcome
                except ActionError as error:
                    why = str(error)
            return Outcome("failed", f"{outcome.message}; their secret-ids stay in Vault: {why}")
        return outcome


def _nodes(items: Sequence[Any]) -> list[str]:
    """Of rows of agents; of Vault's own rows it is every node."""
    return [item.node for item in items if isinstance(item, Agent)]


def _secrets(item: Any, store: Any) -> tuple[Wanted, ...]:
    """None where every agent that is meant runs with a token: it has its secret-id."""
    if isinstance(item, Agent):
        found: list[Any] = [item]
    else:
        found = [feed.value if feed.error is None else None for feed in store.feeds("agents.")]
    if found and all(isinstance(a, Agent) and a.state == "running" for a in found):
        return ()
    return (TOKEN,)


def _cannot_undo(item: Any) -> str | None:
    return "no agent is there" if item.state == "absent" else None


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "vault.agents", "p", "agents", "The vault-agent of each node, and what it rendered.",
        ("vault",), changes=False,
    ),
    ActionSpec(
        "agents.install", "n", "install agents",
        "vault-agent on its nodes, by a playbook: preview, apply, check.",
        ("vault", "agents"), many=True, secrets=_secrets, footer=False,
    ),
    ActionSpec(
        "agents.undo", "x", "take away", "The agent and all that it rendered, kept and was given.",
        ("agents",), many=True, dangerous=True, disabled=_cannot_undo, footer=False,
    ),
)  # fmt: skip


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these."""
    if id == InstallAgents.id:
        return InstallAgents(doors, _nodes(items))
    if id == UndoAgents.id:
        return UndoAgents(doors, _nodes(items))
    return None
