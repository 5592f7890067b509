"""What a waiting job asks of each node, from its row and its `scontrol show job`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

import msgspec
from msgspec.structs import replace

from labtui.model import Job, Node
from labtui.slurm import values

Gres = tuple[tuple[str, str | None, int], ...]
"""(name, type, count): `("gpu", "a100", 2)`; no type: any will do."""


class Asked(msgspec.Struct, frozen=True):
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
    """With `--time-min` that: Slurm may shorten it so far."""
    endless: bool = False
    """It asks for no time limit at all."""
    total_cpus: int = 1
    total_gres: Gres = ()
    """On all its nodes together: `--gpus=8`, wherever they are."""
    spreads: bool = False
    """It takes more nodes than `nodes` where these have too little: tasks without `-N`."""
    most_nodes: int | None = None
    """It takes no more than these; None: as many as there are, or not known."""

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
    low, dash, high = record.get("NumNodes", "").partition("-")
    nodes = max(1, values.whole(low) or 1)
    most = max(nodes, values.whole(high) or nodes) if dash else None
    total = values.whole(record.get("NumCPUs", "")) or job.cpus or 1
    tasks = values.whole(record.get("NumTasks", "")) or 1
    each_task = values.whole(record.get("CPUs/Task", "")) or 1
    least = max(values.whole(record.get("MinCPUsNode", "")) or 1, each_task)
    anywhere = _anywhere(job, record) if most != 1 else ()
    spreads = bool(record) and (tasks > 1 or bool(anywhere)) and (most is None or most > nodes)
    cpus = max(least, total) if nodes == 1 and not spreads else max(least, 1)
    least_time = values.seconds(record.get("TimeMin", "")) or None
    times = [t for t in (job.time_limit_s, least_time) if t is not None]
    return Asked(
        nodes=nodes,
        cpus=cpus,
        memory_mib=_memory(job, record, nodes, cpus),
        gres=_gres(job, record, nodes, anywhere),
        features=values.text(record.get("Features", "")),
        only=values.nodes(record.get("ReqNodeList", "")),
        without=values.nodes(record.get("ExcNodeList", "")),
        exclusive=record.get("OverSubscribe", "") == "NO",
        reservation=values.text(record.get("Reservation", "")),
        time_limit_s=min(times, default=None),
        endless=not times and record.get("TimeLimit") == "UNLIMITED",
        total_cpus=total,
        total_gres=anywhere,
        spreads=spreads,
        most_nodes=most,
    )


def _memory(job: Job, record: Mapping[str, str], nodes: int, cpus: int) -> int | None:
    if (node := values.mib(record.get("MinMemoryNode", ""))) is not None:
        return node
    if (cpu := values.mib(record.get("MinMemoryCPU", ""))) is not None:
        return cpu * cpus
    return None if job.memory_mib is None or nodes > 1 else job.memory_mib


def _anywhere(job: Job, record: Mapping[str, str]) -> Gres:
    """What it wants wherever that is: `--gpus=8`, `--gpus-per-task=1`."""
    by_node = values.text(record.get("TresPerNode", ""))
    loose = any(values.text(record.get(key, "")) for key in ("TresPerJob", "TresPerTask"))
    return _merged(job.gres or "", 1) if loose and not by_node else ()


def _gres(job: Job, record: Mapping[str, str], nodes: int, anywhere: Gres) -> Gres:
    """A node's part. A job's total on several nodes means at least one on each."""
    if anywhere:
        return (("gpu", None, 1),) if any(name == "gpu" for name, _, _ in anywhere) else ()
    return _merged(record.get("TresPerNode", ""), 1) or _merged(job.gres or "", nodes)


def _merged(text: str, parts: int) -> Gres:
    counts: dict[tuple[str, str | None], int] = {}
    for name, kind, count, _ in values.gres(text):
        if count and name not in ("cpu", "mem", "node", "billing", "license"):
            counts[name, kind] = counts.get((name, kind), 0) + count
    return tuple((name, kind, ceil(n / parts)) for (name, kind), n in counts.items())


def has_features(node: Node, wanted: str) -> bool | None:
    """Whether a node satisfies a constraint such as `a100&(nvlink|ib)`; None: cannot be judged."""
    tokens = re.findall(r"[^&|()\[\]*\s]+|[&|()\[\]*]", wanted)
    if "*" in tokens or "!" in wanted or "".join(tokens) != re.sub(r"\s", "", wanted):
        return None  # counts are about all nodes together
    there = set(node.features)
    at = 0

    def row() -> bool | None:
        """Of `a&b|c` Slurm's releases do not all make the same."""
        nonlocal at
        found, signs = one(), set()
        while at < len(tokens) and tokens[at] in "&|":
            signs.add(sign := tokens[at])
            at += 1
            other = one()
            if found is None or other is None or len(signs) > 1:
                return None
            found = (found and other) if sign == "&" else (found or other)
        return found

    def one() -> bool | None:
        nonlocal at
        if at >= len(tokens) or tokens[at] in "&|)]":
            return None
        token = tokens[at]
        at += 1
        if token not in "([":
            return token in there
        found = row()
        if at >= len(tokens) or tokens[at] != {"(": ")", "[": "]"}[token]:
            return None
        at += 1
        return found

    if len(tokens) > 200:
        return None
    verdict = row()
    return verdict if at == len(tokens) else None
