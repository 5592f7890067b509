"""`pyslurm.db`: what the accounting keeps. Names are looked up when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labtui.slurm.db.assoc import Association, AssociationFilter, Associations
    from labtui.slurm.db.connection import Connection
    from labtui.slurm.db.filters import JobFilter
    from labtui.slurm.db.job import Job, Jobs
    from labtui.slurm.db.qos import (
        QualitiesOfService,
        QualityOfService,
        QualityOfServiceFilter,
    )
    from labtui.slurm.db.stats import JobStatistics, JobStepStatistics
    from labtui.slurm.db.step import JobStep, JobSteps
    from labtui.slurm.db.tres import (
        GPU,
        FilesystemResources,
        GenericResourceLayout,
        GenericResources,
        InterconnectResources,
        LicenseResources,
        OtherResources,
        TrackableResource,
        TrackableResourceFilter,
        TrackableResources,
    )

    JobSearchFilter = JobFilter

_HOMES = {
    "assoc": ("Association", "AssociationFilter", "Associations"),
    "connection": ("Connection",),
    "filters": ("JobFilter",),
    "job": ("Job", "Jobs"),
    "qos": ("QualitiesOfService", "QualityOfService", "QualityOfServiceFilter"),
    "stats": ("JobStatistics", "JobStepStatistics"),
    "step": ("JobStep", "JobSteps"),
    "tres": (
        "GPU", "FilesystemResources", "GenericResourceLayout", "GenericResources",
        "InterconnectResources", "LicenseResources", "OtherResources", "TrackableResource",
        "TrackableResourceFilter", "TrackableResources",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "GPU",
    "Association",
    "AssociationFilter",
    "Associations",
    "Connection",
    "FilesystemResources",
    "GenericResourceLayout",
    "GenericResources",
    "InterconnectResources",
    "Job",
    "JobFilter",
    "JobSearchFilter",
    "JobStatistics",
    "JobStep",
    "JobStepStatistics",
    "JobSteps",
    "Jobs",
    "LicenseResources",
    "OtherResources",
    "QualitiesOfService",
    "QualityOfService",
    "QualityOfServiceFilter",
    "TrackableResource",
    "TrackableResourceFilter",
    "TrackableResources",
]


def __getattr__(name: str) -> Any:
    own = "JobFilter" if name == "JobSearchFilter" else name
    if own in _HOME:
        return getattr(importlib.import_module(f"labtui.slurm.db.{_HOME[own]}"), own)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
