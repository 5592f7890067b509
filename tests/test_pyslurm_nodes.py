"""Nodes, partitions and reservations under PySlurm's names: pure, and on the lab's Slurm."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machinehost import MachineHost
from tests.slurmhost import ScriptedHost

import labtui.slurm as pyslurm
from labtui.lab.layout import Lab
from labtui.slurm import (
    Node,
    Nodes,
    Partition,
    Partitions,
    PyslurmError,
    Reservation,
    ReservationFlags,
    ReservationReoccurrence,
    Reservations,
    RPCError,
    bridge,
    db,
    parse,
    slurmctld,
)
from labtui.slurm.core.node import _node_state_from_str

Told = list[list[str]]


@pytest.fixture
def told() -> Iterator[Told]:
    """What scontrol was told; it always obeys."""
    seen: Told = []

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[:3] != ["scontrol", "show", "config"]:
            seen.append(argv)
        return 0, "ClusterName = lab\nSlurmdPort = 6818\n", ""

    bridge.connect(ScriptedHost(reply))
    yield seen
    bridge.close()


# -- nodes -----------------------------------------------------------------------------------

LINE = (
    "NodeName=gpu-01 Arch=x86_64 CoresPerSocket=8  CPUAlloc=0 CPUEfctv=16 CPUTot=16 CPULoad=N/A "
    "Gres=gpu:a100:2(S:0) NodeAddr=10.0.0.1 NodeHostName=gpu-01 Port=7001 Version=24.11.5 "
    "RealMemory=64000 AllocMem=0 FreeMem=N/A Sockets=2 Boards=1 MemSpecLimit=500 "
    "State=DOWN*+DRAIN ThreadsPerCore=1 TmpDisk=0 Weight=7 Owner=ana(1002) MCS_label=N/A "
    "Partitions=gpu,debug  BootTime=None SlurmdStartTime=None LastBusyTime=Unknown "
    "CfgTRES=cpu=16 AllocTRES= CurrentWatts=n/s AveWatts=0 "
)


def test_a_node_that_does_not_answer() -> None:
    node = parse(LINE, kind="node")["gpu-01"]
    assert node.state == "DOWN+NOT_RESPONDING+DRAIN"
    assert (node.free_memory, node.cpu_load, node.boot_time, node.current_watts) == (None,) * 4
    assert (node.owner, node.slurmd_port, node.weight) == ("ana", 7001, 7)
    assert node.memory_reserved_for_system == 500
    assert node.configured_gres == {"gpu:a100": 2}
    assert node.partitions == ["gpu", "debug"]
    assert (node.idle_cpus, node.idle_memory) == (16, 64000)


def test_what_people_wrote_of_a_node_is_no_field() -> None:
    wrote = "Reason=bad State=IDLE Weight=99 [ana@1795503360] Comment=a Reason=b Extra=c=d E=f"
    node = parse(f"{LINE}{wrote}\n", kind="node")["gpu-01"]
    assert (node.weight, node.state) == (7, "DOWN+NOT_RESPONDING+DRAIN")
    assert (node.reason, node.reason_user) == ("bad State=IDLE Weight=99", "ana")
    assert node.reason_time == 1795503360
    assert (node.comment, node.extra) == ("a Reason=b", "c=d E=f")
    assert parse(f"{LINE}Comment=only", kind="node")["gpu-01"].comment == "only"


def test_sums_leave_out_what_is_not_known() -> None:
    nodes = parse(f"{LINE}\n{LINE.replace('gpu-01', 'gpu-02').replace('N/A', '12')}", kind="node")
    assert len(nodes) == 2
    assert (nodes.free_memory, nodes.real_memory, nodes.idle_memory) == (12, 128000, 128000)
    assert (nodes.total_cpus, nodes.idle_cpus, nodes.effective_cpus) == (32, 32, 32)
    assert (nodes.allocated_cpus, nodes.allocated_memory) == (0, 0)
    assert (nodes.current_watts, nodes.avg_watts) == (0, 0)
    assert json.loads(nodes.to_json())["gpu-02"]["free_memory"] == 12


def test_states_that_a_node_can_be_asked_for() -> None:
    assert _node_state_from_str("undrain") == "UNDRAIN"
    assert _node_state_from_str("no_resp") == "NORESP"
    assert _node_state_from_str(None) is None
    with pytest.raises(ValueError, match="Invalid Node state: sleepy"):
        Node(state="sleepy")


def test_changes_of_nodes(told: Told) -> None:
    node = Node("gpu-01")
    node.modify(Node(weight=5, reason="disk; swap", state="drain", available_features=["a", "b"]))
    Nodes(["gpu-01", "gpu-02"]).modify(Node(configured_gres={"gpu:a100": 2}))
    node.modify(Node())
    node.create(state="cloud")
    node.delete()
    assert told == [
        ["scontrol", "update", "NodeName=gpu-01", "Weight=5", "Reason=disk; swap", "State=DRAIN",
         "AvailableFeatures=a,b"],
        ["scontrol", "update", "NodeName=gpu-[01-02]", "Gres=gpu:a100:2"],
        ["scontrol", "create", "NodeName=gpu-01", "State=cloud"],
        ["scontrol", "delete", "NodeName=gpu-01"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="You need to set a node name first"):
        Node().create()
    with pytest.raises(AttributeError):
        node.total_cpus = 5


@pytest.mark.parametrize("name", ["nope", "--help", "a b", "", "gpu-[01-02]", "\x1b[2J"])
def test_a_node_that_there_is_not(name: str) -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[1] == "show":
            return 0, "ClusterName = lab\n", ""
        return 1, f"Node {argv[-1]} not found\n", ""

    bridge.connect(ScriptedHost(reply))
    try:
        with pytest.raises(RPCError, match=r"^Node '.*' does not exist$"):
            Node.load(name)
    finally:
        bridge.close()


# -- partitions ------------------------------------------------------------------------------


def test_memory_of_a_partition_is_one_number_for_two_things() -> None:
    part = Partition("normal")
    assert part.allowed_submit_nodes == part.allowed_accounts == ["ALL"]
    assert (part.default_memory_per_cpu, part.default_memory_per_node) == (None, None)
    part.default_memory_per_cpu = "2G"
    assert (part.default_memory_per_cpu, part.default_memory_per_node) == (2048, None)
    part.default_memory_per_node = "2G"
    assert (part.default_memory_per_cpu, part.default_memory_per_node) == (None, 2048)
    assert part._asked() == ["DefMemPerNode=2048"]


def test_changes_of_partitions(told: Told) -> None:
    Partition(
        "new", default_time="20-00:00:00", max_time="UNLIMITED", state="drain", nodes=["a", "b"],
        default_cpus_per_gpu=10, default_memory_per_gpu="10G", is_hidden=True,
        allow_root_jobs=False, oversubscribe="force", preemption_grace_time="00:02:00",
        allowed_accounts=["x", "y"],
    ).create()  # fmt: skip
    Partitions(["one", "two"]).modify(Partition(default_time=120))
    Partition("one").delete()
    assert told[0][:3] == ["scontrol", "create", "PartitionName=new"]
    assert set(told[0][3:]) == {
        "DefaultTime=28800", "MaxTime=UNLIMITED", "State=DRAIN", "Nodes=a,b", "Hidden=YES",
        "DisableRootJobs=YES", "OverSubscribe=FORCE:4", "GraceTime=120", "AllowAccounts=x,y",
        "JobDefaults=DefCpuPerGPU=10,DefMemPerGPU=10240",
    }  # fmt: skip
    assert told[1:] == [
        ["scontrol", "update", "PartitionName=one", "DefaultTime=120"],
        ["scontrol", "update", "PartitionName=two", "DefaultTime=120"],
        ["scontrol", "delete", "PartitionName=one"],
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("state", "off"), ("preempt_mode", "maybe"), ("max_nodes", -1), ("max_time", "soon"),
     ("default_memory_per_cpu", "lots"), ("min_nodes", "three")],
)  # fmt: skip
def test_what_a_partition_cannot_be_set_to(name: str, value: Any) -> None:
    with pytest.raises(ValueError):
        Partition("one", **{name: value})


def test_a_partition_without_a_name() -> None:
    for call in (Partition().create, Partition().delete):
        with pytest.raises(ValueError, match="You need to set a Partition name"):
            call()


# -- reservations ----------------------------------------------------------------------------


def test_times_of_a_reservation() -> None:
    resv = Reservation("test")
    assert (resv.accounts, resv.start_time, resv.end_time, resv.duration) == ([], None, None, 0)
    assert resv.is_active is False
    assert resv.cpu_ids_by_node == {}
    start = datetime.now()
    resv.start_time = start
    resv.duration = "1-00:00:00"
    assert (resv.start_time, resv.duration) == (int(start.timestamp()), 1440)
    assert resv.end_time == resv.start_time + 86400
    assert resv.is_active is True
    resv.duration += 1440
    assert resv.end_time == resv.start_time + 2 * 86400
    with pytest.raises(ValueError, match="end_time cannot be earlier"):
        resv.end_time = resv.start_time - 1
    assert resv.reoccurrence == ReservationReoccurrence.NO == "NO"
    resv.flags = ["FLEX", "PURGE"]
    assert resv.flags == ReservationFlags.FLEX | ReservationFlags.PURGE
    assert ReservationFlags.SCHED_FAILED in ReservationFlags(
        (ReservationFlags.SCHED_FAILED | ReservationFlags.SPECIFIC_NODES).value
    )


def test_changes_of_reservations(told: Told) -> None:
    resv = Reservation(
        "maint", start_time=1795513600, duration=60, users=["root"], node_count=1,
        reoccurrence="DAILY", flags=["MAINTENANCE", "STATIC_NODES"], partition="gpu",
    )  # fmt: skip
    resv.create()
    resv.reoccurrence = ReservationReoccurrence.NO
    resv.modify()
    resv.flags = ReservationFlags.FLEX
    resv.modify()
    resv.purge_time = "00:10:00"
    resv.modify()
    resv.modify()
    resv.modify(Reservation(comment="disk swap"))
    resv.delete()
    assert told[0][:4] == ["scontrol", "create", "reservation", "ReservationName=maint"]
    assert set(told[0][4:]) == {
        "StartTime=uts1795513600", "EndTime=uts1795517200", "Users=root", "NodeCnt=1",
        "PartitionName=gpu", "Flags=MAINT,STATIC_ALLOC,DAILY",
    }  # fmt: skip
    update = ["scontrol", "update", "ReservationName=maint"]
    assert told[1:] == [
        [*update, "Flags=-DAILY"],
        [*update, "Flags=FLEX,-MAINT,-STATIC_ALLOC"],
        [*update, "Flags=FLEX,PURGE_COMP=00:10:00"],
        [*update, "Comment=disk swap"],
        ["scontrol", "delete", "ReservationName=maint"],
    ]
    with pytest.raises(RPCError, match="You must at least specify a start_time"):
        Reservation("x", start_time="now").create()
    with pytest.raises(RPCError, match="No Reservation name was specified"):
        Reservation(start_time="now", duration=5).create()


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "said", "errno", "msg"),
    [
        (Partition("nope").delete,
         "delete_partition PartitionName=nope: Invalid partition name specified", 2000,
         "Invalid partition name specified"),
        (Partition("gpu").create,
         "Error creating the partition: Invalid partition name specified", 2000,
         "Invalid partition name specified"),
        (Reservation("nope").delete,
         "delete_reservation ReservationName=nope: Requested reservation is invalid", 2053,
         "Requested reservation is invalid"),
        (Reservation("r", start_time="now", duration=5, nodes="gpu-01").create,
         "Error creating the reservation: Requested nodes are busy", 2016,
         "Requested nodes are busy"),
        (Node("nope").delete,
         "failed to delete nodes nope\ndelete_node NodeName=nope: Invalid node name specified",
         2018, "Invalid node name specified"),
        (slurmctld.enable_scheduler_logging,
         "slurm_set_schedlog_level error: Requested operation is presently disabled", 2037,
         "Requested operation is presently disabled"),
        (lambda: slurmctld.takeover(3), "takeover: invalid backup controller index (3)", -1,
         "takeover: invalid backup controller index (3)"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_slurms_own_words(act: Any, said: str, errno: int, msg: str) -> None:
    bridge.connect(ScriptedHost(lambda argv, stdin: (1, "", f"{said}\n")))
    try:
        with pytest.raises(RPCError) as found:
            act()
    finally:
        bridge.close()
    assert (found.value.errno, str(found.value), found.value.msg) == (errno, msg, msg)
    assert found.value.said[-1].endswith(msg)


@pytest.mark.parametrize("kind", [Node, Partition, Reservation, db.Association, db.Job])
@pytest.mark.parametrize("name", ["nope", "to_dict", "_changed"])
def test_what_there_is_not_cannot_be_asked_for(kind: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=f"{kind.__name__} has no field {name}"):
        kind(**{name: 1})


# -- None and empty --------------------------------------------------------------------------

ASSIGNABLE = [
    (kind, name)
    for kind in (Node, Partition, Reservation, db.Association, db.Job)
    for name, field in kind._fields.items()
    if field.settable
]


@pytest.mark.parametrize(("kind", "name"), ASSIGNABLE)
def test_none_asks_for_nothing(kind: Any, name: str) -> None:
    assert kind(**{name: None})._sent() == kind()._sent() == []


def test_none_beside_a_change(told: Told) -> None:
    Partition("t2").modify(
        Partition(max_time=60, min_nodes=None, nodes=None, allowed_accounts=None,
                  default_memory_per_node=512, default_memory_per_cpu=None, preempt_mode=None,
                  oversubscribe="XX", default_cpus_per_gpu=None)
    )  # fmt: skip
    soon = Reservation("maint", start_time=1795513600, duration=60, users=["root"], groups=None,
                       purge_time=None, node_count=None)  # fmt: skip
    soon.end_time = soon.duration = None
    Reservation("maint").modify(soon)
    changes = Partition(max_time=60)
    changes.max_time = None
    Partition("t2").modify(changes)
    assert told == [
        ["scontrol", "update", "PartitionName=t2", "MaxTime=60", "DefMemPerNode=512"],
        ["scontrol", "update", "ReservationName=maint", "StartTime=uts1795513600", "Users=root"],
    ]


def test_empty_clears(told: Told) -> None:
    Partition("t2").modify(Partition(nodes=[], qos="", allowed_accounts=[]))
    Node("gpu-01").modify(Node(comment="", configured_gres={}, available_features=""))
    assert told == [
        ["scontrol", "update", "PartitionName=t2", "Nodes=", "QoS=", "AllowAccounts="],
        ["scontrol", "update", "NodeName=gpu-01", "Comment=", "Gres=", "AvailableFeatures="],
    ]


# -- bad input -------------------------------------------------------------------------------

WORD = st.text(max_size=12)
FIELD = st.builds("{}={}".format, st.sampled_from(
    ["NodeName", "CPUAlloc", "CPULoad", "State", "RealMemory", "Gres", "PartitionName", "MaxTime",
     "DefMemPerCPU", "JobDefaults", "OverSubscribe", "ReservationName", "StartTime", "Flags",
     "Comment", "MaxStartDelay", "Port", "AllocTRES"]), WORD)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(FIELD, max_size=8).map(" ".join), st.sampled_from(["node", "partition"]))
def test_no_text_breaks_the_parsers(line: str, kind: str) -> None:
    for text in (line, f"NodeName=a State=IDLE {line}", f"PartitionName=a {line}"):
        try:
            found = parse(text, kind=kind)
        except PyslurmError:
            continue
        for one in found.values():
            assert json.dumps(one.to_dict(recursive=True), default=str)


@settings(max_examples=40, deadline=None)
@given(st.lists(FIELD, max_size=8).map(" ".join))
def test_no_text_breaks_the_parser_of_reservations(line: str) -> None:
    for one in parse(f"ReservationName=a {line}", kind="reservation").values():
        assert one.duration >= 0
        assert one.to_dict()


# -- on the lab ------------------------------------------------------------------------------


@pytest.fixture
def slurm(lab: Lab) -> Iterator[Any]:
    """PySlurm's names as root on the lab's login machine."""
    bridge.connect(MachineHost(lab))
    yield pyslurm
    bridge.close()


@pytest.mark.lab
def test_nodes_of_the_lab(slurm: Any) -> None:
    nodes = Nodes.load()
    assert set(nodes) == {"desktop-gpu", "xps15-cpu", "jetson-edge"}
    assert nodes.total_cpus == 34
    node = Node.load("xps15-cpu")
    assert (node.total_cpus, node.real_memory, node.slurmd_port) == (12, 32000, 6818)
    assert node.cluster == pyslurm.settings.LOCAL_CLUSTER
    assert node.slurm_version
    with pytest.raises(RPCError, match=r"^Node 'nonexistent' does not exist$"):
        Node.load("nonexistent")
    before = node.weight
    try:
        node.modify(Node(weight=1000, comment="p2: State=DOWN"))
        changed = Node.load("xps15-cpu")
        assert (changed.weight, changed.comment) == (1000, "p2: State=DOWN")
    finally:
        node.modify(Node(weight=before, comment=""))
    assert Node.load("xps15-cpu").comment is None


@pytest.mark.lab
def test_partitions_of_the_lab(slurm: Any) -> None:
    parts = Partitions.load()
    assert {"gpu", "cpu", "edge"} <= set(parts)
    assert (parts["cpu"].max_time, parts["cpu"].is_default) == (2880, True)
    with pytest.raises(RPCError, match=r"^Partition 'nonexistent' doesn't exist$"):
        Partition.load("nonexistent")
    name = "p2-test"
    part = Partition(name, nodes="xps15-cpu", default_time="1:00:00", default_memory_per_cpu=512)
    part.create()
    try:
        Partition(name).modify(Partition(max_time="UNLIMITED", state="DRAIN", is_hidden=True))
        found = Partition.load(name)
        assert (found.default_time, found.default_memory_per_cpu) == (60, 512)
        assert (found.max_time, found.state, found.is_hidden) == ("UNLIMITED", "DRAIN", True)
        mine = Partitions([name]).reload()
        assert mine[name].state == "DRAIN"
    finally:
        part.delete()
    assert name not in Partitions.load()


@pytest.mark.lab
def test_a_reservation_of_the_lab(slurm: Any) -> None:
    start = int(time.time()) + 86400
    Reservation(
        "p2-test", start_time=start, duration="1:00:00", users=["root"], nodes="jetson-edge",
        reoccurrence="DAILY", flags=["FLEX"],
    ).create()  # fmt: skip
    try:
        found = Reservation.load("p2-test")
        assert (found.start_time, found.end_time, found.duration) == (start, start + 3600, 60)
        assert (found.reoccurrence, found.nodes, found.users) == ("DAILY", "jetson-edge", ["root"])
        found.duration += 60
        found.reoccurrence = ReservationReoccurrence.NO
        found.modify()
        found = Reservation.load("p2-test")
        assert (found.duration, found.reoccurrence) == (120, "NO")
        found.flags = ReservationFlags.MAINTENANCE
        found.modify()
        flags = Reservation.load("p2-test").flags
        assert ReservationFlags.MAINTENANCE in flags
        assert ReservationFlags.FLEX not in flags
        found.purge_time = "00:10:00"
        found.modify()
        assert Reservation.load("p2-test").purge_time == 600
    finally:
        Reservation("p2-test").delete()
    assert "p2-test" not in Reservations.load()
    with pytest.raises(RPCError, match=r"^Reservation 'p2-test' doesn't exist$"):
        Reservation.load("p2-test")
