"""Nodes: `Nodes.load()`, `Node("gpu-01").modify(Node(weight=5))`."""

from __future__ import annotations

from typing import Any, Self

from labtui.slurm import bridge, settings, values, xcollections
from labtui.slurm.core.telling import control
from labtui.slurm.served import (
    COUNT,
    GRES,
    LIST,
    MOMENT,
    SIZE,
    TRES,
    WORD,
    WRITTEN,
    Changeable,
    Kind,
    Served,
    as_count,
    as_gres,
    as_list,
    as_text,
    binding,
    none,
)
from labtui.slurm.utils.helpers import gres_from_tres_dict, nodelist_to_range_str

_ASKED = frozenset(
    {
        "CANCEL_REBOOT", "DOWN", "DRAIN", "FAIL", "FUTURE", "NORESP", "NO_RESP", "POWER_DOWN",
        "POWER_DOWN_ASAP", "POWER_DOWN_FORCE", "POWER_UP", "RESUME", "UNDRAIN",
    }
)  # fmt: skip
"""States that a node can be asked to take."""


def _node_state_from_str(state: Any, err_on_invalid: bool = True) -> str | None:
    """A state as scontrol takes it. ValueError for one that cannot be asked for."""
    word = str(state or "").upper()
    if word in _ASKED:
        return {"NO_RESP": "NORESP"}.get(word, word)
    if word and err_on_invalid:
        raise ValueError(f"Invalid Node state: {state}")
    return None


def _load(value: Any) -> float | None:
    return value / 100 if isinstance(value, int) else None


def _load_text(value: str) -> float | None:
    whole, _, part = value.partition(".")
    known = values.whole(whole) is not None and values.whole(part) is not None
    return float(value) if known else None


LOAD: Kind[float | None] = Kind(_load_text, lambda v: _load(COUNT.json(v)), none)


class Node(Changeable):
    """One node. Memory in MiB; moments in unix seconds."""

    cluster: str
    """The cluster it is in."""

    name = Served(WORD, "NodeName", "name", "Its name in Slurm.", put=as_text)
    architecture = Served(WORD, "Arch", "architecture", "`x86_64`")
    configured_gres = Served(
        GRES, "Gres", "gres", "Generic resources it has: `{'gpu:a100': 2}`.", put=as_gres
    )
    owner = Served(WORD, "Owner", "owner", "Whose jobs alone may run on it now.")
    address = Served(WORD, "NodeAddr", "address", "Where slurmctld reaches it.", put=as_text)
    hostname = Served(WORD, "NodeHostName", "hostname", "Its own host name.", put=as_text)
    extra = Served(WRITTEN, "Extra", "extra", "Free text.", put=as_text)
    reason = Served(WRITTEN, "Reason", "reason", "Why it is drained or down.", put=as_text)
    reason_user = Served(WORD, "ReasonUser", "reason_set_by_user", "Who gave the reason.")
    comment = Served(WRITTEN, "Comment", "comment", "Free text.", put=as_text)
    bcast_address = Served(
        WORD, "BcastAddr", "burstbuffer_network_address", "Where sbcast reaches it."
    )
    slurm_version = Served(WORD, "Version", "version|slurmd_version", "slurmd's release.")
    operating_system = Served(WORD, "OS", "operating_system", "Its kernel, as uname tells.")
    mcs_label = Served(WORD, "MCS_label", "mcs_label", "Its label, with an MCS plugin.")
    allocated_memory = Served(COUNT, "AllocMem", "alloc_memory", "MiB that jobs hold.")
    real_memory = Served(SIZE, "RealMemory", "real_memory", "MiB it is configured with.")
    free_memory = Served(SIZE, "FreeMem", "free_mem|free_memory", "MiB free by its own account.")
    memory_reserved_for_system = Served(
        SIZE, "MemSpecLimit", "specialized_memory", "MiB kept from jobs."
    )
    temporary_disk = Served(SIZE, "TmpDisk", "temporary_disk", "MiB of TmpFS.")
    weight = Served(SIZE, "Weight", "weight", "Nodes of a low one are used first.", put=as_count)
    effective_cpus = Served(COUNT, "CPUEfctv", "effective_cpus", "CPUs that jobs may use.")
    total_cpus = Served(COUNT, "CPUTot", "cpus", "CPUs it is configured with.")
    sockets = Served(COUNT, "Sockets", "sockets", "Sockets.")
    cores_reserved_for_system = Served(
        SIZE, "CoreSpecCount", "specialized_cores", "Cores kept from jobs."
    )
    boards = Served(SIZE, "Boards", "boards", "Boards.")
    cores_per_socket = Served(SIZE, "CoresPerSocket", "cores", "Cores a socket.")
    threads_per_core = Served(SIZE, "ThreadsPerCore", "threads", "Threads a core.")
    available_features = Served(
        LIST, "AvailableFeatures", "features", "Features it can have.", put=as_list
    )
    active_features = Served(
        LIST, "ActiveFeatures", "active_features", "Features it has now.", put=as_list
    )
    partitions = Served(LIST, "Partitions", "partitions", "Names of its partitions.")
    boot_time = Served(MOMENT, "BootTime", "boot_time", "When it booted.")
    slurmd_start_time = Served(
        MOMENT, "SlurmdStartTime", "slurmd_start_time", "When slurmd started."
    )
    last_busy_time = Served(MOMENT, "LastBusyTime", "last_busy", "When it last had a job.")
    reason_time = Served(MOMENT, "ReasonTime", "reason_changed_at", "When the reason was given.")
    allocated_tres = Served(TRES, "AllocTRES", "tres_used", "What jobs hold: `{'cpu': 4}`.")
    allocated_cpus = Served(COUNT, "CPUAlloc", "alloc_cpus", "CPUs that jobs hold.")
    cpu_binding = Served(
        binding, "CpuBind", "cpu_binding", "How tasks are bound here.", put=as_text
    )
    current_watts = Served(COUNT, "CurrentWatts", "energy.current_watts", "Power now.")
    avg_watts = Served(COUNT, "AveWatts", "energy.average_watts", "Power on average.")
    state = Served(
        WORD, "State", "state", "`IDLE+DRAIN`; MIXED where a part is used.",
        put=_node_state_from_str,
    )  # fmt: skip
    next_state = Served(
        WORD, "NextState", "next_state_after_reboot", "State after the reboot that is asked for."
    )
    cpu_load = Served(LOAD, "CPULoad", "cpu_load", "Load average of the last minute.")
    slurmd_port = Served(
        COUNT, "Port", "port", "slurmd's port; `SlurmdPort` of `scontrol show config` where the "
        "text has none, as only a port of its own is shown there."
    )  # fmt: skip

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self._changed = {}
        self.name = name
        self.cluster = settings.local_cluster()
        self._assign(kwargs)

    def __repr__(self) -> str:
        return f"pyslurm.Node({self.name})"

    @property
    def idle_cpus(self) -> int | None:
        """`effective_cpus` without `allocated_cpus`; 0 where more is held than there is now."""
        if self.effective_cpus is None or self.allocated_cpus is None:
            return None
        return max(0, self.effective_cpus - self.allocated_cpus)

    @property
    def idle_memory(self) -> int | None:
        """MiB: `real_memory` without `allocated_memory`."""
        if self.real_memory is None or self.allocated_memory is None:
            return None
        return max(0, self.real_memory - self.allocated_memory)

    @property
    def allocated_gres(self) -> dict[str, Any]:
        """`{'gpu:a100': 1}`, the generic resources of `allocated_tres`."""
        return gres_from_tres_dict(self.allocated_tres)

    @staticmethod
    def load(name: str) -> Node:
        """`scontrol show node NAME`. RPCError where there is no such node."""
        from labtui.slurm.core import aio

        return bridge.call(lambda client: aio.node(client, name))

    def create(self, state: str = "future") -> Self:
        """`scontrol create NodeName=NAME State=STATE`: "future" or "cloud"; Slurm 22.05 or later,
        with MaxNodeCount set. ValueError without a name, RPCError where Slurm refuses."""
        if not self.name:
            raise ValueError("You need to set a node name first.")
        control("create", f"NodeName={self.name}", f"State={state}")
        return self

    def modify(self, changes: Node) -> None:
        """`scontrol update NodeName=NAME ...` with what is set in `changes`. RPCError where Slurm
        refuses."""
        _update(self.name, changes)

    def delete(self) -> None:
        """`scontrol delete NodeName=NAME`. RPCError where Slurm refuses."""
        control("delete", f"NodeName={self.name}")


class Nodes(xcollections.MultiClusterMap[str, Node]):
    """Nodes by name; the sums leave out what is not known."""

    def __init__(self, nodes: Any = None) -> None:
        super().__init__(nodes, "Nodes", Node, str, Node.name)

    @staticmethod
    def load(preload_passwd_info: bool = False) -> Nodes:
        """`scontrol -a -d -o show node`. Users come by name from Slurm: `preload_passwd_info` has
        nothing to speed up."""
        from labtui.slurm.core import aio

        return bridge.call(aio.nodes)

    def reload(self) -> Self:
        """The same nodes as they are now."""
        xcollections.multi_reload(self)
        return self

    def modify(self, changes: Node) -> None:
        """`scontrol update NodeName=LIST ...`: `changes` for all of them."""
        _update(nodelist_to_range_str(list(self.keys())), changes)

    @property
    def free_memory(self) -> int:
        """MiB, summed."""
        return int(xcollections.sum_property(self, Node.free_memory))

    @property
    def real_memory(self) -> int:
        """MiB, summed."""
        return int(xcollections.sum_property(self, Node.real_memory))

    @property
    def idle_memory(self) -> int:
        """MiB, summed."""
        return int(xcollections.sum_property(self, Node.idle_memory))

    @property
    def allocated_memory(self) -> int:
        """MiB, summed."""
        return int(xcollections.sum_property(self, Node.allocated_memory))

    @property
    def total_cpus(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.total_cpus))

    @property
    def idle_cpus(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.idle_cpus))

    @property
    def allocated_cpus(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.allocated_cpus))

    @property
    def effective_cpus(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.effective_cpus))

    @property
    def current_watts(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.current_watts))

    @property
    def avg_watts(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, Node.avg_watts))


def _update(names: str | None, changes: Node) -> None:
    if names and (asked := changes._sent("name")):
        control("update", f"NodeName={names}", *asked)
