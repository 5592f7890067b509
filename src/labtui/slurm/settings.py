"""`pyslurm.settings`: LOCAL_CLUSTER, the name of the cluster that `bridge.connect` chose."""

from __future__ import annotations

from labtui.slurm import bridge

UNKNOWN = "UNKNOWN"
"""Where no Slurm answers."""

LOCAL_CLUSTER: str


def local_cluster() -> str:
    """The cluster's name. Asked once a connection; never from inside an event loop."""
    return bridge.cluster_name() or UNKNOWN


def __getattr__(name: str) -> str:
    if name == "LOCAL_CLUSTER":
        return local_cluster()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
