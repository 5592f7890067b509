"""The output of squeue and sacct as jobs. Pure; tested on hostile input.

A job's name may hold anything: newlines, escape sequences, the very separators used here. So each
free text, and each record, ends with a mark that holds a random word (`Marks`), which nobody who
chose a job's name has seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import msgspec
from msgspec import structs

from labtui.model import Job
from labtui.slurm import values
from labtui.slurm.errors import RPCError
from labtui.slurm.reasons import explain, outcome
from labtui.slurm.urgency import FINISHED

LEAD = ("JobArrayID", "State", "EndTime", "Reason")
"""squeue fields that come first: what orders the queue."""
PLAIN = (
    "JobID", "ArrayJobID", "ArrayTaskID", "UserName", "Partition", "NumCPUs", "NumNodes",
    "SubmitTime", "StartTime", "TimeLimit", "exit_code", "PriorityLong", "QOS",
    "Account", "tres-alloc", "tres-per-node", "tres-per-job", "NodeList",
)  # fmt: skip
"""squeue fields whose text Slurm itself makes or has checked."""
FREE = ("Dependency", "STDOUT", "STDERR", "WorkDir", "Comment", "Name")
"""squeue fields that hold what people wrote."""
USED = "TimeUsed"
"""The last field: all that changes of a job that goes on running."""

ACCOUNTED = (
    "JobID", "JobIDRaw", "State", "User", "Partition", "AllocCPUS", "ReqCPUS", "NNodes", "Submit",
    "Start", "End", "TimelimitRaw", "ElapsedRaw", "ExitCode", "Priority", "QOS", "Account",
    "AllocTRES", "ReqTRES", "NodeList", "WorkDir", "JobName",
)  # fmt: skip
"""sacct fields, in every release since 22.05."""
PATHS = ("StdOut", "StdErr")
"""sacct fields since 24.05."""


class Marks(msgspec.Struct, frozen=True):
    """Separators. Made once a client, so that an unchanged record is the same text again."""

    word: str = msgspec.field(default_factory=lambda: secrets.token_hex(4))

    @property
    def text(self) -> str:
        return f"\x1f~{self.word}"

    @property
    def end(self) -> str:
        return f"\x1e~{self.word}"

    def squeue_format(self) -> str:
        """The argument of `squeue -O`: no widths, so that nothing is cut."""
        lead = [f"{name}:\x1f" for name in LEAD[:-1]] + [f"{LEAD[-1]}:{self.text}"]
        plain = [f"{name}:\x1f" for name in PLAIN[:-1]] + [f"{PLAIN[-1]}:{self.text}"]
        free = [f"{name}:{self.text}" for name in FREE]
        return ",".join([*lead, *plain, *free, f"{USED}:{self.end}"])


def records(output: str, end: str) -> Iterator[str]:
    """The records before each mark. Raises RPCError when the last one was cut off."""
    *whole, rest = output.split(end)
    if rest.strip():
        raise RPCError(msg="the answer of squeue was cut off or is not in the asked format")
    return iter(whole)


def end_of(head: str) -> tuple[str, str | None, float | None]:
    """(state, reason, end in unix seconds) of `State EndTime Reason`; no end before it is over."""
    state, _, rest = head.partition("\x1f")
    end, _, reason = rest.partition("\x1f")
    state = state.strip()
    return state, values.text(reason), values.moment(end) if state in FINISHED else None


def queued_job(record: str, marks: Marks) -> Job:
    """One record of squeue. Raises RPCError when it is not one."""
    lead, *parts = record.split(marks.text)
    first = lead.split("\x1f", 3)
    plain = parts[0].split("\x1f") if parts else []
    free = dict(zip(FREE, parts[1:], strict=False))
    if len(first) != len(LEAD) or len(plain) != len(PLAIN) or len(parts) != len(FREE) + 2:
        raise RPCError(msg="a line of squeue is not in the asked format")
    # Before the first record may stand what a login script printed; before others, a newline.
    job_id = first[0].rsplit("\n", 1)[-1].strip()
    of = dict(zip(PLAIN, plain, strict=True))
    name = free["Name"]
    state, reason, ended = end_of(lead.partition("\x1f")[2])
    finished = state in FINISHED
    nodes = values.nodes(of["NodeList"])
    memory, gres = _resources(
        of["tres-alloc"], of["tres-per-node"], of["tres-per-job"], of["NumNodes"]
    )
    task = values.text(of["ArrayTaskID"])
    code = values.exit_code(of["exit_code"]) if finished else None
    job = Job(
        job_id=job_id,
        array_task=task,
        name=name,
        user=values.text(of["UserName"]),
        partition=values.text(of["Partition"]),
        state=state,
        reason=reason,
        reason_text=None,
        nodes=nodes,
        cpus=values.whole(of["NumCPUs"]),
        memory_mib=memory,
        gres=gres,
        submit_time=values.moment(of["SubmitTime"]),
        start_time=values.moment(of["StartTime"]),
        end_time=ended,
        time_limit_s=values.seconds(of["TimeLimit"]),
        time_used_s=None if state == "PENDING" else values.seconds(parts[-1]),
        exit_code=code,
        account=values.text(of["Account"]),
        qos=values.text(of["QOS"]),
        priority=values.whole(of["PriorityLong"]),
        dependency=values.text(free["Dependency"]),
        work_dir=values.text(free["WorkDir"]),
        comment=values.text(free["Comment"]),
    )
    stdout, stderr = _paths(job, of, free)
    return structs.replace(
        job,
        reason_text=outcome(state, code, reason) if finished else explain(reason, job),
        stdout=stdout,
        stderr=stderr,
    )


def _paths(job: Job, of: dict[str, str], free: dict[str, str]) -> tuple[str | None, str | None]:
    """Where its output goes. Of tasks that wait together there is no one file yet, nor ever of
    what was cancelled before it had a node, whatever squeue prints. 22.05 repeats stdout where
    stderr goes the same way, later releases write nothing."""
    if job.array_task is not None and not job.array_task.isdigit():
        return None, None
    if job.state == "CANCELLED" and not job.nodes:
        return None, None
    out = values.text(free["STDOUT"])
    err = values.text(free["STDERR"]) or out
    fill = partial(
        values.expand_path,
        job_id=of["JobID"].strip(),
        array_id=values.text(of["ArrayJobID"]) if job.array_task else None,
        task_id=job.array_task,
        name=job.name,
        user=job.user,
        node=job.nodes[0] if job.nodes else None,
    )
    return (fill(out) if out else None), (fill(err) if err else None)


@lru_cache(maxsize=4096)
def _resources(
    accounted: str, per_node: str, per_job: str, nodes: str
) -> tuple[int | None, str | None]:
    """(memory in MiB, `gpu:jetson:1,shard:2`): what the whole job has or asks, on all its nodes.

    The accounted resources say it where Slurm accounts GPUs (AccountingStorageTRES); else what
    was asked a node is multiplied.
    """
    alloc = values.tres(accounted)
    memory = values.mib(alloc.get("mem", ""))
    found: dict[tuple[str, str | None], int] = {}
    for name, amount in alloc.items():
        count = values.whole(amount)
        if name.startswith("gres/") and count is not None:
            kind, _, sort = name.removeprefix("gres/").partition(":")
            found[kind, sort or None] = count
    if not found:
        for asked, times in ((per_job, 1), (per_node, max(1, values.whole(nodes) or 1))):
            wanted = [(kind, sort, count * times) for kind, sort, count, _ in values.gres(asked)]
            found |= {(kind, sort): count for kind, sort, count in wanted if sort}
            for kind in {kind for kind, _, _ in wanted}:
                count = sum(count for name, _, count in wanted if name == kind)
                found[kind, None] = max(found.get((kind, None), 0), count)
    for kind in {kind for kind, sort in found if sort}:
        # The whole is told beside its parts: what is of no type that is told is left.
        typed = sum(count for (name, sort), count in found.items() if name == kind and sort)
        found[kind, None] = found.get((kind, None), 0) - typed
    parts = [
        f"{kind}:{sort}:{count}" if sort else f"{kind}:{count}"
        for (kind, sort), count in sorted(found.items(), key=lambda item: str(item[0]))
        if sort or count > 0
    ]
    return memory, ",".join(parts) or None


def accounted_jobs(output: str, mark: str, names: Sequence[str] = ACCOUNTED) -> list[Job]:
    """`sacct -p --delimiter=MARK`: each field ends with the mark, each record with a newline."""
    fields = output.split(mark)
    width = len(names)
    if fields.pop().strip() or len(fields) % width:
        raise RPCError(msg="the answer of sacct was cut off or is not in the asked format")
    found = (fields[i : i + width] for i in range(0, len(fields), width))
    return [accounted_job(dict(zip(names, record, strict=True))) for record in found]


def accounted_job(of: dict[str, str]) -> Job:
    """One record of sacct, by its fields' names."""
    of["JobID"] = of["JobID"].rsplit("\n", 1)[-1]
    state, _, by = of["State"].strip().partition(" ")
    memory, gres = _resources(values.text(of["AllocTRES"]) or of["ReqTRES"], "", "", "")
    job_id = of["JobID"].strip()
    task = job_id.partition("_")[2] or None
    limit = values.whole(of["TimelimitRaw"])
    code = values.exit_code(of["ExitCode"])
    nodes = () if of["NodeList"].startswith("None") else values.nodes(of["NodeList"])
    fill = partial(
        values.expand_path,
        job_id=of["JobIDRaw"].strip(),
        array_id=job_id.partition("_")[0] if task else None,
        task_id=task,
        name=of["JobName"],
        user=values.text(of["User"]),
        node=nodes[0] if nodes else None,
    )
    out = values.text(of.get("StdOut", ""))
    err = values.text(of.get("StdErr", "")) or out
    return Job(
        job_id=job_id,
        array_task=task.strip("[]") if task else None,
        name=of["JobName"],
        user=values.text(of["User"]),
        partition=values.text(of["Partition"]),
        state=state,
        reason_text=outcome(state, code, by),
        nodes=nodes,
        cpus=values.whole(of["AllocCPUS"]) or values.whole(of["ReqCPUS"]),
        memory_mib=memory,
        gres=gres,
        submit_time=values.moment(of["Submit"]),
        start_time=values.moment(of["Start"]),
        end_time=values.moment(of["End"]),
        time_limit_s=None if limit is None else limit * 60,
        time_used_s=values.whole(of["ElapsedRaw"]),
        exit_code=code,
        stdout=fill(out) if out else None,
        stderr=fill(err) if err else None,
        account=values.text(of["Account"]),
        qos=values.text(of["QOS"]),
        priority=values.whole(of["Priority"]),
        work_dir=values.text(of["WorkDir"]),
        source="sacct",
    )
