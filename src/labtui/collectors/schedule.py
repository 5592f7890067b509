"""Runs every collector in a task of its own; a source that hangs costs its own feed only."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from labtui.collectors.base import CollectError, Collector
from labtui.hosts.base import HostError
from labtui.store import Fault, Reading, Store, matches
from labtui.text import inert

BACKOFF_MAX = 60.0
"""Seconds between attempts at a source that keeps failing while nobody looks at it."""
BACKOFF_SHOWN = 5.0
"""The same while it is on screen or must be noticed anyway: it comes back by itself, soon."""
STRETCH_MAX = 60.0
"""Seconds to which an expensive poll stretches its interval, at most."""
JITTER = 0.1
DRAWN = 0.15
"""Seconds that the first answer takes to be on the screen."""
HEAD_START = 1.0
"""Seconds that what is on the first screen has before the rest is asked, at most."""


def fault_of(error: BaseException, timeout: float) -> Fault:
    """Any exception of a collector as a kind and one inert sentence."""
    if isinstance(error, CollectError):
        return Fault(error.fault.kind, inert(error.fault.message))
    if isinstance(error, HostError):
        return Fault(error.kind, inert(error.message))
    if isinstance(error, TimeoutError):
        return Fault("timeout", f"no answer within {timeout:.1f} s")
    return Fault("protocol", inert(f"unexpected {type(error).__name__}: {error}", 300))


class Scheduler:
    """Single flight, jitter, back-off, at once on demand."""

    def __init__(self, store: Store, collectors: Sequence[Collector]) -> None:
        self.store = store
        self.collectors = list(collectors)
        self._shown: tuple[str, ...] = ()
        self._wake = {c.name: asyncio.Event() for c in self.collectors}
        self._shown_first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        for collector in self.collectors:
            if not collector.lazy:
                self._declare(collector)

    def _declare(self, collector: Collector) -> None:
        self.store.declare(collector.name, collector.kind, collector.interval)

    def _is_meant(self, collector: Collector, names: Sequence[str]) -> bool:
        """`*` is every source that has been asked for yet."""
        known = self.store.feed(collector.name) is not None
        return matches(collector.name, names) or ("*" in names and known)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(c), name=f"collect {c.name}") for c in self.collectors
        ]

    def show(self, feeds: Iterable[str]) -> None:
        """Which feeds (names, or prefixes ending in `.`) the person looks at now."""
        before, self._shown = self._shown, tuple(feeds)
        now = time.time()
        for collector in self.collectors:
            if self._is_shown(collector.name) and not matches(collector.name, before):
                feed = self.store.feed(collector.name)
                age = feed.age(now) if feed else None
                if age is None or age > collector.interval:
                    self._wake[collector.name].set()

    def has(self, names: Sequence[str]) -> bool:
        """Whether any source is behind these feeds, asked yet or not."""
        return any(matches(collector.name, names) for collector in self.collectors)

    def refresh(self, feeds: Iterable[str] = ("*",)) -> None:
        """Ask these sources now, whatever their back-off says."""
        wanted = tuple(feeds)
        for collector in self.collectors:
            if self._is_meant(collector, wanted):
                self._wake[collector.name].set()

    async def once(self, feeds: Iterable[str] = ("*",)) -> None:
        """One answer of each, at the same time: what a command without a screen needs."""
        wanted = tuple(feeds)
        await asyncio.gather(
            *(self._collect(c) for c in self.collectors if self._is_meant(c, wanted))
        )

    async def close(self) -> None:
        """Stop everything; waits a second for those who have something to give back."""
        for task in self._tasks:
            task.cancel()
        closing = [asyncio.create_task(c.close()) for c in self.collectors]
        if self._tasks or closing:
            await asyncio.wait([*self._tasks, *closing], timeout=1.0)

    def _is_shown(self, name: str) -> bool:
        return matches(name, self._shown)

    async def _run(self, collector: Collector) -> None:
        wake = self._wake[collector.name]
        if not self._is_shown(collector.name):
            # What the first screen waits for goes first.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START):
                    await self._shown_first.wait()
                    await asyncio.sleep(DRAWN)
        if collector.lazy and not self._is_shown(collector.name):
            await wake.wait()
        while True:
            wake.clear()
            before = self.store.feed(collector.name)
            reading = await self._collect(collector)
            if before is not None and before.error and reading.error is None:
                self._is_back(collector.kind)
            if self._is_shown(collector.name):
                self._shown_first.set()
            delay = self._delay(collector, reading)
            self.store.expect(collector.name, delay)
            try:
                async with asyncio.timeout(delay * (1 + random.uniform(-JITTER, JITTER))):
                    await wake.wait()
            except TimeoutError:
                pass

    def _is_back(self, kind: str) -> None:
        """One of a kind answers again: the others that failed are asked now, not after a minute."""
        for collector in self.collectors:
            feed = self.store.feed(collector.name)
            if collector.kind == kind and feed is not None and feed.error:
                self._wake[collector.name].set()

    def _delay(self, collector: Collector, reading: Reading[Any]) -> float:
        shown = self._is_shown(collector.name) or collector.background <= 1.0
        if reading.error is not None:
            feed = self.store.feed(collector.name)
            failures = feed.failures if feed else 1
            limit = max(BACKOFF_SHOWN if shown else BACKOFF_MAX, collector.interval)
            limit = collector.patience or limit
            base: float = min(limit, collector.interval * 2.0 ** min(failures - 1, 10))
        else:
            base = max(
                collector.interval * (1.0 if shown else collector.background),
                min(STRETCH_MAX, reading.took * collector.cost) if reading.took > 0.25 else 0.0,
            )
        return base

    async def _collect(self, collector: Collector) -> Reading[Any]:
        began = time.monotonic()
        value: Any = None
        fault: Fault | None = None
        try:
            async with asyncio.timeout(collector.timeout):
                value = await collector.collect()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a collector may fail in any way
            fault = fault_of(error, collector.timeout)
        took = time.monotonic() - began
        reading: Reading[Any] = Reading(collector.name, value, fault, time.time(), took)
        self._declare(collector)
        self.store.put(reading)
        return reading
