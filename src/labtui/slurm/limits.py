"""What Slurm would accept and never run: checked against the cluster as it is, before sending.

Slurm takes jobs that no node can ever run (EnforcePartLimits=NO is its default) and leaves them
pending; so this says it first.
"""

from __future__ import annotations

from collections.abc import Sequence

from labtui.model import Node
from labtui.slurm import values
from labtui.slurm.script import BatchScript
from labtui.slurm.types import Partition
from labtui.text import clock, inert, mib


def check_limits(
    asked: BatchScript, partitions: Sequence[Partition], nodes: Sequence[Node]
) -> list[str]:
    """One sentence for each thing that cannot be had, naming the field. Empty: nothing found.

    Without partitions (Slurm has not answered yet) nothing can be said.
    """
    if not partitions:
        return []
    by_name = {p.name: p for p in partitions}
    wanted = [name for name in asked.partitions.split(",") if name]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        there = ", ".join(inert(name, 40) for name in by_name)
        return [f"partition: there is no {inert(unknown[0], 40)}; choose from {there}"]
    chosen = [by_name[name] for name in wanted] or [p for p in partitions if p.is_default]
    if not chosen:
        return ["partition: this cluster has no default one; choose one"]
    best: list[str] | None = None
    for partition in chosen:  # of several partitions one that fits is enough
        found = _against(asked, partition, [n for n in nodes if n.name in partition.nodes])
        if not found:
            return []
        best = found if best is None or len(found) < len(best) else best
    return best or []


def _against(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    found: list[str] = []
    if partition.state != "UP":
        found.append(f"partition: {name} is {partition.state.lower()}; the job would wait")
    limit = values.minutes(asked.time_limit)
    if limit is not None and partition.max_time is not None and limit > partition.max_time:
        most = clock(partition.max_time * 60)
        found.append(f"time: {name} allows at most {most}; ask for less")
    if asked.time_limit.upper() in ("UNLIMITED", "INFINITE") and partition.max_time is not None:
        found.append(f"time: {name} allows at most {clock(partition.max_time * 60)}")
    low = values.whole(asked.nodes.partition("-")[0])
    if low is not None and partition.total_nodes is not None and low > partition.total_nodes:
        found.append(f"nodes: {low} wanted, {name} has {partition.total_nodes}")
    elif low is not None and partition.max_nodes is not None and low > partition.max_nodes:
        found.append(f"nodes: {low} wanted, {name} allows at most {partition.max_nodes}")
    return found + _against_nodes(asked, partition, nodes)


def _against_nodes(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    found: list[str] = []
    if not nodes:
        return found
    cpus = values.whole(asked.cpus_per_task)
    most = max((n.cpus_total or 0 for n in nodes), default=0)
    if cpus is not None and most and cpus > most:
        found.append(f"cpus: {cpus} wanted on one node, the largest in {name} has {most}")
    memory = values.mib(asked.memory_per_node)
    room = max((n.memory_total_mib or 0 for n in nodes), default=0)
    if memory is not None and room and memory > room:
        found.append(
            f"memory: {mib(memory)} wanted on one node, the largest in {name} has {mib(room)}"
        )
    gpus = wanted_gpus(asked)
    cards = max((n.gpus or 0 for n in nodes), default=0)
    if gpus and not cards:
        found.append(f"gpus: {name} has none; choose a partition with GPUs")
    elif gpus > cards:
        found.append(f"gpus: {gpus} wanted on one node, the largest in {name} has {cards}")
    elif gpus and not asked.gpus:
        free = max((n.gpus or 0) - (n.gpus_alloc or 0) for n in nodes)
        if free < gpus:
            found.append(f"gpus: {gpus} wanted, {free} free now: it would wait")
    return found


def wanted_gpus(asked: BatchScript) -> int:
    """GPUs on one node: `gpu:2`, `gpu:jetson:1`, or a bare number."""
    plain = values.whole(asked.gres_per_node)
    if plain is not None:
        return plain
    return values.count_gpus(asked.gres_per_node) or 0
