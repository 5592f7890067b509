"""What all actions on jobs share: one plan for any number of them, one look at what came of it."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import ClassVar

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.model import Job
from labtui.slurm import many
from labtui.slurm.argv import is_shortened, scontrol_argv, whole_id, written_out
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import ESLURM_ALREADY_DONE, RPCError, errno_of
from labtui.slurm.urgency import FINISHED
from labtui.slurm.values import covers
from labtui.text import inert

SETTLE = 45.0
"""Seconds that Slurm may take until a job is in its new state: KillWait is 30 s by default."""
STEP = 0.5
SEVERAL_STEP = 2.0
"""Seconds between two looks at many jobs."""


class JobAction(Action):
    """One Slurm command on some jobs."""

    verb: ClassVar[str]
    """`Cancel`."""
    past: ClassVar[str]
    """`cancelled`."""
    undo: ClassVar[str]
    risks: ClassVar[tuple[str, ...]] = ()
    gone: ClassVar[str] = ""
    """What it means that a job we saw before is not there any more."""

    def __init__(self, client: SlurmClient, job_ids: Sequence[str], *, settle: float = SETTLE):
        self.client = client
        self.asked = list(dict.fromkeys(job_ids))
        self.job_ids = list(self.asked)
        """Without those for which it makes no sense, once the plan is made."""
        self.settle = settle
        self._refused: dict[str, str] = {}
        """Why, of each job that Slurm's refusal names."""
        self._refusal = ""
        """A refusal that may be of any of them."""
        self._before: dict[str, Job] = {}
        self._began = time.time()

    def argvs(self) -> list[list[str]]:
        """One command where it can be; more where the ids would make it too long."""
        return [argv for part in many.chunks(self.job_ids) for argv in self.commands(part)]

    def commands(self, job_ids: Sequence[str]) -> list[list[str]]:
        return [scontrol_argv(self.id.partition(".")[2], job_ids)]

    @staticmethod
    def refusal(job: Job) -> str | None:
        """Why it makes no sense for a job as it is; also what disables the key."""
        raise NotImplementedError

    def settled(self, rows: list[Job]) -> str | None:
        """What has become of one target, in words; None while Slurm is not through with it."""
        raise NotImplementedError

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        """What else could go wrong with these, one sentence each."""
        return ()

    def way_back(self) -> str:
        return self.undo

    def target(self, job: Job, job_id: str) -> str:
        tasks = " (all its tasks)" if job.job_id.startswith(f"{job_id}_") else ""
        return f"{inert(job_id, 60)} {inert(job.name, 60)}{tasks}"

    async def plan(self) -> Plan:
        try:
            many.chunks(self.asked)
            self.argvs()
        except ValueError as error:
            raise ActionError(str(error)) from None
        rows = await _told(many.known(self.client, self.asked))
        left_out: dict[str, str] = {}
        for job_id in self.asked:
            job = self._main_row(rows, job_id)
            why_not = "Slurm does not know it (any more)" if job is None else self.refusal(job)
            if job is None or why_not:
                left_out[job_id] = why_not or ""
            else:
                self._before[job_id] = job
        if not self._before:
            job_id, why = next(iter(left_out.items()), ("", "no job is chosen"))
            raise ActionError(f"job {inert(job_id, 60)}: {why}")
        self.job_ids = [job_id for job_id in self.asked if job_id in self._before]
        return await self._planned(left_out)

    def _main_row(self, rows: Sequence[Job], job_id: str) -> Job | None:
        """Of an array the row that it makes sense for; what is over is kept beside the rest."""
        of_it = [job for job in rows if covers(job_id, job.job_id)]
        return min(of_it, key=lambda j: (bool(self.refusal(j)), j.state in FINISHED), default=None)

    async def _planned(self, left_out: dict[str, str]) -> Plan:
        jobs = list(self._before.values())
        names = [self.target(job, job_id) for job_id, job in self._before.items()]
        several = len(names) > 1
        running = any(job.state == "RUNNING" for job in jobs)
        dangerous = several and running and self.id == "queue.cancel"
        whys = Counter(left_out.values())
        skipped = tuple(f"{n} of {len(self.asked)} left out: {why}" for why, n in whys.items())
        return Plan(
            title=f"{self.verb} {len(names)} jobs" if several else f"{self.verb} job {names[0]}",
            targets=tuple(names),
            steps=tuple(Step(self.client.host.name, shlex.join(argv)) for argv in self.argvs()),
            risks=(*await self.warnings(jobs), *self.risks, *skipped),
            undo=self.way_back(),
            dangerous=dangerous,
            confirm_word=f"{len(names)} jobs" if dangerous else "",
        )

    async def run(self, progress: Progress) -> None:
        self._began = time.time()
        for argv in self.argvs():
            try:
                await self.client.tell(argv)
            except RPCError as error:
                self._refuse(error)
        progress("sent; waiting until Slurm shows it")

    def _refuse(self, error: RPCError) -> None:
        """Of several jobs Slurm does what it may, and names those that it refused."""
        why = _refusal(error, self.client.host.name)
        if error.kind == "timeout":
            raise Unknown(why)
        if len(self.job_ids) == 1:
            raise ActionError(f"Slurm refused: {why}")
        self._refusal = self._refusal or why
        self._refused |= dict.fromkeys(_named(error, self.job_ids), why)

    async def verify(self) -> Outcome:
        deadline = time.monotonic() + self.settle
        said: dict[str, str] = {}
        while True:
            late = [job_id for job_id in self.job_ids if job_id not in said]
            rows = await _told(self._rows(late))
            for job_id in late:
                if word := self._look(rows, job_id):
                    said[job_id] = word
            if {*said, *self._refused} >= {*self.job_ids} or time.monotonic() > deadline:
                break
            await asyncio.sleep(STEP if len(self.job_ids) == 1 else SEVERAL_STEP)
        return self._told(said)

    async def _rows(self, job_ids: Sequence[str]) -> list[Job]:
        """What tells what became of them."""
        return await many.known(self.client, job_ids)

    def _look(self, rows: Sequence[Job], job_id: str) -> str | None:
        of_it = [job for job in rows if covers(job_id, job.job_id)]
        if not of_it and job_id in self._before:
            return self.gone or None
        if not of_it:
            self._refused.setdefault(job_id, "Slurm does not know such a job")
        return self.settled(of_it) if of_it else None

    def _told(self, said: dict[str, str]) -> Outcome:
        late = [job_id for job_id in self.job_ids if job_id not in said]
        details = {"job_id": ",".join(self.job_ids), **{f"job {k}": v for k, v in said.items()}}
        details |= {f"job {k}": f"not {self.past}" for k in late}
        words = "; ".join(f"job {inert(k, 40)} {v}" for k, v in list(said.items())[:3])
        if len(said) > 3:
            words = f"{len(said)} jobs are {self.past}"
        if not late:
            return Outcome("done", words, details)
        refused = [job_id for job_id in late if job_id in self._refused]
        parts = [words] if words else []
        if refused:
            parts.append(f"Slurm refused for {_listed(refused)}: {self._refused[refused[0]]}")
        if len(refused) == len(late):
            return Outcome("failed", "; ".join(parts), details)
        rest = _listed([job_id for job_id in late if job_id not in self._refused])
        if self._refusal:
            parts += [] if refused else [f"Slurm refused some: {self._refusal}"]
            parts.append(f"not {self.past} (yet): {rest}")
        else:
            late_by = f"after {self.settle:.0f} s; Slurm may still do it"
            parts.append(f"job {rest} is not {self.past} {late_by}")
        return Outcome("unknown", "; ".join(parts), details)


def _listed(job_ids: Sequence[str]) -> str:
    rest = ", ".join(inert(job_id, 40) for job_id in job_ids[:5])
    return rest + (f" and {len(job_ids) - 5} more" if len(job_ids) > 5 else "")


_ID = re.compile(r"(?<![\w.])[0-9]+(?:_[0-9]+|_\[[0-9,:%-]+\]|\+[0-9]+)?(?!\w|\.\w)")


def _named(error: RPCError, job_ids: Sequence[str]) -> list[str]:
    """Those that a refusal of several names: `Access/permission denied for job 12`. What was
    ending already is none."""
    lines = [line for line in error.said or (error.msg,) if errno_of(line) != ESLURM_ALREADY_DONE]
    names = {name for line in lines for name in _ID.findall(line)}
    return [
        job_id
        for job_id in job_ids
        if names & {job_id, written_out(job_id), whole_id(job_id) if is_shortened(job_id) else ""}
    ]


async def _told(asked: Awaitable[list[Job]]) -> list[Job]:
    """The rows; ActionError where Slurm does not tell."""
    try:
        return await asked
    except RPCError as error:
        raise ActionError(error.msg, error.kind) from None
    except ValueError as error:
        raise ActionError(str(error)) from None


def _refusal(error: RPCError, where: str) -> str:
    if error.kind == "permission":
        return f"{error.msg}: on {where} this account may not do that to another's job"
    return error.msg
