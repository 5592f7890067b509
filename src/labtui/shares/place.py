"""On which card a booking lies, and in which of its slots.

Slurm tells devices, Kubernetes tells none: a pod's card is known by its processes, by what DCGM
says of it, or because the node has one card. What nobody can place is kept apart, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from labtui.model import Gpu, Holder, KubeNode, MigInstance
from labtui.shares.bookings import MOST, Booking, Gres

Mig = tuple[str | None, ...]
"""The profiles of a card's instances; empty where it has none."""


class Layout(NamedTuple):
    """How Slurm's devices of a node lie on its cards."""

    devices: tuple[tuple[int, int], ...] | None
    """Device -> (place of its card among the node's, its first slot there); None: not known."""
    slots: tuple[int, ...] | None
    """Card -> slices that Slurm has there."""


class Lot(NamedTuple):
    """What of a booking lies on one card, or on none that is known."""

    booking: Booking
    holder: Holder


class Placed(NamedTuple):
    cards: tuple[list[Lot], ...]
    rest: list[Lot]


def layout(gres: Gres, cards: Sequence[Mig], minors: Sequence[int | None] = ()) -> Layout:
    """n devices on c cards are n/c a card, in order; with MIG they are the instances. Slurm's order
    is that of the device files: the cards' minor numbers, where all of them are known."""
    order = sorted(range(len(minors)), key=lambda at: minors[at] or 0)
    if None not in minors and order != list(range(len(minors))):
        devices, slots = layout(gres, [cards[at] for at in order])
        return Layout(
            devices and tuple((order[at], slot) for at, slot in devices),
            slots and tuple(slots[order.index(at)] for at in range(len(order))),
        )
    count = len(cards)
    if any(cards):
        sizes = [len(mig) or 1 for mig in cards]
        if sum(sizes) == gres.gpu and not gres.shard:
            mine = tuple((at, slot) for at, size in enumerate(sizes) for slot in range(size))
            return Layout(mine, tuple(sizes))
    gpus = gres.gpu or (count if gres.shard or gres.mps else 0)
    if gpus % count:
        return Layout(None, None)
    per, each = gpus // count, gres.per_gpu
    if gres.shard and gres.shard % gpus:
        return Layout(tuple((at // per, 0) for at in range(gpus)), None)
    even = tuple((at // per, at % per * each) for at in range(gpus))
    return Layout(even, (per * each,) * count)


def kubernetes_slots(node: KubeNode, cards: Sequence[Mig]) -> tuple[int, ...] | None:
    """Card -> slices that Kubernetes has there; None where they cannot be told apart. More in all
    than it gives now: one of the cards has none, and nobody says which."""
    whole, parts, count = min(node.slices or 0, MOST), sum(node.mig.values()), len(cards)
    if parts:
        if (found := _of_profiles(node.mig, whole, cards)) is not None:
            return found
    elif any(cards):
        sizes = [len(mig) or 1 for mig in cards]
        if whole % sum(sizes) == 0:
            return tuple(size * whole // sum(sizes) for size in sizes)
    elif whole and count > 1:
        for full in ((node.replicas or 0) * count, node.capacity or 0):
            if full >= whole and full % count == 0:
                return (min(full // count, MOST),) * count
    total = whole + min(parts, MOST)
    return (total // count,) * count if total % count == 0 else None


def _of_profiles(
    given: Mapping[str, int], whole: int, cards: Sequence[Mig]
) -> tuple[int, ...] | None:
    """All instances of a profile are shared into as many; cards without MIG are given whole."""
    there = Counter(f"mig-{profile}" for mig in cards for profile in mig)
    bare = sum(not mig for mig in cards)
    if any(n % there[profile] if there[profile] else n for profile, n in given.items()):
        return None
    if whole and (not bare or whole % bare):
        return None
    each = {profile: min(n, MOST) // there[profile] for profile, n in given.items() if n}
    return tuple(
        sum(each.get(f"mig-{profile}", 0) for profile in mig) if mig else whole // (bare or 1)
        for mig in cards
    )


def placed(
    bookings: Sequence[Booking],
    layout: Layout,
    cards: Sequence[Mig],
    seen: Mapping[str, Sequence[int]],
) -> Placed:
    """Every slice of every booking, once. `seen`: a booking's key -> cards it was seen on."""
    found = Placed(tuple([] for _ in cards), [])
    for booking in bookings:
        left = booking.holder.slices
        for at, slices, indexes in _where(booking, layout, cards, seen):
            found.cards[at].append(Lot(booking, _part(booking.holder, slices, indexes)))
            left -= slices
        if left:
            found.rest.append(Lot(booking, _part(booking.holder, left, ())))
    return found


def _part(holder: Holder, slices: int, indexes: tuple[int, ...]) -> Holder:
    if slices == holder.slices and not indexes:
        return holder
    return msgspec.structs.replace(holder, slices=slices, indexes=indexes)


def _where(
    booking: Booking, layout: Layout, cards: Sequence[Mig], seen: Mapping[str, Sequence[int]]
) -> list[tuple[int, int, tuple[int, ...]]]:
    """(card, slices, which of them): never more slices than it has."""
    devices, slices = layout.devices, booking.holder.slices
    if booking.where and devices and all(device < len(devices) for device, _ in booking.where):
        amounts: dict[int, int] = {}
        slots: dict[int, list[int]] = {}
        for device, amount in booking.where:
            at, first = devices[device]
            amounts[at] = amounts.get(at, 0) + amount
            if booking.whole and layout.slots:
                slots.setdefault(at, []).extend(range(first, first + amount))
        return [(at, amount, tuple(slots.get(at, ()))) for at, amount in amounts.items()]
    if len(cards) == 1:
        return [(0, slices, ())]
    on = sorted({at for key in booking.keys for at in seen.get(key or "", ())})
    if booking.profile:
        fitting = [at for at, mig in enumerate(cards) if booking.profile in mig]
        if len(fitting) == 1:
            return [(fitting[0], slices, ())]
    return [(at, booking.each, ()) for at in on[: slices // booking.each]]


def slots(gpu: Gpu) -> list[Holder | None]:
    """Who is in each slice, each holder in as many as it has; those beyond `gpu.slices` are over.

    A slot of None is free only where `free` counts it: an owner may be unknown. The slot is the
    device's where Slurm tells it, the MIG instance of its profile where that is asked, else the
    next one: who came first comes first, so that the newest are over.
    """
    count = gpu.slices or 0
    found: list[Holder | None] = [None] * max(count, held(gpu))
    loose: list[Holder] = []
    for holder in gpu.holders:
        where = holder.indexes
        fits = len(set(where)) == len(where) == holder.slices
        if fits and all(0 <= i < count and found[i] is None for i in where):
            for i in where:
                found[i] = holder
        elif holder.slices > 0:
            loose.append(holder)
    if len(loose) > 1:
        loose.sort(key=lambda holder: holder.since or inf)
    if gpu.mig and loose:
        loose.sort(key=lambda holder: not (holder.share or "").startswith("mig-"))
    room = [i for i, taken in enumerate(found) if taken is None]
    for holder in loose:
        mine = room[: holder.slices]
        if gpu.mig and holder.share:
            profiles = {i: f"mig-{m.profile}" for i, m in enumerate(instances(gpu))}
            fit = [i for i in room if profiles.get(i) == holder.share]
            mine = (fit + [i for i in room if i not in fit])[: holder.slices]
        for i in mine:
            found[i] = holder
        taken = set(mine)
        room = [i for i in room if i not in taken]
    return found


def instances(gpu: Gpu) -> tuple[MigInstance, ...]:
    """The MIG instance of each slice: of one that is shared itself, all its slices in a row."""
    each, left = divmod(gpu.slices or 0, len(gpu.mig) or 1)
    return gpu.mig if left or each < 2 else tuple(m for m in gpu.mig for _ in range(each))


def is_counted(gpu: Gpu) -> bool:
    """It is one card; else it stands for all of its machine, and nobody says how many these are."""
    return "index" not in gpu.na


def held(gpu: Gpu) -> int:
    """Slices that jobs and pods hold; it may be more than there are."""
    return sum(holder.slices for holder in gpu.holders)


def free(gpu: Gpu) -> int | None:
    """Slices that nobody holds; None where an owner that could hold them is not known."""
    if gpu.slices is None or "holders" in gpu.na:
        return None
    return max(0, gpu.slices - held(gpu))
