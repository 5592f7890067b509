"""Taking a node out of Slurm's hands, and giving it back."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Sequence

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.hosts.base import HostError
from labtui.model import Node
from labtui.slurm.argv import node_argv
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.scontrol import state_word
from labtui.text import inert

SETTLE = 10.0
MAX_REASON = 200


def is_drained(node: Node) -> bool:
    return "DRAIN" in (node.slurm_state or "").upper()


def _is_out(node: Node) -> bool:
    """Not one that power saving has turned off: `IDLE+POWERED_DOWN`."""
    words = (node.slurm_state or "").upper().split("+")
    return any(word.startswith(("DRAIN", "DOWN", "FAIL")) for word in words)


def cannot_drain(node: Node) -> str | None:
    if node.slurm_state is None:
        return "it is not a node of Slurm"
    return "it is drained already" if is_drained(node) else None


def cannot_resume(node: Node) -> str | None:
    if node.slurm_state is None:
        return "it is not a node of Slurm"
    if _is_out(node):
        return None
    return f"Slurm uses it: it is {state_word(node.slurm_state)}"


class NodeAction(Action):
    verb: str
    state: str
    undo: str
    reason = ""

    def __init__(self, client: SlurmClient, names: Sequence[str], *, settle: float = SETTLE):
        self.client = client
        self.names = list(dict.fromkeys(names))
        self.settle = settle

    def refusal(self, node: Node) -> str | None:
        raise NotImplementedError

    def settled(self, node: Node) -> bool:
        raise NotImplementedError

    def risks(self, nodes: list[Node]) -> tuple[str, ...]:
        return ()

    def argvs(self) -> list[list[str]]:
        return [node_argv(name, self.state, self.reason) for name in self.names]

    async def plan(self) -> Plan:
        known = await self._nodes()
        for name in self.names:
            if name not in known:
                there = ", ".join(inert(n, 40) for n in list(known)[:8])
                raise ActionError(f"{inert(name, 60)}: no such node in Slurm; there are: {there}")
            why_not = self.refusal(known[name])
            if why_not:
                raise ActionError(f"{inert(name, 60)}: {why_not}")
        where = self.client.host.name
        sent = [shlex.join(argv) for argv in self.argvs()]
        root = [f"sudo -n {line}   # only where Slurm refuses this account" for line in sent]
        return Plan(
            title=f"{self.verb} {', '.join(inert(n, 40) for n in self.names)}",
            targets=tuple(self.names),
            steps=tuple(Step(where, line) for line in (*sent, *root)),
            risks=self.risks([known[name] for name in self.names]),
            undo=self.undo,
        )

    async def run(self, progress: Progress) -> None:
        for argv in self.argvs():
            try:
                await self._tell(argv, progress)
            except RPCError as error:
                if error.kind == "timeout":
                    raise Unknown(error.msg) from None
                raise ActionError(f"Slurm refused: {error.msg}") from None
        progress("sent; waiting until Slurm shows it")

    async def _tell(self, argv: list[str], progress: Progress) -> None:
        """Nodes are changed by root, SlurmUser or a Slurm administrator; else by sudo."""
        try:
            await self.client.tell(argv)
        except RPCError as error:
            if error.kind != "permission":
                raise
            progress(f"{error.msg}: trying as root")
            try:
                await self.client.tell(argv, user="root")
            except HostError as denied:
                if denied.kind != "permission":
                    raise
                text = f"{error.msg}: this needs an administrator of Slurm, or sudo"
                raise ActionError(f"Slurm refused: {text}") from None

    async def verify(self) -> Outcome:
        deadline = time.monotonic() + self.settle
        while True:
            known = await self._nodes()
            late = [n for n in self.names if n not in known or not self.settled(known[n])]
            if not late or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        states = {n: state_word(known[n].slurm_state) if n in known else "gone" for n in self.names}
        words = ", ".join(f"{inert(name, 40)} is {state}" for name, state in states.items())
        if late:
            return Outcome("failed", f"not as asked: {words}", states)
        return Outcome("done", words, states)

    async def _nodes(self) -> dict[str, Node]:
        try:
            return {node.name: node for node in await self.client.nodes()}
        except RPCError as error:
            raise ActionError(error.msg, error.kind) from None


class DrainNode(NodeAction):
    """No new jobs; those that run end in peace. Slurm insists on a reason."""

    id = "nodes.drain"
    verb = "Drain"
    state = "drain"
    undo = "resume it"

    def __init__(
        self, client: SlurmClient, names: Sequence[str], reason: str, *, settle: float = SETTLE
    ) -> None:
        super().__init__(client, names, settle=settle)
        self.reason = inert(reason, MAX_REASON).strip()

    def refusal(self, node: Node) -> str | None:
        return cannot_drain(node)

    def settled(self, node: Node) -> bool:
        return is_drained(node)

    def risks(self, nodes: list[Node]) -> tuple[str, ...]:
        busy = sum(1 for node in nodes if node.cpus_alloc)
        return ("jobs that run there go on until they end",) if busy else ()

    async def plan(self) -> Plan:
        if not self.reason:
            raise ActionError("a reason is needed: others will read it; say what is wrong")
        return await super().plan()


class ResumeNode(NodeAction):
    """Give it back to the scheduler."""

    id = "nodes.resume"
    verb = "Resume"
    state = "resume"
    undo = "drain it"

    def refusal(self, node: Node) -> str | None:
        return cannot_resume(node)

    def settled(self, node: Node) -> bool:
        """A node that does not answer stays down: resume alone does not heal it."""
        return not _is_out(node)
