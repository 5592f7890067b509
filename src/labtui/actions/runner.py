"""The one boundary through which anything is changed: read-only is refused here, audit is here."""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import Callable
from typing import Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Unknown
from labtui.history import AuditLine
from labtui.hosts.base import HostError
from labtui.text import inert

CLOSE_TIMEOUT = 1.0


def who() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def origin() -> str:
    return (os.environ.get("SSH_CONNECTION") or "local").split(" ")[0]


class Runner:
    """Plans and performs actions. Screens and the command line use the same one."""

    def __init__(
        self,
        audit: Callable[[AuditLine], None],
        *,
        cluster: str,
        read_only: bool = False,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._audit = audit
        self._after = after
        self.cluster = cluster
        self.read_only = read_only
        self._under_way: set[asyncio.Task[Any]] = set()

    def allow(self, id: str) -> None:
        """Before a secret is asked for in vain: raises ActionError where nothing may be changed."""
        if self.read_only:
            raise ActionError(f"{self.cluster} is read-only here: {id} is refused")

    async def plan(self, action: Action) -> Plan:
        """Raises ActionError when it is refused or cannot be planned."""
        self.allow(action.id)
        try:
            async with asyncio.timeout(action.read_timeout):
                return await action.plan()
        except TimeoutError:
            said, kind = "the source did not answer", "timeout"
        except HostError as error:
            said, kind = error.message, error.kind
        except Unknown as error:
            said, kind = str(error), "timeout"
        raise ActionError(f"{action.id}: {said}; nothing was sent", kind)

    async def perform(self, action: Action, plan: Plan, progress: Progress) -> Outcome:
        """Run, re-read the world, write the audit line. Never raises but CancelledError."""
        began, clock = time.time(), time.monotonic()
        outcome = Outcome("failed", "it did not come to an end")
        task = asyncio.current_task()
        if task is not None:
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        try:
            outcome = await self._perform(action, progress)
        except asyncio.CancelledError:
            outcome = Outcome("unknown", action.interrupted())
            raise
        finally:
            self._audit(
                AuditLine(
                    at=began,
                    who=who(),
                    origin=origin(),
                    action=action.id,
                    targets=tuple(inert(t, 200) for t in plan.targets),
                    steps=tuple(inert(f"{s.where}: {s.what}", 500) for s in plan.steps),
                    outcome=outcome.kind,
                    message=inert(outcome.message, 500),
                    took_s=round(time.monotonic() - clock, 3),
                    cluster=self.cluster,
                )
            )
            self._after()
        return outcome

    async def close(self) -> None:
        """End what is under way, so that its audit line is written before the audit closes."""
        tasks = [t for t in self._under_way if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)

    async def _perform(self, action: Action, progress: Progress) -> Outcome:
        if self.read_only:
            return Outcome("refused", f"{self.cluster} is read-only here")
        doubt = ""
        try:
            async with asyncio.timeout(action.run_timeout):
                await action.run(progress)
        except ActionError as error:
            return Outcome("failed", inert(error))
        except (Unknown, TimeoutError) as error:
            doubt = inert(error) or "no answer in time"
        except HostError as error:
            if error.kind != "timeout":
                return Outcome("failed", inert(error.message))
            doubt = inert(error.message)
        if doubt:
            progress(f"{doubt}: reading the state again")
        try:
            async with asyncio.timeout(action.read_timeout):
                return await action.verify()
        except (TimeoutError, HostError, ActionError, Unknown) as error:
            why = inert(error) or "no answer in time"
            return Outcome("unknown", f"sent, but its effect could not be read back: {why}")
