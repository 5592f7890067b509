"""GPU shares: each physical card with its slices below it."""

from __future__ import annotations

from labtui.spec import SubjectSpec
from labtui.views.gpucells import COLUMNS
from labtui.views.gpudetail import detail
from labtui.views.gpurows import GpuRow, heading, pieces, row_key, rows, searchable, severity
from labtui.views.gpuseries import remember, series

__all__ = ["SUBJECT", "GpuRow", "detail", "remember", "rows", "series", "severity"]

SUBJECT = SubjectSpec(
    name="gpus",
    key="3",
    title="GPU shares",
    words="Each physical GPU with its slices: who holds them, load, memory, heat, power.",
    feeds=("prom.gpus", "nvml.", "smi.", "jetson.", "k8s.gpus", "slurm.allocations", "slurm.jobs",
           "slurm.nodes"),
    counted_by=("prom.gpus", "nvml.", "smi.", "jetson.", "k8s.gpus", "slurm.allocations",
                "slurm.nodes"),
    columns=COLUMNS,
    row_key=row_key,
    severity=severity,
    rows=rows,
    pieces=pieces,
    detail=detail,
    searchable=searchable,
    heading=heading,
    heading_counts=True,
    also=("prom.gpuhours",),
)  # fmt: skip
