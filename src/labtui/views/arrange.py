"""From all rows of a subject to those on screen: filtered, sorted, folded.

A generator, because 100,000 rows take longer than a key may wait: each `yield` is a moment at
which something else may run. A short table ends without one that matters.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import msgspec

from labtui.spec import SubjectSpec
from labtui.views.filtering import Filter
from labtui.views.sorting import order


class How(msgspec.Struct, frozen=True):
    """What a person chose for one table."""

    test: Filter | None = None
    sort: str = ""
    """A column's id; empty: the subject's own order."""
    reverse: bool = False
    unfolded: frozenset[str] = frozenset()
    """Ids of the arrays whose tasks are shown one by one."""
    apart: bool = False
    """No array is folded."""
    tree: bool = False
    """Jobs under those that they wait for."""


class Arranged(msgspec.Struct, frozen=True):
    items: Sequence[Any]
    keys: Sequence[str]
    matched: int
    """How many the filter lets through, before any are folded."""
    leads: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Key -> what stands before its name: the branch of a tree, the mark of a fold."""


Work = Generator[None, None, Arranged]


def arrange(items: Sequence[Any], spec: SubjectSpec, how: How) -> Work:
    """The plain way, for tables of some hundred rows."""
    yield
    chosen = [i for i in items if how.test(i)] if how.test else list(items)
    chosen = order(chosen, spec, how.sort, how.reverse)
    return Arranged(chosen, [spec.row_key(i) for i in chosen], len(chosen))


def at_once(work: Work) -> Arranged:
    """To its end without a pause: for commands without a screen, and for tests."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: Arranged = done.value
            return found
