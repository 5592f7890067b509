"""Why a job does not start, node by node: on clusters made up for it, and odd ones."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.model import Job, Node, Reservation
from labtui.slurm.asked import asked, has_features
from labtui.slurm.scontrol import pairs
from labtui.slurm.types import Allocation, Association, Partition, Qos
from labtui.slurm.usage import Context
from labtui.slurm.whynot import WhyNot, why_not
from labtui.spec import Cell
from labtui.views.whynot import lines

NOW = 1_795_500_000.0


def node(name: str, **more: Any) -> Node:
    given: dict[str, Any] = {
        "slurm_state": "MIXED", "cpus_total": 16, "cpus_alloc": 4, "memory_total_mib": 64000,
        "memory_alloc_mib": 16000, "gpus": 4, "gpus_alloc": 3, "gres": "gpu:4",
        "gres_used": "gpu:3(IDX:0-2)",
    }  # fmt: skip
    return Node(name=name, **given | more)


def job(job_id: str, **more: Any) -> Job:
    given: dict[str, Any] = {
        "name": "x", "user": "ana", "partition": "gpu", "state": "PENDING", "reason": "Resources",
        "cpus": 8, "memory_mib": 4096, "gres": "gpu:2", "time_limit_s": 7200, "priority": 10,
        "account": "research", "qos": "normal",
    }  # fmt: skip
    return Job(job_id=job_id, **given | more)


def running(job_id: str, where: str = "desktop-gpu", **more: Any) -> Job:
    return job(job_id, state="RUNNING", reason=None, nodes=(where,), start_time=NOW - 600, **more)


NODES = [
    node("desktop-gpu"),
    node("xps15-cpu", gpus=None, gpus_alloc=None, gres=None, gres_used=None, cpus_total=12,
         cpus_alloc=0, memory_alloc_mib=0, slurm_state="IDLE"),
    node("jetson-edge", slurm_state="IDLE+DRAIN", slurm_reason="fan is loud (root)", gpus=1,
         gres="gpu:jetson:1", gres_used="gpu:jetson:0(IDX:N/A)", cpus_total=6, cpus_alloc=0,
         memory_total_mib=8000, memory_alloc_mib=0),
]  # fmt: skip
PARTITIONS = [
    Partition("gpu", nodes=("desktop-gpu",), total_nodes=1, max_time=1440),
    Partition("cpu", is_default=True, nodes=("xps15-cpu",), total_nodes=1, max_time=2880),
    Partition("edge", nodes=("jetson-edge",), total_nodes=1, max_time=720),
]
HELD = [
    Allocation("1422", "llama", "ben", "desktop-gpu", "gpu", None, 3, (0, 1, 2), NOW - 600)
]  # fmt: skip
HOLDER = running("1422", gres="gpu:3", cpus=4, memory_mib=16000, time_limit_s=4200)


def told(wants: Job, *others: Job, record: str = "", **more: Any) -> WhyNot:
    given: dict[str, Any] = {"nodes": NODES, "partitions": PARTITIONS, "now": NOW}
    context = Context(jobs=[wants, HOLDER, *others], record=pairs(record), **given | more)
    return why_not(wants, context, HELD)


def hour(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def test_what_is_missing_who_holds_it_and_till_when() -> None:
    found = told(job("1431"))
    till = hour(NOW + 3600)
    lack = f"2 GPUs wanted, 1 free (1422 holds 3 until ~{till})"
    assert [(v.node, v.fits, v.lacks) for v in found.nodes] == [("desktop-gpu", False, (lack,))]
    assert found.conclusion == (
        f"desktop-gpu has too little free: {lack}; enough when 1422 ends, ~{till} at the latest"
    )
    assert found.helps == ("--gres=gpu:1: desktop-gpu has that free now",)
    assert found.wanted == "a node with 8 CPUs, 4.0G of memory, 2 GPUs"


def test_every_partition_it_names_is_looked_at() -> None:
    found = told(job("1431", partition="gpu,cpu,edge", cpus=13))
    said = {v.node: "; ".join(v.lacks) for v in found.nodes}
    assert said["desktop-gpu"].endswith(f"13 CPUs wanted, 12 free (1422 until ~{hour(NOW + 3600)})")
    assert said["xps15-cpu"] == "2 GPUs wanted, it has none; 13 CPUs wanted, it has 12"
    assert "2 GPUs wanted, it has 1" in said["jetson-edge"]
    assert [v.node for v in found.nodes if v.never] == ["jetson-edge", "xps15-cpu"]


def test_what_can_never_run_is_said_first() -> None:
    found = told(job("1431", gres="gpu:8"))
    assert found.conclusion == (
        "no node of gpu can ever run it: desktop-gpu: 8 GPUs wanted, it has 4"
    )
    two = told(job("1431", gres="gpu:2"), record="NumNodes=2-2 NumCPUs=16 TresPerNode=gres/gpu:1")
    assert two.conclusion.startswith("gpu: 2 nodes wanted, it has 1")


def test_its_own_gates_come_before_the_nodes() -> None:
    held = told(job("1431", reason="JobHeldUser", gres="gpu:1"))
    assert held.conclusion == "held by its user" and held.helps == ()
    assert held.nodes[0].fits
    for reason in ("launch failed requeued held", "job_requeued_in_held_state"):
        requeued = told(job("1431", reason=reason, gres="gpu:1"))
        assert "held" in requeued.conclusion and requeued.helps == ()
    late = told(job("1431", reason="PartitionTimeLimit", time_limit_s=3 * 86400))
    assert late.conclusion == "gpu: 3-00:00:00 wanted, it allows at most 1-00:00:00"
    shorter = told(job("1", time_limit_s=3 * 86400), record="TimeMin=10:00:00")
    assert shorter.gates == ()
    closed = [Partition("gpu", state="DOWN", nodes=("desktop-gpu",))]
    assert told(job("1"), partitions=closed).conclusion == "gpu: it is down: nothing starts there"
    other = [Partition("gpu", nodes=("desktop-gpu",), allowed_accounts=("physics",))]
    assert "takes only" not in told(job("1"), partitions=other).conclusion  # nobody looks at it
    here = told(
        job("1"),
        partitions=other,
        settings={"AccountingStorageEnforce": "associations"},
        associations=[Association(cluster="c", account="research")],
    )
    assert here.conclusion == "gpu: it takes only physics, not account research"
    assert "no partition gpu" in told(job("1"), partitions=PARTITIONS[1:]).conclusion


def test_room_is_not_all_that_a_job_needs_which_never_starts() -> None:
    limit = Qos(name="normal", max_tres_per_user={"cpu": 4})
    found = told(job("1431", reason="QOSMaxCpuPerUserLimit", gres="gpu:1"), qos=[limit])
    assert found.never and found.conclusion.startswith("it asks 8 CPUs; QoS normal allows 4 CPUs")
    said = [line.text if isinstance(line, Cell) else line for line in lines(found, NOW)]
    assert "Nodes with room for it: 1 of 1" in said and "would fit now" not in "".join(said)
    assert not told(job("1431")).never


def test_a_node_that_takes_no_jobs_says_why() -> None:
    found = told(job("1431", partition="edge", gres="gpu:1", cpus=2, memory_mib=100))
    assert found.conclusion == (
        "too few nodes of edge take jobs now: jetson-edge: drained: fan is loud (root)"
    )
    assert "--partition=gpu: it would fit on desktop-gpu now" in found.helps


def test_constraints_lists_and_reservations() -> None:
    nodes = [node("a", features=("a100", "ib")), node("b", features=("h100",)), node("c")]
    here = [Partition("gpu", nodes=("a", "b", "c"), total_nodes=3)]
    kept = [Reservation(name="class", nodes=("a",), start_time=NOW - 60, end_time=NOW + 600)]
    wants = job("1", gres="gpu:1", cpus=1)

    def said(record: str, **settings: str) -> dict[str, str]:
        found = told(wants, record=record, nodes=nodes, partitions=here, reservations=kept,
                     settings=settings)  # fmt: skip
        return {v.node: "; ".join(v.lacks) for v in found.nodes}

    assert said("")["a"] == f"reserved as class until {hour(NOW + 600)}"
    assert said("Reservation=class") == {
        "a": "", "b": "not in its reservation class", "c": "not in its reservation class"
    }  # fmt: skip
    assert said("Features=h100|ib", ClusterName="x")["c"] == "lacks the feature h100|ib"
    changes = said("Features=h100|ib", NodeFeaturesPlugins="helpers")["c"]
    assert changes == "whether it satisfies h100|ib is not clear from here"
    assert said("ExcNodeList=b,c")["b"] == "the job excludes it"
    assert said("ReqNodeList=c")["b"] == "not among the nodes that it names"
    assert said("Features=a100*2")["b"].startswith("whether it satisfies a100*2 is not clear")
    alone = told(wants, running("9", "b"), record="OverSubscribe=NO", nodes=nodes, partitions=here)
    assert all("wants the node alone" in "; ".join(v.lacks) for v in alone.nodes)


def test_features_are_judged_or_not_at_all() -> None:
    there = node("a", features=("x", "y"))
    for wanted, verdict in {
        "x": True, "z": False, "x&y": True, "x&z": False, "z|y": True, "x&(z|y)": True,
        "[x|z]": True, "(x&z)|(y&z)": False, "x*2": None, "x&": None, "(x": None, "": None,
        "[z*1&x*4]": None, "x)": None, "x|y&z": None, "!x": None,
    }.items():  # fmt: skip
        assert has_features(there, wanted) is verdict, wanted


def test_it_would_fit_but_others_come_first() -> None:
    due = job("1430", priority=99, start_time=NOW + 3600, gres="gpu:4", reason="Resources")
    found = told(job("1431", gres="gpu:1", reason="Priority", time_limit_s=7200), due)
    assert found.conclusion.startswith("it would fit now on desktop-gpu, but 1 job goes first")
    assert found.helps == ("--time=1:00:00 or less: it could end before 1430 is due (backfill)",)
    short = told(job("1431", gres="gpu:1", reason="Priority", time_limit_s=600), due)
    assert short.helps == ()


def test_tasks_that_may_spread_are_counted_over_nodes() -> None:
    nodes = [node("a", cpus_alloc=10), node("b", cpus_alloc=10)]
    here = [Partition("gpu", nodes=("a", "b"), total_nodes=2)]
    record = "NumNodes=1 NumCPUs={} NumTasks={} CPUs/Task=1 MinCPUsNode=1"
    wants = job("1", gres=None, memory_mib=None)
    ten = told(wants, record=record.format(10, 10), nodes=nodes, partitions=here)
    assert all(v.fits for v in ten.nodes) and asked(wants, pairs(record.format(10, 10))).spreads
    many = told(wants, record=record.format(20, 20), nodes=nodes, partitions=here)
    assert "20 CPUs wanted on all together" in many.conclusion


def test_what_is_wanted_wherever_it_is_needs_no_node_that_has_all_of_it() -> None:
    nodes = [node("a", gres_used="gpu:0", cpus_alloc=0), node("b", gres_used="gpu:4")]
    here = [Partition("gpu", nodes=("a", "b"), total_nodes=2)]
    eight = job("1", gres="gpu:8", memory_mib=None)
    loose = "NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 TresPerJob=gres:gpu:8"
    found = told(eight, record=loose, nodes=nodes, partitions=here)
    assert not any(v.never for v in found.nodes) and found.helps == ()
    assert found.wanted == "1 CPUs, 8 GPUs, on each node at least 1 CPU, 1 GPU"
    assert "8 GPUs wanted on all together" in found.conclusion or "b has" in found.conclusion
    fixed = told(eight, record=loose.replace("=1 NumC", "=1-1 NumC"), nodes=nodes, partitions=here)
    assert "no node of gpu can ever run it" in fixed.conclusion
    ranged = "NumNodes=1-4 NumCPUs=32 NumTasks=32 CPUs/Task=1"
    many = told(job("1", gres=None, memory_mib=None), record=ranged, nodes=nodes, partitions=here)
    assert not any(v.never for v in many.nodes)


def test_what_is_not_known_is_never_called_fitting() -> None:
    for gap in ("gres_used", "cpus_alloc", "memory_alloc_mib", "memory_total_mib", "cpus_total",
                "slurm_state"):  # fmt: skip
        found = told(job("1", gres="gpu:1"), nodes=[node("desktop-gpu", **{gap: None})])
        assert not found.nodes[0].fits and found.nodes[0].lacks, gap
        assert "would fit now" not in found.conclusion


# Made-up clusters

NAMES = ["a", "b", "c"]
SMALL = st.one_of(st.none(), st.integers(0, 6))
TEXT = st.one_of(st.none(), st.sampled_from(["", "a&b", "[red]x[/]", "\x1b[31m", "(null)", "N/A"]))
GRES = st.sampled_from([None, "", "gpu:4", "gpu:a100:2", "gpu:a100:2,gpu:h100:1", "shard:8", "gpu",
                        "gpu:2(IDX:0-1)", "gpu:99999999999", "(null)", "?"])  # fmt: skip
NODE = st.builds(
    Node,
    name=st.sampled_from(NAMES),
    slurm_state=st.sampled_from([None, "IDLE", "MIXED", "ALLOCATED", "DOWN*", "IDLE+DRAIN", "X"]),
    slurm_reason=TEXT, cpus_total=SMALL, cpus_alloc=SMALL, memory_total_mib=SMALL,
    memory_alloc_mib=SMALL, gres=GRES, gres_used=GRES,
    features=st.sampled_from([(), ("a",), ("a", "b")]),
)  # fmt: skip
JOB = st.builds(
    Job,
    job_id=st.sampled_from(["1", "2_3", "4_[1-9%2]", "5+0"]), name=st.just("n"),
    state=st.sampled_from(["PENDING", "RUNNING", "SUSPENDED"]),
    partition=st.sampled_from([None, "p", "p,q", "r", ""]),
    reason=st.sampled_from([None, "None", "Resources", "Priority", "Dependency", "BeginTime",
                            "QOSMaxGRESPerUser", "ReqNodeNotAvail, UnavailableNodes:a", "\x1b]x"]),
    dependency=TEXT, cpus=SMALL, memory_mib=SMALL, gres=GRES,
    nodes=st.sampled_from([(), ("a",), ("a", "b")]),
    time_limit_s=st.one_of(st.none(), st.integers(0, 9000)),
    start_time=st.sampled_from([None, NOW - 100, NOW + 4000, 1e12]), priority=SMALL,
    account=TEXT, qos=TEXT,
)  # fmt: skip
RECORD = st.dictionaries(
    st.sampled_from(["NumNodes", "NumCPUs", "NumTasks", "CPUs/Task", "MinCPUsNode", "MinMemoryNode",
                     "MinMemoryCPU", "TresPerNode", "Features", "ReqNodeList", "ExcNodeList",
                     "OverSubscribe", "Reservation"]),
    st.sampled_from(["1", "2", "2-2", "1-4", "3", "0", "-1", "", "(null)", "a", "a,b", "[a|b]",
                     "a*2", "((", "NO", "OK", "3M", "gres/gpu:2", "gres:gpu:a100:1", "٣",
                     "9" * 30]),
)  # fmt: skip
PARTITION = st.builds(
    Partition, name=st.sampled_from(["p", "q"]), state=st.sampled_from(["UP", "DOWN"]),
    nodes=st.sampled_from([(), ("a",), ("a", "b", "c"), ("zz",)]), max_time=SMALL, max_nodes=SMALL,
    total_nodes=SMALL, max_cpus_per_node=SMALL, max_memory_per_node=SMALL,
    allowed_accounts=st.sampled_from([(), ("a",)]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(JOB, min_size=1, max_size=5), st.lists(NODE, max_size=4),
       st.lists(PARTITION, max_size=3, unique_by=lambda p: p.name), RECORD,
       st.lists(st.builds(Allocation, job_id=st.sampled_from(["1", "9"]), job_name=st.just("x"),
                          user=TEXT, node=st.sampled_from(NAMES), name=st.just("gpu"),
                          type=st.sampled_from([None, "a100"]), count=st.integers(0, 4)),
                max_size=3))  # fmt: skip
def test_no_node_is_said_to_fit_that_lacks_something(
    jobs: list[Job], nodes: list[Node], partitions: list[Partition], record: dict[str, str],
    allocations: list[Allocation],
) -> None:  # fmt: skip
    context = Context(now=NOW, jobs=jobs, nodes=nodes, partitions=partitions, record=record)
    wants = asked(jobs[0], record)
    found = why_not(jobs[0], context, allocations)
    by_name = {n.name: n for n in nodes}
    for verdict in found.nodes:
        assert bool(verdict.lacks) == (not verdict.fits)
        if not verdict.fits:
            continue
        there = by_name[verdict.node]
        assert (there.slurm_state or "").split("+")[0] in ("IDLE", "MIXED", "ALLOCATED")
        assert "DRAIN" not in (there.slurm_state or "")
        assert there.cpus_total is not None and there.cpus_alloc is not None
        assert there.cpus_total - there.cpus_alloc >= wants.cpus
        if wants.memory_mib is not None:
            assert there.memory_total_mib is not None and there.memory_alloc_mib is not None
            assert there.memory_total_mib - there.memory_alloc_mib >= wants.memory_mib
        if wants.gres:
            assert there.gres and there.gres_used is not None
        if wants.features:
            assert has_features(there, wants.features)
        assert there.name not in wants.without
        assert not wants.only or there.name in wants.only
    words = "\n".join(x.text if isinstance(x, Cell) else x for x in lines(found, NOW, modify="m"))
    assert not any(ord(c) < 32 and c != "\n" for c in words)


def test_less_of_several_things_is_offered_where_less_of_one_is_not_enough() -> None:
    found = told(job("1431", gres="gpu:4", cpus=14, memory_mib=4096))
    assert found.helps == ("--gres=gpu:1 --cpus-per-task=12: desktop-gpu has that free now",)
