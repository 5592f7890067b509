"""`parse` on what Slurm printed, of every data parser, and on what chance makes of it."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.slurm import PyslurmError, RPCError, db, parse
from labtui.slurm import settings as slurm_settings
from labtui.slurm.constants import INFINITE, INFINITE64, NO_VAL, NO_VAL64

HERE = Path(__file__).resolve().parent / "samples" / "slurm"
TABLES = HERE.with_name("slurm-tables")
ALL = sorted(p for p in [*HERE.glob("*/*"), *TABLES.glob("*/*")] if "refused" not in p.name)
REASON = "disk  swap: ana's; [check]"
NODES = ("desktop-gpu", "jetson-edge", "xps15-cpu")


def kind(path: Path) -> str:
    return path.stem.partition("-")[0]


def parser(path: Path) -> str:
    return path.parent.name


def samples(*kinds: str) -> Any:
    """Samples of these kinds, by version."""
    found = [p for p in ALL if kind(p) in kinds]
    return pytest.mark.parametrize("path", found, ids=lambda p: f"{p.parent.name}/{p.name}")


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that do not name their cluster are of this one."""
    monkeypatch.setattr(slurm_settings, "local_cluster", lambda: "here")


def read(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return parse(path.read_bytes(), kind=kind(path))


def test_every_parser_has_samples() -> None:
    found = {parser(p) for p in ALL if p.suffix == ".json"}
    assert found == {f"v0.0.{n}" for n in range(37, 46)}
    texts = {parser(p) for p in ALL if p.suffix == ".txt"}
    assert texts == {"text-22.05", "text-24.11", "text-26.05", "22.05", "24.11"}
    assert {kind(p) for p in ALL} == {
        "squeue", "job", "step", "sinfo", "node", "partition", "reservation", "sacct", "qos",
        "assoc", "tres", "sdiag", "ping", "config",
    }  # fmt: skip


# -- nodes, partitions, reservations ---------------------------------------------------------


@samples("node", "sinfo")
def test_nodes(path: Path) -> None:
    nodes = read(path)
    if kind(path) == "sinfo" and path.suffix == ".txt":
        assert set(nodes) == set(NODES)
        edge = nodes["jetson-edge"]
        assert edge.state == "IDLE+DRAIN"
        assert edge.reason == (None if path.stem == "sinfo" else "two words")
        assert (edge.real_memory, edge.weight) in ((8000, 1), (None, None))
        assert nodes["xps15-cpu"].partitions == ["cpu"]
        assert nodes["xps15-cpu"].state == "MIXED"
        if path.stem == "sinfo-marks":
            assert (edge.total_cpus, edge.allocated_cpus, edge.slurmd_port) == (6, 0, 6818)
            assert (edge.reason_user, edge.cpu_load) == ("root", 8.84)
            assert 1795506400 < edge.reason_time < 1795506500
        return
    groups = kind(path) == "sinfo" and parser(path) not in OPENAPI
    if groups:
        one = next(iter(nodes.values()))
        assert one.name in NODES
        assert (one.real_memory, one.total_cpus) in ((64000, 16), (32000, 12), (8000, 6))
        assert one.effective_cpus is None
        return
    assert tuple(nodes) == NODES
    assert (nodes.total_cpus, nodes.real_memory) == (34, 104000)
    edge, gpu = nodes["jetson-edge"], nodes["desktop-gpu"]
    assert (edge.state, edge.effective_cpus, edge.allocated_cpus) == ("MIXED+DRAIN", 6, 1)
    assert (edge.idle_cpus, edge.idle_memory, edge.allocated_memory) == (5, 7000, 1000)
    assert edge.configured_gres == {"gpu:jetson": 1}
    assert edge.allocated_gres == {"gpu": 1, "gpu:jetson": 1}
    assert edge.allocated_tres["mem"] == "1000M"
    assert (edge.sockets, edge.cores_per_socket, edge.threads_per_core, edge.weight) == (6, 1, 1, 1)
    assert edge.address == "10.77.0.40"
    assert edge.partitions == ["edge", "p2_part"]
    assert 10_000 < edge.free_memory < 30_000
    assert 1 < edge.cpu_load < 10
    assert 1795502000 < edge.boot_time < 1795503000
    assert (edge.reason, edge.reason_user) == (REASON, "root")
    assert 1795503000 < edge.last_busy_time < 1795504000
    if "iso" not in path.name:
        assert 1795503300 < edge.reason_time < 1795503500
    assert (edge.comment, edge.extra) == ("rack 2; State=UP Weight=9", "x=1, Y=2")
    assert edge.slurm_version in ("22.05.8", "24.11.5", "26.05.5")
    assert edge.slurmd_port == (6818 if path.suffix == ".json" else None)
    assert gpu.state in ("MIXED", "MIXED+PLANNED")
    assert (gpu.reason, gpu.owner, gpu.mcs_label, gpu.memory_reserved_for_system) == (None,) * 4
    assert gpu.allocated_gres["gpu"] in (2, 3)


@samples("partition")
def test_partitions(path: Path) -> None:
    parts = read(path)
    assert list(parts) == ["gpu", "cpu", "edge", "p2_part"]
    own, cpu = parts["p2_part"], parts["cpu"]
    old = parser(path) in OPENAPI
    assert (own.state, own.max_time, own.max_nodes, own.min_nodes) == ("DRAIN", 90, 2, 1)
    assert (own.default_memory_per_cpu, own.default_memory_per_node) == (500, None)
    assert (own.max_memory_per_node, own.max_memory_per_cpu) == (4000, None)
    assert (own.max_cpus_per_node, own.preemption_grace_time, own.over_time_limit) == (3, 120, 5)
    assert (own.priority_job_factor, own.priority_tier, own.default_time) == (10, 5, None)
    assert own.allowed_accounts == ["research", "root"]
    assert (own.allowed_groups, own.denied_accounts) == (["ALL"], ["ALL"])
    assert (own.denied_qos, own.allowed_submit_nodes) == (["p2_gpu"], ["desktop-gpu"])
    assert (own.alternate, own.nodes) == ("cpu", "jetson-edge,xps15-cpu")
    assert (own.total_cpus, own.total_nodes) == (18, 2)
    assert own.oversubscribe == (None if old else "FORCE:2")
    assert own.is_hidden in (True, None)
    assert own.allow_root_jobs in (False, None)
    assert own.requires_reservation in (True, None)
    assert (cpu.max_time, cpu.max_nodes, cpu.max_cpus_per_node) == (2880, "UNLIMITED", "UNLIMITED")
    assert cpu.default_time == (None if parser(path) == "v0.0.37" else 60)
    assert cpu.max_memory_per_node in ("UNLIMITED", None)
    assert cpu.preempt_mode in ("OFF", None)
    assert cpu.is_default in (True, None)
    if path.suffix == ".txt" or parser(path) in ("v0.0.37", "v0.0.38", "v0.0.45"):
        assert (own.is_hidden, own.allow_root_jobs, own.is_user_exclusive) == (True, False, True)
        assert (own.least_loaded_nodes_scheduling, own.is_root_only) == (True, False)
        assert (cpu.is_default, cpu.is_hidden, cpu.allow_root_jobs) == (True, False, True)
    if path.suffix == ".txt":
        assert (own.default_cpus_per_gpu, own.default_memory_per_gpu) == (2, 1024)


@samples("reservation")
def test_reservations(path: Path) -> None:
    found = read(path)
    assert set(found) == {"p2_maint", "p2_pool", "p2_cores"}
    maint, pool, cores = found["p2_maint"], found["p2_pool"], found["p2_cores"]
    flags = {f.name for f in type(maint.flags) if f in maint.flags}
    assert flags == {"MAINTENANCE", "IGNORE_RUNNING_JOBS", "SPECIFIC_NODES"}
    assert (maint.reoccurrence, maint.duration, maint.cpus) == ("DAILY", 120, 12)
    assert (maint.users, maint.nodes, maint.node_count) == (["labop", "root"], "xps15-cpu", 1)
    assert (maint.purge_time, maint.partition, maint.tres) == (None, None, {"cpu": 12})
    assert (pool.accounts, pool.partition, pool.duration) == (["root"], "edge", 1440)
    assert pool.end_time - pool.start_time == 86400
    assert (cores.purge_time, cores.reoccurrence, cores.duration) == (600, "NO", 30)
    assert cores.cpu_ids_by_node in ({}, {"xps15-cpu": "4-5"}, {"xps15-cpu": "0-1"})


# -- jobs ------------------------------------------------------------------------------------


@samples("squeue", "job")
def test_jobs(path: Path) -> None:
    if kind(path) == "squeue" and path.suffix == ".txt":
        _queue(read(path), marks="marks" in path.name)
        return
    jobs = {job.name: job for job in read(path).values()}
    if "p2_train" in jobs:
        train = jobs["p2_train"]
        assert (train.state, train.cpus, train.time_limit) == ("RUNNING", 4, 20)
        assert train.gpus["gpu"].count == 2
        assert train.allocated_tres.mem.count == 8192
        assert train.allocated_nodes == "desktop-gpu"
        assert (train.user_name, train.account, train.partition) == ("labop", "research", "gpu")
        assert train.end_time == train.start_time + 1200
    odd = [name for name in jobs if name.startswith("p2 odd")]
    for name in odd:
        assert name == 'p2 odd "name" ünï|x=y'
        assert jobs[name].comment in ('say "hi" | a=b', None)
    if "p2_array" in jobs and jobs["p2_array"].state == "PENDING":
        waiting = jobs["p2_array"]
        assert waiting.array_id == waiting.id
        assert (waiting.array_task_id, waiting.array_tasks_parallel) == (None, 2)
        assert waiting.array_tasks_waiting == "2-7"
    if "p2_fail" in jobs:
        assert (jobs["p2_fail"].state, jobs["p2_fail"].exit_code) == ("FAILED", 3)
    if "p2_after" in jobs:
        assert set(jobs["p2_after"].dependencies) >= {"afterok", "afterany"}


def _queue(jobs: Any, marks: bool) -> None:
    waiting = next(j for j in jobs.values() if j.name == "p2_tab" and j.state == "PENDING")
    assert (waiting.id, waiting.array_tasks_waiting) == (waiting.array_id, "2-5")
    assert (waiting.array_tasks_parallel, waiting.state_reason) == (2, "JobArrayTaskLimit")
    held = next(j for j in jobs.values() if j.state_reason == "JobHeldUser")
    assert held.name == ("p2 two words" if marks else "p2 two w")
    task = next(j for j in jobs.values() if j.name == "p2_tab" and j.array_task_id == 0)
    assert (task.state, task.allocated_nodes, task.user_name) == ("RUNNING", "xps15-cpu", "labop")
    assert (task.array_id, task.num_nodes, task.partition) == (waiting.id, 1, "cpu")
    if marks:
        assert task.id == waiting.id + 2
        assert (task.time_limit, held.time_limit, held.priority) == (10, 60, 0)
        assert 1795506400 < task.start_time < 1795506600
    else:
        assert task.id is None
        assert task in jobs.values()


@pytest.mark.parametrize("text", ["nonsense", "JOBID NAME\nx y", "JOBID|NAME\n7\n", "STATE\nidle"])
def test_tables_that_are_none(text: str) -> None:
    for kind_of in ("squeue", "sinfo"):
        with pytest.raises(PyslurmError):
            parse(text, kind=kind_of)
    assert len(parse("", kind="squeue")) == len(parse("\n", kind="sinfo")) == 0


NOTHING = {
    "job": "No jobs in the system", "step": "No job steps in the system",
    "node": "No nodes in the system", "partition": "No partitions in the system",
    "reservation": "No reservations in the system",
}  # fmt: skip


@pytest.mark.parametrize("kind_of", NOTHING)
@pytest.mark.parametrize(
    "payload",
    [b"Node nope not found\n", b"total garbage\x00", b"null", b"[]", b"\xff\xfe",
     b"slurm_load_node error: Unable to contact slurm controller (connect failure)\n",
     b"No jobs in the system, but this"],
)  # fmt: skip
def test_what_is_no_document_is_not_an_empty_one(kind_of: str, payload: bytes) -> None:
    with pytest.raises(PyslurmError):
        parse(payload, kind=kind_of)
    for nothing in (b"", b"\n", NOTHING[kind_of].encode() + b"\n"):
        assert len(parse(nothing, kind=kind_of)) == 0


@pytest.mark.parametrize("path", [p for p in ALL if p.suffix == ".txt"], ids=str)
def test_a_text_that_windows_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1795506600.0)
    text = path.read_text(encoding="utf-8")
    kept = "\ufeff" + text.replace("\n", "\r\n")
    plain, found = (
        repr(one.to_dict(recursive=True) if hasattr(one, "to_dict") else one)
        for one in (parse(text, kind=kind(path)), parse(kept, kind=kind(path)))
    )
    assert found == plain


def test_states_of_sinfo() -> None:
    lines = "NODELIST|STATE|NODES\n" + "".join(
        f"n[{i}-{i + 1}]|{word}|2\n"
        for i, word in enumerate(["down*", "drng", "alloc-", "idle~", "mixed+planned", "drain*$"])
    )
    states = [node.state for node in parse(lines, kind="sinfo").values()]
    assert states == [
        "DOWN+NOT_RESPONDING", "DOWN+NOT_RESPONDING", "DRAINING", "ALLOCATED+PLANNED",
        "IDLE+POWERED_DOWN", "MIXED+PLANNED", "IDLE+DRAIN+NOT_RESPONDING+MAINTENANCE",
    ]  # fmt: skip


@samples("step")
def test_steps(path: Path) -> None:
    steps = [step for own in read(path).values() for step in own.values()]
    assert {step.id for step in steps} >= {"batch"}
    assert {step.state for step in steps} == {"RUNNING"}
    assert all(1795503000 < step.start_time < 1795504000 for step in steps)


@samples("sacct")
def test_accounted_jobs(path: Path) -> None:
    jobs = {job.name: job for job in read(path).values()}
    done = jobs["p2_done"]
    assert (done.state, done.exit_code, done.exit_code_signal) == ("COMPLETED", 0, 0)
    assert (done.cpus, done.memory, done.num_nodes, done.time_limit) == (2, 2000, 1, 60)
    assert (done.user_name, done.qos, done.nodelist) == ("labop", "normal", "xps15-cpu")
    assert set(done.steps) == {"batch", 0}
    batch, step = done.steps["batch"], done.steps[0]
    assert (step.ntasks, step.name, step.cpus, step.num_nodes) == (2, "sleep", 2, 1)
    assert (step.memory, step.nodelist, step.elapsed_time) == (2000, "xps15-cpu", 7)
    assert step.stats.elapsed_cpu_time == 14
    assert 1_500_000 < step.stats.max_resident_memory < 3_000_000
    assert (step.stats.max_resident_memory_node, step.stats.total_cpu_time) == ("xps15-cpu", 0)
    assert 2_097_000_000 < batch.stats.avg_disk_read < 2_098_000_000
    assert 2_097_000_000 < done.stats.disk_write < 2_098_000_000
    assert done.stats.elapsed_cpu_time == done.elapsed_time * 2
    assert batch.stats.avg_cpu_frequency in (None, 0, 2596, 2597, 2598)
    # 22.05's own JSON says 0 here.
    assert jobs["p2_fail"].exit_code == (None if parser(path) in OPENAPI else 3)
    assert jobs["p2_cancel"].state == "CANCELLED"
    assert jobs["p2_cancel"].cancelled_by in ("labop", None)
    assert jobs["p2_train"].gpus["gpu"].count == 2
    if "p2_burn" in jobs:
        burn = jobs["p2_burn"]
        assert (burn.comment, burn.steps[0].stats.total_cpu_time) in (
            ("new comment", 4), ("new comment", 5),
        )  # fmt: skip
        assert burn.standard_output in (f"/tmp/p2-p2_burn-{burn.id}.out", None)


OPENAPI = ("v0.0.37", "v0.0.38")
UNTOLD = {"user_id", "db_index", "wckey_id", "association_id", "requeue_count", "gpus", "gres",
          "tres", "allocated_tres", "requested_tres", "stats", "steps"}  # fmt: skip


@pytest.mark.parametrize("release", ["22.05 v0.0.38", "24.11 v0.0.42", "26.05 v0.0.45"])
def test_text_and_json_tell_the_same_of_a_job(release: str) -> None:
    text, _, json_of = release.partition(" ")
    told, written = read(HERE / f"text-{text}/sacct.txt"), read(HERE / json_of / "sacct.json")
    same = [key for key in written.keys().with_cluster() if written[key].name != "p2_train"]
    assert len(same) == 3
    untold = UNTOLD
    if json_of in OPENAPI:
        codes = {
            f"{which}exit_code{part}" for which in ("", "derived_") for part in ("", "_signal")
        }
        untold = UNTOLD | codes | {"submit_command"}
    for key in same:
        one, other = told[key].to_dict(), written[key].to_dict()
        assert {k: (one[k], other[k]) for k in one.keys() - untold if one[k] != other[k]} == {}
        for step, own in told[key].steps.items():
            if step in written[key].steps:
                other = vars(written[key].steps[step].stats)
                if json_of in OPENAPI:
                    own.stats.avg_cpu_frequency = None
                assert vars(own.stats) == other


# -- the accounting's rest, slurmctld ----------------------------------------------------------


@samples("qos")
def test_qos(path: Path) -> None:
    found = read(path)
    assert (found["normal"].id, found["normal"].description) == (1, "Normal QOS default")
    assert found["p2_gpu"].description == "two | cards"


@samples("assoc")
def test_associations(path: Path) -> None:
    found = read(path)
    assert len(found) == 8
    own = next(one for one in found.values() if one.account == "p2acct" and one.user)
    assert (own.user, own.max_jobs, own.group_jobs, own.max_submit_jobs) == ("ben", 5, 7, 0)
    assert (own.max_wall_time_per_job, own.group_wall_time) == (1560, 600)
    assert (own.priority, own.shares, own.group_submit_jobs) == (3, 5, None)
    assert own.group_tres.cpu.count == 10
    assert own.group_tres.gres["gpu"].count == 1
    assert own.group_tres.mem.count == 4096
    assert own.max_tres_per_job.node.count == 2
    assert own.group_tres_mins.cpu.count == 1000
    assert own.group_tres_run_mins.cpu.count == 100
    assert own.max_tres_mins_per_job.gres["gpu"].count == 60
    assert own.qos == ([] if parser(path) == "v0.0.37" else ["normal", "p2_gpu"])
    assert own.id is None or own.id in (14, 16)


@samples("tres")
def test_tres(path: Path) -> None:
    found = read(path)
    assert (found.cpu.id, found.mem.id, found.fs["disk"].id) == (1, 2, 6)
    assert (found.gres["gpu"].id, found.gres["gpu:jetson"].id) == (1001, 1002)


@samples("sdiag")
def test_statistics(path: Path) -> None:
    stats = read(path)
    assert 40 < stats.jobs_submitted < 70
    assert 1795503300 < stats.request_time < 1795503500
    assert 1795502400 <= stats.data_since < 1795503000
    assert 100 < stats.schedule_cycle_counter < 600
    assert 100 < stats.schedule_cycle_mean < 400
    assert stats.backfill_table_size_mean in (2, 3, None)
    assert stats.backfill_active is False
    if parser(path) != "v0.0.37":
        assert len(stats.rpcs_by_type) == 4
        one = next(iter(stats.rpcs_by_type.values()))
        assert one.time // one.count == one.average_time
        assert stats.rpcs_by_user["root"].user_id == 0
    if stats.schedule_exit.end_of_job_queue is not None:
        assert abs(stats.schedule_exit.end_of_job_queue - stats.schedule_cycle_counter) < 3
    if stats.backfill_queue_length_sum:
        assert stats.backfill_queue_length_mean == 1


@samples("ping")
def test_pings(path: Path) -> None:
    (one,) = read(path)
    assert (one.hostname, one.is_primary, one.is_responding, one.index) == (
        "desktop-gpu", True, True, 0,
    )  # fmt: skip
    assert one.latency is None or 0.5 < one.latency < 10


@samples("config")
def test_settings(path: Path) -> None:
    conf = read(path)
    assert conf.cluster_name in ("bw", "lab", "sid")
    assert (conf.slurmd_port, conf.default_memory_per_cpu) == (6818, 1000)
    assert (conf.max_array_size, conf.min_job_age) == (1001, 300)
    assert conf.priority_decay_half_life == 604800
    assert conf.max_memory_per_node == "UNLIMITED"
    assert conf.to_dict(recursive=True)


# -- versions and errors -----------------------------------------------------------------------


def test_a_newer_parser_is_tried_with_a_warning() -> None:
    text = (HERE / "v0.0.45/node.json").read_text(encoding="utf-8")
    with pytest.warns(UserWarning, match=r"v0\.0\.46 is newer"):
        nodes = parse(text.replace("v0.0.45", "v0.0.46"), kind="node")
    assert nodes["jetson-edge"].total_cpus == 6


def test_an_error_inside_a_document() -> None:
    refused = (HERE / "v0.0.38/sacct-refused.json").read_bytes()
    with pytest.raises(RPCError, match="Unable to parse time format") as caught:
        parse(refused, kind="sacct")
    assert caught.value.errno == 9000
    with pytest.raises(ValueError, match="is no kind of document"):
        parse(refused, kind="nonsense")
    with pytest.raises(PyslurmError):
        parse(b'{"meta": {}, "errors": []}', kind="node")


# -- by chance ---------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=8),
    st.sampled_from([NO_VAL, NO_VAL64, INFINITE, INFINITE64, -(2**63), 2**64, 1e300, "", "[", "%"]),
    st.just([]), st.just({}), st.just([None]), st.just({"set": True, "number": "x"}),
    st.builds(lambda n: {"set": True, "infinite": False, "number": n}, st.integers(-3, 2**65)),
)  # fmt: skip
JSON = [p for p in ALL if p.suffix == ".json"]
TEXT = [p for p in ALL if p.suffix == ".txt"]
SIGNED = {"nice", "run_time_remaining"}


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from numbers(inside, str(key))
    elif isinstance(value, list):
        for inside in value:
            yield from numbers(inside, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def check(found: Any) -> None:
    """No number that stands for "unset" or "unlimited", or that no field can hold."""
    told = found.values() if hasattr(found, "values") else found
    for one in told if isinstance(told, list) or hasattr(found, "values") else [found]:
        many = one.values() if isinstance(one, dict) and not hasattr(one, "to_dict") else [one]
        for record in many:
            for name, number in numbers(record.to_dict(recursive=True)):
                assert number not in (NO_VAL64, INFINITE64), name
                assert name in SIGNED or -1 <= number < 2**63, name


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document that can be replaced."""
    for key, inside in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inside, dict | list):
            yield from places(inside)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(JSON), st.integers(0, 10**6), ODD)
def test_a_document_with_one_odd_value(path: Path, place: int, odd: Any) -> None:
    document = _document(path)
    where = list(places(document))
    holder, key = where[place % len(where)]
    holder[key] = odd
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = parse(json.dumps(document), kind=kind(path))
        except PyslurmError:
            return
    check(found)


_DOCUMENTS: dict[Path, Any] = {}


def _document(path: Path) -> Any:
    if path not in _DOCUMENTS:
        _DOCUMENTS[path] = json.loads(path.read_bytes())
    return copy.deepcopy(_DOCUMENTS[path])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TEXT + JSON),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 40), st.binary(max_size=6)),
             min_size=1, max_size=3),
)  # fmt: skip
def test_a_document_with_odd_bytes(path: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    payload = path.read_bytes()
    for place, length, new in cuts:
        start = place % (len(payload) + 1)
        payload = payload[:start] + new + payload[start + length :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = parse(payload, kind=kind(path))
        except PyslurmError:
            return
    if isinstance(found, db.TrackableResources | dict | list) or hasattr(found, "to_dict"):
        check(found)


@pytest.mark.parametrize(
    ("number", "per_cpu", "per_node"),
    [(-(2**63) + 500, 500, None), (-(2**63), "UNLIMITED", None), (4000, None, 4000),
     (0, None, "UNLIMITED"), (-2, None, None), (-1, None, None), (2**64, None, None),
     ("x", None, None), (True, None, None)],
)  # fmt: skip
def test_one_number_for_memory(number: Any, per_cpu: Any, per_node: Any) -> None:
    """v0.0.37: the highest bit says that it is for a CPU."""
    document = _document(HERE / "v0.0.37/partition-slurmrestd.json")
    document["partitions"][0]["default_memory_per_cpu"] = number
    part = parse(json.dumps(document), kind="partition")["gpu"]
    assert (part.default_memory_per_cpu, part.default_memory_per_node) == (per_cpu, per_node)
