"""sbatch's options as data: names, what each takes, how its text is checked, one line of help.

The names are those of `sbatch --help` of Slurm 22.05, 24.11 and 25.11. What says how sbatch itself
is run (--parsable, --test-only, --wrap, --wait, --quiet) is no part of a script.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec

from labtui.slurm import values

Check = Callable[[str], str | None]
"""What is wrong with a text and what to write instead; None when sbatch takes it."""


class Option(msgspec.Struct, frozen=True):
    name: str
    """`cpus-per-task`: the long name."""
    help: str
    short: str = ""
    takes: Literal["text", "nothing", "maybe"] = "text"
    """`maybe`: it may stand alone, its value comes with `=`."""
    check: Check | None = None
    choices: tuple[str, ...] = ()
    """Words that it knows; for completion, and for `check` where it is `_choice`."""


def _whole(text: str) -> str | None:
    if (values.whole(text) or 0) < 1:
        return f"{text!r} is not a whole number of 1 or more"
    return None


def _number(text: str) -> str | None:
    if values.whole(text.removeprefix("-")) is None:
        return f"{text!r} is not a whole number"
    return None


def _size(text: str) -> str | None:
    if values.mib(text) is None:
        return f"{text!r} is not a size; write 512M, 8G or 1T"
    return None


def _time(text: str) -> str | None:
    if text.upper() in ("UNLIMITED", "INFINITE") or values.minutes(text) is not None:
        return None
    return f"{text!r} is not a time; write 30, 4:00:00 or 1-12:00:00"


_COUNT = re.compile(r"[0-9]{1,9}[km]?(-[0-9]{1,9}[km]?)?(:[0-9]{1,9})?\Z", re.IGNORECASE)


def _nodes(text: str) -> str | None:
    """`2`, `2-4`, `1-8:2`, and since 23.11 a list of counts."""
    if all(_COUNT.match(part) for part in text.split(",")) and not re.match(r"0+\Z", text):
        return None
    return f"{text!r} is not a number of nodes; write 2 or 2-4"


_TASKS = re.compile(r"[0-9]{1,9}(-[0-9]{1,9}(:[0-9]{1,9})?)?\Z")


def _array(text: str) -> str | None:
    tasks, percent, most = text.partition("%")
    fine = all(_TASKS.match(part) for part in tasks.strip("[]").split(","))
    if fine and (not percent or (values.whole(most) or 0) > 0):
        return None
    return f"{text!r} is no array; write 0-9, 1,3,7 or 0-99%4 (4 at once)"


_AFTER = re.compile(
    r"(?:after(?:any|ok|notok|corr|burstbuffer)?:[0-9]{1,10}(?:_[0-9]{1,9}|_\*)?(?:\+[0-9]{1,9})?"
    r"(?::[0-9]{1,10}(?:_[0-9]{1,9}|_\*)?(?:\+[0-9]{1,9})?)*(?:\?)?|singleton|expand:[0-9]{1,10})\Z"
)
AFTER = ("afterok", "afterany", "afternotok", "after", "aftercorr", "singleton")


def _after(text: str) -> str | None:
    if all(_AFTER.match(part) for part in re.split(r"[,?]", text)):
        return None
    return f"{text!r} is no dependency; write 1429, 1429 any or afterok:1429:1430"


_WHEN = re.compile(
    r"(?:now|today|midnight|noon|teatime|fika|tomorrow|elevenses)?"
    r"(?:\+[0-9]{1,9}(?:second|minute|hour|day|week|month|year)?s?)?\Z"
)
_DATE = re.compile(
    r"(?:[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}[./][0-9]{1,2}(?:[./][0-9]{2,4})?|[0-9]{6,8})?"
    r"(?:[T -]?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:[ap]m)?)?\Z",
    re.IGNORECASE,
)


def _when(text: str) -> str | None:
    if _WHEN.match(text.lower()) or _DATE.match(text) or re.match(r"uts[0-9]+\Z", text):
        return None
    return f"{text!r} is not a moment; write now+1hour, 20:30 or 2026-11-24T08:00"


def _mail(text: str) -> str | None:
    unknown = [word for word in text.upper().split(",") if word not in MAIL]
    return f"{unknown[0]!r} is no event; there are {', '.join(MAIL[:6])}, ..." if unknown else None


MAIL = ("END", "FAIL", "BEGIN", "ALL", "NONE", "REQUEUE", "INVALID_DEPEND", "STAGE_OUT",
        "TIME_LIMIT", "TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50", "ARRAY_TASKS")  # fmt: skip

_SIGNAL = re.compile(
    r"(?:R?B?R?:)?(?:SIG)?(?:HUP|INT|QUIT|ABRT|KILL|USR[12]|ALRM|TERM|CHLD|CONT|STOP|TSTP|TTIN|TTOU"
    r"|URG|XCPU|[0-9]{1,2})(?:@[0-9]{1,5})?\Z",
    re.IGNORECASE,
)


def _signal(text: str) -> str | None:
    if _SIGNAL.match(text):
        return None
    return f"{text!r} is no signal; write USR1@120 or B:TERM@60"


_GPUS = re.compile(r"(?:[A-Za-z_][\w.-]*:)?[0-9]{1,9}[km]?\Z", re.IGNORECASE)


def _gpus(text: str) -> str | None:
    if all(_GPUS.match(part) for part in text.split(",")):
        return None
    return f"{text!r} is no number of GPUs; write 2 or a100:2"


_GRES = re.compile(
    r"(?:gres[:/])?[A-Za-z_][\w./-]*(?::[A-Za-z_][\w.-]*)?(?:[:=][0-9]{1,12}[kmg]?)?\Z"
)


def _gres(text: str) -> str | None:
    if text == "NONE" or all(_GRES.match(part) for part in text.split(",")):
        return None
    return f"{text!r} is no resource; write gpu:2, gpu:jetson:1 or shard:4"


def _choice(*words: str) -> Check:
    def check(text: str) -> str | None:
        if text.lower() in words:
            return None
        return f"{text!r} is none of {', '.join(words)}"

    return check


def _o(
    name: str, short: str, help: str, check: Check | None = None, *choices: str
) -> tuple[str, Option]:
    return name, Option(name, help, short, "text", check, choices)


def _flag(name: str, short: str, help: str) -> tuple[str, Option]:
    return name, Option(name, help, short, "nothing")


def _maybe(
    name: str, short: str, help: str, check: Check | None = None, *choices: str
) -> tuple[str, Option]:
    return name, Option(name, help, short, "maybe", check, choices)


_OPEN = ("append", "truncate")
_HINTS = ("compute_bound", "memory_bound", "multithread", "nomultithread")

OPTIONS: dict[str, Option] = dict((
    # what a job is and where it goes
    _o("job-name", "J", "what the queue calls it"),
    _o("partition", "p", "which machines; several with commas: the first that is free"),
    _o("account", "A", "whose share it is charged to"),
    _o("qos", "q", "quality of service: its priority and limits"),
    _o("reservation", "", "inside a reservation, by its name"),
    # how much
    _o("nodes", "N", "how many machines: 2, or 2-4", _nodes),
    _o("ntasks", "n", "processes in all, as srun starts them", _whole),
    _o("ntasks-per-node", "", "processes on each machine", _whole),
    _o("cpus-per-task", "c", "cores for each process", _whole),
    _o("mem", "", "memory on each machine: 512M, 8G; 0 is all of it", _size),
    _o("mem-per-cpu", "", "memory for each core, instead of memory", _size),
    _o("gres", "", "how many GPUs on each machine, or gpu:TYPE:N, shard:N", _gres),
    _o("gpus", "G", "GPUs in all, wherever they are: 4, a100:4", _gpus),
    _o("time", "t", "it is ended after: 30 (minutes), 4:00:00, 1-12:00:00", _time),
    _o("time-min", "", "let Slurm shorten its time to this to start it earlier", _time),
    _o("array", "a", "one job many times: 0-9, or 0-99%4 (4 at once)", _array),
    # when
    _o("dependency", "d", "after which job: 1429 ok, any, failed or started", _after, *AFTER),
    _o("begin", "b", "not before: now+1hour, 20:30, 2026-11-24T08:00", _when, "now+1hour"),
    _o("deadline", "", "drop it when it cannot end by then: 2026-11-24T08:00", _when),
    _flag("hold", "H", "it waits until it is released"),
    _maybe("nice", "", "let others go first: 0 to 2147483645, more is later", _number),
    _o("priority", "", "its priority, for operators of Slurm", _number),
    # where
    _o("constraint", "C", "features that its machines must have: avx512&ssd"),
    _o("nodelist", "w", "these machines must be among its own"),
    _o("exclude", "x", "not these machines"),
    _maybe("exclusive", "", "no other job on its machines; or user", None, "user", "mcs", "topo"),
    _o("licenses", "L", "licences that it takes: matlab:2"),
    # files
    _o("chdir", "D", "the folder where it runs"),
    _o("output", "o", "its output's file; %j is the job's id, %A_%a an array's"),
    _o("error", "e", "a file of its own for errors; else with the output"),
    _o("input", "i", "what it reads on standard input"),
    _o("open-mode", "", "append to its files or truncate them", _choice(*_OPEN), *_OPEN),
    # what is told, what it gets
    _o("mail-type", "", "when mail is sent: END,FAIL", _mail, *MAIL),
    _o("mail-user", "", "to whom mail is sent; else to you"),
    _o("comment", "", "a remark that stays with the job"),
    _o("export", "", "variables it gets: ALL, NONE, ALL,STEPS=100", None, "ALL", "NONE", "NIL"),
    _o("signal", "", "warn it before its time is up: B:USR1@120", _signal, "B:USR1@120"),
    _flag("requeue", "", "start it again when a machine fails"),
    _flag("no-requeue", "", "never start it again"),
    _maybe("no-kill", "k", "go on when one of its machines fails", None, "off"),
    # the rest of sbatch
    _o("gpus-per-node", "", "GPUs on each machine: 2, a100:2", _gpus),
    _o("gpus-per-task", "", "GPUs for each process", _gpus),
    _o("gpus-per-socket", "", "GPUs on each socket", _gpus),
    _o("cpus-per-gpu", "", "cores for each GPU", _whole),
    _o("mem-per-gpu", "", "memory of the machine for each GPU", _size),
    _o("ntasks-per-gpu", "", "processes for each GPU", _whole),
    _o("gpu-bind", "", "which process uses which GPU: closest, single:1", None,
       "closest", "none", "single:1"),
    _o("gpu-freq", "", "GPU clocks: low, medium, high, highm1, or MHz"),
    _o("gres-flags", "", "how GPUs and cores go together", None,
       "enforce-binding", "disable-binding", "multiple-tasks-per-sharing", "one-task-per-sharing"),
    _o("tres-bind", "", "which process uses which resource (since 23.11)"),
    _o("tres-per-task", "", "resources for each process (since 23.11): cpu:2,gres/gpu:1"),
    _o("mincpus", "", "cores that each machine must have for it", _whole),
    _o("tmp", "", "room in /tmp on each machine", _size),
    _o("ntasks-per-core", "", "at most so many processes a core", _whole),
    _o("ntasks-per-socket", "", "at most so many processes a socket", _whole),
    _o("sockets-per-node", "", "machines with at least so many sockets", _whole),
    _o("cores-per-socket", "", "sockets with at least so many cores", _whole),
    _o("threads-per-core", "", "threads of each core that it uses", _whole),
    _o("extra-node-info", "B", "sockets, cores, threads at once: 2:8:1"),
    _o("distribution", "m", "how processes are dealt to machines", None,
       "block", "cyclic", "plane=2", "arbitrary", "block:block", "cyclic:cyclic"),
    _o("hint", "", "what it is bound by", _choice(*_HINTS), *_HINTS),
    _o("mem-bind", "", "how memory is bound: local, none", None, "local", "none", "rank"),
    _o("core-spec", "S", "cores left to the system", _number),
    _o("thread-spec", "", "threads left to the system", _number),
    _o("cpu-freq", "", "core clocks: low, medium, high, performance, or kHz"),
    _flag("overcommit", "O", "more processes than cores"),
    _flag("oversubscribe", "s", "its cores may be shared with other jobs"),
    _flag("contiguous", "", "machines that are neighbours"),
    _flag("spread-job", "", "over as many machines as can be"),
    _flag("use-min-nodes", "", "of a range of machines rather the fewest"),
    _o("switches", "", "behind at most so many switches: 1@0:30"),
    _o("segment", "", "machines in blocks of so many (since 24.11)", _whole),
    _o("network", "", "what the network plugin is asked for"),
    _o("nodefile", "F", "a file that lists its machines"),
    _o("prefer", "", "features that it rather has: constraint, but no must"),
    _o("cluster-constraint", "", "features of the cluster, in a federation"),
    _o("clusters", "M", "which clusters may take it"),
    _o("container", "", "an OCI container's bundle, by its path"),
    _o("container-id", "", "an OCI container's id (since 23.02)"),
    _o("bb", "", "burst buffer, as one line"),
    _o("bbf", "", "burst buffer, as a file"),
    _o("profile", "", "what is recorded: task, energy, network, all", None,
       "all", "none", "task", "energy", "lustre", "network"),
    _o("acctg-freq", "", "seconds between two samples: task=30", None, "task=30"),
    _maybe("propagate", "", "your own limits that it gets: ALL, NONE, NOFILE", None,
           "ALL", "NONE", "NOFILE", "STACK"),
    _o("export-file", "", "a file of variables that it gets"),
    _maybe("get-user-env", "", "a login shell's environment"),
    _o("wait-all-nodes", "", "1: start when all its machines have booted", _choice("0", "1")),
    _o("delay-boot", "", "minutes until a machine is booted for its features", _time),
    _flag("reboot", "", "boot its machines anew first"),
    _o("kill-on-invalid-dep", "", "yes: gone when what it waits for failed",
       _choice("yes", "no"), "yes", "no"),
    _maybe("oom-kill-step", "", "1: out of memory ends the whole step (since 23.11)",
           _choice("0", "1"), "0", "1"),
    _maybe("resv-ports", "", "ports for MPI that are its own (since 24.05)", _number),
    _flag("stepmgr", "", "its steps are kept on its machine, not by slurmctld (since 24.05)"),
    _o("power", "", "power management: level"),
    _o("wckey", "", "a workload's key, for the accounting"),
    _o("mcs-label", "", "its security group"),
    _o("extra", "", "text for a site's own plugin (since 23.11)"),
    _o("gid", "", "run as this group (root only)"),
    _o("uid", "", "run as this user (root only)"),
    _flag("ignore-pbs", "", "#PBS and #BSUB lines do not count"),
))  # fmt: skip
"""In the order in which a script lists them."""

SHORT: dict[str, str] = {o.short: o.name for o in OPTIONS.values() if o.short}
RUNS_SBATCH = frozenset(
    {"parsable", "test-only", "wrap", "wait", "quiet", "verbose", "help", "usage", "version"}
)
"""How sbatch is run: allowed in a script, yet no part of what a job is."""


def full_name(name: str) -> str | None:
    """The option that a possibly shortened long name means (`--part` is `--partition`); None
    where there is none, or more than one."""
    if name in OPTIONS or name in RUNS_SBATCH:
        return name
    found = [known for known in (*OPTIONS, *RUNS_SBATCH) if name and known.startswith(name)]
    return found[0] if len(found) == 1 else None
