"""Unsealing: shares for one server after another of a set, and what is checked afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import called
from labtui.actions.vault.ceremony import Ceremony, Standing, unanswered
from labtui.actions.vault.unsealed import CheckUnsealed, look
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.model import VaultNode

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

JOIN = 60.0
"""Seconds that a raft peer may take from its last share to being unsealed: it joins through its
leader, and is sealed for so long."""
FOLLOWS = 20.0
"""Seconds in which a peer that waits for its leader is looked at again."""
HANGS = (
    "no answer came to the last share, and {node} answers nothing since: a peer that has yet to"
    " join its set hangs so when a share was wrong or its leader cannot be reached; restart Vault"
    " there, then give the shares again"
)
"""Vault 1.21: it tries to join for ever with the key that it made of the shares, and holds every
other request meanwhile, seal-status and a reset included."""
SHARE = '{"key": (the share, not shown)}'


def cannot_unseal(node: VaultNode) -> str | None:
    """Why shares cannot be given to it; None when they can."""
    match node.state:
        case "sealed" | "unsealing" if node.removed:
            return "it was removed from its raft cluster: shares do not bring it back"
        case "sealed" | "unsealing" if node.recovery_seal or node.seal_type not in (None, "shamir"):
            kind = node.seal_type or "auto"
            return f"its seal is of type {kind}: shares do not open it; look at its key service"
        case "sealed" | "unsealing" if node.migration:
            return "its seal is being migrated: vault operator unseal -migrate does that"
        case "sealed" | "unsealing":
            return None
        case "active" | "standby":
            return "it is unsealed"
        case "uninitialised":
            return (
                "it has no keys yet: a peer of a set joins when its leader is unsealed;"
                " I makes them for a new server"
            )
        case "refused":
            return "nothing listens there: is the service up on that machine?"
    return node.detail or f"its state is {node.state}"


def cannot_reset(node: VaultNode) -> str | None:
    if why := cannot_unseal(node):
        return why
    return None if node.progress else "no share is in"


def _standing(node: VaultNode) -> Standing:
    words = cannot_unseal(node) or ""
    done = node.state in ("active", "standby") or node.sealed is False
    return Standing(
        node.progress or 0, node.threshold or 0, node.nonce or "", done, "" if done else words
    )


class UnsealCeremony:
    """Of one server."""

    resets = "drop shares"

    def __init__(self, doors: Doors, node: str) -> None:
        self._doors = doors
        self.node = node
        self.title = f"Unseal {node}"
        back = ", the agents back" if doors.config.vault.agents else ""
        self.promise = f"health, leader, AppRole login{back}"
        self.seen = Standing(0, 0, "")
        """As the person saw it last."""
        self.joins = False
        """It may be a peer that has yet to join its raft set."""
        self.complete_at = 0.0
        """When the server had every share; 0: not yet."""

    async def standing(self) -> Standing:
        node = await look(self._doors, self.node)
        self.joins = node.storage == "raft" and len(self._doors.config.vault.nodes) > 1
        found = _standing(node)
        if self.complete_at and not found.done and not found.words and not found.progress:
            if time.monotonic() - self.complete_at < JOIN:
                waits = "every share is in; it joins its set through the leader"
                found = Standing(0, found.required, found.nonce, waiting=waits)
            else:
                self.complete_at = 0.0
        self.seen = found
        return found

    def give(self, holder: Keyholder, number: int) -> Action:
        return GiveShare(self._doors, self, holder, number)

    def reset(self) -> Action:
        return ResetShares(self._doors, self.node)

    def afterwards(self) -> Action | None:
        return CheckUnsealed(self._doors, self.node)

    async def following(self) -> Ceremony | None:
        """A peer knows that it has keys only some moments after its leader was unsealed."""
        end = time.monotonic() + FOLLOWS
        while True:
            joins = False
            for name in self._doors.config.vault.nodes:
                if name == self.node:
                    continue
                try:
                    found = await look(self._doors, name)
                except ActionError:
                    continue
                if cannot_unseal(found) is None:
                    return UnsealCeremony(self._doors, name)
                joins |= found.state == "uninitialised" and found.storage == "raft"
            if not joins or time.monotonic() > end:
                return None
            await asyncio.sleep(1.0)


class GiveShare(Action):
    """One share, sent by the keyholder that has it."""

    id = "vault.share"
    run_timeout = 45.0

    def __init__(
        self, doors: Doors, ceremony: UnsealCeremony, holder: Keyholder, number: int
    ) -> None:
        self._doors, self._ceremony, self._holder = doors, ceremony, holder
        self._number = number
        self._before = ceremony.seen
        self._told: Mapping[str, Any] | None = None

    async def plan(self) -> Plan:
        node, seen = self._ceremony.node, self._before
        door = self._doors.door(node)
        return Plan(
            title=f"Share {self._number} of {seen.required} for {node}",
            targets=(node,),
            steps=(Step(door.address, f"PUT /v1/sys/unseal {SHARE}"),),
            undo="a reset drops every share that is in",
        )

    async def run(self, progress: Progress) -> None:
        door = self._doors.door(self._ceremony.node)
        self._told = await called(self._holder, "unseal.share", door, nonce=self._before.nonce)

    async def verify(self) -> Outcome:
        node, told = self._ceremony.node, self._told
        if told is None:
            return await self._guessed()
        before = told["before"]
        required = before["required"]
        if not told["sent"]:
            if not before["sealed"]:
                return Outcome("done", f"{node} is unsealed already; this share was not sent")
            changed = "the nonce changed as it was about to be sent; nothing was sent"
            return Outcome("failed", changed, {"began_anew": "yes"})
        after = told.get("after")
        if told["status"] != 200:
            progress = after["progress"] if after else await self._progress()
            return self._refused(told, progress)
        if after is None:
            return await self._guessed()
        if not after["sealed"]:
            number = f" {self._number} of {required}" if self._number == required else ""
            return Outcome("done", f"share{number} is in: {node} is unsealed")
        if before["progress"] + 1 >= required and not after["progress"]:
            self._ceremony.complete_at = time.monotonic()
            return Outcome(
                "done", f"share {required} of {required} is in; {node} joins its set now"
            )
        if after["progress"] == before["progress"]:
            already = "the server had this share already: somebody else gave it"
            return Outcome("failed", f"{already}; {after['progress']} of {required} are in")
        said = f"{after['progress']} of {required} shares are in"
        return Outcome("done", said, {"nonce": after["nonce"]})

    def _refused(self, told: Mapping[str, Any], progress: int) -> Outcome:
        """The server said no: to the set of which this was the last, or to this share."""
        before, required = told["before"]["progress"], told["before"]["required"]
        words = told.get("words") or "without a word"
        wrong = told["status"] == 400 or "message authentication failed" in words
        anew = {"began_anew": "yes"}
        if wrong and not progress and before + 1 >= required:
            if required == 1:
                return Outcome("failed", "the share was wrong", anew)
            which = f"one of the {required} shares was wrong; which one cannot be known"
            return Outcome("failed", f"{which}; progress is back at 0: begin again", anew)
        said = f"the server refuses this share: {words}; {progress} of {required} shares are in"
        return Outcome("failed", said, anew if progress < before else {})

    async def _progress(self) -> int:
        return (await look(self._doors, self._ceremony.node)).progress or 0

    async def _guessed(self) -> Outcome:
        """No answer came: what the server has now tells more."""
        node = self._ceremony.node
        try:
            now = _standing(await look(self._doors, node))
        except ActionError:
            if not self._ceremony.joins or self._number < self._before.required:
                raise
            return Outcome("unknown", HANGS.format(node=node), {"began_anew": "yes"})
        if now.done:
            return Outcome("done", f"no answer came in time, but {node} is unsealed")
        return unanswered(self._before, now)


class ResetShares(Action):
    """Drops the shares that a server has, whoever gave them."""

    id = "vault.reset"
    run_timeout = 45.0

    def __init__(self, doors: Doors, node: str) -> None:
        self._doors, self._node = doors, node
        self._before = 0

    async def plan(self) -> Plan:
        found = await look(self._doors, self._node)
        if why := cannot_reset(found):
            raise ActionError(f"{self._node}: {why}")
        self._before = found.progress or 0
        door = self._doors.door(self._node)
        count = self._before
        shares = "the share that is in" if count == 1 else f"the {count} shares that are in"
        return Plan(
            title=f"Drop {shares} at {self._node}",
            targets=(self._node,),
            steps=(Step(door.address, 'PUT /v1/sys/unseal {"reset": true}'),),
            risks=("whoever gave them has to give them again, you or somebody else",),
            undo="give the shares again",
        )

    async def run(self, progress: Progress) -> None:
        try:
            async with Keyholder.start() as holder:
                await called(holder, "unseal.reset", self._doors.door(self._node))
        except HolderError as error:
            raise ActionError(error.message, error.kind) from None

    async def verify(self) -> Outcome:
        now = _standing(await look(self._doors, self._node))
        if now.done:
            return Outcome("failed", f"{self._node} was unsealed meanwhile")
        if now.progress:
            said = f"{now.progress} of {now.required} shares are in: somebody gave one since"
            return Outcome("failed" if now.progress >= self._before else "done", said)
        return Outcome("done", f"progress at {self._node} is back at 0")


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these."""
    if id == "vault.reset":
        return ResetShares(doors, items[0].node)
    return None


def ceremony(id: str, items: Sequence[Any], doors: Doors) -> Ceremony | None:
    """The ceremony that this key opens without a plan before it."""
    return UnsealCeremony(doors, items[0].node) if id == "vault.unseal" else None
