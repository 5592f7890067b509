"""Output of squeue, sacct and scontrol, also where people named things to break it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import Job
from labtui.slurm import polling, scontrol
from labtui.slurm.allocations import allocations
from labtui.slurm.errors import RPCError, error_of
from labtui.slurm.types import Allocation
from slurmhost import record

MARKS = polling.Marks("c0ffee00")
HOSTILE = st.text(max_size=80).filter(lambda t: MARKS.word not in t)


def jobs(output: str) -> list[Job]:
    return [polling.queued_job(r, MARKS) for r in polling.records(output, MARKS.end)]


def one(**changes: str) -> Job:
    (job,) = jobs(record(MARKS, **changes))
    return job


def test_a_pending_job() -> None:
    job = one()
    assert (job.job_id, job.name, job.user, job.partition) == ("7", "llama-lora", "ana", "gpu")
    assert (job.cpus, job.memory_mib, job.gres) == (8, 49152, "gpu:2")
    assert (job.time_limit_s, job.time_used_s) == (14400, None)
    assert (job.submit_time, job.start_time, job.end_time) == (1795471076.0, None, None)
    assert job.reason_text == "waits for free resources"
    assert (job.stdout, job.stderr) == ("/home/ana/slurm-7.out", "/home/ana/slurm-7.out")
    assert job.exit_code is None and job.comment is None and job.dependency is None


def test_a_failed_job_of_22_05_and_one_of_24_11() -> None:
    for raw in ("768", "3:0"):
        job = one(
            State="FAILED", Reason="NonZeroExitCode", exit_code=raw, EndTime="1795471200",
            NodeList="desktop-gpu", TimeUsed="1:12",
        )  # fmt: skip
        assert (job.exit_code, job.reason_text) == ("3:0", "exit 3")
        assert (job.end_time, job.time_used_s) == (1795471200.0, 72)
        assert job.nodes == ("desktop-gpu",)


def test_a_running_job_has_no_end_yet() -> None:
    job = one(State="RUNNING", Reason="None", EndTime="1795471200", TimeLimit="UNLIMITED",
              TimeUsed="2-00:00:01", NodeList="n[1-2]")  # fmt: skip
    assert job.end_time is None and job.time_limit_s is None and job.reason_text is None
    assert (job.time_used_s, job.nodes) == (172801, ("n1", "n2"))


def test_folded_and_single_tasks() -> None:
    folded = one(JobArrayID="9_[0-9%2]", ArrayJobID="9", ArrayTaskID="0-9%2",
                 Reason="JobArrayTaskLimit")  # fmt: skip
    assert (folded.array_task, folded.stdout) == ("0-9%2", None)
    assert folded.reason_text == "its array runs 2 at once"
    task = one(JobArrayID="9_4", JobID="13", ArrayJobID="9", ArrayTaskID="4",
               STDOUT="/x/%A_%a.%j")  # fmt: skip
    assert (task.job_id, task.stdout) == ("9_4", "/x/9_4.13")


def test_gpus_without_accounting_are_multiplied_by_nodes() -> None:
    assert one(tres_alloc="cpu=1", NumNodes="3").gres == "gpu:6"
    assert one(tres_alloc="gres/gpu=1,gres/gpu:jetson=1").gres == "gpu:jetson:1"
    assert one(tres_alloc="cpu=1", tres_per_node="N/A").gres is None


def test_gpus_of_which_not_every_type_is_told() -> None:
    assert one(tres_alloc="gres/gpu=3,gres/gpu:a100=1").gres == "gpu:a100:1,gpu:2"
    assert one(tres_alloc="gres/gpu=3,gres/gpu:a100=1,gres/gpu:h100=2").gres == (
        "gpu:a100:1,gpu:h100:2"
    )
    assert one(tres_alloc="gres/gpu=1,gres/gpu:a100=2,gres/shard=4").gres == "gpu:a100:2,shard:4"
    assert one(tres_alloc="cpu=1", tres_per_node="gres:gpu:a100:1,gres:gpu:2").gres == (
        "gpu:a100:1,gpu:2"
    )


@given(name=HOSTILE, comment=HOSTILE, work_dir=HOSTILE, reason=HOSTILE)
def test_no_text_can_imitate_the_format(
    name: str, comment: str, work_dir: str, reason: str
) -> None:
    output = record(MARKS, Name=name, Comment=comment, WorkDir=work_dir, Reason=reason)
    found = jobs(output + record(MARKS, JobArrayID="8", JobID="8"))
    assert [job.job_id for job in found] == ["7", "8"]
    assert found[0].name == name
    assert (found[0].cpus, found[0].state) == (8, "PENDING")


def test_what_a_login_script_prints_is_not_a_job() -> None:
    (job,) = jobs("Welcome to the cluster\nhave fun\n" + record(MARKS))
    assert job.job_id == "7"


def test_a_cut_answer_is_an_error_not_a_shorter_queue() -> None:
    output = record(MARKS) * 3
    for cut in (len(output) - 4, len(output) // 2):
        with pytest.raises(RPCError, match="cut off"):
            jobs(output[:cut])
    with pytest.raises(RPCError):
        jobs("no such format" + MARKS.end)
    assert jobs("") == []


@given(st.text(max_size=300))
def test_any_other_text_is_refused_in_words(output: str) -> None:
    try:
        jobs(output)
    except RPCError as error:
        assert error.msg


def accounted(**changes: str) -> str:
    of = {
        "JobID": "12_3", "JobIDRaw": "15", "State": "CANCELLED by 1001", "User": "ana",
        "Partition": "cpu", "AllocCPUS": "2", "ReqCPUS": "2", "NNodes": "1",
        "Submit": "1795471000", "Start": "1795471010", "End": "1795471070", "TimelimitRaw": "60",
        "ElapsedRaw": "60", "ExitCode": "0:15", "Priority": "1", "QOS": "normal",
        "Account": "research", "AllocTRES": "cpu=2,gres/gpu=1,mem=100M,node=1",
        "ReqTRES": "cpu=2", "NodeList": "xps15-cpu", "WorkDir": "/home/ana", "JobName": "sweep",
        "StdOut": "/home/ana/%A_%a.out", "StdErr": "", **changes,
    }  # fmt: skip
    return (
        "".join(f"{of[name]}{MARKS.text}" for name in (*polling.ACCOUNTED, *polling.PATHS)) + "\n"
    )


def test_accounted_jobs() -> None:
    fields = (*polling.ACCOUNTED, *polling.PATHS)
    output = accounted() + accounted(JobName="a\nb|c\x1f", JobID="16", State="COMPLETED")
    first, second = polling.accounted_jobs(output, MARKS.text, fields)
    assert (first.job_id, first.array_task, first.state) == ("12_3", "3", "CANCELLED")
    assert first.reason_text == "cancelled by user id 1001"
    assert (first.time_limit_s, first.time_used_s, first.gres) == (3600, 60, "gpu:1")
    assert (first.stdout, first.stderr) == ("/home/ana/12_3.out", "/home/ana/12_3.out")
    assert (second.job_id, second.name, second.source) == ("16", "a\nb|c\x1f", "sacct")
    assert polling.accounted_jobs("", MARKS.text) == []
    with pytest.raises(RPCError, match="cut off"):
        polling.accounted_jobs(output[:-30], MARKS.text, fields)


NODE_22_05 = (
    "NodeName=desktop-gpu Arch=x86_64 CoresPerSocket=1  CPUAlloc=3 CPUEfctv=16 CPUTot=16"
    " CPULoad=0.16 AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:4 GresDrain=N/A"
    " GresUsed=gpu:3(IDX:0-2) NodeAddr=10.77.0.10 NodeHostName=vm Port=27001 Version=22.05.8"
    " OS=Linux 6.1 #1 SMP State=FAKE RealMemory=64000 AllocMem=0 FreeMem=22257 Sockets=16"
    " Boards=1 State=MIXED+DRAIN ThreadsPerCore=1 Partitions=gpu,all  BootTime=None"
    " Reason=fan is loud, State=IDLE [root@1795472353]\n"
)


def test_nodes() -> None:
    (node,) = scontrol.nodes(NODE_22_05.replace(" State=FAKE", ""))
    assert (node.name, node.address, node.slurm_state) == (
        "desktop-gpu", "10.77.0.10", "MIXED+DRAIN",
    )  # fmt: skip
    assert (node.cpus_total, node.cpus_alloc, node.memory_total_mib) == (16, 3, 64000)
    assert (node.gpus, node.gpus_alloc, node.partitions) == (4, 3, ("gpu", "all"))
    assert node.slurm_reason is not None and node.slurm_reason.startswith("fan is loud")
    assert scontrol.nodes("Node nope not found\n") == []
    assert scontrol.nodes("") == []


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("IDLE", "idle"), ("MIXED+DRAIN", "draining"), ("IDLE+DRAIN", "drained"),
        ("DOWN+NOT_RESPONDING", "down*"), ("IDLE*", "idle*"), ("DOWN+DRAIN", "down"),
        ("IDLE+POWERED_DOWN", "off"), (None, "-"), ("ALLOCATED", "allocated"),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", "starting"), ("IDLE+POWER_UP", "starting"),
        ("IDLE+POWERING_DOWN", "going off"), ("IDLE+MAINTENANCE+RESERVED", "maint"),
        ("IDLE+MAINT", "maint"), ("MIXED+MAINTENANCE", "mixed"), ("IDLE+DRAIN+MAINTENANCE",
        "drained"), ("IDLE+DRAIN+INVALID_REG", "invalid"),
        ("ALLOCATED+NOT_RESPONDING+POWERING_UP", "allocated"), ("DOWN+POWERED_DOWN", "down"),
        ("IDLE+DRAIN+POWERED_DOWN", "drained"),
    ],
)  # fmt: skip
def test_node_states_in_words(state: str | None, word: str) -> None:
    assert scontrol.state_word(state) == word


def test_partitions() -> None:
    (cpu,) = scontrol.partitions(
        "PartitionName=cpu AllowGroups=ALL AllowAccounts=ALL Default=YES DefaultTime=01:00:00"
        " DisableRootJobs=NO MaxNodes=UNLIMITED MaxTime=2-00:00:00 Nodes=xps15-cpu State=UP"
        " TotalCPUs=12 TotalNodes=1 MaxCPUsPerNode=UNLIMITED MaxMemPerNode=UNLIMITED\n"
    )
    assert (cpu.name, cpu.is_default, cpu.max_time, cpu.default_time) == ("cpu", True, 2880, 60)
    assert (cpu.nodes, cpu.total_cpus, cpu.max_nodes) == (("xps15-cpu",), 12, None)


@given(st.text(max_size=200))
def test_no_text_of_scontrol_raises(text: str) -> None:
    scontrol.nodes(text)
    scontrol.nodes("NodeName=" + text)
    scontrol.partitions("PartitionName=" + text)
    scontrol.ping(text)
    scontrol.estimate(text, 0.0)
    scontrol.submitted_id(text)
    error_of("squeue", "login", text, text)


def test_ping() -> None:
    up, down = scontrol.ping("Slurmctld(primary) at one is UP\nSlurmctld(backup1) at two is DOWN\n")
    assert (up.is_primary, up.is_responding, up.hostname) == (True, True, "one")
    assert (down.is_primary, down.is_responding, down.index) == (False, False, 1)


def test_estimates() -> None:
    text = "sbatch: Job 1 to start at {} using 2 processors on nodes n[1-2] in partition gpu"
    soon = scontrol.estimate(text.format("1795471840"), 1795471000.0)
    assert soon is not None
    assert (soon.start_time, soon.nodes, soon.processors) == (1795471840.0, ("n1", "n2"), 2)
    never = scontrol.estimate(text.format("130645123354"), 1795471000.0)
    assert never is not None and never.start_time is None
    assert scontrol.estimate("allocation failure: Invalid partition name specified", 0.0) is None


def test_submitted_ids() -> None:
    assert scontrol.submitted_id("17\n") == "17"
    assert scontrol.submitted_id("hello\n17;cluster\n") == "17"
    assert scontrol.submitted_id("Submitted") is None


def test_errors_in_one_sentence() -> None:
    refused = (
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified"
    )
    said = error_of("sbatch", "n", "", refused)
    assert said.msg == "invalid partition specified: nope; Invalid partition name specified"
    held = error_of("scontrol", "n", "", "Invalid job id specified for job 9\n"
                    "slurm_suspend error: Invalid job id specified")  # fmt: skip
    assert (held.msg, held.kind) == ("Invalid job id specified for job 9", "not-found")
    down = "squeue: error: Unable to contact slurm controller (connect failure)"
    assert error_of("squeue", "login", "", down).kind == "refused"
    assert "slurmctld does not answer" in error_of("squeue", "login", "", down).msg
    assert error_of("sacct", "n", "", "Slurm accounting storage is disabled").kind == "not-found"
    assert error_of("scontrol", "n", "Node nope not found", "").msg == "Node nope not found"


def held(document: dict[str, Any]) -> list[Allocation]:
    return [a for parts in allocations(json.dumps(document)) for a in parts]


def test_who_holds_which_gpu_in_two_shapes_of_json() -> None:
    old = {"jobs": [{
        "job_id": 18, "array_job_id": 13, "array_task_id": 0, "name": "x", "user_name": "ana",
        "nodes": "n[1-2]", "start_time": 1795471960,
        "gres_detail": ["gpu:fake:1(IDX:0)", "gpu:fake:2(IDX:1-2),shard:3(IDX:3)"],
    }]}  # fmt: skip
    new = {"jobs": [{
        "job_id": 18, "array_job_id": {"set": True, "infinite": False, "number": 13},
        "array_task_id": {"set": True, "infinite": False, "number": 0}, "name": "x",
        "user_name": "ana", "nodes": "n[1-2]",
        "start_time": {"set": True, "infinite": False, "number": 1795471960},
        "gres_detail": ["gpu:fake:1(IDX:0)", "gpu:fake:2(IDX:1-2),shard:3(IDX:3)"],
    }]}  # fmt: skip
    assert held(old) == held(new)
    found = [(a.job_id, a.node, a.name, a.count, a.indexes) for a in held(old)]
    assert found == [
        ("13_0", "n1", "gpu", 1, (0,)),
        ("13_0", "n2", "gpu", 2, (1, 2)),
        ("13_0", "n2", "shard", 3, (3,)),
    ]
    plain = {"jobs": [{"job_id": 4, "array_job_id": {"set": True, "number": 0},
                       "array_task_id": {"set": False, "number": 0}, "nodes": "n1",
                       "gres_detail": ["gpu:1"]}]}  # fmt: skip
    assert [(a.job_id, a.indexes) for a in held(plain)] == [("4", ())]
