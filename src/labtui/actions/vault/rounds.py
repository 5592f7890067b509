"""What a rekey and the making of a root token have in common: rounds in which shares are given.

Neither needs a token, so whoever reaches the server may begin one, for keys of their own, and wait
for others to give their shares to it. So nonce and keys are those that were seen when this console
came to it; another nonce or other keys take no share.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import called
from labtui.actions.vault.ceremony import Standing, unanswered
from labtui.keyholder.holder import Keyholder
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

WANTS_TOKEN = (
    "{node} wants a token for this: from Vault 2.0 on such a ceremony is open without one only "
    'where its configuration has enable_unauthenticated_access = ["{part}"]. Set that for the '
    "time of the ceremony, or run `vault operator {command}` with a token"
)


def plainly(error: ActionError, node: str, part: str, command: str) -> ActionError:
    """The same, where it is a newer release that keeps this closed in those words."""
    if f"{node} says 403" in str(error):
        return ActionError(WANTS_TOKEN.format(node=node, part=part, command=command))
    return error


def nonce8(nonce: Any) -> str:
    return inert(str(nonce or "")[:8], 8)


class GiveShare(Action):
    """One share to a round; `told` has the operation's parameters."""

    run_timeout = 90.0
    operation = ""
    path = ""
    to = ""
    """`the rekey of`."""

    def __init__(
        self,
        doors: Doors,
        node: str,
        holder: Keyholder,
        number: int,
        told: Mapping[str, Any],
        lines: Sequence[str] = (),
    ) -> None:
        self._doors, self._node, self._holder, self._number = doors, node, holder, number
        self._door = doors.door(node)
        self._told, self._lines = told, lines
        self.answer: Mapping[str, Any] = {}
        """Empty while there is none: also of one that never came."""

    async def plan(self) -> Plan:
        nonce = nonce8(self._told["nonce"])
        return Plan(
            title=f"Give share {self._number} to {self.to} {self._node}",
            targets=(self._node,),
            steps=(Step(self._node, f"PUT /v1/{self.path} key=(hidden) nonce={nonce}..."),),
            undo="cancel it: what was given is dropped then",
            preview="\n".join(self._lines),
        )

    async def run(self, progress: Progress) -> None:
        self.answer = await called(self._holder, self.operation, self._door, **self._told)

    async def verify(self) -> Outcome:
        if self.answer.get("dropped"):
            said = inert(self.answer["dropped"], 200)
            return Outcome("failed", f"{self._node}: {said}", {"began_anew": "yes"})
        return await self.standing()

    @abstractmethod
    async def standing(self) -> Outcome:
        """What is so now, where the share was taken or nothing is known of it."""

    def counted(self, progress: Any, required: Any, nonce: Any) -> Outcome:
        """The round goes on: how many are in, and whether this one is among them."""
        if self.answer:
            return Outcome("done", f"{self._node}: {so_far(progress, required)}")
        now = Standing(int(progress or 0), int(required or 0), str(nonce or ""))
        return unanswered(Standing(self._number - 1, now.required, str(self._told["nonce"])), now)


class CancelRound(Action):
    """Drops what is under way: by its nonce, so that another one is never meant."""

    what = ""
    """`no rekey is under way`: what is so afterwards, and why there is nothing to cancel before."""
    besides = ""
    """What is told with it once it is cancelled."""

    def __init__(self, doors: Doors, node: str) -> None:
        self._node = node
        self._door = doors.door(node)
        self._nonce = ""

    @abstractmethod
    async def state(self) -> Mapping[str, Any]:
        """How far it is. Raises ActionError."""

    @abstractmethod
    def planned(self, now: Mapping[str, Any]) -> Plan: ...

    @abstractmethod
    async def cancel(self) -> None:
        """That of `_nonce`."""

    async def plan(self) -> Plan:
        now = await self.state()
        if not now.get("started"):
            raise ActionError(f"{self._node}: {self.what}")
        self._nonce = str(now["nonce"])
        return self.planned(now)

    async def run(self, progress: Progress) -> None:
        await self.cancel()

    async def verify(self) -> Outcome:
        now = await self.state()
        if now.get("started"):
            who = "it" if now.get("nonce") == self._nonce else "another one"
            return Outcome("failed", f"{self._node}: {who} is still under way")
        return Outcome("done", f"{self._node}: {self.what}{self.besides}")


def so_far(progress: Any, required: Any) -> str:
    return f"{progress} of {required} shares are in"
