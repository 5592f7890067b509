"""docs/pyslurm.md: every public name of `labtui.slurm`, and which command and field serves it.

What a field is read from stands beside the field (`served.Served`, `submission.Asked`, the table of
`documents.job`); what a method runs, in its docstring. The rest is in `WORDS` here.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from labtui.slurm.core.job.submission import Asked, Switch
from labtui.slurm.db import filters as job_filters
from labtui.slurm.db.filters import JobFilter
from labtui.slurm.db.stats import JobStatistics, JobStepStatistics
from labtui.slurm.documents import job as job_documents
from labtui.slurm.record import Field
from labtui.slurm.served import Served

BASE = "labtui.slurm"
SECTIONS: tuple[tuple[str, str, str], ...] = (
    # heading, module, names (all that are its own where none are given)
    ("Jobs", "core.job.job", "Job Jobs"),
    ("Steps", "core.job.step", "JobStep JobSteps"),
    ("Submission", "core.job.submission", "JobSubmitDescription"),
    ("Task distribution", "core.job.task_dist", "TaskDistribution"),
    ("Nodes", "core.node", "Node Nodes"),
    ("Partitions", "core.partition", "Partition Partitions"),
    (
        "Reservations", "core.reservation",
        "Reservation Reservations ReservationFlags ReservationReoccurrence",
    ),
    ("slurmctld", "core.slurmctld.base", ""),
    ("slurmctld: settings", "core.slurmctld.config",
     "Config CgroupConfig AccountingGatherConfig MPIConfig"),
    ("slurmctld: statistics", "core.slurmctld.stats", ""),
    ("slurmctld: modes", "core.slurmctld.enums", "ShutdownMode"),
    ("db: jobs", "db.job", "Job Jobs"),
    ("db: filters of jobs", "db.filters", "JobFilter"),
    ("db: steps", "db.step", "JobStep JobSteps"),
    ("db: statistics", "db.stats", "JobStatistics JobStepStatistics"),
    ("db: QoS", "db.qos", "QualitiesOfService QualityOfService QualityOfServiceFilter"),
    ("db: associations", "db.assoc", "Associations Association AssociationFilter"),
    ("db: connection", "db.connection", "Connection"),
    ("db: resources", "db.tres", ""),
    ("Collections", "xcollections", ""),
    ("Errors", "error", "PyslurmError RPCError slurm_strerror slurm_errno get_last_slurm_error "
     "verify_rpc"),
    ("Enumerations", "enums", "SchedulerType"),
    ("utils.helpers", "utils.helpers", ""),
    ("", "utils.helpers", "instance_to_dict"),
    ("utils.ctime", "utils.ctime", ""),
    ("utils.cstr", "utils.cstr", ""),
    ("utils.uint", "utils.uint", ""),
    ("Words of jobs", "core.job.util", ""),
)  # fmt: skip
SHOWN = {
    # where the name of a module's part is not that of PySlurm
    "core.job.job": "", "core.job.step": "", "core.job.submission": "", "core.node": "",
    "core.partition": "", "core.reservation": "", "enums": "", "core.slurmctld.base": "slurmctld.",
    "core.slurmctld.config": "slurmctld.", "core.slurmctld.stats": "slurmctld.",
    "core.slurmctld.enums": "slurmctld.", "db.job": "db.", "db.filters": "db.", "db.step": "db.",
    "db.stats": "db.", "db.qos": "db.", "db.assoc": "db.", "db.connection": "db.",
}  # fmt: skip
COMMANDS = {
    "Node": "scontrol show node", "Partition": "scontrol show partition",
    "Reservation": "scontrol show reservation", "PingResponse": "scontrol ping",
    "Config": "scontrol show config", "CgroupConfig": "scontrol show config",
    "MPIConfig": "scontrol show config", "AccountingGatherConfig": "scontrol show config",
    "QualityOfService": "sacctmgr show qos", "Association": "sacctmgr show assoc",
    "Statistics": "sdiag", "ScheduleExitStatistics": "sdiag", "BackfillExitStatistics": "sdiag",
    "RPCPending": "sdiag", "RPCType": "sdiag", "RPCUser": "sdiag", "db.Job": "sacct",
    "db.JobStep": "sacct",
}  # fmt: skip
EXAMPLES: dict[str, tuple[Any, ...]] = {
    "GPU": (1,), "GenericResourceLayout": ("gpu",), "TrackableResource": ("cpu", 1),
    "MultiClusterMap": (None,), "TrackableResources": (), "TaskDistribution": (),
    "RPCError": (), "Jobs": (), "JobStatistics": (), "JobStepStatistics": (), "Statistics": (),
}  # fmt: skip
_JOB = "`scontrol show job`"
WORDS = {
    "Job.id": f"{_JOB}: JSON `job_id`",
    "Job.cluster": f"{_JOB}: JSON `cluster`, else `ClusterName` of `scontrol show config`",
    "Job.state_reason": f"{_JOB}: JSON `state_description`, else `state_reason`",
    "Job.requeue_count": f"{_JOB}: JSON `restart_cnt`",
    "Job.kill_on_invalid_dependency": f"{_JOB}: JSON `flags`",
    "Job.is_cronjob": f"{_JOB}: JSON `flags`",
    "Job.spreads_over_nodes": f"{_JOB}: JSON `flags`",
    "Job.gres_binding": f"{_JOB}: JSON `flags`",
    "Job.submit_session_id": f"{_JOB}: text `AllocNode:Sid`; None from JSON",
    "Job.boards_per_node": f"{_JOB}: text `ReqB:S:C:T`; None from JSON",
    "Job.exit_code": f"{_JOB}: JSON `exit_code`",
    "Job.exit_code_signal": f"{_JOB}: JSON `exit_code`",
    "Job.derived_exit_code": f"{_JOB}: JSON `derived_exit_code`",
    "Job.derived_exit_code_signal": f"{_JOB}: JSON `derived_exit_code`",
    "Job.cpus": f"{_JOB}: JSON `cpus`",
    "Job.ntasks": f"{_JOB}: JSON `tasks`",
    "Job.cpus_per_task": f"{_JOB}: JSON `cpus_per_task`",
    "Job.cpus_per_gpu": f"{_JOB}: JSON `cpus_per_tres`",
    "Job.standard_input": f"{_JOB}: JSON `stdin_expanded`, before v0.0.43 `standard_input`",
    "Job.standard_output": f"{_JOB}: JSON `stdout_expanded`, before v0.0.43 `standard_output`",
    "Job.standard_error": f"{_JOB}: JSON `stderr_expanded`, before v0.0.43 `standard_error`",
    "Job.billable_tres": f"{_JOB}: JSON `billable_tres`",
    "Job.heterogeneous_offset": f"{_JOB}: JSON `het_job_offset`",
    "Job.array_tasks_waiting": f"{_JOB}: JSON `array_task_string`",
    "Job.spread_segments": f"{_JOB}: JSON `flags`",
    "Job.consolidate_segments": f"{_JOB}: JSON `flags`",
    "Job.steps": "`scontrol show step`",
    "Job.stats": "`sstat`, by `load_stats`",
    "Job.pids": "`sstat --pidformat`, by `load_stats`",
    "Job.load": "`scontrol show job ID --json`, before 23.02 its text; `scontrol show step`",
    "Job.send_signal": "`scancel -v [--full|--batch] --signal=NAME ID`",
    "Job.cancel": "`scancel -v ID`",
    "Job.suspend": "`scontrol suspend ID`",
    "Job.unsuspend": "`scontrol resume ID`",
    "Job.modify": "`scontrol update JobId=ID ...`",
    "Job.hold": "`scontrol hold ID`, `scontrol uhold ID`",
    "Job.release": "`scontrol release ID`",
    "Job.requeue": "`scontrol requeue ID`, `scontrol requeuehold ID`",
    "Job.notify": "`scontrol notify ID MESSAGE`",
    "Job.load_stats": "`sstat`",
    "Job.get_batch_script": "`scontrol write batch_script ID -`",
    "Job.get_resource_layout_per_node": "`scontrol -d show job`: JSON `job_resources`, "
    "`gres_detail`",
    "Jobs.load": "`scontrol show job --json`, before 23.02 `squeue --json`",
    "Jobs.load_steps": "`scontrol show step`",
    "Jobs.load_stats": "`sstat`",
    "JobStep.load": "`scontrol show step ID.STEP`",
    "JobStep.load_stats": "`sstat -j ID.STEP`",
    "JobStep.send_signal": "`scancel -v --signal=NAME ID.STEP`",
    "JobStep.cancel": "`scancel -v ID.STEP`",
    "JobStep.modify": "`scontrol update StepId=ID.STEP TimeLimit=...`",
    "JobStep.stats": "`sstat`, by `load_stats`",
    "JobStep.pids": "`sstat --pidformat`, by `load_stats`",
    "JobSteps.load": "`scontrol show step`",
    "JobSteps.load_all": "`scontrol show step`",
    "JobSubmitDescription.submit": "`sbatch --parsable`",
    "JobSubmitDescription.script": "`sbatch`: its stdin",
    "JobSubmitDescription.script_args": "`sbatch`: the arguments after the script",
    "JobSubmitDescription.environment": "`sbatch --export`",
    "JobSubmitDescription.resource_sharing": "`sbatch --exclusive`, `--oversubscribe`",
    "JobSubmitDescription.gres_binding": "`sbatch --gres-flags`",
    "JobSubmitDescription.gres_tasks_per_sharing": "`sbatch --gres-flags`",
    "JobSubmitDescription.get_user_environment": "`sbatch --get-user-env`",
    "Jobs.stats": "`sstat`, by `load_stats`",
    "db.Jobs.stats": "summed",
    "db.Jobs.cpus": "summed",
    "db.Jobs.nodes": "summed",
    "db.Jobs.memory": "summed",
    "RPCError.errno": "the number of Slurm's own text for the error; SLURM_ERROR for another one",
    "RPCError.msg": "what the command wrote, its noise taken off",
}
STEP_JSON = {
    "id": "id", "job_id": "id", "cluster": "cluster", "name": "name", "user_name": "user",
    "partition": "partition", "state": "state", "time_limit": "time.limit",
    "start_time": "time.start", "cpus": "number_cpus", "ntasks": "number_tasks",
    "distribution": "task.distribution", "allocated_nodes": "nodes", "srun_host": "srun.host",
    "srun_process_id": "srun.pid", "command": "submit_line", "container": "container",
    "container_id": "container_id", "network": "network", "reserved_ports": "reserved_ports",
    "cpu_frequency_min": "cpu.frequency.min", "cpu_frequency_max": "cpu.frequency.max",
    "cpu_frequency_governor": "cpu.frequency.governor", "array_id": "array.job_id",
    "array_task_id": "array.task_id", "standard_input": "stdin_expanded",
    "standard_output": "stdout_expanded", "standard_error": "stderr_expanded",
    "tres": "tres.allocation", "tres_per_step": "tres.per.step",
    "tres_per_socket": "tres.per.socket", "tres_per_node": "tres.per.node",
    "tres_per_task": "tres.per.task", "user_id": "",
}  # fmt: skip
_JOB_KEYS = {name: key for name, key, _ in job_documents.TABLE}
_FILTERS = {name: option for name, option, _ in job_filters._OPTIONS} | {
    "cpus": "ncpus", "max_cpus": "ncpus", "nodes": "nnodes", "max_nodes": "nnodes",
    "clusters": "clusters", "with_script": "batch-script", "with_env": "env-vars",
    "truncate_time": "truncate",
}  # fmt: skip
_MEASURED = {
    "total_cpu_time": "TotalCPU", "user_cpu_time": "UserCPU", "system_cpu_time": "SystemCPU",
    "elapsed_cpu_time": "ElapsedRaw times AllocCPUS", "consumed_energy": "ConsumedEnergyRaw",
    "avg_cpu_frequency": "AveCPUFreq",
}  # fmt: skip


def measured(name: str) -> str:
    """The column of sacct and sstat that a statistic is of."""
    if name in _MEASURED:
        return f"`{_MEASURED[name]}`"
    side = "Out" if "write" in name else "In"
    part = {"avg": "Ave", "max": "Max", "min": "Min"}.get(name[:3], "Tot")
    end = "Node" if name.endswith("_node") else "Task" if name.endswith("_task") else ""
    return f"`TRESUsage{side}{part}{end}`"


def served(path: str, owner: type, name: str, value: Any) -> str:
    """By which command and field."""
    if path in WORDS:
        return WORDS[path]
    doc = getattr(value, "doc", "") or ""
    if doc.startswith("None:"):
        return doc.removesuffix(".")
    if "not shown by the commands" in doc:
        return "None: no command shows it"
    if owner is JobFilter and not callable(value):
        return f"`sacct --{_FILTERS[name]}`"
    if isinstance(value, Served):
        command = COMMANDS.get(path.rpartition(".")[0].removeprefix("slurmctld."), "")
        command = command or COMMANDS.get(owner.__name__, "")
        text = ", ".join(f"`{key}`" for key in value.text.split("|") if key)
        json = ", ".join(f"`{key}`" for key in value.json.split("|") if key)
        found = f"`{command}`" + (f": {text}" if text else "")
        found += (", JSON " if text else ": JSON ") + json if json else ""
        if value.settable:
            found += f"; set: `{value.key}=`" if value.key else "; set with the flags"
        return found if text or json else f"`{command}`"
    if isinstance(value, Switch):
        options = [f"--{word}" for word in (value.option, value.no) if word]
        found = ", ".join(f"`{word}`" for word in options)
        return f"`sbatch`: {found}" + (f"; change: `{value.update}=`" if value.update else "")
    if isinstance(value, Asked):
        found = f"`sbatch --{value.option}`" if value.option else ""
        change = f"`{value.update}=`" if value.update else ""
        if not found:
            return f"change: {change}" if change else "raises: sbatch has no option for it"
        return found + (f"; change: {change}" if change else "")
    if owner.__module__.endswith("core.job.job") and name in _JOB_KEYS:
        return f"{_JOB}: JSON `{_JOB_KEYS[name]}`"
    if owner.__module__.endswith("core.job.step") and name in STEP_JSON:
        key = STEP_JSON[name]
        return "`scontrol show step`: " + (f"JSON `{key}`" if key else "text `UserId`")
    if owner in (JobStatistics, JobStepStatistics) and not callable(value):
        return f"`sacct`, `sstat`: {measured(name)}"
    return commands(value) or ("of the other fields" if isinstance(value, property) else "here")


_COMMAND = re.compile(r"`(?:scontrol|sinfo|squeue|sacctmgr|sacct|sbatch|scancel|sdiag|sstat)[^`]*`")


def commands(value: Any) -> str:
    """The commands that its description names."""
    doc = inspect.getdoc(value) or "" if callable(value) or isinstance(value, property) else ""
    return ", ".join(dict.fromkeys(_COMMAND.findall(" ".join(doc.split()))))


def summary(value: Any) -> str:
    """The first paragraph of what is said of it."""
    doc = value.doc if isinstance(value, Field) else inspect.getdoc(value) or ""
    if isinstance(value, int | str | float | list | dict | type(None)):
        doc = ""
    first = " ".join(doc.strip().partition("\n\n")[0].split())
    return cell(first[:1].upper() + first[1:])


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def attribute_docs(owner: type) -> dict[str, str]:
    """The strings below a class's annotations."""
    try:
        source = inspect.getsource(owner)
    except OSError:
        return {}
    found = re.findall(r'^    (\w+)(?:: [^\n=]+)?(?: = [^\n]+)?\n    """(.*?)"""', source,
                       re.MULTILINE | re.DOTALL)  # fmt: skip
    return {name: " ".join(doc.split()) for name, doc in found}


def members(owner: type) -> list[str]:
    """Public names of a class that are its own, or of what it stands on here."""
    names = {n for n in dir(owner) if n[0] != "_"} - {"of"}
    if owner.__name__ in EXAMPLES:
        made = owner(*EXAMPLES[owner.__name__])
        names |= {n for n in vars(made) if n[0] != "_"}
    for base in owner.__mro__:
        if base.__module__.startswith(BASE):
            names |= {n for n in getattr(base, "__annotations__", {}) if n[0] != "_"}
            if issubclass(base, BaseException):
                names |= {n for n in vars(owner()) if n[0] != "_"}
    foreign: set[str] = set()
    for base in owner.__mro__[1:]:
        own = base.__module__.startswith(BASE)
        if not own or base.__name__ == "MultiClusterMap":
            foreign |= set(vars(base))
    kept = {n for n in names if n not in foreign or n in vars(owner)}
    return sorted(kept)


def rows(shown: str, owner: type) -> list[str]:
    """A class's rows."""
    lines = [f"| **`{shown}`** | {summary(owner)} | |"]
    below = attribute_docs(owner)
    enumerated = hasattr(owner, "__members__")
    made = None
    if owner.__name__ in EXAMPLES:
        made = owner(*EXAMPLES[owner.__name__])
    for name in list(owner.__members__) if enumerated else members(owner):
        path = f"{shown}.{name}"
        if enumerated:
            lines.append(f"| `{path}` | {below.get(name, '')} | here |")
            continue
        value = inspect.getattr_static(owner, name, getattr(made, name, None))
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        call = "()" if callable(value) and not isinstance(value, Field) else ""
        how = served(path, owner, name, value)
        what = summary(value) or below.get(name, "")
        lines.append(f"| `{path}{call}` | {what} | {cell(how)} |")
    return lines


def functions_and_classes(module: Any, names: str) -> list[tuple[str, Any]]:
    wanted = names.split()
    if not wanted:
        wanted = [
            name
            for name, value in vars(module).items()
            if name[0] != "_"
            and (inspect.isfunction(value) or inspect.isclass(value) or name[0:2] in ("u8", "u1",
                 "u3", "u6"))
            and getattr(value, "__module__", module.__name__) in (module.__name__, "functools")
        ]  # fmt: skip
    return [(name, getattr(module, name)) for name in wanted]


HEAD = """# PySlurm's names in labtui.slurm

Made from the code by `make docs`; `make check` fails when it is stale.

`import labtui.slurm as pyslurm` gives the names of PySlurm 25.11, served by Slurm's own commands,
so that they work with every Slurm from 21.08 to 26.05 and over every transport:

    import labtui.slurm as pyslurm

    pyslurm.connect()                      # this machine; or any labtui host
    for node in pyslurm.Nodes.load().values():
        print(node.name, node.state, node.idle_cpus)

`labtui.slurm.aio` has the same as coroutines that take a client, `labtui.slurm.db.aio` those of
the accounting, and `parse(payload, kind=...)` reads what somebody else's command printed.

A field that a release or a document does not tell is None, an empty list or an empty dict. Where
a table says *None*, no command tells it; where it says *raises*, no command does it. Methods
raise RPCError with Slurm's own sentence. In a change, None leaves a setting as it is; an empty
text or list clears it, "UNLIMITED" takes a limit away.

Left out: PySlurm's old interface in lower case (`pyslurm.job()`, `pyslurm.node()`, ...), which it
is giving up, its wrappers of C lists (`SlurmList`), and its private functions between words and C
structures (`core.partition._preempt_mode_str_to_int`, `core.slurmctld.stats._parse_test_data`,
`db.tres._validate_tres_single` and their like).
"""


def page() -> str:
    lines = [HEAD]
    lines += ["## Modules", "", "| name | what it is | served by |", "|---|---|---|"]
    root = importlib.import_module(BASE)
    for name in ("db", "slurmctld", "error", "utils", "constants", "settings", "xcollections"):
        lines.append(f"| `{name}` | {summary(getattr(root, name))} | here |")
    lines += [
        f"| `{name}()` | {summary(getattr(root, name))} | here |"
        for name in ("slurm_init", "slurm_fini", "connect", "parse")
    ]
    lines.append("| `constants.UNLIMITED` | No limit, where a number would stand. | here |")
    lines.append("| `settings.LOCAL_CLUSTER` | The connected cluster's name. | "
                 "`scontrol show config`: `ClusterName` |")  # fmt: skip
    lines.append("| `db.JobSearchFilter` | The old name of `db.JobFilter`. | here |")
    utils = importlib.import_module(f"{BASE}.utils")
    lines += [f"| `utils.{name}()` | See below. | here |" for name in utils.__all__]
    for name in ("TrackableResource", "TrackableResources", "GPU", "GenericResourceLayout"):
        lines.append(f"| `db.{name}` | `db.tres.{name}` | here |")
    for name in ("PyslurmError", "RPCError"):
        lines.append(f"| `error.{name}` | `{name}` | here |")
    for heading, place, names in SECTIONS:
        module = importlib.import_module(f"{BASE}.{place}")
        prefix = SHOWN.get(place, f"{place}.")
        if heading:
            head = "| name | what it is | served by |"
            lines += ["", f"## {heading}", "", head, "|---|---|---|"]
        for name, value in functions_and_classes(module, names):
            plain = name if name in ("PyslurmError", "RPCError") else f"{prefix}{name}"
            if inspect.isclass(value):
                lines += rows(plain, value)
            else:
                how = WORDS.get(plain) or commands(value) or "here"
                lines.append(f"| `{plain}()` | {summary(value)} | {cell(how)} |")
    return "\n".join(lines) + "\n"
