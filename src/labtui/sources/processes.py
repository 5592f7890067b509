"""Whose a process is, from what /proc says of it: a Slurm job's, a pod's, or nobody's.

Pure: the same for the processes of this machine and for those that a script told of another.
Slurm and the kubelet name the control group of what they start; where Slurm keeps none
(proctrack/linuxproc), its slurmstepd is found among the parents, and carries the job in its title.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from labtui.model import GpuProcess
from labtui.sources.node import TICKS
from labtui.text import inert

_JOB = re.compile(
    r"(?:/(?:[^/]+_)?slurmstepd\.scope|/slurm(?:_[^/]+)?/uid_\d+)/job_(\d{1,10})(?=/|$)"
)
"""Slurm's cgroup/v2 (the scope may begin with the node's name) and cgroup/v1. An array's task has
its own number here, as in `JobId`, not `ARRAY_TASK`."""
_UID = r"[0-9a-f]{8}(?:[_-]?[0-9a-f]{4}){3}[_-]?[0-9a-f]{12}"
_POD = re.compile(rf"/[^/]*kubepods[^:]*?[/-]pod({_UID})(?=[./:]|$)")
"""Both of the kubelet's drivers: systemd writes the pod's UID with `_`. Of a static pod it is 32
digits, which are not its UID in Kubernetes."""
_DELEGATED = re.compile(r"/user\.slice/")
"""Below it people make and name groups of their own."""
_STEPD = re.compile(r"slurmstepd: \[(\d{1,10})\.[^\]]*\]")
_PARENTS = 64
"""How far up the tree is looked."""


class Status(NamedTuple):
    """Of /proc/PID/status; `uid` is the real one."""

    name: str
    parent: int
    uid: int


class Ancestor(NamedTuple):
    name: str
    uid: int
    title: str
    """Its command line; empty where nobody asked."""


class Facts(msgspec.Struct, frozen=True):
    """What /proc says of one process; empty where it could not be read."""

    pid: int
    cgroup: str = ""
    """/proc/PID/cgroup."""
    stat: str = ""
    """/proc/PID/stat."""
    status: Status | None = None
    parents: tuple[Ancestor, ...] = ()
    """The nearest first."""


def owner(cgroup: str, parents: Iterable[Ancestor] = ()) -> dict[str, str]:
    """The fields of a GpuProcess that tell whose it is: `job_id`, `pod_uid`, `via`; or none.

    A job of a Slurm that runs in pods has both.
    """
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        job, pod = _JOB.search(path), list(_POD.finditer(path))
        if job and not _DELEGATED.search(path[: job.start() + 1]):
            found["job_id"] = job[1]
        if pod:
            found["pod_uid"] = _uid(pod[-1][1])
    if found:
        return {**found, "via": "cgroup"}
    for parent in parents:
        title = _STEPD.match(parent.title)
        # A title can be written by anybody: only root's counts.
        if parent.name == "slurmstepd" and parent.uid == 0 and title:
            return {"job_id": title[1], "via": "slurmstepd"}
    return {}


def _uid(text: str) -> str:
    digits = text.replace("_", "").replace("-", "")
    if len(text) == len(digits):
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def status(text: str) -> Status | None:
    """/proc/PID/status, or its lines Name, PPid and Uid."""
    found = dict(re.findall(r"^(Name|PPid|Uid):\t(.*)$", text, re.MULTILINE))
    parent, uid = found.get("PPid", ""), found.get("Uid", "").split("\t")[0]
    if not (re.fullmatch(r"\d{1,10}", parent) and re.fullmatch(r"\d{1,10}", uid)):
        return None
    return Status(inert(found.get("Name", ""), 64), int(parent), int(uid))


def started(stat: str, boot: float | None) -> float | None:
    """Unix seconds of its start; `boot` is btime of /proc/stat. The name in it may hold anything,
    also a `)`."""
    fields = stat.rpartition(")")[2].split()
    if boot is None or len(fields) < 20 or not re.fullmatch(r"\d{1,15}", fields[19]):
        return None
    return boot + int(fields[19]) / TICKS


def boot_time(stat: str) -> float | None:
    """btime of /proc/stat."""
    hit = re.search(r"^btime (\d{1,12})$", stat, re.MULTILINE)
    return float(hit[1]) if hit else None


def described(
    process: GpuProcess, facts: Facts | None, boot: float | None, users: Mapping[int, str]
) -> GpuProcess:
    """The process with its owner, user, start and name. Where /proc told nothing (another pid
    namespace, hidepid), `since` stays None: then nobody knows that it is nobody's."""
    if facts is None:
        return process
    whose = owner(facts.cgroup, facts.parents)
    seen = facts.status
    user = None if seen is None else users.get(seen.uid, str(seen.uid))
    return structs.replace(
        process,
        name=process.name or (seen.name or None if seen else None),
        user=inert(user, 64) if user else None,
        since=started(facts.stat, boot),
        job_id=whose.get("job_id"),
        pod_uid=whose.get("pod_uid"),
        via=whose.get("via"),
    )


# ---- this machine


def here(processes: Iterable[GpuProcess], proc: Path = Path("/proc")) -> list[GpuProcess]:
    """Processes of this machine with their owners. Reads /proc; never raises."""
    boot = boot_time(_read(proc / "stat"))
    found = []
    for process in processes:
        facts = _facts(process.pid, proc)
        users = {} if facts.status is None else _user(facts.status.uid)
        found.append(described(process, facts, boot, users))
    return found


def _facts(pid: int, proc: Path) -> Facts:
    folder = proc / str(pid)
    seen, cgroup = status(_read(folder / "status")), _read(folder / "cgroup")
    parents: list[Ancestor] = []
    above = seen
    while above is not None and above.parent > 1 and len(parents) < _PARENTS and not owner(cgroup):
        place = proc / str(above.parent)
        above = status(_read(place / "status"))
        if above is not None:
            title = _read(place / "cmdline") if above.name == "slurmstepd" else ""
            parents.append(Ancestor(above.name, above.uid, title.replace("\0", " ")))
    return Facts(pid, cgroup, _read(folder / "stat"), seen, tuple(parents))


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[:65536].decode("utf-8", "replace")
    except OSError:
        return ""


def _user(uid: int) -> dict[int, str]:
    try:
        return {uid: pwd.getpwuid(uid).pw_name}
    except (KeyError, OverflowError):
        return {}


# ---- another machine, by a script

SCRIPT = r"""
owners() {
  grep -s '^btime ' /proc/stat
  for pid in "$@"; do
    printf 'pid %s\n' "$pid"
    group=$(head -c 4096 "/proc/$pid/cgroup" 2>/dev/null)
    printf '%s\n' "$group" | sed 's/^/cgroup /'
    printf 'stat %s\n' "$(tr '\n\0' '  ' 2>/dev/null <"/proc/$pid/stat")"
    above=$pid; steps=0
    while [ "$above" -gt 1 ] 2>/dev/null && [ $steps -lt 64 ]; do
      about=$(grep -sE '^(Name|PPid|Uid):' "/proc/$above/status") || break
      printf '%s\n' "$about"
      case "$about" in Name:*slurmstepd*)
        printf 'title %s\n' "$(head -c 200 "/proc/$above/cmdline" 2>/dev/null | tr '\n\0' '  ')" ;;
      esac
      case "$group" in */job_[0-9]*|*kubepods*) break ;; esac
      above=$(printf '%s\n' "$about" | sed -n 's/^PPid:[^0-9]*//p'); steps=$((steps + 1))
    done
  done
  printf 'users\n'
  uids=$(for pid in "$@"; do grep -s '^Uid:' "/proc/$pid/status"; done | cut -f 2 | sort -u)
  [ -n "$uids" ] && timeout -s KILL 1 getent passwd $uids | cut -d : -f 1,3
}
"""
"""A shell function for scripts: `owners PID...` prints what `parse` reads. `$uids` are numbers."""


def parse(text: str) -> tuple[dict[int, Facts], float | None, dict[int, str]]:
    """What `owners` printed: pid -> facts, the time of the boot, uid -> user."""
    head, _, tail = text.partition("\nusers\n")
    users = {int(uid): name for name, uid in re.findall(r"^([^:\n]+):(\d{1,10})$", tail, re.M)}
    first, *blocks = re.split(r"^pid (\d{1,10})$", head, flags=re.MULTILINE)
    found: dict[int, Facts] = {}
    for pid, block in zip(blocks[::2], blocks[1::2], strict=True):
        lines = block.split("\n")
        cgroup = "\n".join(line[7:] for line in lines if line.startswith("cgroup "))
        stat = next((line[5:] for line in lines if line.startswith("stat ")), "")
        people = [
            (status(part), re.search(r"^title (.*)$", part, re.MULTILINE))
            for part in re.split(r"^(?=Name:\t)", block, flags=re.MULTILINE)[1:]
        ]
        found[int(pid)] = Facts(
            int(pid),
            cgroup,
            stat,
            people[0][0] if people else None,
            tuple(
                Ancestor(seen.name, seen.uid, title[1] if title else "")
                for seen, title in people[1:]
                if seen is not None
            ),
        )
    return found, boot_time(first), users
