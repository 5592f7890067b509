"""A pipeline as lines: its stages as a tree, what each asks for, what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from labtui.model import Job
from labtui.slurm.form import FIELD, value_of
from labtui.slurm.limits import check_limits
from labtui.slurm.pipelines import Pipeline, PipelineRun, Stage
from labtui.slurm.script import BatchScript
from labtui.slurm.urgency import BAD, FINISHED
from labtui.slurm.usage import Context
from labtui.spec import Tone
from labtui.text import cut, inert
from labtui.views import jobs as jobs_view
from labtui.views.jobtable import JobTable

Span = tuple[str, Tone]
NAME, FIGURES = 22, 30
HOW = {"ok": "", "any": " ended", "failed": " failed", "started": " started"}


class Branch(msgspec.Struct, frozen=True):
    """A stage in the tree."""

    stage: Stage
    depth: int
    others: tuple[str, ...]
    """What it waits for beside the stage that it hangs on."""


def tree(pipeline: Pipeline) -> list[Branch]:
    """Depth first; a stage hangs on the deepest of those that it waits for."""
    depth: dict[str, int] = {}
    parent: dict[str, str] = {}
    for stage in pipeline.stages:
        on = max(stage.after, key=lambda name: depth[name], default="")
        depth[stage.name] = depth[on] + 1 if on else 0
        parent[stage.name] = on

    def below(name: str) -> list[Branch]:
        found = []
        for stage in pipeline.stages:
            if parent[stage.name] == name:
                others = tuple(n for n in stage.after if n != name)
                found.append(Branch(stage, depth[stage.name], others))
                found += below(stage.name)
        return found

    return below("")


def jobs_of(run: PipelineRun | None, table: JobTable) -> dict[str, Job]:
    """Stage -> its job as the queue has it; of an array the task that matters most."""
    if run is None:
        return {}
    stage_of = {s.job_id: s.stage for s in run.stages if s.job_id}
    found: dict[str, Job] = {}
    for row in table.rows:  # the worst come first
        stage = stage_of.get(row.key) or stage_of.get(row.array)
        if stage and stage not in found:
            found[stage] = table.job(row)
    return found


def figures(job: BatchScript) -> str:
    """`gpu: 2 gpu 8 cpu 32G 2:00:00`: what it asks for."""
    said = {id: value_of(job, FIELD[id]) for id in ("partition", "gpus", "cpus", "memory", "time")}
    kind, _, count = said["gpus"].removeprefix("gpu:").rpartition(":")
    parts = [f"{said['partition'] or 'default'}:"]
    parts += [f"{count} {kind or 'gpu'}"] if count else []
    parts += [f"{said['cpus']} cpu"] if said["cpus"] else []
    parts += [part for part in (said["memory"], said["time"].removeprefix("0")) if part]
    parts += [f"[{job.get('array')}]"] if job.get("array") else []
    return inert(" ".join(parts), 60)


def row(branch: Branch, job: Job | None, job_id: str, wrong: bool, width: int) -> list[Span]:
    """One line of the tree; without a job what is wrong with it."""
    stage = branch.stage
    hook = "  " * (branch.depth - 1) + "└ " if branch.depth else ""
    how = next((HOW[kind] for name, kind in stage.after.items() if name not in branch.others), "")
    also = f" +{','.join(branch.others)}" if branch.others else ""
    name = cut(f"{hook}{stage.name}{how and ' (' + how.strip() + ')'}{also}", NAME)
    room = FIGURES + (12 if width >= 100 else 0)
    asked = cut(figures(stage.job), room)
    spans: list[Span] = [(f"{name} ", ""), (f"{asked} ", "dim")]
    if job is not None:
        stuck = (job.reason or "").startswith("DependencyNeverSatisfied")
        said = f"{job_id} {'never starts' if stuck else jobs_view.state_word(job)}"
        return [*spans, (said, jobs_view.tone(job))]
    if job_id:
        return [*spans, (f"{job_id} not in the queue", "dim")]
    return [
        *spans,
        (f"! {wrong} wrong" if wrong > 1 else "! look below", "warn") if wrong else ("", ""),
    ]


def detail(stage: Stage, job: Job | None, now: float) -> list[list[Span]]:
    """Why it is as it is: under the tree, for the stage under the cursor."""
    if job is None:
        return []
    lines: list[list[Span]] = [
        [
            (f"{stage.name}, job {inert(job.job_id, 30)}: {jobs_view.state_word(job)}  ",
             jobs_view.tone(job)),
            (inert(jobs_view.why(job), 200), ""),
        ]
    ]  # fmt: skip
    if job.stdout and job.state != "PENDING":
        lines.append([(f"its output, {inert(job.stdout, 200)}:", "dim")])
    return lines


def wrong(stage: Stage, known: Context) -> list[str]:
    """What cannot be had on this cluster, stage by stage."""
    return check_limits(stage.job, known)


def worst(pipeline: Pipeline, found: Mapping[str, Job]) -> str:
    """The stage to look at: the first that failed, else that runs, else that waits."""
    for states in (BAD | {"CANCELLED"}, {"RUNNING", "COMPLETING"}, {"PENDING"}):
        for stage in pipeline.stages:
            job = found.get(stage.name)
            if job is not None and job.state in states:
                return stage.name
    return pipeline.stages[0].name


def words_of(run: PipelineRun, found: Mapping[str, Job]) -> str:
    """`export failed`, `2 of 4 done`, and which run it is of: what matters is not cut first."""
    bad = [s.stage for s in run.stages if (j := found.get(s.stage)) and j.state in BAD]
    at = time.strftime("%m-%d %H:%M", time.localtime(run.at))
    if bad:
        return f"{', '.join(bad)} failed, run of {at}"
    if not found:
        return f"no longer in the queue, run of {at}"
    done = sum(j.state == "COMPLETED" for j in found.values())
    over = all(j.state in FINISHED for j in found.values())
    state = "done" if over else "done, under way"
    return f"{done} of {len(run.stages)} {state}, run of {at}"


def ids(run: PipelineRun | None) -> Sequence[str]:
    return [s.job_id for s in run.stages if s.job_id] if run else []
