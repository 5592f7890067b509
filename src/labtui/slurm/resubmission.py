"""A job that was, as a script to be sent anew. Pure.

sbatch's command line and environment win over a script and leave no trace in it; what they asked
for stands in the job's own record. scontrol(1) and squeue(1) name the fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labtui.model import Job
from labtui.slurm import values
from labtui.slurm.script import PRIVATE_COMMENT, BatchScript
from labtui.text import clock

_NAMED = {
    "Features": "constraint", "ReqNodeList": "nodelist", "ExcNodeList": "exclude",
    "Reservation": "reservation", "Licenses": "licenses",
}  # fmt: skip
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
_PER = {
    "gres": "TresPerNode", "gpus": "TresPerJob", "gpus-per-task": "TresPerTask",
    "gpus-per-socket": "TresPerSocket",
}  # fmt: skip
_GPUS = (*_PER, "gpus-per-node")
_OTHER_TASKS = ("ntasks-per-node", "ntasks-per-socket", "ntasks-per-core", "ntasks-per-gpu")
_UNNAMED = ("sbatch", "wrap")
"""What sbatch calls a job that nobody named."""


def as_it_was(
    script: BatchScript,
    job: Job,
    record: Mapping[str, str],
    *,
    paths: tuple[str | None, str | None] = (None, None),
    array: str = "",
    mine: bool = True,
) -> tuple[BatchScript, tuple[str, ...]]:
    """The script with what the job had and it does not say, or says otherwise; which options.

    `record` is its `scontrol show job`, empty where slurmctld has forgotten it: what is asked a
    node is then only filled in where the script is silent. `paths` are stdout's and stderr's
    patterns, `array` its tasks. `mine`: it is of who sends it; others may not use its account.
    A part of a heterogeneous job is left alone: what the other parts asked is not in its record.
    """
    if "+" in job.job_id:
        return script, ()
    asked = script.options
    changes: dict[str, str | None] = {}
    for name, value in _of_job(job, mine).items():
        if name not in asked or not _alike(name, asked[name], value, job):
            changes[name] = value
    silent = _silent(job, record, paths) | ({"array": array} if array else {})
    changes |= {name: value for name, value in silent.items() if name not in asked}
    changes |= _sizes(asked, record or _forgotten(asked, job), job)
    changes = {k: v for k, v in changes.items() if v is None or (v and _can_be_sent(v))}
    return script.with_options(changes), tuple(name for name, value in changes.items() if value)


def _can_be_sent(value: str) -> bool:
    return not any(ord(c) < 32 or ord(c) == 127 for c in value)


def _of_job(job: Job, mine: bool) -> dict[str, str]:
    """Where a job and its script differ, the job counts."""
    found = {
        "job-name": None if job.name in _UNNAMED else job.name,
        "partition": job.partition,
        "account": job.account if mine else None,
        "qos": job.qos if mine else None,
        "time": clock(job.time_limit_s) if job.time_limit_s else None,
        "chdir": job.work_dir,
    }
    return {name: value for name, value in found.items() if value}


def _alike(name: str, given: str, value: str, job: Job) -> bool:
    """Whether a script's value can have become the job's."""
    if name == "time":
        return values.minutes(given) == values.minutes(value)
    if name == "chdir":
        return given.rstrip("/") == value.rstrip("/")
    if name == "partition":  # a job that was started shows the one it was given
        had, named = set(value.split(",")), set(given.split(","))
        return had == named or (job.state != "PENDING" and had < named)
    return given.lower() == value.lower() if name in ("account", "qos") else given == value


def _silent(
    job: Job, record: Mapping[str, str], paths: tuple[str | None, str | None]
) -> dict[str, str]:
    """What is filled in only where the script does not speak of it."""
    found = {option: values.text(record.get(key, "")) for key, option in _NAMED.items()}
    found["comment"] = PRIVATE_COMMENT.sub("", job.comment or "").strip()
    waits = (job.dependency or "").replace("(unfulfilled)", "")
    found["dependency"] = waits if job.state == "PENDING" and "(" not in waits else None
    out, err = (_pattern(path, job) for path in paths)
    found |= {"output": out, "error": err if err != out else None}
    return {name: value for name, value in found.items() if value}


def _pattern(path: str | None, job: Job) -> str | None:
    """None for sbatch's own, and where Slurm has filled it in: the new job would write there."""
    folder = (job.work_dir or "").rstrip("/") + "/"
    plain = (path or "").removeprefix(folder)
    filled = "%" not in plain and job.job_id.partition("_")[0] in plain
    return None if filled or plain in ("slurm-%j.out", "slurm-%A_%a.out") else plain


# -- how much ------------------------------------------------------------------------------


def _sizes(asked: Mapping[str, str], record: Mapping[str, str], job: Job) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    low, _, high = record.get("NumNodes", "").partition("-")
    nodes = low if high in ("", low) else f"{low}-{high}"
    if nodes and nodes != asked.get("nodes", "1") and not _within(asked.get("nodes", ""), low, job):
        found["nodes"] = nodes
    tasks = values.whole(record.get("NumTasks", ""))
    implied = tasks in (1, values.whole(low)) and not values.text(record.get("TresPerTask", ""))
    implied = implied or any(name in asked for name in _OTHER_TASKS)
    if tasks and str(tasks) != asked.get("ntasks") and ("ntasks" in asked or not implied):
        found["ntasks"] = str(tasks)
    each = values.whole(record.get("CPUs/Task", ""))
    if each and str(each) != asked.get("cpus-per-task", "1") and "cpus-per-gpu" not in asked:
        found["cpus-per-task"] = str(each)
    by_gpu = values.gres(record.get("CpusPerTres", ""))
    if by_gpu and "cpus-per-gpu" not in asked:
        found["cpus-per-gpu"] = str(by_gpu[0][2])
    memory = _memory(record)
    if memory and _mib(memory) != _mib(asked):
        found |= dict.fromkeys(_MEMORY) | memory
    gpus = _gpus(record)
    if gpus and "tres-per-task" not in asked and _meant(gpus) != _meant(asked):
        found |= dict.fromkeys(_GPUS) | gpus
    return found


def _within(given: str, count: str, job: Job) -> bool:
    """Whether a job that was started with `count` nodes may have asked for `2-4`."""
    low, high = (values.whole(part) for part in (given.partition("-")[::2]))
    had = values.whole(count)
    if job.state == "PENDING" or low is None or high is None or had is None:
        return False
    return low <= had <= high


def _memory(record: Mapping[str, str]) -> dict[str, str]:
    """As an option. A node's 0 is all that it has, or that nothing was asked."""
    by_gpu = values.gres(record.get("MemPerTres", ""))
    found = {
        "mem": record.get("MinMemoryNode", ""),
        "mem-per-cpu": record.get("MinMemoryCPU", ""),
        "mem-per-gpu": f"{by_gpu[0][2]}M" if by_gpu else "",
    }
    return {name: size for name, size in found.items() if values.mib(size)}


def _mib(options: Mapping[str, str]) -> dict[str, int | None]:
    return {name: values.mib(options[name]) for name in _MEMORY if name in options}


def _gpus(record: Mapping[str, str]) -> dict[str, str]:
    """As options; of what is no GPU only what is asked a node."""
    found: dict[str, str] = {}
    for option, key in _PER.items():
        parts = []
        for name, kind, count, _ in values.gres(record.get(key, "")):
            if name in ("cpu", "mem", "node", "billing", "license") or not count:
                continue
            amount = f"{kind}:{count}" if kind else str(count)
            if option == "gres":
                parts.append(f"{name}:{amount}")
            elif name == "gpu":
                parts.append(amount)
        if parts:
            found[option] = ",".join(parts)
    return found


def _meant(options: Mapping[str, str]) -> set[tuple[str, str, str | None, int]]:
    """(a what, name, type, count) of each: `--gpus-per-node=2` is `--gres=gpu:2`."""
    found = set()
    for option in _GPUS:
        for part in options.get(option, "").split(","):
            text = part if option == "gres" else part and f"gpu:{part}"
            for name, kind, count, _ in values.gres(text):
                per = "gres" if option == "gpus-per-node" else option
                found.add((per, name, kind, count))
    return found


def _forgotten(asked: Mapping[str, str], job: Job) -> dict[str, str]:
    """What the accounting still tells, as if slurmctld did: what all nodes had together, a node.
    How many tasks there were it does not tell."""
    nodes = max(1, len(job.nodes))
    found = {"NumNodes": "" if "nodes" in asked else str(nodes)}
    if job.memory_mib and job.memory_mib % nodes == 0 and not any(n in asked for n in _MEMORY):
        found["MinMemoryNode"] = f"{job.memory_mib // nodes}M"
    each = values.gres(job.gres or "")
    if not any(n in asked for n in _GPUS) and all(count % nodes == 0 for _, _, count, _ in each):
        parts = (":".join([n, *([k] if k else []), str(c // nodes)]) for n, k, c, _ in each)
        found["TresPerNode"] = ",".join(parts)
    tasks = ("ntasks", "cpus-per-task", "cpus-per-gpu", *_OTHER_TASKS)
    if job.cpus and nodes == 1 and not any(name in asked for name in tasks):
        found["CPUs/Task"] = str(job.cpus)
    return found


def tasks_of(rows: Sequence[Job]) -> str:
    """The tasks of an array by its rows, for `--array`: `0-9,12%2`; empty where none are told."""
    numbers: set[int] = set()
    most = ""
    for row in rows:
        task = row.job_id.partition("_")[2]
        if task.isdigit():
            numbers.add(int(task))
        for some in values.task_ranges(row.job_id) or ():
            numbers.update(some)
        most = most or (row.array_task or "").partition("%")[2]
    return values.in_ranges(numbers) + (f"%{most}" if most and numbers else "")
