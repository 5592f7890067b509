"""What is told of the GPU row under the cursor: what is wrong first, as seven lines may be all."""

from __future__ import annotations

import time
from collections.abc import Iterator

from labtui.model import Finding, Gpu, GpuHours
from labtui.shares.cards import free, held, is_counted
from labtui.shares.room import by_mps, shares_memory
from labtui.spec import Cell
from labtui.store import Store
from labtui.text import inert, mib
from labtui.views.gpucells import FULL, TONES, called, filled, memory, named, product, strip, whose
from labtui.views.gpurows import (
    GpuRow,
    by_owner,
    card_name,
    in_hour,
    is_known,
    is_silent,
)
from labtui.views.gpuseries import FIELDS, series

Line = str | Cell
SOURCES = {"smi": "nvidia-smi", "prom": "prometheus"}
"""What a source is called, where that is not its own word."""

FIRST = 4
"""Findings that are told before anything else."""
DISPUTES = frozenset(
    {"overbooked", "unknown-process", "count-differs", "card-unknown", "impossible", "source"}
)
"""Findings that mean that the sources do not say the same."""
_FIELDS = {
    "util_percent": "util", "memory_used_mib": "memory", "memory_total_mib": "memory",
    "temperature_c": "temperature", "power_w": "power", "clock_mhz": "clock",
    "power_limit_w": "power limit", "ecc_uncorrected": "ECC", "clock_lock_mhz": "clock lock",
    "clock_max_mhz": "highest clock", "power_default_w": "power limit",
    "power_min_w": "power limit", "power_max_w": "power limit", "xid": "XID",
}  # fmt: skip


def detail(row: GpuRow, store: Store, now: float) -> list[Line]:
    gpu = row.gpu
    missing, silent = list(_missing(gpu)), is_silent(gpu)
    parts = (
        _head(row, now), _wrong(row), missing if silent else (), _memory(gpu), _lately(gpu, store),
        _sources(gpu), _worth_knowing(row), _settings(gpu, now), _origin(gpu),
        () if silent else missing, _curves(gpu, store), _names(row),
    )  # fmt: skip
    return [line for part in parts for line in part]


def _head(row: GpuRow, now: float) -> Iterator[Line]:
    gpu = row.gpu
    name = inert(card_name(gpu)) + (f" {product(gpu)}" if row.is_card else "")
    yield Cell(f"{name} · {_what(row, now)}", "accent")


def _what(row: GpuRow, now: float) -> str:
    gpu, holder = row.gpu, whose(row)
    if holder is not None:
        since = f" since {when(holder.since, now)}" if holder.since else ""
        by = f" of {inert(holder.user, 40)}" if holder.user and holder.kind == "job" else ""
        of_it = "" if holder.kind == "process" else f", holds {holder.slices}"
        state = inert(holder.state or "", 30).lower()
        state = "" if state in ("", "running") else f", {state}"
        slot = f"slice {row.slice}: " if row.slice and row.count == 1 and not row.over else ""
        slot = "beyond its slices: " if row.over else slot
        return f"{slot}{named(holder)}{by}{of_it}{since}{state}"
    if row.slice:
        told = "free" if is_known(gpu) else "not known who holds it"
        return f"slice {row.slice}: {told}" if row.count == 1 else f"{row.count} slices: {told}"
    if gpu.index is None:
        return f"{held(gpu)} slices booked, on a card that nobody names"
    if gpu.slices is None:
        return "how many slices it has is not known"
    how = f" by {inert(gpu.sharing, 20)}" if gpu.sharing else ""
    how += "" if is_counted(gpu) else ", on how many cards nobody says"
    spare = free(gpu)
    left = "not known what is free" if spare is None else f"{spare} free"
    return f"{gpu.slices} slice{'s' * (gpu.slices != 1)}{how}, {held(gpu)} held, {left}"


def when(moment: float, now: float) -> str:
    """`20:14`, or with the day: it stands still, as an age would not."""
    then = time.localtime(moment)
    today = time.localtime(now)[:3] == then[:3]
    return time.strftime("%H:%M" if today else "%m-%d %H:%M", then)


def _findings(row: GpuRow) -> list[Finding]:
    """The holder's own before the card's."""
    mine = row.holder.id if row.holder else None
    found = row.gpu.findings
    return sorted(found, key=lambda f: (mine is None or f.holder != mine, -f.severity))


def _line(finding: Finding) -> Cell:
    means = f": {inert(finding.means)}" if finding.means else ""
    return Cell(inert(finding.text) + means, TONES[finding.severity])


def _wrong(row: GpuRow) -> Iterator[Line]:
    """What wants somebody, and what is about this holder."""
    mine = row.holder.id if row.holder else None
    found = [f for f in _findings(row) if f.severity > 1 or (mine and f.holder == mine)]
    yield from map(_line, found[:FIRST])
    if len(found) > FIRST:
        yield Cell(f"and {len(found) - FIRST} more findings, below (enter)", "warn")


def _worth_knowing(row: GpuRow) -> Iterator[Line]:
    told = list(_wrong(row))
    yield from (line for line in map(_line, _findings(row)) if line not in told)


def _memory(gpu: Gpu) -> Iterator[Line]:
    """How full, what a free slice may ask, who has most of it."""
    if gpu.memory_used_mib is None or not gpu.memory_total_mib:
        return
    used = f"{memory(gpu.memory_used_mib, gpu.memory_total_mib)} used"
    full, told = filled(gpu) > FULL, any(f.kind == "memory-tight" for f in gpu.findings)
    biggest = sorted((h for h in gpu.holders if h.memory_mib), key=lambda h: -(h.memory_mib or 0))
    named = [f"{called(h)} {mib(h.memory_mib)}" for h in biggest[:3]]
    text = f"memory {used}"
    if shares_memory(gpu):
        text = f"slices share memory: {used}"
        if full and not told:
            text += ", the next allocation fails, whoever asks"
        elif free(gpu) and not full:
            left = max(0.0, gpu.memory_total_mib - gpu.memory_used_mib)
            text += f", a free slice may ask at most {mib(left)}"
    elif by_mps(gpu) and gpu.slices:
        text += f", MPS gives a process at most {mib(gpu.memory_total_mib / gpu.slices)}"
    yield Cell(text + (f"; most: {', '.join(named)}" if named else ""), "warn" if full else "")


def _lately(gpu: Gpu, store: Store) -> Iterator[Line]:
    """How long its clocks were held down and by what; how busy it was."""
    limit = gpu.power_limit_w if "power cap" in (gpu.throttle or "") else None
    why = inert(gpu.throttle or "") + (f" ({limit:.0f} W)" if limit else "")
    hours = store.value("prom.gpuhours")
    known = hours if isinstance(hours, GpuHours) else GpuHours()
    told = [text] if (text := _throttled(known, gpu)) else []
    told += [f"now by {why}" if told else f"throttled now by {why}"] if why else []
    bars, since = strip(in_hour(known.util, gpu) or (), 12), "1 h"
    if not bars:
        seen = store.series(series(gpu, "util"))
        bars, since = strip(seen, 24) if len(seen) > 1 else "", "seen from here"
    curve = f"util, {since} {bars}" if bars else ""
    if told or curve:
        text = ", ".join(told) + (" · " if told and curve else "") + curve
        yield Cell(text, "warn" if told else "")


def _throttled(hours: GpuHours, gpu: Gpu) -> str:
    """How much of the hour, of what was seen of it."""
    held, seen = in_hour(hours.throttled, gpu) or (0, 0)
    if held:
        of = "1 h" if seen >= 60 else f"the {seen} min seen"
        return f"throttled {100 * held / seen:.0f} % of {of}"
    held, seen = in_hour(hours.violated, gpu) or (0, 0)
    return f"throttled at times in {held} of {seen} min" if held else ""


def _sources(gpu: Gpu) -> Iterator[Line]:
    """That all say the same, in figures; else each one's own words."""
    counts = dict(gpu.booked)
    words = by_owner(counts)
    if gpu.processes:
        many = len(gpu.processes)
        by = _source(gpu.origin.get("processes", ""))
        words += f"{', ' * bool(words)}{by} {many} process{'es' * (many != 1)}".replace("  ", " ")
    dispute = any(finding.kind in DISPUTES for finding in gpu.findings)
    dispute |= gpu.sources.get("prometheus", "answers") != "answers"
    if not dispute and is_known(gpu) and len(counts) + bool(gpu.processes) > 1:
        yield Cell(f"sources agree: {words}", "dim")
        return
    said = " · ".join(f"{_source(name)}: {inert(text)}" for name, text in gpu.sources.items())
    yield Cell(f"sources: {said}" if said else "no source knows this card", "dim")


def _source(name: str) -> str:
    return SOURCES.get(name) or inert(name, 30)


def _missing(gpu: Gpu) -> Iterator[Line]:
    reasons: dict[str, list[str]] = {}
    for field, why in gpu.na.items():
        reasons.setdefault(why, []).append(_FIELDS.get(field, field))
    for why, fields in reasons.items():
        yield Cell(f"n/a: {', '.join(dict.fromkeys(fields))}: {inert(why)}", "dim")


def _settings(gpu: Gpu, now: float) -> Iterator[Line]:
    told: list[str] = []
    if gpu.power_limit_w is not None:
        ends = [f"{value:.0f}" for value in (gpu.power_min_w, gpu.power_max_w) if value is not None]
        more = [f"default {gpu.power_default_w:.0f}"] if gpu.power_default_w is not None else []
        more += [f"{' to '.join(ends)}"] if len(ends) == 2 else []
        told.append(f"power limit {gpu.power_limit_w:.0f} W" + f" ({', '.join(more)})" * bool(more))
    if gpu.clock_lock_mhz is not None:
        told.append(f"clock locked to {gpu.clock_lock_mhz:.0f} MHz")
    if gpu.clock_max_mhz is not None:
        told.append(f"highest clock {gpu.clock_max_mhz:.0f} MHz")
    if gpu.persistence is not None:
        told.append(f"persistence {'on' if gpu.persistence else 'off'}")
    if gpu.ecc_uncorrected is not None:
        told.append(f"ECC errors {gpu.ecc_uncorrected}")
    if gpu.xid:
        at = f" at {when(gpu.xid_at, now)}" if gpu.xid_at else ""
        told.append(f"last XID {gpu.xid}{at}")
    if told:
        yield " · ".join(told)


def _origin(gpu: Gpu) -> Iterator[Line]:
    """`figures: nvidia-smi; clock: prometheus`."""
    by: dict[str, list[str]] = {}
    for field, source in gpu.origin.items():
        if field in _FIELDS:
            by.setdefault(source, []).append(_FIELDS[field])
    if by:
        most, *others = sorted(by.items(), key=lambda pair: -len(pair[1]))
        text = f"figures: {_source(most[0])}"
        for source, fields in others:
            text += f"; {', '.join(dict.fromkeys(fields))}: {_source(source)}"
        yield Cell(text, "dim")


def _curves(gpu: Gpu, store: Store) -> Iterator[Line]:
    """Of the time that this console watched."""
    tops = {"util": 100.0, "memory": gpu.memory_total_mib or 1.0, "temperature": 100.0,
            "power": gpu.power_limit_w or gpu.power_max_w or 0.0}  # fmt: skip
    for name in FIELDS:
        values = store.series(series(gpu, name))
        known = [value for value in values if value is not None]
        if len(known) > 1:
            yield f"{name:<11} {strip(values, 24, max(tops[name], *known))}"


def _names(row: GpuRow) -> Iterator[Line]:
    gpu = row.gpu
    if row.mig:
        told = (f"MIG instance {row.mig.id}", row.mig.profile, row.mig.uuid)
        yield Cell(" · ".join(inert(word, 80) for word in told if word), "dim")
    driver = f"driver {gpu.driver}" if gpu.driver else None
    told_of_card = [inert(word, 80) for word in (gpu.product, gpu.uuid, driver) if word]
    if told_of_card:
        yield Cell(" · ".join(told_of_card), "dim")
