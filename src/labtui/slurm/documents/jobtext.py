"""The text of `scontrol -d show job`, for Slurm before 23.02, which has no JSON of it.

Its form cannot hold what people write: a name may imitate a whole record. So whoever knows the
names from elsewhere (squeue with its own separators) gives them here, as `Known`; without them a
record that is not certain gives only its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from labtui.slurm import values
from labtui.slurm.core.job.util import dependency_str_to_dict, mail_words
from labtui.slurm.documents.resources import tres
from labtui.slurm.fields import exit_status, flag
from labtui.slurm.fields import moment as when
from labtui.slurm.utils.cstr import to_gres_dict


class Known(msgspec.Struct, frozen=True):
    """What people wrote into a job, from a source that cannot be imitated."""

    name: str
    comment: str | None = None


_START = re.compile(r"^JobId=(\d{1,10}) ", re.ASCII | re.MULTILINE)
_HEAD = re.compile(
    r"JobId=\d{1,10} "
    r"(?:ArrayJobId=(?P<array>\d{1,10}) (?:ArrayTaskId=(?P<task>[\d,:%\[\]-]+) )?"
    r"(?:ArrayTaskThrottle=(?P<throttle>\d{1,10}) )?)?"
    r"(?:HetJobId=(?P<het>\d{1,10}) HetJobOffset=(?P<offset>\d{1,10}) )?JobName=",
    re.ASCII,
)
_BODY = re.compile(
    r"\n   (?:(?:HetJobIdSet|SLUID)=\S+\n   )*"
    r"(?=UserId=[^\n]*\(\d+\) GroupId=[^\n]*\(\d+\) MCS_label=)",
    re.ASCII,
)
_TAIL = "\n   Command="


def jobs(text: str, known: Mapping[int, Known] | None = None) -> list[dict[str, Any]]:
    """PySlurm's values of each job. Where several records claim to be the same job, somebody made
    some of them up: only the id is certain."""
    told: dict[int, list[dict[str, Any]]] = {}
    for record in dict.fromkeys(records(text, known)):
        one = from_text(record)
        told.setdefault(one["id"], []).extend([one] if len(one) > 1 else [])
    return [own[0] if len(own) == 1 else {"id": number} for number, own in told.items()]


def records(
    text: str, known: Mapping[int, Known] | None = None
) -> Iterator[tuple[str, Known | None]]:
    """Each record with what is known of it.

    Where a record is not whole before the next one begins, either's beginning may be somebody's
    words: of both only the beginnings are given.
    """
    known = known or {}
    text, starts = _starts(text)
    at, doubtful = 0, False
    while at < len(starts):
        about = known.get(int(starts[at][1]))
        behind = _behind(text, starts, at, about)
        if behind is None or (doubtful and about is None):
            yield starts[at][0], None
            at, doubtful = at + 1, behind is None
        else:
            end = starts[behind].start() if behind < len(starts) else len(text)
            yield text[starts[at].start() : end].rstrip("\n"), about
            at, doubtful = behind, False


def _starts(text: str) -> tuple[str, list[re.Match[str]]]:
    """The text with a line a key, and where records seem to begin.

    A record on several lines ends with an empty one; one on one line (`scontrol -o`) does not.
    """
    if 2 * text.count("\n   UserId=") < text.count(" UserId="):
        text = _NODE_STARTS.sub("\n     ", _LINE_STARTS.sub("\n   ", text))
        return text, list(_START.finditer(text))
    found = list(_START.finditer(text))
    apart = [one for one in found[1:] if text.startswith("\n\n", one.start() - 2)]
    return text, [*found[:1], *apart]


def _behind(text: str, starts: list[re.Match[str]], at: int, about: Known | None) -> int | None:
    """Which start is the first one behind a record; None where that is not certain."""
    least = starts[at].end()
    if about is not None:
        head = _HEAD.match(text, starts[at].start())
        if head is None or not text.startswith(about.name, head.end()):
            return None
        least = head.end() + len(about.name)
        if _BODY.match(text, least) is None:
            return None
        if about.comment and "JobId=" in about.comment:
            least = text.find(f"\n   Comment={about.comment}", least) + 1
            if not least:
                return None
            least += len(about.comment)
    behind = at + 1
    while behind < len(starts) and starts[behind].start() < least:
        behind += 1
    end = starts[behind].start() if behind < len(starts) else len(text)
    return behind if about or _BODY.search(text, least, end) else None


_LINE_STARTS = re.compile(
    r" +(?=(?:HetJobIdSet|SLUID|UserId|Priority|JobState|Requeue|DerivedExitCode|RunTime"
    r"|SubmitTime|AccrueTime|StartTime|Deadline|SuspendTime|Partition|ReqNodeList|NodeList|BatchHost|NumNodes|ReqTRES"
    r"|AllocTRES|TRES|Socks/Node|JOB_GRES|MinCPUsNode|Features|OverSubscribe|Command|SubmitLine"
    r"|WorkDir|Comment|AdminComment|SystemComment|Extra|StdErr|StdIn|StdOut|TresPerJob|TresPerNode"
    r"|TresPerSocket|TresPerTask|MailUser|Power|Switches)=)"
)
_NODE_STARTS = re.compile(r" +(?=Nodes=\S+ CPU_IDs=)")


def from_text(record: tuple[str, Known | None]) -> dict[str, Any]:
    """PySlurm's values of one record. ValueError for what is none."""
    text, known = record
    start, head = _START.match(text), _HEAD.match(text)
    if start is None:
        raise ValueError("a job without an id")
    found: dict[str, Any] = {"id": int(start[1])}
    if head is None:
        return found
    rest = text[head.end() :]
    bodies = [m.start() for m in _BODY.finditer(rest)]
    if known is not None:
        if not rest.startswith(known.name) or not _BODY.match(rest, len(known.name)):
            return found
        name, rest = known.name, rest[len(known.name) :]
    elif len(bodies) == 1:
        name, rest = rest[: bodies[0]], rest[bodies[0] :]
    else:
        return found
    body, _, tail = rest.partition(_TAIL)
    fixed = _pairs(body)
    if "JobState" not in fixed:
        return found
    found["name"] = name or None
    found |= {key: read(fixed[word]) for key, word, read in TABLE if word in fixed}
    found |= _derived(fixed)
    found |= _array(head)
    found |= _free(_TAIL + tail, known)
    found["_layout"] = _layout(body)
    return found


_KEY = re.compile(r"(?:^|(?<=\s))([A-Z][\w/:&]*)=")


def _pairs(block: str) -> dict[str, str]:
    """`Key=Value`; only a line's own keys, a value may hold spaces, and the first one wins."""
    found: dict[str, str] = {}
    for line in block.split("\n"):
        line = line.strip()
        hits = list(_KEY.finditer(line))
        ends = [hit.start() for hit in hits[1:]] + [len(line)]
        for hit, end in zip(hits, ends, strict=False):
            found.setdefault(hit[1], line[hit.end() : end].strip())
    return found


def _limit(value: str) -> int | None:
    seconds = values.seconds(value)
    return None if seconds is None else seconds // 60 or None


def _positive(value: str) -> int | None:
    """`2`, `1-4` (the least), `*` and 0 (None)."""
    return values.whole(value.partition("-")[0]) or None


def _most(value: str) -> int | None:
    _, dash, most = value.partition("-")
    return (values.whole(most) or None) if dash else None


def _signed(value: str) -> int | None:
    number = values.whole(value.removeprefix("-"))
    return None if number is None else -number if value.startswith("-") else number


def _number_in(value: str) -> int | None:
    """1001 of `labop(1001)`"""
    found = re.search(r"\((\d{1,10})\)$", value, re.ASCII)
    return int(found[1]) if found else None


def _name_in(value: str) -> str | None:
    return values.text(re.sub(r"\(\d+\)$", "", value))


def _list(value: str) -> list[str]:
    plain = values.text(value)
    return plain.split(",") if plain else []


def _delay(value: str) -> int | None:
    seconds = values.seconds(value)
    return None if not seconds else seconds // 60


TABLE: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("user_id", "UserId", _number_in),
    ("user_name", "UserId", _name_in),
    ("group_id", "GroupId", _number_in),
    ("group_name", "GroupId", _name_in),
    ("mcs_label", "MCS_label", values.text),
    ("priority", "Priority", values.whole),
    ("nice", "Nice", _signed),
    ("account", "Account", values.text),
    ("qos", "QOS", values.text),
    ("wckey", "WCKey", values.text),
    ("state", "JobState", values.text),
    ("state_reason", "Reason", lambda v: v or None),
    ("failed_node", "FailedNode", values.text),
    ("dependencies", "Dependency", lambda v: dependency_str_to_dict(values.text(v))),
    ("is_requeueable", "Requeue", flag),
    ("is_batch_job", "BatchFlag", flag),
    ("requires_node_reboot", "Reboot", flag),
    ("time_limit", "TimeLimit", _limit),
    ("time_limit_min", "TimeMin", _limit),
    ("submit_time", "SubmitTime", when),
    ("eligible_time", "EligibleTime", when),
    ("accrue_time", "AccrueTime", when),
    ("start_time", "StartTime", when),
    ("end_time", "EndTime", when),
    ("deadline", "Deadline", when),
    ("resize_time", "ResizeTime", when),
    ("preempt_eligible_time", "PreemptEligibleTime", when),
    ("preempt_time", "PreemptTime", when),
    ("suspend_time", "SuspendTime", when),
    ("pre_suspension_time", "SecsPreSuspend", _positive),
    ("last_sched_evaluation_time", "LastSchedEval", when),
    ("cronjob_time", "CrontabSpec", values.text),
    ("partition", "Partition", values.text),
    ("required_nodes", "ReqNodeList", values.text),
    ("excluded_nodes", "ExcNodeList", values.text),
    ("allocated_nodes", "NodeList", values.text),
    ("scheduled_nodes", "SchedNodeList", values.text),
    ("batch_host", "BatchHost", values.text),
    ("federation_origin", "FedOrigin", values.text),
    ("federation_siblings_viable", "FedViableSiblings", _list),
    ("federation_siblings_active", "FedActiveSiblings", _list),
    ("num_nodes", "NumNodes", _positive),
    ("max_nodes", "NumNodes", _most),
    ("min_cpus_per_node", "MinCPUsNode", _positive),
    ("memory_per_node", "MinMemoryNode", lambda v: values.mib(v) or None),
    ("memory_per_cpu", "MinMemoryCPU", lambda v: values.mib(v) or None),
    ("temporary_disk_per_node", "MinTmpDiskNode", lambda v: values.mib(v) or None),
    ("constraints", "Features", _list),
    ("cluster_constraints", "ClusterFeatures", _list),
    ("preferred_features", "Prefer", _list),
    ("delay_boot_time", "DelayBoot", _delay),
    ("reservation", "Reservation", values.text),
    ("resource_sharing", "OverSubscribe", values.text),
    ("requires_contiguous_nodes", "Contiguous", flag),
    ("licenses", "Licenses", _list),
    ("allocated_licenses", "LicensesAlloc", _list),
    ("network", "Network", values.text),
    ("ntasks_per_gpu", "NtasksPerTRES", _positive),
)
"""(PySlurm's name, scontrol's key, how it is read)"""


def _derived(of: dict[str, str]) -> dict[str, Any]:
    """What takes more than one key, or a key that holds several things."""
    found: dict[str, Any] = {}
    host, _, session = of.get("AllocNode:Sid", "").partition(":")
    found["submit_host"], found["submit_session_id"] = values.text(host), _positive(session)
    found["exit_code"], found["exit_code_signal"] = exit_status(of.get("ExitCode", ""))
    derived = exit_status(of.get("DerivedExitCode", ""))
    found["derived_exit_code"], found["derived_exit_code_signal"] = derived
    found["requeue_count"] = values.whole(of.get("Restarts", "")) or 0
    found["cpus"] = _positive(of.get("NumCPUs", "")) or 1
    found["ntasks"] = _positive(of.get("NumTasks", "")) or 1
    found["cpus_per_task"] = _positive(of.get("CPUs/Task", "")) or 1
    needs = of.get("ReqB:S:C:T", "").split(":")
    if len(needs) == 4:
        names = ("boards_per_node", "sockets_per_board", "cores_per_socket", "threads_per_core")
        found |= dict(zip(names, map(_positive, needs), strict=True))
    found["sockets_per_node"] = _positive(of.get("Socks/Node", ""))
    tasks = of.get("NtasksPerN:B:S:C", "").split(":")
    if len(tasks) == 4:
        names = ("ntasks_per_node", "ntasks_per_board", "ntasks_per_socket", "ntasks_per_core")
        found |= dict(zip(names, map(_positive, tasks), strict=True))
    spec = of.get("CoreSpec", "")
    found["cores_reserved_for_system"] = _positive(spec)
    found["threads_reserved_for_system"] = _positive(of.get("ThreadSpec", ""))
    # Until 22.05 one line says what it has, or else asks; later there are two.
    one = tres(of.get("TRES", ""))
    running = of.get("JobState") not in ("PENDING", None)
    found["allocated_tres"] = (
        tres(of["AllocTRES"]) if "AllocTRES" in of else one if running else None
    )
    found["requested_tres"] = tres(of["ReqTRES"]) if "ReqTRES" in of else one
    priced = (found["allocated_tres"] or found["requested_tres"]) if running else None
    if priced is not None and priced.billing is not None:
        found["billable_tres"] = float(priced.billing.count)
    return found


def _array(head: re.Match[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if head["het"]:
        found |= {"heterogeneous_id": int(head["het"]), "heterogeneous_offset": int(head["offset"])}
    if head["array"]:
        found["array_id"] = int(head["array"])
        task = head["task"] or ""
        found["array_task_id"] = values.whole(task)
        waiting = None if found["array_task_id"] is not None else task.partition("%")[0] or None
        found["array_tasks_waiting"] = waiting
        found["array_tasks_parallel"] = values.whole(head["throttle"] or "") or None
    return found


# Lines behind the fixed part: each holds one value, whatever is in it.
_LINES: tuple[tuple[str, str], ...] = (
    ("command", "Command"), ("submit_line", "SubmitLine"), ("working_directory", "WorkDir"),
    ("comment", "Comment"), ("admin_comment", "AdminComment"), ("extra", "Extra"),
    ("system_comment", "SystemComment"), ("standard_error", "StdErr"),
    ("standard_input", "StdIn"), ("standard_output", "StdOut"), ("container", "Container"),
    ("container_id", "ContainerID"), ("selinux_context", "SELinuxContext"),
    ("burst_buffer", "BurstBuffer"), ("burst_buffer_state", "BurstBufferState"),
)  # fmt: skip
_RESOURCES = (
    ("tres_per_job", "TresPerJob"), ("tres_per_node", "TresPerNode"),
    ("tres_per_socket", "TresPerSocket"), ("tres_per_task", "TresPerTask"),
)  # fmt: skip


def _free(tail: str, known: Known | None) -> dict[str, Any]:
    """The lines that people's words are on. One that comes twice is not certain: None."""
    found: dict[str, Any] = {}
    if known is not None and known.comment:
        tail = tail.replace(f"\n   Comment={known.comment}", "", 1)
        found["comment"] = known.comment
    lines: dict[str, list[str]] = {}
    for line in tail.split("\n   "):
        key, mark, value = line.partition("=")
        if mark and re.fullmatch(r"[A-Za-z]+", key):
            lines.setdefault(key, []).append(value)
    single = {key: held[0].strip() for key, held in lines.items() if len(held) == 1}
    for name, key in _LINES:
        if key in single:
            found[name] = values.text(single[key]) if single[key] else None
    found["standard_error"] = found.get("standard_error") or found.get("standard_output")
    for name, key in _RESOURCES:
        found[name] = tres(single.get(key, ""))
    found["gres_per_node"] = to_gres_dict(
        single.get("TresPerNode", "").replace("gres/", "") or None
    )
    mail = re.fullmatch(r"(.*) MailType=([A-Z0-9_,]+)", single.get("MailUser", ""))
    if mail:
        found["mail_user"], found["mail_types"] = _list(mail[1]), mail_words(mail[2].split(","))
    switches = re.fullmatch(r"(\d{1,9})@([\d:-]+)", single.get("Switches", ""), re.ASCII)
    if switches:
        found["required_switches"] = int(switches[1])
        found["max_wait_time_switches"] = values.seconds(switches[2])
    per_gpu = re.fullmatch(r"gres[:/]gpu:(\d{1,9})", single.get("CpusPerTres", ""), re.ASCII)
    if per_gpu:
        found["cpus_per_gpu"], found["cpus_per_task"] = int(per_gpu[1]), None
    memory = re.fullmatch(r"gres[:/]gpu:(\d{1,12})", single.get("MemPerTres", ""), re.ASCII)
    if memory:
        found["memory_per_gpu"] = int(memory[1])
    return found


_NODES = re.compile(
    r"^     Nodes=(\S+) CPU_IDs=(\S*) Mem=(\d+) GRES=(\S*)$", re.MULTILINE | re.ASCII
)


def _layout(body: str) -> dict[str, dict[str, Any]]:
    """CPUs, memory and generic resources by node, of `-d`."""
    found = {}
    for listed, cpus, memory, gres in _NODES.findall(body):
        for node in values.nodes(listed):
            parts = {"cpu_ids": cpus or None, "memory": int(memory), "gres": to_gres_dict(gres)}
            found[node] = parts
    return found
