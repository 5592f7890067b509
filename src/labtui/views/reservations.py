"""Reservations: which nodes are kept, from when to when, for whom."""

from __future__ import annotations

from labtui.config import Config
from labtui.model import Reservation
from labtui.slurm.explained import when
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import clock, inert


def rows(store: Store, config: Config, now: float) -> list[Reservation]:
    """The active ones first, then by when they begin."""
    found: list[Reservation] = list(store.value("slurm.reservations") or [])
    return sorted(found, key=lambda r: (r.state != "ACTIVE", r.start_time or 0.0, r.name))


def severity(one: Reservation) -> int:
    return 1 if one.state == "ACTIVE" else 0


def _state(one: Reservation) -> Cell:
    return Cell("active", "accent") if one.state == "ACTIVE" else Cell("waits", "dim")


def _moment(moment: float | None) -> str:
    """With the day always: a reservation is looked at days before."""
    return "-" if moment is None else when(moment, moment + 40 * 86400)


def span(one: Reservation) -> str:
    """`11-24 09:46 - 11:46`."""
    if one.start_time is None or one.end_time is None:
        return f"{_moment(one.start_time)} - {_moment(one.end_time)}"
    return f"{_moment(one.start_time)} - {when(one.end_time, one.start_time)}"


def who(one: Reservation) -> str:
    parts = [
        *one.users,
        *(f"account {a}" for a in one.accounts),
        *(f"group {g}" for g in one.groups),
    ]
    return inert(", ".join(parts) or "-", 200)


def where(one: Reservation) -> str:
    if len(one.nodes) > 3:
        return f"{inert(one.nodes[0], 60)} and {len(one.nodes) - 1} more"
    return inert(",".join(one.nodes) or one.partition or "-", 200)


def detail(one: Reservation, store: Store, now: float) -> list[str | Cell]:
    length = None
    if one.start_time is not None and one.end_time is not None:
        length = one.end_time - one.start_time
    lines: list[str | Cell] = [
        f"{inert(one.name, 80)} · {_state(one).text} · {span(one)} · {clock(length)} long",
        f"nodes: {inert(', '.join(one.nodes) or '-', 400)}"
        + (f" · {one.cores} cores" if one.cores is not None else ""),
        f"for {who(one)}" + (f" · partition {inert(one.partition, 60)}" if one.partition else ""),
    ]
    if one.flags:
        lines.append(f"flags: {inert(', '.join(one.flags), 300)}")
    if one.licenses or one.tres:
        lines.append(f"keeps: {inert(', '.join(filter(None, (one.tres, one.licenses))), 200)}")
    if one.comment:
        lines.append(f"comment: {inert(one.comment, 300)}")
    return lines


SUBJECT = SubjectSpec(
    name="reservations",
    key="",
    title="Reservations",
    words="Nodes that are kept for somebody, or for maintenance, and when.",
    feeds=("slurm.reservations",),
    columns=(
        Column("name", "RESERVATION", 14, lambda r: inert(r.name, 80), lambda r: r.name, wide=24),
        Column("state", "STATE", 7, _state, lambda r: r.state),
        Column("when", "WHEN", 20, span, lambda r: r.start_time, wide=26),
        Column("nodes", "NODES", 14, where, wide=26),
        Column("who", "FOR", 12, who, grow=True),
        Column("flags", "FLAGS", 30, lambda r: inert(",".join(r.flags) or "-", 200),
               min_total=120),
    ),
    row_key=lambda r: str(r.name),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda r: inert(f"{r.name} {r.state} {' '.join(r.nodes)} {who(r)}"),
    default_sort="due",
    parent="jobs",
)  # fmt: skip
