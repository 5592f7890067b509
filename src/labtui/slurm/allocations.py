"""Who holds which device: from squeue's JSON, whose shape changes with every release.

22.05 (openapi v0.0.38) has plain numbers and strings; from 23.02 on (data_parser) numbers are
`{set, infinite, number}` and states are lists. `gres_detail` is one string a node of the
allocation, in the order of its node list: `gpu:fake:1(IDX:0)`.
"""

from __future__ import annotations

from typing import Any

from labtui.slurm import values
from labtui.slurm.types import Allocation


def number(value: Any) -> int | None:
    """A number of any release; None where it is not set or infinite."""
    if isinstance(value, dict):
        if not value.get("set", True) or value.get("infinite"):
            return None
        value = value.get("number")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def allocations(document: dict[str, Any]) -> list[Allocation]:
    """One entry a job, node and resource. Raises TypeError or KeyError on another document."""
    found: list[Allocation] = []
    for job in document["jobs"]:
        if isinstance(job, dict):
            found += _of_job(job)
    return found


def _of_job(job: dict[str, Any]) -> list[Allocation]:
    details = job.get("gres_detail") or []
    nodes = values.nodes(str(job.get("nodes") or ""))
    array, task = number(job.get("array_job_id")), number(job.get("array_task_id"))
    job_id = f"{array}_{task}" if array and task is not None else str(number(job.get("job_id")))
    start = number(job.get("start_time"))
    return [
        Allocation(
            job_id=job_id,
            job_name=str(job.get("name") or ""),
            user=str(job.get("user_name") or "") or None,
            node=node,
            name=name,
            type=kind,
            count=count,
            indexes=values.indexes(inside) if inside.startswith("IDX:") else (),
            start_time=float(start) if start else None,
        )
        for node, detail in zip(nodes, details, strict=False)
        for name, kind, count, inside in values.gres(str(detail))
        if count
    ]
