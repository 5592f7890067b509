"""Several jobs submitted as one: all of them, or none.

The stages that wait for nothing are submitted held, and released when every stage was accepted
and what they replace was cancelled; so a refusal half way leaves everything as it was. Each
carries a mark of its own, by which it is found when its answer is lost.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence

import msgspec

from labtui.actions.base import (
    Action,
    ActionError,
    Outcome,
    OutcomeKind,
    Plan,
    Progress,
    Step,
    Unknown,
)
from labtui.actions.submit import LOOK, folder_for
from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm.argv import cancel_argv, scontrol_argv, submit_argv
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.pipelines import Pipeline, PipelineRun, Stage, StageRun
from labtui.slurm.script import directives
from labtui.slurm.urgency import FINISHED, has_held


class SubmitPipeline(Action):
    """A pipeline, or a stage of it and what waits for that, after an earlier submission."""

    id = "queue.pipeline"

    def __init__(
        self,
        client: SlurmClient,
        pipeline: Pipeline,
        kept: Kept,
        *,
        source: str = "",
        start: str = "",
        before: PipelineRun | None = None,
        look: float = LOOK,
        warnings: Sequence[str] = (),
    ) -> None:
        self.client = client
        self.pipeline = pipeline
        self.start = start
        self.before = before
        self.stages: Sequence[Stage] = pipeline.from_stage(start) if start else pipeline.stages
        self.tokens = {stage.name: secrets.token_hex(8) for stage in self.stages}
        self.jobs: dict[str, str] = {}
        """Stage -> id of the job that it became."""
        self._earlier: dict[str, str] = {}
        """Stages that are not submitted again, whose jobs are still to end."""
        self._left: list[str] = []
        """Jobs of the earlier submission that these replace and that still wait or run."""
        self._doubt = False
        """A command that changes something gave no answer."""
        self._kept = kept
        self._look = look
        self._warnings = tuple(warnings)
        self._chdir = ""
        old = before.stages if before else ()
        self.run_record = PipelineRun(
            id=before.id if before else secrets.token_hex(8),
            pipeline=pipeline.name,
            source=source or (str(pipeline.path) if pipeline.path else pipeline.name),
            at=time.time(),
            stages=tuple(s for s in old if s.stage not in self.tokens),
        )

    async def plan(self) -> Plan:
        if self.start and not self.stages:
            names = ", ".join(s.name for s in self.pipeline.stages)
            raise ActionError(f"{self.pipeline.name} has no stage {self.start}; there are {names}")
        who = await self.client.whoami()
        self._chdir = await folder_for(self.client, who)
        risks = ["it runs as root, because labtui reaches this machine as root"]
        risks = [*self._warnings, *(risks if who == "root" else [])]
        await self._look_back(risks)
        for stage in self.stages:
            await self._ask(stage)
        steps = [Step(self.client.host.name, line) for line in self._lines()]
        what = f"from {self.start} on" if self.start else f"{len(self.stages)} jobs"
        return Plan(
            title=f"Submit {self.pipeline.name}: {what}",
            targets=(f"{self.pipeline.name}: {', '.join(s.name for s in self.stages)}",),
            steps=tuple(steps),
            risks=tuple(risks),
            undo="cancel its jobs",
            dangerous=who == "root",
            confirm_word="root" if who == "root" else "",
        )

    async def _look_back(self, risks: list[str]) -> None:
        """What an earlier submission left: jobs to wait for, jobs that these replace."""
        for stage in self.pipeline.stages:
            job_id = self.before.job_of(stage.name) if self.before else ""
            job = await self._job(job_id) if job_id else None
            open_ = job is not None and job.state not in FINISHED
            if stage.name in self.tokens:
                self._left += [job_id] if open_ else []
            elif open_:
                self._earlier[stage.name] = job_id
            elif job is None:
                said = "it was not submitted" if not job_id else f"Slurm has forgotten job {job_id}"
                risks.append(f"{stage.name} is taken for done: {said}")
            elif job.state != "COMPLETED":
                risks.append(f"{stage.name} is taken for done: job {job_id} {job.state.lower()}")

    async def _ask(self, stage: Stage) -> None:
        """Whether Slurm would take a stage, as if it waited for nothing. Raises ActionError."""
        try:
            await self.client.test_only(stage.script, chdir=self._folder(stage))
        except RPCError as error:
            if error.kind in ("refused", "timeout"):
                raise ActionError(f"{error.msg}; nothing was sent", error.kind) from None
            more = [w for w in self._warnings if w.startswith(f"{stage.name}: ")][:1]
            said = "; ".join([f"{stage.name}: Slurm would refuse it: {error.msg}", *more])
            raise ActionError(said) from None

    def _folder(self, stage: Stage) -> str:
        return "" if "chdir" in directives(stage.script) else self._chdir

    def _lines(self) -> list[str]:
        """All that is run, with the stages' names where their ids will stand."""
        names = {stage.name: f"<{stage.name}>" for stage in self.stages}
        lines = [f"{shlex.join(self._argv(s, names))} < {s.name}" for s in self.stages]
        lines += [shlex.join(argv) for argv in self._cancels()]
        if held := [names[s.name] for s in self.stages if self._is_first(s)]:
            lines.append(f"scontrol release {','.join(held)}")
        return lines

    def _cancels(self) -> list[list[str]]:
        return cancel_argv(self._left) if self._left else []

    def _argv(self, stage: Stage, jobs: Mapping[str, str]) -> list[str]:
        return submit_argv(
            stage.script,
            token=self.tokens[stage.name],
            chdir=self._folder(stage),
            hold=self._is_first(stage),
            dependency=stage.dependency({**self._earlier, **jobs}) if stage.after else "",
        )

    def _is_first(self, stage: Stage) -> bool:
        """It waits for no job of this submission; one that asks to be held stays so."""
        waits = any(name in self.tokens for name in stage.after)
        several = len(self.stages) > 1 or bool(self._left)
        return several and not waits and "hold" not in directives(stage.script)

    async def run(self, progress: Progress) -> None:
        for stage in self.stages:
            try:
                self.jobs[stage.name] = await self._submit(stage)
            except ActionError as error:
                raise ActionError(f"{stage.name}: {error}; {await self._take_back()}") from None
            progress(f"{stage.name} is job {self.jobs[stage.name]}")
            self._kept.keep(self.jobs[stage.name], self.tokens[stage.name], stage.script)
            self._remember()
        for argv in self._cancels():
            await self._tell(argv)
            progress(f"cancelled what these replace: {', '.join(self._left)}")
        if held := self._first():
            await self._tell(scontrol_argv("release", held))

    def _first(self) -> list[str]:
        """Jobs that were submitted held, to be let go when all is well."""
        return [self.jobs[s.name] for s in self.stages if s.name in self.jobs and self._is_first(s)]

    async def _submit(self, stage: Stage) -> str:
        waits = {**self._earlier, **self.jobs}
        token = self.tokens[stage.name]
        try:
            return await self.client.submit(
                stage.script,
                token=token,
                chdir=self._folder(stage),
                hold=self._is_first(stage),
                dependency=stage.dependency(waits) if stage.after else "",
            )
        except RPCError as error:
            if error.kind != "timeout":
                raise ActionError(f"Slurm refused it: {error.msg}") from None
            doubt = error.msg
        deadline = time.monotonic() + self._look  # sbatch itself has been ended by then
        while True:
            try:
                job = await self.client.find_by_token(token)
            except RPCError as error:
                job, silent = None, error.msg
            else:
                silent = ""
            if job is not None:
                return job.job_id.partition("_")[0]
            if time.monotonic() > deadline and silent:
                raise Unknown(f"{stage.name}: {doubt}; its mark cannot be looked for: {silent}")
            if time.monotonic() > deadline:
                raise ActionError(f"{doubt}, and no job carries its mark")
            await asyncio.sleep(1.0)

    async def _take_back(self) -> str:
        """Cancel what was accepted before the refusal; in words what is so now."""
        made = dict(self.jobs)
        if not made:
            return "nothing was submitted"
        words = ", ".join(f"{name} (job {job_id})" for name, job_id in made.items())
        try:
            for argv in cancel_argv(made.values()):
                await self.client.tell(argv)
        except RPCError as error:
            return f"{words} were accepted and could not be cancelled ({error.msg}): do it"
        self.jobs = {}
        earlier = self.before.stages if self.before else ()
        self._kept.remember(msgspec.structs.replace(self.run_record, stages=earlier))
        return f"{words} were accepted and are cancelled again"

    async def _tell(self, argv: list[str]) -> None:
        try:
            await self.client.tell(argv)
        except RPCError as error:
            said = f"{shlex.join(argv)}: {error.msg}"
            if error.kind == "timeout":
                self._doubt = True
                raise Unknown(said) from None
            said += f"; submitted: {', '.join(self.jobs.values())}"
            if held := self._first():
                said += f"; held until it is released: {', '.join(held)}"
            raise ActionError(said) from None

    async def verify(self) -> Outcome:
        """Every stage by its id: there, and not held; and what they replace is cancelled."""
        deadline = time.monotonic() + self._look
        while True:
            seen = {name: await self._job(job_id) for name, job_id in self.jobs.items()}
            first = [seen[n] for n, job_id in self.jobs.items() if job_id in self._first()]
            held = [job.job_id.partition("_")[0] for job in first if job and has_held(job)]
            still = [job_id for job_id in self._left if not _ends(await self._job(job_id))]
            if not (held or still) or time.monotonic() > deadline:
                break
            await asyncio.sleep(min(1.0, self._look))
        self._remember()
        words = ", ".join(f"{name} {job_id}" for name, job_id in self.jobs.items()) or "nothing"
        details = {"pipeline": self.pipeline.name, "run": self.run_record.id}
        details |= {f"job {name}": job_id for name, job_id in self.jobs.items()}
        missing = [stage.name for stage in self.stages if not seen.get(stage.name)]
        wrong = [f"not seen: {', '.join(missing)}"] if missing else []
        wrong += [f"submitted but held: release {','.join(held)}"] if held else []
        wrong += [f"not cancelled: {', '.join(still)}"] if still else []
        if wrong:
            kind: OutcomeKind = "unknown" if missing or self._doubt else "failed"
            return Outcome(kind, f"{self.pipeline.name}: {'; '.join([words, *wrong])}", details)
        return Outcome("done", f"{self.pipeline.name} is submitted: {words}", details)

    async def _job(self, job_id: str) -> Job | None:
        try:
            return await self.client.job(job_id)
        except RPCError as error:
            raise ActionError(error.msg, error.kind) from None

    def _remember(self) -> None:
        """At once after each stage: a console that is killed now leaves a run that is found."""
        new = tuple(
            StageRun(stage=s.name, token=self.tokens[s.name], job_id=self.jobs[s.name])
            for s in self.stages
            if s.name in self.jobs
        )
        old = tuple(s for s in self.run_record.stages if s.stage not in self.tokens)
        self.run_record = msgspec.structs.replace(self.run_record, stages=old + new)
        self._kept.remember(self.run_record)


def _ends(job: Job | None) -> bool:
    """Whether a job is over, or on its way there."""
    return job is None or job.state in FINISHED or job.state == "COMPLETING"
