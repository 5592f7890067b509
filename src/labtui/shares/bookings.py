"""What each scheduler gave away on a node: Slurm's allocations or jobs, Kubernetes' pods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from labtui.model import Holder, Job, Node, Pod
from labtui.slurm import values
from labtui.slurm.types import Allocation
from labtui.slurm.usage import HOLDS

Owner = Literal["slurm", "kubernetes"]

HOLDING = HOLDS | {"COMPLETING"}
"""Job states in which Slurm counts a gres as allocated."""
KINDS = frozenset({"gpu", "shard", "mps"})
"""Generic resources that are cards or parts of cards."""
MOST = 4096
"""Slices of one booking, and of one node; more is nonsense and is not counted out."""
_PROFILE = re.compile(r"\d+g\.\d+gb(?:\+\w+)*\Z")


class Gres(NamedTuple):
    """What a node has for jobs. With shards or MPS, `gpu` counts the cards."""

    gpu: int = 0
    shard: int = 0
    mps: int = 0

    @property
    def per_gpu(self) -> int:
        """Slices that a job of `gpu:1` holds: all shards of its card."""
        even = self.gpu and self.shard and self.shard % self.gpu == 0
        return self.shard // self.gpu if even else 1


class Booking(msgspec.Struct, frozen=True, gc=False):
    """One job's or pod's part of a node, of one resource."""

    owner: Owner
    holder: Holder
    """With all of its slices on the node, wherever they lie."""
    keys: tuple[str | None, ...]
    """How its processes name it: the job's ids, the pod's UID; `namespace/name`."""
    each: int = 1
    """Slices of one device, that cannot lie apart."""
    where: tuple[tuple[int, int], ...] = ()
    """(device of the node as Slurm counts them, slices on it); empty: nobody says."""
    whole: bool = False
    """It holds its devices alone: which slices these are is known."""
    percent: int = 0
    """Of MPS."""
    profile: str | None = None
    """Of MIG."""


@lru_cache(maxsize=4096)
def gres_of(text: str | None, gpus: int | None) -> Gres:
    """Of a node's Gres as Slurm writes it; where that is not told, of the count of its GPUs."""
    found = dict.fromkeys(KINDS, 0)
    for name, _, count, _ in values.gres(text or ""):
        if name in found:
            found[name] += count
    gpu, shard = found["gpu"] or gpus or 0, found["shard"]
    return Gres(min(gpu, MOST), min(shard, MOST), found["mps"])


def gres_gpus(gres: str | None) -> int:
    """GPUs in a gres or TRES text: `gpu:2`, `gres/gpu:a100:1`, `gres:gpu:2(IDX:0-1)`."""
    return values.count_gpus(gres or "") or 0


def node_gres(node: Node | None) -> Gres:
    return gres_of(node.gres, node.gpus) if node is not None else Gres()


def of_slurm(parts: Iterable[Allocation | Job], gres: Gres) -> list[Booking]:
    """Each part of a job on one node. Where Slurm tells only jobs, an even share (see `split`)."""
    found: list[Booking] = []
    for part in parts:
        if isinstance(part, Allocation):
            found.append(_allocated(part, gres))
            continue
        for name, kind, count, _ in values.gres(part.gres or ""):
            mine = count // max(1, len(part.nodes))
            if name in KINDS and mine:
                one = Allocation(
                    part.job_id, part.name, part.user, "", name, kind, mine,
                    start_time=part.start_time, state=part.state,
                )  # fmt: skip
                found.append(_allocated(one, gres))
    return found


def split(parts: Iterable[Allocation | Job]) -> Iterator[str]:
    """The jobs of which nobody says how many of their cards are on which of their nodes."""
    for part in parts:
        if isinstance(part, Job) and len(part.nodes) > 1:
            asked = {name for name, _, count, _ in values.gres(part.gres or "") if count}
            if asked & KINDS:
                yield part.job_id


def _allocated(part: Allocation, gres: Gres) -> Booking:
    name, count, indexes = part.name, min(part.count, MOST), part.indexes
    each, slices, share, percent, profile = 1, count, None, 0, None
    where: tuple[tuple[int, int], ...] = ()
    if name == "gpu":
        each = gres.per_gpu
        slices = count * each
        if found := _PROFILE.search(part.type or ""):
            profile, share = found[0], f"mig-{found[0]}"
        if len(indexes) == len(set(indexes)) == count:
            where = tuple((device, each) for device in indexes)
    elif name == "shard":
        share = f"shard {count}"
        if sum(amount for _, amount in part.parts) == count:
            where = part.parts
        elif len(indexes) == 1:
            where = ((indexes[0], count),)
        elif len(indexes) == len(set(indexes)) == count:
            where = tuple((device, 1) for device in indexes)
    else:
        slices, percent, share = 1, count, f"mps {count}"
        where = ((indexes[0], 1),) if len(indexes) == 1 else ()
    holder = Holder(
        kind="job",
        id=part.job_id,
        name=part.job_name,
        slices=slices,
        since=part.start_time,
        user=part.user,
        state=part.state,
        share=share,
    )
    keys = (part.job_id,) if part.raw_id in (None, part.job_id) else (part.job_id, part.raw_id)
    return Booking("slurm", holder, keys, each, where, name == "gpu", percent, profile)


def of_kubernetes(pods: Iterable[Pod]) -> list[Booking]:
    """Each pod's slices; of several MIG profiles each by itself."""
    found: list[Booking] = []
    for pod in pods:
        for profile, count in ((None, pod.slices), *pod.mig.items()):
            if count > 0:
                count = min(count, MOST)
                holder = Holder(
                    kind="pod",
                    id=f"{pod.namespace}/{pod.name}",
                    slices=count,
                    source="kubernetes",
                    since=pod.since,
                    state=pod.phase,
                    share=profile,
                )
                bare = profile.removeprefix("mig-") if profile else None
                found.append(Booking("kubernetes", holder, (pod.uid, holder.id), profile=bare))
    return found


def holding(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The jobs that hold GPUs, by node."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        if job.gres and job.nodes and job.state.upper().split("+")[0] in HOLDING:
            for node in job.nodes:
                found.setdefault(node, []).append(job)
    return found
