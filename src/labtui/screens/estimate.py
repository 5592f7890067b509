"""The scheduler's own estimate of a start, asked when a person has stopped typing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.screen import Screen
from textual.timer import Timer

from labtui.actions.base import ActionError
from labtui.hosts.base import HostError
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.script import BatchScript, ScriptError

AFTER = 1.0
"""Seconds without a key until the scheduler is asked (each question takes a job id)."""
ASK_AGAIN, ASK_AGAIN_AFTER = 3, 4.0
"""How often a refused question is asked again, and after how many seconds: a node that has just
come back, a slurmctld that has just started."""


class StartEstimate:
    """`words` is what is known now; `changed` is called when that is something else."""

    def __init__(
        self, screen: Screen[str | None], client: Callable[[], SlurmClient],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.words = ""
        self._screen, self._client, self._changed = screen, client, changed
        self._job = BatchScript()
        self._timer: Timer | None = None
        self._asked = 0
        self._asking: asyncio.Task[None] | None = None

    def later(self, job: BatchScript) -> None:
        """The job has changed: what was said of it is void."""
        self.words, self._asked, self._job = "", 0, job
        self._again(AFTER)

    def close(self) -> None:
        if self._asking:
            self._asking.cancel()

    def _again(self, seconds: float) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self._screen.set_timer(seconds, self._ask)

    def _ask(self) -> None:
        self.close()
        self._asking = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        job = self._job
        try:
            found = await self._client().test_only(job.script(), chdir=job.get("chdir"))
            if found.start_time is None:
                words = "start estimate: the scheduler cannot tell"
            else:
                at = time.strftime("%H:%M", time.localtime(found.start_time))
                at = "now" if found.start_time - time.time() < 60 else at
                words = f"start estimate (sbatch --test-only): {at} on {','.join(found.nodes)}"
        except ScriptError:
            words = ""
        except (RPCError, HostError, ActionError) as error:
            words = f"sbatch --test-only: {error}"
            self._asked += 1
            if self._asked < ASK_AGAIN and self._screen.is_attached:
                self._again(ASK_AGAIN_AFTER)
        self.words = words
        if self._screen.is_attached:
            self._changed()
