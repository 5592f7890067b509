"""Made-up clusters: whatever is said and however much of it is missing, no slice is held twice,
none is lost, nothing is free that is not known to be, and what is remembered is what is so.

What each owner reports is counted here anew, by the rules of the schedulers' documents, not with
the code under test.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.collectors.gpus import FIGURES, GpuMetrics
from labtui.config import Config, GpuConfig, NodeConfig
from labtui.model import Gpu, GpuProcess, KubeGpus, KubeNode, MigInstance, Node, Pod
from labtui.shares.cards import Remembered, free, held, slots
from labtui.shares.figures import FIELDS
from labtui.slurm.types import Allocation
from labtui.sources.gpufigures import LIMITS
from labtui.store import Fault, Reading, Store

NOW = 1_795_471_200.0
EVIL = "a[/b]\x1b[2J\n\u202eb"
NAMES = ("n1", "n2", "n3")
CONFIG = Config(
    nodes={name: NodeConfig(address=f"10.0.0.{i}") for i, name in enumerate(NAMES[:2])},
    gpu=GpuConfig(metrics=("10.0.0.0:9400",), smi=("n1",)),
)
JOBS = ("1", "2", "3_1", "4")
RAW = {"1": "1", "2": "2", "3_1": "31", "4": "4"}
PODS = ("a", "b", "c")
PROFILES = ("1g.10gb", "3g.40gb")

names = st.sampled_from(NAMES)
small = st.integers(0, 9)
moments = st.sampled_from([NOW - 10_000, NOW - 590, NOW - 1, None])
text = st.sampled_from(["x", "", EVIL])


def figure(field: str) -> st.SearchStrategy[float | None]:
    low, high = LIMITS[field]
    top = min(high, 90_000.0)
    odd = st.sampled_from([float("nan"), -100.0, 1e12, float("inf")])
    return st.none() | st.floats(low, top) | odd


migs = st.lists(
    st.builds(
        MigInstance, id=small, profile=st.sampled_from(PROFILES),
        memory_total_mib=st.just(1000.0), memory_used_mib=st.floats(0, 1000),
    ),
    max_size=7,
).map(tuple)  # fmt: skip
processes = st.lists(
    st.builds(
        GpuProcess, pid=st.integers(1, 30), memory_mib=st.none() | st.floats(0, 30_000),
        name=text, user=st.none() | text, since=moments,
        job_id=st.none() | st.sampled_from([*RAW.values(), "77"]),
        pod_uid=st.none() | st.sampled_from([f"uid-{p}" for p in PODS] + ["uid-z"]),
    ),
    max_size=4,
).map(tuple)  # fmt: skip


@st.composite
def measured(draw: st.DrawFn, node: str) -> list[Gpu]:
    """1 to 8 cards; some UUIDs and indexes come twice, some figures cannot be."""
    found = []
    for place in range(draw(st.integers(1, 8))):
        odd = draw(st.booleans())
        found.append(
            Gpu(
                node=node,
                index=draw(st.sampled_from([place, 0, 3])) if odd else place,
                uuid=draw(st.sampled_from([None, "GPU-0", EVIL])) if odd else f"GPU-{place}",
                mig=draw(migs) if draw(st.integers(0, 3)) == 0 else (),
                processes=draw(processes),
                driver=draw(st.sampled_from([None, "550", "580"])),
                throttle=draw(st.sampled_from([None, "power cap", "power cap, power brake"])),
                xid=draw(st.sampled_from([None, 0, 79, 5000])),
                ecc_uncorrected=draw(st.sampled_from([None, 0, 2])),
                na={"processes": "no"} if draw(st.integers(0, 3)) == 0 else {},
                **{field: draw(figure(field)) for field in FIGURES},
            )
        )
    return found


@st.composite
def metrics(draw: st.DrawFn) -> GpuMetrics:
    cards = [card for name in draw(st.sets(names)) for card in draw(measured(name))]
    given_to = draw(st.dictionaries(
        st.sampled_from(["n1:0", "n1:1", "n2:0", "n3:x"]),
        st.sampled_from([(), ("ns/a",), ("ns/a", "ns/b")]),
    ))  # fmt: skip
    up = draw(st.dictionaries(names, st.booleans()))
    return GpuMetrics(cards=tuple(cards), up=up, pods=given_to)


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    found = []
    for name in sorted(draw(st.sets(names, min_size=1))):
        gpu = draw(st.integers(0, 9))
        shard = draw(st.sampled_from([0, 0, gpu * 4, 7]))
        mps = draw(st.sampled_from([0, 0, gpu * 100]))
        parts = [f"{n}:{c}" for n, c in (("gpu", gpu), ("shard", shard), ("mps", mps)) if c]
        count = draw(st.none() | small)
        found.append(Node(name=name, gpus=gpu, gpus_alloc=count, gres=",".join(parts) or None))
    return found


@st.composite
def booked(draw: st.DrawFn) -> list[Allocation]:
    found = []
    for job in draw(st.lists(st.sampled_from(JOBS), min_size=draw(st.integers(0, 2)), max_size=5)):
        count = draw(st.integers(1, 5))
        indexes = st.lists(st.integers(0, 9), max_size=count).map(tuple)
        exact = st.lists(st.integers(0, 7), min_size=count, max_size=count, unique=True).map(tuple)
        parts = st.sampled_from([(), ((0, count),), ((0, 1), (1, count - 1))[:count], ((9, 9),)])
        found.append(
            Allocation(
                job,
                draw(text),
                draw(text),
                draw(names),
                draw(st.sampled_from(["gpu", "gpu", "shard", "mps", "craynetwork"])),
                draw(st.sampled_from([None, "a100", "1g.10gb"])),
                count,
                draw(indexes | exact),
                draw(moments),
                RAW[job],
                draw(st.sampled_from(["RUNNING"])),
                draw(parts),
            )
        )
    return found


@st.composite
def kubernetes(draw: st.DrawFn) -> KubeGpus:
    found = []
    for name in sorted(draw(st.sets(names))):
        found.append(
            KubeNode(
                name=name,
                node=name,
                ready=draw(st.none() | st.booleans()),
                unschedulable=draw(st.booleans()),
                slices=draw(st.none() | st.integers(0, 16)),
                mig=draw(st.dictionaries(st.sampled_from([f"mig-{p}" for p in PROFILES]), small)),
                capacity=draw(st.none() | st.integers(0, 16)),
                cards=draw(st.none() | st.integers(0, 8)),
                replicas=draw(st.none() | small),
                sharing=draw(st.sampled_from([None, "none", "time-slicing", "mps"])),
            )
        )
    pods = [
        Pod(namespace="ns", name=name, uid=f"uid-{name}", node=draw(st.none() | names),
            phase="Running", slices=draw(st.integers(0, 4)), since=draw(moments),
            mig=draw(st.dictionaries(st.sampled_from([f"mig-{p}" for p in PROFILES]), small)))
        for name in draw(st.lists(st.sampled_from(PODS), max_size=3, unique=True))
    ]  # fmt: skip
    denied = draw(st.sampled_from([{}, {}, {}, {"pods": "no right"}, {"nodes": "no right"}]))
    return KubeGpus(nodes=tuple(found), pods=tuple(pods), denied=denied)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "prom.gpus": metrics(),
    "slurm.nodes": nodes(),
    "slurm.allocations": booked(),
    "k8s.gpus": kubernetes(),
    **{f"{kind}.{name}": measured(name) for kind in ("smi", "nvml") for name in NAMES[:2]},
}
Step = tuple[str, Any, float]


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """(feed, value or Fault, seconds since the step before): first what each feed says, then what
    changes; a value that comes again comes as another object."""
    feeds = sorted(VALUES.keys() - draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=5)))
    found: list[Step] = []
    last: dict[str, Any] = {}
    for feed in [*feeds, *draw(st.lists(st.sampled_from(feeds), max_size=4))]:
        how = draw(st.sampled_from(["new", "new", "new", "new", "new", "again", "failed", "none"]))
        value = draw(VALUES[feed]) if how == "new" else None
        if how == "again":
            value = copy.deepcopy(last.get(feed))
        elif how == "failed":
            value = Fault("refused", draw(st.sampled_from(["x", "driver and library differ"])))
        if how in ("new", "again"):
            last[feed] = value
        found.append((feed, value, draw(st.sampled_from([0.0, 0.0, 1.0, -3.0, 11.0, 16.0, 700.0]))))
    return found


def put(store: Store, feed: str, value: Any, at: float) -> None:
    if store.feed(feed) is None:
        store.declare(feed, feed.partition(".")[0], 5.0)
    if value is not None:
        bad = isinstance(value, Fault)
        store.put(Reading(feed, None if bad else value, value if bad else None, at, 0.1))


@settings(max_examples=150, deadline=None)
@given(steps())
def test_any_cluster(steps: list[Step]) -> None:
    store, now = Store(), NOW
    remembered = Remembered(CONFIG)
    before: list[Gpu] = []
    for feed, value, seconds in steps:
        now += seconds
        put(store, feed, value, now)
        found = remembered.items(store, now)
        assert found == Remembered(CONFIG).items(store, now), "remembered is what is so"
        assert remembered.items(store, now) is found, "nothing was heard: the same object"
        kept = {(g.node, g.index): g for g in before}
        for gpu in found:
            old = kept.get((gpu.node, gpu.index))
            assert old is gpu or old != gpu, "a card that is the same stays the same object"
        before = found
        keys = [(g.node, g.index) for g in found]
        assert len(set(keys)) == len(keys)
        for gpu in found:
            check_slots(gpu)
            check_figures(gpu)
            check_processes(gpu)
            check_findings(gpu)
        check_sums(found, store)
        check_free(found, store, now)
        for gpu in found:
            alone = sum(g.node == gpu.node and g.index is not None for g in found) == 1
            assert gpu.index is not None or not alone, "one card: it is that one"
        check_idle(found, now)
    for seconds in (0.5, 10.0, 700.0):
        now += seconds
        assert remembered.items(store, now) == Remembered(CONFIG).items(store, now)


def check_slots(gpu: Gpu) -> None:
    """Each slot has one holder at most, each holder the slots that it booked."""
    places = slots(gpu)
    assert len(places) == max(gpu.slices or 0, held(gpu))
    in_slots = Counter(id(holder) for holder in places if holder is not None)
    for holder in gpu.holders:
        assert in_slots[id(holder)] == holder.slices
        assert (holder.slices == 0) == (holder.kind == "process")
    assert sum(gpu.booked.values()) == held(gpu)
    over = gpu.slices is not None and held(gpu) > gpu.slices
    assert over == any(f.kind == "overbooked" for f in gpu.findings)
    if gpu.mig:
        assert gpu.slices == max(len(gpu.mig), *gpu.capacity.values(), 0)


def check_figures(gpu: Gpu) -> None:
    for field in FIGURES:
        value = getattr(gpu, field)
        if value is None:
            assert gpu.na[field]
        else:
            low, high = LIMITS[field]
            assert low <= value <= high and field not in gpu.na
    if gpu.memory_used_mib is not None and gpu.memory_total_mib is not None:
        assert gpu.memory_used_mib <= gpu.memory_total_mib
    for field in FIELDS:
        assert (getattr(gpu, field) is not None) == (field in gpu.origin)
    if gpu.slices is None:
        assert gpu.na["slices"]


def check_processes(gpu: Gpu) -> None:
    """Each process belongs to one holder; where none can be seen, `na` says so."""
    assert {pid for h in gpu.holders for pid in h.pids} == {p.pid for p in gpu.processes}
    of: dict[str, set[int]] = {}
    for holder in gpu.holders:
        key = str(holder.kind) + holder.id
        of[key] = of.get(key, set()) | set(holder.pids)
    for process in gpu.processes:
        job = next((f"job{job}" for job, raw in RAW.items() if raw == process.job_id), "")
        pod = f"podns/{(process.pod_uid or '')[4:]}"
        owner = job if job in of else pod if pod in of else f"process{process.pid}"
        assert process.pid in of[owner]
    if gpu.processes:
        assert "processes" in gpu.origin and "processes" not in gpu.na
    elif "processes" not in gpu.origin:
        assert gpu.na["processes"]
        assert not any(f.kind in ("idle-slice", "unknown-process") for f in gpu.findings)


def check_idle(found: list[Gpu], now: float) -> None:
    """Who booked ten minutes ago and runs nothing, where whoever works there can be seen; and on
    no card of its machine that it did not book."""
    for gpu in found:
        busy = {h.id for h in gpu.holders if h.pids and h.kind != "process"}
        idle = {
            h.id
            for h in gpu.holders
            if h.kind != "process" and h.since is not None and h.since + 600 < now
        }
        strays = [
            (p.job_id, p.pod_uid)
            for g in found
            if g.node == gpu.node
            for p in g.processes
            if any(h.kind == "process" and p.pid in h.pids for h in g.holders)
        ]
        astray = {id for id, raw in RAW.items() if any(raw == job for job, _ in strays)}
        astray |= {f"ns/{p}" for p in PODS if any(f"uid-{p}" == uid for _, uid in strays)}
        listed = [p.memory_mib for p in gpu.processes]
        known = [m for m in listed if m is not None]
        unseen = any({p.since, p.job_id, p.pod_uid} == {None} for p in gpu.processes)
        unseen |= not listed and (gpu.util_percent or 0) >= 10
        if gpu.memory_used_mib is not None and known == listed:
            unseen |= gpu.memory_used_mib - sum(known) > 1024
        told = {f.holder for f in gpu.findings if f.kind == "idle-slice"}
        assert told <= idle - busy
        assert not told if unseen or "processes" in gpu.na else idle - busy - told <= astray


def check_findings(gpu: Gpu) -> None:
    severities = [f.severity for f in gpu.findings]
    assert severities == sorted(severities, reverse=True)
    for finding in gpu.findings:
        assert finding.text and "\x1b" not in finding.text + finding.means
        assert "\n" not in finding.text + finding.means


def check_sums(found: list[Gpu], store: Store) -> None:
    """What lies on a node's cards, and on none that is known, is what its owner gave away."""
    per_gpu: dict[str, int] = {}
    for node in store.value("slurm.nodes") or ():
        counts = {
            p.partition(":")[0]: int(p.partition(":")[2]) for p in (node.gres or "").split(",") if p
        }
        gpu, shard = counts.get("gpu", 0), counts.get("shard", 0)
        per_gpu[node.name] = shard // gpu if gpu and shard and shard % gpu == 0 else 1
    told: Counter[tuple[str, str]] = Counter()
    for part in store.value("slurm.allocations") or ():
        one = {"gpu": part.count * per_gpu.get(part.node, 1), "shard": part.count, "mps": 1}
        told[part.node, part.job_id] += one.get(part.name, 0)
    kube = store.value("k8s.gpus")
    for pod in kube.pods if kube else ():
        if pod.node is not None:
            told[pod.node, f"ns/{pod.name}"] += pod.slices + sum(pod.mig.values())
    shown: Counter[tuple[str, str]] = Counter()
    for gpu in found:
        for holder in gpu.holders:
            if holder.kind != "process":
                shown[gpu.node, holder.id] += holder.slices
    assert +shown == +told
    for owner, kind in (("slurm", "job"), ("kubernetes", "pod")):
        assert sum(g.booked.get(owner, 0) for g in found) == sum(
            h.slices for g in found for h in g.holders if h.kind == kind
        )


def check_free(found: list[Gpu], store: Store, now: float) -> None:
    """Free only where every owner that has this node was heard lately, and tells all of it."""
    heard = {}
    for feed in store.feeds():
        heard[feed.name] = feed.good is not None and now - feed.good.taken_at <= 15.0
    kube, slurm = store.value("k8s.gpus"), store.value("slurm.nodes")
    jobs = store.value("slurm.allocations")
    nowhere = {g.node for g in found if g.index is None}
    for gpu in found:
        if free(gpu) is None:
            continue
        assert gpu.index is not None and gpu.node not in nowhere
        if "slurm.nodes" in heard or "slurm.allocations" in heard:
            here = slurm is None or any(n.name == gpu.node and n.gres for n in slurm)
            here |= any(a.node == gpu.node and a.name != "craynetwork" for a in jobs or ())
            assert not here or heard.get("slurm.allocations"), "Slurm's holders are not known"
        if "k8s.gpus" in heard:
            here = kube is None or "nodes" in kube.denied
            here = here or any(
                n.node == gpu.node and (n.slices is not None or n.mig or n.cards)
                for n in kube.nodes
            )
            known = heard["k8s.gpus"] and "pods" not in kube.denied if kube else False
            assert not here or known, "Kubernetes' holders are not known"
