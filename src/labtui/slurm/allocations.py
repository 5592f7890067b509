"""Who holds which device: from squeue's JSON, whose shape changes with every release.

22.05 (openapi v0.0.38) has plain numbers and strings; from 23.02 on (data_parser) numbers are
`{set, infinite, number}` and states are lists. `gres_detail` is one string a node of the
allocation, in the order of its node list: `gpu:fake:1(IDX:0)`, `gpu(CNT:2)` where the gres has no
files, and in newer releases `shard:2(2/4,0/4)`: held and all of each device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from labtui.slurm import values
from labtui.slurm.types import Allocation
from labtui.slurm.urgency import FINISHED

_HOLDS_NOTHING = FINISHED | {"PENDING"}


def number(value: Any) -> int | None:
    """A number of any release; None where it is not set or infinite."""
    if isinstance(value, dict):
        if not value.get("set", True) or value.get("infinite"):
            return None
        value = value.get("number")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class _Document(msgspec.Struct):
    jobs: list[msgspec.Raw]


class _Job(msgspec.Struct):
    """What is read of a job. Of 6 KB each, making all of it objects would be felt."""

    job_id: Any = None
    array_job_id: Any = None
    array_task_id: Any = None
    name: Any = None
    user_name: Any = None
    nodes: Any = None
    job_state: Any = None
    start_time: Any = None
    gres_detail: Any = None


def allocations(document: bytes | str) -> Iterator[list[Allocation]]:
    """One entry a node and resource of each job in turn. Raises ValueError, TypeError or
    AttributeError on another document."""
    for job in msgspec.json.decode(document, type=_Document).jobs:
        yield _of_job(msgspec.json.decode(job, type=_Job))


def _of_job(job: _Job) -> list[Allocation]:
    details = job.gres_detail or []
    states = _states(job.job_state)
    if not details or (states and _HOLDS_NOTHING.issuperset(states)):
        return []  # releases that ignore what they are asked for list all jobs
    nodes = values.nodes(str(job.nodes or ""))
    array, task = number(job.array_job_id), number(job.array_task_id)
    raw_id = str(number(job.job_id))
    job_id = f"{array}_{task}" if array and task is not None else raw_id
    start = number(job.start_time)
    found = []
    for node, detail in zip(nodes, details, strict=False):
        for name, kind, count, inside in values.gres(str(detail)):
            if inside.startswith("CNT:"):
                count = values.whole(inside[4:]) or 0
            if not count:
                continue
            parts = _parts(inside)
            indexes = values.indexes(inside) if inside.startswith("IDX:") else ()
            found.append(
                Allocation(
                    job_id=job_id,
                    job_name=str(job.name or ""),
                    user=str(job.user_name or "") or None,
                    node=node,
                    name=name,
                    type=kind,
                    count=count,
                    indexes=indexes or tuple(device for device, _ in parts),
                    start_time=float(start) if start else None,
                    raw_id=raw_id,
                    state=states[0] if states else None,
                    parts=parts,
                )
            )
    return found


def _states(value: Any) -> list[str]:
    """A string before 23.11, a list with its flags since."""
    return [str(v).upper() for v in (value if isinstance(value, list) else [value]) if v]


def _parts(inside: str) -> tuple[tuple[int, int], ...]:
    """`2/4,0/4` as ((0, 2),): the devices of which something is held, and how much."""
    found = []
    for device, part in enumerate(inside.split(",")):
        held, slash, _ = part.partition("/")
        amount = values.whole(held) if slash else None
        if amount:
            found.append((device, amount))
    return tuple(found)
