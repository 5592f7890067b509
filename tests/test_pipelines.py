"""Files of jobs: templates and pipelines, ours and one's own, good and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm.pipelines import KINDS, PipelineRun, StageRun, parse, pipeline, pipelines
from labtui.slurm.script import check, directives, mistakes, parse_script
from labtui.slurm.templates import FileError, own_folder, template, templates
from labtui.views import pipelines as view
from labtui.views.jobtable import JobTable


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One's own folder of jobs, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = own_folder()
    folder.mkdir(parents=True)
    return folder


# Templates


def test_templates_can_be_submitted_as_they_are(own: Path) -> None:
    found, broken = templates()
    names = {one.name for one in found}
    assert broken == []
    assert names >= {"llama-lora", "data-prep", "model-export", "edge-deploy", "inference-bench",
                     "gpu", "sweep", "interactive", "mpi"}  # fmt: skip
    for one in found:
        assert one.summary and len(one.summary) < 90 and one.path is None
        assert mistakes(one.script) == []
        asked = parse_script(one.script)
        check(asked)
        assert directives(asked.script()) == directives(one.script)
        assert {"time", "mem"} & set(asked.options) and asked.get("time"), one.name
        assert "/" not in asked.get("output"), "a log in a folder that may not exist ends the job"


def test_ones_own_template_wins_and_a_broken_one_is_told(own: Path) -> None:
    (own / "gpu.sbatch").write_text("#!/bin/sh\r\n#SBATCH -t 5\r\n# mine\r\ntrue\r\n")
    (own / "loop.sbatch").symlink_to("loop.sbatch")
    (own / "folder.sbatch").mkdir()
    (own / "bytes.sbatch").write_bytes(b"#!/bin/sh\n\n\xff\n")
    (own / "plain.sbatch").write_text("echo\n")
    (own / "wrong.sbatch").write_text("#!/bin/sh\n#SBATCH --mem=lots\n")
    (own / "huge.sbatch").write_bytes(b"#!/bin/sh\n" + b"x" * (2 << 20))
    (own / "notes.txt").write_text("no job")
    assert template("gpu").summary == "mine" and template("gpu").path == own / "gpu.sbatch"
    found, broken = templates()
    assert "gpu" in {one.name for one in found} and len(broken) == 6
    said = "\n".join(broken)
    assert f"{own}/bytes.sbatch:3: is not UTF-8 text" in said
    assert f"{own}/wrong.sbatch:2: --mem: 'lots' is not a size; write 512M" in said
    assert f"{own}/plain.sbatch:1: the first line has to be #!" in said
    assert "huge.sbatch: is larger than" in said
    with pytest.raises(FileError, match=r"wrong\.sbatch:2"):
        template("wrong")
    with pytest.raises(FileError, match="no template 'nope'; there are: "):
        template("nope")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_any_file_is_a_template_or_one_sentence(own: Path, content: bytes) -> None:
    (own / "any.sbatch").write_bytes(b"#!/bin/sh\n" * (len(content) % 2) + content)
    (own / "any.pipeline.toml").write_bytes(content)
    for broken in (templates()[1], pipelines()[1]):
        assert len(broken) <= 1
        for sentence in broken:
            assert sentence.startswith(f"{own}/any.") and "Traceback" not in sentence


# Pipelines


def test_the_guides_end_to_end_test(own: Path) -> None:
    found, broken = pipelines()
    assert broken == [] and {p.name for p in found} >= {"end-to-end", "concurrent"}
    whole = pipeline("end-to-end")
    assert [s.name for s in whole.stages] == ["prepare", "train", "export", "deploy"]
    assert [dict(s.after) for s in whole.stages] == [
        {}, {"prepare": "ok"}, {"train": "ok"}, {"export": "ok"}
    ]  # fmt: skip
    assert [s.name for s in whole.from_stage("export")] == ["export", "deploy"]
    for one in found:
        for stage in one.stages:
            assert mistakes(stage.script) == []
    demo = pipeline("end-to-end-demo").stage("train")
    assert demo is not None
    assert directives(demo.script)["mem"] == "100M" and "gres" not in directives(demo.script)
    assert directives(demo.script)["export"] == "ALL,DEMO=2"


GOOD = """
[pipeline]
summary = "s"
set = { time = 5, hold = false }
env = { A = "1", B = 2 }
[stages.a]
command = "echo a; sleep 1"
[stages.c]
script = "c.sbatch"
after = { a = "any", b = "failed" }
[stages.b]
template = "cpu"
after = "a"
set = { name = "own name", ntasks-per-node = 2, exclusive = true }
env = { B = "x" }
[stages.d]
command = "#comment only\\ntrue"
after = ["b", "c"]
"""


def test_what_a_file_may_say(own: Path) -> None:
    (own / "c.sbatch").write_text("#!/bin/sh\n#SBATCH -d afterok:5 --export=NONE\ntrue\n")
    path = own / "x.pipeline.toml"
    path.write_text(GOOD)
    found = pipeline("x")
    assert [s.name for s in found.stages] == ["a", "b", "c", "d"] and found.path == path
    assert pipeline(str(path)).stages == found.stages
    a, b, c, d = found.stages
    assert directives(b.script) | {"time": "5"} == directives(b.script)
    asked = directives(b.script)
    assert asked["job-name"] == "own name" and asked["ntasks-per-node"] == "2"
    assert asked["exclusive"] == "" and asked["export"] == "ALL,A=1,B=x"
    assert directives(c.script)["export"] == "NONE,A=1,B=2"
    jobs = {"a": "11", "b": "12", "c": "13"}
    assert a.dependency(jobs) == "" and b.dependency(jobs) == "afterok:11"
    assert c.dependency(jobs) == "afterok:5,afterany:11,afternotok:12"
    assert d.dependency(jobs) == "afterok:12:13" and d.dependency({}) == ""
    assert a.source == "command" and c.source == "script c.sbatch" and b.source == "template cpu"


BAD: list[tuple[str, str]] = [
    ("", "stages: there are none"),
    ("[stages]\n", "stages: there are none"),
    ("x = [", "is not TOML"),
    ("[stages.a]\ncommand = 'x'\ncolour = 'red'", "stages.a.colour: no such key"),
    ("[stage.a]\ncommand = 'x'", "stage: no such key; there are pipeline, stages"),
    ("[stages.a]", "stages.a: needs exactly one of"),
    ("[stages.a]\ncommand = 'x'\ntemplate = 'cpu'", "stages.a: needs exactly one of"),
    ("[stages.a]\ncommand = 3", "stages.a.command: is no text"),
    ("[stages.a]\ncommand = '#SBATCH --uid=0'", "stages.a.command: begins with #SBATCH"),
    ("[stages.a]\ntemplate = 'nope'", "stages.a.template: no template 'nope'"),
    ("[stages.a]\nscript = '/nope.sbatch'", "stages.a.script: /nope.sbatch: cannot be read"),
    ("[stages.a]\nscript = 'rel.sbatch'", "stages.a.script: needs an absolute path"),
    ("[stages.'a b']\ncommand = 'x'", "a name has letters"),
    ("stages = { a = 3 }", "stages.a: is no table"),
    ("stages = 3", "stages: is no table"),
    ("[stages.a]\ncommand = 'x'\nafter = { b = 'ok' }", "stages.a.after: there is no stage 'b'"),
    ("[stages.a]\ncommand = 'x'\n[stages.b]\ncommand = 'x'\nafter = { a = 'well' }",
     "stages.b.after.a: 'well' is none of ok, any, failed, started"),
    ("[stages.a]\ncommand = 'x'\nafter = 3", "stages.a.after: write"),
    ("[stages.a]\ncommand = 'x'\nafter = 'a'", "stages.a.after: a waits for a, so none could"),
    ("[stages.a]\ncommand = 'x'\nafter = 'c'\n[stages.b]\ncommand = 'x'\nafter = 'a'\n"
     "[stages.c]\ncommand = 'x'\nafter = 'b'",
     "stages.a.after: a waits for c waits for b waits for a"),
    ("[stages.a]\ncommand = 'x'\nset = { colour = 'red' }", "stages.a.set.colour: no field to set"),
    ("[stages.a]\ncommand = 'x'\nset = { after = '1' }", "stages.a.set.after: no field to set; wr"),
    ("[stages.a]\ncommand = 'x'\nset = { memory = 'lots' }", "stages.a.set.memory: memory: 'lots'"),
    ("[stages.a]\ncommand = 'x'\nset = { memory = [1] }", "stages.a.set.memory: is no text"),
    ("[pipeline]\nset = { time = 'x' }\n[stages.a]\ncommand = 'x'", "pipeline.set.time: time: 'x'"),
    ("[pipeline]\nsummary = 3\n[stages.a]\ncommand = 'x'", "pipeline.summary: is no text"),
    ("[stages.a]\ncommand = 'x'\nenv = { '1A' = 'x' }", "stages.a.env.1A: is no name"),
    ("[stages.a]\ncommand = 'x'\nenv = { A = 'x,y' }", "stages.a.env.A: may hold no comma"),
    ("[stages.a]\ncommand = 'x'\nenv = { A = true }", "stages.a.env.A: is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_mistake_is_one_sentence_with_file_and_key(own: Path, text: str, words: str) -> None:
    with pytest.raises(FileError) as caught:
        parse("x", text, "/there/x.pipeline.toml")
    said = str(caught.value)
    assert said.startswith("/there/x.pipeline.toml: ") and words in said and "\n" not in said


TOML = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.text("ab,'\n #=-%:0", max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("a", "b", "time", "memory", "hold", "X")), inner,
                        max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(("template", "script", "command", "after", "set", "env", "other"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from("ab"), st.dictionaries(KEYS, TOML, max_size=4), max_size=2))
def test_any_file_is_a_pipeline_or_a_sentence(own: Path, stages: dict[str, Any]) -> None:
    lines = []
    for name, given_ in stages.items():
        lines.append(f"[stages.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in given_.items()]
    try:
        found = parse("x", "\n".join(lines), "x.toml")
    except FileError as error:
        assert str(error).startswith("x.toml: ")
        return
    for stage in found.stages:
        assert mistakes(stage.script) == []
        assert set(stage.after.values()) <= set(KINDS)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


# What became of it


def run_of(*job_ids: str) -> PipelineRun:
    names = ("prepare", "train", "export", "deploy")
    stages = tuple(
        StageRun(stage=name, token=f"{n:x}", job_id=job_id)
        for n, (name, job_id) in enumerate(zip(names, job_ids, strict=False))
    )
    return PipelineRun(id="ab12", pipeline="end-to-end", source="end-to-end", at=1.0, stages=stages)


def test_the_tree_and_what_became_of_it(own: Path) -> None:
    whole = pipeline("end-to-end")
    assert [(b.stage.name, b.depth) for b in view.tree(whole)] == [
        ("prepare", 0), ("train", 1), ("export", 2), ("deploy", 3)
    ]  # fmt: skip
    jobs = [
        Job(job_id="1", name="p", state="COMPLETED"),
        Job(job_id="2_0", name="t", state="COMPLETED"),
        Job(job_id="2_1", name="t", state="FAILED", end_time=1e12),
        Job(job_id="3", name="e", state="PENDING", reason="DependencyNeverSatisfied"),
    ]
    run = run_of("1", "2", "3")
    found = view.jobs_of(run, JobTable(jobs, []))
    assert {name: job.job_id for name, job in found.items()} == {
        "prepare": "1", "train": "2_1", "export": "3"
    }  # fmt: skip
    assert view.worst(whole, found) == "train" and "train failed" in view.words_of(run, found)
    said = "".join(t for t, _ in view.row(view.tree(whole)[2], found["export"], "3", False, 80))
    assert said.startswith("  └ export") and "3 never starts" in said and len(said) < 80
    assert "gpu: 1 gpu 4 cpu 24G 1:00:00" in said


def test_what_was_sent_is_kept_for_its_owner_and_bounded(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labtui.kept.KEEP_SCRIPTS", 3)
    kept = Kept("lab")
    for n in range(6):
        kept.keep(str(n), f"a{n}", f"#!/bin/sh\n# {n}\n")
    kept.keep("../etc", "ab", "x")
    kept.keep("7", "../ab", "x")
    folder = own.parents[2] / "state" / "labtui" / "lab-jobs"
    assert sorted(p.name for p in folder.iterdir()) == [f"{n}-a{n}.sbatch" for n in (3, 4, 5)]
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.iterdir())
    assert kept.script("5", "a5") == kept.script("5") == "#!/bin/sh\n# 5\n"
    assert kept.script("5", "b5") is None and kept.script("1") is None
    assert kept.script("*") is None and kept.script("../5") is None
    kept.remember(run_of("1"))
    kept.remember(run_of("1", "2"))
    (folder.with_name("lab-pipelines") / "bad.json").write_text("{")
    assert [len(run.stages) for run in kept.runs("end-to-end")] == [2]
    assert kept.runs("other") == []


def test_a_disk_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    kept = Kept("lab")
    kept.keep("1", "ab", "x")
    assert kept.problem and "cannot be kept" in kept.problem
    assert kept.script("1") is None and kept.runs() == []
