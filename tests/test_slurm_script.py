"""Descriptions to `#SBATCH` lines and back, and what a cluster could never run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import Node
from labtui.slurm.limits import check_limits
from labtui.slurm.script import (
    OPTIONS,
    BatchScript,
    ScriptError,
    check,
    directives,
    parse_script,
)
from labtui.slurm.templates import template, templates
from labtui.slurm.types import Partition

PRINTABLE = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cs", "Cc")),
    max_size=40,
)


@given(name=PRINTABLE, comment=PRINTABLE, output=PRINTABLE)
def test_any_text_of_one_line_survives(name: str, comment: str, output: str) -> None:
    asked = BatchScript(name=name, comment=comment, standard_output=output, body="true")
    read = parse_script(asked.script())
    assert (read.name, read.comment, read.standard_output) == (name, comment, output)
    assert read == asked


@given(st.text(max_size=200))
def test_any_script_can_be_read(script: str) -> None:
    parse_script(script)
    directives(script)


def test_the_script_of_the_form() -> None:
    asked = BatchScript(
        name="llama-lora", partitions="gpu", gres_per_node="gpu:2", cpus_per_task="8",
        memory_per_node="48G", time_limit="4:00:00", dependencies="afterok:1429",
        body="srun python train.py --lora",
    )  # fmt: skip
    assert asked.script() == (
        "#!/bin/bash\n#SBATCH --job-name=llama-lora\n#SBATCH --partition=gpu\n"
        "#SBATCH --cpus-per-task=8\n#SBATCH --mem=48G\n#SBATCH --gres=gpu:2\n"
        "#SBATCH --time=4:00:00\n#SBATCH --dependency=afterok:1429\n\n"
        "srun python train.py --lora\n"
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "a\nb", "line break"),
        ("name", "a\n#SBATCH --uid=0", "line break"),
        ("partitions", "gpu\r", "line break"),
        ("comment", "\x1b[31m", "control character"),
        ("cpus_per_task", "two", "whole number"),
        ("cpus_per_task", "0", "whole number"),
        ("ntasks", "-1", "whole number"),
        ("memory_per_node", "lots", "512M"),
        ("time_limit", "banana", "4:00:00"),
    ],
)
def test_bad_fields_are_named_and_told_what_to_do(field: str, value: str, words: str) -> None:
    asked = BatchScript(body="true").with_fields(**{field: value})
    with pytest.raises(ScriptError, match=words) as caught:
        asked.script()
    assert caught.value.field == field


def test_nothing_to_run_and_unknown_fields() -> None:
    with pytest.raises(ScriptError, match="command"):
        check(BatchScript())
    with pytest.raises(ScriptError, match="no such field"):
        BatchScript().with_fields(colour="red")


def test_directives_as_sbatch_reads_them() -> None:
    script = (
        "#!/bin/bash\n# a comment\n\n#SBATCH -p gpu --gres=gpu:1\n#SBATCH -J 'two words' # why\n"
        "#SBATCH --time 30\n#SBATCH --exclusive\n#SBATCH -c4\necho hi\n#SBATCH --qos=late\n"
    )
    assert directives(script) == {
        "partition": "gpu", "gres": "gpu:1", "job-name": "two words", "time": "30",
        "exclusive": "", "cpus-per-task": "4",
    }  # fmt: skip
    assert directives("#!/bin/bash\n#SBATCH -p a\n#SBATCH -p b\nx")["partition"] == "b"


def test_what_is_no_field_stays_as_it_was_written() -> None:
    script = (
        "#!/bin/zsh\n#SBATCH --partition=gpu\n#SBATCH --switches=1@0:10\n"
        "#SBATCH --exclusive=user\n\necho hi\n"
    )
    read = parse_script(script)
    assert read.interpreter == "#!/bin/zsh"
    assert read.extra == ("#SBATCH --switches=1@0:10", "#SBATCH --exclusive=user")
    again = parse_script(read.script())
    assert again == read
    assert directives(read.script()) == directives(script)


def test_every_option_is_written_and_read() -> None:
    words = dict.fromkeys(OPTIONS, "3")
    asked = BatchScript(
        **{**words, "resource_sharing": True, "is_requeueable": True},  # type: ignore[arg-type]
        body="true",
    )
    assert parse_script(asked.script()) == asked


def test_templates_can_be_submitted_as_they_are() -> None:
    found = templates()
    assert len(found) >= 4
    for one in found:
        assert one.summary
        asked = parse_script(one.script)
        check(asked)
        assert directives(asked.script()) == directives(one.script)
    with pytest.raises(KeyError, match="there are"):
        template("nope")


GPU = Partition("gpu", nodes=("g1",), max_time=1440, total_nodes=1)
CPU = Partition("cpu", nodes=("c1", "c2"), max_time=2880, total_nodes=2, is_default=True)
NODES = [
    Node(name="g1", cpus_total=16, memory_total_mib=64000, gpus=4, gpus_alloc=3),
    Node(name="c1", cpus_total=12, memory_total_mib=32000),
    Node(name="c2", cpus_total=12, memory_total_mib=16000),
]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"partitions": "nope"}, "there is no nope; choose from gpu, cpu"),
        ({"partitions": "gpu", "time_limit": "2-00:00:00"}, "time: gpu allows at most 1-00:00:00"),
        ({"time_limit": "UNLIMITED"}, "time: cpu allows at most"),
        ({"cpus_per_task": "64"}, "cpus: 64 wanted on one node, the largest in cpu has 12"),
        ({"memory_per_node": "999G"}, "memory: 999.0G wanted on one node"),
        ({"gres_per_node": "gpu:1"}, "gpus: cpu has none"),
        ({"partitions": "gpu", "gres_per_node": "gpu:9"}, "the largest in gpu has 4"),
        ({"partitions": "gpu", "gres_per_node": "gpu:2"}, "1 free now: it would wait"),
        ({"nodes": "3"}, "nodes: 3 wanted, cpu has 2"),
        ({"partitions": "gpu,cpu", "memory_per_node": "48G"}, None),
    ],
)
def test_limits(fields: dict[str, str], words: str | None) -> None:
    asked = BatchScript(body="true").with_fields(**fields)
    found = check_limits(asked, [GPU, CPU], NODES)
    assert (words in found[0]) if words else found == []


def test_without_an_answer_of_slurm_nothing_is_claimed() -> None:
    asked = BatchScript(partitions="nope", body="true")
    assert check_limits(asked, [], []) == []
    no_default = check_limits(BatchScript(body="x"), [GPU], NODES)
    assert no_default == ["partition: this cluster has no default one; choose one"]
