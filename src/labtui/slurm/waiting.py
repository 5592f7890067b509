"""Why a job waits, with the figures: from its reason, the limits, and what the queue holds now.

A figure is told only where what is known proves the reason ("you hold 4 of 4 GPUs"). Where it does
not - something was not asked, or has changed since - the plain words of `reasons.py` stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from labtui.model import Job
from labtui.slurm import reasons, values
from labtui.slurm.explained import Explained, when
from labtui.slurm.limited import explain_limit, too_long
from labtui.slurm.reasons import limit_code
from labtui.slurm.scontrol import STARTING, state_word
from labtui.slurm.urgency import FINISHED
from labtui.slurm.usage import HOLDS, Context, amount, asks, ends_at, tasks
from labtui.text import inert

__all__ = ["Context", "Explained", "explain_with", "takes_jobs"]


def explain_with(job: Job, context: Context) -> Explained:
    """Why this job waits, or how it ended, and what to do. Never raises on odd input."""
    reason = job.reason or ""
    if job.state != "PENDING":
        return _ended(job)
    if len(codes := reasons.several(reason)) > 1:
        return _differing(job, codes, context)
    code = reason.partition(",")[0].strip()
    short = inert(job.reason_text or reasons.explain(job.reason, job) or "", 300)
    long = inert(reasons.sentence(reason), 300) if limit_code(code) else short
    plain = Explained(short, long, inert(reasons.advice(reason or "None"), 300))
    limit = limit_code(code)
    if limit is None and code != "Resources":
        explain = _BY_CODE.get(code)
        return (explain(job, context, plain) if explain else None) or plain
    alike = (job.reason, short, job.qos, job.partition, job.user, job.account, job.cpus,
             job.memory_mib, job.gres, job.time_limit_s, job.start_time)  # fmt: skip
    known: Explained | None = context.told.get(alike)
    if known is None:
        known = (
            explain_limit(job, limit, context, plain)
            if limit is not None
            else _resources(job, context, plain) or plain
        )
        context.told[alike] = known
    return known


def _differing(job: Job, codes: Sequence[str], context: Context) -> Explained:
    """Of tasks that wait in one row for different reasons: what of each."""
    each = [explain_with(replace(job, reason=code, reason_text=None), context) for code in codes]
    return Explained(
        short=reasons.differ(one.short for one in each),
        text=reasons.differ(one.text for one in each),
        advice="; ".join(f"{one.short}: {one.advice}" for one in each if one.advice),
        never=all(one.never for one in each),
    )


_OUTCOMES = {
    "OUT_OF_MEMORY": "OutOfMemory", "TIMEOUT": "TimeLimit", "NODE_FAIL": "NodeFailure",
    "BOOT_FAIL": "NodeFailure", "DEADLINE": "DeadLine", "FAILED": "NonZeroExitCode",
}  # fmt: skip


def _ended(job: Job) -> Explained:
    text = inert(job.reason_text or "", 300)
    code = _OUTCOMES.get(job.state, "")
    if job.state == "FAILED" and job.reason in ("JobLaunchFailure", "BadConstraints"):
        code = job.reason
    return Explained(text, text, reasons.advice(code) if code else "")


def _resources(job: Job, context: Context, plain: Explained) -> Explained | None:
    until = job.start_time if job.start_time and job.start_time > context.now else None
    soon = f" until ~{when(until, context.now)}" if until else ""
    here = {name for p in context.partitions_of(job) for name in p.nodes}
    nodes = [n for n in context.nodes if n.name in here and takes_jobs(n.slurm_state)]
    if here and context.nodes and not nodes:
        text = f"no node of {inert(job.partition or '', 60)} takes jobs now"
        return Explained(
            text, text, "wait, move it to another partition, or ask an operator", until
        )
    for tres, have, held in (
        ("gres/gpu", [n.gpus for n in nodes], [n.gpus_alloc for n in nodes]),
        ("cpu", [n.cpus_total for n in nodes], [n.cpus_alloc for n in nodes]),
    ):
        asked = asks(job, tres)
        if not asked or not nodes:
            continue
        if tres == "cpu" and (None in have or None in held):
            continue
        free = sum(max(0, (a or 0) - (b or 0)) for a, b in zip(have, held, strict=True))
        if tres == "gres/gpu" and any(a and b is None for a, b in zip(have, held, strict=True)):
            continue
        if free < asked:
            is_free = f"{free or 'none'} {'are' if free > 1 else 'is'} free{soon}"
            short = f"needs {amount(tres, asked)}, {is_free}"
            where = inert(job.partition or "", 60)
            text = f"it needs {amount(tres, asked)}; in {where} {is_free}"
            return Explained(short, text, plain.advice, until)
    if until:
        text = f"{plain.text}, ~{when(until, context.now)} by the scheduler's estimate"
        return Explained(f"{plain.short}, ~{when(until, context.now)}", text, plain.advice, until)
    return None


_OPEN = ("idle", "mixed", "allocated", "completing", "planned")
_SHUT = frozenset({"drain", "fail", "not_responding", "reboot_requested", "reboot_issued",
                   "powering_down", "invalid_reg", "maint", "maintenance"})  # fmt: skip


def takes_jobs(state: str | None, *, reserved: bool = False) -> bool:
    """Whether a node in this state (scontrol's word) can be given a job; one that power saving has
    turned off is turned on for it. `reserved`: a job with a reservation, which may be the one for
    maintenance."""
    base, *flags = (state or "").lower().split("+")
    shut = _SHUT & set(flags)
    if STARTING & set(flags):  # slurmd does not answer before it is up
        shut -= {"not_responding"}
    if reserved:
        shut -= {"maint", "maintenance"}
    return base in _OPEN and not shut


def _priority(job: Job, context: Context, plain: Explained) -> Explained | None:
    until = job.start_time if job.start_time and job.start_time > context.now else None
    soon = f", ~{when(until, context.now)}" if until else ""
    first = None
    if context.contending is not None and job.priority:
        mine = frozenset((job.partition or "").split(","))
        counts = [n for p, n, where in context.contending if p > job.priority and mine & where]
        first = None if None in counts else sum(c for c in counts if c)
    if not first:
        return Explained(f"{plain.short}{soon}", f"{plain.text}{soon}", plain.advice, until)
    who = "1 job goes" if first == 1 else f"{first} jobs go"
    short = f"{who} first in {inert(job.partition or '', 60)}{soon}"
    text = f"{short.removesuffix(soon)}, with a higher priority than {job.priority}"
    return Explained(short, text + soon, plain.advice, until)


def _dependency(job: Job, context: Context, plain: Explained) -> Explained | None:
    """Each job it waits for, and how that one is doing."""
    asked = reasons.DEPENDS.findall(job.dependency or "")
    parts: list[str] = []
    ends: list[float | None] = []
    for kind, job_id, later in asked[:4]:
        rows = context.find(job_id.removesuffix("_*"))
        going = [r for r in rows if r.state not in FINISHED]
        now = sorted({r.state.lower().replace("_", " ") for r in going or rows})
        state = f" ({', '.join(now)})" if now else ""
        what = reasons.what_depends(kind, later)
        parts.append(f"{job_id.removesuffix('_*')}{state} {what}".strip())
        running = [_so_far(kind, later, r, context.now) for r in going]
        ends.append(max((e for e in running if e), default=None) if None not in running else None)
    if not parts:
        return None
    more = f" and {len(asked) - 4} more" if len(asked) > 4 else ""
    joint = " or " if "?" in (job.dependency or "") else ", "
    if job.reason == "DependencyNeverSatisfied":
        return Explained(plain.short, f"{plain.text}: waited for {joint.join(parts)}{more}",
                         plain.advice, never=True)  # fmt: skip
    until = max((e for e in ends if e), default=None) if ends and None not in ends else None
    late = f", {when(until, context.now)} at the latest" if until else ""
    return Explained(plain.short, f"waits for {joint.join(parts)}{more}{late}", plain.advice, until)


def _so_far(kind: str, minutes: str, job: Job, now: float) -> float | None:
    """When a job that is waited for has come so far, at the latest."""
    if kind != "after":
        return ends_at(job, now)
    if job.state not in HOLDS or not job.start_time:
        return None
    moment = job.start_time + 60 * int(minutes or 0)
    return moment if moment > now else None


def _begin(job: Job, context: Context, plain: Explained) -> Explained | None:
    if not job.start_time or job.start_time < context.now:
        return None
    text = f"begins {when(job.start_time, context.now)}"
    return Explained(text, f"it {text}", plain.advice, job.start_time)


def _array(job: Job, context: Context, plain: Explained) -> Explained | None:
    most = values.whole((job.array_task or "").rpartition("%")[2]) if job.array_task else None
    number = job.job_id.partition("_")[0]
    running = sum(j.job_id.partition("_")[0] == number for j in context.holding)
    if most is None or running < most:
        return None
    left = tasks(job)
    rest = f", {left} wait" if left else ""
    text = f"its array may run {most} at once: {running} run now{rest}"
    return Explained(plain.short, text, plain.advice)


def _partition_time(job: Job, context: Context, plain: Explained) -> Explained | None:
    limits = [(p.name, p.max_time) for p in context.partitions_of(job)]
    if not limits or any(most is None for _, most in limits):
        return None
    name, most = max(limits, key=lambda pair: pair[1] or 0)
    return too_long(job, inert(name, 40), most or 0, plain)


def _partition_state(job: Job, context: Context, plain: Explained) -> Explained | None:
    closed = [f"{inert(p.name, 40)} is {inert(p.state, 20).lower()}"
              for p in context.partitions_of(job) if p.state != "UP"]  # fmt: skip
    return Explained(plain.short, ", ".join(closed), plain.advice) if closed else None


def _not_available(job: Job, context: Context, plain: Explained) -> Explained | None:
    names = values.nodes(reasons.unavailable(job.reason or ""))
    known = {n.name: n for n in context.nodes}
    parts: list[str] = []
    for name in names[:3]:
        node = known.get(name)
        if node is None or takes_jobs(node.slurm_state):
            continue
        why = f": {inert(node.slurm_reason, 80)}" if node.slurm_reason else ""
        parts.append(f"{inert(name, 60)} is {state_word(node.slurm_state)}{why}")
    if parts:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        text = "; ".join(parts) + more
        return Explained(text, f"it needs a node that is not available: {text}", plain.advice)
    said = (job.reason or "").lower().replace("_", " ")
    if "reserved for maintenance" in said:
        return _kept(job, context, plain, maintenance=True)
    return _kept(job, context, plain, maintenance=False) if "reserved for other" in said else None


def _kept(job: Job, context: Context, plain: Explained, *, maintenance: bool) -> Explained | None:
    """The first reservation that keeps nodes of its partition from it."""
    here = {name for p in context.partitions_of(job) for name in p.nodes}
    found = [
        r
        for r in context.reservations
        if r.end_time
        and r.end_time > context.now
        and here & set(r.nodes)
        and ("MAINT" in r.flags if maintenance else job.user not in r.users)
    ]
    if not found:
        return None
    first = min(found, key=lambda r: r.start_time or 0.0)
    begin = f"from {when(first.start_time, context.now)} " if first.start_time else ""
    end = f"{begin}to {when(first.end_time or 0.0, context.now)}"
    whose = "for maintenance" if maintenance else "for others"
    nodes = ", ".join(inert(name, 60) for name in sorted(here & set(first.nodes))[:3])
    text = f"reservation {inert(first.name, 40)} keeps {nodes} {whose} {end}"
    return Explained(plain.short, text, plain.advice, first.end_time)


def _reservation(job: Job, context: Context, plain: Explained) -> Explained | None:
    name = values.text(context.record.get("Reservation", ""))
    found = [r for r in context.reservations if r.name == name]
    if not found or not found[0].start_time or found[0].start_time < context.now:
        return None
    text = f"its reservation {inert(name, 40)} begins {when(found[0].start_time, context.now)}"
    return Explained(text, text, plain.advice, found[0].start_time)


def _licenses(job: Job, context: Context, plain: Explained) -> Explained | None:
    asked = {
        part.partition("@")[0].partition(":")[0]
        for part in re.split(r"[,;|]", values.text(context.record.get("Licenses", "")) or "")
    } - {""}
    gone = [
        one for one in context.licenses if one.free == 0 and one.name.partition("@")[0] in asked
    ]
    gone = gone or [one for one in context.licenses if one.free == 0 and not asked]
    parts = [f"{inert(one.name, 40)} {one.used} of {one.total}" for one in gone[:4]
             if one.used is not None and one.total is not None]  # fmt: skip
    if not parts:
        return None
    text = f"licences in use: {', '.join(parts)}"
    return Explained(text, text, plain.advice)


_Explain = Callable[[Job, Context, Explained], "Explained | None"]
_BY_CODE: dict[str, _Explain] = {
    "Priority": _priority,
    "Dependency": _dependency,
    "DependencyNeverSatisfied": _dependency,
    "BeginTime": _begin,
    "JobArrayTaskLimit": _array,
    "PartitionTimeLimit": _partition_time,
    "PartitionDown": _partition_state,
    "PartitionInactive": _partition_state,
    "ReqNodeNotAvail": _not_available,
    "NodeDown": _not_available,
    "Reservation": _reservation,
    "Licenses": _licenses,
}
