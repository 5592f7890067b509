"""The queue screen: jobs that Slurm's controller knows, and those that only the accounting has."""

from __future__ import annotations

import time
from math import inf
from operator import attrgetter
from typing import Any

from labtui.config import Config
from labtui.model import ArrayJob, Job
from labtui.slurm import urgency
from labtui.slurm.script import PRIVATE_COMMENT
from labtui.slurm.urgency import FINISHED
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Store
from labtui.text import age, clock, inert, mib
from labtui.views import efficiency, waiting
from labtui.views.jobtable import JobTable, arrange
from labtui.views.partitions import limit

_ACTIVE = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING"})
_SHORT = {
    "COMPLETED": "done", "CANCELLED": "cancelled", "COMPLETING": "ending", "TIMEOUT": "timeout",
    "OUT_OF_MEMORY": "no memory", "NODE_FAIL": "node fail", "CONFIGURING": "starting",
    "SPECIAL_EXIT": "special",
}  # fmt: skip


_latest: tuple[object, object, JobTable] | None = None
"""The last table and what it was made of: the same readings are asked for again and again."""


def rows(store: Store, config: Config, now: float) -> JobTable:
    """All jobs, each once: squeue wins while slurmctld still knows one."""
    global _latest
    waiting.look(store, now)
    live, past = store.value("slurm.jobs"), store.value("slurm.finished")
    if _latest is None or _latest[0] is not live or _latest[1] is not past:
        _latest = (live, past, JobTable(live or [], past or []))
    return _latest[2]


def severity(job: Job) -> int:
    """3 failed lately, 2 waits for what will not come, 1 waits or runs, 0 is over."""
    return urgency.severity(job.state, job.reason, job.end_time)


def word(state: str) -> str:
    return _SHORT.get(state, state.lower().replace("_", " "))


def state_word(job: Job) -> str:
    return word(job.state)


def tone(job: Job) -> Tone:
    if job.state in _ACTIVE:
        return "ok"
    if (told := waiting.drawn(job)) and told.never:
        return "warn"
    return ("dim" if job.state in FINISHED else "", "", "warn", "crit")[severity(job)]


def why(job: Job) -> str:
    """Where it runs, why it waits, how it ended."""
    if isinstance(job, ArrayJob):
        return ", ".join(f"{count} {word(state)}" for state, count in job.tasks.items())
    if job.state == "PENDING":
        if job.reason == "BeginTime" and job.start_time:
            return f"begins {_when(job.start_time)}"
        if job.reason in ("Resources", "Priority") and job.start_time:
            return f"{job.reason_text}, ~{_when(job.start_time)}"
        return job.reason_text or ""
    if job.state in FINISHED and job.reason_text:
        return job.reason_text
    return place(job)


def shown_why(job: Job) -> str:
    """`why` of a row that is drawn: with figures, where they are known."""
    told = None if isinstance(job, ArrayJob) else waiting.drawn(job)
    return (told.short if told else "") or why(job)


def place(job: Job) -> str:
    if len(job.nodes) > 3:
        return f"{job.nodes[0]} and {len(job.nodes) - 1} more"
    return ",".join(job.nodes)


def spent(job: Job, now: float | None = None) -> float | None:
    """Seconds: run so far, or in all; of a waiting job, since it was submitted."""
    if job.state != "PENDING":
        return job.time_used_s
    return None if job.submit_time is None else max(0.0, (now or time.time()) - job.submit_time)


def _when(moment: float | None) -> str:
    """`20:14`, or with the day when that is not today."""
    if moment is None:
        return "-"
    then = time.localtime(moment)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M" if today else "%m-%d %H:%M", then)


def due(job: Job) -> int:
    """The default order: what needs a person, what runs, what waits, what is over."""
    return urgency.place(urgency.rank(job.state, job.reason, job.end_time), job.job_id)


def _asked(job: Job) -> str:
    parts = [inert(job.gres, 40)] if job.gres else []
    parts += [f"{job.cpus} cpus"] if job.cpus is not None else []
    parts += [mib(job.memory_mib)] if job.memory_mib is not None else []
    parts += [clock(job.time_limit_s)] if job.time_limit_s is not None else ["no time limit"]
    return ", ".join(parts)


def comment(job: Job) -> str:
    """The person's own comment, without the mark that a submission from here carries."""
    return PRIVATE_COMMENT.sub("", job.comment or "").strip()


def detail(job: Job, store: Store, now: float) -> list[str | Cell]:
    """What fits under the table: who, what it asks, why or where, when, its files."""
    lines: list[str | Cell] = [
        f"{inert(job.job_id, 60)} {inert(job.name, 80)} · {inert(job.user or '-', 40)}"
        f" · {inert(job.partition or '-', 40)} · {_asked(job)}",
        Cell(f"{state_word(job)}: {inert(shown_why(job), 200) or '-'}", tone(job)),
    ]
    if job.state == "PENDING":
        lines += waiting.lines(job, store, now)
    if job.state == "PENDING":
        start = _when(job.start_time) if job.start_time else "not known yet"
        lines.append(f"submitted {_when(job.submit_time)} · would start {start}")
    else:
        ended = f" · ended {_when(job.end_time)}" if job.end_time else ""
        lines.append(
            f"submitted {_when(job.submit_time)} · started {_when(job.start_time)}{ended}"
            f" · ran {clock(job.time_used_s)}" + (f" · on {inert(place(job))}" if job.nodes else "")
        )
    if job.state in FINISHED and (found := efficiency.known(store, job.job_id)):
        lines.append(efficiency.short(found))
    more = [
        f"{word} {inert(value, 120)}"
        for word, value in (
            ("account", job.account), ("qos", job.qos), ("priority", job.priority),
            ("exit", job.exit_code), ("after", job.dependency), ("reason", job.reason),
            ("comment", comment(job)),
        )
        if value not in (None, "")
    ]  # fmt: skip
    if more:
        lines.append(" · ".join(more))
    if job.work_dir:
        lines.append(f"in {inert(job.work_dir, 300)}")
    if job.stdout:
        lines.append(f"stdout: {inert(job.stdout, 300)}")
    if job.stderr and job.stderr != job.stdout:
        lines.append(f"stderr: {inert(job.stderr, 300)}")
    if job.source != "squeue":
        who = "the accounting" if job.source == "sacct" else "what labtui saw of it"
        lines.append(Cell(f"Slurm's controller has forgotten it: this is from {who}", "dim"))
    return lines


def searchable(job: Job) -> str:
    parts = (job.job_id, job.name, job.user, job.partition, state_word(job), why(job),
             ",".join(job.nodes), job.account, job.gres)  # fmt: skip
    return inert(" ".join(str(part) for part in parts if part))


def _plain(attribute: str, limit: int = 200) -> Any:
    def text(job: Job) -> str:
        value = getattr(job, attribute)
        return "-" if value is None else inert(value, limit)

    return text


def _time(job: Job) -> str:
    """Run time to the second; of a waiting job how long it waits, coarser: it is no hurry."""
    seconds = spent(job)
    if job.state == "PENDING" and seconds is not None:
        return (
            "<1m" if seconds < 60 else f"{seconds // 60:.0f}m" if seconds < 6000 else age(seconds)
        )
    return clock(seconds)


def _id_key(job: Job) -> int:
    return urgency.place(0, job.job_id)


def _text_key(attribute: str) -> Any:
    return lambda job: str(getattr(job, attribute) or "").casefold()


CHOSEN = 10_000
"""`min_total` of a column that is only there when a person chooses it."""


def _left(job: Job) -> float | None:
    """Seconds until its time limit ends it."""
    if job.state != "RUNNING" or job.time_limit_s is None or job.time_used_s is None:
        return None
    return max(0.0, job.time_limit_s - job.time_used_s)


def _start(job: Job) -> str:
    text = _when(job.start_time)
    return f"~{text}" if job.state == "PENDING" and job.start_time else text


def _number(
    id: str, title: str, width: int, attribute: str, help: str = "", min_total: int = CHOSEN
) -> Column:
    return Column(
        id, title, width, _plain(attribute), sort=attrgetter(attribute), align="right",
        min_total=min_total, help=help,
    )  # fmt: skip


def _words(id: str, title: str, width: int, attribute: str, help: str = "") -> Column:
    return Column(
        id, title, width, _plain(attribute), sort=_text_key(attribute), min_total=CHOSEN, help=help
    )


COLUMNS: tuple[Column, ...] = (
    Column("job", "JOB", 11, _plain("job_id", 40), sort=_id_key, wide=14),
    Column("name", "NAME", 15, _plain("name"), sort=_text_key("name"), wide=24, lead=True),
    Column("user", "USER", 5, _plain("user", 40), sort=_text_key("user"), wide=10),
    Column("partition", "PART", 5, _plain("partition", 40), sort=_text_key("partition"), wide=10,
           help="partition"),
    Column(
        "state", "STATE", 9, lambda job: Cell(inert(state_word(job), 20), tone(job)), sort=due
    ),
    Column("why", "WHY / WHERE", 19, lambda job: inert(shown_why(job), 300), sort=why,
           grow=True, help="why it waits, where it runs, how it ended"),
    Column("time", "TIME", 8, _time, sort=spent, align="right", wide=11,
           help="how long it ran, or waits"),
    Column("gres", "GRES", 14, _plain("gres", 60), sort=_text_key("gres"), min_total=130,
           help="GPUs and other generic resources"),
    _number("cpus", "CPUS", 5, "cpus", min_total=100),
    Column(
        "memory", "MEM", 6, lambda job: mib(job.memory_mib), sort=attrgetter("memory_mib"),
        align="right", min_total=100, help="memory it asked for, on all its nodes",
    ),
    Column(
        "limit", "LIMIT", 10, lambda job: limit(job.time_limit_s),
        sort=lambda job: inf if job.time_limit_s is None else job.time_limit_s, align="right",
        min_total=120, help="time limit",
    ),
    Column(
        "submitted", "SUBMITTED", 11, lambda job: _when(job.submit_time),
        sort=attrgetter("submit_time"), min_total=150,
    ),
    _number("priority", "PRIO", 10, "priority", min_total=170),
    Column("start", "START", 12, _start, sort=attrgetter("start_time"), min_total=CHOSEN,
           help="when it started, or ~ would start"),
    Column("end", "ENDED", 11, lambda job: _when(job.end_time), sort=attrgetter("end_time"),
           min_total=CHOSEN),
    Column("left", "LEFT", 10, lambda job: clock(_left(job)), sort=_left, align="right",
           min_total=CHOSEN, help="until its time limit ends it"),
    Column("nodes", "NODES", 14, lambda job: inert(",".join(job.nodes), 200) or "-",
           sort=lambda job: ",".join(job.nodes), min_total=CHOSEN),
    _words("account", "ACCOUNT", 10, "account"),
    _words("qos", "QOS", 10, "qos"),
    _words("exit", "EXIT", 6, "exit_code", "exit code : signal"),
    _words("after", "AFTER", 20, "dependency", "the jobs it waits for"),
    _words("reason", "REASON", 20, "reason", "Slurm's own word for why it waits"),
)  # fmt: skip


def heading(jobs: JobTable) -> str:
    """`running 6  pending 14  failed lately 3`."""
    counts = jobs.states | {"failed": jobs.failed}
    shown = (("RUNNING", "running"), ("PENDING", "pending"), ("failed", "failed lately"))
    return "  ".join(f"{word} {counts[key]}" for key, word in shown if counts.get(key))


SUBJECT = SubjectSpec(
    name="jobs",
    key="4",
    title="Jobs",
    words="The queue: what runs, what waits and why, what failed",
    feeds=("slurm.jobs", "slurm.finished"),
    columns=COLUMNS,
    counted=False,
    row_key=lambda job: str(job.job_id),
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=searchable,
    heading=heading,
    arrange=arrange,
    default_sort="state",
    also=waiting.FEEDS,
)
