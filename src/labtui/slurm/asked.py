"""What a waiting job asks of each node, from its row and its `scontrol show job`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from labtui.model import Job, Node
from labtui.slurm import values

Gres = tuple[tuple[str, str | None, int], ...]
"""(name, type, count): `("gpu", "a100", 2)`; no type: any will do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one node must have for the job, and of how many nodes. None: not said, or not known."""

    nodes: int = 1
    cpus: int = 1
    memory_mib: int | None = None
    gres: Gres = ()
    features: str | None = None
    only: tuple[str, ...] = ()
    """Nodes that it names; all of them must take part."""
    without: tuple[str, ...] = ()
    """Nodes that it does not want."""
    exclusive: bool = False
    """Nobody else may be on its nodes."""
    reservation: str | None = None
    time_limit_s: int | None = None
    total_cpus: int = 1
    spreads: bool = False
    """It takes more nodes than `nodes` where these have too few CPUs: tasks without `-N`."""

    def with_gpus(self, count: int) -> Asked:
        """The same with so many GPUs a node."""
        first = next((g for g in self.gres if g[0] == "gpu"), ("gpu", None, 0))
        rest = tuple(g for g in self.gres if g[0] != "gpu")
        return replace(self, gres=((first[0], first[1], count), *rest))

    @property
    def gpus(self) -> int:
        return sum(count for name, _, count in self.gres if name == "gpu")


def asked(job: Job, record: Mapping[str, str]) -> Asked:
    """Where the record is empty, what the row alone tells."""
    low, dash, _ = record.get("NumNodes", "").partition("-")
    nodes = max(1, values.whole(low) or 1)
    total = values.whole(record.get("NumCPUs", "")) or job.cpus or 1
    tasks = values.whole(record.get("NumTasks", "")) or 1
    each_task = values.whole(record.get("CPUs/Task", "")) or 1
    least = max(values.whole(record.get("MinCPUsNode", "")) or 1, each_task)
    spreads = bool(record) and not dash and tasks > 1
    cpus = max(least, total) if nodes == 1 and not spreads else max(least, 1)
    return Asked(
        nodes=nodes,
        cpus=cpus,
        memory_mib=_memory(job, record, nodes, cpus),
        gres=_gres(job, record, nodes),
        features=values.text(record.get("Features", "")),
        only=values.nodes(record.get("ReqNodeList", "")),
        without=values.nodes(record.get("ExcNodeList", "")),
        exclusive=record.get("OverSubscribe", "") == "NO",
        reservation=values.text(record.get("Reservation", "")),
        time_limit_s=job.time_limit_s,
        total_cpus=total,
        spreads=spreads,
    )


def _memory(job: Job, record: Mapping[str, str], nodes: int, cpus: int) -> int | None:
    if (node := values.mib(record.get("MinMemoryNode", ""))) is not None:
        return node
    if (cpu := values.mib(record.get("MinMemoryCPU", ""))) is not None:
        return cpu * cpus
    return None if job.memory_mib is None or nodes > 1 else job.memory_mib


def _gres(job: Job, record: Mapping[str, str], nodes: int) -> Gres:
    """A node's part. A job's total on several nodes means at least one on each."""
    found = _merged(record.get("TresPerNode", ""), 1)
    if found:
        return found
    if nodes == 1:
        return _merged(job.gres or "", 1)
    return _merged(job.gres or "", nodes)


def _merged(text: str, parts: int) -> Gres:
    counts: dict[tuple[str, str | None], int] = {}
    for name, kind, count, _ in values.gres(text):
        if count and name not in ("cpu", "mem", "node", "billing", "license"):
            counts[name, kind] = counts.get((name, kind), 0) + count
    return tuple((name, kind, ceil(n / parts)) for (name, kind), n in counts.items())


def has_features(node: Node, wanted: str) -> bool | None:
    """Whether a node satisfies a constraint such as `a100&(nvlink|ib)`; None: cannot be judged."""
    tokens = re.findall(r"[^&|()\[\]*\s]+|[&|()\[\]*]", wanted)
    if "*" in tokens or "".join(tokens) != re.sub(r"\s", "", wanted):
        return None  # counts are about all nodes together
    there = set(node.features)
    at = 0

    def either() -> bool | None:
        nonlocal at
        found = both()
        while found is not None and at < len(tokens) and tokens[at] == "|":
            at += 1
            other = both()
            found = None if other is None else found or other
        return found

    def both() -> bool | None:
        nonlocal at
        found = one()
        while found is not None and at < len(tokens) and tokens[at] == "&":
            at += 1
            other = one()
            found = None if other is None else found and other
        return found

    def one() -> bool | None:
        nonlocal at
        if at >= len(tokens) or tokens[at] in "&|)]":
            return None
        token = tokens[at]
        at += 1
        if token not in "([":
            return token in there
        found = either()
        if at >= len(tokens) or tokens[at] != {"(": ")", "[": "]"}[token]:
            return None
        at += 1
        return found

    if len(tokens) > 200:
        return None
    verdict = either()
    return verdict if at == len(tokens) else None
