"""What can be done to jobs. Each reads the queue again to tell what is so."""

from __future__ import annotations

from collections.abc import Sequence

from labtui.actions.jobs import JobAction
from labtui.model import ArrayJob, Job
from labtui.slurm import many
from labtui.slurm.accounting import operator_note
from labtui.slurm.argv import cancel_argv, is_shortened, whole_id
from labtui.slurm.urgency import FINISHED, HELD_STATES, has_held, is_held
from labtui.text import inert


def states(job: Job) -> set[str]:
    """Of a folded array those of its tasks."""
    return set(job.tasks) if isinstance(job, ArrayJob) else {job.state}


def over(job: Job) -> str | None:
    return f"it is over ({job.state.lower()})" if states(job) <= FINISHED else None


def not_waiting(job: Job) -> str | None:
    if is_held(job):
        return "it is held already"
    waits = "PENDING" in states(job)
    return None if waits else f"only a waiting job: it is {job.state.lower()}"


def not_held(job: Job) -> str | None:
    if isinstance(job, ArrayJob):  # its row does not tell why its tasks wait
        return None if states(job) & {"PENDING", *HELD_STATES} else "no task of it waits"
    return None if has_held(job) else "it is not held"


def cannot_requeue(job: Job) -> str | None:
    if job.source != "squeue":
        return "Slurm has forgotten it: submit it again"
    return "it waits already" if states(job) == {"PENDING"} else None


def not_running(job: Job) -> str | None:
    return None if "RUNNING" in states(job) else f"only a running job: it is {job.state.lower()}"


def not_suspended(job: Job) -> str | None:
    return None if "SUSPENDED" in states(job) else "it is not suspended"


def no_log(job: Job) -> str | None:
    """Of an array it asks which task's."""
    if job.state == "PENDING" and not is_array(job):
        return "it has not started"
    return None


def not_started(job: Job) -> str | None:
    if is_array(job):
        return "choose one of its tasks"
    return "it has not started" if job.state == "PENDING" else None


def not_pending(job: Job) -> str | None:
    if isinstance(job, ArrayJob):
        return "choose the row of its waiting tasks"
    return None if job.state == "PENDING" else f"it does not wait: it is {job.state.lower()}"


def is_array(job: Job) -> bool:
    """A row that stands for several tasks."""
    return isinstance(job, ArrayJob) or "[" in job.job_id


class CancelJob(JobAction):
    id = "queue.cancel"
    verb = "Cancel"
    past = "cancelled"
    gone = "is cancelled"
    undo = "none; it can be submitted again"
    risks = ("what it has not written to disk is lost",)

    def commands(self, job_ids: Sequence[str]) -> list[list[str]]:
        return cancel_argv(job_ids)

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        return tuple(
            f"{inert(one, 60)} is shortened: every task of {whole_id(one)} that waits is cancelled"
            for one in self.job_ids
            if is_shortened(one)
        )

    refusal = staticmethod(over)

    def settled(self, rows: list[Job]) -> str | None:
        if any(job.state not in FINISHED for job in rows):
            return None
        states = {job.state for job in rows}
        if "CANCELLED" in states:
            return "is cancelled"
        return f"had ended by itself ({', '.join(sorted(states)).lower()})"


class _Holding(JobAction):
    async def _rows(self, job_ids: Sequence[str]) -> list[Job]:
        """Each task on a row of its own where only some of those in one row are held."""
        rows = await super()._rows(job_ids)
        if any(has_held(job) and not is_held(job) for job in rows):
            return await many.rows(self.client, job_ids, apart=True)
        return rows


class HoldJob(_Holding):
    id = "queue.hold"
    verb = "Hold"
    past = "held"
    undo = "release it"

    refusal = staticmethod(not_waiting)

    def settled(self, rows: list[Job]) -> str | None:
        waiting = [job for job in rows if job.state == "PENDING"]
        return "is held" if waiting and all(is_held(job) for job in waiting) else None


class ReleaseJob(_Holding):
    id = "queue.release"
    verb = "Release"
    past = "released"
    undo = "hold it"

    refusal = staticmethod(not_held)

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

    refusal = staticmethod(cannot_requeue)

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

    refusal = staticmethod(not_running)

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        return await operator_note(self.client, "suspend a job")

    def settled(self, rows: list[Job]) -> str | None:
        active = [job for job in rows if job.state in ("RUNNING", "SUSPENDED")]
        stopped = all(job.state == "SUSPENDED" for job in active)
        return "is suspended" if active and stopped else None


class ResumeJob(JobAction):
    id = "queue.resume"
    verb = "Resume"
    past = "running again"
    undo = "suspend it"

    refusal = staticmethod(not_suspended)

    async def warnings(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        return await operator_note(self.client, "let a suspended job go on")

    def settled(self, rows: list[Job]) -> str | None:
        stopped = any(job.state == "SUSPENDED" for job in rows)
        return None if stopped else f"runs again ({rows[0].state.lower()})"
