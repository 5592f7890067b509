"""The cells of the GPU screen. Called for rows that are drawn, not for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from labtui.model import Finding, Gpu, Holder
from labtui.shares.cards import held
from labtui.spec import Cell, Column, Tone
from labtui.text import age, inert, mib, spark
from labtui.views.gpurows import GpuRow, card_name, is_known, is_silent, severity

HOT_C, TOO_HOT_C = 85.0, 92.0
FULL = 0.95
"""Share of the memory above which the next allocation is likely to fail, in whichever slice."""
TONES: tuple[Tone, ...] = ("", "", "warn", "crit")
WORDS = {
    "overbooked": "overbooked", "unknown-process": "stray process", "idle-slice": "idle slice",
    "count-differs": "counts differ", "card-unknown": "card not named",
    "memory-tight": "memory tight", "hot": "hot", "throttled": "throttled", "xid": "XID error",
    "ecc": "ECC errors", "lost": "card lost", "frozen": "old figures",
    "impossible": "bad figure", "driver": "driver", "source": "source silent",
}  # fmt: skip
"""Finding -> what the card's row calls it."""


def called(holder: Holder) -> str:
    """`job 1422`, `pod nim/llama-0`, `pid 7781`."""
    return f"{'pid' if holder.kind == 'process' else holder.kind} {inert(holder.id, 120)}"


def named(holder: Holder) -> str:
    """`job 1422 llama-lora`, `pod nim/llama-0`, `pid 7781 python, ben`."""
    name = "" if holder.kind == "pod" else inert(holder.name or "", 80)  # its id is its name
    text = f"{called(holder)} {name}".rstrip()
    if holder.kind == "process" and holder.user:
        text += f", {inert(holder.user, 40)}"
    return text + (f", {inert(holder.share, 40)}" if holder.share else "")


def sole(gpu: Gpu) -> tuple[Holder, ...]:
    """The one that holds a card which is not shared."""
    booked = tuple(holder for holder in gpu.holders if holder.kind != "process")
    return booked if gpu.slices == 1 and len(booked) == 1 else ()


def whose(row: GpuRow) -> Holder | None:
    """Who holds what this row stands for; of a card that is not shared, who holds the card."""
    return next(iter(sole(row.gpu)), None) if row.is_card else row.holder


def product(gpu: Gpu) -> str:
    """Without what all of them are called."""
    return inert(gpu.product or "", 60).removeprefix("NVIDIA ").removeprefix("GeForce ")


def worst(gpu: Gpu) -> str:
    """What is wrong with a card, in the few words that its row has room for."""
    bad = [finding for finding in gpu.findings if finding.severity >= 2]
    if not bad:
        return ""
    more = len({finding.kind for finding in bad} - {bad[0].kind})
    return WORDS.get(bad[0].kind, bad[0].kind) + (f" +{more}" if more else "")


def filled(gpu: Gpu) -> float:
    if gpu.memory_used_mib is None or not gpu.memory_total_mib:
        return 0.0
    return gpu.memory_used_mib / gpu.memory_total_mib


def _card(row: GpuRow) -> Cell | str:
    if row.is_card:
        return Cell(inert(card_name(row.gpu)), TONES[severity(row)] or "accent")
    if row.mig:
        return Cell(f"  {inert(row.mig.profile or 'MIG', 20)}", "dim")
    return Cell(f"  {product(row.gpu)}" if row.slice == 1 else "", "dim")


def _slice(row: GpuRow) -> Cell | str:
    if row.is_card:
        return ""
    if row.slice == 0:
        return Cell("none", "warn")
    text = f"x{row.count}" if row.count > 1 else "?" if row.index is None else str(row.slice)
    return Cell(f"over {row.count}" if row.count > 1 else "over", "crit") if row.over else text


def _holder(row: GpuRow) -> Cell | str:
    gpu = row.gpu
    if row.is_card:
        return _summary(row)
    if row.holder is not None:
        bad = any(f.holder == row.holder.id and f.severity >= 2 for f in gpu.findings)
        return Cell(named(row.holder), "crit" if row.over else "warn" if bad else "")
    return Cell("free", "ok") if is_known(gpu) else Cell(f"? {_unknown(gpu)}", "warn")


def _summary(row: GpuRow) -> Cell | str:
    """Of a card: what is wrong, how much of it is held; of one that is not shared, by whom."""
    gpu = row.gpu
    if gpu.index is None:
        return Cell("nobody names its card", "warn")
    if gpu.slices == 1 and (only := sole(gpu)) == gpu.holders:
        cell = _holder(GpuRow(node=gpu.node, index=gpu.index, gpu=gpu, slice=1,
                              holder=next(iter(only), None)))  # fmt: skip
        text, tone = (cell.text, cell.tone) if isinstance(cell, Cell) else (cell, "")
    else:
        text = f"{held(gpu)} of {gpu.slices}" if gpu.slices is not None else f"{held(gpu)} of ?"
        tone = ""
    silent = inert(gpu.na.get("util_percent", "") if is_silent(gpu) else "", 60)
    told = worst(gpu)
    if not told or (silent and gpu.findings[0].kind in ("source", "card-unknown")):
        told = silent or told
    said = told or ("" if is_known(gpu) or text.startswith("?") else _unknown(gpu))
    if not said:
        return Cell(text, tone)
    return Cell(f"{text}, {said}", TONES[severity(row)] or "warn")


def _unknown(gpu: Gpu) -> str:
    return inert(gpu.na.get("holders") or gpu.na.get("slices") or "not known", 60)


def _since(row: GpuRow) -> str:
    holder = whose(row)
    if holder is None or holder.since is None:
        return ""
    return age(time.time() - holder.since)


def _figure(field: str, tone: Callable[[float], Tone] = lambda value: "") -> Any:
    def text(row: GpuRow) -> Cell | str:
        if not row.is_card or row.index is None:
            return ""
        value = getattr(row.gpu, field)
        return Cell("-", "dim") if value is None else Cell(f"{value:.0f}", tone(value))

    return text


def _util(row: GpuRow) -> Cell | str:
    if row.mig and not row.is_card:
        return Cell("-", "dim") if row.mig.util_percent is None else f"{row.mig.util_percent:.0f}"
    found: Cell | str = _figure("util_percent")(row)
    return found


def heat(value: float) -> Tone:
    return "crit" if value >= TOO_HOT_C else "warn" if value >= HOT_C else ""


def memory(used: float | None, total: float | None) -> str:
    """`21.0/24G`; `-/24G` where what is used is not known."""
    if total is None or total < 1024:
        return mib(used) + ("" if total is None else f"/{mib(total)}")
    return f"{'-' if used is None else format(used / 1024, '.1f')}/{total / 1024:.0f}G"


def _memory(row: GpuRow) -> Cell | str:
    gpu = row.gpu
    if row.is_card:
        text = "" if row.index is None else memory(gpu.memory_used_mib, gpu.memory_total_mib)
        known = gpu.memory_used_mib is not None
        return Cell(text, "" if known and filled(gpu) <= FULL else "warn" if known else "dim")
    if row.mig:
        return memory(row.mig.memory_used_mib, row.mig.memory_total_mib)
    if row.holder is None or not row.first or row.holder.memory_mib is None:
        return ""
    return mib(row.holder.memory_mib)


def strip(values: Sequence[float | None], width: int, top: float = 100.0) -> str:
    """The last `width` values as bars between 0 and `top`; `·` where nothing is known."""
    shown = [None if v is None else min(v, top) for v in values[-width:]]
    if all(value is None for value in shown):
        return ""
    return spark([*shown, top], width + 1)[:-1].replace(" ", "·")


def _limit(row: GpuRow) -> Cell | str:
    value = row.gpu.power_limit_w
    return "" if not row.is_card or value is None else f"{value:.0f}"


def _why(row: GpuRow) -> Cell | str:
    if not row.is_card:
        return inert(row.holder.user or "", 40) if row.holder else ""
    gpu = row.gpu
    finding: Finding | None = next(iter(gpu.findings), None)
    if finding:
        return Cell(inert(finding.text), TONES[finding.severity])
    if gpu.throttle:
        return Cell(f"held down: {inert(gpu.throttle)}", "warn")
    why = dict.fromkeys(text for field, text in gpu.na.items() if field not in _SELDOM)
    return Cell(inert("; ".join(why)), "dim")


_SELDOM = ("clock_lock_mhz", "ecc_uncorrected")
"""Figures that most cards do not give, and that no column shows: the detail says why."""


def _sort(field: str) -> Any:
    """By the card's value, then by the card, so that a stable sort keeps its slices below it."""

    def key(row: GpuRow) -> Any:
        value = getattr(row.gpu, field)
        return None if value is None else (value, row.node, -1 if row.index is None else row.index)

    return key


def _place(row: GpuRow) -> Any:
    return (row.node, -1 if row.index is None else row.index)


COLUMNS: tuple[Column, ...] = (
    Column("card", "CARD", 15, _card, _place, wide=22),
    Column("slice", "SLICE", 5, _slice, align="right",
           help="its number; xN: so many; over: booked beyond what the card has"),
    Column("holder", "HELD BY", 21, _holder, wide=32, grow=True),
    Column("since", "SINCE", 5, _since, align="right"),
    Column("util", "GPU%", 4, _util, _sort("util_percent"), "right"),
    Column("memory", "MEM", 10, _memory, _sort("memory_used_mib"), "right",
           help="of the card used/total; of a holder, what its processes use"),
    Column("temperature", "T", 3, _figure("temperature_c", heat), _sort("temperature_c"), "right"),
    Column("power", "W", 4, _figure("power_w"), _sort("power_w"), "right"),
    Column("limit", "LIMIT", 5, _limit, _sort("power_limit_w"), "right", min_total=110,
           help="power limit, watts"),
    Column("clock", "MHZ", 5, _figure("clock_mhz"), _sort("clock_mhz"), "right", min_total=100),
    Column("hour", "HOUR", 12, lambda r: strip(r.hour, 12) if r.is_card else "", min_total=110,
           help="utilisation of the last hour, five minutes a bar"),
    Column("why", "WHY", 28, _why, min_total=150, grow=True),
)  # fmt: skip
