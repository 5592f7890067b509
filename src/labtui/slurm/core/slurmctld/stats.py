"""What slurmctld does all day: `diag()`."""

from __future__ import annotations

from typing import Any

from labtui.slurm import bridge, xcollections
from labtui.slurm.record import Record
from labtui.slurm.served import COUNT, MOMENT, WORD, YES, Served


class ScheduleExitStatistics(Record):
    """How often the main scheduler stopped, and why."""

    end_of_job_queue = Served(
        COUNT, "Main scheduler exit/End of job queue", "end_job_queue", "All jobs were looked at."
    )
    default_queue_depth = Served(
        COUNT, "Main scheduler exit/Hit default_queue_depth", "default_queue_depth",
        "As many were looked at as it may.",
    )  # fmt: skip
    max_job_start = Served(
        COUNT, "Main scheduler exit/Hit sched_max_job_start", "max_job_start",
        "As many were started as it may.",
    )  # fmt: skip
    blocked_on_licenses = Served(
        COUNT, "Main scheduler exit/Blocked on licenses", "licenses", "Licenses were missing."
    )
    max_rpc_count = Served(
        COUNT, "Main scheduler exit/Hit max_rpc_cnt", "max_rpc_cnt", "Too many requests waited."
    )
    max_time = Served(
        COUNT, "Main scheduler exit/Timeout (max_sched_time)", "max_sched_time", "It took too long."
    )


class BackfillExitStatistics(Record):
    """How often the backfill scheduler stopped, and why."""

    end_of_job_queue = Served(
        COUNT, "Backfill exit/End of job queue", "end_job_queue", "All jobs were looked at."
    )
    max_job_start = Served(
        COUNT, "Backfill exit/Hit bf_max_job_start", "bf_max_job_start",
        "As many were started as it may.",
    )  # fmt: skip
    max_job_test = Served(
        COUNT, "Backfill exit/Hit bf_max_job_test", "bf_max_job_test",
        "As many were looked at as it may.",
    )  # fmt: skip
    max_time = Served(
        COUNT, "Backfill exit/Timeout (bf_max_time)", "bf_max_time", "It took too long."
    )
    node_space_size = Served(
        COUNT, "Backfill exit/Hit table size limit (bf_node_space_size)", "bf_node_space_size",
        "Its table was full.",
    )  # fmt: skip
    state_changed = Served(
        COUNT, "Backfill exit/System state changed", "state_changed", "The state changed."
    )


class RPCPending(Record):
    """Requests of one type that wait."""

    id = Served(COUNT, "(", "type_id", "The type's number.")
    name = Served(WORD, "REQUEST_...", "message_type", "The type's name.")
    count = Served(COUNT, "count", "count", "How many.")


class RPCType(Record):
    """Requests of one type. Times in microseconds."""

    id = Served(COUNT, "(", "type_id", "The type's number.")
    name = Served(WORD, "REQUEST_...", "message_type", "The type's name.")
    count = Served(COUNT, "count", "count", "How many.")
    time = Served(COUNT, "total_time", "total_time", "Time for all of them.")
    average_time = Served(COUNT, "ave_time", "average_time", "Time for one.")
    queued = Served(COUNT, "queued", "queued", "How many wait.")
    dropped = Served(COUNT, "dropped", "dropped", "How many were refused.")
    cycle_last = Served(COUNT, "cycle_last", "cycle_last", "How many the last round served.")
    cycle_max = Served(COUNT, "cycle_max", "cycle_max", "How many a round served at most.")


class RPCUser(Record):
    """Requests of one user. Times in microseconds."""

    user_id = Served(COUNT, "(", "user_id", "The user's number.")
    user_name = Served(WORD, "NAME", "user", "The user's name.")
    count = Served(COUNT, "count", "count", "How many.")
    time = Served(COUNT, "total_time", "total_time", "Time for all of them.")
    average_time = Served(COUNT, "ave_time", "average_time", "Time for one.")


class _Collection(dict[str, Any]):
    """Statistics by name."""

    def to_dict(self, recursive: bool = False) -> dict[Any, Any]:
        """Each as a dict, by name."""
        return xcollections.dict_recursive(self, recursive)


class RPCTypeStatistics(_Collection):
    """`RPCType` by its name."""

    @property
    def count(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, RPCType.count))

    @property
    def time(self) -> int:
        """Microseconds, summed."""
        return int(xcollections.sum_property(self, RPCType.time))

    @property
    def queued(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, RPCType.queued))

    @property
    def dropped(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, RPCType.dropped))


class RPCUserStatistics(_Collection):
    """`RPCUser` by its name, else by its number."""

    @property
    def count(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, RPCUser.count))

    @property
    def time(self) -> int:
        """Microseconds, summed."""
        return int(xcollections.sum_property(self, RPCUser.time))


class RPCPendingStatistics(_Collection):
    """`RPCPending` by its name."""

    @property
    def count(self) -> int:
        """Summed."""
        return int(xcollections.sum_property(self, RPCPending.count))


_MAIN = "Main schedule statistics (microseconds)"
_FILL = "Backfilling stats"


class Statistics(Record):
    """Since `data_since`. Times of cycles in microseconds; sums are in JSON alone."""

    request_time = Served(MOMENT, "sdiag output at", "req_time", "When it was asked.")
    data_since = Served(MOMENT, "Data since", "req_time_start", "When counting began.")
    server_thread_count = Served(
        COUNT, "Server thread count", "server_thread_count", "Threads that serve requests."
    )
    rpc_queue_enabled = Served(
        YES, "RPC queue enabled", "", "Whether requests are queued; 23.02 or later."
    )
    agent_queue_size = Served(
        COUNT, "Agent queue size", "agent_queue_size", "Messages to nodes that wait."
    )
    agent_count = Served(COUNT, "Agent count", "agent_count", "Agents that send them.")
    agent_thread_count = Served(
        COUNT, "Agent thread count", "agent_thread_count", "Threads of these."
    )
    dbd_agent_queue_size = Served(
        COUNT, "DBD Agent queue size", "dbd_agent_queue_size", "Messages to slurmdbd that wait."
    )
    jobs_submitted = Served(COUNT, "Jobs submitted", "jobs_submitted", "Jobs.")
    jobs_started = Served(COUNT, "Jobs started", "jobs_started", "Jobs.")
    jobs_completed = Served(COUNT, "Jobs completed", "jobs_completed", "Jobs.")
    jobs_canceled = Served(COUNT, "Jobs canceled", "jobs_canceled", "Jobs.")
    jobs_failed = Served(
        COUNT, "Jobs failed", "jobs_failed", "Jobs that slurmctld or slurmd failed."
    )
    jobs_pending = Served(COUNT, "Jobs pending", "jobs_pending", "Jobs, now.")
    jobs_running = Served(COUNT, "Jobs running", "jobs_running", "Jobs, now.")
    schedule_cycle_last = Served(COUNT, f"{_MAIN}/Last cycle", "schedule_cycle_last", "The last.")
    schedule_cycle_max = Served(COUNT, f"{_MAIN}/Max cycle", "schedule_cycle_max", "The longest.")
    schedule_cycle_counter = Served(
        COUNT, f"{_MAIN}/Total cycles", "schedule_cycle_total", "How many."
    )
    schedule_cycle_mean = Served(COUNT, f"{_MAIN}/Mean cycle", "schedule_cycle_mean", "On average.")
    schedule_cycle_mean_depth = Served(
        COUNT, f"{_MAIN}/Mean depth cycle", "schedule_cycle_mean_depth", "Jobs a cycle."
    )
    schedule_cycle_sum = Served(COUNT, "", "schedule_cycle_sum", "All together.")
    schedule_cycles_per_minute = Served(
        COUNT, f"{_MAIN}/Cycles per minute", "schedule_cycle_per_minute", "How many a minute."
    )
    schedule_queue_length = Served(
        COUNT, f"{_MAIN}/Last queue length", "schedule_queue_length", "Jobs that waited."
    )
    backfill_active = Served(
        YES, "", "bf_active", "Whether it works just now; in the text by the heading's warning."
    )
    backfilled_jobs = Served(
        COUNT, f"{_FILL}/Total backfilled jobs (since last slurm start)", "bf_backfilled_jobs",
        "Jobs since slurmctld started.",
    )  # fmt: skip
    last_backfilled_jobs = Served(
        COUNT, f"{_FILL}/Total backfilled jobs (since last stats cycle start)",
        "bf_last_backfilled_jobs", "Jobs since `data_since`.",
    )  # fmt: skip
    backfilled_het_jobs = Served(
        COUNT, f"{_FILL}/Total backfilled heterogeneous job components", "bf_backfilled_het_jobs",
        "Parts of heterogeneous jobs.",
    )  # fmt: skip
    backfill_cycle_counter = Served(COUNT, f"{_FILL}/Total cycles", "bf_cycle_counter", "How many.")
    backfill_cycle_last_when = Served(
        MOMENT, f"{_FILL}/Last cycle when", "bf_when_last_cycle", "When the last was."
    )
    backfill_cycle_last = Served(COUNT, f"{_FILL}/Last cycle", "bf_cycle_last", "The last.")
    backfill_cycle_max = Served(COUNT, f"{_FILL}/Max cycle", "bf_cycle_max", "The longest.")
    backfill_cycle_mean = Served(COUNT, f"{_FILL}/Mean cycle", "bf_cycle_mean", "On average.")
    backfill_cycle_sum = Served(COUNT, "", "bf_cycle_sum", "All together.")
    backfill_last_depth = Served(
        COUNT, f"{_FILL}/Last depth cycle", "bf_last_depth", "Jobs of the last cycle."
    )
    backfill_depth_sum = Served(COUNT, "", "bf_depth_sum", "Jobs of all cycles.")
    backfill_last_depth_try = Served(
        COUNT, f"{_FILL}/Last depth cycle (try sched)", "bf_last_depth_try",
        "Jobs that the last cycle tried.",
    )  # fmt: skip
    backfill_depth_try_sum = Served(COUNT, "", "bf_depth_try_sum", "Jobs that were tried.")
    backfill_mean_depth = Served(COUNT, f"{_FILL}/Depth Mean", "bf_depth_mean", "Jobs a cycle.")
    backfill_mean_depth_try = Served(
        COUNT, f"{_FILL}/Depth Mean (try depth)", "bf_depth_mean_try", "Jobs tried a cycle."
    )
    backfill_queue_length = Served(
        COUNT, f"{_FILL}/Last queue length", "bf_queue_len", "Jobs that waited."
    )
    backfill_queue_length_sum = Served(COUNT, "", "bf_queue_len_sum", "Jobs that waited, summed.")
    backfill_queue_length_mean = Served(
        COUNT, f"{_FILL}/Queue length mean", "bf_queue_len_mean", "Jobs that waited, on average."
    )
    backfill_table_size = Served(
        COUNT, f"{_FILL}/Last table size", "bf_table_size", "Entries of its table."
    )
    backfill_table_size_sum = Served(COUNT, "", "bf_table_size_sum", "Entries, summed.")
    backfill_table_size_mean = Served(
        COUNT, f"{_FILL}/Mean table size", "bf_table_size_mean",
        "Entries on average; from v0.0.39 on of the sum, as Slurm's own mean there is the queue's.",
    )  # fmt: skip
    gettimeofday_latency = Served(
        COUNT, "Latency for 1000 calls to gettimeofday()", "gettimeofday_latency",
        "Microseconds for 1000 calls.",
    )  # fmt: skip
    schedule_exit: ScheduleExitStatistics
    """Section "Main scheduler exit", JSON `schedule_exit`; 23.02 or later."""
    backfill_exit: BackfillExitStatistics
    """Section "Backfill exit", JSON `bf_exit`; 23.02 or later."""
    rpcs_by_type: RPCTypeStatistics
    """Section "... statistics by message type", JSON `rpcs_by_message_type`."""
    rpcs_by_user: RPCUserStatistics
    """Section "... statistics by user", JSON `rpcs_by_user`."""
    rpcs_pending: RPCPendingStatistics
    """Section "Pending RPC statistics", JSON `pending_rpcs`."""

    def __init__(self) -> None:
        self.schedule_exit = ScheduleExitStatistics()
        self.backfill_exit = BackfillExitStatistics()
        self.rpcs_by_type = RPCTypeStatistics()
        self.rpcs_by_user = RPCUserStatistics()
        self.rpcs_pending = RPCPendingStatistics()

    @staticmethod
    def load() -> Statistics:
        """`sdiag --json`, which has the sums, from 23.02 on; `sdiag` before, and where Slurm was
        built without JSON."""
        from labtui.slurm.core.slurmctld import aio

        return bridge.call(aio.statistics)

    @staticmethod
    def reset() -> None:
        """`sdiag --reset`: counting begins anew. RPCError where one may not."""
        bridge.call(lambda client: client.tell(["sdiag", "--reset"]))


def diag() -> Statistics:
    """`Statistics.load()`"""
    return Statistics.load()
