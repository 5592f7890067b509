"""The cards of one node, from all that is said of it. Pure: the same inputs, the same cards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from labtui.collectors.gpus import FIGURES
from labtui.model import Finding, Gpu, GpuProcess, Holder
from labtui.shares import findings
from labtui.shares.bookings import Gres, of_kubernetes, of_slurm, split
from labtui.shares.figures import Measured, measured
from labtui.shares.inputs import Inputs
from labtui.shares.place import Layout, Lot, Placed, kubernetes_slots, layout, placed
from labtui.shares.strays import Stray, stray
from labtui.text import inert

_TITLE = {"slurm": "Slurm", "kubernetes": "Kubernetes"}
_TOLD_BY = {"smi": "nvidia-smi"}


class Placement(NamedTuple):
    """What lies where on a node: it changes seldom, figures at every poll."""

    key: tuple[Any, ...]
    """All that it is made of."""
    gres: Gres
    layout: Layout
    kube_slots: tuple[int, ...] | None
    placed: Placed


def cards_of(
    inputs: Inputs, now: float, last: Placement | None = None
) -> tuple[list[Gpu], float, Placement]:
    """The cards, by index; last, with index None, what is booked on no card that is known. And
    until when this is so, if nothing else changes. `last` spares work where it still holds."""
    cards = measured(inputs)
    found = _Node(inputs, cards, _placement(inputs, cards, last))
    made = [found.card(at) for at in range(len(cards))]
    waiting = findings.waiting([gpu for gpu, _ in made], [s for _, mine in made for s in mine])
    result, until = [], math.inf
    for card, (gpu, strays), idle in zip(cards, made, waiting, strict=True):
        more = findings.of_card(gpu, strays, idle, now)
        if own := [*card.findings, *found.findings, *more]:
            gpu = structs.replace(gpu, findings=_sorted(own))
        until = min(until, findings.turns(idle, strays, now))
        result.append(gpu)
    if found.placed.rest:
        result.append(found.nowhere())
    return result, until, found.placement


def _placement(inputs: Inputs, cards: Sequence[Measured], last: Placement | None) -> Placement:
    migs = tuple([tuple([m.profile for m in card.mig]) for card in cards])
    gres = inputs.slurm.gres if inputs.slurm else None
    minors = [card.values.get("minor") for card in cards]
    key = (gres, inputs.parts, inputs.kube, inputs.pods, migs, minors, _seen(inputs, cards))
    if last is not None and last.key == key:
        return last
    on = layout(gres, migs, minors) if gres is not None else Layout(None, None)
    gres = gres or Gres()
    bookings = [*of_slurm(inputs.parts, gres), *of_kubernetes(inputs.pods)]
    slots = kubernetes_slots(inputs.kube, migs) if inputs.kube else None
    return Placement(key, gres, on, slots, placed(bookings, on, migs, key[-1]))


def _seen(inputs: Inputs, cards: Sequence[Measured]) -> dict[str, list[int]]:
    """A booking's key -> places of the cards on which its processes or an exporter saw it."""
    found: dict[str, list[int]] = {}
    if len(cards) == 1:
        return found
    for at, card in enumerate(cards):
        for process in card.processes:
            if process.job_id is not None:
                found.setdefault(process.job_id, []).append(at)
            if process.pod_uid is not None:
                found.setdefault(process.pod_uid, []).append(at)
    if inputs.given:
        # The exporter may count in another order: its cards are the same by UUID.
        called = {c.index: c.uuid for s in inputs.sources if s.name == "prom" for c in s.cards}
        places: dict[str | int | None, int] = {card.number: at for at, card in enumerate(cards)}
        places |= {uuid: at for at, card in enumerate(cards) if (uuid := card.values.get("uuid"))}
        for pod, index in inputs.given:
            place = places.get(called.get(index) or index)
            if place is not None:
                found.setdefault(pod, []).append(place)
    return found


def _sorted(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: -finding.severity))


class _Node:
    """What is worked out once for all cards of a node."""

    def __init__(self, inputs: Inputs, cards: Sequence[Measured], placement: Placement) -> None:
        self.inputs, self.cards, self.placement = inputs, cards, placement
        _, self.gres, self.layout, self.kube_slots, self.placed = placement
        self.findings = findings.of_node(inputs)
        self.jobs = sum(
            lot.holder.slices
            for lots in (*self.placed.cards, self.placed.rest)
            for lot in lots
            if lot.booking.owner == "slurm"
        )
        """Slices of the node that Slurm's jobs hold."""
        self.counts = self._counts()
        self.unknown = self._unknown()

    def _counts(self) -> int:
        """GPUs that the node itself counts as given away; as its jobs where it does not count
        them, or wrongly, as 22.05 does where cards are shared."""
        slurm = self.inputs.slurm
        if slurm is None or slurm.counts is None or self.gres.shard or self.gres.mps:
            return self.jobs
        return slurm.counts

    def _unknown(self) -> str | None:
        """Why it is not known who holds what is not seen to be held."""
        cluster, inputs = self.inputs.cluster, self.inputs
        reasons = []
        if inputs.could_slurm and cluster.slurm_why is not None:
            reasons.append(cluster.slurm_why)
        elif self.counts > self.jobs and cluster.nodes_why is None:
            reasons.append(f"slurm: the node counts {self.counts}, the jobs seen hold {self.jobs}")
        for job in split(inputs.parts):
            reasons.append(f"slurm: how much of job {inert(job, 40)} is on which node is not told")
        if inputs.could_kubernetes and cluster.kubernetes_why is not None:
            reasons.append(cluster.kubernetes_why)
        elif inputs.unread is not None:
            reasons.append(f"kubernetes: {inputs.unread}")
        kube, full = inputs.kube, sum(self.kube_slots or ())
        if kube is not None and kube.slices and not kube.mig and full > kube.slices:
            reasons.append(f"Kubernetes gives {kube.slices} of {full} slices: not known where")
        owners = dict.fromkeys(_TITLE[lot.booking.owner] for lot in self.placed.rest)
        if owners:
            names = " and ".join(owners)
            reasons.append(f"{names} {'do' if len(owners) > 1 else 'does'} not say on which card")
        return "; ".join(reasons) or None

    def card(self, at: int) -> tuple[Gpu, list[Stray]]:
        card, lots = self.cards[at], self.placed.cards[at]
        capacity = self._capacity(at, lots)
        slices = max((len(card.mig), *capacity.values())) if capacity or card.mig else None
        booked = _booked(lots)
        na = card.na
        if slices is None or self.unknown:
            na = dict(na)
            if slices is None:
                na["slices"] = self._no_slices()
            if self.unknown:
                na["holders"] = self.unknown
        holders, strays = self._holders(card, lots)
        return Gpu(
            node=self.inputs.name,
            index=card.number,
            slices=slices,
            holders=holders,
            sources=self._sources(capacity, booked) | card.said,
            na=na,
            origin=card.origin,
            sharing=self._sharing(card, capacity),
            booked=booked,
            capacity=capacity,
            processes=card.processes,
            mig=card.mig,
            **card.values,
        ), strays

    def nowhere(self) -> Gpu:
        """What is booked on the node, and on no card that anybody names."""
        reason = "not one card: nobody says which"
        booked = _booked(self.placed.rest)
        gpu = Gpu(
            node=self.inputs.name,
            index=None,
            holders=tuple(lot.holder for lot in self.placed.rest),
            booked=booked,
            sources=self._sources({}, booked),
            na=dict.fromkeys((*FIGURES, "slices", "processes"), reason),
        )
        return structs.replace(gpu, findings=(findings.unplaced(gpu),))

    def _capacity(self, at: int, lots: Sequence[Lot]) -> dict[str, int]:
        found: dict[str, int] = {}
        if self.inputs.slurm is not None and self.layout.slots is not None:
            found["slurm"] = self.layout.slots[at]
            if self.gres.mps and not self.gres.shard:
                found["slurm"] = self._parts_of_mps(lots)
        if self.kube_slots is not None:
            found["kubernetes"] = self.kube_slots[at]
        return found

    def _parts_of_mps(self, lots: Sequence[Lot]) -> int:
        """One part a holder, and one more where anything is left."""
        mine = [lot for lot in lots if lot.booking.owner == "slurm"]
        left = self.gres.mps // max(1, self.gres.gpu) - sum(lot.booking.percent for lot in mine)
        alone = any(lot.booking.whole for lot in mine)
        return sum(lot.holder.slices for lot in mine) + (left > 0 and not alone)

    def _no_slices(self) -> str:
        cluster, count = self.inputs.cluster, len(self.cards)
        if self.inputs.slurm is not None:
            if self.gres.shard:
                return f"{self.gres.shard} shards of {self.gres.gpu} gres on {count} cards"
            return f"{self.gres.gpu} gres on {count} cards"
        if self.inputs.kube is not None:
            return f"{self.inputs.kube.slices} slices of Kubernetes on {count} cards"
        if cluster.slurm:
            return cluster.nodes_why or "no gres"
        if cluster.kubernetes:
            return cluster.kube_nodes_why or "Kubernetes has no GPU here"
        return "no scheduler is configured"

    def _sharing(self, card: Measured, capacity: Mapping[str, int]) -> str | None:
        if card.cut:
            return "mig"
        kube = self.inputs.kube
        if self.gres.shard:
            return "shard"
        if self.gres.mps:
            return "mps"
        if kube is not None and kube.sharing and kube.sharing != "none":
            return kube.sharing
        if "sharing" in card.na:
            return None
        if capacity.get("kubernetes", 0) > 1:
            return "time-slicing"
        return "gres" if capacity.get("slurm", 0) > 1 else None

    def _sources(self, capacity: Mapping[str, int], booked: Mapping[str, int]) -> dict[str, str]:
        cluster, inputs = self.inputs.cluster, self.inputs
        found: dict[str, str] = {}
        for owner, there, could, why, none in (
            ("slurm", cluster.slurm, inputs.could_slurm, cluster.slurm_why, "no gres here"),
            ("kubernetes", cluster.kubernetes, inputs.could_kubernetes, cluster.kubernetes_why,
             "no GPU of its own here"),
        ):  # fmt: skip
            if not there:
                continue
            if not could:
                found[owner] = none
            elif why is not None:
                found[owner] = why.removeprefix(f"{owner}: ")
            else:
                of = f" of {capacity[owner]}" if owner in capacity else ""
                found[owner] = f"{booked.get(owner, 0)}{of} held"
        if self.counts != self.jobs and self.inputs.cluster.slurm_why is None:
            where = "" if len(self.cards) == 1 else f" and its jobs hold {self.jobs}"
            found["slurm"] += f", but the node counts {self.counts}{where}"
        return found

    def _holders(
        self, card: Measured, lots: Sequence[Lot]
    ) -> tuple[tuple[Holder, ...], list[Stray]]:
        """The bookings with their processes, then processes that belong to none of them."""
        if not card.processes:
            return tuple(lot.holder for lot in lots), []
        by_key: dict[str | None, int] = {}
        for at, lot in enumerate(lots):
            for key in lot.booking.keys:
                by_key.setdefault(key, at)
        mine: dict[int, list[GpuProcess]] = {}
        bare: dict[int, list[GpuProcess]] = {}
        strays: list[Stray] = []
        for process in card.processes:
            place = by_key.get(process.job_id) if process.job_id else None
            if place is None and process.pod_uid:
                place = by_key.get(process.pod_uid)
            if place is not None:
                mine.setdefault(place, []).append(process)
                continue
            if process.pid not in bare and self._schedulers:
                strays.append(stray(process, self.inputs, self.cards, self.placed))
            bare.setdefault(process.pid, []).append(process)
        holders = [
            _using(lot.holder, mine[at]) if at in mine else lot.holder
            for at, lot in enumerate(lots)
        ]
        told_by = card.origin.get("processes", "")
        for pid, processes in bare.items():
            one = processes[0]
            source = _TOLD_BY.get(told_by, told_by)
            alone = Holder(
                kind="process", id=str(pid), name=one.name, slices=0, source=source,
                since=one.since, user=one.user,
            )  # fmt: skip
            holders.append(_using(alone, processes))
        return tuple(holders), strays

    @property
    def _schedulers(self) -> bool:
        return self.inputs.cluster.slurm or self.inputs.cluster.kubernetes


def _booked(lots: Sequence[Lot]) -> dict[str, int]:
    found: dict[str, int] = {}
    for lot in lots:
        owner = lot.booking.owner
        found[owner] = found.get(owner, 0) + lot.holder.slices
    return found


def _using(holder: Holder, processes: Sequence[GpuProcess]) -> Holder:
    """With their pids, and their memory where it is told of each."""
    memory = [p.memory_mib for p in processes if p.memory_mib is not None]
    return structs.replace(
        holder,
        pids=tuple(dict.fromkeys(p.pid for p in processes)),
        memory_mib=sum(memory) if len(memory) == len(processes) else None,
    )
