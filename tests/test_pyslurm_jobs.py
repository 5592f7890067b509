"""Jobs and steps of every data parser and of scontrol's text, and what follows from them."""

from __future__ import annotations

import json
import re
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labtui.slurm as pyslurm
from labtui.hosts.local import LocalHost
from labtui.slurm import bridge
from labtui.slurm.core.job.job import Job, Jobs
from labtui.slurm.core.job.step import JobStep, JobSteps
from labtui.slurm.core.job.util import (
    acctg_profile_int_to_list,
    dependency_str_to_dict,
    mail_type_int_to_list,
    mail_words,
)
from labtui.slurm.documents import jobtext, load
from labtui.slurm.documents.job import from_json, state_word
from labtui.slurm.documents.jobtext import Known
from labtui.slurm.documents.step import pids, statistics
from labtui.slurm.errors import PyslurmError, RPCError

SAMPLES = Path(__file__).parent / "samples" / "slurm"
fuzz = settings(max_examples=60, deadline=None)


@pytest.fixture(autouse=True)
def a_cluster_called_one() -> Any:
    bridge.connect(LocalHost("nowhere"))
    current = bridge.current()
    current.cluster, current.named = "one", True
    yield
    bridge.close()


def sample(path: str, kind: str) -> Any:
    return pyslurm.parse((SAMPLES / path).read_bytes(), kind=kind)


# -- samples of every version -------------------------------------------------------------

RECORDED = sorted(
    f"{path.parent.name}/{path.name}"
    for path in SAMPLES.glob("*/*")
    if path.name.startswith(("job", "squeue")) and "slurmrestd" not in path.name
)


@pytest.mark.parametrize("path", RECORDED)
def test_a_job_is_the_same_in_every_version(path: str) -> None:
    """The labs all ran the same jobs; only ids and moments differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jobs = sample(path, "job")
    text = path.startswith("text")
    null = path.startswith(("v0.0.37", "v0.0.38"))  # openapi: null for some numbers
    for job in jobs.values():
        assert job.name.startswith("p2") and job.user_name == "labop" and job.user_id == 1001
        assert job.account == "research" and job.qos == "normal"
        assert job.nice == (None if null else 0)
        assert job.cluster in ("one", "lab", "bw", "sid")
        if job.name == "p2_train":
            assert (job.cpus, job.memory, job.memory_per_node) == (4, 8192, 8192)
            assert job.cpus_per_task == (None if null else 4)
            assert job.gpus["gpu"].count == 2 and job.gres_per_node == {"gpu": 2}
            assert job.time_limit == 20 and job.partition == "gpu" and job.state == "RUNNING"
            layout = job.get_resource_layout_per_node()
            assert layout["desktop-gpu"]["gres"] == {"gpu": {"count": 2, "indexes": "0-1"}}
            assert layout["desktop-gpu"]["memory"] == 8192
            assert job.start_time > 1_795_000_000
        if job.name == "p2_array":
            assert job.memory_per_cpu == 500 and job.memory_per_node is None
            assert job.array_id is not None
            waits = job.state == "PENDING"
            assert (job.array_task_id is None) == waits == (job.array_tasks_waiting is not None)
        if job.name == "p2_fail":
            assert job.state == "FAILED" and job.exit_code == 3 and job.exit_code_signal == 0
        if job.name == "p2_after":
            assert job.dependencies["afterok"] == job.dependencies["afterany"] != []
            assert job.state_reason == "Dependency"
    assert len(jobs) >= (9 if text else 3)


@pytest.mark.parametrize("release", ["22.05", "24.11", "26.05"])
def test_both_forms_of_the_text_say_the_same(release: str) -> None:
    jobs = sample(f"text-{release}/job.txt", "job")
    lines = sample(f"text-{release}/job-oneline.txt", "job")
    assert {n: vars(j) for n, j in jobs.items()} == {n: vars(j) for n, j in lines.items()}


@pytest.mark.parametrize(("text", "json_"), [("24.11", "v0.0.42"), ("26.05", "v0.0.45")])
def test_text_and_json_say_the_same(text: str, json_: str) -> None:
    """What both know is equal."""
    told, shown = sample(f"{json_}/job.json", "job"), sample(f"text-{text}/job.txt", "job")
    only_one = {"cluster", "association_id", "submit_session_id", "boards_per_node",
                "resource_sharing", "submit_line", "derived_exit_code_signal"}  # fmt: skip
    for job_id, job in told.items():
        a, b = job.to_dict(), shown[job_id].to_dict()
        for name in a.keys() - only_one:
            if a[name] not in (None, [], False) and b[name] not in (None, []):
                assert repr(a[name]) == repr(b[name]), name


STEPS = sorted(f"{p.parent.name}/{p.name}" for p in SAMPLES.glob("*/step*"))


@pytest.mark.parametrize("path", STEPS)
def test_a_step_is_the_same_in_every_version(path: str) -> None:
    found = sample(path, "step")
    assert len(found) == 4
    for job_id, steps in found.items():
        assert isinstance(steps, JobSteps)
        for step in steps.values():
            assert (
                str(step.job_id) == str(job_id).partition("_")[0]
                and step.id == "batch"
                and step.state == "RUNNING"
            )
            assert step.cpus == step.ntasks == 1 and step.time_limit is None
            assert step.distribution is None and step.name == "batch"
            assert step.start_time > 1_795_000_000 and step.allocated_nodes


# -- documents made up, in the shapes of the oldest and the newest parser ------------------


def old(number: int | None) -> int | None:
    return number


def new(number: int | None) -> dict[str, Any]:
    return {"set": number is not None, "infinite": False, "number": number or 0}


made = st.fixed_dictionaries(
    {
        "job_id": st.integers(1, 2**31),
        "name": st.text(min_size=1, max_size=20),
        "time_limit": st.integers(1, 10**6),
        "priority": st.integers(0, 2**31),
        "cpus": st.integers(1, 10**6),
        "tasks": st.integers(1, 10**6),
        "node_count": st.integers(1, 10**5),
        "memory_per_node": st.integers(1, 2**40),
        "submit_time": st.integers(1, 2**32 - 3),
        "start_time": st.none() | st.integers(1, 2**32 - 3),
        "array_job_id": st.integers(1, 10**6),
        "array_task_id": st.none() | st.integers(0, 10**6),
    }
)


@fuzz
@given(made, st.sampled_from(["PENDING", "RUNNING", "FAILED"]), st.integers(0, 255))
def test_a_made_job_comes_back_from_either_shape(of: dict[str, Any], state: str, rc: int) -> None:
    plain = {**of, "job_state": state, "exit_code": rc << 8, "memory_per_cpu": None}
    numbers = {key: new(value) for key, value in of.items() if key not in ("job_id", "name")}
    status = {"status": ["X"], "return_code": new(rc), "signal": {"id": new(None), "name": ""}}
    struct = {
        **of,
        **numbers,
        "job_state": [state],
        "exit_code": status,
        "memory_per_cpu": new(None),
    }
    a, b = Job.of(from_json(plain)), Job.of(from_json(struct))
    assert vars(a) == vars(b)
    assert (a.id, a.name, a.state, a.exit_code) == (of["job_id"], of["name"], state, rc)
    assert (a.time_limit, a.cpus, a.ntasks) == (of["time_limit"], of["cpus"], of["tasks"])
    assert a.memory == of["memory_per_node"] * of["node_count"]
    assert (a.priority, a.start_time) == (of["priority"], of["start_time"])
    assert (a.array_id, a.array_task_id) == (of["array_job_id"], of["array_task_id"])


KEYS = sorted(json.loads((SAMPLES / "v0.0.42/job.json").read_text())["jobs"][0])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["set", "infinite", "number", "nodes", "allocation", "sockets", "cores",
                         "status", "name", "return_code", "signal", "allocated_nodes", "job_id"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@fuzz
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=12))
def test_odd_jobs_never_end_in_a_traceback(entry: dict[str, Any]) -> None:
    document = json.dumps({"jobs": [{"job_id": 1, "job_state": "RUNNING"} | entry]})
    try:
        jobs = pyslurm.parse(document, kind="job")
    except (PyslurmError, ValueError):
        return
    for job in jobs.values():
        job.to_dict(recursive=True)
        job.get_resource_layout_per_node()


@fuzz
@given(st.dictionaries(st.sampled_from(
    ["id", "name", "nodes", "time", "tres", "state", "task", "cpu", "srun", "array", "user"]
), values, max_size=8))  # fmt: skip
def test_odd_steps_never_end_in_a_traceback(entry: dict[str, Any]) -> None:
    document = json.dumps({"steps": [{"id": "7.0"} | entry]})
    try:
        found = pyslurm.parse(document, kind="step")
    except (PyslurmError, ValueError):
        return
    for steps in found.values():
        steps.to_dict(recursive=True)


@fuzz
@given(
    st.binary(max_size=80) | st.text("{}[]:,\"'jobs123 \n=", max_size=80),
    st.sampled_from(["job", "step"]),
)
def test_odd_payloads_never_end_in_a_traceback(payload: Any, kind: str) -> None:
    try:
        assert len(pyslurm.parse(payload, kind=kind)) >= 0
    except (PyslurmError, ValueError) as error:
        assert str(error)


def test_a_document_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="choose from"):
        pyslurm.parse("", kind="nope")
    with pytest.raises(PyslurmError, match="not whole"):
        pyslurm.parse('{"jobs": [', kind="job")
    with pytest.raises(PyslurmError, match="no list of jobs"):
        pyslurm.parse('{"nodes": []}', kind="job")
    with pytest.raises(PyslurmError, match="without an id"):
        pyslurm.parse('{"jobs": [{}]}', kind="job")
    error = {"errors": [{"error_number": 2017, "description": "Unknown job"}], "jobs": []}
    with pytest.raises(RPCError, match="Unknown job") as found:
        pyslurm.parse(json.dumps(error), kind="job")
    assert found.value.errno == 2017


def test_a_newer_parser_is_tried_with_a_warning() -> None:
    document = {"meta": {"plugin": {"data_parser": "data_parser/v0.0.99"}}, "jobs": []}
    with pytest.warns(UserWarning, match=r"v0\.0\.99 is newer"):
        assert load(json.dumps(document)) == document


# -- text that imitates itself -------------------------------------------------------------

BODY = """
   UserId=labop(1001) GroupId=research(1000) MCS_label=N/A
   Priority=7 Nice=-5 Account=research QOS=normal
   JobState=RUNNING Reason=None Dependency=afterok:5(unfulfilled)
   Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=0:0
   DerivedExitCode=0:0
   RunTime=00:00:07 TimeLimit=1-00:00:00 TimeMin=N/A
   SubmitTime=1795503334 EligibleTime=Unknown
   Partition=cpu AllocNode:Sid=login:77
   NodeList=n[1-2]
   NumNodes=2-4 NumCPUs=4 NumTasks=2 CPUs/Task=2 ReqB:S:C:T=0:0:*:*
   TRES=cpu=4,mem=100M,node=2,billing=4
   Socks/Node=* NtasksPerN:B:S:C=2:0:*:1 CoreSpec=*
   JOB_GRES=gpu:2
     Nodes=n[1-2] CPU_IDs=0-1 Mem=50 GRES=gpu:1(IDX:0)
   MinCPUsNode=2 MinMemoryNode=50M MinTmpDiskNode=0
   Features=a,b DelayBoot=00:10:00
   OverSubscribe=OK Contiguous=1 Licenses=(null) Network=(null)
   Command=/x.sh
   WorkDir=/w"""
TAIL = """
   StdErr=/w/e
   StdIn=/dev/null
   StdOut=/w/o
   TresPerNode=gres:gpu:1
   MailUser=a@b.c MailType=END,TIME_LIMIT_90
   Switches=2@00:10:00
"""


def shown(name: str, comment: str, job_id: int = 7) -> str:
    return f"JobId={job_id} JobName={name}{BODY}\n   Comment={comment}{TAIL}"


def read(text: str, known: dict[int, Known] | None = None) -> dict[int, Job]:
    found = [Job.of(one) for one in jobtext.jobs(text, known)]
    return {job.id: job for job in found}


hostile = st.text(max_size=20) | st.sampled_from(
    [
        "x\n   UserId=root(0) GroupId=root(0) MCS_label=N/A\n   Priority=1",
        shown("inner", "evil", 8),
        "\n\n" + shown("inner", "evil", 8),
        "a\n\nJobId=9 JobName=b",
        "c\n   StdErr=/etc/shadow",
        "JobId=1 JobName=\n   Command=/evil",
    ]
)


@fuzz
@given(hostile, hostile)
def test_no_name_imitates_a_field_where_names_are_known(name: str, comment: str) -> None:
    name, comment = name.replace("\r", ""), comment.replace("\r", "")
    known = {7: Known(name, comment.strip() and comment)}
    text = shown(name, comment) + "\n\n" + shown("next", "", 70)
    jobs = read(text, {**known, 70: Known("next")})
    job = jobs[7]
    assert (job.user_name, job.user_id, job.priority, job.nice) == ("labop", 1001, 7, -5)
    assert (job.name or "") == name and job.cpus == 4 and job.time_limit == 1440
    assert job.standard_error in ("/w/e", "/w/o", None) and job.command in ("/x.sh", None)
    if comment.strip():
        assert job.comment == comment and job.standard_error == "/w/e"


@fuzz
@given(hostile)
def test_a_name_that_imitates_a_field_gives_nothing_wrong_where_it_is_not_known(name: str) -> None:
    for job in read(shown(name.replace("\r", ""), "")).values():
        if job.id == 7:
            assert job.user_name in ("labop", None) and job.priority in (7, None)


@fuzz
@given(hostile, hostile, st.booleans())
def test_no_words_change_the_next_job(name: str, comment: str, one_line: bool) -> None:
    """Whatever somebody writes into job 7, job 70 is there, with its own values or with none."""
    name, comment = name.replace("\r", ""), comment.replace("\r", "")
    text = "".join(
        re.sub(r"\n +", " ", of) if one_line else f"{of}\n"
        for of in (shown(name, comment), shown("next", "", 70))
    )
    jobs = pyslurm.parse(text, kind="job")
    assert jobs[70].name in ("next", None) and jobs[70].command in ("/x.sh", None)
    assert jobs[7].user_name in ("labop", None) and jobs[7].priority in (7, None)


def test_a_comment_hides_no_job() -> None:
    comment = "a b=c\nJobId=99 JobName=evil"
    both = [shown("n", comment), shown("next", "", 100)]
    jobs = pyslurm.parse("\n".join(both), kind="job")
    assert list(jobs) == [7, 100]
    assert (jobs[7].comment, jobs[7].standard_output) == (comment, "/w/o")
    assert jobs[100].name == "next"
    line = "".join(re.sub(r"\n +", " ", of) for of in both)
    jobs = pyslurm.parse(line, kind="job")
    assert {number: job.name for number, job in jobs.items()} == {7: "n", 99: None, 100: None}


def test_of_two_that_claim_to_be_one_job_only_the_id_is_certain() -> None:
    forged = shown("n", "x\n\n" + shown("evil", "", 8))
    for text in (f"{forged}\n{shown('eight', '', 8)}", f"{shown('eight', '', 8)}\n{forged}"):
        jobs = pyslurm.parse(text, kind="job")
        assert (sorted(jobs), jobs[8].name, jobs[8].user_name) == ([7, 8], None, None)
        own = read(text, {7: Known("n", "x\n\n" + shown("evil", "", 8)), 8: Known("eight")})
        assert (sorted(own), own[8].name) == ([7, 8], "eight")


def test_a_comment_that_changed_meanwhile_hides_no_job() -> None:
    text = "\n".join([shown("a", "now"), shown("b", "then", 8), shown("c", "", 9)])
    jobs = read(text, {7: Known("a", "then"), 8: Known("b", "then"), 9: Known("c")})
    assert {number: job.name for number, job in jobs.items()} == {7: "a", 8: "b", 9: "c"}


HET = """JobId={id} HetJobId=9 HetJobOffset={offset} JobName=het
   HetJobIdSet=9-10
   UserId=root(0) GroupId=root(0) MCS_label=N/A
   Priority=1 Nice=0 Account=root QOS=normal
   JobState=PENDING Reason=Resources Dependency=(null)
   Command=(null)
   WorkDir=/tmp

"""


@pytest.mark.parametrize("one_line", [False, True])
def test_a_heterogeneous_jobs_text(one_line: bool) -> None:
    text = HET.format(id=9, offset=0) + HET.format(id=10, offset=1)
    if one_line:
        text = text.replace("\n   ", " ").replace("\n\n", "\n")
    for jobs in (pyslurm.parse(text, kind="job"), read(text, {9: Known("het"), 10: Known("het")})):
        assert [(job.id, job.name, job.state) for job in jobs.values()] == [
            (9, "het", "PENDING"), (10, "het", "PENDING"),
        ]  # fmt: skip
        assert [job.heterogeneous_offset for job in jobs.values()] == [0, 1]
        assert {job.heterogeneous_id for job in jobs.values()} == {9}


@pytest.mark.parametrize("key", ["memory_per_cpu", "memory_per_node"])
@pytest.mark.parametrize("number", [-(2**63) + 2000, 2**63 + 2000, 2000])
def test_the_bit_that_says_a_cpu_is_no_memory(key: str, number: int) -> None:
    for value in (number, {"set": True, "infinite": False, "number": number}):
        (job,) = pyslurm.parse(
            json.dumps({"jobs": [{"job_id": 1, key: value}]}), kind="job"
        ).values()
        assert getattr(job, key) == 2000
    for odd in (-(2**63), 2**63, 2**64 - 2, 2**64 - 1, -1, -2, -5, 2**70, True, None):
        (job,) = pyslurm.parse(json.dumps({"jobs": [{"job_id": 1, key: odd}]}), kind="job").values()
        assert getattr(job, key) is None


def test_everything_of_the_text() -> None:
    job = read(shown("n", "words"))[7]
    assert job.dependencies is not None and job.dependencies["afterok"] == [5]
    assert (job.requeue_count, job.is_requeueable, job.is_batch_job) == (2, True, True)
    assert (job.num_nodes, job.max_nodes, job.ntasks, job.cpus_per_task) == (2, 4, 2, 2)
    assert (job.ntasks_per_node, job.ntasks_per_core) == (2, 1)
    assert (job.submit_host, job.submit_session_id) == ("login", 77)
    assert (job.memory, job.memory_per_node, job.delay_boot_time) == (100, 50, 10)
    assert job.constraints == ["a", "b"] and job.requires_contiguous_nodes is True
    assert job.mail_user == ["a@b.c"] and job.mail_types == ["END", "TIME_LIMIT_90"]
    assert (job.required_switches, job.max_wait_time_switches) == (2, 600)
    assert job.eligible_time is None and job.billable_tres == 4.0 and job.comment == "words"
    layout = job.get_resource_layout_per_node()
    assert layout["n2"] == {
        "cpu_ids": "0-1", "memory": 50, "gres": {"gpu": {"count": 1, "indexes": "0"}}
    }  # fmt: skip


@fuzz
@given(st.text("JobIdName=7 \n()UserStepx.0", max_size=120))
def test_odd_text_never_ends_in_a_traceback(text: str) -> None:
    for kind in ("job", "step"):
        try:
            pyslurm.parse(text, kind=kind)
        except (PyslurmError, ValueError):
            continue


TABLE = """             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)
       516_[3-4%2]       cpu    tasks    labop PD       0:00      1 (JobArrayTaskLimit)
             519_0       cpu   p2_tab    labop  R 1-02:00:00      2 n[1-2]
               520   cpu,gpu a b c d     labop CG       0:07      1 n1
               521       cpu  ünïab    labop CA       0:00      1
"""


def test_squeues_table_is_in_bytes() -> None:
    cut_off = TABLE.encode().replace(" ünïab".encode(), "漢字".encode() + b"\xe6\xbc")
    for payload in (TABLE, TABLE.encode(), cut_off):
        jobs = pyslurm.parse(payload, kind="squeue")
        waits, task, named, cut = jobs.values()
        assert (waits.array_tasks_waiting, waits.array_tasks_parallel) == ("3-4", 2)
        assert (waits.state, waits.state_reason) == ("PENDING", "JobArrayTaskLimit")
        assert (task.array_id, task.array_task_id, task.num_nodes) == (519, 0, 2)
        assert (named.name, named.state, named.partition) == ("a b c d", "COMPLETING", "cpu,gpu")
        assert (cut.user_name, cut.state, cut.num_nodes) == ("labop", "CANCELLED", 1)
    for odd in (TABLE + "x\n", TABLE.replace("labop CG", "laboperator CG"), "hello"):
        with pytest.raises(PyslurmError):
            pyslurm.parse(odd, kind="squeue")
    assert not pyslurm.parse("No jobs in the system\n", kind="job")


@fuzz
@given(st.text("abc PDR0:1(x)n\u00fc", max_size=8), st.text("abc01", min_size=1, max_size=8))
def test_no_name_imitates_a_row_of_the_table(name: str, user: str) -> None:
    title = TABLE.splitlines()[0]
    name = name.encode()[:8].decode(errors="ignore").strip()
    padded = " " * (8 - len(name.encode())) + name
    row = f"{520:>18} {'cpu':>9} {padded} {user:>8} {'PD':>2} {'3:00':>10} {7:>6} (Priority)"
    (job,) = pyslurm.parse(f"{title}\n{row}\n", kind="squeue").values()
    assert (job.id, job.state, job.num_nodes, job.state_reason) == (520, "PENDING", 7, "Priority")
    assert job.user_name == user and (job.name or "") == name


STEP = """StepId=7.0 UserId=1001 StartTime=1795503334 TimeLimit=00:10:00
   State=RUNNING Partition=cpu NodeList=n1
   Nodes=1 CPUs=2 Tasks=1 Name={} Network=(null)
   TRES=cpu=2,mem=10M,node=1
   ResvPorts=(null)
   CPUFreqReq=1000000-2000000:Performance Dist=Block:Cyclic,Pack
   SrunHost:Pid=n1:77
   TresPerNode=gres/gpu:1
"""


@fuzz
@given(
    hostile | st.sampled_from([STEP, "x Network=(null)\n   TRES=cpu=9", "x\n\nStepId=8.1 UserId=0"])
)
def test_no_step_imitates_another(name: str) -> None:
    found = pyslurm.parse(STEP.format(name.replace("{", "").replace("}", "")), kind="step")
    step = found[7][0]
    assert step.cpus in (2, None) and step.user_id in (1001, None)
    plain = pyslurm.parse(STEP.format("n"), kind="step")[7][0]
    assert (plain.cpus, plain.time_limit, plain.srun_process_id) == (2, 10, 77)
    assert plain.distribution == {
        "nodes": "block", "sockets": "cyclic", "cores": "cyclic", "plane": None, "pack": True
    }  # fmt: skip
    assert plain.cpu_frequency_min == 1000000 and plain.cpu_frequency_governor == "PERFORMANCE"


# -- what follows -------------------------------------------------------------------------


def test_a_job_of_which_nothing_is_known() -> None:
    job = Job(9)
    assert (job.id, job.ntasks, job.cpus, job.cpus_per_task) == (9, 1, 1, 1)
    assert job.time_limit is job.memory is job.tres is job.state is None
    assert job.run_time == 0 and job.gres == {} and job.steps == {} and job.cluster == "one"
    assert json.dumps(job.to_dict(recursive=True)) and repr(job) == "pyslurm.Job(9)"
    with pytest.raises(AttributeError):
        job.name = "x"


def test_run_time_leaves_out_suspensions() -> None:
    now = int(time.time())
    running = Job.of({"id": 1, "state": "RUNNING", "start_time": now - 100, "cpus": 2})
    assert running.run_time in (100, 101) and running.elapsed_cpu_time in (200, 202)
    held = Job.of(
        {"id": 1, "state": "SUSPENDED", "start_time": now - 100, "pre_suspension_time": 40}
    )
    assert held.run_time == 40
    again = {"id": 1, "state": "RUNNING", "start_time": now - 100, "suspend_time": now - 10}
    assert Job.of({**again, "pre_suspension_time": 40}).run_time in (50, 51)
    over = Job.of(
        {"id": 1, "state": "COMPLETED", "start_time": 100, "end_time": 160, "time_limit": 2}
    )
    assert over.run_time == 60 and over.run_time_remaining == 60


def test_jobs_are_added_up() -> None:
    jobs = Jobs([Job.of({"id": n, "cpus": 2, "memory_per_cpu": 50, "ntasks": 2}) for n in (1, 2)])
    assert (jobs.cpus, jobs.memory, jobs.ntasks, jobs.elapsed_cpu_time) == (4, 200, 4, 0)
    assert json.loads(jobs.to_json())["1"]["cpus"] == 2 and sorted(Jobs("3,4")) == [3, 4]


def test_one_word_for_a_state() -> None:
    assert (
        state_word(["RUNNING", "COMPLETING"]) == "COMPLETING" and state_word("PENDING") == "PENDING"
    )
    assert state_word(["RUNNING", "CONFIGURING"]) == "CONFIGURING" and state_word([]) is None


def test_words_of_options() -> None:
    assert dependency_str_to_dict("") is None and mail_type_int_to_list(0) == []
    found = dependency_str_to_dict("after:1:2+30?afterok:3_*(failed)?singleton")
    assert found is not None and found["after"] == [1, "2+30"] and found["afterok"] == ["3_*"]
    assert found["singleton"] is True and found["satisfy"] == "any"
    assert mail_type_int_to_list(1 << 4 | 1) == ["BEGIN", "TIME_LIMIT_100"]
    assert mail_words(["TIME=90%", "END", "NONE", "TIME_LIMIT"]) == [
        "TIME_LIMIT_90", "END", "TIME_LIMIT_100"
    ]  # fmt: skip
    assert acctg_profile_int_to_list(6) == ["ENERGY", "TASK"]
    assert acctg_profile_int_to_list(0xFFFFFFFF) == ["ALL"]


def test_a_step_names_its_job() -> None:
    assert JobStep(Job(7), 1).job_id == 7 and JobStep(7, "batch").id == "batch"
    assert JobStep(time_limit="00:05:00").time_limit == "00:05:00"
    assert repr(JobSteps([JobStep(7, 1)])) == "pyslurm.JobSteps({1: pyslurm.JobStep(1)})"
    with pytest.raises(AttributeError):
        JobStep(cpus=2)
    with pytest.raises(AttributeError):
        JobStep(nope=2)
    with pytest.raises(ValueError):
        JobStep(7, "nope")


def test_steps_of_an_arrays_tasks_are_kept_apart() -> None:
    text = (
        STEP.format("a").replace("=7.0", "=7_0.0") + "\n" + STEP.format("b").replace("7.0", "7_1.0")
    )
    found = pyslurm.parse(text, kind="step")
    assert [found[key][0].name for key in ("7_0", "7_1")] == ["a", "b"]
    assert found["7_1"][0].array_task_id == 1
    entries = [{"id": f"{n}.0", "array": {"job_id": 7, "task_id": n - 7}} for n in (7, 8)]
    assert sorted(pyslurm.parse(json.dumps({"steps": entries}), kind="step")) == [7, 8]


def test_what_sstat_measures() -> None:
    line = (
        "7.0|12|2.60M|cpu=00:01:00,fs/disk=10,mem=2048,pages=3,vmem=4096"
        "|fs/disk=20,mem=4096,pages=4,vmem=5000|mem=n1|mem=2|cpu=00:00:30|cpu=n2|cpu=1"
        "|cpu=00:02:00,mem=9|fs/disk=5|fs/disk=6|fs/disk=n1|fs/disk=0"
    )
    stats = statistics(line + "\n")[7, 0]
    assert (stats.avg_cpu_time, stats.total_cpu_time, stats.min_cpu_time) == (60, 120, 30)
    assert (stats.avg_resident_memory, stats.max_resident_memory) == (2048, 4096)
    assert (stats.max_resident_memory_node, stats.max_resident_memory_task) == ("n1", 2)
    assert (stats.avg_disk_write, stats.max_disk_write, stats.consumed_energy) == (5, 6, 12)
    assert stats.avg_cpu_frequency == 2600 and stats.user_cpu_time is None
    with pytest.raises(RPCError):
        statistics("7.0|x\n")
    assert pids("7.batch|n1|1,2|7.batch|n1|1,2\nodd\n") == {(7, "batch"): {"n1": [1, 2]}}


@fuzz
@given(st.text("7.0|batch=cpu:,memK\n 19", max_size=120))
def test_odd_lines_of_sstat_never_end_in_a_traceback(text: str) -> None:
    pids(text)
    try:
        statistics(text)
    except (RPCError, ValueError) as error:
        assert str(error)
