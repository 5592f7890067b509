"""What jobs and steps used: of sacct for finished ones, of sstat for running ones.

Seconds, bytes, joules, kHz. A fresh object has zeros, as PySlurm's has; one that was measured has
None for what Slurm did not tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from labtui.slurm import values

COLUMNS = (
    "ConsumedEnergyRaw", "AveCPUFreq",
    "TRESUsageInAve", "TRESUsageInMax", "TRESUsageInMaxNode", "TRESUsageInMaxTask",
    "TRESUsageInMin", "TRESUsageInMinNode", "TRESUsageInMinTask", "TRESUsageInTot",
    "TRESUsageOutAve", "TRESUsageOutMax", "TRESUsageOutMaxNode", "TRESUsageOutMaxTask",
)  # fmt: skip
"""Columns that sacct and sstat have in common; asked with --noconvert."""


class _Statistics:
    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in vars(self).items() if value)
        return f"{type(self).__name__}({inside})"

    def to_dict(self, recursive: bool = False) -> dict[str, Any]:
        """All numbers by name."""
        return dict(vars(self))


class JobStepStatistics(_Statistics):
    """Of one step. `*_node` and `*_task` say where the extreme was."""

    def __init__(self) -> None:
        self.consumed_energy: int | None = 0
        self.elapsed_cpu_time: int | None = 0
        self.avg_cpu_time: int | None = 0
        self.avg_cpu_frequency: int | None = 0
        self.avg_disk_read: int | None = 0
        self.avg_disk_write: int | None = 0
        self.avg_page_faults: int | None = 0
        self.avg_resident_memory: int | None = 0
        self.avg_virtual_memory: int | None = 0
        self.max_disk_read: int | None = 0
        self.max_disk_read_node: str | None = None
        self.max_disk_read_task: int | None = None
        self.max_disk_write: int | None = 0
        self.max_disk_write_node: str | None = None
        self.max_disk_write_task: int | None = None
        self.max_page_faults: int | None = 0
        self.max_page_faults_node: str | None = None
        self.max_page_faults_task: int | None = None
        self.max_resident_memory: int | None = 0
        self.max_resident_memory_node: str | None = None
        self.max_resident_memory_task: int | None = None
        self.max_virtual_memory: int | None = 0
        self.max_virtual_memory_node: str | None = None
        self.max_virtual_memory_task: int | None = None
        self.min_cpu_time: int | None = 0
        self.min_cpu_time_node: str | None = None
        self.min_cpu_time_task: int | None = None
        self.total_cpu_time: int | None = 0
        self.user_cpu_time: int | None = 0
        self.system_cpu_time: int | None = 0

    @classmethod
    def from_columns(cls, of: Mapping[str, str]) -> Self:
        """Of what sacct or sstat printed in COLUMNS."""
        new = cls()
        read, written = values.tres(of.get("TRESUsageInAve", "")), "fs/disk"
        out = values.tres(of.get("TRESUsageOutAve", ""))
        new.consumed_energy = values.whole(of.get("ConsumedEnergyRaw", ""))
        new.avg_cpu_frequency = _khz(of.get("AveCPUFreq", ""))
        new.avg_cpu_time = values.seconds(read.get("cpu", ""))
        new.avg_disk_read = values.whole(read.get(written, ""))
        new.avg_disk_write = values.whole(out.get(written, ""))
        new.avg_page_faults = values.whole(read.get("pages", ""))
        new.avg_resident_memory = values.whole(read.get("mem", ""))
        new.avg_virtual_memory = values.whole(read.get("vmem", ""))
        for name, side, key in _EXTREMES:
            most = [
                values.tres(of.get(f"TRESUsage{side}{part}", "")) for part in ("", "Node", "Task")
            ]
            amount = most[0].get(key, "")
            how_much = values.seconds(amount) if key == "cpu" else values.whole(amount)
            setattr(new, name, how_much)
            setattr(new, f"{name}_node", values.text(most[1].get(key, "")))
            setattr(new, f"{name}_task", values.whole(most[2].get(key, "")))
        new.total_cpu_time = values.seconds(
            values.tres(of.get("TRESUsageInTot", "")).get("cpu", "")
        )
        new.user_cpu_time = new.system_cpu_time = new.elapsed_cpu_time = None
        return new


_EXTREMES = (
    ("max_disk_read", "InMax", "fs/disk"),
    ("max_disk_write", "OutMax", "fs/disk"),
    ("max_page_faults", "InMax", "pages"),
    ("max_resident_memory", "InMax", "mem"),
    ("max_virtual_memory", "InMax", "vmem"),
    ("min_cpu_time", "InMin", "cpu"),
)
_FREQUENCY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([KMG]?)\Z", re.ASCII)


def _khz(value: str) -> int | None:
    """`2.60M` in kHz."""
    found = _FREQUENCY.match(value.strip())
    return None if found is None else round(float(found[1]) * 1000.0 ** "KMG".find(found[2] or "K"))


class JobStatistics(_Statistics):
    """Of one job: its steps together."""

    def __init__(self) -> None:
        self.consumed_energy = 0
        self.disk_read = 0
        self.disk_write = 0
        self.page_faults = 0
        self.resident_memory = 0
        """Of the step that had most."""
        self.virtual_memory = 0
        """Of the step that had most."""
        self.elapsed_cpu_time: int | None = 0
        self.total_cpu_time = 0
        self.user_cpu_time = 0
        self.system_cpu_time = 0

    @classmethod
    def from_steps(cls, steps: Mapping[Any, Any]) -> Self:
        """Of all steps of a job."""
        new = cls()
        for step in steps.values():
            new._sum_steps(step.stats)
        return new

    def _sum_steps(self, src: JobStepStatistics) -> None:
        self.consumed_energy += src.consumed_energy or 0
        self.disk_read += src.avg_disk_read or 0
        self.disk_write += src.avg_disk_write or 0
        self.page_faults += src.avg_page_faults or 0
        self.total_cpu_time += src.total_cpu_time or 0
        self.user_cpu_time += src.user_cpu_time or 0
        self.system_cpu_time += src.system_cpu_time or 0
        self.resident_memory = max(self.resident_memory, src.max_resident_memory or 0)
        self.virtual_memory = max(self.virtual_memory, src.max_virtual_memory or 0)

    def add(self, src: JobStatistics) -> None:
        """Add another job's numbers."""
        for name, number in vars(src).items():
            setattr(self, name, getattr(self, name) + (number or 0))
