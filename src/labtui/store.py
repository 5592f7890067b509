"""The latest Reading of each feed, and who wants to know when it changes.

A feed is what one collector delivers (`slurm.jobs`, `host.truenas`, `vault.truenas`, ...). The
store keeps the last good value beside the last error, so that a source that fails leaves its old
value on screen, marked with its age, instead of an empty table that looks healthy.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from labtui.model import SourceState

T = TypeVar("T")

FaultKind = Literal[
    "refused", "unreachable", "timeout", "auth", "host-key", "permission", "not-found", "protocol",
    "tls", "sealed", "lab-down", "building", "config",
]  # fmt: skip
"""Every error from outside becomes one of these."""

STALE_AFTER = 3.0
"""Intervals without a good value until a reading counts as stale."""


class Fault(msgspec.Struct, frozen=True):
    """Why a value could not be had: a kind to act on, one inert sentence to read."""

    kind: FaultKind
    message: str


class Reading(msgspec.Struct, Generic[T], frozen=True):
    """One answer of one source. `value` and `error` are never both None."""

    source: str
    value: T | None
    error: Fault | None
    taken_at: float
    """Unix seconds when the answer was complete."""
    took: float
    """Seconds that the answer took."""


class Feed(msgspec.Struct, frozen=True):
    """The state of one source: its newest reading and its newest good one."""

    name: str
    kind: str
    interval: float
    latest: Reading[Any] | None = None
    good: Reading[Any] | None = None
    failures: int = 0
    """Failed attempts since the last good one."""
    since: float | None = None
    """Unix seconds when the present run of failures began."""
    next_try: float | None = None
    pace: float = 0.0
    """Seconds between two answers as they are asked for now, where that is more than `interval`:
    no screen shows it, or a poll is expensive."""

    @property
    def value(self) -> Any:
        """The last good value, however old; None before the first."""
        return self.good.value if self.good else None

    @property
    def error(self) -> Fault | None:
        """Why the newest attempt failed; None when it succeeded."""
        return self.latest.error if self.latest else None

    def age(self, now: float | None = None) -> float | None:
        """Seconds since the last good value."""
        return None if self.good is None else max(0.0, (now or time.time()) - self.good.taken_at)

    def state(self, now: float | None = None) -> Literal["ok", "stale", "failed", "waiting"]:
        if self.latest is None:
            return "waiting"
        if self.latest.error is not None:
            return "failed"
        age = self.age(now)
        due = max(self.interval, self.pace)
        return "stale" if age is not None and age > STALE_AFTER * due else "ok"

    def summary(self, now: float | None = None) -> SourceState:
        age = self.age(now)
        return SourceState(
            name=self.name,
            kind=self.kind,
            state=self.state(now),
            age_s=None if age is None else round(age, 1),
            took_ms=None if self.latest is None else round(self.latest.took * 1000, 1),
            error=self.error.message if self.error else None,
            error_kind=self.error.kind if self.error else None,
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Is the feed one of these? A pattern is a name, or a beginning that ends in `.`."""
    return any(name == p or (p.endswith(".") and name.startswith(p)) for p in patterns)


Listener = Callable[[Feed, Feed], None]


class Store:
    """Feeds by name. Not thread-safe: it lives on the event loop."""

    def __init__(self, ring: int = 120) -> None:
        self._feeds: dict[str, Feed] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._rings: dict[str, deque[tuple[float, float | None]]] = {}
        self._ring = ring

    def declare(self, name: str, kind: str, interval: float) -> None:
        """Make a feed known before its first reading, so that it shows as waiting."""
        self._feeds.setdefault(name, Feed(name, kind, interval))

    def feed(self, name: str) -> Feed | None:
        return self._feeds.get(name)

    def value(self, name: str) -> Any:
        feed = self._feeds.get(name)
        return feed.value if feed else None

    def feeds(self, prefix: str = "") -> list[Feed]:
        return [f for n, f in self._feeds.items() if n.startswith(prefix)]

    def put(self, reading: Reading[Any], *, next_try: float | None = None) -> None:
        old = self._feeds[reading.source]
        failed = reading.error is not None
        new = Feed(
            old.name,
            old.kind,
            old.interval,
            latest=reading,
            good=old.good if failed else reading,
            failures=old.failures + 1 if failed else 0,
            since=(old.since or reading.taken_at) if failed else None,
            next_try=next_try,
            pace=old.pace,
        )
        self._feeds[reading.source] = new
        for listener in [*self._listeners.get(reading.source, ()), *self._listeners.get("*", ())]:
            listener(old, new)

    def expect(self, name: str, pace: float) -> None:
        """The next answer of this feed is due in `pace` seconds."""
        self._feeds[name] = replace(self._feeds[name], pace=pace)

    def subscribe(self, names: Iterable[str], listener: Listener) -> Callable[[], None]:
        """Call `listener(old, new)` for each reading of these feeds (`*`: of all).

        Returns what ends the subscription. A listener must not block or raise.
        """
        taken = list(names)
        for name in taken:
            self._listeners.setdefault(name, []).append(listener)

        def unsubscribe() -> None:
            for name in taken:
                if listener in self._listeners.get(name, ()):
                    self._listeners[name].remove(listener)

        return unsubscribe

    def record(self, series: str, value: float | None, at: float | None = None) -> None:
        """Add to a short in-memory series, the stuff of sparklines."""
        ring = self._rings.setdefault(series, deque(maxlen=self._ring))
        ring.append((at or time.time(), value))

    def series(self, name: str) -> list[float | None]:
        return [value for _, value in self._rings.get(name, ())]

    def sources(self, now: float | None = None) -> list[SourceState]:
        return [feed.summary(now) for feed in self._feeds.values()]
