"""How much is wrong in the whole lab, for the top line: counted anew where something was said."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import msgspec

from labtui.config import Config
from labtui.spec import SubjectSpec
from labtui.store import Store, matches

SHARE = 50.0
"""Counting may take one part in this many of the time: with 5,000 nodes it takes some 20 ms."""
LONGEST = 4.0
"""Seconds that a count may be old, at most: what fails must be seen within five."""

FEW = 500
"""Rows that are counted in one go."""


class _Count(msgspec.Struct):
    said: tuple[object, ...] = ()
    """What the sources said when it was made."""
    crit: int = 0
    warn: int = 0
    levels: dict[str, tuple[Any, int]] = msgspec.field(default_factory=dict)
    due: float = 0.0
    """Monotonic seconds from which it may be made again."""


class Severities:
    """Critical and warning counts over subjects that are never large: not jobs, not runs."""

    def __init__(self, subjects: Sequence[SubjectSpec], store: Store, config: Config) -> None:
        self._counts = {s.name: (s, _Count()) for s in subjects if s.counted and not s.parent}
        self._store, self._config = store, config

    def counts(self) -> tuple[int, int]:
        """(critical, warning), as counted last."""
        found = [count for _, count in self._counts.values()]
        return sum(c.crit for c in found), sum(c.warn for c in found)

    def recount(self) -> Generator[None, None, None]:
        """Count anew what may have changed; each yield is a moment at which something else may
        run."""
        for spec, count in self._counts.values():
            names = spec.counted_by or spec.feeds
            feeds = (f for f in self._store.feeds() if matches(f.name, names))
            said = tuple((id(f.value), f.error) for f in feeds)
            began = time.monotonic()
            if said != count.said and began >= count.due:
                yield from self._count(spec, count)
                count.said = said
                took = time.monotonic() - began
                count.due = began + min(LONGEST, took * SHARE) if took > 0.005 else 0.0

    def _count(self, spec: SubjectSpec, count: _Count) -> Generator[None, None, None]:
        """A machine counts once, however many of its rows are bad."""
        if spec.pieces:
            yield from spec.pieces(self._store, self._config, time.time())
        worst: dict[str, int] = {}
        levels: dict[str, tuple[Any, int]] = {}
        for at, item in enumerate(spec.rows(self._store, self._config, time.time())):
            if at % FEW == FEW - 1:
                yield
            key = spec.row_key(item)
            before = count.levels.get(key)
            level = before[1] if before and before[0] is item else spec.severity(item)
            levels[key] = item, level
            if level >= 2:
                worst.setdefault(f"{getattr(item, 'node', None) or key}", level)
        count.levels = levels
        count.crit = sum(level >= 3 for level in worst.values())
        count.warn = sum(level == 2 for level in worst.values())
