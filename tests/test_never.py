"""What can never run is said before it is sent; what could run, or is not known, never is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labtui.model import Node, Reservation
from labtui.slurm.limits import check_limits
from labtui.slurm.never import counted, gres_there
from labtui.slurm.script import batch_script
from labtui.slurm.types import Association, Partition, Qos
from labtui.slurm.usage import Context

GPU = Partition("gpu", is_default=True, nodes=("g1",), max_time=60, total_cpus=8, total_nodes=1,
                tres={"cpu": 8, "gres/gpu": 4}, allowed_accounts=("physics",))  # fmt: skip
NODE = Node(name="g1", cpus_total=8, memory_total_mib=32000, gpus=4, gpus_alloc=0,
            gres="gpu:4(S:0-1),shard:8", slurm_state="IDLE", features=("a",))  # fmt: skip
TREE = [
    Association(cluster="lab", account="root"),
    Association(cluster="lab", account="physics", parent="root"),
    Association(cluster="lab", account="chem", parent="root"),
    Association(cluster="lab", account="quarks", parent="physics"),
]
ANA = Association(cluster="lab", account="chem", user="ana", default_qos="n")
CONF = {"AccountingStorageEnforce": "limits", "ClusterName": "lab"}
ONE = Context(1000.0, partitions=[GPU], nodes=[NODE], me="ana", associations=[*TREE, ANA],
              settings=CONF, qos=[Qos(name="n", max_wall=30)])  # fmt: skip
OPEN = replace(ONE, partitions=[replace(GPU, allowed_accounts=())])


def said(context: Context, **options: str) -> str:
    return " | ".join(check_limits(batch_script("x", **options), context))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time": "0"}, "time: no time limit wanted, gpu allows at most 1:00:00"),
        ({"time": "0"}, "time: qos n allows at most 30:00"),
        ({"time": "45"}, "time: qos n allows at most 30:00"),
        (
            {"gres": "shard:400"},
            "gpus: 400 GPU shards wanted on one node, the largest in gpu has 8",
        ),
        ({"gres": "foo:1"}, "gpus: gpu has no foo"),
        ({"gres": "gpu:1k"}, "gpus: 1024 wanted on one node, the largest in gpu has 4"),
        ({"constraint": "nosuch"}, "constraint: every node of gpu lacks the feature nosuch"),
        ({"ntasks": "100"}, "cpus: 100 wanted in all, gpu has 8"),
        ({"nodes": "1", "ntasks": "100"}, "cpus: 100 wanted on one node, the largest in gpu has 8"),
        ({"mincpus": "500"}, "cpus: 500 wanted on one node"),
        ({"gpus_per_task": "99", "ntasks": "4"}, "gpus: 99 wanted on one node"),
        ({"gpus_per_task": "2", "ntasks": "4"}, "gpus: 8 wanted in all, gpu has 4"),
        ({"gpus_per_socket": "9"}, "gpus: 9 wanted on one node"),
        ({"mem_per_gpu": "900G", "gpus": "4"}, "memory: 900.0G wanted on one node"),
        ({"cpus_per_gpu": "64", "gpus": "2"}, "cpus: 64 wanted on one node"),
        ({"exclude": "g1"}, "exclude: no node of gpu is left"),
    ],
)
def test_what_can_never_run(options: dict[str, str], words: str) -> None:
    assert words in said(OPEN, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"time": "0", "time_min": "20"},
        {"gres": "shard:4"},
        {"gres": "gpu:4,gpu:4"},
        {"gres": "none"},
        {"gres": "gpu:a100:1"},  # no types are listed
        {"gpus": "4"},
        {"gpus": "2", "gpus_per_task": "1"},
        {"nodes": "1-4", "ntasks": "8"},
        {"nodes": "4", "ntasks": "1"},
        {"ntasks": "8", "ntasks_per_node": "99"},
        {"ntasks": "100", "overcommit": ""},
        {"ntasks": "16", "ntasks_per_core": "2"},
        {"constraint": "zz*2"},
        {"constraint": "[zz*1&a*1]"},
        {"constraint": "zz|a&b"},
        {"nodelist": "feature{zz}"},
        {"nodelist": "/home/ana/nodes"},
        {"mem": "0"},
        {"clusters": "other", "partition": "gpu", "gres": "foo:9"},
        {"uid": "ben", "account": "ben"},
    ],
)
def test_what_could_run_is_not_warned_of(options: dict[str, str]) -> None:
    assert said(OPEN, **options) == ""


def test_the_account_of_who_names_none() -> None:
    only = "account: gpu takes only physics, not account chem"
    assert said(ONE) == said(ONE, account="chem") == said(ONE, account="Chem").lower() == only
    below = replace(ANA, account="quarks")  # an account of physics: it may
    assert said(replace(ONE, associations=[*TREE, below])) == ""
    several = [*TREE, ANA, replace(ANA, account="physics")]
    assert said(replace(ONE, associations=several)) == ""
    for unknown in ([], [ANA]):
        assert said(replace(ONE, associations=unknown)) == ""
    elsewhere = replace(ANA, account="physics", cluster="other")
    unnamed = {"AccountingStorageEnforce": "limits"}
    assert said(replace(ONE, associations=[*TREE, ANA, elsewhere])) == only
    assert said(replace(ONE, associations=[*TREE, ANA, elsewhere], settings=unnamed)) == ""
    free = replace(ONE, settings={"ClusterName": "lab"})
    lua = replace(ONE, settings=CONF | {"JobSubmitPlugins": "lua"})
    assert said(free) == said(lua) == said(lua, partition="gpu") == ""


def test_the_qos_of_who_names_none() -> None:
    late = replace(GPU, allowed_accounts=(), allowed_qos=("late",))
    assert said(replace(ONE, partitions=[late])) == "qos: gpu takes only late, not QoS n"
    assert said(replace(ONE, partitions=[replace(late, allowed_qos=("N",))])) == ""
    unknown = replace(ANA, default_qos=None)
    assert said(replace(ONE, partitions=[late], associations=[*TREE, unknown])) == ""
    both = replace(late, allowed_qos=("n",), denied_qos=("n",))  # then nobody asks for the other
    assert said(replace(ONE, partitions=[both])) == ""


def test_a_qos_may_lift_what_a_partition_allows() -> None:
    lifts = Qos(name="n", flags=("PartitionTimeLimit", "PartitionMaxNodes"))
    small = replace(GPU, allowed_accounts=(), max_nodes=1, total_nodes=None)
    known = replace(ONE, partitions=[small], qos=[lifts])
    assert said(known, time="0") == ""
    assert "nodes: 2 wanted, 1 of gpu" in said(known, nodes="2")  # there are no two
    plain = replace(known, qos=[Qos(name="n")])
    assert "time: no time limit" in said(plain, time="0")
    assert "nodes: 2 wanted, gpu allows at most 1" in said(plain, nodes="2")
    whichever = [*TREE, replace(ANA, default_qos=None)]
    assert said(replace(known, associations=whichever), time="0") == ""


def test_the_first_who_sets_a_limit_sets_it() -> None:
    night = replace(GPU, allowed_accounts=(), max_time=None, qos="night")
    long, short = Qos(name="night", max_wall=600), Qos(name="n", max_wall=30)
    known = replace(ONE, partitions=[night], qos=[long, short])
    assert said(known, time="300") == ""
    over = replace(known, qos=[long, replace(short, flags=("OverPartQOS",))])
    assert said(over, time="300") == "time: qos n allows at most 30:00; ask for less"
    assert said(replace(known, qos=[short]), time="300") == ""  # the partition's is not known
    half = Qos(name="n", max_wall=30, flags=("UsageFactorSafe",), usage_factor=0.5)
    assert said(replace(OPEN, qos=[half]), time="45") == ""


def test_root_where_a_partition_takes_none_of_its_jobs() -> None:
    shut = replace(GPU, allowed_accounts=(), allow_root_jobs=False)
    root = replace(ONE, partitions=[shut], me="root")
    assert said(root) == "partition: gpu takes no jobs of root"
    assert said(root, uid="ana") == said(replace(root, me="ana")) == ""


def test_a_partition_of_which_not_all_is_known() -> None:
    """Nodes that are off in the cloud are hidden, and the features of some can be changed."""
    cloud = replace(GPU, allowed_accounts=(), nodes=("g1", "cloud-1"), total_cpus=72)
    known = replace(OPEN, partitions=[cloud])
    for options in ({"gres": "gpu:8"}, {"cpus_per_task": "64"}, {"mem": "900G"}, {"ntasks": "70"},
                    {"constraint": "zz"}, {"nodelist": "cloud-1"}, {"gres": "foo:1"}):  # fmt: skip
        assert said(known, **options) == ""
    assert said(known, ntasks="73") == "cpus: 73 wanted in all, gpu has 72"
    helpers = replace(OPEN, settings=CONF | {"NodeFeaturesPlugins": "helpers"})
    assert said(helpers, constraint="zz") == said(replace(OPEN, settings={}), constraint="zz") == ""


def test_nodes_that_differ() -> None:
    big = Node(name="c1", cpus_total=64, memory_total_mib=8000, slurm_state="IDLE")
    mixed = Partition("mix", nodes=("g1", "c1"), total_cpus=72, total_nodes=2, is_default=True)
    known = replace(OPEN, partitions=[mixed, GPU], nodes=[NODE, big])
    assert said(known, cpus_per_task="64") == said(known, gres="gpu:4") == ""
    assert said(known, nodes="2", ntasks="72") == said(known, ntasks="72") == ""
    assert said(known, nodes="2", gres="gpu:1") == "nodes: 2 wanted, 1 of mix could take part"
    assert said(known, nodes="1-2", gres="gpu:1") == ""
    assert said(known, cpus_per_task="64", gres="gpu:1") == (
        "partition: no node of mix can run it: g1: 64 CPUs wanted, it has 8"
    )
    assert said(known, nodelist="c1", gpus="1") == "nodelist: c1: 1 GPU wanted, it has none"
    assert "nodelist: c1 is not in gpu" in said(known, partition="gpu", nodelist="c1")
    assert said(known, nodelist="g1", ntasks="40") == ""  # it may take c1 too


def test_of_several_partitions_the_one_that_could_run_it_counts() -> None:
    busy = msgspec.structs.replace(NODE, name="g2", gpus_alloc=4)
    never = Partition("old", nodes=("g1",), total_nodes=1, max_time=1)
    waits = Partition("new", nodes=("g2",), total_nodes=1)
    known = replace(OPEN, partitions=[never, waits], nodes=[NODE, busy])
    options = {"gres": "gpu:1", "time": "20"}
    assert (
        said(known, partition="old,new", **options) == "gpus: 1 wanted, 0 free now: it would wait"
    )


def test_a_reservation_has_a_partition_of_its_own() -> None:
    kept = Reservation(name="class", partition="other")
    other = Partition("other", nodes=("g1",), total_nodes=1, max_time=600)
    known = replace(OPEN, partitions=[OPEN.partitions[0], other], reservations=[kept], qos=[])
    assert said(known, reservation="class", time="90") == ""
    unnamed = replace(known, reservations=[Reservation(name="class")])
    assert said(unnamed, reservation="class", time="0") == ""


def test_resources_as_slurm_writes_them() -> None:
    node = having("gpu:a100:2(S:0,1),gpu:h100:1,bandwidth:lustre:no_consume:4G,mps:(null):200")
    assert gres_there(node, "gpu", None) == 3 and gres_there(node, "gpu", "A100") == 2
    assert gres_there(node, "bandwidth", "lustre") == 4 * 1024**3
    assert gres_there(node, "mps", None) == 200 and gres_there(node, "foo", None) == 0
    assert gres_there(having("gpu:4"), "gpu", "a100") is None
    assert gres_there(Node(name="x"), "gpu", None) is None
    assert counted("gres/gpu:1080ti=2") == (("gpu", "1080ti", 2),)


def having(gres: str) -> Node:
    return Node(name="x", gres=gres, slurm_state="IDLE")


# Jobs that are known to fit

SPOT = st.tuples(
    st.integers(1, 3),  # tasks on it
    st.integers(0, 3),  # GPUs on it
    st.integers(0, 9),  # CPUs that are left over
    st.integers(0, 3),  # GPUs that are left over
)


@settings(max_examples=300, deadline=None)
@given(spots=st.lists(SPOT, min_size=1, max_size=3), per_task=st.integers(1, 4),
       cap=st.booleans(), more=st.integers(0, 2), draw=st.data())  # fmt: skip
def test_a_job_that_fits_somewhere_is_never_warned_of(
    spots: list[tuple[int, int, int, int]], per_task: int, cap: bool, more: int, draw: Any
) -> None:
    nodes = [
        Node(name=f"n{i}", slurm_state="IDLE", cpus_total=tasks * per_task + left,
             memory_total_mib=1000, gres=f"gpu:a:{gpus + spare}", gpus=gpus + spare, gpus_alloc=0,
             features=("a", f"f{i}"))
        for i, (tasks, gpus, left, spare) in enumerate(spots)
    ]  # fmt: skip
    others = [Node(name=f"m{i}", slurm_state="IDLE", cpus_total=1, memory_total_mib=1)
              for i in range(more)]  # fmt: skip
    every = [*nodes, *others]
    cpus = sum(n.cpus_total or 0 for n in every)
    most = max(n.cpus_total or 0 for n in nodes) if cap else None
    here = Partition("p", nodes=tuple(n.name for n in every), total_nodes=len(every),
                     total_cpus=cpus, is_default=True, max_cpus_per_node=most)  # fmt: skip
    count, tasks = len(nodes), sum(s[0] for s in spots)
    gpus, least = sum(s[1] for s in spots), min(s[1] for s in spots)
    low = draw.draw(st.integers(1, count))
    asked: dict[str, str] = {"cpus_per_task": str(per_task), "mem": "1000"}
    pick = draw.draw
    asked |= pick(st.sampled_from([
        {"nodes": str(count)}, {"nodes": f"{low}-{count + 2}"}, {"nodes": f"{low}-{count}"}, {},
    ]))  # fmt: skip
    even = min(s[0] for s in spots)
    asked |= pick(st.sampled_from([
        {"ntasks": str(tasks)}, {"ntasks": str(tasks), "ntasks_per_node": "3"}, {},
        {"ntasks_per_node": str(even)},
    ]))  # fmt: skip
    each = min(s[1] // s[0] for s in spots)
    ways: list[dict[str, str]] = [{}, {"constraint": "a"}]
    if least:
        ways += [
            {"gres": f"gpu:{least}"}, {"gres": f"gpu:a:{least}"}, {"gpus": str(gpus)},
            {"gpus_per_node": str(least)}, {"gpus": f"a:{gpus}", "mem_per_gpu": "1"},
        ]  # fmt: skip
    if each and "ntasks" in asked:
        ways.append({"gpus_per_task": str(each)})
    asked |= pick(st.sampled_from(ways))
    asked |= pick(st.sampled_from([
        {}, {"nodelist": "n0"}, {"exclude": "m0"} if others else {}, {"constraint": "a|zz"},
        {"constraint": "a&(a|f0)"}, {"mincpus": str(min(n.cpus_total or 0 for n in nodes))},
    ]))  # fmt: skip
    if "nodes" not in asked:  # sbatch takes as many as it needs
        asked.pop("nodelist", None)
    known = Context(0.0, partitions=[here, Partition("q", max_time=1)], nodes=every, settings=CONF)
    assert check_limits(batch_script("x", **asked), known) == []
