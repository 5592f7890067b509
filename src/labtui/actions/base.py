"""An action: plan, confirm, run, verify, audit. Everything on screen can be done without one.

`plan` reads only and tells exactly what would be sent. `run` does it. `verify` re-reads the
world: exit codes are not believed (scancel of an unknown job exits 0). A time-out means
*unknown*, and the verification decides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import msgspec

Progress = Callable[[str], None]
"""One inert line for the person who watches."""

OutcomeKind = Literal["done", "failed", "unknown", "cancelled", "refused"]


class Step(msgspec.Struct, frozen=True):
    """One command or API call, as it will be sent."""

    where: str
    """The machine or service it goes to."""
    what: str
    """The exact command line or call; secrets masked."""


class Plan(msgspec.Struct, frozen=True):
    """What the confirmation shows."""

    title: str
    """`Cancel job 1422 llama-lora`."""
    targets: tuple[str, ...]
    steps: tuple[Step, ...]
    risks: tuple[str, ...] = ()
    """What could go wrong, one sentence each; the worst first."""
    undo: str = ""
    """How to undo it, or why that cannot be."""
    dangerous: bool = False
    """The person types the target's name before it runs."""
    confirm_word: str = ""
    """What has to be typed when dangerous."""
    preview: str = ""
    """A text to read before it is sent (a job script)."""
    whole: bool = False
    """The preview is what is asked about (a diff): all of it is shown."""


class Outcome(msgspec.Struct, frozen=True):
    """What is so now, by re-reading the world."""

    kind: OutcomeKind
    message: str
    details: dict[str, str] = msgspec.field(default_factory=dict)
    """For scripts: `{"job_id": "1431"}`."""

    @property
    def ok(self) -> bool:
        return self.kind == "done"


class ActionError(Exception):
    """The action cannot be planned or was refused: one clear sentence (what, where, what to do)."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        """Of the fault (FaultKind) where a source is in the way; empty: it is refused."""


class Unknown(Exception):
    """It was sent, and no answer came: only `verify` can tell."""


class Action(ABC):
    """One thing to do to given targets. Instances are made for one use."""

    id: str
    """The registry's id: `queue.cancel`."""
    read_timeout: float = 60.0
    """Seconds that `plan`, and that `verify`, may take."""
    evidence: bool = False
    """Its good outcome is there to be read: the dialog waits to be closed."""
    run_timeout: float = 120.0
    """Seconds that `run` may take; afterwards its outcome is not known before `verify`."""

    @abstractmethod
    async def plan(self) -> Plan:
        """Read-only. Raises ActionError when it cannot be done."""

    @abstractmethod
    async def run(self, progress: Progress) -> None:
        """Do it. Raises ActionError when refused, Unknown on a time-out after sending."""

    @abstractmethod
    async def verify(self) -> Outcome:
        """Re-read the world and say what is so."""

    def interrupted(self) -> str:
        """What the audit says when it is broken off: how far it had come."""
        return "interrupted: re-read the state before trying again"
