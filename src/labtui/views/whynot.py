"""Why a job does not start, in lines: the answer first, then what would help, then the nodes."""

from __future__ import annotations

from collections import Counter

from labtui.slurm.explained import when
from labtui.slurm.fitting import Verdict
from labtui.slurm.whynot import WhyNot
from labtui.spec import Cell, Tone
from labtui.text import inert

FEEDS = (
    "slurm.jobs", "slurm.nodes", "slurm.partitions", "slurm.allocations", "slurm.reservations",
    "slurm.qos", "slurm.associations", "slurm.licenses", "slurm.settings", "slurm.me",
)  # fmt: skip
"""What the answer rests on."""
SHOWN = 60
"""Nodes that are shown one by one; of the rest how many there are of each kind."""


def lines(found: WhyNot, now: float, *, modify: str = "") -> list[str | Cell]:
    """`modify`: the key that changes a job, where there is one."""
    said: list[str | Cell] = [Cell(found.conclusion, "accent")]
    if found.advice:
        said.append(f"to do: {found.advice}")
    if found.start_time:
        said.append(f"the scheduler's own estimate of its start: {when(found.start_time, now)}")
    said += ["", f"It wants {found.wanted}."]
    if found.helps:
        key = f" ({modify} on the queue changes it)" if modify else ""
        said += ["", Cell(f"What would help{key}", "accent")]
        said += [f"  {words}" for words in found.helps]
    if found.gates:
        said += ["", Cell("Its partitions", "accent"), *(f"  {words}" for words in found.gates)]
    if found.nodes:
        said += ["", *_nodes(found, now)]
    return said


def _nodes(found: WhyNot, now: float) -> list[str | Cell]:
    verdicts = found.nodes
    fitting = f"{sum(bool(v.fits) for v in verdicts) or 'none'} of {len(verdicts)}"
    several = len({v.partition for v in verdicts}) > 1
    width = min(24, max(len(v.node) for v in verdicts[:SHOWN]))
    head = f"Nodes with room for it: {fitting}" if found.never else (
        f"Nodes: {fitting} would fit now"
    )  # fmt: skip
    said: list[str | Cell] = [Cell(head, "accent")]
    for verdict in verdicts[:SHOWN]:
        part = f"{inert(verdict.partition, 16):<10} " if several else ""
        words = "; ".join(verdict.lacks) or "fits"
        if verdict.frees_at and len(verdict.lacks) > 1:
            words += f"; enough ~{when(verdict.frees_at, now)}"
        said.append(Cell(f"  {verdict.node:<{width}}  {part}{words}", _tone(verdict)))
    if len(verdicts) > SHOWN:
        kinds = Counter(_kind(v) for v in verdicts[SHOWN:])
        rest = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        said.append(f"  and {len(verdicts) - SHOWN} more: {rest}")
    return said


def _kind(verdict: Verdict) -> str:
    if verdict.fits:
        return "that fit"
    if verdict.never:
        return "that never can"
    return "that take no jobs" if verdict.closed else "with too little free"


def _tone(verdict: Verdict) -> Tone:
    return "ok" if verdict.fits else "dim" if verdict.never else "warn" if verdict.closed else ""
