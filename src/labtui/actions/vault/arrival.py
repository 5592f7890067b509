"""A new version of a secret on its way into the nodes' files, watched until it is in each.

The nodes tell a salted hash of the file; the keyholder told the same hash of the value.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from labtui.actions.base import Progress
from labtui.hosts.base import HostError
from labtui.model import OldHolder
from labtui.sources.base import SourceError
from labtui.text import inert

WAIT = 90.0
"""Seconds: an agent asks for a new version every 30 (static_secret_render_interval)."""
LONGEST = 360.0
"""Seconds: an agent that was set up without that interval asks every 5 minutes."""
EVERY = 2.0
"""Seconds between two looks at a node: each asks its systemd, its journal and Vault."""
LOOK = 20.0
"""Seconds that one look may take."""
GRACE = 12.0
"""Seconds that a node which cannot be reached, or has no agent running, is given to come back."""
TELL = 10.0
"""Seconds between two words about who is waited for."""
SHOWN = 12
"""Hex digits of a hash that are shown."""


class Sighting(msgspec.Struct, frozen=True):
    """What a node says of one rendered file."""

    digest: str | None = None
    """Hex of SHA-256 over salt and content; None: there is no such file, `fault` says why."""
    age_s: float | None = None
    """Seconds since it was written, by the node's own clock."""
    fault: str = ""
    alive: bool | None = None
    """Its vault-agent runs."""
    agent: str = ""
    """The agent's state in words."""
    old: tuple[OldHolder, ...] = ()


class Reporter(Protocol):
    async def look(self, node: str, name: str, salt: str) -> Sighting:
        """The file of the secret that the configuration calls `name`. Raises SourceError,
        HostError."""
        ...


class Arriving(msgspec.Struct):
    """One node."""

    node: str
    before: str | None = None
    seen: Sighting | None = None
    """The newest answer; None: it could not be reached, `why` says why."""
    why: str = ""
    took: float | None = None
    """Seconds from the write in Vault until the file had it; None: not yet."""

    @property
    def has_it(self) -> bool:
        return self.took is not None

    @property
    def hopeless(self) -> bool:
        """Waiting longer does not help: nobody answers, or nobody renders there."""
        return self.seen is None or self.seen.alive is False

    @property
    def words(self) -> str:
        """Why it does not have it."""
        if self.seen is None:
            return self.why or "no answer"
        if self.seen.alive is False:
            return f"its vault-agent does not run ({self.seen.agent or 'no word'})"
        if self.seen.fault and self.seen.digest is None:
            return self.seen.fault
        if self.seen.agent not in ("", "running"):
            return f"its file still holds another value ({self.seen.agent})"
        return "its file still holds another value"


class Arrival:
    """All nodes of one secret."""

    def __init__(
        self, reporter: Reporter, nodes: Iterable[str], name: str, salt: str, *,
        wait: float = WAIT, every: float = EVERY, grace: float = GRACE,
    ) -> None:  # fmt: skip
        self._reporter = reporter
        self._name = name
        self._salt = salt
        self._wait = min(wait, LONGEST)
        self._every = every
        self._grace = grace
        self.nodes = [Arriving(node) for node in nodes]

    async def before(self) -> None:
        """One look at each: what is there now."""
        await asyncio.gather(*(self._look(node) for node in self.nodes))
        for node in self.nodes:
            node.before = node.seen.digest if node.seen else None

    async def watch(self, digest: str, written: float, progress: Progress) -> None:
        """Until each has `digest`, or it makes no sense to wait. `written`: by time.monotonic."""
        tasks = [asyncio.create_task(self._follow(n, digest, written, progress))
                 for n in self.nodes]  # fmt: skip
        told = time.monotonic()
        try:
            while pending := [n for n in self.nodes if not n.has_it]:
                now = time.monotonic()
                waited = now - written
                if waited > self._wait:
                    progress(f"after {waited:.0f} s without it: {named(n.node for n in pending)}")
                    return
                if waited > self._grace and all(n.hopeless for n in pending):
                    return
                if now - told >= TELL:
                    told = now
                    progress(f"{waited:.0f} s: {len(self.nodes) - len(pending)} of "
                             f"{len(self.nodes)} have it; waiting for "
                             f"{named(n.node for n in pending)}")  # fmt: skip
                await asyncio.sleep(min(0.2, self._every))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(
        self, node: Arriving, digest: str, written: float, progress: Progress
    ) -> None:
        said = ""
        while True:
            began = time.monotonic()
            await self._look(node)
            seen = node.seen
            if seen is not None and seen.digest == digest:
                now = time.monotonic()
                # Its age is a span by the node's own clock, so that the clocks need not agree.
                since = now if seen.age_s is None else max(began - seen.age_s, written)
                node.took = max(0.0, min(since, now) - written)
                progress(f"{node.node} has it after {node.took:.1f} s")
                return
            if node.hopeless and node.words != said:
                said = node.words
                progress(f"{node.node}: {said}")
            await asyncio.sleep(self._every)

    async def again(self, digest: str | None) -> None:
        """One last look: who has it now, and what still holds the old one there."""
        await asyncio.gather(*(self._look(node) for node in self.nodes))
        for node in self.nodes:
            if node.seen is None:
                continue  # what was seen of it stays as it was
            if node.seen.digest != digest or digest is None:
                node.took = None
            elif node.took is None:
                node.took = -1.0

    async def _look(self, node: Arriving) -> None:
        why = ""
        with contextlib.suppress(TimeoutError):
            why = "no answer in time"
            async with asyncio.timeout(LOOK):
                try:
                    node.seen, node.why = (
                        await self._reporter.look(node.node, self._name, self._salt),
                        "",
                    )
                    return
                except SourceError as error:
                    why = error.fault.message
                except HostError as error:
                    why = error.message
        node.seen, node.why = None, inert(why, 160)

    # What came of it

    @property
    def without(self) -> list[Arriving]:
        return [n for n in self.nodes if not n.has_it]

    def summary(self) -> str:
        """`desktop-gpu and xps15-cpu have it after 4.1 s and 12.0 s; jetson-edge does not: ...`"""
        if not self.nodes:
            return "no agent's file is made of it"
        having = [n for n in self.nodes if n.has_it]
        parts = []
        if having:
            parts.append("has it: " + ", ".join(f"{inert(n.node, 60)}{_after(n)}" for n in having))
        parts += [f"{inert(n.node, 60)} does NOT have it: {n.words}" for n in self.without]
        return "; ".join(parts)

    def holders(self) -> str:
        """What still holds the old value, as a sentence; empty where nothing does."""
        lines = [f"{old_words(n.seen.old)} on {inert(n.node, 60)}"
                 for n in self.nodes if n.seen and n.seen.old]  # fmt: skip
        return f"still with the old value: {'; '.join(lines)}" if lines else ""

    def evidence(self) -> dict[str, str]:
        """For scripts, a few fields a node."""
        found: dict[str, str] = {"nodes": str(len(self.nodes)),
                                 "arrived": str(len(self.nodes) - len(self.without))}  # fmt: skip
        for n in self.nodes:
            found[f"node {n.node}"] = "arrived" if n.has_it else f"not arrived: {n.words}"
            if n.took is not None and n.took >= 0:
                found[f"seconds {n.node}"] = f"{n.took:.1f}"
            found[f"before {n.node}"] = short(n.before)
            found[f"after {n.node}"] = short(n.seen.digest if n.seen else None)
            if n.seen and n.seen.old:
                found[f"old {n.node}"] = old_words(n.seen.old)
        return found


def _after(node: Arriving) -> str:
    return f" after {node.took:.1f} s" if node.took is not None and node.took >= 0 else ""


def short(digest: str | None) -> str:
    return digest[:SHOWN] if digest else ""


def old_words(old: Sequence[OldHolder]) -> str:
    """`job 1431 (NGC_API_KEY), registry nvcr.io`."""
    found = []
    for holder in old[:6]:
        name = f" {inert(holder.name, 40)}" if holder.name else ""
        variable = f" ({inert(holder.variable, 40)})" if holder.variable else ""
        found.append(f"{holder.kind} {inert(holder.id, 60)}{name}{variable}")
    if len(old) > 6:
        found.append(f"{len(old) - 6} more")
    return ", ".join(found)


def named(nodes: Iterable[str]) -> str:
    return ", ".join(inert(n, 60) for n in nodes)
