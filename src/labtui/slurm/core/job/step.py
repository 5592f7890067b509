"""Steps of jobs that run. PySlurm's names, types and units."""

from __future__ import annotations

import time
from typing import Any

from labtui.slurm import bridge, settings
from labtui.slurm.core.job import actions
from labtui.slurm.db.stats import JobStepStatistics
from labtui.slurm.db.tres import GPU, TrackableResources, gpus
from labtui.slurm.record import Field, Record, Table, Text, Whole
from labtui.slurm.utils.ctime import timestr_to_mins
from labtui.slurm.xcollections import dict_recursive

Resources = Field[TrackableResources | None]


def _job_id(job: Any) -> int:
    """The id of a job, or the number itself."""
    return int(getattr(job, "id", job))


class JobStep(Record):
    """One step: srun's, or `batch`, `extern`, `interactive`. What is not told is None."""

    id: Field[int | str] = Field("number, or batch, extern, interactive", default=lambda: 0)
    job_id: Field[int] = Field("the job it is of", default=lambda: 0)
    cluster: Field[str] = Field("the cluster it is on", default=settings.local_cluster)
    name = Text("what its user called it")
    user_id = Whole("number of its user; only in the text of scontrol")
    user_name = Text("name of its user; only in JSON")
    partition = Text("partition it runs in")
    state = Text("RUNNING, PENDING, ...")
    time_limit: Field[Any] = Field("minutes; None: unlimited or not set", settable=True)
    start_time = Whole("unix seconds")
    _real: Field[bool] = Field("whether `job_id` is not just its array's", default=lambda: False)
    _ran = Whole("seconds, when it was asked")
    cpus = Whole("how many CPUs; 1 for a batch step, of which Slurm counts none")
    ntasks = Whole("how many tasks")
    distribution: Field[dict[str, Any] | None] = Field("how tasks are spread")
    allocated_nodes = Text("its nodes, as a list with ranges")
    srun_host = Text("machine its srun runs on")
    srun_process_id = Whole("process id of its srun; not in JSON from Slurm 26.05 on")
    command = Text("the command that started it (JSON)")
    container = Text("path of an OCI bundle")
    container_id = Text("name of an OCI container")
    network = Text("network options")
    reserved_ports = Text("ports kept for it")
    cpu_frequency_min: Field[int | str | None] = Field("kHz, or a word")
    cpu_frequency_max: Field[int | str | None] = Field("kHz, or a word")
    cpu_frequency_governor: Field[int | str | None] = Field("a word")
    array_id = Whole("id of its job's array")
    array_task_id = Whole("its job's number in the array")
    standard_input = Text("path (Slurm 25.05 or later)")
    standard_output = Text("path (Slurm 25.05 or later)")
    standard_error = Text("path (Slurm 25.05 or later)")
    working_directory = Text("not shown by the commands")
    slurm_protocol_version = Whole("not shown by the commands")
    tres: Resources = Field("resources it has")
    tres_per_step: Resources = Field("resources it asks in all")
    tres_per_socket: Resources = Field("resources a socket")
    tres_per_node: Resources = Field("resources a node")
    tres_per_task: Resources = Field("resources a task")
    stats: Field[JobStepStatistics] = Field("what `load_stats` saw", default=JobStepStatistics)
    pids = Table("process ids by node, as `load_stats` saw them")

    def __init__(self, job_id: Any = 0, step_id: int | str = 0, **kwargs: Any) -> None:
        """`job_id`: a number or a Job. The rest is to be changed with `modify`."""
        self._fill({"job_id": _job_id(job_id), "id": _step_id(step_id)})
        self._assign(kwargs)

    def __repr__(self) -> str:
        return f"pyslurm.JobStep({self.id})"

    @property
    def run_time(self) -> int | None:
        """Seconds it has run."""
        if self._ran is not None:
            return self._ran
        return None if self.start_time is None else max(0, int(time.time()) - self.start_time)

    @property
    def run_time_remaining(self) -> int | None:
        """Seconds until its limit; None without one."""
        if self.time_limit is None or self.run_time is None:
            return None
        return int(timestr_to_mins(self.time_limit) * 60 - self.run_time)

    @property
    def elapsed_cpu_time(self) -> int | None:
        """CPU seconds: CPUs times run time."""
        if self.cpus is None or self.run_time is None:
            return None
        return self.cpus * self.run_time

    @property
    def gres(self) -> dict[str, Any]:
        """Generic resources among `tres`, by name and type."""
        return self.tres.gres if self.tres is not None else {}

    @property
    def gpus(self) -> dict[str, GPU]:
        """The GPUs among `gres`."""
        return gpus(self.tres)

    @classmethod
    def load(cls, job_id: Any, step_id: int | str) -> JobStep:
        """One step of a job (its id, or a Job). RPCError where there is no such step."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.step(c, _job_id(job_id), _step_id(step_id)))

    def load_stats(self) -> JobStepStatistics:
        """Measure it now; fills `stats` and `pids`."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.step_stats(c, self))

    def send_signal(self, signal: Any) -> None:
        """Send a signal (9, "SIGTERM") to its tasks. ValueError for an unknown signal."""
        bridge.call(lambda c: actions.signal_step(c, self.job_id, self.id, signal))

    def cancel(self) -> None:
        """End it."""
        self.send_signal(9)

    def modify(self, changes: JobStep) -> None:
        """Change its time limit to that of `changes`."""
        bridge.call(lambda c: actions.modify_step(c, self.job_id, self.id, changes.time_limit))


def _step_id(step_id: Any) -> int | str:
    """A number where it is one. ValueError for what is no step."""
    if step_id in ("batch", "extern", "interactive", "pending"):
        return str(step_id)
    return int(step_id)


class JobSteps(dict[int | str, JobStep]):
    """Steps of one job by their id."""

    def __init__(self, steps: Any = None) -> None:
        super().__init__(
            {step.id: step for step in steps} if isinstance(steps, list) else steps or {}
        )

    def __repr__(self) -> str:
        return f"pyslurm.JobSteps({super().__repr__()})"

    @classmethod
    def load(cls, job: Any) -> JobSteps:
        """Steps of a job (its id, or a Job). RPCError where slurmctld does not know it."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.steps(c, _job_id(job)))

    @staticmethod
    def load_all() -> dict[int, JobSteps]:
        """Steps of all jobs that run, by job id."""
        from labtui.slurm import aio

        return bridge.call(aio.all_steps)

    def to_dict(self, recursive: bool = False) -> dict[Any, Any]:
        """Plain dicts by step id."""
        return dict_recursive(self, recursive)
