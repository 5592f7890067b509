"""One card from all that measure it: each figure from the best source that is fresh.

Best is what asks the card itself (nvml, smi, jetson), then what asked it some seconds ago (prom).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import structs

from labtui.collectors.gpus import FIGURES
from labtui.model import Finding, Gpu, GpuProcess, KubeNode, MigInstance
from labtui.shares.bookings import Gres
from labtui.shares.inputs import Inputs, Source
from labtui.sources.gpufigures import CANNOT_BE, LIMITS, possible
from labtui.text import inert, mib

LASTING = ("memory_total_mib", "product", "uuid", "minor", "driver", "power_default_w",
           "power_min_w", "power_max_w", "clock_max_mhz")  # fmt: skip
"""What a card does not change by the second: kept of a source that is silent."""
FIELDS = (
    *FIGURES, *(f for f in LASTING if f not in FIGURES), "throttle", "xid", "xid_at",
    "clock_lock_mhz", "power_limit_w", "persistence", "ecc_uncorrected",
)  # fmt: skip
_RANGES = [(field, *LIMITS[field]) for field in FIGURES]
_all = attrgetter(*FIELDS)

_SEES_PROCESSES = ("nvml", "smi")
NO_PROCESSES = "no source here tells processes"

Part = tuple[Source, Gpu]


class Measured(NamedTuple):
    """A card as it is, whoever holds it."""

    number: int
    """Its index on the node."""
    values: dict[str, Any]
    origin: dict[str, str]
    na: dict[str, str]
    said: dict[str, str]
    """Source -> what it says, for `Gpu.sources`."""
    cut: bool
    """MIG is on."""
    processes: tuple[GpuProcess, ...]
    mig: tuple[MigInstance, ...]
    findings: list[Finding]


def measured(inputs: Inputs) -> list[Measured]:
    """Every card that a source knows; where none does, those that the schedulers count, or one
    that stands for all."""
    cards, clashes = lined_up(inputs.sources)
    if not cards:
        count = _told(inputs)
        return [_unmeasured(inputs, at, count is None) for at in range(count or 1)]
    found = [_merged(index, cards[index], inputs) for index in sorted(cards)]
    for index, finding in clashes:
        found[sorted(cards).index(index)].findings.append(finding)
    return found


def _told(inputs: Inputs) -> int | None:
    """How many cards there are where none is measured. Of several devices of a gres, or slices of
    Kubernetes without its labels, each may be a card, or all of them one."""
    kube, gres = inputs.kube, inputs.slurm.gres if inputs.slurm else Gres()
    if kube is not None and kube.cards:
        return min(kube.cards, 64)
    if gres.gpu and (gres.shard or gres.mps):
        return min(gres.gpu, 64)
    return 1 if _devices(inputs) <= 1 else None


def _devices(inputs: Inputs) -> int:
    """The most of them that a scheduler counts."""
    kube, slurm = inputs.kube, inputs.slurm
    given = 0 if kube is None else (kube.slices or 0) + sum(kube.mig.values())
    return max(given, (kube.capacity or 0) if kube else 0, slurm.gres.gpu if slurm else 0)


def lined_up(
    sources: Sequence[Source],
) -> tuple[dict[int, list[Part]], list[tuple[int, Finding]]]:
    """Each source's cards beside the same cards of the others: by UUID, else by index. A card
    that cannot be told from another, or that claims its place, is a finding and not shown."""
    cards: dict[int, list[Part]] = {}
    by_uuid: dict[str, int] = {}
    clashes: list[tuple[int, Finding]] = []
    for source in sources:
        uuids = [card.uuid for card in source.cards]
        unique = len(set(uuids)) == len(uuids)
        for place, card in enumerate(source.cards):
            uuid = card.uuid if unique or uuids.count(card.uuid) == 1 else None
            at = by_uuid.get(uuid) if uuid else None
            if at is None:
                at = place if card.index is None else card.index
            there = cards.setdefault(at, [])
            if there:
                if there[-1][0] is source:
                    clashes.append((at, _clash(source, card, there[-1])))
                    continue
                if uuid and any(c.uuid and c.uuid != uuid for _, c in there):
                    if source.why is None:
                        clashes.append((at, _clash(source, card, there[0])))
                    continue
            there.append((source, card))
            if uuid:
                by_uuid.setdefault(uuid, at)
    return cards, clashes


def _clash(source: Source, card: Gpu, other: Part) -> Finding:
    return Finding(
        kind="card-unknown",
        severity=2,
        text=f"{source.name} calls {_uuid(card)} what {other[0].name} calls {_uuid(other[1])}",
        means="one of them is of another machine, or was read before a card was changed",
    )


def _uuid(card: Gpu) -> str:
    return inert(card.uuid, 64) if card.uuid else f"card {card.index}"


def waits(inputs: Inputs) -> str:
    """Why a card of this node has no figures."""
    cluster = inputs.cluster
    local = [s for s in inputs.sources if s.name != "prom"]
    if local:
        return local[-1].why or f"{local[-1].name}: no such card"
    if cluster.prom_waits is not None:
        return cluster.prom_waits
    return "exporter down" if inputs.up is False else "prom: no GPU series of this node"


def _said(source: Source, card: Gpu | None) -> str:
    if source.why is not None:
        return source.why.partition(": ")[2]
    if card is None:
        return "does not know this card"
    if source.name not in _SEES_PROCESSES:
        return "answers"
    if "processes" in card.na:
        return card.na["processes"].removeprefix(f"{source.name}: ")
    pids = list(dict.fromkeys(p.pid for p in card.processes))
    if not pids:
        return "no process"
    listed = ", ".join(map(str, pids[:4])) + (", ..." if len(pids) > 4 else "")
    return f"{len(pids)} process{'es'[: 2 * (len(pids) > 1)]} (pids {listed})"


def _all_said(inputs: Inputs, parts: Sequence[Part]) -> dict[str, str]:
    of = {source.name: card for source, card in parts}
    said = {
        "prometheus" if s.name == "prom" else s.name: _said(s, of.get(s.name))
        for s in inputs.sources
    }
    if inputs.cluster.prom and "prometheus" not in said:
        text = inputs.cluster.prom_waits
        if text is None:
            text = "exporter down" if inputs.up is False else "no GPU series of this node"
        said["prometheus"] = text.removeprefix("prom: ")
    return said


def _unmeasured(inputs: Inputs, index: int, stands_for_all: bool) -> Measured:
    reason = waits(inputs)
    values = _labelled(inputs.kube)
    na = {field: reason for field in FIGURES if field not in values}
    na["processes"] = reason if inputs.sources else NO_PROCESSES
    origin = dict.fromkeys(values, "kubernetes")
    findings = []
    if stands_for_all:
        na |= dict.fromkeys(("index", "sharing"), "nobody says how many cards there are")
        findings.append(Finding(
            kind="card-unknown", severity=1,
            text=f"{_devices(inputs)} devices, and nobody says how many cards that is",
            means="what measures them would tell: an exporter, or [gpu] smi or nvml",
        ))  # fmt: skip
    return Measured(index, values, origin, na, _all_said(inputs, ()), False, (), (), findings)


def _labelled(node: KubeNode | None) -> dict[str, Any]:
    """What GPU feature discovery has written on the node: of one of its cards, of which nobody
    says. `-SHARED` is no part of a product's name, `-MIG-` and what follows its instance's."""
    if node is None:
        return {}
    product, _, instance = (node.product or "").removesuffix("-SHARED").partition("-MIG-")
    told = {
        "product": inert(product, 64) or None,
        "memory_total_mib": None if instance or not node.memory_mib else float(node.memory_mib),
    }
    return {field: value for field, value in possible(told, {}, "").items() if value is not None}


def _merged(index: int, parts: Sequence[Part], inputs: Inputs) -> Measured:
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    na: dict[str, str] = {}
    processes: tuple[GpuProcess, ...] = ()
    mig: tuple[MigInstance, ...] = ()
    seen = None
    findings: list[Finding] = []
    told: list[tuple[str, dict[str, Any], dict[str, str]]] = []
    now = [part for part in parts if part[0].why is None]
    for source, card in now:
        name = source.name
        mine, why = _possible(source, card)
        told.append((name, mine, why))
        if len(told) == 1:
            values, na = mine.copy() if len(now) > 1 else mine, dict(why)
            origin = {field: name for field, value in mine.items() if value is not None}
        else:
            _fill(values, origin, na, name, mine, why)
            if mine["xid"] is None and "xid" not in why:
                na.pop("xid", None)  # it looked, and saw none
        if card.findings:
            findings += card.findings
        mig = mig or card.mig
        if seen is None and name in _SEES_PROCESSES and "processes" not in card.na:
            seen, processes = name, card.processes
    for source, card in parts:
        if source.why is not None:
            mine, _ = _possible(source, card)
            mine = {field: mine[field] for field in LASTING}
            why = dict.fromkeys(FIGURES, source.why) | {"processes": source.why}
            _fill(values, origin, na, source.name, mine, why)
            mig = mig or tuple(_blank(instance) for instance in card.mig)
    _fill(values, origin, na, "kubernetes", _labelled(inputs.kube), {})
    if (over := _over(values)) is not None:  # of one source beside the total of another
        values["memory_used_mib"] = None
        na["memory_used_mib"] = f"{origin.pop('memory_used_mib')} says {over}"
    if seen is not None:
        origin["processes"] = seen
        na.pop("processes", None)
    else:
        silent = (s.why for s in inputs.sources if s.why and s.name in _SEES_PROCESSES)
        na.setdefault("processes", next(silent, NO_PROCESSES))
    for field in FIGURES:
        if values.get(field) is None and field not in na:
            na[field] = f"{parts[0][0].name}: not told"
    wrong = [f"{_word(f)}: {why}" for _, _, all_ in told for f, why in all_.items()
             if why.endswith(CANNOT_BE)]  # fmt: skip
    if over is not None:
        wrong.append(f"memory: {na['memory_used_mib']}")
    if wrong:
        findings.append(Finding(
            kind="impossible", severity=1, text="; ".join(wrong),
            means="such samples are left out; if they stay, its driver or exporter is at fault",
        ))  # fmt: skip
    if len(told) > 1:
        findings += _differ([(name, mine) for name, mine, _ in told])
    cut = bool(mig) or any(card.sharing == "mig" for _, card in parts)
    said = _all_said(inputs, parts)
    for _, card in now:
        if card.sources:
            said = said | card.sources
    return Measured(index, values, origin, na, said, cut, processes, mig, findings)


def _possible(source: Source, card: Gpu) -> tuple[dict[str, Any], dict[str, str]]:
    """What a source says of a card, without what cannot be."""
    values = dict(zip(FIELDS, _all(card), strict=True))
    na = card.na
    for field, low, high in _RANGES:
        value = values[field]
        if value is not None and not low <= value <= high:
            values[field] = None
            na = na | {field: f"{source.name} says {value:g}: {CANNOT_BE}"}
    if (why := _over(values)) is not None:
        values["memory_used_mib"] = None
        na = na | {"memory_used_mib": f"{source.name} says {why}"}
    return values, na


def _over(values: dict[str, Any]) -> str | None:
    used, total = values.get("memory_used_mib"), values.get("memory_total_mib")
    if used is None or total is None or used <= total:
        return None
    return f"{used:g} of {total:g} MiB: {CANNOT_BE}"


def _fill(
    values: dict[str, Any],
    origin: dict[str, str],
    na: dict[str, str],
    source: str,
    mine: dict[str, Any],
    why: dict[str, str],
) -> None:
    """What a better source did not tell. No throttling is something told, unless `na` has it."""
    for field in [f for f in FIELDS if values.get(f) is None]:
        value = mine.get(field)
        if value is None:
            continue
        if field == "throttle" and values and field not in na:
            continue
        values[field], origin[field] = value, source
        na.pop(field, None)
    for field, reason in why.items():
        if values.get(field) is None:
            na.setdefault(field, reason)


def _blank(instance: MigInstance) -> MigInstance:
    return structs.replace(instance, memory_used_mib=None, util_percent=None)


def _word(field: str) -> str:
    return field.rpartition("_")[0] or field


def _differ(told: Sequence[tuple[str, dict[str, Any]]]) -> list[Finding]:
    """Where two sources that are both fresh differ by more than noise."""
    found = []
    (best, first), others = told[0], told[1:]
    for name, second in others:
        total = first["memory_total_mib"]
        for words, field, noise, show in (
            ("memory in use", "memory_used_mib", (total or 0) / 10, mib),
            ("memory", "memory_total_mib", (total or 0) / 10, mib),
            ("temperature", "temperature_c", 10, lambda value: f"{value:.0f} C"),
        ):
            mine, other = first[field], second[field]
            if mine is None or other is None or not noise or abs(mine - other) <= noise:
                continue
            found.append(Finding(
                kind="count-differs", severity=1,
                text=f"{words}: {best} says {show(mine)}, {name} {show(other)}",
                means=f"{name} is late or serves old values; {best} asks the card itself",
            ))  # fmt: skip
        mine, other = first["driver"], second["driver"]
        if mine and other and mine != other:
            found.append(Finding(
                kind="driver", severity=2,
                text=f"driver: {best} says {inert(mine, 40)}, {name} {inert(other, 40)}",
                means="the driver was upgraded under one of them: start that one again",
            ))  # fmt: skip
    return found
