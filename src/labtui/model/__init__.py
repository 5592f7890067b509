"""What the screens show and `labtui get --json` prints: one struct a noun.

Field names are the contract with scripts (docs/cli.md): units are in the names, an unknown value
is None, never 0 or "". More fields may be added; none is renamed.
"""

from labtui.model.base import Item
from labtui.model.cards import Finding, Gpu, GpuHours, GpuProcess, Holder, MigInstance
from labtui.model.kubernetes import KubeGpus, KubeNode, Pod, SlicingConfig, SlurmCluster
from labtui.model.machines import Alert, Node, SourceState
from labtui.model.queue import ArrayJob, Job, Partition, Qos, Reservation, Share
from labtui.model.runs import Run
from labtui.model.vault import Agent, OldHolder, Secret, VaultNode, VaultState

__all__ = [
    "Agent",
    "Alert",
    "ArrayJob",
    "Finding",
    "Gpu",
    "GpuHours",
    "GpuProcess",
    "Holder",
    "Item",
    "Job",
    "KubeGpus",
    "KubeNode",
    "MigInstance",
    "Node",
    "OldHolder",
    "Partition",
    "Pod",
    "Qos",
    "Reservation",
    "Run",
    "Secret",
    "Share",
    "SlicingConfig",
    "SlurmCluster",
    "SourceState",
    "VaultNode",
    "VaultState",
]
