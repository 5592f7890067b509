"""Enumerations that compare equal to their own text, and flags."""

from __future__ import annotations

from collections.abc import Container
from enum import Flag, StrEnum
from typing import Self

__all__ = ["SchedulerType", "SlurmEnum", "SlurmFlag"]


class SlurmEnum(StrEnum):
    """Members are their name: `SchedulerType.MAIN == "MAIN"`.

    A member may carry Slurm's own number for it: `MAIN = "MAIN", 4`.
    """

    _flag: int

    def __new__(cls, name: str, flag: int = 0) -> Self:
        member = str.__new__(cls, name)
        member._value_ = str(name)
        member._flag = flag
        return member

    @classmethod
    def from_flag(cls, flags: int, default: str) -> Self:
        """The first member whose number is among `flags`, else `default`."""
        hits = (m for m in cls if (m._flag and flags & m._flag) or flags == m._flag)
        return next(hits, cls(default))


class SlurmFlag(Flag):
    """Flags that can be made of the names in a list."""

    @classmethod
    def from_list(cls, names: Container[str]) -> Self:
        """All flags whose names are in `names`; other names are left out."""
        found = cls(0)
        for member in cls:
            if member.name in names:
                found |= member
        return found


class SchedulerType(SlurmEnum):
    """Which scheduler started a job (slurm/slurmdb.h: SLURMDB_JOB_FLAG_*)."""

    SUBMIT = "SUBMIT", 1 << 1
    """At once, on submission."""
    MAIN = "MAIN", 1 << 2
    """The main scheduler."""
    BACKFILL = "BACKFILL", 1 << 3
    """The backfill scheduler."""
    UNKNOWN = "UNKNOWN"
