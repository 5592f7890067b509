"""`pyslurm.settings`: LOCAL_CLUSTER, the name of the cluster that `bridge.connect` chose."""

from __future__ import annotations

from labtui.slurm import bridge

UNKNOWN = "UNKNOWN"
"""Where no Slurm answers."""

LOCAL_CLUSTER: str


def local_cluster() -> str:
    """The cluster's name, for what nobody named a cluster for; see `bridge.cluster_name`."""
    return bridge.cluster_name() or UNKNOWN


def __getattr__(name: str) -> str:
    if name == "LOCAL_CLUSTER":
        return bridge.cluster_name(wait=True) or UNKNOWN
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
