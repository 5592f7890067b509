"""A job to submit, and changes to one. PySlurm's attributes, by sbatch's own options.

    JobSubmitDescription(name="train", gpus=2, time_limit="4:00:00", script="train.sh").submit()

Where Slurm's commands run elsewhere (`bridge.connect`), scripts are read here and sent there.
Differences from PySlurm: `#SBATCH` lines of the script and SBATCH_* variables count, where nothing
else is set, because sbatch reads them; and `environment` of a few variables adds the user's login
environment to them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labtui.hosts.local import LocalHost
from labtui.slurm import bridge, scontrol
from labtui.slurm.client import SlurmClient
from labtui.slurm.core.job import forms
from labtui.slurm.core.job.forms import (
    _parse_cpu_freq_str_to_dict,
    _parse_dependencies,
    _parse_nodes,
    _parse_signal_str_to_dict,
    _parse_switches_str_to_dict,
    _validate_batch_script,
    _validate_cpu_freq,
)
from labtui.slurm.core.job.util import shared_type_str_to_int
from labtui.slurm.core.telling import tell
from labtui.slurm.errors import RPCError
from labtui.slurm.record import Field, Record

__all__ = [
    "JobSubmitDescription",
    "_parse_cpu_freq_str_to_dict",
    "_parse_dependencies",
    "_parse_nodes",
    "_parse_signal_str_to_dict",
    "_parse_switches_str_to_dict",
    "_validate_batch_script",
    "_validate_cpu_freq",
]

Form = Callable[[Any], str]


class Asked(Field[Any]):
    """An attribute: its sbatch option, how its text is made, and its name in `scontrol update`."""

    def __init__(
        self,
        doc: str,
        option: str = "",
        short: str = "",
        *,
        form: Form = forms.text,
        update: str = "",
    ) -> None:
        super().__init__(doc, settable=True)
        self.option, self.short, self.form, self.update = option, short, form, update


class Switch(Asked):
    """Yes or no: the option alone for one, for the other another one or none."""

    def __init__(self, doc: str, yes: str = "", no: str = "", *, update: str = "") -> None:
        super().__init__(doc, yes, update=update)
        self.no = no


class JobSubmitDescription(Record):
    """What a job asks. What is None is left to Slurm.

    Sizes are MiB or `2G`, times minutes or `1-12:00:00`, lists may be texts with commas.
    """

    # fmt: off
    name = Asked("what to call it", "job-name", "J", update="JobName")
    account = Asked("who pays", "account", "A", update="Account")
    user_id = Asked("run as (root only)", "uid", update="UserID")
    group_id = Asked("run as (root only)", "gid")
    priority = Asked("0: held", "priority", form=forms.whole, update="Priority")
    site_factor = Asked("only in `modify`", form=forms.whole, update="SiteFactor")
    wckey = Asked("workload characterisation key", "wckey", update="WCKey")
    array = Asked("task numbers: `0-9%2`", "array", "a")
    batch_constraints = Asked("features of the node of the script", "batch")
    begin_time = Asked("not before", "begin", "b", form=forms.moment, update="StartTime")
    clusters = Asked("where it may run", "clusters", "M", form=forms.listed, update="Clusters")
    cluster_constraints = Asked("features", "cluster-constraint", update="ClusterFeatures")
    comment = Asked("own words", "comment", update="Comment")
    admin_comment = Asked("only in `modify`", update="AdminComment")
    requires_contiguous_nodes = Switch("nodes side by side", "contiguous", update="Contiguous")
    cores_reserved_for_system = Asked("cores kept", "core-spec", "S", form=forms.whole,
                                      update="CoreSpec")
    threads_reserved_for_system = Asked("threads kept", "thread-spec", form=forms.whole,
                                        update="ThreadSpec")
    working_directory = Asked("folder", "chdir", "D", update="WorkDir")
    cpu_frequency = Asked("`min-max:governor` or a dict", "cpu-freq", form=forms.cpu_frequency)
    nodes = Asked("5, `5-10`, {min, max}", "nodes", "N", form=forms.nodes, update="NumNodes")
    deadline = Asked("end before", "deadline", form=forms.moment, update="Deadline")
    delay_boot_time = Asked("minutes", "delay-boot", form=forms.delay, update="DelayBoot")
    dependencies = Asked("`afterok:7` or a dict of lists", "dependency", "d",
                         form=lambda val: _parse_dependencies(val) or "", update="Dependency")
    excluded_nodes = Asked("not there", "exclude", "x", form=forms.listed, update="ExcNodeList")
    required_nodes = Asked("there", "nodelist", "w", form=forms.listed, update="ReqNodeList")
    constraints = Asked("node features", "constraint", "C", update="Features")
    kill_on_node_fail = Switch("end with a node", "no-kill=off", "no-kill")
    licenses = Asked("licences", "licenses", "L", form=forms.listed, update="Licenses")
    mail_user = Asked("who", "mail-user", form=forms.listed, update="MailUser")
    mail_types = Asked("BEGIN, END, FAIL, ALL, ...", "mail-type", form=forms.mail_types,
                       update="MailType")
    mcs_label = Asked("security label", "mcs-label", update="MCSLabel")
    memory_per_cpu = Asked("a CPU", "mem-per-cpu", form=forms.size, update="MinMemoryCPU")
    memory_per_node = Asked("a node", "mem", form=forms.size, update="MinMemoryNode")
    memory_per_gpu = Asked("a GPU", "mem-per-gpu", form=forms.size)
    network = Asked("network options", "network")
    nice = Asked("less priority", "nice", form=forms.whole, update="Nice")
    log_files_open_mode = Asked("append, truncate", "open-mode")
    overcommit = Switch("more tasks than CPUs", "overcommit")
    partitions = Asked("where", "partition", "p", form=forms.listed, update="Partition")
    profile_types = Asked("energy, task, lustre, network, all", "profile", form=forms.profiles)
    accounting_gather_frequency = Asked("{task: 30}", "acctg-freq", form=forms.pairs)
    qos = Asked("quality of service", "qos", "q", update="QOS")
    requires_node_reboot = Switch("boot first", "reboot", update="Reboot")
    is_requeueable = Switch("may go back", "requeue", "no-requeue", update="Requeue")
    reservations = Asked("in which", "reservation", form=forms.listed, update="ReservationName")
    script = Asked("its text, or the path of a file on this machine")
    script_args = Asked("its arguments, for a file")
    environment = Asked("ALL, NONE, a dict, or as `--export` takes it")
    resource_sharing = Asked("yes, no, user, mcs", update="OverSubscribe")
    distribution = Asked("of tasks", "distribution", "m", form=forms.distribution)
    time_limit = Asked("minutes or a time", "time", "t", form=forms.time_limit, update="TimeLimit")
    time_limit_min = Asked("may shrink to", "time-min", form=forms.time_limit, update="TimeMin")
    container = Asked("OCI bundle", "container")
    container_id = Asked("OCI container", "container-id")
    cpus_per_task = Asked("a task", "cpus-per-task", "c", form=forms.whole, update="CPUsPerTask")
    cpus_per_gpu = Asked("a GPU", "cpus-per-gpu", form=forms.gpus)
    sockets_per_node = Asked("at least", "sockets-per-node", form=forms.whole, update="ReqSockets")
    cores_per_socket = Asked("at least", "cores-per-socket", form=forms.whole, update="ReqCores")
    threads_per_core = Asked("at least", "threads-per-core", form=forms.whole, update="ReqThreads")
    gpus = Asked("4, `a100:2`, {a100: 2}", "gpus", "G", form=forms.gpus)
    gpus_per_socket = Asked("a socket", "gpus-per-socket", form=forms.gpus)
    gpus_per_task = Asked("a task", "gpus-per-task", form=forms.gpus)
    gres_per_node = Asked("{'gpu:a100': 2}", "gres", form=forms.gres, update="Gres")
    gpu_binding = Asked("tasks to GPUs", "gpu-bind")
    ntasks = Asked("how many tasks", "ntasks", "n", form=forms.whole, update="NumTasks")
    ntasks_per_node = Asked("a node", "ntasks-per-node", form=forms.whole, update="TasksPerNode")
    ntasks_per_socket = Asked("a socket", "ntasks-per-socket", form=forms.whole)
    ntasks_per_core = Asked("a core", "ntasks-per-core", form=forms.whole)
    ntasks_per_gpu = Asked("a GPU", "ntasks-per-gpu", form=forms.whole)
    switches = Asked("`5@00:10:00`", "switches", form=forms.switches, update="Switches")
    signal = Asked("`B:USR1@60`", "signal", form=forms.signal)
    standard_in = Asked("path", "input", "i", update="StdIn")
    standard_output = Asked("path", "output", "o", update="StdOut")
    standard_error = Asked("path", "error", "e", update="StdErr")
    kill_on_invalid_dependency = Switch("end when its dependency cannot be met",
                                        "kill-on-invalid-dep=yes", "kill-on-invalid-dep=no")
    spreads_over_nodes = Switch("as many nodes as can be", "spread-job")
    use_min_nodes = Switch("as few nodes as can be", "use-min-nodes")
    gres_binding = Asked("enforce-binding, disable-binding")
    gres_tasks_per_sharing = Asked("one, multiple")
    temporary_disk_per_node = Asked("a node", "tmp", form=forms.size, update="MinTmpDiskNode")
    get_user_environment = Asked("True, or seconds and mode as sbatch takes them")
    min_cpus_per_node = Asked("a node", "mincpus", form=forms.whole, update="MinCPUsNode")
    wait_all_nodes = Switch("until all are booted", "wait-all-nodes=1", "wait-all-nodes=0")
    selinux_context = Asked("SELinux context", "context")
    segment_size = Asked("nodes a segment", "segment", form=forms.whole, update="SegmentSize")
    reserved_ports = Asked("how many", "resv-ports", form=forms.whole)
    extra = Asked("more own words", "extra", update="Extra")
    # fmt: on

    def __init__(self, **kwargs: Any) -> None:
        """Attributes by name. AttributeError for one that does not exist."""
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._fields:
            raise AttributeError(f"JobSubmitDescription has no attribute {name!r}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return "pyslurm.JobSubmitDescription"

    def submit(self) -> int:
        """Submit it; the job's id.

        ValueError, and nothing is sent, for what cannot be; RPCError where Slurm refused it.
        """
        return bridge.call(lambda client: submit(client, self))

    def load_environment(self, overwrite: bool = False) -> None:
        """Take attributes from `PYSLURM_JOBDESC_<ATTRIBUTE>`; "true" and "false" are yes and no."""
        for name in self._fields:
            value = os.environ.get(f"PYSLURM_JOBDESC_{name.upper()}")
            if value is not None and (overwrite or getattr(self, name) is None):
                plain = {"true": True, "false": False}
                setattr(self, name, plain.get(value.casefold(), value))

    def load_sbatch_options(self, overwrite: bool = False) -> None:
        """Take attributes from the `#SBATCH` lines of `script`. ValueError without a script."""
        from labtui.slurm.core.job.directives import directives

        if not self.script:
            raise ValueError("You need to set the 'script' attribute first.")
        try:
            is_file = Path(self.script).is_file()
        except (OSError, ValueError):
            is_file = False
        if not is_file and not str(self.script).startswith("#!"):
            raise ValueError("The script path you provided is not valid.")
        body = Path(self.script).read_text() if is_file else str(self.script)
        for name, value in directives(body):
            if overwrite or getattr(self, name) is None:
                setattr(self, name, value)

    def _validate_options(self) -> None:
        if not self.script:
            raise ValueError("You need to provide a batch script.")
        memory = (self.memory_per_node, self.memory_per_cpu, self.memory_per_gpu)
        if sum(map(bool, memory)) > 1:
            raise ValueError(
                "Only one of memory_per_cpu, memory_per_node or memory_per_gpu can be set."
            )
        others = (self.nodes, self.gpus_per_task, self.gpus_per_socket, self.ntasks_per_node)
        if self.ntasks_per_gpu and any(others):
            raise ValueError(
                "ntasks_per_gpu is mutually exclusive with nodes, gpus_per_task, gpus_per_socket "
                "and ntasks_per_node."
            )
        if self.cpus_per_gpu and self.cpus_per_task:
            raise ValueError("cpus_per_task and cpus_per_gpu are mutually exclusive.")
        if self.cores_reserved_for_system and self.threads_reserved_for_system:
            raise ValueError(
                "cores_reserved_for_system is mutually exclusive with threads_reserved_for_system."
            )

    def _create_job_submit_desc(self, is_update: bool = False) -> list[str]:
        """The command's arguments, everything checked."""
        if is_update:
            from labtui.slurm.core.job.update import assignments

            return assignments(self)
        self._validate_options()
        _validate_batch_script(self.script, self.script_args)
        return options(self)


def options(desc: JobSubmitDescription) -> list[str]:
    """sbatch's options for all attributes that are set. ValueError for what cannot be."""
    found: list[str] = []
    for name, field in desc._fields.items():
        value = getattr(desc, name)
        if value is None or not isinstance(field, Asked):
            continue
        if isinstance(field, Switch):
            option = field.option if _yes(value) else field.no
            found += [f"--{option}"] if option else []
        elif name == "priority" and int(value) == 0:
            found.append("--hold")
        elif field.option and (text := field.form(value)) != "":
            found.append(f"--{field.option}={text}")
    return found + _sharing(desc) + _flags(desc) + _user_environment(desc)


def _yes(value: Any) -> bool:
    return (
        value.strip().casefold() in ("true", "yes", "1") if isinstance(value, str) else bool(value)
    )


def _sharing(desc: JobSubmitDescription) -> list[str]:
    if not desc.resource_sharing:
        return []
    number = shared_type_str_to_int(desc.resource_sharing)
    words = {0: "exclusive", 1: "oversubscribe", 2: "exclusive=user", 3: "exclusive=mcs",
             4: "exclusive=topo"}  # fmt: skip
    return [f"--{words[number]}"]


_TASKS = {"one": "one-task-per-sharing", "multiple": "multiple-tasks-per-sharing"}


def _flags(desc: JobSubmitDescription) -> list[str]:
    asked = (desc.gres_binding, desc.gres_tasks_per_sharing)
    words = [_TASKS.get(w, w) for w in (str(one).casefold() for one in asked if one)]
    return [f"--gres-flags={','.join(words)}"] if words else []


def _user_environment(desc: JobSubmitDescription) -> list[str]:
    asked = desc.get_user_environment
    if asked is None or asked is False:
        return []
    return ["--get-user-env" if asked is True else f"--get-user-env={asked}"]


def environment(desc: JobSubmitDescription) -> tuple[list[str], list[str]]:
    """(what `env` sets for sbatch, sbatch's own option).

    Values go through sbatch's environment: in `--export=A=x,y` a comma would end them.
    """
    asked = desc.environment
    if asked is None:
        return [], []
    if not isinstance(asked, Mapping):
        return [], [f"--export={asked}"]
    for name in asked:
        if not str(name).isidentifier():
            raise ValueError(f"{name!r} is not the name of a variable")
    pairs = [f"{name}={value}" for name, value in asked.items()]
    return ["env", *pairs] if pairs else [], [f"--export={','.join(map(str, asked)) or 'NIL'}"]


async def submit(client: SlurmClient, desc: JobSubmitDescription) -> int:
    """Submit through sbatch, the script on its stdin; the job's id."""
    more = desc._create_job_submit_desc()
    script = _validate_batch_script(desc.script, desc.script_args)
    if desc.working_directory is None and isinstance(client.host, LocalHost):
        more.append(f"--chdir={Path.cwd()}")
    before, export = environment(desc)
    argv = [*before, "sbatch", "--parsable", *more, *export]
    args = desc.script_args
    if args:
        argv += ["/dev/stdin", *(shlex.split(args) if isinstance(args, str) else map(str, args))]
    job_id = scontrol.submitted_id(await tell(client, argv, stdin=script))
    if job_id is None:
        raise RPCError(msg="sbatch gave no job id")
    return int(job_id)
