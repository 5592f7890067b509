"""How well a job used what it asked for, from the accounting's records of its steps. Pure.

sacct(1) and sstat(1) name the fields. Figures are None where nobody measured, with the reason;
never 0. Memory is sampled (JobAcctGatherFrequency), so a short peak may be missed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil

from labtui.model import Item
from labtui.slurm import values
from labtui.text import clock, mib

MARK = "|"
"""What sacct and sstat print with `-P`; sstat knows no other."""
ACCOUNTED = (
    "JobID", "State", "ElapsedRaw", "TimelimitRaw", "AllocCPUS", "NNodes", "NTasks", "TotalCPU",
    "AllocTRES", "MaxRSS", "TRESUsageInTot", "TRESUsageInAve", "Start", "End", "NodeList",
)  # fmt: skip
"""sacct fields, in every release since 21.08; no free text among them."""
LIVE = ("JobID", "NTasks", "AveCPU", "MaxRSS", "TRESUsageInTot", "TRESUsageInAve")
"""sstat fields of a running job's steps."""
LEAST_S = 30
"""Seconds below which a job is too short to be advised about."""
OVER = frozenset({
    "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED",
    "DEADLINE", "BOOT_FAIL",
})  # fmt: skip
KILLED = frozenset({"TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "DEADLINE"})


class Figure(Item, frozen=True, kw_only=True):
    """One figure: `used` of `asked`, in the unit of its field's name."""

    used: float | None = None
    asked: float | None = None
    percent: float | None = None
    source: str | None = None
    """Where it was read: `sacct TotalCPU`."""
    why_not: str | None = None
    """Why `used` is not known."""
    note: str | None = None


class Efficiency(Item, frozen=True, kw_only=True):
    job_id: str
    state: str
    nodes: tuple[str, ...] = ()
    node_count: int | None = None
    gpus: int | None = None
    start_time: float | None = None
    end_time: float | None = None
    cpu_s: Figure
    """Seconds of CPU, of those it had."""
    memory_mib: Figure
    """The peak, of what it was given."""
    time_s: Figure
    """Run time, of its limit."""
    gpu_percent: Figure
    gpu_memory_mib: Figure
    suggestions: tuple[str, ...] = ()

    @property
    def cpus(self) -> float | None:
        """CPUs it had."""
        asked, ran = self.cpu_s.asked, self.time_s.used
        return asked / ran if asked is not None and ran else None


def parse(accounted: str, live: str = "") -> list[Efficiency]:
    """sacct's records (and sstat's of the same job) -> one a job or array task, in their order."""
    jobs: dict[str, dict[str, str]] = {}
    steps: dict[str, list[dict[str, str]]] = {}
    for of in _records(accounted, ACCOUNTED):
        job_id, dot, _ = of["JobID"].partition(".")
        if dot:
            steps.setdefault(job_id, []).append(of)
        else:
            jobs[job_id] = of
    running = list(_records(live, LIVE))
    return [_of(job, steps.get(job_id, []), running) for job_id, job in jobs.items()]


def _records(text: str, names: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for line in text.split("\n"):
        fields = line.split(MARK)
        if len(fields) == len(names) and re.match(r"\d", fields[0]):
            found.append(dict(zip(names, fields, strict=True)))
    return found


def _of(job: dict[str, str], steps: list[dict[str, str]], live: list[dict[str, str]]) -> Efficiency:
    state = job["State"].partition(" ")[0]
    over = state in OVER
    elapsed, cpus = values.whole(job["ElapsedRaw"]), values.whole(job["AllocCPUS"])
    given = values.tres(job["AllocTRES"])
    gpus = values.whole(given.get("gres/gpu", ""))
    limit = values.whole(job["TimelimitRaw"])
    nodes = () if job["NodeList"].startswith("None") else values.nodes(job["NodeList"])
    measured = steps if over else [*steps, *live]
    return Efficiency(
        job_id=job["JobID"].strip(),
        state=state,
        nodes=nodes,
        node_count=values.whole(job["NNodes"]),
        gpus=gpus,
        start_time=values.moment(job["Start"]),
        end_time=values.moment(job["End"]) if over else None,
        cpu_s=_cpu(job, measured, state, elapsed, cpus),
        memory_mib=_memory(measured, values.mib(given.get("mem", "")), over),
        time_s=_figure(
            elapsed, None if limit is None else limit * 60, "sacct Elapsed", "it has not started"
        ),
        gpu_percent=_gpu(measured, gpus),
        gpu_memory_mib=_gpu_memory(measured, gpus),
    )


def advised(found: Efficiency) -> tuple[str, ...]:
    """What to ask next time, in words: of a job that is over, where the figures are known."""
    if found.end_time is None:
        return ()
    lines = [_less_memory(found), _fewer_cpus(found), _less_time(found), _fewer_gpus(found)]
    return tuple(line for line in lines if line)


def _figure(
    used: float | None, asked: float | None, source: str, why_not: str, note: str | None = None
) -> Figure:
    percent = None if used is None or not asked else 100 * used / asked
    if used is None:
        return Figure(asked=asked, why_not=why_not)
    return Figure(used=used, asked=asked, percent=percent, source=source, note=note)


def _cpu(
    job: dict[str, str],
    measured: list[dict[str, str]],
    state: str,
    elapsed: int | None,
    cpus: int | None,
) -> Figure:
    """Slurm has it twice: what the kernel told when a task ended, and what was sampled until
    then. Of tasks that were killed only the second is there, so the larger counts."""
    if not elapsed:
        began = elapsed == 0 and values.moment(job["Start"]) is not None
        return Figure(why_not="it ran less than a second" if began else "it has not run")
    over = state in OVER
    ended = _seconds(job["TotalCPU"]) if over else None
    sampled = [s for step in measured if (s := _sampled_cpu(step)) is not None]
    best, source = ended, "sacct TotalCPU"
    if sampled and sum(sampled) > (ended or 0.0):
        best, source = sum(sampled), "sacct TRESUsageInTot" if over else "sstat"
    if not over and not sampled:
        return _figure(None, _times(elapsed, cpus), "", "sstat tells nothing of its steps yet")
    if over and not best and not sampled:
        why = "Slurm measured nothing: JobAcctGatherType is none, or it ended too soon"
        return _figure(None, _times(elapsed, cpus), "", why)
    note = "what was killed is not counted whole" if state in KILLED else None
    return _figure(best, _times(elapsed, cpus), source, "", note)


def _sampled_cpu(step: dict[str, str]) -> float | None:
    """Seconds of CPU of all tasks of a step."""
    found = _seconds(values.tres(step["TRESUsageInTot"]).get("cpu", ""))
    if "AveCPU" in step:
        each, tasks = _seconds(step["AveCPU"]), values.whole(step["NTasks"])
        if each is not None and tasks:
            found = max(found or 0.0, each * tasks)
    return found


def _times(a: int | None, b: int | None) -> float | None:
    return None if a is None or not b else float(a * b)


def _seconds(value: str) -> float | None:
    """`00:02.167`, `1-02:03:04`."""
    whole = values.seconds(value)
    if whole is None:
        return None
    part = re.search(r"\.(\d{1,6})$", value.strip())
    return whole + (float(f"0.{part[1]}") if part else 0.0)


def _bytes(value: str) -> float | None:
    """`24492K`, `1.50G`; bytes without a unit, as sacct and sstat print what tasks used."""
    found = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?)([KMGTP]?)", value.strip().upper())
    if found is None:
        return None
    return float(found[1]) * 1024.0 ** " KMGTP".index(found[2] or " ")


def _memory(measured: list[dict[str, str]], asked: int | None, over: bool) -> Figure:
    """The step that had most: its tasks' peaks together. No process has 0 bytes: that is how
    an older Slurm (22.05) writes that it ended before the first sample."""
    tool = "sacct" if over else "sstat"
    best: tuple[float, str, str | None] | None = None
    for step in measured:
        together = _bytes(values.tres(step["TRESUsageInTot"]).get("mem", "")) or None
        one = _bytes(step["MaxRSS"]) or None
        several = (values.whole(step["NTasks"]) or 1) > 1
        if together is not None and (one is None or together >= one):
            note = "its tasks' peaks together" if several else None
            at = (together, f"{tool} TRESUsageInTot", note)
        elif one is not None:
            at = (one, f"{tool} MaxRSS", "one task's maximum: all together used more")
            at = at if several else (one, f"{tool} MaxRSS", None)
        else:
            continue
        best = at if best is None or at[0] > best[0] else best
    if best is None:
        why = "Slurm sampled nothing: it ended too soon, or JobAcctGatherType is none"
        return Figure(asked=asked, why_not=why if over else "sstat tells nothing of it yet")
    return _figure(best[0] / 1048576, asked, best[1], "", best[2])


def _gpu(measured: list[dict[str, str]], gpus: int | None) -> Figure:
    if not gpus:
        return Figure(why_not="it had no GPU")
    found = [
        share
        for step in measured
        if (share := _percent(values.tres(step["TRESUsageInAve"]).get("gres/gpuutil", "")))
        is not None
    ]
    if not found:
        return Figure(asked=100.0, why_not="Slurm does not measure GPUs here")
    source = "Slurm's gres/gpuutil, its tasks' average"
    return Figure(used=max(found), asked=100.0, percent=max(found), source=source)


def _percent(value: str) -> float | None:
    """Slurm counts more than 100 for several GPUs, which says nothing of each."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)%?", value.strip())
    share = float(found[1]) if found else None
    return share if share is not None and share <= 100 else None


def _gpu_memory(measured: list[dict[str, str]], gpus: int | None) -> Figure:
    if not gpus:
        return Figure(why_not="it had no GPU")
    found = [
        size
        for step in measured
        if (size := _bytes(values.tres(step["TRESUsageInTot"]).get("gres/gpumem", ""))) is not None
    ]
    if not found:
        return Figure(why_not="Slurm does not measure GPUs here")
    return Figure(used=max(found) / 1048576, source="Slurm's gres/gpumem")


# -- what to ask next time -----------------------------------------------------------------


def _less_memory(found: Efficiency) -> str | None:
    memory = found.memory_mib
    if found.state == "OUT_OF_MEMORY":
        if memory.asked is None:
            return "it ran out of memory: ask for more"
        more = _size(2 * memory.asked / max(1, found.node_count or 1))
        return f"it ran out of its {mib(memory.asked)}: try --mem={more}{_each(found)}"
    if memory.used is None or memory.asked is None or (found.time_s.used or 0) < LEAST_S:
        return None
    nodes = max(1, found.node_count or 1)
    enough = _nice(max(64.0, 1.25 * memory.used / nodes))
    if found.state in ("CANCELLED", "TIMEOUT") or enough * nodes > 0.7 * memory.asked:
        return None
    said = f"asked {mib(memory.asked)} of memory, used {mib(memory.used)}"
    return f"{said}: --mem={_size(enough)}{_each(found)} would do"


def _each(found: Efficiency) -> str:
    return " (a node)" if (found.node_count or 1) > 1 else ""


def _nice(size: float) -> float:
    """A size in MiB that people write: whole GiB, below that steps of 64 MiB."""
    return ceil(size / 1024) * 1024.0 if size > 1024 else ceil(size / 64) * 64.0


def _size(size: float) -> str:
    size = _nice(size)
    return f"{size / 1024:.0f}G" if size % 1024 == 0 else f"{size:.0f}M"


def _fewer_cpus(found: Efficiency) -> str | None:
    cpus, ran = found.cpus, found.time_s.used
    if cpus is None or cpus < 2 or not ran or ran < LEAST_S or found.cpu_s.used is None:
        return None
    if found.state in KILLED:
        return None
    busy = found.cpu_s.used / ran
    enough = max(1, ceil(1.1 * busy))
    if enough > 0.6 * cpus:
        return None
    return f"asked {cpus:.0f} CPUs, kept {busy:.1f} busy on average: {enough} would do"


def _less_time(found: Efficiency) -> str | None:
    ran, limit = found.time_s.used, found.time_s.asked
    if found.state == "TIMEOUT" and limit:
        return f"its {clock(limit)} were not enough: a longer --time, or checkpoints"
    if found.state != "COMPLETED" or not ran or not limit or ran > 0.5 * limit:
        return None
    enough = max(5, ceil(1.5 * ran / 60))
    enough = ceil(enough / 5) * 5 if enough < 60 else ceil(enough / 30) * 30
    if enough * 60 > 0.7 * limit:
        return None
    asked = f"asked {clock(limit)}, ran {clock(ran)}"
    return f"{asked}: --time={clock(enough * 60)} would start sooner (backfill)"


def _fewer_gpus(found: Efficiency) -> str | None:
    share = found.gpu_percent.used
    if share is None or not found.gpus or share >= 40 or (found.time_s.used or 0) < LEAST_S:
        return None
    card = "its GPU was" if found.gpus == 1 else f"its {found.gpus} GPUs were"
    less = "a share of one might do" if found.gpus == 1 else "fewer might do"
    return f"{card} {share:.0f}% busy on average: {less}, or it waits for its data"
