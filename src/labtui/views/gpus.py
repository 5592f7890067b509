"""GPU shares: each physical card with its slices below it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from labtui.collectors.gpus import GpuMetrics
from labtui.config import Config
from labtui.model import Gpu, Holder, Item
from labtui.shares.cards import held, hour, items, slots
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Feed, Store
from labtui.text import age, inert, mib, spark

HOT_C, TOO_HOT_C = 85.0, 92.0
FULL = 0.95
"""Share of the memory above which a job in another slice is likely to fail for want of it."""


class GpuRow(Item, frozen=True, kw_only=True):
    """A card, or one of its slices below it."""

    node: str
    index: int | None
    gpu: Gpu
    slice: int = 0
    """0: the card itself; slices count from 1."""
    holder: Holder | None = None


def rows(store: Store, config: Config, now: float) -> list[GpuRow]:
    """Each card followed by its slices; a card with one slice is one row."""
    result: list[GpuRow] = []
    for gpu in items(store, config, now):
        result.append(GpuRow(node=gpu.node, index=gpu.index, gpu=gpu))
        if (gpu.slices or 0) > 1:
            result += [
                GpuRow(node=gpu.node, index=gpu.index, gpu=gpu, slice=i + 1, holder=holder)
                for i, holder in enumerate(slots(gpu))
            ]
    return result


def severity(row: GpuRow) -> int:
    """The same for a card and its slices, so that they stay together."""
    gpu = row.gpu
    if (gpu.temperature_c or 0) >= TOO_HOT_C:
        return 3
    if (gpu.temperature_c or 0) >= HOT_C or gpu.xid or _filled(gpu) > FULL:
        return 2
    if gpu.na.get("util_percent") == "exporter down":
        return 2
    return 1 if gpu.util_percent is None or "holders" in gpu.na else 0


def _filled(gpu: Gpu) -> float:
    if gpu.memory_used_mib is None or not gpu.memory_total_mib:
        return 0.0
    return gpu.memory_used_mib / gpu.memory_total_mib


_TONES: tuple[Tone, ...] = ("", "", "warn", "crit")


def _card(row: GpuRow) -> Cell | str:
    if row.slice == 0:
        return Cell(inert(f"{row.node}:{row.index}"), _TONES[severity(row)] or "accent")
    return Cell(f"  {inert(row.gpu.product or '', 24)}" if row.slice == 1 else "", "dim")


def _holder(row: GpuRow) -> Cell | str:
    gpu = row.gpu
    if row.slice == 0 and (gpu.slices or 0) != 1:
        text = f"{held(gpu)} of {gpu.slices}" if gpu.slices is not None else "slices unknown"
        why = gpu.na.get("holders") or gpu.na.get("util_percent")
        return Cell(f"{text}, {inert(why)}", "warn") if why else text
    holder = row.holder if row.slice else next(iter(gpu.holders), None)
    if holder is not None:
        return f"{holder.kind} {inert(holder.id)} {inert(holder.name or '')}".rstrip()
    if "holders" in gpu.na:
        return Cell(f"? {inert(gpu.na['holders'])}", "warn")
    if row.slice == 0 and gpu.util_percent is None and "util_percent" in gpu.na:
        return Cell(f"free, {inert(gpu.na['util_percent'])}", "warn")
    return Cell("free", "ok")


def _since(row: GpuRow, now: float | None = None) -> str:
    holder = row.holder
    if row.slice == 0 and row.gpu.slices == 1:
        holder = next(iter(row.gpu.holders), None)
    if holder is None or holder.since is None:
        return ""
    return age((now or time.time()) - holder.since)


def _figure(row: GpuRow, value: float | None, tone: Tone = "") -> Cell | str:
    if row.slice:
        return ""
    return Cell("-", "dim") if value is None else Cell(f"{value:.0f}", tone)


def _temperature(row: GpuRow) -> Cell | str:
    value = row.gpu.temperature_c or 0
    return _figure(
        row,
        row.gpu.temperature_c,
        "crit" if value >= TOO_HOT_C else "warn" if value >= HOT_C else "",
    )


def _memory(row: GpuRow) -> Cell | str:
    gpu = row.gpu
    if row.slice:
        return ""
    if gpu.memory_used_mib is None:
        return Cell(f"-/{mib(gpu.memory_total_mib)}" if gpu.memory_total_mib else "-", "dim")
    return Cell(
        f"{mib(gpu.memory_used_mib)}/{mib(gpu.memory_total_mib)}",
        "warn" if _filled(gpu) > FULL else "",
    )


def _why_cell(row: GpuRow) -> Cell | str:
    if row.slice:
        return inert(row.holder.user or "") if row.holder else ""
    gpu = row.gpu
    if gpu.xid:
        return Cell(f"XID {gpu.xid} was its last error", "warn")
    if gpu.throttle:
        return Cell(f"held down: {inert(gpu.throttle)}", "warn")
    return Cell(inert("; ".join(dict.fromkeys(gpu.na.values()))), "dim")


def _sort(field: str) -> Any:
    """By the card's value, then by the card, so that a stable sort keeps its slices below it."""

    def key(row: GpuRow) -> Any:
        value = getattr(row.gpu, field)
        return None if value is None else (value, row.node, row.index)

    return key


def detail(row: GpuRow, store: Store, now: float) -> list[str | Cell]:
    gpu = row.gpu
    head = [f"{gpu.node}:{gpu.index}", gpu.product or "", gpu.uuid or ""]
    lines: list[str | Cell] = [Cell("  ".join(inert(h) for h in head if h), "accent")]
    if row.holder is not None:
        holder = row.holder
        lines.append(
            f"slice {row.slice}: {holder.kind} {inert(holder.id)} {inert(holder.name or '')}"
            f" of {inert(holder.user or 'unknown')}, {holder.slices} slices"
            + (f" since {hour(holder.since)}" if holder.since else "")
        )
    if gpu.memory_used_mib is not None and gpu.memory_total_mib:
        free = max(0.0, gpu.memory_total_mib - gpu.memory_used_mib)
        text = f"{mib(gpu.memory_used_mib)} of {mib(gpu.memory_total_mib)} used"
        if (gpu.slices or 0) > 1:
            text = f"slices do not split memory: {text}; a free slice may ask at most {mib(free)}"
        lines.append(Cell(text, "warn" if _filled(gpu) > FULL else ""))
    figures = [
        f"{words} {value:.0f} {unit}"
        for words, value, unit in (
            ("util", gpu.util_percent, "%"),
            ("temperature", gpu.temperature_c, "C"),
            ("power", gpu.power_w, "W"),
            ("clock", gpu.clock_mhz, "MHz"),
        )
        if value is not None
    ]
    if figures:
        lines.append(" · ".join(figures))
    if gpu.throttle:
        lines.append(Cell(f"clocks held down: {inert(gpu.throttle)}", "warn"))
    if gpu.xid:
        lines.append(Cell(f"last XID error: {gpu.xid} (the driver's log has the rest)", "warn"))
    curve = spark(store.series(series(gpu)), 40)
    if curve:
        lines.append(f"util {curve}")
    reasons: dict[str, list[str]] = {}
    for field, why in gpu.na.items():
        reasons.setdefault(why, []).append(field.rpartition("_")[0] or field)
    lines += [Cell(f"n/a: {', '.join(f)}: {inert(why)}", "dim") for why, f in reasons.items()]
    said = " · ".join(f"{name}: {inert(words)}" for name, words in gpu.sources.items())
    lines.append(Cell(f"sources: {said}" if said else "no source knows this card", "dim"))
    return lines


def series(gpu: Gpu) -> str:
    """The store's short series of a card's utilisation."""
    return f"gpu.{gpu.node}.{gpu.index}.util"


def remember(store: Store) -> None:
    """Keep a short series of each card's utilisation, for the sparkline of its detail."""

    def listen(_old: Feed, new: Feed) -> None:
        value = new.latest.value if new.latest else None
        for card in value.cards if isinstance(value, GpuMetrics) else ():
            store.record(series(card), card.util_percent)

    store.subscribe(["prom.gpus"], listen)


def _heading(rows: Sequence[GpuRow]) -> str:
    cards = [r.gpu for r in rows if r.slice == 0]
    slices, taken = sum(g.slices or 0 for g in cards), sum(held(g) for g in cards)
    text = f"{len(cards)} cards, {slices} slices, {taken} held"
    return text + (", slices share memory" if any((g.slices or 0) > 1 for g in cards) else "")


def _search(row: GpuRow) -> str:
    holder = row.holder
    words = [row.node, row.gpu.product or "", row.gpu.uuid or ""]
    words += [holder.id, holder.name or "", holder.user or ""] if holder else []
    return inert(" ".join(words))


SUBJECT = SubjectSpec(
    name="gpus",
    key="3",
    title="GPU shares",
    words="Each physical GPU with its slices: who holds them, load, memory, heat, power.",
    feeds=("prom.gpus", "nvml.", "slurm.allocations", "slurm.jobs", "slurm.nodes"),
    counted_by=("prom.gpus", "nvml.", "slurm.nodes"),
    columns=(
        Column("card", "CARD", 15, _card, lambda r: (r.node, r.index), wide=22),
        Column("slice", "SLICE", 5, lambda r: str(r.slice) if r.slice else "", align="right"),
        Column("holder", "HELD BY", 21, _holder, wide=32),
        Column("since", "SINCE", 5, _since, align="right"),
        Column("util", "GPU%", 4, lambda r: _figure(r, r.gpu.util_percent),
               _sort("util_percent"), "right"),
        Column("memory", "MEM", 11, _memory, _sort("memory_used_mib"), "right"),
        Column("temperature", "T", 3, _temperature, _sort("temperature_c"), "right"),
        Column("power", "W", 4, lambda r: _figure(r, r.gpu.power_w), _sort("power_w"), "right"),
        Column("clock", "MHZ", 5, lambda r: _figure(r, r.gpu.clock_mhz), _sort("clock_mhz"),
               "right", min_total=100),
        Column("why", "WHY", 12, _why_cell, min_total=110, grow=True),
    ),
    row_key=lambda r: f"{r.node}:{r.index}" + (f"/{r.slice}" if r.slice else ""),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=_search,
    heading=_heading,
)  # fmt: skip
