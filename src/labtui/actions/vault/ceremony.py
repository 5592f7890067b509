"""What a ceremony is: shares given one after another, by several people, until there are enough.

Unsealing, a rekey and the making of a root token differ only in what they ask the server; the
screen and the command line drive all three through this.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from labtui.actions.base import Action, Outcome
from labtui.keyholder.holder import Keyholder


class Standing(msgspec.Struct, frozen=True):
    """How far it is, as the server tells it."""

    progress: int
    required: int
    nonce: str
    """Empty while nothing is under way."""
    done: bool = False
    words: str = ""
    """Why no share can be given, where it is neither under way nor done."""
    waiting: str = ""
    """What it waits for by itself, where every share is in and it is not done yet."""


def unanswered(before: Standing, now: Standing) -> Outcome:
    """What became of a share whose answer never came, by what the server has now."""
    said = f"no answer came in time; {now.progress} of {now.required} shares are in"
    same = now.nonce == before.nonce
    if same and now.progress == before.progress:
        return Outcome("failed", f"{said}, as before: it did not arrive")
    if now.progress > before.progress and (same or not before.nonce):
        return Outcome("unknown", f"{said}: it was this one, or somebody else's")
    changed = ", and more were before" if same else " and the nonce is another one"
    return Outcome("unknown", said + changed, {"began_anew": "yes"})


class Ceremony(Protocol):
    title: str
    """`Unseal truenas`."""
    node: str
    promise: str
    """What happens after the last share: `health, leader, AppRole login, 3 agents back`."""
    resets: str
    """What `reset` comes to, in a word or two: `cancel rekey`."""

    async def standing(self) -> Standing:
        """Asked anew at the server. Raises ActionError."""
        ...

    def give(self, holder: Keyholder, number: int) -> Action:
        """The action, audited, that sends the share which the keyholder has; `number`: which one
        it would be, 1 first. Its outcome says in words what the server made of it."""
        ...

    def reset(self) -> Action:
        """The action that drops the progress, or with it the ceremony."""
        ...

    def afterwards(self) -> Action | None:
        """What is checked or done once it is complete; None where that is all."""
        ...


@runtime_checkable
class OneOfSet(Protocol):
    """A ceremony that is held again for the next server of a set."""

    async def following(self) -> Ceremony | None:
        """The next server's; None where no other waits. Raises ActionError."""
        ...


@runtime_checkable
class Begins(Protocol):
    """An action after which, once it is done, shares are asked for."""

    ceremony: Ceremony | None
