"""What can be done to jobs. Each reads the queue again to tell what is so."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Sequence
from typing import ClassVar

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.model import Job
from labtui.slurm.client import SlurmClient, cancel_argv, scontrol_argv, whole_id
from labtui.slurm.errors import RPCError
from labtui.slurm.urgency import FINISHED
from labtui.spec import ActionSpec
from labtui.text import inert

SETTLE = 45.0
"""Seconds that Slurm may take until a job is in its new state: KillWait is 30 s by default."""
STEP = 0.5
HELD = ("JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue")


def is_held(job: Job) -> bool:
    return job.state == "PENDING" and (job.reason or "").startswith(HELD)


def _over(job: Job) -> str | None:
    return f"it is over ({job.state.lower()})" if job.state in FINISHED else None


def _not_waiting(job: Job) -> str | None:
    if is_held(job):
        return "it is held already"
    return None if job.state == "PENDING" else f"only a waiting job: it is {job.state.lower()}"


def _not_held(job: Job) -> str | None:
    return None if is_held(job) else "it is not held"


def _cannot_requeue(job: Job) -> str | None:
    if job.source == "sacct":
        return "Slurm has forgotten it: submit it again"
    return "it waits already" if job.state == "PENDING" else None


def _not_running(job: Job) -> str | None:
    return None if job.state == "RUNNING" else f"only a running job: it is {job.state.lower()}"


def _not_suspended(job: Job) -> str | None:
    return None if job.state == "SUSPENDED" else "it is not suspended"


def _no_log(job: Job) -> str | None:
    if job.state == "PENDING":
        return "it has not started"
    return None if job.stdout else "Slurm does not know its file any more"


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
        self.job_ids = list(dict.fromkeys(job_ids))
        self.settle = settle
        self._refused = ""
        self._before: dict[str, Job] = {}
        self._began = time.time()

    def argvs(self) -> list[list[str]]:
        return [scontrol_argv(self.id.partition(".")[2], self.job_ids)]

    @staticmethod
    def refusal(job: Job) -> str | None:
        """Why it makes no sense for a job as it is; also what disables the key."""
        raise NotImplementedError

    def settled(self, rows: list[Job]) -> str | None:
        """What has become of one target, in words; None while Slurm is not through with it."""
        raise NotImplementedError

    async def plan(self) -> Plan:
        try:
            argvs = self.argvs()
        except ValueError as error:
            raise ActionError(str(error)) from None
        names = []
        for job_id in self.job_ids:
            job = await _row(self.client, job_id)
            if job is None:
                raise ActionError(f"job {inert(job_id, 60)}: Slurm does not know it (any more)")
            why_not = self.refusal(job)
            if why_not and len(self.job_ids) == 1:
                raise ActionError(f"job {inert(job_id, 60)}: {why_not}")
            self._before[job_id] = job
            names.append(f"{inert(job_id, 60)} {inert(job.name, 60)}")
        several = len(names) > 1
        running = any(job.state == "RUNNING" for job in self._before.values())
        dangerous = several and running and self.id == "queue.cancel"
        return Plan(
            title=f"{self.verb} {len(names)} jobs" if several else f"{self.verb} job {names[0]}",
            targets=tuple(names),
            steps=tuple(Step(self.client.host.name, shlex.join(argv)) for argv in argvs),
            risks=self.risks,
            undo=self.undo,
            dangerous=dangerous,
            confirm_word=f"{len(names)} jobs" if dangerous else "",
        )

    async def run(self, progress: Progress) -> None:
        self._began = time.time()
        for argv in self.argvs():
            try:
                await self.client.tell(argv)
            except RPCError as error:
                self._refused = _refusal(error, self.client.host.name)
                if error.kind == "timeout":
                    raise Unknown(self._refused) from None
                if len(self.job_ids) == 1:
                    raise ActionError(f"Slurm refused: {self._refused}") from None
        progress("sent; waiting until Slurm shows it")

    async def verify(self) -> Outcome:
        deadline = time.monotonic() + self.settle
        said: dict[str, str] = {}
        while True:
            for job_id in self.job_ids:
                if job_id not in said and (word := await self._look(job_id)):
                    said[job_id] = word
            if len(said) == len(self.job_ids) or time.monotonic() > deadline or self._refused:
                break
            await asyncio.sleep(STEP)
        return self._told(said)

    async def _look(self, job_id: str) -> str | None:
        rows = [job for job in await _tasks(self.client, job_id) if covers(job_id, job.job_id)]
        if not rows and job_id in self._before:
            return self.gone or None
        if not rows:
            self._refused = self._refused or "Slurm does not know such a job"
        return self.settled(rows) if rows else None

    def _told(self, said: dict[str, str]) -> Outcome:
        late = [job_id for job_id in self.job_ids if job_id not in said]
        details = {"job_id": ",".join(self.job_ids), **{f"job {k}": v for k, v in said.items()}}
        words = "; ".join(f"job {inert(k, 40)} {v}" for k, v in list(said.items())[:3])
        if len(said) > 3:
            words = f"{len(said)} jobs are {self.past}"
        if not late:
            return Outcome("done", words, details)
        rest = ", ".join(inert(job_id, 40) for job_id in late[:5])
        if self._refused:
            text = f"Slurm refused for {rest}: {self._refused}"
            return Outcome("failed", f"{words}; {text}" if words else text, details)
        text = f"job {rest} is not {self.past} after {self.settle:.0f} s; Slurm may still do it"
        return Outcome("unknown", f"{words}; {text}" if words else text, details)


def covers(wanted: str, job_id: str) -> bool:
    """Whether a row is of what was meant: an array's plain id means all of its tasks, a folded
    one those that wait in its place."""
    if wanted == job_id:
        return True
    if "[" in wanted:
        return "[" in job_id and whole_id(job_id) == whole_id(wanted)
    return "_" not in wanted and "+" not in wanted and whole_id(job_id) == wanted


async def _tasks(client: SlurmClient, job_id: str) -> list[Job]:
    try:
        return await client.tasks(job_id)
    except RPCError as error:
        raise ActionError(error.msg) from None
    except ValueError as error:
        raise ActionError(str(error)) from None


async def _row(client: SlurmClient, job_id: str) -> Job | None:
    rows = await _tasks(client, job_id)
    of_it = [job for job in rows if covers(job_id, job.job_id)]
    # An array keeps a finished row of its waiting tasks beside those that still run.
    return min(of_it, key=lambda job: job.state in FINISHED, default=None)


def _refusal(error: RPCError, where: str) -> str:
    if error.kind == "permission":
        return f"{error.msg}: on {where} this account may not do that to another's job"
    return error.msg


class CancelJob(JobAction):
    id = "queue.cancel"
    verb = "Cancel"
    past = "cancelled"
    gone = "is cancelled"
    undo = "none; it can be submitted again"
    risks = ("what it has not written to disk is lost",)

    def argvs(self) -> list[list[str]]:
        return cancel_argv(self.job_ids)

    refusal = staticmethod(_over)

    def settled(self, rows: list[Job]) -> str | None:
        if any(job.state not in FINISHED for job in rows):
            return None
        states = {job.state for job in rows}
        if "CANCELLED" in states:
            return "is cancelled"
        return f"had ended by itself ({', '.join(sorted(states)).lower()})"


class HoldJob(JobAction):
    id = "queue.hold"
    verb = "Hold"
    past = "held"
    undo = "release it"

    refusal = staticmethod(_not_waiting)

    def settled(self, rows: list[Job]) -> str | None:
        waiting = [job for job in rows if job.state == "PENDING"]
        return "is held" if waiting and all(is_held(job) for job in waiting) else None


class ReleaseJob(JobAction):
    id = "queue.release"
    verb = "Release"
    past = "released"
    undo = "hold it"

    refusal = staticmethod(_not_held)

    def settled(self, rows: list[Job]) -> str | None:
        if any(is_held(job) for job in rows):
            return None
        return f"is released ({rows[0].state.lower()})"


class RequeueJob(JobAction):
    id = "queue.requeue"
    verb = "Requeue"
    past = "back in the queue"
    undo = "none; what it did so far is done again"
    risks = ("it starts from its beginning, and may write over what it wrote",)

    refusal = staticmethod(_cannot_requeue)

    def settled(self, rows: list[Job]) -> str | None:
        """It waits, or has been started again since it was asked for."""
        for job in rows:
            again = (job.start_time or 0.0) >= self._began - 1
            if not (job.state == "PENDING" or (job.state == "RUNNING" and again)):
                return None
        return "is back in the queue"


class SuspendJob(JobAction):
    id = "queue.suspend"
    verb = "Suspend"
    past = "suspended"
    undo = "resume it"
    risks = ("it keeps its memory and GPUs' memory while others may use its CPUs",)

    refusal = staticmethod(_not_running)

    def settled(self, rows: list[Job]) -> str | None:
        active = [job for job in rows if job.state in ("RUNNING", "SUSPENDED")]
        stopped = all(job.state == "SUSPENDED" for job in active)
        return "is suspended" if active and stopped else None


class ResumeJob(JobAction):
    id = "queue.resume"
    verb = "Resume"
    past = "running again"
    undo = "suspend it"

    refusal = staticmethod(_not_suspended)

    def settled(self, rows: list[Job]) -> str | None:
        stopped = any(job.state == "SUSPENDED" for job in rows)
        return None if stopped else f"runs again ({rows[0].state.lower()})"


_JOBS = ("jobs",)

ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "queue.log", "l", "log", "Its output, as it is written.", _JOBS,
        changes=False, disabled=_no_log,
    ),
    ActionSpec(
        "queue.cancel", "c", "cancel", "End it, or take it out of the queue.", _JOBS,
        many=True, disabled=_over,
    ),
    ActionSpec(
        "queue.hold", "h", "hold", "Keep it from starting until it is released.", _JOBS,
        many=True, disabled=_not_waiting,
    ),
    ActionSpec(
        "queue.release", "H", "release", "Let a held job start.", _JOBS,
        many=True, disabled=_not_held,
    ),
    ActionSpec(
        "queue.requeue", "R", "requeue", "Back into the queue, to run again.", _JOBS,
        many=True, disabled=_cannot_requeue, footer=False,
    ),
    ActionSpec(
        "queue.suspend", "z", "suspend", "Stop a running job where it is.", _JOBS,
        many=True, disabled=_not_running, footer=False,
    ),
    ActionSpec(
        "queue.resume", "Z", "resume", "Let a suspended job go on.", _JOBS,
        many=True, disabled=_not_suspended, footer=False,
    ),
    ActionSpec(
        "queue.why", "w", "why not", "Why it waits, and all that is known of it.", _JOBS,
        changes=False,
    ),
)  # fmt: skip
