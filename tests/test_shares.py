"""Who holds which share of which GPU, from made-up stores: each rule by an example."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from labtui.collectors.gpus import FIGURES, GpuMetrics
from labtui.config import Config, GpuConfig, NodeConfig
from labtui.model import (
    Gpu,
    GpuProcess,
    Holder,
    Job,
    KubeGpus,
    KubeNode,
    MigInstance,
    Node,
    Pod,
)
from labtui.shares.bookings import gres_gpus
from labtui.shares.cards import free, held, is_counted, items, slots
from labtui.shares.room import by_mps, room, shares_memory
from labtui.slurm.allocations import allocations
from labtui.slurm.types import Allocation
from labtui.store import Fault, Reading, Store

NOW = 1_795_471_200.0
CONFIG = Config(
    nodes={
        "desktop-gpu": NodeConfig(address="10.77.0.10", slurm=True),
        "xps15-cpu": NodeConfig(address="10.77.0.20", slurm=True),
        "jetson-edge": NodeConfig(address="10.77.0.40", slurm=True),
    },
    gpu=GpuConfig(metrics=("10.77.0.10:9400", "10.77.0.40:9400")),
)
ALONE = Config()
CARD = Gpu(
    node="desktop-gpu", index=0, uuid="GPU-0", product="RTX 4090", util_percent=91.0,
    memory_used_mib=12000.0, memory_total_mib=24564.0, temperature_c=78.0, power_w=441.0,
    clock_mhz=2520.0,
)  # fmt: skip
SECOND = replace(CARD, index=1, uuid="GPU-1")
METRICS = GpuMetrics(cards=(CARD,), up={"desktop-gpu": True, "jetson-edge": False})
NODES = [
    Node(name="desktop-gpu", gpus=4, gpus_alloc=3, gres="gpu:4"),
    Node(name="xps15-cpu", gpus=0),
    Node(name="jetson-edge", gpus=1, gpus_alloc=0),
]
JOBS = [
    Job(job_id="1422", name="llama", state="RUNNING", gres="gpu:2", user="ana",
        nodes=("desktop-gpu",), start_time=NOW - 7800),
    Job(job_id="1430_7", name="nim", state="running", gres="gres/gpu:1", nodes=("desktop-gpu",)),
    Job(job_id="1431", name="waits", state="PENDING", gres="gpu:4", nodes=()),
    Job(job_id="1400", name="over", state="COMPLETED", gres="gpu:4", nodes=("desktop-gpu",)),
]  # fmt: skip
ALL: dict[str, Any] = {"prom.gpus": METRICS, "slurm.jobs": JOBS, "slurm.nodes": NODES}


def store(values: dict[str, Any], at: float = NOW) -> Store:
    """A Fault is a failed answer, None no answer yet."""
    made = Store()
    for name, value in values.items():
        made.declare(name, name.partition(".")[0], 5.0)
        put(made, name, value, at)
    return made


def put(made: Store, name: str, value: Any, at: float = NOW) -> None:
    if isinstance(value, Fault):
        made.put(Reading(name, None, value, at, 0.1))
    elif value is not None:
        made.put(Reading(name, value, None, at, 0.1))


def cards(values: dict[str, Any], config: Config = ALONE, now: float = NOW) -> list[Gpu]:
    return items(store(values), config, now)


def holds(gpu: Gpu) -> list[tuple[str, int]]:
    return [(h.id, h.slices) for h in gpu.holders]


def kinds(gpu: Gpu) -> list[str]:
    return [finding.kind for finding in gpu.findings]


def said(gpu: Gpu, kind: str) -> str:
    return " | ".join(f"{f.text} -> {f.means}" for f in gpu.findings if f.kind == kind)


def alloc(job: str, count: int, *indexes: int, name: str = "gpu", **more: Any) -> Allocation:
    more = {"node": "n", "type": None, "start_time": NOW - 60} | more
    return Allocation(job_id=job, job_name="x", user="ana", name=name, count=count,
                      indexes=indexes, **more)  # fmt: skip


def pod(name: str, slices: int = 1, uid: str | None = None, **more: Any) -> Pod:
    more = {"node": "n", "phase": "Running", "since": NOW - 60} | more
    return Pod(namespace="nim", name=name, uid=uid or f"uid-{name}", slices=slices, **more)


def process(pid: int, memory: float | None = 1000.0, **more: Any) -> GpuProcess:
    more = {"since": NOW - 60, "name": "python", "user": "ana"} | more
    return GpuProcess(pid=pid, node="n", memory_mib=memory, **more)


def card(index: int = 0, **more: Any) -> Gpu:
    return replace(CARD, node="n", index=index, uuid=f"GPU-{index}", **more)


def gres(text: str, **more: Any) -> list[Node]:
    return [Node(name="n", gres=text, gpus=gres_gpus(text), **more)]


# ---- what sources say, and what is left where they do not


def test_everything_known() -> None:
    desktop, jetson = cards(ALL, CONFIG)
    assert (desktop.node, desktop.slices, free(desktop)) == ("desktop-gpu", 4, 1)
    assert holds(desktop) == [("1422", 2), ("1430_7", 1)]
    assert desktop.sources == {"slurm": "3 of 4 held", "prometheus": "answers"}
    assert desktop.util_percent == 91 and desktop.origin["util_percent"] == "prom"
    assert (desktop.booked, desktop.capacity) == ({"slurm": 3}, {"slurm": 4})
    assert (jetson.node, jetson.slices, jetson.holders) == ("jetson-edge", 1, ())
    assert all(jetson.na[field] == "exporter down" for field in FIGURES)
    assert said(jetson, "source").startswith("its GPU exporter is down")


@pytest.mark.parametrize("missing", ["prom.gpus", "slurm.jobs", "slurm.nodes"])
@pytest.mark.parametrize("how", ["absent", "waiting", "failed"])
def test_any_source_may_be_missing(missing: str, how: str) -> None:
    """The row stays; what cannot be known is None with a reason, never 0 and never free."""
    values = dict(ALL)
    values.pop(missing)
    if how != "absent":
        values[missing] = Fault("refused", "x") if how == "failed" else None
    desktop = cards(values, CONFIG)[0]
    word = {"absent": "not configured", "waiting": "no answer yet", "failed": "refused"}[how]
    if missing == "prom.gpus":
        assert desktop.util_percent is None and desktop.slices == 4 and free(desktop) == 1
        assert desktop.na["util_percent"] == f"prom: {word}"
    elif missing == "slurm.nodes":
        assert desktop.slices is None and "slices" in desktop.na and desktop.util_percent == 91
        assert held(desktop) == 3 and free(desktop) is None
    else:
        assert desktop.na["holders"] == f"slurm: {word}" and free(desktop) is None


def test_nothing_at_all() -> None:
    assert cards({}) == []
    assert [g.node for g in cards({}, CONFIG)] == ["desktop-gpu", "jetson-edge"]


def test_an_old_figure_is_not_shown_as_present() -> None:
    made = store(ALL)
    put(made, "prom.gpus", Fault("refused", "x"), NOW + 5)
    (desktop, _) = items(made, CONFIG, NOW + 5)
    assert desktop.util_percent == 91, "one missed answer is within three intervals"
    (desktop, _) = items(made, CONFIG, NOW + 60)
    assert desktop.util_percent is None and desktop.na["util_percent"] == "prom: refused"
    assert desktop.memory_total_mib == 24564 and desktop.product == "RTX 4090"
    assert desktop.sources["prometheus"] == "refused"
    assert desktop.sources["slurm"].startswith("silent since ")
    assert desktop.holders, "who held it last is kept, marked with since when"
    assert desktop.na["holders"] == f"slurm: {desktop.sources['slurm']}"


def test_a_feed_that_is_asked_seldom_is_not_stale_before_its_time() -> None:
    made = store(ALL)
    made.expect("prom.gpus", 20.0)
    assert items(made, CONFIG, NOW + 50)[0].util_percent == 91
    assert items(made, CONFIG, NOW + 61)[0].util_percent is None


def test_a_silent_machine_keeps_the_rows_of_its_cards() -> None:
    made = store({"smi.n": [card(0), card(1)]})
    put(made, "smi.n", Fault("unreachable", "no route"), NOW + 60)
    found = items(made, ALONE, NOW + 60)
    assert [g.index for g in found] == [0, 1]
    assert found[1].product == "RTX 4090" and found[1].temperature_c is None
    assert found[1].na["temperature_c"] == "smi: unreachable"
    assert found[1].sources == {"smi": "unreachable"}


# ---- figures


def test_the_best_fresh_source_tells_each_figure() -> None:
    smi = card(power_w=None, util_percent=90.0, na={"power_w": "nvidia-smi: no"})
    prom = GpuMetrics(cards=(card(throttle="power cap", xid=31),))
    values = {"smi.n": [smi], "prom.gpus": prom}
    (gpu,) = cards(values)
    assert (gpu.util_percent, gpu.power_w) == (90.0, 441.0) and "power_w" not in gpu.na
    assert (gpu.origin["util_percent"], gpu.origin["power_w"]) == ("smi", "prom")
    assert gpu.throttle is None, "smi says that nothing holds it down"
    assert gpu.xid == 31 and gpu.origin["xid"] == "prom"
    unsure = replace(smi, na=smi.na | {"throttle": "not supported by this card"})
    assert cards(values | {"smi.n": [unsure]})[0].throttle == "power cap"
    nvml = card(na={"xid": "NVML is not asked for XIDs"})
    assert "xid" in cards({"nvml.n": [nvml]})[0].na
    assert "xid" not in cards({"nvml.n": [nvml], "smi.n": [smi]})[0].na, "smi saw none"


def test_a_source_that_never_answered_says_why_no_process_is_seen() -> None:
    prom = {"prom.gpus": GpuMetrics(cards=(card(),))}
    for failed, why in ((Fault("protocol", "x"), "smi: protocol"), (None, "smi: no answer yet")):
        assert cards(prom | {"smi.n": failed})[0].na["processes"] == why
    assert cards(prom)[0].na["processes"] == "no source here tells processes"


def test_cards_are_the_same_by_uuid_before_index() -> None:
    """DCGM and NVML may count differently; of two that cannot be matched one is told of."""
    smi = [card(0, temperature_c=40.0), card(1, temperature_c=60.0)]
    swapped = (replace(smi[0], index=1, power_w=None), replace(smi[1], index=0, power_w=None))
    smi = [replace(c, temperature_c=None, na={"temperature_c": "?"}) for c in smi]
    found = cards({"smi.n": smi, "prom.gpus": GpuMetrics(cards=swapped)})
    assert [g.temperature_c for g in found] == [40.0, 60.0]
    other = replace(card(0), uuid="GPU-9", memory_used_mib=9.0)
    (gpu,) = cards({"smi.n": [card(0)], "prom.gpus": GpuMetrics(cards=(other,))})
    assert gpu.memory_used_mib == 12000
    assert "prom calls GPU-9 what smi calls GPU-0" in said(gpu, "card-unknown")


def test_what_cannot_be_is_left_out_and_told() -> None:
    odd = card(util_percent=105.0, temperature_c=float("nan"), memory_used_mib=30000.0)
    (gpu,) = cards({"smi.n": [odd]})
    assert (gpu.util_percent, gpu.temperature_c, gpu.memory_used_mib) == (None, None, None)
    assert gpu.na["util_percent"] == "smi says 105: cannot be"
    assert "util: smi says 105: cannot be" in said(gpu, "impossible")
    told = card(util_percent=None, na={"util_percent": "nvidia-smi says 300: cannot be"})
    assert "300" in said(cards({"smi.n": [told]})[0], "impossible")
    told = card(na={"instance": "of instance 1 NVML says 9 of 4 MiB: cannot be"})
    assert "instance: of instance 1" in said(cards({"smi.n": [told]})[0], "impossible")
    (mended,) = cards({"smi.n": [odd], "prom.gpus": GpuMetrics(cards=(card(),))})
    assert mended.util_percent == 91 and kinds(mended) == ["impossible"]


def test_sources_that_differ_are_both_named() -> None:
    late = GpuMetrics(cards=(card(memory_used_mib=1000.0, temperature_c=40.0, driver="535"),))
    (gpu,) = cards({"smi.n": [card(driver="550")], "prom.gpus": late})
    assert "memory in use: smi says 11.7G, prom 1000M" in said(gpu, "count-differs")
    assert "temperature: smi says 78 C, prom 40 C" in said(gpu, "count-differs")
    assert "smi says 550, prom 535" in said(gpu, "driver")
    more = GpuMetrics(cards=(card(0), card(1)))
    first, second = cards({"smi.n": [card(0)], "prom.gpus": more})
    assert "number of cards: smi 1, prom 2" in said(first, "count-differs")
    assert second.sources["smi"] == "does not know this card" and second.util_percent == 91


def test_what_is_wrong_with_a_card() -> None:
    def one(**changes: Any) -> Gpu:
        return cards({"smi.n": [card(**changes)]})[0]

    assert kinds(one()) == []
    assert [f.severity for f in one(temperature_c=86.0).findings] == [2]
    assert [f.severity for f in one(temperature_c=95.0).findings] == [3]
    assert "look at both" in said(one(throttle="power cap, hardware slowdown"), "throttled")
    gone = one(xid=79, throttle="power cap")
    assert kinds(gone) == ["xid", "throttled"], "the worst first"
    assert "XID 79: the card has fallen off the bus" in said(gone, "xid")
    assert "XID 31: a program" in said(one(xid=31), "xid") and one(xid=31).findings[0].severity == 1
    assert "XID 4711" in said(one(xid=4711), "xid") and not one(xid=0).findings
    assert "3 memory errors that ECC" in said(one(ecc_uncorrected=3), "ecc")


def test_what_a_machine_says_when_it_fails() -> None:
    made = store({"smi.n": [card()]})
    put(made, "smi.n", Fault("protocol", "nvidia-smi on n: driver and library differ: ..."), NOW)
    assert "driver and library differ" in said(items(made, ALONE, NOW)[0], "driver")
    put(made, "smi.n", Fault("unreachable", "a card has fallen off the bus"), NOW)
    assert items(made, ALONE, NOW)[0].findings[0].severity == 3


# ---- Slurm


def test_allocations_know_the_devices_and_come_before_jobs() -> None:
    values = {"slurm.nodes": gres("gpu:4"), "slurm.allocations": [alloc("7", 1, 3)]}
    (gpu,) = cards(values | {"slurm.jobs": JOBS})
    assert [h and h.id for h in slots(gpu)] == [None, None, None, "7"]
    values |= {"smi.n": [card(0), card(1)]}
    first, second = cards(values)
    assert first.holders == () and (second.holders[0].indexes, second.slices) == ((1,), 2)
    failed = ALL | {"slurm.allocations": Fault("protocol", "no JSON")}
    assert held(cards(failed, CONFIG)[0]) == 3


def test_a_job_on_several_nodes_holds_its_part_on_each() -> None:
    wide = Job(job_id="9", name="w", state="SUSPENDED", gres="gpu:4",
               nodes=("desktop-gpu", "jetson-edge"))  # fmt: skip
    found = cards(ALL | {"slurm.jobs": [wide]}, CONFIG)
    assert [held(g) for g in found] == [2, 2]
    assert {free(g) for g in found} == {None}, "it may be 3 and 1"


@pytest.mark.parametrize(("asked", "each"), [("gpu:3", 1), ("gpu:1", 0)])
def test_a_count_that_nobody_splits_leaves_nothing_free(asked: str, each: int) -> None:
    """Without squeue's JSON a job tells what it has on all of its nodes together."""
    values = {
        "slurm.nodes": [Node(name=name, gres="gpu:4", gpus=4) for name in "mn"],
        "slurm.jobs": [Job(job_id="6", name="x", state="RUNNING", gres=asked, nodes=("m", "n"))],
        "smi.n": [card()], "smi.m": [replace(card(), node="m")],
    }  # fmt: skip
    for gpu in cards(values):
        assert held(gpu) == each and free(gpu) is None
        assert gpu.na["holders"] == "slurm: how much of job 6 is on which node is not told"


def test_cards_are_never_guessed() -> None:
    """Two cards, and nobody says on which: the bookings are kept on none."""
    first, second, nowhere = cards(ALL | {"prom.gpus": GpuMetrics(cards=(CARD, SECOND))}, CONFIG)[
        :3
    ]
    assert (first.slices, second.slices) == (2, 2) and first.holders == second.holders == ()
    assert first.na["holders"] == "Slurm does not say on which card" and free(first) is None
    assert nowhere.index is None and holds(nowhere) == [("1422", 2), ("1430_7", 1)]
    assert said(nowhere, "card-unknown").startswith("3 slices are booked here, nobody says")
    odd = {"slurm.nodes": gres("gpu:3"), "smi.n": [card(0), card(1)],
           "slurm.allocations": [alloc("1", 1, 2)]}  # fmt: skip
    found = cards(odd)
    assert found[0].na["slices"] == "3 gres on 2 cards" and holds(found[2]) == [("1", 1)]


EIGHT = KubeNode(name="n", node="n", slices=8)


@pytest.mark.parametrize("smi", ["absent", Fault("timeout", "x")])
@pytest.mark.parametrize(
    "there",
    [
        {"slurm.nodes": gres("gpu:a100:8"), "slurm.allocations": [alloc("5", 2, 3, 5)]},
        {"k8s.gpus": KubeGpus(nodes=(EIGHT,), pods=(pod("a", 2),))},
    ],
)  # fmt: skip
def test_nobody_says_how_many_cards_there_are(there: dict[str, Any], smi: Any) -> None:
    """Eight devices may be eight cards, or one that is given away eight times."""
    (gpu,) = cards(there if smi == "absent" else there | {"smi.n": smi})
    assert (gpu.slices, held(gpu), free(gpu), gpu.sharing) == (8, 2, 6, None)
    assert not is_counted(gpu) and not shares_memory(gpu)
    assert gpu.na["index"] == gpu.na["sharing"] == "nobody says how many cards there are"
    assert "8 devices, and nobody says how many cards that is" in said(gpu, "card-unknown")
    (known,) = cards(there | {"smi.n": [card()]})
    assert (known.slices, held(known), is_counted(known)) == (8, 2, True)
    assert known.sharing in ("gres", "time-slicing")


def test_a_scheduler_that_counts_its_cards_is_believed() -> None:
    assert [g.index for g in cards({"slurm.nodes": gres("gpu:2,shard:8")})] == [0, 1]
    assert [g.sharing for g in cards({"slurm.nodes": gres("gpu:2,mps:200")})] == ["mps", "mps"]
    (alone,) = cards({"slurm.nodes": gres("gpu:jetson:1")})
    assert is_counted(alone) and alone.sharing is None
    labelled = KubeNode(name="n", node="n", slices=8, cards=2, replicas=4)
    found = cards({"k8s.gpus": KubeGpus(nodes=(labelled,))})
    assert [(g.slices, g.sharing) for g in found] == [(4, "time-slicing")] * 2


def test_shards() -> None:
    """`gpu:2,shard:8`: four shards a card. A job of a whole GPU holds all of its shards."""
    parts = [
        alloc("1", 2, 1, name="shard"),
        alloc("2", 1, 0, name="gpu"),
        alloc("3", 1, 1, name="shard", parts=((1, 1),)),
    ]
    values = {"slurm.nodes": gres("gpu:2,shard:8"), "slurm.allocations": parts,
              "smi.n": [card(0), card(1)]}  # fmt: skip
    first, second = cards(values)
    assert (first.slices, holds(first), first.sharing) == (4, [("2", 4)], "shard")
    assert holds(second) == [("1", 2), ("3", 1)] and free(second) == 1
    assert second.holders[0].share == "shard 2" and second.booked == {"slurm": 3}


def test_mps() -> None:
    """Parts of a percentage: one slot a holder, and one for what is left."""
    parts = [alloc("1", 50, 0, name="mps"), alloc("2", 20, 0, name="mps")]
    values = {"slurm.nodes": gres("gpu:1,mps:100"), "slurm.allocations": parts}
    (gpu,) = cards(values)
    assert (gpu.slices, free(gpu), gpu.sharing) == (3, 1, "mps")
    assert [h.share for h in gpu.holders] == ["mps 50", "mps 20"]
    full = [*parts, alloc("3", 30, 0, name="mps")]
    assert free(cards(values | {"slurm.allocations": full})[0]) == 0
    assert cards(values | {"slurm.allocations": []})[0].slices == 1


def test_mig() -> None:
    """Slurm's devices are the instances, in order; a profile chooses its instance."""
    mig = (MigInstance(id=1, profile="3g.40gb"), MigInstance(id=7, profile="1g.10gb"),
           MigInstance(id=8, profile="1g.10gb"))  # fmt: skip
    values = {
        "smi.n": [card(0, mig=mig), card(1)],
        "slurm.nodes": gres("gpu:3g.40gb:1,gpu:1g.10gb:2,gpu:a100:1"),
        "slurm.allocations": [alloc("1", 1, 2, type="1g.10gb"), alloc("2", 1, 3, type="a100")],
    }
    first, second = cards(values)
    assert (first.slices, second.slices, first.sharing) == (3, 1, "mig")
    assert [h and h.id for h in slots(first)] == [None, None, "1"] and holds(second) == [("2", 1)]
    assert first.holders[0].share == "mig-1g.10gb"
    mixed = {
        "smi.n": [card(0, mig=mig), card(1)],
        "k8s.gpus": KubeGpus(
            nodes=(KubeNode(name="n", node="n", slices=1,
                            mig={"mig-3g.40gb": 1, "mig-1g.10gb": 2}),),
            pods=(pod("a", 0, mig={"mig-1g.10gb": 1}), pod("b", 0, mig={"mig-3g.40gb": 1})),
        ),
    }  # fmt: skip
    first, second = cards(mixed)
    assert (first.capacity, second.capacity) == ({"kubernetes": 3}, {"kubernetes": 1})
    assert [h and h.id for h in slots(first)] == ["nim/b", "nim/a", None]


def test_mig_instances_that_are_shared_themselves() -> None:
    """7 instances of 2 replicas each are 14 slices, and 9 pods are no overbooking."""
    mig = tuple(MigInstance(id=i, profile="1g.5gb") for i in range(7))
    pods = tuple(pod(f"p{i}", 0, mig={"mig-1g.5gb": 1}) for i in range(9))
    node = KubeNode(name="n", node="n", slices=0, mig={"mig-1g.5gb": 14}, cards=1, replicas=2)
    values = {"smi.n": [card(mig=mig, sharing="mig")]}
    (gpu,) = cards(values | {"k8s.gpus": KubeGpus(nodes=(node,), pods=pods)})
    assert (gpu.slices, held(gpu), free(gpu), kinds(gpu)) == (14, 9, 5, [])
    assert len(slots(gpu)) == 14
    single = replace(node, slices=28, mig={}, cards=2)
    two = {"smi.n": [card(0, mig=mig), card(1, mig=mig)]}
    assert [g.slices for g in cards(two | {"k8s.gpus": KubeGpus(nodes=(single,))})] == [14, 14]
    wide = (MigInstance(id=8, profile="3g.20gb"),)
    mixed = replace(node, mig={"mig-1g.5gb": 14, "mig-3g.20gb": 1}, cards=2)
    two = {"smi.n": [card(0, mig=mig), card(1, mig=wide)]}
    assert [g.slices for g in cards(two | {"k8s.gpus": KubeGpus(nodes=(mixed,))})] == [14, 1]


def test_more_than_there_is_of_one_scheduler_alone() -> None:
    node = KubeNode(name="n", node="n", slices=2, cards=1)
    (gpu,) = cards({"smi.n": [card()], "k8s.gpus": KubeGpus(nodes=(node,), pods=(pod("a", 3),))})
    text = said(gpu, "overbooked")
    assert text.startswith("3 slices booked of 2: kubernetes 3") and "each other" not in text


def test_the_shapes_of_gres_detail() -> None:
    document = {"jobs": [
        {"job_id": 21, "array_job_id": 20, "array_task_id": 3, "nodes": "n[1-2]", "job_state":
         ["RUNNING"], "gres_detail": ["shard:3(2/4,1/4)", "gpu(CNT:2),gpu:1g.10gb:1(IDX:5)"]},
        {"job_id": 22, "nodes": "n1", "job_state": "COMPLETED", "gres_detail": ["gpu:1(IDX:0)"]},
        {"job_id": 23, "nodes": "n1", "job_state": ["COMPLETED", "COMPLETING"],
         "gres_detail": ["gpu:1(IDX:0)"]},
    ]}  # fmt: skip
    found = [(a.job_id, a.raw_id, a.node, a.type, a.count, a.indexes, a.parts)
             for parts in allocations(json.dumps(document)) for a in parts]  # fmt: skip
    assert found == [
        ("20_3", "21", "n1", None, 3, (0, 1), ((0, 2), (1, 1))),
        ("20_3", "21", "n2", None, 2, (), ()),
        ("20_3", "21", "n2", "1g.10gb", 1, (5,), ()),
        ("23", "23", "n1", None, 1, (0,), ()),
    ]


def test_the_nodes_own_count_is_a_cross_check() -> None:
    nodes = [Node(name="desktop-gpu", gpus=4, gpus_alloc=1)]
    (gpu, *_) = cards(ALL | {"slurm.nodes": nodes}, CONFIG)
    assert gpu.sources["slurm"] == "3 of 4 held, but the node counts 1" and free(gpu) == 1


def test_what_a_node_counts_beyond_its_jobs_is_not_free() -> None:
    """Jobs of others may be hidden (PrivateData), or have begun since the last look."""
    values = {
        "slurm.nodes": gres("gpu:4", gpus_alloc=3), "slurm.allocations": [alloc("7", 1, 1)],
        "smi.n": [card()],
    }  # fmt: skip
    (gpu,) = cards(values)
    assert gpu.na["holders"] == "slurm: the node counts 3, the jobs seen hold 1"
    assert gpu.sources["slurm"] == "1 of 4 held, but the node counts 3" and free(gpu) is None
    (shared,) = cards(values | {"slurm.nodes": gres("gpu:1,shard:4", gpus_alloc=3)})
    assert free(shared) == 0, "22.05 counts shared cards wrongly"


@pytest.mark.parametrize("state", ["CONFIGURING", "SIGNALING", "STOPPED", "RESIZING", "COMPLETING"])
def test_a_job_that_starts_holds_its_slices(state: str) -> None:
    jobs = [Job(job_id="6", name="x", state=state, gres="gpu:3", nodes=("n",))]
    (gpu,) = cards({"slurm.nodes": gres("gpu:4"), "slurm.jobs": jobs, "smi.n": [card()]})
    assert holds(gpu) == [("6", 3)] and free(gpu) == 1


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        (None, 0), ("", 0), ("N/A", 0), ("(null)", 0), ("gpu", 1), ("gpu:2", 2),
        ("gpu:jetson:1", 1), ("gres/gpu:3", 3), ("gres/gpu:a100=2", 2), ("gres:gpu:2", 2),
        ("gpu:2(IDX:0-1)", 2), ("craynetwork:1,gpu:4", 4), ("shard:3", 0),
        ("cpu=4,mem=8G,gres/gpu=2", 2), ("gpu:a100", 1), ("gpu:1g.10gb:7", 7),
    ],
)  # fmt: skip
def test_gres_texts(gres: str | None, count: int) -> None:
    assert gres_gpus(gres) == count


# ---- Kubernetes beside it


KUBE = KubeGpus(
    nodes=(KubeNode(name="n", node="n", ready=True, slices=4, cards=1, replicas=4,
                    sharing="time-slicing"),),
    pods=(pod("llama"), pod("eval", 2), pod("waits", 2, node=None, phase="Pending")),
)  # fmt: skip
BOTH: dict[str, Any] = {
    "slurm.nodes": gres("gpu:4"), "slurm.allocations": [alloc("7", 1, 1)], "k8s.gpus": KUBE,
    "smi.n": [card()],
}  # fmt: skip


def test_two_schedulers_on_one_card() -> None:
    (gpu,) = cards(BOTH)
    assert (gpu.capacity, gpu.booked) == (
        {"slurm": 4, "kubernetes": 4}, {"slurm": 1, "kubernetes": 3}
    )  # fmt: skip
    assert [h and h.id for h in slots(gpu)] == ["nim/llama", "7", "nim/eval", "nim/eval"]
    assert (gpu.sharing, free(gpu)) == ("time-slicing", 0)
    assert gpu.sources == {"slurm": "1 of 4 held", "kubernetes": "3 of 4 held", "smi": "no process"}


def test_overbooked_across_schedulers() -> None:
    (gpu,) = cards(BOTH | {"slurm.allocations": [alloc("7", 3, 1, 2, 3)]})
    assert [h and h.id for h in slots(gpu)] == [
        "nim/llama", "7", "7", "7", "nim/eval", "nim/eval"
    ]  # fmt: skip
    assert said(gpu, "overbooked").startswith("6 slices booked of 4: slurm 3, kubernetes 3")
    assert free(gpu) == 0


@pytest.mark.parametrize("how", ["failed", "waiting", "denied", "old"])
def test_nothing_is_free_while_kubernetes_is_unknown(how: str) -> None:
    values = BOTH | {"slurm.allocations": []}
    if how == "denied":
        values["k8s.gpus"] = KubeGpus(nodes=KUBE.nodes, denied={"pods": "may not list pods"})
    elif how != "old":
        values["k8s.gpus"] = Fault("auth", "token expired") if how == "failed" else None
    made = store(values)
    for name in ("slurm.nodes", "slurm.allocations", "smi.n"):
        put(made, name, values[name], NOW + 60)
    now = NOW + 60 if how == "old" else NOW
    (gpu,) = items(made, ALONE, now)
    assert free(gpu) is None and gpu.na["holders"].startswith("kubernetes: ")
    assert gpu.sources["kubernetes"] == gpu.na["holders"].removeprefix("kubernetes: ")


def test_a_machine_of_slurm_alone_is_free_without_kubernetes() -> None:
    """Which machines Kubernetes has is believed of its last answer."""
    made = store(BOTH | {"smi.m": [replace(card(), node="m")]})
    put(made, "slurm.nodes", [*gres("gpu:4"), Node(name="m", gpus=2)])
    put(made, "k8s.gpus", Fault("timeout", "x"), NOW + 60)
    for name in ("slurm.nodes", "slurm.allocations"):
        put(made, name, made.value(name), NOW + 60)
    found = {g.node: g for g in items(made, ALONE, NOW + 60)}
    assert free(found["m"]) == 2 and free(found["n"]) is None
    assert found["m"].sources["kubernetes"] == "no GPU of its own here"


def test_pods_are_found_by_process_by_exporter_or_not_at_all() -> None:
    kube = KubeGpus(nodes=(KubeNode(name="n", node="n", slices=8),),
                    pods=(pod("a", 2), pod("b"), pod("c")))  # fmt: skip
    smi = [card(0, processes=(process(1, pod_uid="uid-a"),)), card(1)]
    prom = GpuMetrics(cards=(card(0), card(1)), pods={"n:1": ("nim/b",)})
    first, second, nowhere = cards({"k8s.gpus": kube, "smi.n": smi, "prom.gpus": prom})
    assert holds(first) == [("nim/a", 1)], "that its other slice is here too is not known"
    assert holds(second) == [("nim/b", 1)]
    assert holds(nowhere) == [("nim/a", 1), ("nim/c", 1)]
    assert first.na["holders"] == "Kubernetes does not say on which card"


def test_a_pod_that_the_exporter_saw_is_found_by_the_uuid_of_its_card() -> None:
    """DCGM may count in another order than the driver."""
    told = KubeGpus(nodes=(KubeNode(name="n", node="n", slices=2, cards=2),), pods=(pod("a"),))
    crossed = (replace(card(0), uuid="GPU-1"), replace(card(1), uuid="GPU-0"))
    prom = GpuMetrics(cards=crossed, pods={"n:0": ("nim/a",)})
    first, second = cards({"k8s.gpus": told, "smi.n": [card(0), card(1)], "prom.gpus": prom})
    assert (holds(first), holds(second)) == ([], [("nim/a", 1)])
    other = replace(prom, cards=(replace(card(0), uuid="GPU-9"), crossed[1]))
    found = cards({"k8s.gpus": told, "smi.n": [card(0), card(1)], "prom.gpus": other})
    assert holds(found[-1]) == [("nim/a", 1)], "on a card that nobody else knows"


def kube(cards: int, given: int, pods: tuple[Pod, ...] = (), **more: Any) -> dict[str, Any]:
    node = KubeNode(name="n", node="n", slices=given, cards=cards, **more)
    return {
        "smi.n": [card(i) for i in range(cards)],
        "k8s.gpus": KubeGpus(nodes=(node,), pods=pods),
    }


@pytest.mark.parametrize(
    ("count", "replicas", "given", "whole"), [(8, 8, 56, 64), (2, 4, 4, 8), (4, 1, 3, 4)]
)
def test_one_card_of_several_is_unhealthy(
    count: int, replicas: int, given: int, whole: int
) -> None:
    """The label says how many a card has; which card has none now nobody says."""
    for more in ({"replicas": replicas}, {"capacity": whole}):
        for gpu in cards(kube(count, given, **more)):
            assert gpu.slices == replicas and free(gpu) is None
            assert f"Kubernetes gives {given} of {whole} slices" in said(gpu, "source")
            assert gpu.na["holders"].startswith(f"Kubernetes gives {given} of {whole} slices: not")
    for gpu in cards(kube(count, whole, replicas=replicas)):
        assert (gpu.slices, free(gpu), kinds(gpu)) == (replicas, replicas, [])


def test_a_label_that_is_behind_is_not_believed() -> None:
    assert [g.slices for g in cards(kube(2, 8, replicas=2))] == [4, 4], "more are given than that"
    assert [g.slices for g in cards(kube(1, 2, replicas=4))] == [2], "one card: it is that one"


def test_a_node_that_kubernetes_does_not_use() -> None:
    node = replace(KUBE.nodes[0], ready=False, unschedulable=True, slices=0)
    (gpu,) = cards(BOTH | {"k8s.gpus": KubeGpus(nodes=(node,))})
    text = said(gpu, "source")
    assert "node is not ready" in text and "cordoned" in text and "0 of 4 slices" in text
    assert gpu.slices == 4, "Slurm still has them"
    fewer = replace(KUBE.nodes[0], slices=2)
    (gpu,) = cards(BOTH | {"k8s.gpus": KubeGpus(nodes=(fewer,))})
    assert "slices: slurm 4, kubernetes 2" in said(gpu, "count-differs")


def test_a_node_that_was_left_behind_is_told_apart() -> None:
    old = KubeNode(name="n-old", node="n-old", twin="n", ready=False, slices=2, cards=1)
    told = KubeGpus(nodes=(*KUBE.nodes, old), pods=KUBE.pods)
    first, second = cards(BOTH | {"k8s.gpus": told})
    assert (first.node, first.capacity["kubernetes"], second.node) == ("n", 4, "n-old")
    assert "source" not in kinds(first)
    assert "this node tells the address of n" in said(second, "source")


def test_what_cannot_be_understood_leaves_its_own_node_unknown() -> None:
    told = replace(KUBE, unread={"m": "pod nim/a: 1.5 is no number of GPUs"})
    beside = {"smi.m": [replace(card(), node="m")]}
    found = {g.node: g for g in cards(BOTH | {"k8s.gpus": told, "slurm.allocations": []} | beside)}
    assert "holders" not in found["n"].na and free(found["n"]) == 1
    assert found["m"].na["holders"] == "kubernetes: pod nim/a: 1.5 is no number of GPUs"


def test_labels_tell_what_a_card_is_where_nothing_else_does() -> None:
    node = replace(KUBE.nodes[0], product="NVIDIA-A100-SXM4-40GB-SHARED", memory_mib=40960)
    values = {"k8s.gpus": KubeGpus(nodes=(node,))}
    (gpu,) = cards(values)
    assert (gpu.product, gpu.memory_total_mib) == ("NVIDIA-A100-SXM4-40GB", 40960.0)
    assert gpu.origin == {"product": "kubernetes", "memory_total_mib": "kubernetes"}
    assert "memory_total_mib" not in gpu.na and "memory_used_mib" in gpu.na
    (gpu,) = cards(values | {"smi.n": [card(memory_total_mib=None)]})
    assert (gpu.product, gpu.memory_total_mib) == ("RTX 4090", 40960.0)
    one = replace(node, product="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", memory_mib=4864)
    (gpu,) = cards({"k8s.gpus": KubeGpus(nodes=(one,))})
    assert (gpu.product, gpu.memory_total_mib) == ("NVIDIA-A100-SXM4-40GB", None)


# ---- processes


def test_processes_belong_to_who_booked() -> None:
    """By the raw id of a task, and by a pod's UID; their memory is their holder's."""
    running = (process(10, 5000.0, job_id="21"), process(11, 1000.0, job_id="21"),
               process(12, None, pod_uid="uid-llama"))  # fmt: skip
    values = BOTH | {
        "slurm.allocations": [alloc("20_3", 2, 1, 2, raw_id="21")],
        "smi.n": [card(processes=running)],
    }
    (gpu,) = cards(values)
    task, llama, _ = gpu.holders
    assert (task.pids, task.memory_mib) == ((10, 11), 6000.0)
    assert (llama.pids, llama.memory_mib) == ((12,), None)
    assert "unknown-process" not in kinds(gpu) and gpu.origin["processes"] == "smi"
    assert gpu.sources["smi"] == "3 processes (pids 10, 11, 12)"


def test_processes_that_no_scheduler_knows() -> None:
    running = (
        process(10, 5000.0),
        process(11, 100.0, job_id="99"),
        process(12, pod_uid="uid-gone"),
        process(13, since=None, name=None, user=None),
    )
    (gpu,) = cards(BOTH | {"smi.n": [card(processes=running)]})
    bare = [h for h in gpu.holders if h.kind == "process"]
    assert [(h.id, h.slices, h.source) for h in bare][:1] == [("10", 0, "nvidia-smi")]
    assert held(gpu) == 4 and len(slots(gpu)) == 4
    text = said(gpu, "unknown-process")
    assert "pid 10 python of ana: no scheduler knows it" in text
    assert "pid 11: of job 99, which holds no slice here" in text
    assert "pid 12: of pod uid-gone, which" in text and "pid 13: whose they are cannot" in text
    (unsure,) = cards(BOTH | {"smi.n": [card(processes=running)],
                              "slurm.allocations": Fault("refused", "x")})  # fmt: skip
    assert "no scheduler" not in said(unsure, "unknown-process"), "nobody could ask Slurm"
    (own,) = cards({"smi.n": [card(processes=running)]})
    assert not own.findings, "a machine without schedulers has processes, that is all"


def test_a_process_that_has_just_begun_is_not_called_unknown() -> None:
    """Its scheduler may have been asked before it began."""
    made = store(BOTH | {"smi.n": [card(processes=(process(10, since=NOW - 5),))]})
    assert "unknown-process" not in kinds(items(made, ALONE, NOW)[0])
    assert "unknown-process" in kinds(items(made, ALONE, NOW + 11)[0])


def test_a_job_on_a_card_that_it_did_not_book() -> None:
    smi = [card(0, processes=(process(1, job_id="12"),)),
           card(1, processes=(process(2, job_id="12"),))]  # fmt: skip
    values = {"slurm.nodes": gres("gpu:2"), "slurm.allocations": [alloc("12", 1, 0)], "smi.n": smi}
    first, second = cards(values)
    assert holds(first) == [("12", 1)] and holds(second) == [("2", 0)]
    assert "job 12 runs on card 1 but booked card 0 (pid 2)" in said(second, "unknown-process")
    assert "CUDA_VISIBLE_DEVICES" in said(second, "unknown-process")
    assert free(second) == 1


def test_slurm_counts_cards_by_their_device_files() -> None:
    """NVML counts them by PCI: device 0 is /dev/nvidia0, wherever that is plugged in."""
    smi = [card(0, minor=1, processes=(process(1, job_id="13"),)),
           card(1, minor=0, processes=(process(2, job_id="12"),))]  # fmt: skip
    booked = [alloc("12", 1, 0), alloc("13", 1, 1)]
    values = {"slurm.nodes": gres("gpu:2"), "slurm.allocations": booked, "smi.n": smi}
    first, second = cards(values)
    assert (holds(first), holds(second)) == ([("13", 1)], [("12", 1)])
    assert kinds(first) == kinds(second) == []
    blind = [replace(c, minor=None) for c in smi]
    first, second = cards(values | {"smi.n": blind})
    assert "job 12 runs on card 1 but booked card 0" in said(second, "unknown-process")
    assert said(second, "unknown-process").endswith("or Slurm counts the cards in another order")
    both = [replace(blind[0], processes=(process(2, job_id="12"),)), blind[1]]
    _, second = cards(values | {"smi.n": both, "slurm.allocations": booked[:1]})
    assert "another order" not in said(second, "unknown-process"), "it runs on its own as well"


def test_shards_and_instances_lie_by_device_files_too() -> None:
    mig = (MigInstance(id=1, profile="3g.40gb"), MigInstance(id=2, profile="3g.40gb"))
    values = {
        "smi.n": [card(0, minor=1), card(1, minor=0, mig=mig)], "slurm.nodes": gres("gpu:3"),
        "slurm.allocations": [alloc("1", 1, 1), alloc("2", 1, 2)],
    }  # fmt: skip
    first, second = cards(values)
    assert (first.slices, second.slices) == (1, 2)
    assert holds(first) == [("2", 1)] and [h and h.id for h in slots(second)] == [None, "1"]


def test_booked_and_idle() -> None:
    resting = card(util_percent=0.0, memory_used_mib=400.0)
    values = BOTH | {
        "slurm.allocations": [alloc("7", 2, 1, 2, start_time=NOW - 599)], "smi.n": [resting],
    }  # fmt: skip
    made = store(values)
    (gpu,) = items(made, ALONE, NOW)
    assert "idle-slice" not in kinds(gpu)
    (gpu,) = items(made, ALONE, NOW + 2)
    assert said(gpu, "idle-slice").startswith("job 7 holds 2 slices, but runs nothing on it")
    unseen = card(na={"processes": "not supported by this card"})
    (gpu,) = items(store(values | {"smi.n": [unseen]}), ALONE, NOW + 2)
    assert "idle-slice" not in kinds(gpu), "nobody can see processes there"


@pytest.mark.parametrize(
    "changes",
    [
        {"processes": (process(100, 20000.0, since=None),), "memory_used_mib": 20500.0},
        {"util_percent": 60.0, "memory_used_mib": 400.0},
        {"util_percent": 0.0, "memory_used_mib": 20500.0},
    ],
    ids=["whose it is cannot be seen", "busy without a process", "memory of no process"],
)
def test_nobody_is_called_idle_where_somebody_works_unseen(changes: dict[str, Any]) -> None:
    """/proc may be hidden, or the job in a container of its own."""
    values = {
        "slurm.nodes": gres("gpu:4"), "smi.n": [card(**changes)],
        "slurm.allocations": [alloc("12", 4, 0, 1, 2, 3, start_time=NOW - 3600)],
    }  # fmt: skip
    (gpu,) = cards(values)
    assert "idle-slice" not in kinds(gpu) and "memory-tight" not in kinds(gpu)


def test_a_job_that_works_on_one_of_its_cards() -> None:
    resting = card(1, util_percent=0.0, memory_used_mib=400.0)
    busy = card(0, processes=(process(100, 12000.0, job_id="12"),))
    values = {
        "slurm.nodes": gres("gpu:2"), "smi.n": [busy, resting],
        "slurm.allocations": [alloc("12", 2, 0, 1, start_time=NOW - 3600)],
    }  # fmt: skip
    first, second = cards(values)
    assert "idle-slice" not in kinds(first)
    assert said(second, "idle-slice").startswith(
        "job 12 holds a slice, but runs nothing on it, only on card 0 -> "
    )
    elsewhere = [replace(resting, index=0), replace(busy, index=1)]
    booked = [alloc("12", 1, 0, start_time=NOW - 3600)]
    first, second = cards(values | {"smi.n": elsewhere, "slurm.allocations": booked})
    assert kinds(first) == [], "the card that it took instead tells it"
    assert "job 12 runs on card 1 but booked card 0" in said(second, "unknown-process")


# ---- memory


def test_slices_do_not_split_memory() -> None:
    running = (process(10, 20000.0, job_id="7"), process(11, 3500.0, pod_uid="uid-llama"))
    (gpu,) = cards(BOTH | {"smi.n": [card(processes=running, memory_used_mib=23800.0)]})
    found = room(gpu)
    assert found and found.at_most == 764 and [h.id for h in found.biggest] == ["7", "nim/llama"]
    assert said(gpu, "memory-tight") == (
        "23.2G of 24.0G used, 764M left -> nobody is chosen to end: the next allocation fails, in "
        "any slice; most: job 7 19.5G, pod nim/llama 3.4G"
    )
    (gpu,) = cards(BOTH | {"smi.n": [card(processes=running[:1], memory_used_mib=20100.0)]})
    assert "3 booked slices use no memory yet, 4.4G are left" in said(gpu, "memory-tight")
    (roomy,) = cards(BOTH | {"smi.n": [card(processes=running[:1], memory_used_mib=4000.0)]})
    assert "memory-tight" not in kinds(roomy)


def test_a_jetson_shares_its_memory_with_the_machine() -> None:
    """There the kernel does choose who ends."""
    orin = card(product="Jetson Orin", memory_used_mib=7800.0, memory_total_mib=8000.0)
    (gpu,) = cards({"jetson.n": [orin]})
    text = said(gpu, "memory-tight")
    assert "it is the machine's own memory: when it is full the kernel's OOM killer ends" in text
    assert "nobody is chosen" not in text


def test_mig_splits_memory() -> None:
    mig = tuple(
        MigInstance(id=id, profile="1g.10gb", memory_total_mib=10000.0, memory_used_mib=used)
        for id, used in ((1, 9900.0), (2, 10.0))
    )
    (gpu,) = cards({"smi.n": [card(mig=mig, memory_used_mib=24000.0)]})
    assert room(gpu) is None and "1g.10gb 9.7G of 9.8G" in said(gpu, "memory-tight")


def test_the_plug_ins_mps_splits_memory_and_slurms_does_not() -> None:
    """The one limits each process to an equal part, the other its threads alone."""
    node = KubeNode(name="n", node="n", ready=True, slices=4, cards=1, replicas=4, sharing="mps")
    full = card(memory_used_mib=24000.0, memory_total_mib=24564.0)
    kube = {"k8s.gpus": KubeGpus(nodes=(node,), pods=(pod("a"), pod("b"))), "smi.n": [full]}
    half = {"smi.n": [replace(full, memory_used_mib=12000.0)]}
    (gpu,) = cards(kube | half)
    found = room(gpu)
    assert by_mps(gpu) and not shares_memory(gpu)
    assert found and found.at_most == 24564 / 4 and "memory-tight" not in kinds(gpu)
    (gpu,) = cards(kube)
    assert [f.severity for f in gpu.findings if f.kind == "memory-tight"] == [1], "all have theirs"
    for slurm in (
        {
            "slurm.nodes": gres("gpu:1,mps:100"),
            "slurm.allocations": [alloc("1", 50, 0, name="mps")],
        },
        {"slurm.nodes": gres("gpu:4"), "slurm.allocations": [alloc("1", 1, 0)]},
    ):
        for values in (slurm | {"smi.n": [full]}, kube | slurm):
            (gpu,) = cards(values)
            assert shares_memory(gpu) and not by_mps(gpu)


# ---- slots, and what is remembered


def test_slots_by_index_then_in_order() -> None:
    known = Holder(kind="job", id="1", slices=1, indexes=(2,))
    loose = Holder(kind="job", id="2", slices=2)
    assert slots(replace(CARD, slices=4, holders=(known, loose))) == [loose, loose, known, None]
    over = replace(CARD, slices=1, holders=(loose,))
    assert slots(over) == [loose, loose] and free(over) == 0
    strange = Holder(kind="job", id="3", indexes=(9, -7))
    assert slots(replace(CARD, slices=2, holders=(strange,))) == [strange, None]
    twice = Holder(kind="job", id="4", indexes=(2,))
    assert slots(replace(CARD, slices=3, holders=(known, twice))) == [twice, None, known]


def test_the_newest_are_over() -> None:
    new = Holder(kind="pod", id="new", slices=4, since=NOW)
    old = Holder(kind="pod", id="old", since=1.0)
    untold = Holder(kind="job", id="5")
    assert slots(replace(CARD, slices=4, holders=(new, old))) == [old, new, new, new, new]
    assert slots(replace(CARD, slices=1, holders=(untold, new, old)))[0] == old
    first = Holder(kind="job", id="6", indexes=(0,), since=NOW + 9)
    assert slots(replace(CARD, slices=2, holders=(new, first, old)))[:2] == [first, old]


def test_what_did_not_change_is_the_same_object() -> None:
    made = store(BOTH | {"smi.m": [replace(card(), node="m")]})
    before = items(made, ALONE, NOW)
    assert items(made, ALONE, NOW + 1) is before, "nothing was heard"
    for name in BOTH:
        put(made, name, made.value(name), NOW + 2)
    put(made, "smi.m", [replace(card(), node="m")], NOW + 2)
    assert items(made, ALONE, NOW + 2) is before, "all said the same again"
    put(made, "smi.m", [replace(card(), node="m", power_w=10.0)], NOW + 3)
    after = items(made, ALONE, NOW + 3)
    assert [a is b for a, b in zip(after, before, strict=True)] == [False, True]
    assert items(store(BOTH), ALONE, NOW)[0] == before[1]
