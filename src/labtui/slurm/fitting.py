"""Whether a node fits a waiting job: what is missing, who holds it, till when. Pure.

It judges as the scheduler would from what scontrol and squeue show; where that does not decide
(a constraint with counts) it says so, and never that a node fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from labtui.model import Job, Node
from labtui.slurm.asked import Asked, has_features
from labtui.slurm.explained import when
from labtui.slurm.never import amount, counted, gres_there, lacks
from labtui.slurm.scontrol import state_word
from labtui.slurm.types import Allocation, Partition
from labtui.slurm.usage import Context, ends_at
from labtui.slurm.waiting import takes_jobs
from labtui.text import inert, mib

SHOWN_HOLDERS = 3


class Verdict(msgspec.Struct, frozen=True):
    """One node. All texts are inert."""

    node: str
    partition: str
    fits: bool | None
    """None: what is known does not decide."""
    lacks: tuple[str, ...] = ()
    never: bool = False
    """It can never run the job as it is, however empty it is."""
    closed: bool = False
    """It takes no jobs now, whatever they ask."""
    frees_at: float | None = None
    """Unix seconds when enough is free at the latest; None: not known."""
    by: tuple[str, ...] = ()
    """Jobs whose end that takes."""


class Cluster:
    """The nodes and who is on them."""

    def __init__(self, context: Context, allocations: Sequence[Allocation]) -> None:
        self.context = context
        self.nodes = {node.name: node for node in context.nodes}
        self.on: dict[str, list[Job]] = {}
        for job in context.holding:
            for name in job.nodes:
                self.on.setdefault(name, []).append(job)
        self.cards: dict[str, list[Allocation]] = {}
        for part in allocations:
            self.cards.setdefault(part.node, []).append(part)

    def judge(self, wants: Asked, partition: Partition) -> list[Verdict]:
        named = (self.nodes.get(name) for name in partition.nodes)
        return [self.verdict(wants, partition, node) for node in named if node is not None]

    def verdict(self, wants: Asked, partition: Partition, node: Node) -> Verdict:
        name, never = node.name, lacks(wants, node, self.context)
        if never:
            told = tuple(no.of_it for no in never)
            return Verdict(inert(name, 80), partition.name, False, told, never=True)
        closed = self._closed(wants, node)
        busy, frees_at, by = self._busy(wants, node)
        missing = [*closed, *busy]
        unsure = self._unsure(wants, node)
        fits = False if missing else None if unsure else True
        return Verdict(
            inert(name, 80),
            partition.name,
            fits,
            tuple(missing or unsure),
            closed=bool(closed),
            frees_at=None if closed else frees_at,
            by=() if closed else by,
        )

    def _closed(self, wants: Asked, node: Node) -> list[str]:
        found: list[str] = []
        if not takes_jobs(node.slurm_state, reserved=wants.reservation is not None):
            reason = f": {inert(node.slurm_reason, 120)}" if node.slurm_reason else ""
            found.append(f"{state_word(node.slurm_state)}{reason}")
        now = self.context.now
        for held in self.context.reservations:
            if node.name not in held.nodes or not held.end_time or held.end_time <= now:
                continue
            if wants.reservation is not None and held.name in wants.reservation.split(","):
                continue
            begins = held.start_time or 0.0
            if wants.time_limit_s is not None and begins >= now + wants.time_limit_s:
                continue
            till = when(held.end_time, now)
            since = f"from {when(begins, now)} " if begins > now else ""
            found.append(f"reserved as {inert(held.name, 40)} {since}until {till}")
        if wants.reservation is not None:
            mine = [r for r in self.context.reservations if r.name in wants.reservation.split(",")]
            if mine and not any(node.name in r.nodes for r in mine):
                found.append(f"not in its reservation {inert(wants.reservation, 40)}")
        return found

    def _unsure(self, wants: Asked, node: Node) -> list[str]:
        """What would have to be known to say that it fits."""
        found: list[str] = []
        if wants.features is not None and not has_features(node, wants.features):
            found.append(f"whether it satisfies {inert(wants.features, 60)} is not clear from here")
        for name, kind, count in wants.gres:
            if gres_there(node, name, kind) is None:
                found.append(f"whether it has {amount(name, kind, count)} is not known")
        if node.cpus_total is None or node.cpus_alloc is None:
            found.append("its CPUs are not known")
        if wants.gres and node.gres_used is None:
            found.append("what is free of its GPUs is not known")
        if wants.memory_mib is not None and None in (node.memory_total_mib, node.memory_alloc_mib):
            found.append("its memory is not known")
        return found

    def _busy(self, wants: Asked, node: Node) -> tuple[list[str], float | None, tuple[str, ...]]:
        """What others hold of what it wants; when that is free at the latest, by whose end."""
        found: list[str] = []
        ends: list[tuple[float | None, tuple[str, ...]]] = []
        on = self.on.get(node.name, [])
        if wants.exclusive and (node.cpus_alloc or on):
            found.append(f"it wants the node alone{self._until(on)}")
            last = [ends_at(job, self.context.now) for job in on]
            known = None if not last or None in last else max(e for e in last if e)
            ends.append((known, tuple(job.job_id for job in on)))
        for name, kind, count in wants.gres:
            free = free_of(node, name, kind)
            if gres_there(node, name, kind) is not None and free < count:
                held = [(a.job_id, a.count) for a in self.cards.get(node.name, ())
                        if a.name == name and kind in (None, a.type)]  # fmt: skip
                end, ids = self._freed(held, count - free, on)
                holders = self._holders(held, on)
                found.append(f"{amount(name, kind, count)} wanted, {free} free{holders}")
                ends.append((end, ids))
        if node.cpus_total is not None:
            free = max(0, node.cpus_total - (node.cpus_alloc or 0))
            if free < wants.cpus:
                held = [(job.job_id, job.cpus) for job in on if len(job.nodes) == 1 and job.cpus]
                end, ids = self._freed(held, wants.cpus - free, on)
                many = "s" if wants.cpus > 1 else ""
                found.append(f"{wants.cpus} CPU{many} wanted, {free} free{self._until(on)}")
                ends.append((end, ids))
        if wants.memory_mib is not None and node.memory_total_mib is not None:
            free = max(0, node.memory_total_mib - (node.memory_alloc_mib or 0))
            if free < wants.memory_mib:
                held = [(job.job_id, job.memory_mib) for job in on
                        if len(job.nodes) == 1 and job.memory_mib]  # fmt: skip
                end, ids = self._freed(held, wants.memory_mib - free, on)
                words = f"{mib(wants.memory_mib)} of memory wanted, {mib(free)} free"
                found.append(words + self._until(on))
                ends.append((end, ids))
        if not ends or any(end is None for end, _ in ends):
            return found, None, ()
        latest = max(ends, key=lambda one: one[0] or 0.0)
        return found, latest[0], tuple(dict.fromkeys(i for _, ids in ends for i in ids))

    def _freed(
        self, held: Iterable[tuple[str, int | None]], missing: int, on: list[Job]
    ) -> tuple[float | None, tuple[str, ...]]:
        """When so much is given back, by the jobs that end first."""
        jobs = {job.job_id: job for job in on}
        timed = sorted(
            (end, job_id, count)
            for job_id, count in held
            if count and job_id in jobs and (end := ends_at(jobs[job_id], self.context.now))
        )
        ids: list[str] = []
        for end, job_id, count in timed:
            ids.append(job_id)
            missing -= count or 0
            if missing <= 0:
                return end, tuple(ids)
        return None, ()

    def _holders(self, held: list[tuple[str, int]], on: list[Job]) -> str:
        """` (1422 holds 3 until ~22:10)`."""
        jobs = {job.job_id: job for job in on}
        parts = []
        for job_id, count in sorted(held, key=lambda one: -one[1])[:SHOWN_HOLDERS]:
            end = ends_at(jobs[job_id], self.context.now) if job_id in jobs else None
            till = f" until ~{when(end, self.context.now)}" if end else ""
            parts.append(f"{inert(job_id, 40)} holds {count}{till}")
        more = f", {len(held) - SHOWN_HOLDERS} more" if len(held) > SHOWN_HOLDERS else ""
        return f" ({', '.join(parts)}{more})" if parts else ""

    def _until(self, on: list[Job]) -> str:
        """` (1422 until ~22:10, 1423)`."""
        now = self.context.now
        parts = []
        for job in on[:SHOWN_HOLDERS]:
            end = ends_at(job, now)
            parts.append(inert(job.job_id, 40) + (f" until ~{when(end, now)}" if end else ""))
        more = f", {len(on) - SHOWN_HOLDERS} more jobs" if len(on) > SHOWN_HOLDERS else ""
        return f" ({', '.join(parts)}{more})" if parts else ""


def free_of(node: Node, name: str, kind: str | None) -> int:
    """How much of a resource nobody holds, as far as that is known."""
    entries = counted(node.gres_used or "") or ()
    used = sum(n for g, k, n in entries if g == name and kind in (None, k))
    return max(0, (gres_there(node, name, kind) or 0) - used)


def together(wants: Asked) -> str:
    """`20 CPUs, 8 GPUs`: what all its nodes must have together."""
    return ", ".join([f"{wants.total_cpus} CPUs", *(amount(*one) for one in wants.total_gres)])


def wanted_words(wants: Asked) -> str:
    """`2 nodes, each with 8 CPUs, 48.0G, 2 GPUs`."""
    parts = [f"{wants.cpus} CPU{'s' if wants.cpus > 1 else ''}"]
    parts += [f"{mib(wants.memory_mib)} of memory"] if wants.memory_mib is not None else []
    parts += [amount(*one) for one in wants.gres]
    parts += [f"the feature {inert(wants.features, 60)}"] if wants.features else []
    parts += ["nobody else on it"] if wants.exclusive else []
    where = "a node with" if wants.nodes == 1 else f"{wants.nodes} nodes, each with"
    where = f"{together(wants)}, on each node at least" if wants.spreads else where
    return f"{where} {', '.join(parts)}"
