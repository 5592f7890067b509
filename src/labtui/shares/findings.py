"""What is wrong with a card, or what its sources do not agree on: each in a line, and what it
probably means in another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from labtui.model import Finding, Gpu, Holder
from labtui.shares import room, xid
from labtui.shares.inputs import Inputs
from labtui.shares.place import held
from labtui.shares.strays import Stray
from labtui.text import inert

HOT_C, TOO_HOT_C = 85.0, 92.0
IDLE_S = 600.0
"""Seconds after which a booking without a process is told."""
NEW_S = 15.0
"""Seconds that a process may be older than what its scheduler was last asked."""
LITTLE_MIB = 512.0
"""Less than this a process takes that only draws a desktop."""

_HELD_DOWN = {
    "power cap": (1, "it is at its power limit; usual under full load"),
    "application clocks": (1, "somebody set its clocks (nvidia-smi -lgc or -ac)"),
    "hardware slowdown": (2, "its own protection against heat or power: look at both"),
    "sync boost": (1, "it keeps pace with a slower card of its group"),
    "too hot (software)": (2, "the cooling does not keep up"),
    "too hot (hardware)": (2, "the cooling does not keep up: the clocks are halved or worse"),
    "power brake": (2, "the machine's power supply asked for it"),
    "display clocks": (1, "a display sets its clocks"),
}
"""Reason (sources/nvml.py) -> severity and what it means."""


class Waiting(NamedTuple):
    """One that booked a card and runs nothing on it."""

    holder: Holder
    busy: tuple[int, ...]
    """Other cards of the node that it booked and uses."""


def of_node(inputs: Inputs) -> list[Finding]:
    """What holds for all cards of a node."""
    found: list[Finding] = []
    kube = inputs.kube
    if kube is not None:
        if kube.twin is not None:
            found.append(_finding(
                "source", 2, f"Kubernetes: this node tells the address of {inert(kube.twin, 60)}",
                "it was left behind when that machine joined anew: `kubectl delete node` ends it",
            ))  # fmt: skip
        if kube.ready is False:
            found.append(_finding(
                "source", 2, "Kubernetes: the node is not ready",
                "its kubelet is silent: pods there are not looked after, and move",
            ))  # fmt: skip
        if kube.unschedulable:
            found.append(_finding(
                "source", 1, "Kubernetes: the node is cordoned",
                "no new pod comes here; Slurm's jobs still do",
            ))  # fmt: skip
        whole = max((kube.cards or 0) * (kube.replicas or 1), kube.capacity or 0)
        if whole and not kube.slices and not kube.mig:
            found.append(_finding(
                "source", 2, f"Kubernetes: 0 of {whole} slices can be given",
                "the device plug-in is gone, starts anew, or finds no healthy card",
            ))  # fmt: skip
        elif kube.slices and not kube.mig and kube.slices < whole:
            found.append(_finding(
                "source", 2, f"Kubernetes gives {kube.slices} of {whole} slices",
                "a card is unhealthy, or the device plug-in starts anew: its log says which",
            ))  # fmt: skip
    if inputs.up is False:
        found.append(_finding(
            "source", 2, "its GPU exporter is down", "Prometheus cannot reach it: start it there"
        ))  # fmt: skip
    for source in inputs.sources:
        if "driver and library differ" in source.fault:
            found.append(_finding(
                "driver", 2, f"{source.name}: driver and library differ in version",
                "the driver was upgraded under what runs: reboot, or reload it between jobs",
            ))  # fmt: skip
        elif "fallen off the bus" in source.fault:
            found.append(_finding(
                "lost", 3, f"{source.name}: a card has fallen off the bus",
                "what runs on it fails; the machine has to be rebooted",
            ))  # fmt: skip
    counts = {s.name: len(s.cards) for s in inputs.sources if s.why is None}
    if kube is not None and kube.cards is not None:
        counts["kubernetes"] = kube.cards
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in counts.items())
        found.append(_finding(
            "count-differs", 2, f"number of cards: {said}",
            "a card was lost or added, or one of them has not looked since",
        ))  # fmt: skip
    return found


def _finding(kind: str, severity: int, text: str, means: str, holder: str | None = None) -> Finding:
    return Finding(
        kind=kind, severity=severity, text=text, means=means, holder=holder  # type: ignore[arg-type]
    )  # fmt: skip


def of_card(
    gpu: Gpu, strays: Sequence[Stray], waiting: Sequence[Waiting], now: float
) -> list[Finding]:
    """What holds for one card, beside what its sources and its node had to say."""
    found: list[Finding] = []
    slices, taken = gpu.slices, held(gpu)
    if slices is not None and taken > slices:
        owners = [f"{owner} {n}" for owner, n in gpu.booked.items() if n]
        means = "the schedulers do not know of each other; the card is shared by more than planned"
        if len(owners) == 1:
            means = "it was cut anew under what runs, or its scheduler counts other slices"
        text = f"{taken} slices booked of {slices}: {', '.join(owners)}"
        found.append(_finding("overbooked", 2, text, means))
    given = {n for n in gpu.capacity.values() if n}
    if len(given) > 1 and gpu.sharing != "mps":
        said = ", ".join(f"{owner} {n}" for owner, n in gpu.capacity.items())
        found.append(_finding(
            "count-differs", 1, f"slices: {said}",
            "each cuts the card as it likes; the larger number is shown",
        ))  # fmt: skip
    if strays:
        found += _strays(gpu, [s for s in strays if (s.process.since or 0.0) + NEW_S < now])
    found += [_idle(w) for w in waiting if (w.holder.since or 0.0) + IDLE_S < now]
    celsius = gpu.temperature_c
    if celsius is not None and celsius >= HOT_C:
        found.append(_finding(
            "hot", 3 if celsius >= TOO_HOT_C else 2, f"{celsius:.0f} C",
            "it slows down by itself, then switches off: look at fans, air and its neighbours",
        ))  # fmt: skip
    if gpu.throttle:
        reasons = [_HELD_DOWN.get(word, (1, "")) for word in gpu.throttle.split(", ")]
        found.append(_finding(
            "throttled", max(severity for severity, _ in reasons),
            f"clocks held down: {gpu.throttle}",
            "; ".join(dict.fromkeys(words for _, words in reasons if words)),
        ))  # fmt: skip
    if gpu.xid:
        severity, what, means = xid.explained(gpu.xid)
        found.append(_finding("xid", severity, f"XID {gpu.xid}: {what}", means))
    if gpu.ecc_uncorrected:
        s = "s" if gpu.ecc_uncorrected > 1 else ""
        found.append(_finding(
            "ecc", 2, f"{gpu.ecc_uncorrected} memory error{s} that ECC could not mend", xid.RESET
        ))  # fmt: skip
    if (tight := room.tight(gpu)) is not None:
        found.append(tight)
    return found


def unplaced(gpu: Gpu) -> Finding:
    taken = held(gpu)
    what = "1 slice is" if taken == 1 else f"{taken} slices are"
    return _finding(
        "card-unknown", 1, f"{what} booked here, nobody says on which card",
        "Kubernetes tells no devices, Slurm only those that have files; processes would show it",
    )  # fmt: skip


def waiting(cards: Sequence[Gpu], strays: Sequence[Stray]) -> list[list[Waiting]]:
    """Those that booked a card of this node and run nothing there, card by card, where whoever
    works can be seen. Of one that took another card instead that one tells."""
    astray = {id for stray in strays for id in stray.holders}
    at: dict[str, list[int]] = {}
    for gpu in cards:
        for holder in gpu.holders:
            if holder.slices and holder.pids and gpu.index is not None:
                at.setdefault(holder.id, []).append(gpu.index)
    found: list[list[Waiting]] = []
    for gpu in cards:
        mine = [] if room.unseen(gpu) else gpu.holders
        found.append([
            Waiting(h, tuple(on)) for h in mine
            if h.slices and h.since is not None and h.state != "COMPLETING"
            and h.id not in astray and gpu.index not in (on := at.get(h.id, ()))
        ])  # fmt: skip
    return found


def turns(waiting: Sequence[Waiting], strays: Sequence[Stray], now: float) -> float:
    """When the next of them has waited long enough to be called idle, or astray."""
    moments = [(w.holder.since or 0.0) + IDLE_S for w in waiting]
    moments += [(s.process.since or 0.0) + NEW_S for s in strays]
    return min((at for at in moments if at >= now), default=math.inf)


def _idle(waiting: Waiting) -> Finding:
    holder, busy = waiting
    what = "a slice" if holder.slices == 1 else f"{holder.slices} slices"
    text = f"{room.named(holder)} holds {what}, but runs nothing on it"
    means = "for more than 10 minutes: it waits, hangs, or never meant to use the card"
    if busy:
        text += f", only on card {', '.join(map(str, busy))}"
        means = "for more than 10 minutes: it works, on fewer cards than it booked"
    return _finding("idle-slice", 1, text, means, holder.id)


def _strays(gpu: Gpu, strays: Sequence[Stray]) -> list[Finding]:
    groups: dict[tuple[str | None, bool], list[Stray]] = {}
    for stray in strays:
        unseen = stray.owner is None and stray.process.since is None
        groups.setdefault((stray.owner, unseen), []).append(stray)
    found = []
    for (owner, unseen), mine in groups.items():
        one = mine[0]
        pids = ", ".join(str(s.process.pid) for s in mine[:4]) + (", ..." if mine[4:] else "")
        pids = f"pid{'s' if len(mine) > 1 else ''} {pids}"
        if owner is not None and one.elsewhere:
            where = ", ".join(str(i) for i in one.elsewhere if i is not None)
            booked = f"but booked card {where}" if where else "beyond what it booked"
            means = "it set CUDA_VISIBLE_DEVICES itself, or nothing keeps it to its devices"
            if one.reordered:
                means += ", or Slurm counts the cards in another order"
            found.append(_finding(
                "unknown-process", 2, f"{owner} runs on card {gpu.index} {booked} ({pids})",
                means, str(one.process.pid),
            ))  # fmt: skip
        elif not one.known:
            continue
        elif owner is not None:
            found.append(_finding(
                "unknown-process", 2, f"{pids}: of {owner}, which holds no slice here",
                "it is over and left them, or took a card that it did not ask for",
                str(one.process.pid),
            ))  # fmt: skip
        elif unseen:
            found.append(_finding(
                "unknown-process", 1, f"{pids}: whose they are cannot be seen",
                "of another container, or /proc is hidden from this user", str(one.process.pid),
            ))  # fmt: skip
        else:
            little = all((s.process.memory_mib or LITTLE_MIB) < LITTLE_MIB for s in mine)
            name = f" {inert(one.process.name, 40)}" if one.process.name else ""
            user = f" of {inert(one.process.user, 32)}" if one.process.user else ""
            found.append(_finding(
                "unknown-process", 1 if little else 2,
                f"{pids}{name}{user}: no scheduler knows it",
                "started by hand or by a container; it takes memory from every slice",
                str(one.process.pid),
            ))  # fmt: skip
    return found
