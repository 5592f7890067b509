"""A job that was, to be sent anew: what sbatch's command line gave it is not lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.actions.resubmit import as_it_was as asked_again
from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm.client import SlurmClient
from labtui.slurm.resubmission import as_it_was, tasks_of
from labtui.slurm.scontrol import pairs
from labtui.slurm.script import BatchScript, parse_script
from slurmhost import ScriptedHost, marks_of, record

BARE = BatchScript("sleep 1")


def job(job_id: str = "7", **more: Any) -> Job:
    given: dict[str, Any] = {
        "name": "x y", "user": "ana", "partition": "gpu", "state": "PENDING", "qos": "normal",
        "account": "research", "time_limit_s": 1200, "work_dir": "/home/ana",
    }  # fmt: skip
    return Job(job_id=job_id, **given | more)


PLAIN = {
    "job-name": "x y", "partition": "gpu", "account": "research", "qos": "normal",
    "time": "20:00", "chdir": "/home/ana",
}  # fmt: skip
ONE = "NumNodes=1-1 NumTasks=1 CPUs/Task=1"


@pytest.mark.parametrize(
    ("told", "options"),
    [
        (f"{ONE} MinMemoryNode=2G Features=(null) TresPerNode=gres/gpu:1",
         {"mem": "2G", "gres": "gpu:1"}),
        (f"{ONE} MinMemoryNode=2G TresPerNode=gres:gpu:a100:2,gres:shard:3",  # 22.05
         {"mem": "2G", "gres": "gpu:a100:2,shard:3"}),
        ("NumNodes=1 NumTasks=2 CPUs/Task=2 MinMemoryCPU=100M TresPerJob=gres/gpu:1 "
         "TresPerTask=cpu=2",
         {"ntasks": "2", "cpus-per-task": "2", "mem-per-cpu": "100M", "gpus": "1"}),
        ("NumNodes=1-2 NumTasks=3 CPUs/Task=1 MinMemoryNode=0", {"nodes": "1-2", "ntasks": "3"}),
        ("NumNodes=2-2 NumTasks=2 CPUs/Task=1 TresPerNode=gres/gpu",
         {"nodes": "2", "gres": "gpu:1"}),
        (f"{ONE} TresPerTask=gres/gpu=1", {"ntasks": "1", "gpus-per-task": "1"}),
        (f"{ONE} CpusPerTres=gres/gpu:2 MemPerTres=gres/gpu:500 TresPerNode=gres/gpu:1",
         {"cpus-per-gpu": "2", "mem-per-gpu": "500M", "gres": "gpu:1"}),
        (f"{ONE} ReqNodeList=n1 ExcNodeList=n[2-3] Features=a&b Licenses=m:1 Reservation=r",
         {"nodelist": "n1", "exclude": "n[2-3]", "constraint": "a&b", "licenses": "m:1",
          "reservation": "r"}),
    ],
)  # fmt: skip
def test_what_was_given_beside_a_script(told: str, options: dict[str, str]) -> None:
    found, own = as_it_was(BARE, job(), pairs(told))
    assert dict(found.options) == PLAIN | options
    assert set(own) == set(found.options)
    assert as_it_was(found, job(), pairs(told)) == (found, ())


@pytest.mark.parametrize(
    "own",
    [
        "--mem=2048M --gres=gpu:1 -t 20 -N1 -n 1",
        "--mem=2G --gpus-per-node=1 -t 0:20:00 -p gpu -J 'x y' -A Research",
    ],
)
def test_a_script_that_says_the_same_stays_as_it_is(own: str) -> None:
    script = parse_script(f"#!/bin/sh\n#SBATCH {own}\nsleep 1\n")
    found, changed = as_it_was(
        script, job(), pairs(f"{ONE} MinMemoryNode=2G TresPerNode=gres/gpu:1")
    )
    assert not {"mem", "gres", "gpus-per-node", "time", "nodes", "ntasks"} & set(changed)
    assert {**found.options, **script.options} == found.options


def test_the_command_line_won_over_the_script() -> None:
    script = BARE.with_options({"partition": "cpu", "time": "5", "mem": "1G", "gpus": "4"})
    found, own = as_it_was(script, job(), pairs(f"{ONE} MinMemoryCPU=500M TresPerNode=gres/gpu:1"))
    assert dict(found.options) == PLAIN | {"mem-per-cpu": "500M", "gres": "gpu:1"}
    assert {"partition", "time", "mem-per-cpu", "gres"} <= set(own)


def test_what_slurm_chose_is_not_asked_for() -> None:
    ran = job(state="RUNNING", nodes=("n1", "n2", "n3"))
    script = BARE.with_options({"partition": "gpu,cpu", "nodes": "2-4", "time-min": "1"})
    found, _ = as_it_was(script, ran, pairs("NumNodes=3 NumTasks=3 CPUs/Task=1"))
    assert (found.get("partition"), found.get("nodes")) == ("gpu,cpu", "2-4")
    shared = as_it_was(BARE, job(), {}, mine=False)[0]
    assert "account" not in shared.options and "qos" not in shared.options
    assert as_it_was(BARE, job("15+0"), pairs(ONE)) == (BARE, ())


def test_its_files_and_what_it_waits_for() -> None:
    def of(out: str, err: str | None = None, **more: Any) -> dict[str, str]:
        found = as_it_was(BARE, job(**more), {}, paths=(out, err))[0].options
        return {k: v for k, v in found.items() if k not in PLAIN}

    assert of("/home/ana/slurm-%j.out") == of("/home/ana/slurm-%A_%a.out") == {}
    assert of("/home/ana/a/%x.txt", "/tmp/e") == {"output": "a/%x.txt", "error": "/tmp/e"}
    assert of("/home/ana/out-7.txt") == {}
    waits = of("", dependency="afterok:5(unfulfilled),after:6+10(unfulfilled)", comment="labtui:a")
    assert waits == {"dependency": "afterok:5,after:6+10"}
    assert of("", dependency="afterok:5(failed)", comment="mine labtui:a") == {"comment": "mine"}


def test_of_a_forgotten_job_only_what_the_script_lacks() -> None:
    gone = job(source="sacct", state="FAILED", nodes=("n1", "n2"), gres="gpu:4", memory_mib=4096,
               cpus=8)  # fmt: skip
    found = as_it_was(BARE, gone, {})[0].options
    assert dict(found) == PLAIN | {"nodes": "2", "gres": "gpu:2", "mem": "2048M"}
    asks = BARE.with_options({"nodes": "1", "gpus": "4", "mem-per-cpu": "1G"})
    assert dict(as_it_was(asks, gone, {})[0].options) == PLAIN | dict(asks.options)
    one = job(source="sacct", state="FAILED", nodes=("n1",), cpus=8)
    assert as_it_was(BARE, one, {})[0].get("cpus-per-task") == "8"


def test_the_tasks_of_an_array() -> None:
    ids = ("9_[2-4,8%2]", "9_0", "9_1", "9_6")
    rows = [job(i, array_task=i.partition("_")[2].strip("[]")) for i in ids]
    assert tasks_of(rows) == "0-4,6,8%2"
    assert tasks_of([job("9")]) == tasks_of([job("9_[0-3...]")]) == ""


@given(
    st.dictionaries(
        st.sampled_from(["NumNodes", "NumTasks", "CPUs/Task", "MinMemoryNode", "TresPerNode",
                         "TresPerTask", "MemPerTres", "Features", "CpusPerTres"]),
        st.one_of(st.text(max_size=12), st.sampled_from(["1-2", "4", "2G", "gres/gpu:2", "0"])),
    ),
    st.text(max_size=8), st.sampled_from(["PENDING", "RUNNING"]),
)  # fmt: skip
def test_odd_records(told: dict[str, str], name: str, state: str) -> None:
    found, _ = as_it_was(BARE, job(name=name, state=state), told)
    assert parse_script(found.text()).options == found.options
    assert as_it_was(found, job(name=name, state=state), told)[0] == found


async def test_slurm_is_asked_for_what_the_script_lacks() -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[:2] == ["scontrol", "write"]:
            return 0, "#!/bin/bash\nsleep 1\n", ""
        if argv[0] == "scontrol":
            return 0, f"JobId=7 JobName=x JobState=PENDING {ONE} TresPerNode=gres/gpu:2\n", ""
        if argv[0] == "squeue" and argv[-1].startswith("STDOUT"):
            text, end = (part.partition(":")[2] for part in argv[-1].split(","))
            return 0, f"/home/ana/o-%A_%a{text}(null){end}\n", ""
        if argv[0] == "squeue":
            return 0, record(marks_of(argv), JobArrayID="7_[0-3%2]", ArrayTaskID="0-3%2"), ""
        return (0, "ana\n", "") if argv[0] == "id" else (1, "", "no accounting")

    client = SlurmClient(ScriptedHost(reply))
    script, own = await asked_again(client, Kept("lab"), job("7_[0-3%2]", user="ben"))
    options = parse_script(script).options
    assert options["array"] == "0-3%2" and options["output"] == "o-%A_%a"
    assert options["gres"] == "gpu:2" and "account" not in options
    assert set(own) == set(options)
