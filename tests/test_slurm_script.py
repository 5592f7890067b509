"""Scripts to options and back, as sbatch reads them; what a cluster could never run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labtui.model import Job, Node
from labtui.slurm.limits import check_limits
from labtui.slurm.options import OPTIONS, full_name
from labtui.slurm.script import (
    BatchScript,
    ScriptError,
    batch_script,
    check,
    counts_pbs,
    directives,
    mistakes,
    parse_script,
)
from labtui.slurm.types import Association, Partition, Qos
from labtui.slurm.usage import Context
from labtui.slurm.wanted import wanted_tres

PRINTABLE = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(name=PRINTABLE, comment=PRINTABLE, output=PRINTABLE)
def test_any_text_of_one_line_survives(name: str, comment: str, output: str) -> None:
    asked = batch_script("true", job_name=name, comment=comment, output=output)
    assert parse_script(asked.script()) == asked


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_script_can_be_read(script: str) -> None:
    parse_script(script)
    directives(script)
    mistakes(script)


WORDS = st.sampled_from(
    ["--mem=1G", "-p", "gpu", "--job-name", "'a b'", '"x', "\\", "#", ":", "-HJ", "--exclusive",
     "--exclusive=user", "--nice", "-k", "--part=cpu", "hetjob", "--zzz=1", "-Z", "--", "-", "=",
     "--hold=1", "--mem=", '""', "a\\ b", "it's", "--test-only", "--array=0-3%2"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=5), max_size=4), PRINTABLE)
def test_a_script_that_was_read_says_the_same_again(lines: list[list[str]], body: str) -> None:
    """Also where it is odd: what the form shows is what is sent, and it is stable."""
    text = "\n".join(["#!/bin/sh", *("#SBATCH " + " ".join(line) for line in lines), "", body, ""])
    read = parse_script(text)
    try:
        again = read.script()
    except ScriptError:
        return
    assert parse_script(again) == read
    assert directives(again) == directives(again) | dict(read.options)


def test_the_script_of_the_form() -> None:
    asked = batch_script(
        "srun python train.py --lora", dependency="afterok:1429", time="4:00:00", mem="48G",
        cpus_per_task="8", gres="gpu:2", partition="gpu", job_name="llama-lora",
    )  # fmt: skip
    assert asked.script() == (
        "#!/bin/bash\n#SBATCH --job-name=llama-lora\n#SBATCH --partition=gpu\n"
        "#SBATCH --cpus-per-task=8\n#SBATCH --mem=48G\n#SBATCH --gres=gpu:2\n"
        "#SBATCH --time=4:00:00\n#SBATCH --dependency=afterok:1429\n\n"
        "srun python train.py --lora\n"
    )


GOOD = {
    "nodes": "2-4", "ntasks": "3", "mem": "48G", "gres": "gpu:jetson:1,shard:2", "gpus": "a100:2",
    "time": "1-12:00:00", "array": "1,3-9:2%4", "dependency": "afterok:1:2,afterany:3_7",
    "begin": "now+1hour", "deadline": "2026-11-24T08:00", "mail-type": "END,fail",
    "signal": "B:USR1@120", "hint": "nomultithread", "exclusive": "user", "nice": "-5",
    "kill-on-invalid-dep": "yes", "priority": "10", "open-mode": "append",
}  # fmt: skip
BAD = [
    ("job-name", "a\nb", "line break"),
    ("job-name", "a\n#SBATCH --uid=0", "line break"),
    ("partition", "gpu\r", "line break"),
    ("comment", "\x1b[31m", "control character"),
    ("comment", "\ud800", "no text"),
    ("comment", "x" * 5000, "longer than sbatch reads"),
    ("cpus-per-task", "two", "whole number"),
    ("cpus-per-task", "0", "whole number"),
    ("ntasks", "-1", "whole number"),
    ("mem", "lots", "512M"),
    ("time", "banana", "4:00:00"),
    ("nodes", "0", "2-4"),
    ("array", "0-", "0-9"),
    ("array", "0-9%0", "4 at once"),
    ("dependency", "1429", "afterok:1429"),
    ("dependency", "afterok:x", "afterok:1429"),
    ("gres", "two gpus", "gpu:2"),
    ("gpus", "many", "a100:2"),
    ("begin", "soon", "now\\+1hour"),
    ("mail-type", "SOMETIMES", "no event"),
    ("signal", "what", "USR1@120"),
    ("open-mode", "w", "append, truncate"),
    ("hold", "why", "takes no value"),
    ("nice", "very", "whole number"),
]


def test_good_values_are_taken_and_survive() -> None:
    asked = BatchScript("true").with_options(GOOD)
    assert parse_script(asked.script()) == asked
    assert mistakes(asked.script()) == []


@pytest.mark.parametrize(("option", "value", "words"), BAD)
def test_bad_values_are_named_and_told_what_to_do(option: str, value: str, words: str) -> None:
    with pytest.raises(ScriptError, match=words) as caught:
        BatchScript("true").with_options({option: value}).script()
    assert caught.value.field == option


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "nothing to run"),
        ("#SBATCH --uid=0", "begins with #SBATCH"),
        ("\n# why\n#SBATCH --uid=0\ntrue", "begins with #SBATCH"),
        ("a\0b", "NUL"),
        ("\udcff", "no text"),
    ],
)
def test_a_command_smuggles_nothing(body: str, words: str) -> None:
    with pytest.raises(ScriptError, match=words):
        check(BatchScript(body))
    check(BatchScript("true\n#SBATCH --mem=1"))  # too late: sbatch does not read it either


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ScriptError, match="no such field"):
        BatchScript().with_options({"colour": "red"})
    with pytest.raises(ScriptError, match="no option"):
        check(BatchScript("true", {"colour": "red"}))


def test_pbs_lines_count_wherever_they_are() -> None:
    job = batch_script("cat <<E\n#PBS -N other\nE")
    assert counts_pbs(job) and not counts_pbs(job.with_options({"ignore-pbs": ""}))


def test_directives_as_sbatch_reads_them() -> None:
    """Each tried on Slurm 24.11 with `sbatch --test-only -vv`."""
    script = (
        "#!/bin/bash\n# a comment\n\n#SBATCH -p gpu --gres=gpu:1\n#SBATCH -J 'two words' # why\n"
        "#SBATCH --time 30\n#SBATCH --exclusive\n#SBATCH -c4 --comment=c#d\n"
        "#SBATCH --accou=a\\x20b --error='a\\\\b\"c' -HD /tmp\n #SBATCH --mem=1\n"
        "echo hi\n#SBATCH --qos=late\n"
    )
    assert directives(script) == {
        "partition": "gpu", "gres": "gpu:1", "job-name": "two words", "time": "30",
        "exclusive": "", "cpus-per-task": "4", "comment": "c", "account": "ax20b",
        "error": 'a\\b"c', "hold": "", "chdir": "/tmp",
    }  # fmt: skip
    assert directives("#!/bin/bash\n#SBATCH -p a\n#SBATCH -p b\nx")["partition"] == "b"


def test_what_is_no_option_stays_as_it_was_written() -> None:
    script = (
        "#!/bin/zsh\n#SBATCH --partition=gpu --new-thing=1\n#SBATCH --other=a  # why\n"
        "#SBATCH --exclusive=user\n\necho hi\n"
    )
    read = parse_script(script)
    assert read.interpreter == "#!/bin/zsh"
    assert read.options == {"partition": "gpu", "exclusive": "user"}
    assert read.extra == ("#SBATCH --new-thing=1", "#SBATCH --other=a  # why")
    assert parse_script(read.script()) == read
    assert directives(read.script()) == directives(script)


def test_a_heterogeneous_job_keeps_its_parts_apart() -> None:
    script = "#!/bin/sh\n#SBATCH -p cpu\n#SBATCH hetjob\n#SBATCH -p gpu\n\nsrun hostname\n"
    read = parse_script(script)
    assert read.options == {"partition": "cpu"}
    assert read.extra == ("#SBATCH hetjob", "#SBATCH -p gpu")
    assert directives(read.script()) == {"partition": "cpu"}


def test_every_option_is_written_and_read() -> None:
    words = {
        name: "" if option.takes == "nothing" else GOOD.get(name) or "3"
        for name, option in OPTIONS.items()
    }
    asked = BatchScript("true", words)
    assert parse_script(asked.text()) == asked
    assert full_name("part") == "partition" and full_name("mem") == "mem"
    assert full_name("gpu") is None and full_name("nope") is None


def test_mistakes_are_told_by_line() -> None:
    script = "#!/bin/sh\n#SBATCH --mem=lots\n# x\n#SBATCH --colour=red\n#SBATCH -J 'open\n"
    assert [(line, words.split(";")[0]) for line, words in mistakes(script)] == [
        (2, "--mem: 'lots' is not a size"),
        (4, "'--colour=red' is no option of sbatch"),
        (5, "sbatch cannot read this line"),
    ]
    assert mistakes("echo")[0][0] == 1
    assert mistakes("#!/bin/sh\n#SBATCH --parsable --wait\ntrue") == []


GPU = Partition("gpu", nodes=("g1",), max_time=1440, total_nodes=1, allowed_qos=("normal",),
                tres={"cpu": 16, "gres/gpu": 4, "gres/gpu:a100": 4})  # fmt: skip
CPU = Partition("cpu", nodes=("c1", "c2"), max_time=2880, total_nodes=2, is_default=True,
                max_cpus_per_node=8, denied_accounts=("guests",))  # fmt: skip
NODES = [
    Node(name="g1", cpus_total=16, memory_total_mib=64000, gpus=4, gpus_alloc=3,
         gres="gpu:a100:4", slurm_state="MIXED"),
    Node(name="c1", cpus_total=12, memory_total_mib=32000, slurm_state="IDLE"),
    Node(name="c2", cpus_total=12, memory_total_mib=16000, slurm_state="IDLE"),
]  # fmt: skip
LAB = Context(1000.0, partitions=[GPU, CPU], nodes=NODES,
              settings={"AccountingStorageEnforce": "associations"})  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, None),
        ({"partition": "nope"}, "there is no nope; choose from gpu, cpu"),
        (
            {"partition": "gpu", "time": "2-00:00:00"},
            "2-00:00:00 wanted, gpu allows at most 1-00:00:00",
        ),
        ({"time": "UNLIMITED"}, "time: no time limit wanted, cpu allows at most"),
        ({"partition": "gpu", "cpus_per_task": "64"}, "64 wanted on one node, the largest in gpu"),
        ({"cpus_per_task": "9"}, "cpus: 9 wanted, cpu allows at most 8 on one node"),
        ({"cpus_per_task": "3", "ntasks_per_node": "3"}, "cpus: 9 wanted"),
        ({"mem": "999G"}, "memory: 999.0G wanted on one node"),
        ({"mem_per_cpu": "9G", "cpus_per_task": "4"}, "memory: 36.0G wanted"),
        ({"gres": "gpu:1"}, "gpus: cpu has none"),
        ({"partition": "gpu", "gres": "gpu:9"}, "the largest in gpu has 4"),
        ({"partition": "gpu", "gres": "gpu:jetson:1"}, "gpu has no jetson; those in gpu are a100"),
        ({"partition": "gpu", "gpus": "9"}, "gpus: 9 wanted in all, gpu has 4"),
        ({"partition": "gpu", "gpus_per_node": "2"}, "1 free now: it would wait"),
        ({"partition": "gpu", "gres": "gpu:2"}, "1 free now: it would wait"),
        ({"nodes": "3"}, "nodes: 3 wanted, cpu has 2"),
        ({"partition": "gpu,cpu", "mem": "48G"}, None),
        ({"partition": "gpu", "qos": "high"}, "qos: gpu takes only normal"),
        ({"account": "guests"}, "account: cpu does not take account guests"),
        ({"nodelist": "c[1-3]"}, "nodelist: there is no machine c3"),
    ],
)
def test_limits(options: dict[str, str], words: str | None) -> None:
    found = check_limits(batch_script("true", **options), LAB)
    assert (words in found[0]) if words else found == []


def test_without_an_answer_of_slurm_nothing_is_claimed() -> None:
    assert check_limits(batch_script("true", partition="nope", qos="x"), Context(0.0)) == []
    no_default = check_limits(batch_script("x"), Context(0.0, partitions=[GPU], nodes=NODES))
    assert no_default == ["partition: this cluster has no default one; choose one"]


def held(**more: Any) -> Job:
    return Job(job_id="1", name="x", state="RUNNING", user="ana", qos="normal", **more)


ACCOUNTED = Context(
    1000.0,
    partitions=[GPU, CPU],
    nodes=NODES,
    jobs=[
        Job(job_id="7", name="f", state="FAILED"),
        held(gres="gpu:2", cpus=4),
        held(gres="gpu:1", cpus=4, start_time=900.0, time_limit_s=7200),
    ],
    qos=[
        Qos(name="normal", max_tres_per_user={"gres/gpu": 4}, max_wall=600,
            max_tres_per_job={"cpu": 10}),
        Qos(name="high"), Qos(name="one", max_jobs_per_user=0, grp_tres={"mem": 1000}),
    ],
    associations=[
        Association(cluster="c", account="research", user="ana", qos=("normal", "one"),
                    default_qos="normal", max_wall=300),
        Association(cluster="c", account="other", user="ben", qos=("high",)),
    ],
    settings={"AccountingStorageEnforce": "associations,limits,qos", "MaxArraySize": "1001"},
    me="ana",
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"partition": "gpu", "gres": "gpu:1"}, None),
        (
            {"partition": "gpu", "gres": "gpu:2"},
            "you hold 3 of 4 that qos normal lets",
        ),
        ({"dependency": "afterok:7"}, "after: 7 is over (failed), not ok; write 7 any"),
        ({"partition": "gpu", "gpus": "5"}, "qos normal lets you hold 4; it would never start"),
        ({"time": "700"}, "time: qos normal allows at most 10:00:00"),
        ({"time": "400"}, None),  # a QoS that limits the time hides the account's limit
        ({"time": "400", "qos": "one"}, "time: account research allows at most 5:00:00"),
        ({"cpus_per_task": "6", "nodes": "2"}, "cpus: 12 wanted, qos normal allows 10 for one job"),
        ({"qos": "high"}, "you may not use high; choose from normal, one"),
        ({"qos": "nope"}, "there is no nope; choose from normal, high, one"),
        ({"qos": "one"}, "lets you run 0 jobs at once"),
        ({"qos": "one", "mem": "2G"}, "memory: 2.0G wanted, qos one has 1000M for all its jobs"),
        ({"account": "other"}, "you may not charge other; choose from research"),
        ({"array": "0-1001"}, "array: an index may be at most 1000"),
    ],
)
def test_limits_of_qos_and_accounts(options: dict[str, str], words: str | None) -> None:
    found = " | ".join(check_limits(batch_script("true", **options), ACCOUNTED))
    assert (words in found) if words else not any(w in found for w in ("qos", "account"))


def test_the_partitions_own_qos_holds_too() -> None:
    night = replace(CPU, qos="night")
    limited = Qos(name="night", max_wall=30, max_jobs_per_user=1)
    jobs = [held(partition="cpu")]
    known = replace(ACCOUNTED, partitions=[night], jobs=jobs, qos=[*ACCOUNTED.qos, limited])
    found = " | ".join(check_limits(batch_script("true", time="40"), known))
    assert "time: partition cpu allows at most 30:00" in found
    assert "night lets you run 1 jobs at once" in found


def test_limits_that_slurm_does_not_enforce_are_not_claimed() -> None:
    free = replace(ACCOUNTED, settings={})
    asked = batch_script("true", partition="gpu", time="700", gres="gpu:1", account="other")
    assert check_limits(asked, free) == []


def test_what_a_whole_job_wants() -> None:
    asked = batch_script("x", nodes="2", ntasks_per_node="3", cpus_per_task="2", mem="4G",
                         gres="gpu:1")  # fmt: skip
    assert wanted_tres(asked) == {"node": 2, "cpu": 12, "mem": 8192, "gres/gpu": 2}
    assert wanted_tres(batch_script("x", gpus="3")) == {"node": 1, "cpu": 1, "gres/gpu": 3}
