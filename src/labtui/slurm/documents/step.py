"""Steps of `scontrol show step` (JSON and text), and what sstat measures of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from labtui.slurm import values
from labtui.slurm.core.job.step import JobStep, JobSteps
from labtui.slurm.core.job.task_dist import distribution_of
from labtui.slurm.db.stats import COLUMNS, JobStepStatistics
from labtui.slurm.documents import Document, cluster_of, entries
from labtui.slurm.documents.job import frequency
from labtui.slurm.documents.resources import tres
from labtui.slurm.documents.text import refuse
from labtui.slurm.errors import RPCError
from labtui.slurm.fields import moment, num, states, text, written


def steps(document: Document) -> dict[int | str, JobSteps]:
    """The steps of a document by job id. The text does not tell the ids of an array's tasks:
    theirs are by `39_1`."""
    return by_job(listed(document))


def listed(document: Document) -> list[JobStep]:
    """The steps of a document, one by one."""
    if isinstance(document, str):
        return [JobStep.of(from_text(record)) for record in records(document)]
    cluster = cluster_of(document)
    return [JobStep.of(from_json(entry, cluster)) for entry in entries(document, "steps")]


def by_job(found: Iterable[JobStep]) -> dict[int | str, JobSteps]:
    """Steps by job."""
    parts: dict[int | str, JobSteps] = {}
    for step in found:
        text_only = step.array_id == step.job_id and step.array_id is not None and not step._real
        key: int | str = f"{step.array_id}_{step.array_task_id}" if text_only else step.job_id
        parts.setdefault(key, JobSteps())[step.id] = step
    return parts


_ID = re.compile(
    r"(?:StepId=)?(\d{1,10})(?:_(\d{1,10}))?(?:\+(\d{1,6}))?\.(\d{1,10}|batch|extern|interactive|TBD|TDB)"
    r"(?:\+\d{1,6})?",
    re.ASCII,
)
"""`52.0`, `39_1.batch`, `52.TDB` (pending; Slurm's own slip, until 24.11)"""


def _identity(word: str) -> dict[str, Any]:
    """Job, array task and step of `39_1.batch`. An array's id stands for its task's own until
    somebody knows better. ValueError for what is no step's id."""
    found = _ID.fullmatch(word)
    if found is None:
        raise ValueError(f"{word[:60]!r} is no step's id")
    job_id, task, _, step = found.groups()
    named = "pending" if step in ("TBD", "TDB") else step
    one: dict[str, Any] = {"job_id": int(job_id), "id": int(step) if step.isdigit() else named}
    if task is not None:
        one |= {"array_id": int(job_id), "array_task_id": int(task)}
    return one


def from_json(entry: dict[str, Any], cluster: str | None = None) -> dict[str, Any]:
    """PySlurm's values of one step. ValueError for a record without an id."""
    word = entry.get("id")
    if isinstance(word, dict):  # v0.0.39
        job = num(word.get("job_id"))
        step = word.get("step_id")
        step = num(step) if isinstance(step, dict | int) else step
        word = f"{job}.{step}"
    found = _identity(str(word))
    per = _dict(_dict(entry.get("tres")).get("per"))
    asked = _dict(_dict(entry.get("cpu")).get("frequency"))
    clock, srun = _dict(entry.get("time")), _dict(entry.get("srun"))
    task = entry.get("task")
    spread = task.get("distribution") if isinstance(task, dict) else None
    layout = distribution_of(text(spread))
    found |= {
        "name": written(entry.get("name")),
        "user_name": text(entry.get("user")),
        "partition": text(entry.get("partition")),
        "state": next(iter(states(entry.get("state"))), None),
        "time_limit": num(clock.get("limit"), zero=False),
        "start_time": moment(clock.get("start")),
        "_ran": num(clock.get("running")),
        "cpus": num(entry.get("number_cpus"), zero=False) or 1,
        "ntasks": num(entry.get("number_tasks")),
        "distribution": layout.to_dict() if layout else None,
        "allocated_nodes": text(_dict(entry.get("nodes")).get("range") or entry.get("nodes")),
        "srun_host": text(srun.get("host")),
        "srun_process_id": num(srun.get("pid"), zero=False),
        "command": written(entry.get("submit_line")),
        "container": written(entry.get("container")),
        "container_id": written(entry.get("container_id")),
        "network": text(entry.get("network")),
        "reserved_ports": text(entry.get("reserved_ports")),
        "cpu_frequency_min": frequency(asked.get("min")),
        "cpu_frequency_max": frequency(asked.get("max")),
        "cpu_frequency_governor": frequency(asked.get("governor")),
        "standard_input": written(entry.get("stdin_expanded") or entry.get("stdin")),
        "standard_output": written(entry.get("stdout_expanded") or entry.get("stdout")),
        "standard_error": written(entry.get("stderr_expanded") or entry.get("stderr")),
        "tres": tres(_dict(entry.get("tres")).get("allocation")),
        "tres_per_step": tres(per.get("step")),
        "tres_per_socket": tres(per.get("socket")),
        "tres_per_node": tres(per.get("node")),
        "tres_per_task": tres(per.get("task")),
    }
    array = _dict(entry.get("array"))
    if whole := num(array.get("job_id"), zero=False):
        found |= {"array_id": whole, "array_task_id": num(array.get("task_id"))}
        found["_real"] = "_" not in str(word)
    own = text(entry.get("cluster")) or cluster
    return found | ({"cluster": own} if own else {})


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# -- text ---------------------------------------------------------------------------------

_RECORD = re.compile(
    r"StepId=(?P<id>\S+) UserId=(?P<user>\d+) StartTime=(?P<start>\S+) TimeLimit=(?P<limit>\S+)\n"
    r"(?:   SLUID=\S+\n)?"
    r"   State=(?P<state>\S+) Partition=(?P<partition>\S*) NodeList=(?P<nodes>\S*)\n"
    r"   Nodes=(?P<count>\d+) CPUs=(?P<cpus>\d+) Tasks=(?P<tasks>\d+) Name=(?P<name>.*?)"
    r" Network=(?P<network>[^\n]*)\n   TRES=(?P<tres>[^\n]*)\n"
    r"   ResvPorts=(?P<ports>[^\n]*)\n   CPUFreqReq=(?P<frequency>\S+)(?: Dist=(?P<dist>[^\n]*))?"
    r"(?P<rest>(?:\n   [A-Z][^\n]*)*)",
    re.DOTALL | re.ASCII,
)


def records(output: str) -> list[str]:
    """The records of the plain output. A name may imitate one: what does not fit is left out.
    PyslurmError for a text that has none."""
    parts = re.split(r"\n\n(?=StepId=\d)", output.strip("\n"))
    found = [part for part in parts if part.startswith("StepId=")]
    if not found:
        refuse(output)
    return found


def from_text(record: str) -> dict[str, Any]:
    """PySlurm's values of one record. ValueError for what is none.

    A step's name may hold anything: where it hides the rest, only the id is known.
    """
    word = record.removeprefix("StepId=").split(" ", 1)[0].strip()
    found = _RECORD.fullmatch(record.rstrip("\n"))
    one = _identity(word)
    if found is None or record.count("\n   TRES=") != 1 or record.count(" Network=") != 1:
        return one
    of = found.groupdict()
    rest = dict(line.partition("=")[::2] for line in of["rest"].split("\n   ") if "=" in line)
    host, _, pid = rest.get("SrunHost:Pid", "").rpartition(":")
    seconds = values.seconds(of["limit"])
    layout = distribution_of(of["dist"])
    low, high, governor = _frequencies(of["frequency"])
    return one | {
        "user_id": values.whole(of["user"]),
        "start_time": moment(of["start"]),
        "time_limit": None if seconds is None else seconds // 60 or None,
        "state": values.text(of["state"]),
        "partition": values.text(of["partition"]),
        "allocated_nodes": values.text(of["nodes"]),
        "cpus": values.whole(of["cpus"]) or 1,
        "ntasks": values.whole(of["tasks"]),
        "name": None if of["name"] == "(null)" else of["name"] or None,
        "network": values.text(of["network"]),
        "tres": tres(of["tres"]),
        "reserved_ports": values.text(of["ports"]),
        "distribution": layout.to_dict() if layout else None,
        "srun_host": values.text(host),
        "srun_process_id": values.whole(pid) or None,
        "container": values.text(rest.get("Container", "")),
        "tres_per_node": tres(rest.get("TresPerNode", "")),
        "tres_per_step": tres(rest.get("TresPerStep", "")),
        "tres_per_socket": tres(rest.get("TresPerSocket", "")),
        "tres_per_task": tres(rest.get("TresPerTask", "")),
        "cpu_frequency_min": low,
        "cpu_frequency_max": high,
        "cpu_frequency_governor": governor,
    }


def _frequencies(value: str) -> tuple[Any, Any, Any]:
    """(least, most, governor) of `1000000-2000000:Performance`, `Low`, `Default`."""
    limits, _, governor = value.partition(":")
    parts = [values.whole(part) or part.upper() for part in limits.split("-") if part]
    if value == "Default" or not parts:
        return None, None, None
    if len(parts) == 1 and isinstance(parts[0], str) and parts[0] not in ("LOW", "MEDIUM", "HIGH"):
        return None, None, parts[0]
    low, high = (parts[0], parts[1]) if len(parts) > 1 else (None, parts[0])
    return low, high, governor.upper() or None


# -- sstat --------------------------------------------------------------------------------

SSTAT = ("JobID", *COLUMNS)


def statistics(output: str) -> dict[tuple[int, int | str], JobStepStatistics]:
    """`sstat -a -n -P --noconvert --format=SSTAT` by job and step.

    RPCError where a line is not in the asked format.
    """
    found = {}
    for line in output.splitlines():
        if not line.strip():
            continue
        parts = line.split("|")
        if len(parts) != len(SSTAT):
            raise RPCError(msg="a line of sstat is not in the asked format")
        one = _identity(parts[0].strip())
        stats = JobStepStatistics.from_columns(dict(zip(SSTAT, parts, strict=True)))
        found[one["job_id"], one["id"]] = stats
    return found


def pids(output: str) -> dict[tuple[int, int | str], dict[str, list[int]]]:
    """`sstat -a -i -n -P --format=JobID,Nodelist,Pids`: process ids by job, step and node."""
    found: dict[tuple[int, int | str], dict[str, list[int]]] = {}
    for line in output.splitlines():
        parts = line.split("|")
        if len(parts) < 3 or not _ID.fullmatch(parts[0].strip()):
            continue  # sstat may write a line's fields twice
        one = _identity(parts[0].strip())
        numbers = [number for word in parts[2].split(",") if (number := values.whole(word))]
        found.setdefault((one["job_id"], one["id"]), {})[parts[1].strip()] = numbers
    return found
