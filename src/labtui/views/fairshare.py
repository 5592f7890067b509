"""Fair share: what each account and user should get of the cluster, and what they had of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile, islice, takewhile

from labtui.config import Config
from labtui.model import Share
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Store
from labtui.text import inert


def rows(store: Store, config: Config, now: float) -> list[Share]:
    """As sshare gives them: each account, then what is below it."""
    return list(store.value("slurm.shares") or [])


def name(one: Share) -> str:
    return "  " * min(one.depth, 12) + inert(one.user or one.account, 60)


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part * 100:.1f}%"


def _part(one: Share) -> str:
    return "-" if one.depth == 0 else _percent(one.share_part)


def _factor(one: Share) -> Cell:
    """The fair-share factor of a user; an account has none of its own."""
    if one.fair_share is None:
        return Cell("-")
    tone: Tone = "warn" if one.fair_share < 0.1 else "ok" if one.fair_share >= 0.5 else ""
    return Cell(f"{one.fair_share:.3f}", tone)


def _shares(one: Share) -> str:
    if one.shares is None:
        return "parent" if one.user else "-"
    return str(one.shares)


def _usage(one: Share) -> str:
    return "-" if one.usage is None else f"{one.usage:,}"


def _standing(one: Share) -> str:
    """The share and the use in words."""
    if one.depth == 0:
        return "the whole cluster"
    if one.share_part is None or one.usage_part is None:
        return "-"
    if one.usage == 0:
        return "nothing used lately"
    if one.usage_part > one.share_part * 1.05:
        return "more than its share"
    if one.usage_part < one.share_part * 0.95:
        return "less than its share"
    return "its share"


def only(one: Share, shares: Sequence[Share]) -> str:
    """The filter that leaves its jobs: of an account those of all accounts below it too."""
    if one.user:
        return f"account:={inert(one.account, 60)} user:={inert(one.user, 60)}"
    if one.depth == 0:
        return ""
    tree = dropwhile(lambda other: other.user or other.account != one.account, shares)
    below = takewhile(lambda other: other.depth > one.depth, islice(tree, 1, None))
    names = dict.fromkeys([one.account, *(other.account for other in below)])
    return f"account:={','.join(inert(name, 60) for name in names)}"


def detail(one: Share, store: Store, now: float) -> list[str | Cell]:
    who = f"user {inert(one.user, 60)} of " if one.user else ""
    level = "-" if one.level is None else f"{one.level:.3f}"
    return [
        f"{who}account {inert(one.account, 60)}: {_standing(one)}",
        f"shares: {_shares(one)}, {_part(one)} of its account or the cluster",
        f"used: {_percent(one.usage_part)} (raw usage {_usage(one)}, older use counts less)",
        f"factor: {_factor(one).text}, from 0 to 1, the higher goes first · level {level}: below 1 "
        "had more than its share",
        Cell("how much it counts in a priority: PriorityWeightFairShare in slurm.conf", "dim"),
    ]


SUBJECT = SubjectSpec(
    name="fairshare",
    key="",
    title="Fair share",
    words="Accounts and users: their shares, what they used of late, the factor of their priority.",
    feeds=("slurm.shares",),
    columns=(
        Column("name", "ACCOUNT / USER", 22, name, lambda s: s.user or s.account, wide=34),
        Column("shares", "SHARES", 7, _shares, lambda s: s.shares, "right"),
        Column("part", "OF ALL", 7, _part, lambda s: s.share_part,
               "right"),
        Column("used", "USED", 7, lambda s: _percent(s.usage_part), lambda s: s.usage_part,
               "right"),
        Column("usage", "RAW USAGE", 14, _usage, lambda s: s.usage, "right", min_total=100),
        Column("factor", "FACTOR", 7, _factor, lambda s: s.fair_share, "right"),
        Column("standing", "STANDING", 16, _standing, grow=True),
    ),
    row_key=lambda s: f"{s.account}/{s.user or ''}",
    severity=lambda s: 0,
    rows=rows,
    detail=detail,
    searchable=lambda s: inert(f"{s.account} {s.user or ''}"),
    default_sort="tree",
    parent="jobs",
)  # fmt: skip
