"""Jobs of `squeue --json`, `scontrol show job` (JSON and text) and slurmrestd.

JSON: one table of PySlurm's names, the keys of v0.0.37 to v0.0.45, and how a value is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labtui.slurm import values
from labtui.slurm.constants import NO_VAL16
from labtui.slurm.core.job.job import Job, Jobs
from labtui.slurm.core.job.util import dependency_str_to_dict, mail_words
from labtui.slurm.documents import Document, cluster_of, entries, jobtext
from labtui.slurm.documents.layout import layout
from labtui.slurm.documents.resources import tres
from labtui.slurm.documents.text import refuse
from labtui.slurm.fields import exit_status, flag, moment, num, real, states, text, words, written
from labtui.slurm.utils.cstr import to_gres_dict
from labtui.slurm.utils.helpers import cpu_freq_int_to_str

Read = Callable[[Any], Any]

FLAGS_FIRST = (
    "COMPLETING", "STAGE_OUT", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED",
    "REQUEUE_HOLD", "SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING",
)  # fmt: skip
"""State flags, in the order in which Slurm's one word for a state prefers them."""
_SPEC_UNSET = NO_VAL16 & 0x7FFF


def jobs(document: Document) -> Jobs:
    """The jobs of a document. PyslurmError for a text that has none and does not say so."""
    found = Jobs()
    if isinstance(document, str):
        records = jobtext.jobs(document)
        if not records:
            refuse(document)
    else:
        cluster = cluster_of(document)
        records = [from_json(entry, cluster) for entry in entries(document, "jobs")]
    for record in records:
        found.add(Job.of(record))
    return found


def state_word(value: Any) -> str | None:
    """One word of `["RUNNING", "COMPLETING"]`, as Slurm's own tools print it."""
    found = states(value)
    return next((flag for flag in FLAGS_FIRST if flag in found), found[0] if found else None)


def _nonzero(value: Any) -> int | None:
    found: int | None = num(value, zero=False)
    return found


_PER_CPU = 1 << 63


def _memory(value: Any) -> int | None:
    """MiB. Some releases leave the bit in it that says "a CPU", some of them as a sign."""
    if isinstance(value, dict):
        value = {**value, "number": _bare(value.get("number"))}
    found: int | None = num(_bare(value), zero=False)
    return found


def _bare(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    rest = value % (1 << 64) - _PER_CPU
    return rest if 0 <= rest < 1 << 62 else value


def _short(value: Any) -> int | None:
    found: int | None = num(value, zero=False, short=True)
    return found


def _count(value: Any, *, short: bool = False) -> int | None:
    """1 where it is not set. Up to v0.0.38 null may hide a number: that is not known."""
    return None if value is None else num(value, zero=False, short=short) or 1


def _minutes(value: Any) -> int | None:
    """Seconds as minutes."""
    seconds = _nonzero(value)
    return None if seconds is None else seconds // 60


def _spec(value: Any) -> int | None:
    found = _short(value)
    return None if found == _SPEC_UNSET else found


def frequency(value: Any) -> int | str | None:
    if isinstance(value, str):
        return text(value)
    found = num(value)
    return None if found is None else cpu_freq_int_to_str(found)


def _per_gpu(value: Any) -> int | None:
    """`gres:gpu:4`, `gres/gpu:4`"""
    return values.whole(value.rpartition(":")[2]) if isinstance(value, str) else None


def _sharing(value: Any) -> str | None:
    """`OK` where the job does not say, as Slurm's tools have it."""
    if value in (None, "", []):
        return "OK"
    word = value[0] if isinstance(value, list) else value
    named = {"NONE": "NO", "OVERSUBSCRIBE": "YES"}
    return named.get(word.upper(), word.upper()) if isinstance(word, str) else None


def _profiles(value: Any) -> list[str]:
    return [word for word in words(value) if word.upper() not in ("NOT_SET", "NONE")]


TABLE: tuple[tuple[str, str, Read], ...] = (
    ("name", "name", written),
    ("association_id", "association_id", _nonzero),
    ("account", "account", text),
    ("user_id", "user_id", num),
    ("user_name", "user_name", text),
    ("group_id", "group_id", num),
    ("group_name", "group_name", text),
    ("priority", "priority", num),
    ("nice", "nice", lambda v: num(v, signed=True)),
    ("qos", "qos", text),
    ("wckey", "wckey", text),
    ("mcs_label", "mcs_label", text),
    ("state", "job_state", state_word),
    ("is_requeueable", "requeue", flag),
    ("is_batch_job", "batch_flag", flag),
    ("requires_node_reboot", "reboot", flag),
    ("dependencies", "dependency", lambda v: dependency_str_to_dict(text(v))),
    ("failed_node", "failed_node", text),
    ("time_limit", "time_limit", _nonzero),
    ("time_limit_min", "time_minimum", _nonzero),
    ("submit_time", "submit_time", moment),
    ("eligible_time", "eligible_time", moment),
    ("accrue_time", "accrue_time", moment),
    ("start_time", "start_time", moment),
    ("end_time", "end_time", moment),
    ("resize_time", "resize_time", moment),
    ("deadline", "deadline", moment),
    ("preempt_eligible_time", "preemptable_time", moment),
    ("preempt_time", "preempt_time", moment),
    ("suspend_time", "suspend_time", moment),
    ("last_sched_evaluation_time", "last_sched_evaluation", moment),
    ("pre_suspension_time", "pre_sus_time", _nonzero),
    ("delay_boot_time", "delay_boot", _minutes),
    ("cronjob_time", "cron", text),
    ("partition", "partition", text),
    ("reservation", "resv_name", text),
    ("submit_host", "allocating_node", text),
    ("submit_line", "submit_line", written),
    ("batch_host", "batch_host", text),
    ("num_nodes", "node_count", _nonzero),
    ("max_nodes", "max_nodes", _nonzero),
    ("allocated_nodes", "nodes", text),
    ("required_nodes", "required_nodes", text),
    ("excluded_nodes", "excluded_nodes", text),
    ("scheduled_nodes", "scheduled_nodes", text),
    ("constraints", "features", words),
    ("batch_constraints", "batch_features", words),
    ("preferred_features", "prefer", words),
    ("cluster_constraints", "cluster_features", words),
    ("federation_origin", "federation_origin", text),
    ("federation_siblings_active", "federation_siblings_active", words),
    ("federation_siblings_viable", "federation_siblings_viable", words),
    ("min_cpus_per_node", "minimum_cpus_per_node", _short),
    ("sockets_per_board", "sockets_per_board", _short),
    ("sockets_per_node", "sockets_per_node", _short),
    ("cores_per_socket", "cores_per_socket", _short),
    ("threads_per_core", "threads_per_core", _short),
    ("ntasks_per_node", "tasks_per_node", _short),
    ("ntasks_per_board", "tasks_per_board", _short),
    ("ntasks_per_socket", "tasks_per_socket", _short),
    ("ntasks_per_core", "tasks_per_core", _short),
    ("ntasks_per_gpu", "tasks_per_tres", _short),
    ("cores_reserved_for_system", "core_spec", _spec),
    ("threads_reserved_for_system", "thread_spec", _spec),
    ("memory_per_cpu", "memory_per_cpu", _memory),
    ("memory_per_node", "memory_per_node", _memory),
    ("memory_per_gpu", "memory_per_tres", _per_gpu),
    ("temporary_disk_per_node", "minimum_tmp_disk_per_node", _nonzero),
    ("resource_sharing", "shared", _sharing),
    ("requires_contiguous_nodes", "contiguous", flag),
    ("licenses", "licenses", words),
    ("allocated_licenses", "licenses_allocated", words),
    ("network", "network", text),
    ("required_switches", "required_switches", _nonzero),
    ("max_wait_time_switches", "maximum_switch_wait_time", _nonzero),
    ("segment_size", "segment_size", _nonzero),
    ("command", "command", written),
    ("working_directory", "current_working_directory", written),
    ("container", "container", written),
    ("container_id", "container_id", written),
    ("comment", "comment", written),
    ("admin_comment", "admin_comment", written),
    ("system_comment", "system_comment", written),
    ("extra", "extra", written),
    ("burst_buffer", "burst_buffer", text),
    ("burst_buffer_state", "burst_buffer_state", text),
    ("cpu_frequency_min", "cpu_frequency_minimum", frequency),
    ("cpu_frequency_max", "cpu_frequency_maximum", frequency),
    ("cpu_frequency_governor", "cpu_frequency_governor", frequency),
    ("mail_user", "mail_user", words),
    ("mail_types", "mail_type", lambda v: mail_words(words(v))),
    ("profile_types", "profile", _profiles),
    ("heterogeneous_id", "het_job_id", _nonzero),
    ("array_id", "array_job_id", _nonzero),
    ("array_tasks_parallel", "array_max_tasks", _nonzero),
    ("array_task_id", "array_task_id", num),
    ("gres_per_node", "tres_per_node", lambda v: to_gres_dict(_slashless(v))),
    ("tres_per_node", "tres_per_node", tres),
    ("tres_per_task", "tres_per_task", tres),
    ("tres_per_job", "tres_per_job", tres),
    ("tres_per_socket", "tres_per_socket", tres),
    ("allocated_tres", "tres_alloc_str", tres),
    ("requested_tres", "tres_req_str", tres),
    ("selinux_context", "selinux_context", text),
)
"""(PySlurm's name, key, how it is read)"""


def _slashless(value: Any) -> str | None:
    return value.replace("gres/", "") if isinstance(value, str) else None


def from_json(entry: dict[str, Any], cluster: str | None = None) -> dict[str, Any]:
    """PySlurm's values of one job. ValueError for a record without an id."""
    job_id = num(entry.get("job_id"))
    if job_id is None:
        raise ValueError("a job without an id")
    found = {name: read(entry[key]) for name, key, read in TABLE if key in entry}
    found["id"] = job_id
    own = text(entry.get("cluster")) or cluster
    if own:
        found["cluster"] = own
    found["state_reason"] = text(entry.get("state_description")) or written(
        entry.get("state_reason")
    )
    found["requeue_count"] = num(entry.get("restart_cnt")) or 0
    found["billable_tres"] = real(entry.get("billable_tres")) or 0.0
    found["cpus"] = _count(entry.get("cpus"))
    found["ntasks"] = _count(entry.get("tasks"))
    per_gpu = _per_gpu(entry.get("cpus_per_tres"))
    found["cpus_per_task"] = None if per_gpu else _count(entry.get("cpus_per_task"), short=True)
    found["cpus_per_gpu"] = per_gpu
    found["exit_code"], found["exit_code_signal"] = exit_status(entry.get("exit_code"))
    derived = exit_status(entry.get("derived_exit_code"))
    found["derived_exit_code"], found["derived_exit_code_signal"] = derived
    _array(found, entry)
    _files(found, entry)
    _bits(found, states(entry.get("flags")))
    found["_layout"] = layout(entry)
    return found


def _array(found: dict[str, Any], entry: dict[str, Any]) -> None:
    # Up to v0.0.38 a job that is no task may say task 0 of array 0.
    if not found.get("array_id"):
        found["array_task_id"] = None
    waiting = text(entry.get("array_task_string"))
    found["array_tasks_waiting"] = waiting.rpartition("%")[0] or waiting if waiting else None
    if found.get("heterogeneous_id"):
        found["heterogeneous_offset"] = num(entry.get("het_job_offset"))


def _files(found: dict[str, Any], entry: dict[str, Any]) -> None:
    """From v0.0.43 on the plain paths hold patterns, and others are filled in."""
    for name, key in (("input", "stdin"), ("output", "stdout"), ("error", "stderr")):
        path = written(entry.get(f"{key}_expanded")) or written(entry.get(f"standard_{name}"))
        found[f"standard_{name}"] = path
    if found.get("is_batch_job"):
        found["standard_error"] = found["standard_error"] or found["standard_output"]


def _bits(found: dict[str, Any], flags: list[str]) -> None:
    """Up to v0.0.38 flags have the names of Slurm's header, later longer ones."""
    known = set(flags)
    found["kill_on_invalid_dependency"] = bool(known & {"KILL_INVALID_DEPENDENCY", "KILL_INV_DEP"})
    found["spreads_over_nodes"] = "SPREAD_JOB" in known
    found["is_cronjob"] = "CRON_JOB" in known
    if known & {"GRES_BINDING_ENFORCED", "GRES_ENFORCE_BIND"}:
        found["gres_binding"] = "enforce-binding"
    elif known & {"GRES_BINDING_DISABLED", "GRES_DISABLE_BIND"}:
        found["gres_binding"] = "disable-binding"
