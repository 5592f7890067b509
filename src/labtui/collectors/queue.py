"""What Slurm says: its jobs, nodes, partitions, GPU holders, and the jobs that have ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from labtui.collectors.base import CollectError, Collector
from labtui.config import Config
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError

Ask = Callable[[], Awaitable[Any]]


class SlurmCollector(Collector):
    """One question to Slurm. A refusal of Slurm becomes its fault's kind and sentence."""

    kind = "slurm"
    cost = 10.0
    """slurmctld answers everybody: what takes it long is asked less often."""

    def __init__(
        self, name: str, ask: Ask, *, interval: float, timeout: float, background: float = 4.0
    ) -> None:
        self.name = name
        self.interval = interval
        self.timeout = timeout
        self.background = background
        self._ask = ask

    async def collect(self) -> Any:
        try:
            return await self._ask()
        except RPCError as error:
            raise CollectError(error.kind, error.msg) from None


def build(config: Config, client: SlurmClient | None) -> list[Collector]:
    """The feeds of `[slurm]`; none without a login node.

    `slurm.jobs` list[Job], `slurm.nodes` list[Node] with Slurm's fields only, `slurm.partitions`
    list[Partition], `slurm.allocations` list[Allocation], `slurm.finished` list[Job].
    """
    if client is None or not config.slurm.login:
        return []
    slurm = config.slurm
    limit = slurm.timeout_s + 4.0  # the client's own timeouts come first: they say more

    def feed(name: str, ask: Ask, interval: float, background: float = 4.0) -> Collector:
        return SlurmCollector(name, ask, interval=interval, timeout=limit, background=background)

    async def finished() -> Any:
        return await client.finished(time.time() - slurm.history_h * 3600)

    return [
        feed("slurm.jobs", client.jobs, slurm.interval_s, 2.0),
        # A node that fails must be noticed on every screen.
        feed("slurm.nodes", client.nodes, max(2.0, slurm.interval_s), 1.0),
        feed("slurm.allocations", client.allocations, max(4.0, slurm.interval_s)),
        feed("slurm.finished", finished, 15.0),
        feed("slurm.partitions", client.partitions, 30.0),
    ]
