"""Processes on cards on which their owner holds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from labtui.model import GpuProcess
from labtui.shares.figures import Measured
from labtui.shares.inputs import Inputs
from labtui.shares.place import Placed


class Stray(NamedTuple):
    """A process on a card on which its owner holds nothing."""

    process: GpuProcess
    owner: str | None
    """`job 12`, `a pod`; None: nobody knows an owner."""
    known: bool
    """All schedulers that could know it were asked."""
    elsewhere: tuple[int | None, ...] = ()
    """The cards of the node that its owner booked; None: one that is not known."""
    holders: tuple[str, ...] = ()
    """Under which ids."""
    reordered: bool = False
    """It runs on none of them, and Slurm may count the cards in another order than shown here."""


def stray(process: GpuProcess, inputs: Inputs, cards: Sequence[Measured], placed: Placed) -> Stray:
    """Of a process that belongs to no booking of its card."""
    cluster = inputs.cluster
    slurm, kubernetes = cluster.slurm_why is None, cluster.kubernetes_why is None
    keys = {process.job_id, process.pod_uid} - {None}
    if not keys:
        known = (slurm or not cluster.slurm) and (kubernetes or not cluster.kubernetes)
        return Stray(process, None, known)
    elsewhere: dict[int | None, bool] = {}
    holders: dict[str, None] = {}
    for card, lots in zip((*cards, None), (*placed.cards, placed.rest), strict=True):
        mine = [lot.holder.id for lot in lots if keys.intersection(lot.booking.keys)]
        if mine:
            holders |= dict.fromkeys(mine)
            running = card.processes if card is not None else ()
            runs = any(keys.intersection((one.job_id, one.pod_uid)) for one in running)
            elsewhere[card.number if card is not None else None] = runs
    told = tuple(elsewhere), tuple(holders)
    if process.job_id is not None:
        ordered = all(card.values.get("minor") is not None for card in cards)
        reordered = not ordered and None not in elsewhere and not any(elsewhere.values())
        return Stray(process, f"job {process.job_id}", slurm, *told, reordered)
    owner = next(
        (f"pod {pod.namespace}/{pod.name}" for pod in inputs.pods if pod.uid == process.pod_uid),
        f"pod {process.pod_uid}",
    )
    return Stray(process, owner, kubernetes, *told)
