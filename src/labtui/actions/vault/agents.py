"""vault-agent on the nodes: put there, mended, and taken away, by its playbook."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from labtui.actions.base import Action, ActionError, Outcome, Progress, Step, Unknown
from labtui.actions.plays import PlayAction, memory
from labtui.actions.vault.asking import called
from labtui.actions.vault.secretids import counted, destroyed, sorted_out, worse
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
from labtui.spec import Wanted

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
        self.said = ""
        """What became of secret-ids that were not taken."""

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
            Step(
                "vault",
                "afterwards: destroy older secret-ids of these nodes, and new ones that "
                "were not taken",
            ),
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
        await self._tidy(door, told, report, progress)
        return report

    async def _tidy(
        self, door: Door, told: Mapping[str, Any], report: Report, progress: Progress
    ) -> None:
        """Destroys what nobody is to have any more: a node's older secret-ids once it took its new
        one, and the new one that it did not take, which somebody else may have opened."""
        taken, left = sorted_out(report, self.needing, self.book.needs)
        if told["unknown"]:
            progress(f"older secret-ids stay: {told['unknown']}")
        older = [a for node in taken for a in told["older"].get(node, ())]
        if older:
            why = await self._destroyed(door, older)
            progress(f"{len(older)} older secret-ids stay: {why}" if why
                     else f"destroyed {len(older)} older secret-ids")  # fmt: skip
        if left:
            known = [told["accessors"][node] for node in left]
            why = "" if all(known) else "Vault does not tell its accessor"
            why = await self._destroyed(door, [a for a in known if a]) or why
            names = ", ".join(left)
            self.said = (
                f"the new secret-id of {names}, which was not taken, stays valid: {why}" if why
                else f"the new secret-id of {names}, which was not taken, was destroyed"
            )  # fmt: skip
            progress(self.said)

    async def verify(self) -> Outcome:
        outcome = await super().verify()
        if self.said:
            outcome = replace(outcome, message=f"{outcome.message}; {self.said}")
        return outcome

    async def _destroyed(self, door: Door, accessors: list[str]) -> str:
        assert self.holder is not None
        return await destroyed(self.holder, door, self.config.vault.role, accessors)

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

    def _outcome(self, failed: Mapping[str, str]) -> Outcome:
        self.good = [name for name in self.hosts if name not in failed]
        return super()._outcome(failed)

    good: Sequence[str] = ()
    """Nodes on which it is undone."""

    async def verify(self) -> Outcome:
        outcome = await super().verify()
        if not self.good or self.holder is None:
            return outcome
        why, doubt = "there is no Vault in [vault.nodes]", False
        for node in self.config.vault.nodes:
            try:
                told = await called(
                    self.holder, "approle.destroy", self.doors.door(node),
                    role=self.config.vault.role, nodes=list(self.good),
                )  # fmt: skip
            except (ActionError, Unknown) as error:
                why, doubt = str(error), doubt or isinstance(error, Unknown)
                continue
            hosts = self.report.hosts if self.report else {}
            had = [n for n in self.good if not doubt and n in hosts and hosts[n].changed]
            return counted(outcome, told, self.config.vault.role, had)
        return worse(outcome, f"their secret-ids stay in Vault: {why}")


def _nodes(items: Sequence[Any]) -> list[str]:
    """Of rows of agents; of Vault's own rows it is every node."""
    return [item.node for item in items if isinstance(item, Agent)]


def secrets(item: Any, store: Any) -> tuple[Wanted, ...]:
    """None where every agent that is meant runs with a token: it has its secret-id."""
    if isinstance(item, Agent):
        found: list[Any] = [item]
    else:
        found = [feed.value if feed.error is None else None for feed in store.feeds("agents.")]
    if found and all(isinstance(a, Agent) and a.state == "running" for a in found):
        return ()
    return (TOKEN,)


def cannot_undo(item: Any) -> str | None:
    return "no agent is there" if item.state == "absent" else None


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these."""
    if id == InstallAgents.id:
        return InstallAgents(doors, _nodes(items))
    if id == UndoAgents.id:
        return UndoAgents(doors, _nodes(items))
    return None
