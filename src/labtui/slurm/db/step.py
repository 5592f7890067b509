"""Steps of jobs in the accounting."""

from __future__ import annotations

from typing import Any

from labtui.slurm.db.kinds import (
    CLOCK,
    CODE,
    FREQUENCY,
    GOVERNOR,
    SIGNAL,
    STATE,
    TIME_LIMIT,
    TRACKED,
    count_of,
    gpus,
)
from labtui.slurm.db.stats import JobStepStatistics
from labtui.slurm.db.tres import GPU, GenericResources
from labtui.slurm.record import Record
from labtui.slurm.served import COUNT, MOMENT, SIZE, WORD, WRITTEN, Served, none
from labtui.slurm.xcollections import dict_recursive


class JobSteps(dict[Any, Any]):
    """Steps by their number, or by `batch`, `extern` and `interactive`."""

    def __repr__(self) -> str:
        return f"pyslurm.db.JobSteps({super().__repr__()})"

    def to_dict(self, recursive: bool = False) -> dict[Any, Any]:
        """Each as a dict."""
        return dict_recursive(self, recursive)


class JobStep(Record):
    """One step. Moments in unix seconds, lengths in seconds, memory in MiB."""

    stats: JobStepStatistics
    """`TRESUsage*`, `TotalCPU`, `UserCPU`, `SystemCPU`, `AveCPUFreq`, `ConsumedEnergyRaw`; JSON
    `tres.requested`, `tres.consumed`, `time`, `statistics`."""

    id = Served(WORD, "JobID", "step.id", "Its number, or `batch`, `extern`, `interactive`.")
    job_id = Served(COUNT, "JobIDRaw", "step.job_id", "The job's own number.")
    name = Served(WRITTEN, "JobName", "step.name", "Its name.")
    state = Served(STATE, "State", "state", "One word.")
    cancelled_by = Served(
        WORD, "State", "kill_request_user", "Who ended it; a number where the user's name is not "
        "among what is loaded.",
    )  # fmt: skip
    container = Served(WRITTEN, "Container", "", "Its OCI bundle.")
    elapsed_time = Served(COUNT, "ElapsedRaw", "time.elapsed", "Seconds.")
    start_time = Served(MOMENT, "Start", "time.start", "When it started.")
    end_time = Served(MOMENT, "End", "time.end", "When it ended.")
    suspended_time = Served(CLOCK, "Suspended", "time.suspended", "Seconds.")
    exit_code = Served(CODE, "ExitCode", "exit_code", "Its exit code.")
    exit_code_signal = Served(SIGNAL, "ExitCode", "exit_code", "The signal that ended it; 0: none.")
    ntasks = Served(SIZE, "NTasks", "tasks.count", "Tasks.")
    cpu_frequency_min = Served(
        FREQUENCY, "ReqCPUFreqMin", "CPU.requested_frequency.min", "kHz, or a word."
    )
    cpu_frequency_max = Served(
        FREQUENCY, "ReqCPUFreqMax", "CPU.requested_frequency.max", "kHz, or a word."
    )
    cpu_frequency_governor = Served(
        GOVERNOR, "ReqCPUFreqGov", "CPU.governor", "A word; not told by v0.0.37 and v0.0.38."
    )
    nodelist = Served(WORD, "NodeList", "nodes.range", "Its nodes as a list with ranges.")
    submit_command = Served(WRITTEN, "SubmitLine", "submit_line", "What was typed.")
    working_directory = Served(
        WRITTEN, "", "", "None: the accounting has no folder of a step that its commands show."
    )
    standard_input = Served(
        WRITTEN, "StdIn", "step.stdin_expanded", "Its file; told from v0.0.43 on."
    )
    standard_output = Served(
        WRITTEN, "StdOut", "step.stdout_expanded", "Its file; told from v0.0.43 on."
    )
    standard_error = Served(
        WRITTEN, "StdErr", "step.stderr_expanded", "Its file; told from v0.0.43 on."
    )
    time_limit = Served(
        TIME_LIMIT, "", "time.limit", "Minutes; in JSON from v0.0.43 on.", default=none
    )
    tres = Served(TRACKED, "AllocTRES", "tres.allocated", "What it had.")
    _nodes = Served(SIZE, "NNodes", "nodes.count", "")

    def __init__(self) -> None:
        raise RuntimeError("You can not instantiate this class directly at the moment")

    def __repr__(self) -> str:
        return f"pyslurm.db.JobStep({self.id})"

    @property
    def num_nodes(self) -> int | None:
        """`NNodes`, JSON `nodes.count`."""
        return self._nodes or count_of(self.tres, "node")

    @property
    def cpus(self) -> int | None:
        """`cpu` of `tres`."""
        return count_of(self.tres, "cpu")

    @property
    def memory(self) -> int | None:
        """MiB: `mem` of `tres`."""
        return count_of(self.tres, "mem")

    @property
    def eligible_time(self) -> int | None:
        """`start_time`"""
        return self.start_time

    @property
    def gres(self) -> GenericResources | dict[str, Any]:
        """Generic resources of `tres`."""
        return self.tres.gres if self.tres else {}

    @property
    def gpus(self) -> dict[str, GPU]:
        """GPUs of `tres`."""
        return gpus(self.tres)
