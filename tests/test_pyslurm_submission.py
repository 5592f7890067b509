"""A submission as sbatch takes it, changes as scontrol takes them, and what commands answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labtui.slurm as pyslurm
from labtui.slurm import bridge
from labtui.slurm.core.job import forms
from labtui.slurm.core.job.directives import directives
from labtui.slurm.core.job.submission import (
    JobSubmitDescription,
    _parse_cpu_freq_str_to_dict,
    _parse_dependencies,
    _parse_nodes,
    _parse_signal_str_to_dict,
    _parse_switches_str_to_dict,
    _validate_batch_script,
    _validate_cpu_freq,
    environment,
    options,
)
from labtui.slurm.core.job.task_dist import NO_PACK, PACK, TaskDistribution, distribution_of
from labtui.slurm.core.job.update import assignments
from labtui.slurm.core.job.util import (
    acctg_profile_list_to_int,
    cpu_freq_str_to_int,
    cpu_gov_str_to_int,
    mail_type_list_to_int,
    shared_type_str_to_int,
)
from slurmhost import ScriptedHost

fuzz = settings(max_examples=60, deadline=None)
SCRIPT = "#!/bin/sh\nsleep 1\n"


def asked(**kwargs: Any) -> list[str]:
    return options(JobSubmitDescription(**kwargs))


# -- options ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "value", "option"),
    [
        ("name", "a b", "--job-name=a b"),
        ("time_limit", "1-00:00:00", "--time=1440"),
        ("time_limit", 30, "--time=30"),
        ("time_limit", "UNLIMITED", "--time=UNLIMITED"),
        ("memory_per_node", "2G", "--mem=2048"),
        ("memory_per_cpu", 100, "--mem-per-cpu=100"),
        ("nodes", "5-10", "--nodes=5-10"),
        ("nodes", {"min": 3}, "--nodes=3"),
        ("gpus", 4, "--gpus=4"),
        ("gpus", {"a100": 2, "l4": 1}, "--gpus=a100:2,l4:1"),
        ("gpus_per_task", "a100:2", "--gpus-per-task=a100:2"),
        ("gres_per_node", {"gpu:a100": 2, "shard": 3}, "--gres=gpu:a100:2,shard:3"),
        ("cpus_per_gpu", 3, "--cpus-per-gpu=3"),
        ("partitions", ["a", "b"], "--partition=a,b"),
        ("priority", 0, "--hold"),
        ("priority", 7, "--priority=7"),
        ("nice", -5, "--nice=-5"),
        ("dependencies", {"afterok": [5, "6+3"], "satisfy": "any", "singleton": True},
         "--dependency=afterok:5:6+3?singleton"),
        ("signal", "B:USR1@60", "--signal=B:10@60"),
        ("signal", {"signal": "SIGTERM", "allow_reservation_overlap": True}, "--signal=R:15@60"),
        ("switches", {"count": 2, "max_wait_time": "00:10:00"}, "--switches=2@00:10:00"),
        ("cpu_frequency", {"min": "Low", "max": "High", "governor": "Performance"},
         "--cpu-freq=Low-High:Performance"),
        ("mail_types", ["end", "FAIL"], "--mail-type=END,FAIL"),
        ("profile_types", "Energy,Task", "--profile=energy,task"),
        ("accounting_gather_frequency", {"task": 30}, "--acctg-freq=task=30"),
        ("distribution", "block:cyclic,Pack", "--distribution=block:cyclic,Pack"),
        ("distribution", 4, "--distribution=plane=4"),
        ("resource_sharing", "no", "--exclusive"),
        ("resource_sharing", "oversubscribe", "--oversubscribe"),
        ("resource_sharing", "user", "--exclusive=user"),
        ("gres_binding", "enforce-binding", "--gres-flags=enforce-binding"),
        ("gres_tasks_per_sharing", "one", "--gres-flags=one-task-per-sharing"),
        ("is_requeueable", False, "--no-requeue"),
        ("is_requeueable", "true", "--requeue"),
        ("kill_on_node_fail", False, "--no-kill"),
        ("kill_on_invalid_dependency", True, "--kill-on-invalid-dep=yes"),
        ("wait_all_nodes", False, "--wait-all-nodes=0"),
        ("get_user_environment", True, "--get-user-env"),
        ("begin_time", 1795503334, "--begin=uts1795503334"),
        ("begin_time", "now+1hour", "--begin=now+1hour"),
        ("temporary_disk_per_node", "1G", "--tmp=1024"),
    ],
)  # fmt: skip
def test_an_attribute_is_an_option(attribute: str, value: Any, option: str) -> None:
    assert asked(**{attribute: value}) == [option]


def test_no_is_no_option() -> None:
    assert asked(overcommit=False, requires_node_reboot=False, get_user_environment=False) == []
    assert asked(script=SCRIPT, site_factor=3, comment=None) == []


def test_environment_goes_where_commas_do_not_end_it() -> None:
    def of(value: Any) -> tuple[list[str], list[str]]:
        return environment(JobSubmitDescription(environment=value))

    assert of(None) == ([], []) and of("NONE") == ([], ["--export=NONE"])
    assert of({"A": "x,y", "B": 2}) == (["env", "A=x,y", "B=2"], ["--export=A,B"])
    with pytest.raises(ValueError, match="not the name of a variable"):
        of({"-u": 1})


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({}, "need to provide a batch script"),
        ({"script": SCRIPT, "memory_per_cpu": 1, "memory_per_node": 1}, "Only one of memory"),
        ({"script": SCRIPT, "cpus_per_task": 1, "cpus_per_gpu": 1}, "mutually exclusive"),
        ({"script": SCRIPT, "ntasks_per_gpu": 1, "nodes": 2}, "ntasks_per_gpu is mutually"),
        ({"script": SCRIPT, "cores_reserved_for_system": 1, "threads_reserved_for_system": 1},
         "cores_reserved_for_system is mutually"),
        ({"script": SCRIPT, "time_limit": "soon"}, "Invalid Time Specification"),
        ({"script": SCRIPT, "mail_types": "SOMETIMES"}, "Invalid Mail type"),
        ({"script": SCRIPT, "resource_sharing": "some"}, "Invalid resource_sharing"),
        ({"script": SCRIPT, "memory_per_node": "lots"}, "Invalid value"),
        ({"script": "echo"}, "Not a valid Batch script"),
        ({"script": " \n"}, "only whitespace"),
        ({"script": SCRIPT, "script_args": "x"}, "only allowed if it was loaded from a file"),
        ({"script": SCRIPT + "\0"}, "NULL character"),
        ({"script": "#!/bin/sh\r\n"}, "DOS line breaks"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_sent(kwargs: Any, words: str) -> None:
    host = ScriptedHost(lambda argv, stdin: (0, "7\n", ""))
    bridge.connect(host)
    with pytest.raises(ValueError, match=words):
        JobSubmitDescription(**kwargs).submit()
    assert host.seen == []
    bridge.close()


def test_an_attribute_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="nope"):
        JobSubmitDescription(nope=1)


# -- PySlurm's own parsers ------------------------------------------------------------------


def test_parts_of_options() -> None:
    assert _parse_nodes("5") == (5, 5) and _parse_nodes({"min": 2, "max": 4}) == (2, 4)
    with pytest.raises(ValueError, match="cannot be less"):
        _parse_nodes({"min": 10, "max": 5})
    assert _parse_signal_str_to_dict(7) == {"signal": 7}
    assert _parse_signal_str_to_dict("RB:8@180") == {
        "signal": 8, "time": "180", "batch_only": True, "allow_reservation_overlap": True
    }  # fmt: skip
    assert _parse_switches_str_to_dict("5@00:10:00") == {"count": 5, "max_wait_time": "00:10:00"}
    assert _parse_dependencies({"after": 200, "afterok": "300"}) == "after:200,afterok:300"
    assert _parse_dependencies("any:thing") == "any:thing" and _parse_dependencies(None) is None
    assert _parse_cpu_freq_str_to_dict(1000) == {"max": "1000"}
    assert _parse_cpu_freq_str_to_dict("Performance") == {"governor": "Performance"}
    assert _parse_cpu_freq_str_to_dict("1-2:UserSpace") == {
        "min": "1", "max": "2", "governor": "UserSpace"
    }  # fmt: skip
    with pytest.raises(ValueError, match="Invalid cpu_frequency format"):
        _parse_cpu_freq_str_to_dict("Performance:1000")
    with pytest.raises(ValueError, match="min cpu-freq"):
        _validate_cpu_freq({"min": 4000, "max": 3000})
    with pytest.raises(ValueError, match="Setting Governor"):
        _validate_cpu_freq({"max": 4000, "governor": "Performance"})


def test_words_as_numbers() -> None:
    assert mail_type_list_to_int("BEGIN,ARRAY_TASKS") == 1 | 1 << 9
    assert (
        mail_type_list_to_int("all") == 1 | 2 | 4 | 8 | 256 and mail_type_list_to_int("") == 65534
    )
    assert acctg_profile_list_to_int(["energy", "task"]) == 6 and cpu_freq_str_to_int("HIGH") > 0
    assert cpu_gov_str_to_int("performance") > 0 and shared_type_str_to_int("user") == 2
    for ask in (mail_type_list_to_int, acctg_profile_list_to_int, cpu_gov_str_to_int,
                cpu_freq_str_to_int, shared_type_str_to_int):  # fmt: skip
        with pytest.raises(ValueError, match="Invalid"):
            ask("what")
    with pytest.raises(OverflowError):
        cpu_freq_str_to_int(2**32)


parsers: list[Any] = [
    forms.time_limit, forms.delay, forms.moment, forms.size, forms.nodes, forms.switches,
    forms.signal, forms.cpu_frequency, forms.distribution, forms.gpus, forms.gres, forms.whole,
    forms.mail_types, forms.profiles, forms.pairs, _parse_dependencies, _validate_batch_script,
    TaskDistribution.from_str, shared_type_str_to_int,
]  # fmt: skip


@fuzz
@given(st.text("0123456789-:,@=+.RBGMgpu*block \x00", max_size=16) | st.text(max_size=12))
def test_odd_options_are_refused_in_words(text: str) -> None:
    for parse in parsers:
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
        except (TypeError, OverflowError) as error:  # uint's own, for what is no number
            assert parse is TaskDistribution.from_str and "plane" in text.casefold(), error


@pytest.mark.parametrize("nodes", ["block", "cyclic"])
@pytest.mark.parametrize("sockets", ["block", "cyclic", "fcyclic"])
@pytest.mark.parametrize("pack", [None, True, False])
def test_distributions_come_back(nodes: str, sockets: str, pack: bool | None) -> None:
    for cores in ("block", "cyclic", "fcyclic"):
        one = TaskDistribution(nodes, sockets, cores, pack)
        assert TaskDistribution.from_str(one.to_str()) == one
        again = TaskDistribution.from_int(one.as_int())
        assert again is not None and again.to_dict() == one.to_dict()


def test_distributions() -> None:
    assert TaskDistribution("cyclic", "block", "fcyclic", True).as_int() == 0x321 | PACK
    assert TaskDistribution.from_str("*:*:fcyclic,NoPack").to_str() == "block:cyclic:fcyclic,NoPack"
    assert TaskDistribution.from_str("*,NoPack").as_int() & NO_PACK
    assert TaskDistribution.from_str("plane=10").plane == 10
    assert TaskDistribution.from_int(0) is TaskDistribution.from_int(0x2000) is None
    plane = TaskDistribution.from_int(4)
    assert plane is not None and plane.to_str() == "plane"
    assert distribution_of("Unknown") is distribution_of("Sideways") is None
    cyclic = distribution_of("Cyclic")
    assert cyclic is not None and cyclic.nodes == "cyclic"
    with pytest.raises(ValueError, match="Invalid distribution"):
        TaskDistribution("sideways")


# -- from elsewhere -------------------------------------------------------------------------


def test_attributes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLURM_JOBDESC_NAME", "from-env")
    monkeypatch.setenv("PYSLURM_JOBDESC_IS_REQUEUEABLE", "False")
    desc = JobSubmitDescription(name="mine")
    desc.load_environment()
    assert desc.name == "mine" and desc.is_requeueable is False
    desc.load_environment(overwrite=True)
    assert desc.name == "from-env"


LINES = """#!/bin/bash
   #SBATCH --time 20
#SBATCH --mem-per-cpu     =1G
#SBATCH -G 1
#SBATCH --exclusive
#SBATCH -c=3 # why
#SBATCH -n8
#SBATCH --ntasks-per-node     =    2
#SBATCH --gres-flags=one-task-per-sharing,enforce-binding
#SBATCH --job-name="two words"
#SBATCH --no-requeue
#SBATCH -H
#SBATCH --bogus=1 --
echo
"""


def test_attributes_from_the_script(tmp_path: Path) -> None:
    assert dict(directives(LINES)) == {
        "time_limit": "20", "memory_per_cpu": "1G", "gpus": "1", "resource_sharing": "no",
        "cpus_per_task": "3", "ntasks": "8", "ntasks_per_node": "2", "name": "two words",
        "gres_tasks_per_sharing": "one-task-per-sharing", "gres_binding": "enforce-binding",
        "is_requeueable": False, "priority": 0,
    }  # fmt: skip
    path = tmp_path / "job.sh"
    path.write_text(LINES)
    desc = JobSubmitDescription(script=str(path), ntasks=5)
    desc.load_sbatch_options()
    assert desc.time_limit == "20" and desc.ntasks == 5
    desc.load_sbatch_options(overwrite=True)
    assert desc.ntasks == "8" and "--hold" in options(desc)
    with pytest.raises(ValueError, match="'script' attribute first"):
        JobSubmitDescription().load_sbatch_options()
    with pytest.raises(ValueError, match="path you provided is not valid"):
        JobSubmitDescription(script="/no/such").load_sbatch_options()


@fuzz
@given(st.text("#SBATCH -Gtime=0'\"\n exclusive", max_size=60))
def test_odd_scripts_never_end_in_a_traceback(text: str) -> None:
    for name, _ in directives(f"#!/bin/sh\n#SBATCH {text}"):
        assert name in JobSubmitDescription._fields


# -- changes --------------------------------------------------------------------------------


def test_changes_are_assignments() -> None:
    changes = JobSubmitDescription(
        time_limit="2-00:00:00", ntasks=5, nice=3, qos="high", partitions=["a", "b"],
        is_requeueable=False, resource_sharing="no", gres_per_node="gpu:2", mail_types="END",
    )  # fmt: skip
    assert assignments(changes) == [
        "MailType=END", "Nice=3", "Partition=a,b", "QOS=high", "Requeue=0", "OverSubscribe=no",
        "TimeLimit=2880", "Gres=gpu:2", "NumTasks=5",
    ]  # fmt: skip
    assert assignments(JobSubmitDescription(priority="UNLIMITED")) == ["Priority=4294967295"]
    with pytest.raises(ValueError, match="cannot be changed"):
        assignments(JobSubmitDescription(container="x"))
    with pytest.raises(ValueError, match="nothing to change"):
        assignments(JobSubmitDescription(script=SCRIPT))


# -- what commands answer -------------------------------------------------------------------


def told(reply: Any, do: Any) -> tuple[list[list[str]], Any]:
    """The commands that were run, and the result."""
    host = ScriptedHost(lambda argv, stdin: reply)
    bridge.connect(host)
    try:
        result = do()
        return host.commands, result
    finally:
        bridge.close()


def test_a_job_is_submitted_with_its_script_on_stdin(tmp_path: Path) -> None:
    seen: list[tuple[list[str], str]] = []

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        seen.append((argv, stdin))
        return 0, "17;lab\n", ""

    bridge.connect(ScriptedHost(reply))
    path = tmp_path / "job.sh"
    path.write_text(SCRIPT)
    desc = JobSubmitDescription(script=str(path), script_args="-t 'a b'", name="n")
    assert desc.submit() == 17
    bridge.close()
    assert seen == [
        (["sbatch", "--parsable", "--job-name=n", "/dev/stdin", "-t", "a b"], SCRIPT)
    ]  # fmt: skip


def test_a_refusal_has_slurms_number() -> None:
    stderr = (
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    with pytest.raises(pyslurm.RPCError, match="Invalid partition name") as found:
        told((1, "", stderr), JobSubmitDescription(script=SCRIPT).submit)
    assert found.value.errno == 2000 == pyslurm.error.slurm_errno()
    with pytest.raises(pyslurm.RPCError, match="no job id"):
        told((0, "hello\n", ""), JobSubmitDescription(script=SCRIPT).submit)


UNKNOWN = (
    "scancel: Terminating job 9\n"
    "scancel: error: Kill job error on job id 9: Invalid job id specified\n"
)
DONE = "scancel: error: Kill job error on job id 9: Job/step already completing or completed\n"


def test_signals() -> None:
    job = pyslurm.Job(9)
    assert told((0, "", ""), job.cancel)[0] == [["scancel", "-v", "9"]]
    commands, _ = told((0, "", ""), lambda: job.send_signal("SIGUSR1", steps="batch", hurry=True))
    assert commands == [["scancel", "-v", "--batch", "--hurry", "--signal=USR1", "9"]]
    commands, _ = told((0, "", ""), lambda: job.send_signal(15, steps="all"))
    assert commands == [["scancel", "-v", "--full", "--signal=TERM", "9"]]
    told((0, "", UNKNOWN), job.cancel)
    told((1, "", DONE), lambda: job.send_signal(15))
    with pytest.raises(pyslurm.RPCError) as found:
        told((0, "", UNKNOWN), lambda: job.send_signal(15))
    assert (found.value.errno, str(found.value)) == (2017, "Invalid job id specified")
    with pytest.raises(ValueError, match="Invalid Signal"):
        told((0, "", ""), lambda: job.send_signal("NOPE"))
    step = pyslurm.JobStep(9, "batch")
    assert told((0, "", ""), step.cancel)[0] == [["scancel", "-v", "9.batch"]]


def test_actions_are_scontrols() -> None:
    job = pyslurm.Job(9)
    for do, argv in (
        (job.suspend, ["suspend", "9"]),
        (job.unsuspend, ["resume", "9"]),
        (job.hold, ["hold", "9"]),
        (lambda: job.hold("user"), ["uhold", "9"]),
        (job.release, ["release", "9"]),
        (job.requeue, ["requeue", "9"]),
        (lambda: job.requeue(hold=True), ["requeuehold", "9"]),
        (lambda: job.notify("a b"), ["notify", "9", "a b"]),
        (lambda: job.modify(JobSubmitDescription(nice=1)), ["update", "JobId=9", "Nice=1"]),
        (
            lambda: pyslurm.JobStep(9, 0).modify(pyslurm.JobStep(time_limit="00:05:00")),
            ["update", "StepId=9.0", "TimeLimit=5"],
        ),
    ):
        assert told((0, "", ""), do)[0] == [["scontrol", *argv]]
        with pytest.raises(pyslurm.RPCError, match=r"^Invalid job id specified$") as found:
            told((1, "", "Invalid job id specified for job 9\n"), do)
        assert found.value.errno == 2017
    with pytest.raises(ValueError, match="only a step's time limit"):
        pyslurm.JobStep(9, 0).modify(pyslurm.JobStep())


def test_a_script_that_cannot_be_shown() -> None:
    job = pyslurm.Job(9)
    assert told((0, SCRIPT, ""), job.get_batch_script)[1] == SCRIPT
    with pytest.raises(pyslurm.RPCError, match="Invalid job id"):
        told(
            (0, "", "job script retrieval failed: Invalid job id specified\n"), job.get_batch_script
        )
