"""Jobs as slurmctld holds them. PySlurm's names, types and units."""

from __future__ import annotations

import time
from typing import Any, Self

from labtui.slurm import bridge, settings
from labtui.slurm.core.job import actions
from labtui.slurm.core.job.step import JobSteps
from labtui.slurm.core.job.submission import JobSubmitDescription
from labtui.slurm.db.stats import JobStatistics
from labtui.slurm.db.tres import GPU, TrackableResources, gpus
from labtui.slurm.record import Field, Flag, Record, Table, Text, Whole, Words
from labtui.slurm.xcollections import MultiClusterMap, multi_reload, sum_property

Resources = Field[TrackableResources | None]


class Job(Record):
    """One job. `Job(7)` names one, `Job.load(7)` knows it.

    What slurmctld did not tell, or the commands of this release do not show, is None (an empty
    list or dict).
    """

    id: Field[int] = Field("its number; of a started array task its own, not the array's")
    name = Text("what its user called it")
    cluster: Field[str] = Field("the cluster it is on", default=settings.local_cluster)
    association_id = Whole("number of the association it is charged to")
    account = Text("account it is charged to")
    user_id = Whole("number of its user")
    user_name = Text("name of its user")
    group_id = Whole("number of its group")
    group_name = Text("name of its group")
    priority = Whole("scheduling priority; 0: held")
    nice = Whole("what its user took off its priority; 0 is not in lists before Slurm 23.02")
    qos = Text("quality of service")
    wckey = Text("workload characterisation key")
    mcs_label = Text("label of the multi-category security plugin")

    state = Text("one word: PENDING, RUNNING, COMPLETING, ...")
    state_reason = Text("why it waits, or how it failed: one of Slurm's codes, or a sentence")
    is_requeueable = Flag("whether it may go back into the queue")
    requeue_count: Field[int] = Field("how often it went back", default=lambda: 0)
    is_batch_job = Flag("whether it has a script")
    requires_node_reboot = Flag("whether its nodes boot before it starts")
    dependencies: Field[dict[str, Any] | None] = Field(
        "job ids by kind (after, afterany, afterok, ...), `singleton`, and `satisfy`: all or any"
    )
    kill_on_invalid_dependency = Flag("whether it ends when its dependency cannot be met")
    failed_node = Text("node that made it fail")

    time_limit = Whole("minutes; None: unlimited or not set")
    time_limit_min = Whole("minutes that the scheduler may shorten its limit to")
    submit_time = Whole("unix seconds")
    eligible_time = Whole("unix seconds from which on it may start")
    accrue_time = Whole("unix seconds from which on its age counts")
    start_time = Whole("unix seconds: when it started, or is expected to")
    end_time = Whole("unix seconds: when it ended, or has to")
    resize_time = Whole("unix seconds of its last change of size")
    deadline = Whole("unix seconds by which it has to end")
    preempt_eligible_time = Whole("unix seconds from which on it may be preempted")
    preempt_time = Whole("unix seconds at which it was told to make room")
    suspend_time = Whole("unix seconds of the last suspension or resumption")
    last_sched_evaluation_time = Whole("unix seconds at which a scheduler last looked at it")
    pre_suspension_time = Whole("seconds it ran before its last suspension")
    delay_boot_time = Whole("minutes that node reboots for its features may be put off")
    cronjob_time = Text("when it repeats, as crontab has it")
    is_cronjob = Flag("whether scrontab made it")

    partition = Text("partitions, with commas while it waits")
    reservation = Text("reservation it runs in")
    submit_host = Text("machine it was submitted from")
    submit_session_id = Whole("session it was submitted from; only in the text of scontrol")
    submit_line = Text("the command that submitted it (Slurm 25.11 or later)")
    batch_host = Text("node its script runs on")
    num_nodes = Whole("how many nodes it has or asks")
    max_nodes = Whole("how many nodes it asks at most")
    allocated_nodes = Text("its nodes, as a list with ranges")
    required_nodes = Text("nodes it must have")
    excluded_nodes = Text("nodes it must not have")
    scheduled_nodes = Text("nodes it is planned for")

    exit_code = Whole("of its script")
    exit_code_signal = Whole("signal that ended its script; 0: none")
    derived_exit_code = Whole("highest exit code of its steps")
    derived_exit_code_signal = Whole("signal of the highest exit code; 0: none")

    constraints = Words("node features it needs")
    batch_constraints = Words("node features its script needs")
    preferred_features = Words("node features it prefers")
    cluster_constraints = Words("cluster features it needs")
    federation_origin = Text("cluster it came from")
    federation_siblings_active = Words("clusters where it runs")
    federation_siblings_viable = Words("clusters where it may run")

    cpus: Field[int | None] = Field("how many CPUs it has or asks", default=lambda: 1)
    cpus_per_task: Field[int | None] = Field(
        "CPUs a task; not in lists before Slurm 23.02", default=lambda: 1
    )
    cpus_per_gpu = Whole("CPUs a GPU, where it asked so")
    min_cpus_per_node = Whole("CPUs a node at least")
    boards_per_node = Whole("boards a node; only in the text of scontrol")
    sockets_per_board = Whole("sockets a board")
    sockets_per_node = Whole("sockets a node")
    cores_per_socket = Whole("cores a socket")
    threads_per_core = Whole("threads a core")
    ntasks: Field[int | None] = Field("how many tasks", default=lambda: 1)
    ntasks_per_node = Whole("tasks a node")
    ntasks_per_board = Whole("tasks a board")
    ntasks_per_socket = Whole("tasks a socket")
    ntasks_per_core = Whole("tasks a core")
    ntasks_per_gpu = Whole("tasks a GPU")
    cores_reserved_for_system = Whole("cores kept for the system")
    threads_reserved_for_system = Whole("threads kept for the system")

    memory_per_cpu = Whole("MiB a CPU")
    memory_per_node = Whole("MiB a node")
    memory_per_gpu = Whole("MiB a GPU")
    temporary_disk_per_node = Whole("MiB a node")

    resource_sharing = Text("no, yes, user, mcs, topo")
    requires_contiguous_nodes = Flag("whether its nodes have to lie side by side")
    spreads_over_nodes = Flag("whether it takes as many nodes as it can")
    licenses = Words("licences it asks")
    allocated_licenses = Words("licences it has (Slurm 25.05 or later)")
    network = Text("network options")
    required_switches = Whole("leaf switches at most")
    max_wait_time_switches = Whole("seconds it waits for those")
    segment_size = Whole("nodes a segment (Slurm 25.05 or later)")
    spread_segments = Flag("segments on different blocks; not shown by the commands")
    consolidate_segments = Flag("segments on few blocks; not shown by the commands")

    command = Text("script, as it was named on submission")
    working_directory = Text("folder it runs in")
    standard_input = Text("path, filled in")
    standard_output = Text("path, filled in")
    standard_error = Text("path, filled in; that of the output where they go together")
    container = Text("path of an OCI bundle")
    container_id = Text("name of an OCI container")
    comment = Text("its user's own words")
    admin_comment = Text("an administrator's words")
    system_comment = Text("slurmctld's words")
    extra = Text("more of its user's words")
    burst_buffer = Text("burst buffer options")
    burst_buffer_state = Text("state of its burst buffer")
    cpu_frequency_min: Field[int | str | None] = Field("kHz, or a word")
    cpu_frequency_max: Field[int | str | None] = Field("kHz, or a word")
    cpu_frequency_governor: Field[int | str | None] = Field("a word")
    billable_tres: Field[float] = Field("what it costs", default=lambda: 0.0)
    mail_user = Words("who gets mail")
    mail_types = Words("when: BEGIN, END, FAIL, ...")
    profile_types = Words("what its profile gathers")
    heterogeneous_id = Whole("id of the heterogeneous job it is part of")
    heterogeneous_offset = Whole("which part")
    array_id = Whole("id of its array")
    array_tasks_parallel = Whole("how many tasks of its array run at once")
    array_task_id = Whole("its number in the array; None for tasks that wait together")
    array_tasks_waiting = Text("numbers of the tasks that wait, as `0-3,7`")

    gres_per_node = Table("generic resources a node, as `{'gpu': 1}`")
    tres_per_node: Resources = Field("resources a node")
    tres_per_task: Resources = Field("resources a task")
    tres_per_job: Resources = Field("resources for the whole job")
    tres_per_socket: Resources = Field("resources a socket")
    allocated_tres: Resources = Field("resources it has or had")
    requested_tres: Resources = Field("resources it asks")
    gres_binding = Text("enforce-binding, disable-binding")
    gres_tasks_per_sharing = Text("one, multiple; not shown by the commands")
    kill_step_when_oom = Flag("whether a step ends when memory is short; not shown by the commands")
    reserved_ports: Field[Any] = Field("not shown by the commands")
    selinux_context = Text("SELinux context")
    slurm_protocol_version = Whole("not shown by the commands")

    steps: Field[JobSteps] = Field("its steps, where they were loaded", default=JobSteps)
    stats: Field[JobStatistics] = Field("what `load_stats` measured", default=JobStatistics)
    pids = Table("process ids by node, as `load_stats` saw them")

    _layout: Field[dict[str, Any]] = Field("CPUs, memory and GRES by node", default=dict)

    def __init__(self, job_id: int) -> None:
        self._fill({"id": int(job_id)})

    def __repr__(self) -> str:
        return f"pyslurm.Job({self.id})"

    # -- what follows from the rest --------------------------------------------------------

    @property
    def memory(self) -> int | None:
        """MiB for the whole job: what it asks a CPU or a node, multiplied."""
        if self.memory_per_cpu is not None:
            return None if self.cpus is None else self.memory_per_cpu * self.cpus
        if self.memory_per_node is not None:
            return self.memory_per_node * (self.num_nodes or 1)
        return None

    @property
    def run_time(self) -> int:
        """Seconds it has run, without suspensions. 0 while it waits."""
        if self.state == "PENDING" or not self.start_time:
            return 0
        if self.state == "SUSPENDED":
            return self.pre_suspension_time or 0
        going = self.state in ("RUNNING", "COMPLETING") or not self.end_time
        end = int(time.time()) if going else self.end_time or 0
        if self.state == "COMPLETING" and self.end_time:
            end = min(end, self.end_time)
        if self.suspend_time:
            return max(0, end - self.suspend_time) + (self.pre_suspension_time or 0)
        return max(0, end - self.start_time)

    @property
    def run_time_remaining(self) -> int | None:
        """Seconds until its limit; None without one."""
        return None if self.time_limit is None else self.time_limit * 60 - self.run_time

    @property
    def elapsed_cpu_time(self) -> int | None:
        """CPU seconds: CPUs times run time."""
        return None if self.cpus is None else self.cpus * self.run_time

    @property
    def tres(self) -> TrackableResources | None:
        """What it has while it runs, else what it asks."""
        running = self.state in ("RUNNING", "SUSPENDED", "COMPLETING")
        return self.allocated_tres if running and self.allocated_tres else self.requested_tres

    @property
    def gres(self) -> dict[str, Any]:
        """Generic resources among `tres`, by name and type."""
        return self.tres.gres if self.tres is not None else {}

    @property
    def gpus(self) -> dict[str, GPU]:
        """The GPUs among `gres`."""
        return gpus(self.tres)

    def get_resource_layout_per_node(self) -> dict[str, dict[str, Any]]:
        """`{node: {"cpu_ids": "3,7", "memory": MiB, "gres": {...}}}` of a loaded job."""
        return {node: dict(parts) for node, parts in self._layout.items()}

    # -- asking and telling ----------------------------------------------------------------

    @classmethod
    def load(cls, job_id: int) -> Job:
        """The job, and its steps if it has started. RPCError where slurmctld does not know it."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.job(c, int(job_id)))

    def send_signal(self, signal: Any, steps: str = "children", hurry: bool = False) -> None:
        """Send a signal: to its steps ("children"), its script ("batch") or both ("all").

        `hurry`: stage no burst buffer out. A job that is over is no error, and neither is an
        unknown one for SIGKILL. ValueError for an unknown signal.
        """
        bridge.call(lambda c: actions.signal_job(c, self.id, signal, steps, hurry))

    def cancel(self) -> None:
        """End it, or take it out of the queue."""
        self.send_signal(9)

    def suspend(self) -> None:
        """Stop it where it is, keeping its resources."""
        bridge.call(lambda c: actions.suspend_job(c, self.id))

    def unsuspend(self) -> None:
        """Let it go on."""
        bridge.call(lambda c: actions.unsuspend_job(c, self.id))

    def modify(self, changes: JobSubmitDescription) -> None:
        """Change it: whatever `changes` sets. ValueError for what scontrol cannot change."""
        bridge.call(lambda c: actions.modify_job(c, self.id, changes))

    def hold(self, mode: str | None = None) -> None:
        """Keep it from starting; with mode "user" its user may release it again."""
        bridge.call(lambda c: actions.hold_job(c, self.id, mode))

    def release(self) -> None:
        """Let a held job start."""
        bridge.call(lambda c: actions.release_job(c, self.id))

    def requeue(self, hold: bool = False) -> None:
        """Put it back into the queue, with `hold` in a held state."""
        bridge.call(lambda c: actions.requeue_job(c, self.id, hold))

    def notify(self, msg: str) -> None:
        """Write a message into its output."""
        bridge.call(lambda c: actions.notify_job(c, self.id, msg))

    def load_stats(self) -> JobStatistics:
        """Measure its steps now; fills `stats` and `pids`."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.job_stats(c, self))

    def get_batch_script(self) -> str:
        """The script (one's own, or as an operator)."""
        return bridge.call(lambda c: actions.batch_script(c, self.id))


class Jobs(MultiClusterMap[int, Job]):
    """Jobs by id. `frozen`: a reload adds and takes away nothing."""

    def __init__(self, jobs: Any = None, frozen: bool = False) -> None:
        super().__init__(jobs, typ="Jobs", val_type=Job, key_type=int, id_attr=Job.id)
        self.frozen = frozen
        self.stats = JobStatistics()

    @classmethod
    def load(cls, preload_passwd_info: bool = False, frozen: bool = False) -> Jobs:
        """All jobs that slurmctld knows. `preload_passwd_info` changes nothing: Slurm gives names.

        Slurm before 23.02 does not list mail, files and submission host: `Job.load` has them.
        """
        from labtui.slurm import aio

        found = bridge.call(aio.jobs)
        found.frozen = frozen
        return found

    def reload(self) -> Self:
        """Ask again, and put the answers into this collection."""
        multi_reload(self, frozen=self.frozen)
        return self

    def load_steps(self) -> None:
        """Load the steps of all these jobs that have started."""
        from labtui.slurm import aio

        bridge.call(lambda c: aio.load_steps(c, self))

    def load_stats(self) -> JobStatistics:
        """Measure all these jobs that run; their sum becomes `stats`."""
        from labtui.slurm import aio

        return bridge.call(lambda c: aio.jobs_stats(c, self))

    @property
    def memory(self) -> int:
        """MiB of all."""
        return int(sum_property(self, Job.memory))

    @property
    def cpus(self) -> int:
        """CPUs of all."""
        return int(sum_property(self, Job.cpus))

    @property
    def ntasks(self) -> int:
        """Tasks of all."""
        return int(sum_property(self, Job.ntasks))

    @property
    def elapsed_cpu_time(self) -> int:
        """CPU seconds of all."""
        return int(sum_property(self, Job.elapsed_cpu_time))
