"""Partitions: `Partitions.load()`, `Partition("gpu").modify(Partition(state="DRAIN"))`."""

from __future__ import annotations

from typing import Any, Self

from labtui.slurm import bridge, settings, xcollections
from labtui.slurm.core.partition_kinds import (
    CHOSEN,
    MEMORY,
    MODE,
    ROOT,
    SHARED,
    SPAN,
    STATE,
    as_oversubscribe,
    as_per_gpu,
    as_preempt_mode,
    as_state,
    default_of,
)
from labtui.slurm.core.telling import control
from labtui.slurm.served import (
    ALL,
    COUNT,
    LIST,
    MINUTES,
    SIZE,
    WORD,
    YES,
    Changeable,
    Served,
    as_count,
    as_flag,
    as_list,
    as_mib,
    as_minutes,
    as_seconds,
    as_text,
    binding,
)


class Partition(Changeable):
    """One partition. Memory in MiB; "UNLIMITED" where there is no limit."""

    cluster: str
    """The cluster it is in."""

    name = Served(WORD, "PartitionName", "name", "Its name.", put=as_text)
    allowed_submit_nodes = Served(
        ALL, "AllocNodes", "nodes.allowed_allocation|allowed_allocation_nodes",
        "Nodes that jobs may be submitted from.", put=as_list,
    )  # fmt: skip
    allowed_accounts = Served(
        ALL, "AllowAccounts", "accounts.allowed|allowed_accounts", "Accounts that may use it.",
        put=as_list,
    )  # fmt: skip
    allowed_groups = Served(
        ALL, "AllowGroups", "groups.allowed|allowed_groups", "Groups that may use it.",
        put=as_list,
    )  # fmt: skip
    allowed_qos = Served(
        ALL, "AllowQos", "qos.allowed|allowed_qos", "QoS that may use it.", put=as_list
    )
    alternate = Served(
        WORD, "Alternate", "alternate|alternative", "Partition used where this one is down.",
        put=as_text,
    )  # fmt: skip
    select_type_parameters = Served(
        CHOSEN, "SelectTypeParameters", "select_type", "Its own, beside the cluster's."
    )
    cpu_binding = Served(
        binding, "CpuBind", "cpus.task_binding", "How tasks are bound.", put=as_text
    )
    default_memory_per_cpu = Served(
        MEMORY, "DefMemPerCPU", "defaults.partition_memory_per_cpu|default_memory_per_cpu",
        "MiB a job gets for each CPU.", put=as_mib,
    )  # fmt: skip
    default_memory_per_node = Served(
        MEMORY, "DefMemPerNode", "defaults.partition_memory_per_node|default_memory_per_node",
        "MiB a job gets on each node.", put=as_mib,
    )  # fmt: skip
    max_memory_per_cpu = Served(
        MEMORY, "MaxMemPerCPU", "maximums.partition_memory_per_cpu|maximum_memory_per_cpu",
        "MiB that a job may ask for each CPU.", put=as_mib,
    )  # fmt: skip
    max_memory_per_node = Served(
        MEMORY, "MaxMemPerNode", "maximums.partition_memory_per_node|maximum_memory_per_node",
        "MiB that a job may ask on each node.", put=as_mib,
    )  # fmt: skip
    default_time = Served(
        MINUTES, "DefaultTime", "defaults.time|default_time_limit",
        "Minutes that a job gets which asks for none.", put=as_minutes,
    )  # fmt: skip
    denied_qos = Served(
        ALL, "DenyQos", "qos.deny|denied_qos", "QoS that may not use it; `['ALL']`, as PySlurm "
        "has it, where none is denied.", put=as_list,
    )  # fmt: skip
    denied_accounts = Served(
        ALL, "DenyAccounts", "accounts.deny|denied_accounts", "Accounts that may not use it; "
        "`['ALL']`, as PySlurm has it, where none is denied.", put=as_list,
    )  # fmt: skip
    preemption_grace_time = Served(
        SIZE, "GraceTime", "grace_time|preemption_grace_time", "Seconds before a job is preempted.",
        put=as_seconds,
    )  # fmt: skip
    default_cpus_per_gpu = Served(
        default_of("DefCpuPerGPU"), "JobDefaults", "defaults.job", "CPUs a job gets for each GPU.",
        put=as_per_gpu,
    )  # fmt: skip
    default_memory_per_gpu = Served(
        default_of("DefMemPerGPU"), "JobDefaults", "defaults.job", "MiB a job gets for each GPU.",
        put=as_per_gpu,
    )  # fmt: skip
    max_cpus_per_node = Served(
        SPAN, "MaxCPUsPerNode", "maximums.cpus_per_node|maximum_cpus_per_node",
        "CPUs that jobs may hold of each node.", put=as_count,
    )  # fmt: skip
    max_cpus_per_socket = Served(
        SPAN, "MaxCPUsPerSocket", "maximums.cpus_per_socket",
        "CPUs that jobs may hold of each socket.", put=as_count,
    )  # fmt: skip
    max_nodes = Served(
        SPAN, "MaxNodes", "maximums.nodes|maximum_nodes_per_job", "Nodes that a job may have.",
        put=as_count,
    )  # fmt: skip
    min_nodes = Served(
        COUNT, "MinNodes", "minimums.nodes|min nodes per job", "Nodes that a job must ask for.",
        put=as_count,
    )  # fmt: skip
    max_time = Served(
        MINUTES, "MaxTime", "maximums.time|max_time_limit", "Minutes that a job may run.",
        put=as_minutes,
    )  # fmt: skip
    oversubscribe = Served(
        SHARED, "OverSubscribe", "partition.oversubscribe",
        "`NO`, `EXCLUSIVE`, `YES:4`, `FORCE:2`; before v0.0.45 of `maximums.oversubscribe`.",
        put=as_oversubscribe,
    )  # fmt: skip
    nodes = Served(WORD, "Nodes", "nodes.configured|nodes", "Its nodes as a list with ranges.",
                   put=lambda v: ",".join(as_list(v)))  # fmt: skip
    nodesets = Served(LIST, "NodeSets", "node_sets", "Node sets it is made of.", put=as_list)
    over_time_limit = Served(
        MINUTES, "OverTimeLimit", "maximums.over_time_limit|over_time_limit",
        "Minutes that a job may run over its limit.", put=as_count,
    )  # fmt: skip
    preempt_mode = Served(
        MODE, "PreemptMode", "preempt_mode|preemption_mode",
        "`OFF`, `CANCEL`, `REQUEUE`, `SUSPEND,GANG`; None in a JSON document that says the "
        "cluster's counts.", put=as_preempt_mode,
    )  # fmt: skip
    priority_job_factor = Served(
        SIZE, "PriorityJobFactor", "priority.job_factor|priority_job_factor",
        "Its part in a job's priority.", put=as_count,
    )  # fmt: skip
    priority_tier = Served(
        SIZE, "PriorityTier", "priority.tier|priority_tier", "Higher ones are served first.",
        put=as_count,
    )  # fmt: skip
    qos = Served(WORD, "QoS", "qos.assigned|qos", "Its own QoS.", put=as_text)
    total_cpus = Served(COUNT, "TotalCPUs", "cpus.total|total_cpus", "CPUs of its nodes.")
    total_nodes = Served(COUNT, "TotalNodes", "nodes.total|total_nodes", "Its nodes.")
    state = Served(
        STATE, "State", "partition.state|state", "UP, DOWN, INACTIVE, DRAIN; UNKNOWN.",
        put=as_state,
    )  # fmt: skip
    is_default = Served(YES, "Default", "", "Jobs that name none go here.", put=as_flag)
    allow_root_jobs = Served(
        ROOT, "DisableRootJobs", "", "Root may run jobs here. (PySlurm 25.11 has it the wrong way "
        "round.)", put=as_flag,
    )  # fmt: skip
    is_user_exclusive = Served(
        YES, "ExclusiveUser", "", "Nodes are for one user at a time.", put=as_flag
    )
    is_hidden = Served(YES, "Hidden", "", "Shown with `-a` only.", put=as_flag)
    least_loaded_nodes_scheduling = Served(
        YES, "LLN", "", "Least loaded nodes are used first.", put=as_flag
    )
    is_root_only = Served(YES, "RootOnly", "", "Root alone may use it.", put=as_flag)
    requires_reservation = Served(YES, "ReqResv", "", "Jobs need a reservation.", put=as_flag)
    power_down_on_idle = Served(
        YES, "PowerDownOnIdle", "", "Idle nodes are powered down; told only with power saving.",
        put=as_flag,
    )  # fmt: skip

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self._changed = {}
        self.name = name
        self.cluster = settings.local_cluster()
        self._assign(kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # Slurm keeps one number for both: the one that is set later counts.
        other = _PAIRED.get(name)
        if other is not None and name in self._changed:
            self.__dict__.pop(other, None)
            self._changed.pop(other, None)

    def __repr__(self) -> str:
        return f"pyslurm.Partition({self.name})"

    def _error_or_name(self) -> str:
        if not self.name:
            raise ValueError("You need to set a Partition name for this instance.")
        return self.name

    def _asked(self) -> list[str]:
        """What was assigned, as scontrol takes it."""
        per_gpu = {
            "DefCpuPerGPU": "default_cpus_per_gpu", "DefMemPerGPU": "default_memory_per_gpu"
        }  # fmt: skip
        asked = self._sent("name", *per_gpu.values())
        if self._changed.keys() & per_gpu.values():
            known = {key: getattr(self, name) for key, name in per_gpu.items()}
            words = [f"{key}={value}" for key, value in known.items() if value is not None]
            asked.append(f"JobDefaults={','.join(words)}")
        return asked

    @staticmethod
    def load(name: str) -> Partition:
        """One of `scontrol show partition`. RPCError where there is no such partition."""
        from labtui.slurm.core import aio

        return bridge.call(lambda client: aio.partition(client, name))

    def create(self) -> Self:
        """`scontrol create PartitionName=NAME ...`. ValueError without a name, RPCError where
        Slurm refuses."""
        control("create", f"PartitionName={self._error_or_name()}", *self._asked())
        return self

    def modify(self, changes: Partition) -> None:
        """`scontrol update PartitionName=NAME ...` with what is set in `changes`. RPCError where
        Slurm refuses."""
        name = self._error_or_name()
        if asked := changes._asked():
            control("update", f"PartitionName={name}", *asked)

    def delete(self) -> None:
        """`scontrol delete PartitionName=NAME`. RPCError where Slurm refuses."""
        control("delete", f"PartitionName={self._error_or_name()}")


_PAIRED = {
    "default_memory_per_cpu": "default_memory_per_node",
    "default_memory_per_node": "default_memory_per_cpu",
    "max_memory_per_cpu": "max_memory_per_node",
    "max_memory_per_node": "max_memory_per_cpu",
}


class Partitions(xcollections.MultiClusterMap[str, Partition]):
    """Partitions by name."""

    def __init__(self, partitions: Any = None) -> None:
        super().__init__(partitions, "Partitions", Partition, str, Partition.name)

    @staticmethod
    def load() -> Partitions:
        """`scontrol -a -o show partition`."""
        from labtui.slurm.core import aio

        return bridge.call(aio.partitions)

    def reload(self) -> Self:
        """The same partitions as they are now."""
        xcollections.multi_reload(self)
        return self

    def modify(self, changes: Partition) -> None:
        """`changes` for each of them, one `scontrol update` a partition."""
        for partition in self.values():
            partition.modify(changes)

    @property
    def total_cpus(self) -> int:
        """Summed: a node in two partitions counts twice."""
        return int(xcollections.sum_property(self, Partition.total_cpus))

    @property
    def total_nodes(self) -> int:
        """Summed: a node in two partitions counts twice."""
        return int(xcollections.sum_property(self, Partition.total_nodes))
