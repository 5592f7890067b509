"""Jobs in the accounting: `db.Jobs.load(db.JobFilter(users=["ana"]))`."""

from __future__ import annotations

from typing import Any

from labtui.slurm import bridge, settings
from labtui.slurm.db.connection import Connection, _open_conn_or_error
from labtui.slurm.db.filters import JobFilter
from labtui.slurm.db.kinds import (
    CLOCK,
    CODE,
    RECEIVED,
    SCHEDULER,
    SIGNAL,
    STATE,
    TASK,
    TIME_LIMIT,
    TRACKED,
    count_of,
    gpus,
)
from labtui.slurm.db.stats import JobStatistics
from labtui.slurm.db.step import JobSteps
from labtui.slurm.db.tres import GPU, GenericResources, TrackableResources
from labtui.slurm.served import (
    COUNT,
    LIST,
    MOMENT,
    SIZE,
    TRES,
    WORD,
    WRITTEN,
    Changeable,
    Served,
    as_text,
)
from labtui.slurm.xcollections import MultiClusterMap


class Job(Changeable):
    """One job. Moments in unix seconds, lengths in seconds, memory in MiB."""

    steps: JobSteps
    """Its steps, of the same document."""
    stats: JobStatistics
    """Its steps' statistics together."""

    account = Served(WORD, "Account", "account", "The account it is charged to.")
    admin_comment = Served(
        WRITTEN, "AdminComment", "comment.administrator", "An operator's words.", put=as_text
    )
    array_id = Served(SIZE, "JobID", "array.job_id", "The array it is a task of.")
    array_tasks_parallel = Served(
        SIZE, "JobID", "array.limits.max.running.tasks", "Tasks that may run at once."
    )
    array_task_id = Served(
        TASK, "JobID", "array.task_id", "Its number in the array; 0 is one. (PySlurm: None.)"
    )
    array_tasks_waiting = Served(
        WORD, "JobID", "array.task", "`2-7`: tasks that have no record of their own yet."
    )
    association_id = Served(SIZE, "AssocID", "association.id", "The association's number.")
    block_id = Served(WORD, "BlockID", "block", "Of BlueGene machines.")
    cluster = Served(
        WORD, "Cluster", "cluster", "The cluster's name.", default=settings.local_cluster
    )
    constraints = Served(LIST, "Constraints", "constraints", "Features it asked for.")
    container = Served(WRITTEN, "Container", "container", "Its OCI bundle.")
    db_index = Served(SIZE, "DBIndex", "", "Its number in the data base.")
    derived_exit_code = Served(
        CODE, "DerivedExitCode", "derived_exit_code", "The worst exit code of its steps.", put=int
    )
    derived_exit_code_signal = Served(
        SIGNAL, "DerivedExitCode", "derived_exit_code", "The signal with it; 0: none."
    )
    comment = Served(WRITTEN, "Comment", "comment.job", "Its user's words.", put=as_text)
    elapsed_time = Served(SIZE, "ElapsedRaw", "time.elapsed", "Seconds.")
    eligible_time = Served(MOMENT, "Eligible", "time.eligible", "When it could start.")
    end_time = Served(MOMENT, "End", "time.end", "When it ended.")
    extra = Served(WRITTEN, "Extra", "extra", "Free text; 23.11 or later.", put=as_text)
    exit_code = Served(
        CODE, "ExitCode", "exit_code", "Its exit code. v0.0.37 and v0.0.38 tell none but that of "
        "success.",
    )  # fmt: skip
    exit_code_signal = Served(SIGNAL, "ExitCode", "exit_code", "The signal that ended it; 0: none.")
    failed_node = Served(WORD, "FailedNode", "failed_node", "The node that failed it.")
    heterogeneous_id = Served(SIZE, "JobID", "het.job_id", "Of a job of several parts.")
    heterogeneous_offset = Served(TASK, "JobID", "het.job_offset", "Which part.")
    id = Served(COUNT, "JobIDRaw", "job_id", "Its own number.")
    name = Served(WRITTEN, "JobName", "name", "Its name.")
    mcs_label = Served(WORD, "McsLabel", "mcs.label", "Its label, with an MCS plugin.")
    nodelist = Served(WORD, "NodeList", "nodes", "Its nodes as a list with ranges.")
    partition = Served(WORD, "Partition", "partition", "Its partition.")
    priority = Served(COUNT, "Priority", "priority", "Its priority.")
    qos = Served(WORD, "QOS", "qos", "Its QoS.")
    requeue_count = Served(COUNT, "Restarts", "restart_cnt", "How often it was requeued.")
    requested_reservations = Served(
        LIST,
        "ReqReservation",
        "reservation.requested",
        "Reservations it asked for; 25.11 or later.",
    )
    reservation = Served(WORD, "Reservation", "reservation.name", "The reservation it ran in.")
    reservation_id = Served(SIZE, "ReservationId", "reservation.id", "That one's number.")
    script = Served(
        WRITTEN, "", "script", "`sacct --batch-script`: asked with `with_script`, kept where "
        "AccountingStoreFlags has job_script.",
    )  # fmt: skip
    environment = Served(
        TRES, "", "", "`sacct --env-vars`: asked with `with_env`, kept where AccountingStoreFlags "
        "has job_env.",
    )  # fmt: skip
    start_time = Served(MOMENT, "Start", "time.start", "When it started.")
    state = Served(STATE, "State", "state.current", "One word.")
    state_reason = Served(WORD, "Reason", "state.reason", "Why it last waited.")
    cancelled_by = Served(
        WORD, "State", "kill_request_user", "Who ended it; a number where the user's name is not "
        "among what is loaded.",
    )  # fmt: skip
    submit_time = Served(MOMENT, "Submit", "time.submission", "When it was submitted.")
    submit_command = Served(WRITTEN, "SubmitLine", "submit_line", "What was typed.")
    suspended_time = Served(CLOCK, "Suspended", "time.suspended", "Seconds.")
    system_comment = Served(
        WRITTEN, "SystemComment", "comment.system", "Slurm's own words.", put=as_text
    )
    time_limit = Served(
        TIME_LIMIT, "TimelimitRaw", "time.limit", 'Minutes; "PartitionLimit": it asked for none.'
    )
    user_id = Served(COUNT, "UID", "", "Its user's number.")
    user_name = Served(WORD, "User", "user|association.user", "Its user.")
    wckey = Served(WORD, "WCKey", "wckey.wckey", "Its workload characterisation key.", put=as_text)
    wckey_id = Served(SIZE, "WCKeyID", "", "That key's number.")
    working_directory = Served(WRITTEN, "WorkDir", "working_directory", "Its folder.")
    lineage = Served(WORD, "", "", "None: no command shows a job's.")
    licenses = Served(LIST, "Licenses", "licenses", "Licenses it had; 24.05 or later.")
    standard_input = Served(
        WRITTEN, "StdIn", "stdin_expanded|stdin", "Its file, patterns filled in; 24.05 or later."
    )
    standard_output = Served(
        WRITTEN, "StdOut", "stdout_expanded|stdout", "Its file, patterns filled in; 24.05 or later."
    )
    standard_error = Served(
        WRITTEN, "StdErr", "stderr_expanded|stderr", "Its file, patterns filled in; 24.05 or later."
    )
    segment_size = Served(SIZE, "SegmentSize", "segment_size", "Nodes a segment; 25.05 or later.")
    scheduler = Served(SCHEDULER, "Flags", "flags", "Which scheduler started it.")
    start_rpc_received = Served(RECEIVED, "Flags", "flags", "Whether its start was recorded.")
    allocated_tres = Served(TRACKED, "AllocTRES", "tres.allocated", "What it had.")
    requested_tres = Served(TRACKED, "ReqTRES", "tres.requested", "What it asked for.")
    _asked_cpus = Served(SIZE, "ReqCPUS", "required.CPUs", "")
    _nodes = Served(SIZE, "NNodes", "allocation_nodes", "")
    _group_id = Served(COUNT, "GID", "", "")
    _group = Served(WORD, "Group", "group", "")

    def __init__(self, job_id: int = 0, cluster: str | None = None, **kwargs: Any) -> None:
        self.__dict__["_changed"] = {}
        self.__dict__ |= {"id": int(job_id), "steps": JobSteps(), "stats": JobStatistics()}
        if cluster:
            self.__dict__["cluster"] = cluster
        self._assign(kwargs)

    def __repr__(self) -> str:
        return f"pyslurm.db.Job({self.id})"

    @staticmethod
    def load(
        job_id: int, cluster: str | None = None, with_script: bool = False, with_env: bool = False
    ) -> Job:
        """`sacct --jobs=ID`. RPCError where the accounting does not know it."""
        from labtui.slurm.db import aio

        return bridge.call(lambda client: aio.job(client, job_id, cluster, with_script, with_env))

    def modify(self, changes: Job, db_connection: Connection | None = None) -> None:
        """`sacctmgr modify job`; see `Jobs.modify`."""
        Jobs.modify(JobFilter(ids=[self.id]), changes, db_connection)

    def group_id(self) -> int | None:
        """`GID`; JSON does not tell."""
        return self._group_id

    def group_name(self) -> str | None:
        """`Group`, JSON `group`"""
        return self._group

    @property
    def num_nodes(self) -> int | None:
        """`node` of what it had or asked for, else `NNodes`."""
        asked = count_of(self.requested_tres, "node")
        return count_of(self.allocated_tres, "node") or asked or self._nodes

    @property
    def cpus(self) -> int | None:
        """`cpu` of what it had, else `ReqCPUS`, JSON `required.CPUs`."""
        had = count_of(self.allocated_tres, "cpu")
        return self._asked_cpus if had is None else had

    @property
    def memory(self) -> int | None:
        """MiB: `mem` of what it asked for."""
        return count_of(self.requested_tres, "mem")

    @property
    def tres(self) -> TrackableResources | None:
        """What it had, else what it asked for."""
        return self.allocated_tres or self.requested_tres

    @property
    def gres(self) -> GenericResources | dict[str, Any]:
        """Generic resources of `tres`."""
        return self.tres.gres if self.tres else {}

    @property
    def gpus(self) -> dict[str, GPU]:
        """GPUs of `tres`."""
        return gpus(self.tres)


class Jobs(MultiClusterMap[int, Job]):
    """Jobs by number, and what they used together."""

    stats: JobStatistics
    cpus: int
    nodes: int
    memory: int
    """MiB."""

    def __init__(self, jobs: Any = None) -> None:
        super().__init__(jobs, "db.Jobs", Job, int, Job.id)
        self.calc_stats()

    @staticmethod
    def load(db_filter: JobFilter | None = None, db_connection: Connection | None = None) -> Jobs:
        """`sacct`, of all users unless the filter names some, from midnight on unless it has ids
        or a start. ValueError for a QoS that there is not, RPCError where slurmdbd does not
        answer."""
        from labtui.slurm.db import aio

        _open_conn_or_error(db_connection)
        return bridge.call(lambda client: aio.jobs(client, db_filter))

    @staticmethod
    def modify(
        db_filter: JobFilter | Jobs, changes: Job, db_connection: Connection | None = None
    ) -> list[int]:
        """`sacctmgr -i modify job where jobid=... set ...`: comments, `derived_exit_code`,
        `extra`, `wckey`. Gives the numbers of the jobs. With a connection it waits for `commit`.
        RPCError where nothing was changed or Slurm refuses."""
        from labtui.slurm.db import aio

        _open_conn_or_error(db_connection)
        waiting = None if db_connection is None else db_connection._waiting
        return bridge.call(lambda client: aio.modify_jobs(client, db_filter, changes, waiting))

    def calc_stats(self) -> None:
        """Sum up anew what the jobs in here used."""
        self.stats = JobStatistics()
        self.cpus = self.nodes = self.memory = 0
        for job in self.values():
            self.stats.add(job.stats)
            self.cpus += job.cpus or 0
            self.nodes += job.num_nodes or 0
            self.memory += job.memory or 0
