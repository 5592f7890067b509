"""Why a job waits, with figures: only those that are proven by what is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.model import Job, Node, Reservation
from labtui.slurm import urgency
from labtui.slurm.types import Association, License, Partition, Qos
from labtui.slurm.usage import Context, asks, tasks
from labtui.slurm.waiting import Explained, explain_with, takes_jobs

CODES = (Path(__file__).parent / "samples/slurm-reasons.txt").read_text().split()
NOW = 1_795_500_000.0
HOUR = 3600


def job(job_id: str, state: str = "PENDING", **more: Any) -> Job:
    given: dict[str, Any] = {
        "user": "ana", "account": "research", "qos": "normal", "partition": "gpu", "cpus": 4,
        "memory_mib": 4096, "gres": "gpu:2", "time_limit_s": 4 * HOUR, "priority": 10,
    }  # fmt: skip
    if state == "RUNNING":
        given |= {"start_time": NOW - HOUR, "nodes": ("n1",)}
    return Job(job_id=job_id, name="x", state=state, **given | more)


GPU = Partition("gpu", nodes=("n1", "n2"), max_time=2 * 24 * 60)
N1 = Node(name="n1", slurm_state="MIXED", gpus=4, gpus_alloc=3, cpus_total=16, cpus_alloc=8)
DOWN = Node(name="n2", slurm_state="DOWN*", slurm_reason="fan is loud", gpus=4, gpus_alloc=0)


def told(waits: Job, *jobs: Job, me: str = "ana", **known: Any) -> Explained:
    given = {"partitions": [GPU], "nodes": [N1, DOWN]} | known
    return explain_with(waits, Context(NOW, [waits, *jobs], me=me, **given))


def at(moment: float) -> str:
    from labtui.slurm.explained import when

    return when(moment, NOW)


def test_gpus_a_user_of_a_qos() -> None:
    waits = job("1431", reason="QOSMaxGRESPerUser")
    holds = [job("1422", "RUNNING"), job("1423", "RUNNING", start_time=NOW - 2 * HOUR)]
    other = job("1424", "RUNNING", user="ben"), job("1425", "RUNNING", qos="long")
    normal = Qos(name="normal", max_tres_per_user={"gres/gpu": 4})
    found = told(waits, *holds, *other, qos=[normal])
    end = at(NOW + 2 * HOUR)
    assert found.short == f"you hold 4 of 4 GPUs until {end}"
    assert found.text == (
        f"QoS normal allows 4 GPUs a user: you hold 4 of 4 GPUs until {end} (job 1423), "
        "it asks 2 GPUs"
    )
    assert found.until == NOW + 2 * HOUR
    assert "MaxTRESPerUser of the QoS" in found.advice
    assert told(waits, *holds, qos=[normal], me="ben").short == f"ana holds 4 of 4 GPUs until {end}"


@pytest.mark.parametrize("known", [{}, {"qos": [Qos(name="other")]}, {"qos": [Qos(name="normal")]}])
def test_what_is_not_known_is_told_in_plain_words(known: dict[str, Any]) -> None:
    found = told(job("1", reason="QOSMaxGRESPerUser"), **known)
    assert found.short == "QoS limit: GPUs a user"
    assert not re.search(r"\d", found.text)


def test_what_is_known_does_not_prove_it() -> None:
    """Somebody's job ended since slurmctld looked: no figure that contradicts the reason."""
    waits = job("1431", reason="QOSMaxGRESPerUser")
    limit = Qos(name="normal", max_tres_per_user={"gres/gpu": 4})
    assert told(waits, job("2", "RUNNING"), qos=[limit]).short == "QoS limit: GPUs a user"
    unknown = job("2", "RUNNING", cpus=None)
    cpus = Qos(name="normal", max_tres_per_user={"cpu": 4})
    waits = job("3", reason="QOSMaxCpuPerUserLimit")
    assert told(waits, unknown, qos=[cpus]).short == "QoS limit: CPUs a user"


def test_more_than_may_ever_be_held() -> None:
    waits = job("1", reason="QOSMaxGRESPerUser", gres="gpu:5")
    found = told(waits, qos=[Qos(name="normal", max_tres_per_user={"gres/gpu": 4})])
    assert found.short == "asks 5 GPUs, QoS normal allows 4 GPUs a user"
    assert found.never
    assert found.advice == (
        "it never starts so: submit it again with less, or give it another QoS; "
        "an operator can raise MaxTRESPerUser of the QoS"
    )
    none = told(
        job("1", reason="QOSMaxJobsPerUserLimit"), qos=[Qos(name="normal", max_jobs_per_user=0)]
    )
    assert none.never
    assert none.advice.startswith("it never starts so: give it another QoS;")


def test_memory_of_a_limit_is_told_in_its_unit() -> None:
    user = Qos(name="normal", max_tres_per_user={"mem": 2048}, min_tres_per_job={"mem": 8192})
    found = told(job("1", reason="QOSMaxMemoryPerUser"), qos=[user])
    assert found.short == "asks 4.0G of memory, QoS normal allows 2.0G of memory a user"
    found = told(job("1", reason="QOSMinMemory"), qos=[user])
    assert found.short == "asks 4.0G of memory, at least 8.0G of memory wanted"
    assert found.text == "it asks 4.0G of memory; QoS normal wants 8.0G of memory or more"


ACCOUNTS = [
    Association(cluster="c", account="root"),
    Association(cluster="c", account="science", parent="root", grp_tres={"cpu": 10}),
    Association(cluster="c", account="research", parent="science", grp_jobs=2),
    Association(cluster="c", account="vision", parent="science"),
    Association(cluster="c", account="research", user="ana", max_jobs=1, max_wall=60,
                max_tres_per_job={"cpu": 2, "mem": 1024}, max_tres_mins_per_job={"cpu": 100}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("AssocGrpCpuLimit", "account science's jobs hold 8 of 10 CPUs until {end}"),
        ("AssocGrpJobsLimit", "account research's jobs run 2 of 2 jobs until {end}"),
        ("AssocMaxJobsLimit", "you run 1 of 1 job until {end}"),
        ("AssocMaxCpuPerJobLimit",
         "asks 4 CPUs, account research (user ana) lets a job have 2 CPUs"),
        ("AssocMaxMemPerJob",
         "asks 4.0G of memory, account research (user ana) lets a job have 1.0G of memory"),
        ("AssocMaxCpuMinutesPerJobLimit", "asks 960 minutes of CPUs, may 100"),
        ("AssocMaxWallDurationPerJobLimit",
         "asks 4:00:00, account research (user ana) allows 1:00:00"),
    ],
)  # fmt: skip
def test_limits_of_the_accounts_above(reason: str, short: str) -> None:
    ran = [
        job("2", "RUNNING"),
        job("3", "RUNNING", user="ben"),
        job("4", "RUNNING", account="vision", cpus=0),
    ]
    found = told(job("1", reason=reason), *ran, associations=ACCOUNTS)
    assert found.short == short.format(end=at(NOW + 3 * HOUR))


def test_accounts_of_other_clusters_do_not_count() -> None:
    waits, ran = job("1", reason="AssocGrpCpuLimit"), job("2", "RUNNING", cpus=9)
    other = Association(cluster="other", account="research", grp_tres={"cpu": 1})
    both = [*ACCOUNTS, other]
    assert told(waits, ran, associations=both).short == "account limit: CPUs"
    named = {"settings": {"ClusterName": "c"}}
    assert "hold 9 of 10 CPUs" in told(waits, ran, associations=both, **named).short


def test_a_limit_of_the_partitions_own_qos() -> None:
    gpu = Partition("gpu", nodes=("n1",), qos="part")
    limit = Qos(name="part", grp_tres={"gres/gpu": 3})
    found = told(
        job("1", reason="QOSGrpGRES"), job("2", "RUNNING", qos="x"),
        partitions=[gpu], qos=[limit],
    )  # fmt: skip
    assert found.short == f"QoS part's jobs hold 2 of 3 GPUs until {at(NOW + 3 * HOUR)}"


def test_minutes_that_slurmctld_counts() -> None:
    limit = Qos(name="normal", grp_tres_mins={"cpu": 1000}, used_tres_mins={"cpu": 980})
    found = told(job("1", reason="QOSGrpCPUMinutesLimit"), qos=[limit])
    assert found.text == "QoS normal has used 980 of its 1000 minutes of CPUs"


@pytest.mark.parametrize(
    ("waits", "short", "text"),
    [
        (job("1", reason="Resources", start_time=NOW + HOUR),
         "needs 2 GPUs, 1 is free until ~{soon}",
         "it needs 2 GPUs; in gpu 1 is free until ~{soon}"),
        (job("1", reason="Resources", gres=None, cpus=9), "needs 9 CPUs, 8 are free",
         "it needs 9 CPUs; in gpu 8 are free"),
        (job("1", reason="Resources", gres=None), "waits for free resources",
         "waits for free resources"),
        (job("1", reason="Priority"), "4 jobs go first in gpu",
         "4 jobs go first in gpu, with a higher priority than 10"),
        (job("1", reason="BeginTime", start_time=NOW + HOUR), "begins {soon}",
         "it begins {soon}"),
        (job("1", reason="PartitionTimeLimit", time_limit_s=5 * 24 * HOUR),
         "asks 5-00:00:00, gpu allows 2-00:00:00", "it asks 5-00:00:00, gpu allows 2-00:00:00"),
        (job("1", reason="PartitionTimeLimit"), "asks more time than its partition allows",
         "asks more time than its partition allows"),
        (job("1", reason="ReqNodeNotAvail, UnavailableNodes:n[1-2]"),
         "n2 is down*: fan is loud", "it needs a node that is not available: n2 is down*: "
         "fan is loud"),
        (job("1", reason="Dependency", dependency="afterok:50(unfulfilled),afterany:77"),
         "waits for 50 to end well, 77 to end",
         "waits for 50 (running) to end well, 77 to end"),
        (job("1", reason="Dependency", dependency="after:50+90(unfulfilled)"),
         "waits for 50 to start and 90 min to pass",
         "waits for 50 (running) to start and 90 min to pass, {half} at the latest"),
        (job("1", reason="Dependency", dependency="after:99+10(unfulfilled)"),
         "waits for 99 to start and 10 min to pass", "waits for 99 to start and 10 min to pass"),
        (job("60_[8-99%1]", reason="JobArrayTaskLimit", array_task="8-99%1"),
         "its array runs 1 at once", "its array may run 1 at once: 1 run now, 92 wait"),
    ],
)  # fmt: skip
def test_what_is_no_limit(waits: Job, short: str, text: str) -> None:
    others = [
        job("50", "RUNNING", time_limit_s=None),
        job("60_7", "RUNNING"),
        job("70", reason="Priority", priority=20),
        job("71_[1-3]", reason="Resources", priority=30),
        job("72", reason="JobHeldUser", priority=40),
        job("73", reason="Priority", priority=20, partition="cpu"),
    ]
    found = told(waits, *others)
    soon, half = at(NOW + HOUR), at(NOW + HOUR / 2)
    assert found.short == short.format(soon=soon)
    assert found.text == text.format(soon=soon, half=half)
    assert found.advice


OFF = "IDLE+CLOUD+POWERED_DOWN"


def test_which_nodes_take_jobs() -> None:
    """Power saving turns a node on for a job."""
    for state in ("IDLE", "MIXED", "ALLOCATED+COMPLETING", "MIXED+PLANNED", OFF, "IDLE+POWER_UP",
                  "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", "IDLE+RESERVED"):  # fmt: skip
        assert takes_jobs(state), state
    for closed in (None, "", "IDLE*", "IDLE+DRAIN", OFF + "+DRAIN", "DOWN+POWERED_DOWN", "FUTURE",
                   "IDLE+POWERING_DOWN", "IDLE+NOT_RESPONDING", "MIXED+FAIL", "UNKNOWN",
                   "IDLE+MAINTENANCE+RESERVED", "MIXED+MAINT"):  # fmt: skip
        assert not takes_jobs(closed), closed
    assert takes_jobs("IDLE+MAINTENANCE+RESERVED", reserved=True)
    waits = job("1", reason="Resources")
    nodes = [Node(name="n1", slurm_state=OFF), Node(name="n2", slurm_state=OFF)]
    assert "takes jobs" not in told(waits, nodes=nodes).text
    maint = [Node(name=name, slurm_state="IDLE+MAINTENANCE") for name in ("n1", "n2")]
    assert told(waits, nodes=maint).text == "no node of gpu takes jobs now"


def test_licences_and_reservations() -> None:
    known = {"licenses": [License("matlab", 5, 5, 0), License("ansys", 2, 0, 2)]}
    assert told(job("1", reason="Licenses"), **known).short == "licences in use: matlab 5 of 5"
    asks_other = Context(NOW, [], licenses=known["licenses"], record={"Licenses": "ansys:1"})
    assert explain_with(job("1", reason="Licenses"), asks_other).short == "waits for a licence"
    kept = Reservation(name="r", start_time=NOW + HOUR, end_time=NOW + 2 * HOUR, nodes=("n1",),
                       flags=("MAINT",))  # fmt: skip
    context = Context(NOW, [], reservations=[kept], record={"Reservation": "r"})
    found = explain_with(job("1", reason="Reservation"), context)
    assert found.short == f"its reservation r begins {at(NOW + HOUR)}"
    found = told(job("1", reason="ReqNodeNotAvail, Reserved for maintenance"), reservations=[kept])
    assert found.until == NOW + 2 * HOUR
    assert found.text.startswith("reservation r keeps n1 for maintenance from")
    others = job("1", reason="ReqNodeNotAvail, May be reserved for other job")
    assert told(others, reservations=[kept]).text.startswith("reservation r keeps n1 for others")


def test_what_no_waiting_cures_comes_first() -> None:
    """By its code alone: a limit of one job is not one that others' jobs give back."""
    never = {code for code in CODES if urgency.severity("PENDING", code, None) == 2}
    assert {"QOSMaxWallDurationPerJobLimit", "AssocMaxCpuPerNode", "QOSMinGRES", "MaxMemPerLimit",
            "QOSMaxCpuMinutesPerJobLimit", "PartitionTimeLimit"} <= never  # fmt: skip
    assert not {code for code in never if code.endswith(("PerUser", "PerAccount", "JobsLimit"))}
    assert not never & {"QOSMaxSubmitJobPerUserLimit", "QOSMaxJobsPerUserLimit", "AssocGrpGRES",
                        "Resources", "Priority", "Licenses", "MaxJobsPerAccount"}  # fmt: skip


def test_tasks_that_wait_in_one_row_for_different_reasons() -> None:
    waits = job("45_[0-9]", reason="BeginTime,JobHeldUser", start_time=NOW + HOUR)
    found = told(waits)
    begins = f"begins {at(NOW + HOUR)}"
    assert found.short == f"its tasks differ: {begins}; held by its user"
    assert found.text == f"its tasks differ: it {begins}; held by its user"
    assert found.advice.endswith("; held by its user: release it") and not found.never
    assert urgency.has_held(waits) and not urgency.is_held(waits)
    for reason in ("JobHeldUser,JobHeldAdmin", "JobHeldUser"):
        assert urgency.is_held(job("45_[0-9]", reason=reason))
    for reason in ("ReqNodeNotAvail, UnavailableNodes:n[1,2]", None, "None,Priority"):
        assert not urgency.has_held(job("45_[0-9]", reason=reason))
    assert urgency.severity("PENDING", "Priority,JobHoldMaxRequeue", None) == 2


def test_how_it_ended() -> None:
    over = explain_with(job("1", "OUT_OF_MEMORY", reason_text="ran out of memory"), Context(NOW))
    assert (over.short, over.advice) == ("ran out of memory", "submit it again with more memory")
    assert explain_with(job("1", "RUNNING"), Context(NOW)).advice == ""


def test_tasks_and_amounts() -> None:
    counts = {"7": 1, "7_3": 1, "7_[8-99%4]": 92, "7_[1,3,5-9:2]": 5, "7_[0-9...]": None}
    assert {i: tasks(job(i)) for i in counts} == counts
    mixed = job("1", gres="gpu:a100:2,gpu:h100:1,shard:4")
    assert (asks(mixed, "gres/gpu"), asks(mixed, "gres/gpu:a100")) == (3, 2)
    assert asks(mixed, "billing") is None


# Made-up clusters: never a traceback, never more held than is held.

NAMES = st.sampled_from(["normal", "research", "ana", "ben", "gpu", "", "\x1b[31mx", "a|b"])
COUNTS = st.one_of(st.none(), st.integers(0, 40))
TRES = st.dictionaries(
    st.sampled_from(["cpu", "mem", "node", "gres/gpu", "gres/gpu:a100", "billing", "license/m"]),
    st.integers(0, 30), max_size=3,
)  # fmt: skip
MOMENTS = st.one_of(st.none(), st.floats(allow_nan=False, width=32), st.just(NOW + HOUR))
JOBS = st.builds(
    Job,
    job_id=st.sampled_from(["1", "2", "3_4", "3_[5-9%2]", "x", "9_[0-9...]"]),
    name=st.just("x"),
    state=st.sampled_from(["PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "ODD"]),
    reason=st.one_of(
        st.sampled_from(CODES), st.text(max_size=20), st.none(),
        st.lists(st.sampled_from(CODES), max_size=3).map(",".join),
    ),
    user=NAMES, account=NAMES, qos=NAMES, partition=st.one_of(NAMES, st.none()),
    cpus=COUNTS, memory_mib=COUNTS, priority=COUNTS, time_limit_s=COUNTS,
    gres=st.sampled_from([None, "gpu:2", "gpu:a100:3", "shard:x", "((("]),
    nodes=st.sampled_from([(), ("n1",), ("n1", "n2")]),
    start_time=MOMENTS, dependency=st.sampled_from([None, "afterok:1", "afterany:3_*?", "((:"]),
    array_task=st.sampled_from([None, "5-9%2", "4", "%"]),
)  # fmt: skip
QOS = st.builds(
    Qos, name=NAMES, grp_tres=TRES, max_tres_per_user=TRES, max_tres_per_job=TRES,
    max_tres_per_account=TRES, min_tres_per_job=TRES, grp_tres_mins=TRES, used_tres_mins=TRES,
    max_tres_mins_per_job=TRES, max_jobs_per_user=COUNTS, grp_jobs=COUNTS, max_wall=COUNTS,
    max_submit_jobs_per_user=COUNTS, grp_wall=COUNTS,
)  # fmt: skip
ASSOCIATIONS = st.builds(
    Association, cluster=st.just("c"), account=NAMES, user=st.one_of(NAMES, st.none()),
    parent=st.one_of(NAMES, st.none()), grp_tres=TRES, grp_jobs=COUNTS, max_jobs=COUNTS,
    max_tres_per_job=TRES, max_wall=COUNTS,
)  # fmt: skip
CONTEXTS = st.builds(
    Context,
    now=st.just(NOW),
    jobs=st.lists(JOBS, max_size=5),
    qos=st.lists(QOS, max_size=2),
    associations=st.lists(ASSOCIATIONS, max_size=4),
    partitions=st.lists(
        st.builds(Partition, name=NAMES, nodes=st.just(("n1", "n2")), max_time=COUNTS,
                  qos=st.one_of(NAMES, st.none())), max_size=2,
    ),
    nodes=st.lists(
        st.builds(Node, name=st.sampled_from(["n1", "n2"]), gpus=COUNTS, gpus_alloc=COUNTS,
                  cpus_total=COUNTS, cpus_alloc=COUNTS,
                  slurm_state=st.sampled_from([None, "IDLE", "MIXED", "DOWN*", "???"])),
        max_size=2, unique_by=lambda n: n.name,
    ),
    reservations=st.lists(
        st.builds(Reservation, name=NAMES, start_time=MOMENTS, end_time=MOMENTS,
                  nodes=st.just(("n1",)), flags=st.just(("MAINT",))), max_size=1,
    ),
    licenses=st.lists(st.builds(License, NAMES, COUNTS, COUNTS, COUNTS), max_size=2),
    me=NAMES,
    record=st.dictionaries(
        st.sampled_from(["NumNodes", "Licenses", "Reservation"]), st.text(max_size=9), max_size=2
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JOBS, CONTEXTS)
def test_any_cluster_is_explained_and_nobody_holds_more_than_he_holds(
    waits: Job, context: Context
) -> None:
    found = explain_with(waits, context)
    said = f"{found.short}\n{found.text}\n{found.advice}"
    assert "\x1b" not in said
    assert "None" not in said.replace("'None'", "") or "None" in (waits.reason or "")
    claim = re.search(r"holds? (\d+) of (\d+) (CPU|GPU)", found.short)
    if claim:
        tres = {"CPU": "cpu", "GPU": "gres/gpu"}[claim[3]]
        most = sum(asks(j, tres) or 0 for j in context.holding)
        assert int(claim[1]) <= most
    free = re.search(r"(\d+) (?:is|are) free", found.short)
    if free:
        assert int(free[1]) <= sum(max((n.gpus or 0), (n.cpus_total or 0)) for n in context.nodes)
