"""What Slurm says: jobs, nodes, partitions, GPU holders, jobs that have ended, and limits."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from labtui.collectors.base import CollectError, Collector
from labtui.config import Config
from labtui.model import Job
from labtui.slurm import accounting
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError

MANY = 10_000
"""Jobs that are worth taking out of Python's search for cycles."""

Ask = Callable[[], Awaitable[Any]]

LIMITS: tuple[tuple[str, str, Callable[[SlurmClient], Awaitable[Any]], float], ...] = (
    ("qos", "slurmdbd", accounting.qos, 30.0),
    ("associations", "slurmdbd", accounting.associations, 60.0),
    ("reservations", "slurm", accounting.reservations, 30.0),
    ("shares", "slurm", accounting.shares, 60.0),
    ("licenses", "slurm", accounting.licenses, 60.0),
    ("settings", "slurm", accounting.settings, 300.0),
    ("me", "slurm", SlurmClient.whoami, 3600.0),
)
"""What changes seldom: feed, who answers, question, seconds between two answers while a screen
wants it."""
SELDOM = 20.0
"""Factor on these seconds while none does."""


class SlurmCollector(Collector):
    """One question to Slurm. A refusal of Slurm becomes its fault's kind and sentence."""

    cost = 10.0
    """slurmctld answers everybody: what takes it long is asked less often."""

    def __init__(
        self,
        name: str,
        ask: Ask,
        *,
        interval: float,
        timeout: float,
        background: float = 4.0,
        lazy: bool = False,
        kind: str = "slurm",
    ) -> None:
        self.name = name
        self.kind = kind
        self.interval = interval
        self.timeout = timeout
        self.background = background
        self.lazy = lazy
        self._ask = ask

    async def collect(self) -> Any:
        try:
            return await self._ask()
        except RPCError as error:
            raise CollectError(error.kind, error.msg) from None


Seen = Callable[[float], list[Job]]
"""Jobs that ended since then (unix seconds), as consoles here have seen."""


def build(
    config: Config, client: SlurmClient | None, seen: Seen = lambda since: []
) -> list[Collector]:
    """The feeds of `[slurm]`; none without a login node.

    `slurm.jobs` list[Job], `slurm.nodes` list[Node] with Slurm's fields only, `slurm.partitions`
    list[Partition], `slurm.allocations` list[Allocation], `slurm.finished` list[Job]; and, asked
    from when a screen first wants them, `slurm.qos` list[Qos], `slurm.associations`
    list[Association], `slurm.shares` list[Share], `slurm.reservations` list[Reservation],
    `slurm.licenses` list[License], `slurm.settings` dict[str, str] of slurm.conf, `slurm.me` the
    login node's user.
    """
    if client is None or not config.slurm.login:
        return []
    slurm = config.slurm
    limit = slurm.timeout_s + 4.0  # the client's own timeouts come first: they say more

    def feed(name: str, ask: Ask, interval: float, background: float = 4.0) -> Collector:
        return SlurmCollector(name, ask, interval=interval, timeout=limit, background=background)

    frozen = 0

    async def jobs() -> Any:
        nonlocal frozen
        found = await client.jobs()
        if len(found) > MANY and len(found) > 1.2 * frozen:
            # Else the collector of cycles goes through all of them again and again.
            gc.freeze()
            frozen = len(found)
        return found

    recalled = False

    async def finished() -> Any:
        """From the accounting; where Slurm keeps none, from what consoles here saw end."""
        nonlocal recalled
        since = time.time() - slurm.history_h * 3600
        try:
            return await client.finished(since)
        except RPCError as error:
            if error.kind != "not-found":
                raise
        if not recalled:
            recalled = True
            client.seen.add(await asyncio.to_thread(seen, since))
        return client.seen.since(since)

    return [
        feed("slurm.jobs", jobs, slurm.interval_s, 2.0),
        # A node that fails must be noticed on every screen, within five seconds. Each look costs
        # slurmctld two requests: scontrol asks for the partitions too.
        feed("slurm.nodes", client.nodes, max(2.0, slurm.interval_s), 2.0),
        feed("slurm.allocations", client.allocations, max(4.0, slurm.interval_s)),
        feed("slurm.finished", finished, 15.0),
        feed("slurm.partitions", client.partitions, 30.0),
        *(
            SlurmCollector(
                f"slurm.{name}",
                partial(ask, client),
                interval=interval,
                timeout=limit,
                background=SELDOM,
                lazy=True,
                kind=kind,
            )
            for name, kind, ask, interval in LIMITS
        ),
    ]
