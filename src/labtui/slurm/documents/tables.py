"""squeue's and sinfo's own tables: columns with a heading, apart by marks or in fixed places.

`squeue -o "%i|%j"` and `-O JobID:|,Name:|` are apart by `|` (or \\x1f); other forms have fixed
places, in which names are cut off (`places`). A column that stands for no field is left out. What
a heading does not tell is not known.

Whoever names a job can write marks and new lines into it, and so a row: only marks that nobody
knows, at each line's end too, are safe from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from labtui.slurm import settings, values
from labtui.slurm.core.job.job import Job, Jobs
from labtui.slurm.core.job.util import dependency_str_to_dict
from labtui.slurm.core.node import Node, Nodes
from labtui.slurm.documents import Document, places
from labtui.slurm.documents import job as job_documents
from labtui.slurm.documents import node as node_documents
from labtui.slurm.documents.marked import table
from labtui.slurm.documents.resources import tres
from labtui.slurm.errors import PyslurmError
from labtui.slurm.served import MOMENT, from_text

STATES = {
    "BF": "BOOT_FAIL", "CA": "CANCELLED", "CD": "COMPLETED", "CF": "CONFIGURING",
    "CG": "COMPLETING", "DL": "DEADLINE", "F": "FAILED", "NF": "NODE_FAIL", "OOM": "OUT_OF_MEMORY",
    "PD": "PENDING", "PR": "PREEMPTED", "R": "RUNNING", "RD": "RESV_DEL_HOLD",
    "RF": "REQUEUE_FED", "RH": "REQUEUE_HOLD", "RQ": "REQUEUED", "RS": "RESIZING",
    "RV": "REVOKED", "SI": "SIGNALING", "SE": "SPECIAL_EXIT", "SO": "STAGE_OUT",
    "ST": "STOPPED", "S": "SUSPENDED", "TO": "TIMEOUT",
}  # fmt: skip
"""squeue(1), "JOB STATE CODES"."""

# -- squeue ------------------------------------------------------------------------------------


def queue(document: Document) -> Jobs:
    """Jobs of squeue. A started array task whose own number is not shown is keyed `39_0`."""
    if not isinstance(document, str) or document.lstrip().startswith("JobId="):
        return job_documents.jobs(document)
    found = Jobs()
    for of in _columns(document, "JOBID", _queue):
        known, key = _job(of)
        job = Job.of(known)
        found.data.setdefault(str(job.cluster), {})[key] = job
    return found


def _queue(header: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """What people write must not decide how the table stands: the heading and the numbers do."""
    place = header.find("JOBID")
    raws = [line.encode(errors="replace") for line in lines]
    begins = header.endswith(" ") or all(raw[place : place + 1].strip() for raw in raws)
    form = places.left if begins and not header.startswith(" ") else places.right
    return form(header, lines)


_ID = re.compile(
    r"(\d{1,10})(?:_(?:(\d{1,10})|\[(?:([^%\]]*)(?:%(\d{1,10}))?\]|[^\]]*))|\+(\d{1,6}))?",
    re.ASCII,
)
"""`39`, `39_0`, `39_[4-7%2]`, one that squeue cut off, `39+1`"""
_READ: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ACCOUNT": ("account", values.text),
    "COMMENT": ("comment", values.text),
    "CPUS": ("cpus", values.whole),
    "DEPENDENCY": ("dependencies", lambda v: dependency_str_to_dict(values.text(v))),
    "END_TIME": ("end_time", MOMENT.text),
    "GROUP": ("group_name", values.text),
    "NAME": ("name", lambda v: v),
    "NICE": ("nice", lambda v: int(v) if re.fullmatch(r"-?\d{1,10}", v, re.ASCII) else None),
    "NODES": ("num_nodes", values.whole),
    "PARTITION": ("partition", values.text),
    "PRIORITY": ("priority", values.whole),
    "QOS": ("qos", values.text),
    "REASON": ("state_reason", values.text),
    "RESERVATION": ("reservation", values.text),
    "START_TIME": ("start_time", MOMENT.text),
    "STATE": ("state", lambda v: STATES.get(v, values.text(v))),
    "STDERR": ("standard_error", values.text),
    "STDOUT": ("standard_output", values.text),
    "SUBMIT_TIME": ("submit_time", MOMENT.text),
    "TIME_LIMIT": ("time_limit", values.minutes),
    "TRES_ALLOC": ("allocated_tres", tres),
    "USER": ("user_name", values.text),
    "WORK_DIR": ("working_directory", values.text),
}


def _job(of: dict[str, str]) -> tuple[dict[str, Any], Any]:
    words = [of["JOBID"].strip(), of.get(AGAIN, "").strip()]
    word = next((one for one in words if not one.isdigit() and one), words[0])
    parts = _ID.fullmatch(word)
    if parts is None:
        raise PyslurmError(f"{word[:40]!r} is no job's number")
    number, task, waiting, parallel, offset = parts.groups()
    known: dict[str, Any] = {
        name: read(of[key].strip()) for key, (name, read) in _READ.items() if key in of
    }
    state = of.get("ST", "").strip()
    if state:
        known["state"] = STATES.get(state, state)
    where = of.get("NODELIST(REASON)", "").strip()
    if where.startswith("("):
        known["state_reason"] = values.text(where.removeprefix("(").removesuffix(")"))
    elif "NODELIST" in of or where:
        known["allocated_nodes"] = values.text(where or of["NODELIST"])
    own = next((values.whole(one) for one in words if one.isdigit()), None)
    if own is None and task is None and offset is None:
        own = int(number)  # of tasks that wait together; others have numbers of their own
    key: Any = word if own is None else own
    if own is not None:
        known["id"] = own
    if "_" in word:
        known |= {"array_id": int(number), "array_task_id": values.whole(task or "")}
        known |= {"array_tasks_waiting": waiting}
        known |= {"array_tasks_parallel": values.whole(parallel or "")}
    if offset is not None:
        known |= {"heterogeneous_id": int(number), "heterogeneous_offset": int(offset)}
    return known, key


# -- sinfo -------------------------------------------------------------------------------------

_SUFFIXES = {
    "*": "NOT_RESPONDING", "~": "POWERED_DOWN", "#": "POWERING_UP", "%": "POWERING_DOWN",
    "$": "MAINTENANCE", "@": "REBOOT_REQUESTED", "^": "REBOOT_ISSUED", "!": "POWER_DOWN",
    "-": "PLANNED",
}  # fmt: skip
"""sinfo(1), "NODE STATE CODES"."""
_SHORT = {
    "ALLOC": "ALLOCATED", "COMP": "COMPLETING", "DRAIN": "IDLE+DRAIN", "DRAINED": "IDLE+DRAIN",
    "DRNG": "DRAINING", "FAILG": "FAILING", "FUTR": "FUTURE", "MAINT": "MAINTENANCE",
    "MIX": "MIXED", "PLND": "PLANNED", "RESV": "RESERVED", "UNK": "UNKNOWN", "INVAL": "INVALID",
}  # fmt: skip
_KEYS = {
    "MEMORY": "RealMemory", "FREE_MEM": "FreeMem", "ALLOCMEM": "AllocMem", "GRES": "Gres",
    "WEIGHT": "Weight", "VERSION": "Version", "CPU_LOAD": "CPULoad", "PORT": "Port",
    "AVAIL_FEATURES": "AvailableFeatures", "AVAIL_FE": "AvailableFeatures",
    "ACTIVE_FEATURES": "ActiveFeatures", "SOCKETS": "Sockets", "CORES": "CoresPerSocket",
    "THREADS": "ThreadsPerCore", "TMP_DISK": "TmpDisk", "NODE_ADDR": "NodeAddr",
    "HOSTNAMES": "NodeHostName", "COMMENT": "Comment", "EXTRA": "Extra", "USER": "ReasonUser",
    "TIMESTAMP": "ReasonTime", "CPUS": "CPUTot",
}  # fmt: skip
"""sinfo's heading, and scontrol's name of the same."""


def nodes(document: Document, cluster: str | None = None) -> Nodes:
    """Nodes of sinfo; of a line for several nodes what holds for each of them."""
    if not isinstance(document, str) or document.lstrip().startswith("NodeName="):
        return node_documents.nodes(document, cluster)
    name = cluster or settings.local_cluster()
    found = Nodes()
    for of in _columns(document, "NODELIST", _sinfo):
        if len(of["NODELIST"].split()) != 1:
            raise PyslurmError("a line does not fit its heading")
        for host in values.nodes(of["NODELIST"].strip()):
            node = Node.of(_node(of, host))
            node.cluster = name
            before = found.data.setdefault(name, {}).setdefault(host, node)
            if before is not node:
                more = (p for p in node.partitions if p not in before.partitions)
                before.partitions.extend(more)
    return found


def _sinfo(header: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """Its own tables have columns that begin and such that end with their headings."""
    try:
        return iter(list(places.left(header, lines)))
    except PyslurmError:
        return places.words(header, lines)


def _node(of: dict[str, str], host: str) -> dict[str, Any]:
    single = host == of["NODELIST"].strip()
    told = {_KEYS[key]: value.strip() for key, value in of.items() if key in _KEYS}
    if not single:  # the addresses and figures of several
        for key in ("NodeAddr", "NodeHostName", "AllocMem", "FreeMem"):
            told.pop(key, None)
    told["NodeName"] = host
    told["Partitions"] = of.get("PARTITION", "").strip().rstrip("*")
    reason = of.get("REASON", "").strip()
    if reason != "none":
        told["Reason"] = reason
    shape = re.fullmatch(r"(\d+):(\d+):(\d+)", of.get("S:C:T", "").strip(), re.ASCII)
    if shape:
        told |= {"Sockets": shape[1], "CoresPerSocket": shape[2], "ThreadsPerCore": shape[3]}
    used = re.fullmatch(r"(\d+)/\d+/\d+/(\d+)", of.get("CPUS(A/I/O/T)", "").strip(), re.ASCII)
    if used and single:
        told |= {"CPUAlloc": used[1], "CPUTot": used[2]}
    state = (of.get("STATECOMPLETE") or of.get("STATE") or "").strip()
    return from_text(Node, told) | {"state": _state(state)}


def _state(word: str) -> str | None:
    flags: list[str] = []
    while word[-1:] in _SUFFIXES:
        flags.insert(0, _SUFFIXES[word[-1]])
        word = word[:-1]
    base, *more = word.upper().split("+")
    return "+".join([_SHORT.get(base, base), *more, *flags]) if base else None


AGAIN = "JOBID again"
"""squeue has one heading for `%i` and `%A`."""

# -- columns -----------------------------------------------------------------------------------


def _columns(
    text: str, needed: str, apart: Callable[[str, list[str]], Iterator[dict[str, str]]]
) -> Iterator[dict[str, str]]:
    """The records of a table. PyslurmError for what is none."""
    lines = [line for line in text.split("\n") if line.strip()]
    # `sinfo -l` tells the time first.
    head = next((n for n, line in enumerate(lines[:2]) if needed in line.upper()), None)
    if head is None:
        if lines:
            raise PyslurmError(f"the first line has no heading {needed}")
        return
    rest = lines[head:]
    if "|" in rest[0] or "\x1f" in rest[0]:
        again = re.sub(r"\bJOBID\b(.*?)\bJOBID\b", rf"JOBID\1{AGAIN}", rest[0], count=1)
        yield from table("\n".join([again, *rest[1:]]) + "\n")
    else:
        yield from apart(rest[0], rest[1:])
