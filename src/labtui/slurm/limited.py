"""Which limit of a QoS or account holds a job back: who holds how much of what, until when."""

from __future__ import annotations

from labtui.model import Job
from labtui.slurm import values
from labtui.slurm.explained import Explained, when
from labtui.slurm.reasons import LimitCode, limit_advice
from labtui.slurm.types import Limits
from labtui.slurm.usage import Bound, Context, amount, asks, bounds, freed, total
from labtui.text import clock, inert


def explain_limit(job: Job, code: LimitCode, context: Context, plain: Explained) -> Explained:
    found = bounds(job, code, context)
    for bound in found:
        told = _per_job if bound.holder == "job" else _shared
        if explained := told(job, code, bound, context, plain):
            return explained
    if code.per == "Node" and len(found) == 1:
        bound = found[0]
        text = f"{bound.whose} lets a job have {amount(bound.tres, bound.limit)} on one node"
        return Explained(plain.short, text, plain.advice)
    return plain


def _per_job(
    job: Job, code: LimitCode, bound: Bound, context: Context, plain: Explained
) -> Explained | None:
    """What one job asks against what one job may."""
    if code.per == "Node":
        return None
    if code.what == "wall":
        return too_long(job, bound.whose, bound.limit, plain)
    asked = _asked(job, bound.tres, context)
    if asked is None:
        return None
    if code.kind == "Min":
        if asked >= bound.limit:
            return None
        least = amount(bound.tres, bound.limit)
        short = f"asks {amount(bound.tres, asked)}, at least {least} wanted"
        text = f"it asks {amount(bound.tres, asked)}; {bound.whose} wants {least} or more"
        return Explained(short, text, plain.advice, never=True)
    if code.minutes:
        if job.time_limit_s is None:
            return None
        spent = asked * job.time_limit_s // 60
        if spent <= bound.limit:
            return None
        kind = amount(bound.tres, 2).partition(" ")[2] if bound.tres != "mem" else "MiB of memory"
        short = f"asks {spent} minutes of {kind}, may {bound.limit}"
        text = (
            f"it asks {amount(bound.tres, asked)} for {clock(job.time_limit_s)}, {spent} minutes "
            f"of {kind}; {bound.whose} lets a job have {bound.limit}"
        )
        return Explained(short, text, plain.advice, never=True)
    if asked <= bound.limit:
        return None
    most = amount(bound.tres, bound.limit)
    short = f"asks {amount(bound.tres, asked)}, {bound.whose} lets a job have {most}"
    return Explained(short, f"it {short}", plain.advice, never=True)


def too_long(job: Job, whose: str, minutes: int, plain: Explained) -> Explained | None:
    limit = minutes * 60
    if job.time_limit_s is None or job.time_limit_s <= limit:
        return None
    short = f"asks {clock(job.time_limit_s)}, {whose} allows {clock(limit)}"
    return Explained(short, f"it {short}", plain.advice, never=True)


def _asked(job: Job, tres: str, context: Context) -> int | None:
    """What one of its tasks asks; of nodes what `scontrol show job` says of it."""
    if tres == "node":
        return values.whole(context.record.get("NumNodes", "").partition("-")[0])
    return asks(job, tres)


def _shared(
    job: Job, code: LimitCode, bound: Bound, context: Context, plain: Explained
) -> Explained | None:
    """What others, or the same user, hold already against what they may together."""
    if code.minutes or code.what == "wall":
        return _minutes(code, bound, plain)
    holder = _holder(job, bound, context)
    if code.what == "submit":
        return _queued(job, bound, context, plain, holder)
    if code.what == "jobs":
        held: int | None = len(bound.counted)
        asked: int | None = 1
    else:
        held = total(bound.counted, bound.tres)
        asked = _asked(job, bound.tres, context) or (1 if bound.tres == "node" else None)
    if held is None or asked is None or held + asked <= bound.limit:
        return None
    most = amount(bound.tres, bound.limit)
    a = {"user": " a user", "account": " an account"}.get(bound.holder, "")
    lets = f"{bound.whose} allows {most}{a}" + (" at once" if code.what == "jobs" else "")
    if asked > bound.limit:
        short = f"asks {amount(bound.tres, asked)}, {bound.whose} allows {most}{a}"
        text = f"it asks {amount(bound.tres, asked)}; {lets}"
        return Explained(short, text, limit_advice(code, alone=True), never=True)
    moment, jobs = freed(bound, held + asked - bound.limit, context.now)
    until = f" until {when(moment, context.now)}" if moment else ""
    does = "run" if code.what == "jobs" else "hold"
    verb = does if holder in ("you", bound.whose + "'s jobs") else f"{does}s"
    if bound.tres == "mem":
        have = f"{amount('mem', held).removesuffix(' of memory')} of {most}"
    else:
        have = f"{held} of {most}"
    short = f"{holder} {verb} {have}{until}"
    names = ", ".join(inert(j.job_id, 40) for j in jobs[:3])
    more = f" and {len(jobs) - 3} more" if len(jobs) > 3 else ""
    by = f" (job{'s' if len(jobs) > 1 else ''} {names}{more})" if jobs else ""
    wants = "" if code.what == "jobs" or bound.tres == "node" else (
        f", it asks {amount(bound.tres, asked)}"
    )  # fmt: skip
    return Explained(
        short, f"{lets}: {holder} {verb} {have}{until}{by}{wants}", plain.advice, moment
    )


def _holder(job: Job, bound: Bound, context: Context) -> str:
    if bound.holder == "account":
        return f"account {inert(job.account or '', 40)}"
    if bound.holder == "user" or "(user " in bound.whose:
        if job.user and job.user == context.me:
            return "you"
        return inert(job.user or "its user", 40)
    return f"{bound.whose}'s jobs"


def _queued(
    job: Job, bound: Bound, context: Context, plain: Explained, holder: str
) -> Explained | None:
    """A limit of running and waiting jobs: told, not counted, for who submits is refused first."""
    a = {"user": " a user", "account": " an account"}.get(bound.holder, "")
    text = f"{bound.whose} allows {bound.limit} running and waiting jobs{a}"
    return Explained(plain.short, text, plain.advice)


def _minutes(code: LimitCode, bound: Bound, plain: Explained) -> Explained | None:
    """Minutes used up: told where slurmctld says how many."""
    if code.what == "wall":
        text = f"{bound.whose} has {clock(bound.limit * 60)} of run time for all its jobs, used up"
        return Explained(plain.short, text, plain.advice)
    kind = amount(bound.tres, 2).partition(" ")[2] if bound.tres != "mem" else "MiB of memory"
    used = bound.limits.used_tres_mins.get(bound.tres) if isinstance(bound.limits, Limits) else None
    if code.minutes != "Minutes" or used is None:
        text = f"{bound.whose} has {bound.limit} minutes of {kind} for all its jobs"
        return Explained(plain.short, text, plain.advice)
    text = f"{bound.whose} has used {used} of its {bound.limit} minutes of {kind}"
    return Explained(text, text, plain.advice)
