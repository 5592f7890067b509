"""Several jobs as one: all of them or none, found again when an answer is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labtui.actions.base import ActionError, Outcome, Plan
from labtui.actions.pipeline import SubmitPipeline
from labtui.actions.runner import Runner
from labtui.actions.submit import script_of, waited_for
from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.pipelines import Pipeline, PipelineRun, parse
from slurmhost import ScriptedHost, marks_of, record

TEXT = """
[stages.prepare]
command = "echo prepare"
[stages.train]
command = "echo train"
after = "prepare"
[stages.deploy]
command = "echo deploy"
after = { train = "ok", prepare = "any" }
"""
Answer = tuple[int, str, str]


class Slurm:
    """A slurmctld that remembers what was submitted, and fails where it is told to."""

    def __init__(self, *, refuses: str = "", loses: str = "", forgets: str = "") -> None:
        self.refuses, self.loses, self.forgets = refuses, loses, forgets
        self.jobs: dict[str, dict[str, str]] = {}
        self.told: list[list[str]] = []
        self.released: set[str] = set()
        self.answers: dict[str, tuple[int, bool]] = {}
        """Of scontrol and scancel: (exit status, whether they do anything)."""
        self.down = False
        self.host = ScriptedHost(self.reply)
        self.client = SlurmClient(self.host, timeout=0.05)

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] == "id":
            return 0, "ana\n", ""
        if argv[0] == "test":
            return (0 if argv[2] == "/mnt/nfs" else 1), "", ""
        if argv[0] == "sbatch" and "--test-only" in argv:
            return 0, "", "sbatch: Job 1 to start at 1795471840 using 1 processors on nodes n1"
        if argv[0] == "sbatch":
            return self.sbatch(argv, re.findall(r"echo (\w+)", stdin)[0])
        if argv[0] == "squeue" and self.down:
            return 1, "", "slurm_load_jobs error: Unable to contact slurm controller"
        if argv[0] == "squeue":
            wanted = argv[argv.index("-j") + 1] if "-j" in argv else ""
            rows = [
                record(marks_of(argv), JobArrayID=i, JobID=i, State=job["state"],
                       Comment=job["comment"],
                       Reason="JobHeldUser" if job["held"] == "True" and i not in self.released
                       else "Resources")
                for i, job in self.jobs.items()
                if wanted in ("", i)
            ]  # fmt: skip
            if wanted and not rows:
                return 1, "", "slurm_load_jobs error: Invalid job id specified"
            return 0, "".join(rows), ""
        self.told.append(argv)
        rc, effect = self.answers.get(argv[0], (0, True))
        if effect and argv[0] == "scancel":
            for job_id in argv[1:]:
                self.jobs[job_id]["state"] = "CANCELLED"
        if effect and argv[:2] == ["scontrol", "release"]:
            self.released.update(argv[2].split(","))
        return rc, "", "Access/permission denied" if rc == 1 else ""

    def sbatch(self, argv: list[str], name: str) -> Answer:
        given = dict(part[2:].partition("=")[::2] for part in argv if part.startswith("--"))
        if name == self.refuses:
            return 1, "", "sbatch: error: Batch job submission failed: Job dependency problem"
        if name != self.forgets:
            job_id = str(len(self.jobs) + 11)
            self.jobs[job_id] = {
                "name": name, "comment": given["comment"], "state": "PENDING",
                "waits": given.get("dependency", ""), "held": str("hold" in given),
            }  # fmt: skip
        if name in (self.loses, self.forgets):
            return 124, "", ""
        return 0, f"{job_id}\n", ""

    def waits(self) -> list[tuple[str, str, str]]:
        return [(j["name"], j["waits"], j["held"]) for j in self.jobs.values()]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Kept("lab")


@pytest.fixture
def whole() -> Pipeline:
    return parse("three", TEXT, "three.pipeline.toml")


async def submit(
    slurm: Slurm, whole: Pipeline, kept: Kept, start: str = "", before: PipelineRun | None = None
) -> tuple[Plan, Outcome, SubmitPipeline]:
    action = SubmitPipeline(slurm.client, whole, kept, start=start, before=before, look=0.1)
    runner = Runner(lambda line: None, cluster="x")
    plan = await runner.plan(action)
    return plan, await runner.perform(action, plan, lambda line: None), action


async def test_all_are_submitted_with_their_dependencies(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    plan, outcome, action = await submit(slurm, whole, kept)
    assert outcome.kind == "done", outcome.message
    assert outcome.message == "three is submitted: prepare 11, train 12, deploy 13"
    assert slurm.waits() == [
        ("prepare", "", "True"), ("train", "afterok:11", "False"),
        ("deploy", "afterok:12,afterany:11", "False"),
    ]  # fmt: skip
    assert slurm.told == [["scontrol", "release", "11"]]
    lines = [step.what for step in plan.steps]
    assert len(lines) == 4 and lines[-1] == "scontrol release <prepare>"
    assert "'--dependency=afterok:<train>,afterany:<prepare>' < deploy" in lines[2]
    (run,) = kept.runs()
    assert run == action.run_record and run.job_of("train") == "12"
    assert kept.script("12", action.tokens["train"]) == whole.stages[1].script
    assert len({job["comment"] for job in slurm.jobs.values()}) == 3


async def test_a_refusal_half_way_leaves_nothing(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm(refuses="deploy")
    _, outcome, _ = await submit(slurm, whole, kept)
    assert outcome.kind == "failed"
    assert outcome.message == (
        "deploy: Slurm refused it: Job dependency problem;"
        " prepare (job 11), train (job 12) were accepted and are cancelled again"
    )
    assert {job["state"] for job in slurm.jobs.values()} == {"CANCELLED"}
    assert slurm.told == [["scancel", "11", "12"]] and kept.runs() == []


async def test_a_refusal_of_the_first_says_that_nothing_was_sent(
    whole: Pipeline, kept: Kept
) -> None:
    _, outcome, _ = await submit(Slurm(refuses="prepare"), whole, kept)
    assert outcome.kind == "failed" and "nothing was submitted" in outcome.message


async def test_a_lost_answer_is_found_by_its_mark(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm(loses="train")
    _, outcome, action = await submit(slurm, whole, kept)
    assert outcome.kind == "done" and action.jobs["train"] == "12"
    assert slurm.waits()[2][1] == "afterok:12,afterany:11" and len(slurm.jobs) == 3


async def test_neither_accepted_nor_answered(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm(forgets="train")
    _, outcome, _ = await submit(slurm, whole, kept)
    assert outcome.kind == "failed" and "no job carries its mark" in outcome.message
    assert [job["state"] for job in slurm.jobs.values()] == ["CANCELLED"]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((0, False), "failed", "three: prepare 11, train 12, deploy 13; submitted but held: "
         "release 11"),
        ((124, False), "unknown", "three: prepare 11, train 12, deploy 13; submitted but held: "
         "release 11"),
        ((124, True), "done", "three is submitted: prepare 11, train 12, deploy 13"),
        ((1, False), "failed", "scontrol release 11: Access/permission denied; submitted: "
         "11, 12, 13; held until it is released: 11"),
    ],
)  # fmt: skip
async def test_whether_the_first_were_let_go_is_read_back(
    whole: Pipeline, kept: Kept, answer: tuple[int, bool], kind: str, words: str
) -> None:
    slurm = Slurm()
    slurm.answers["scontrol"] = answer
    _, outcome, _ = await submit(slurm, whole, kept)
    assert (outcome.kind, outcome.message) == (kind, words)
    assert len(slurm.jobs) == 3


async def test_whether_what_these_replace_is_gone_is_read_back(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    _, _, first = await submit(slurm, whole, kept)
    slurm.jobs["11"]["state"] = "COMPLETED"
    slurm.answers["scancel"] = (0, False)
    _, outcome, _ = await submit(slurm, whole, kept, "train", first.run_record)
    assert outcome.kind == "failed"
    assert outcome.message == "three: train 14, deploy 15; not cancelled: 12, 13"
    slurm.answers["scancel"] = (124, False)
    _, outcome, _ = await submit(slurm, whole, kept, "train", first.run_record)
    assert outcome.kind == "unknown"
    assert outcome.message.endswith("submitted but held: release 16; not cancelled: 12, 13")


async def test_a_mark_that_cannot_be_looked_for_is_not_known_to_be_missing(
    whole: Pipeline, kept: Kept
) -> None:
    slurm = Slurm(forgets="train")
    answer = slurm.reply

    def reply(argv: list[str], stdin: str) -> Answer | None:
        slurm.down = slurm.down or (argv[0] == "sbatch" and "echo train" in stdin
                                    and "--test-only" not in argv)  # fmt: skip
        return answer(argv, stdin)

    slurm.host.reply = reply
    _, outcome, _ = await submit(slurm, whole, kept)
    assert outcome.kind == "unknown" and "slurmctld does not answer" in outcome.message
    assert slurm.told == [] and [run.job_of("prepare") for run in kept.runs()] == ["11"]


async def test_from_the_stage_that_failed(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    _, _, first = await submit(slurm, whole, kept)
    slurm.jobs["11"]["state"] = "COMPLETED"
    slurm.jobs["12"]["state"] = "FAILED"
    plan, outcome, again = await submit(slurm, whole, kept, "train", first.run_record)
    assert outcome.kind == "done", outcome.message
    assert plan.steps[-2].what == "scancel 13" and plan.title == "Submit three: from train on"
    assert slurm.told[-2:] == [["scancel", "13"], ["scontrol", "release", "14"]]
    assert slurm.waits()[3:] == [("train", "", "True"), ("deploy", "afterok:14", "False")]
    assert slurm.jobs["13"]["state"] == "CANCELLED" and plan.risks == ()
    (run,) = kept.runs()
    assert [run.job_of(s.name) for s in whole.stages] == ["11", "14", "15"]
    assert run == again.run_record


async def test_what_these_replace_is_kept_when_they_are_refused(
    whole: Pipeline, kept: Kept
) -> None:
    slurm = Slurm()
    _, _, first = await submit(slurm, whole, kept)
    slurm.refuses = "deploy"
    _, outcome, _ = await submit(slurm, whole, kept, "train", first.run_record)
    assert outcome.kind == "failed" and "train (job 14)" in outcome.message
    assert {job_id: job["state"] for job_id, job in slurm.jobs.items()} == {
        "11": "PENDING", "12": "PENDING", "13": "PENDING", "14": "CANCELLED"
    }  # fmt: skip
    (run,) = kept.runs()
    assert [s.job_id for s in run.stages] == ["11", "12", "13"]


async def test_what_still_runs_is_waited_for(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    _, _, first = await submit(slurm, whole, kept)
    slurm.jobs["11"]["state"] = "RUNNING"
    slurm.jobs["12"]["state"] = "FAILED"
    await submit(slurm, whole, kept, "train", first.run_record)
    assert slurm.waits()[3] == ("train", "afterok:11", "True")


async def test_what_was_never_submitted_is_told(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    plan, outcome, _ = await submit(slurm, whole, kept, "deploy")
    assert outcome.kind == "done" and slurm.waits() == [("deploy", "", "False")]
    assert plan.risks == (
        "prepare is taken for done: it was not submitted",
        "train is taken for done: it was not submitted",
    )
    with pytest.raises(ActionError, match="three has no stage nope"):
        await SubmitPipeline(slurm.client, whole, kept, start="nope").plan()


async def test_a_stage_that_would_be_refused_stops_the_plan(whole: Pipeline, kept: Kept) -> None:
    slurm = Slurm()
    answer = slurm.reply

    def reply(argv: list[str], stdin: str) -> Answer | None:
        if "--test-only" in argv and "train" in stdin:
            return 1, "", "allocation failure: Invalid partition name specified"
        return answer(argv, stdin)

    slurm.host.reply = reply
    with pytest.raises(ActionError, match="train: Slurm would refuse it: Invalid partition"):
        await SubmitPipeline(slurm.client, whole, kept).plan()
    assert slurm.jobs == {}


# A job's script, wherever it still is


class Scripts(SlurmClient):
    def __init__(self, known: str | None, accounted: str | None) -> None:
        super().__init__(ScriptedHost(lambda argv, stdin: (0, "", "")))
        self.known, self.accounted = known, accounted

    async def batch_script(self, job_id: str) -> str:
        if self.known is None:
            raise RPCError(msg="Invalid job id specified", kind="not-found")
        if not self.known:
            raise RPCError(msg="the job has no batch script", kind="protocol")
        return self.known

    async def accounted_script(self, job_id: str) -> str | None:
        return self.accounted


async def test_a_forgotten_script_is_found_where_it_was_kept(kept: Kept) -> None:
    job = Job(job_id="12_3", name="x", state="FAILED", comment="mine labtui:ab", source="sacct")
    kept.keep("12", "ab", "#!/bin/sh\nours\n")
    live = Job(job_id="12", name="x", state="FAILED")
    assert await script_of(Scripts("#!slurm", None), kept, live) == "#!slurm"
    assert "ours" in await script_of(Scripts(None, None), kept, live)
    assert "ours" in await script_of(Scripts("#!slurm", "#!accounted"), kept, job)
    other = Job(job_id="12", name="x", state="FAILED", comment="labtui:cd", source="sacct")
    assert await script_of(Scripts(None, "#!accounted"), kept, other) == "#!accounted"
    with pytest.raises(ActionError, match="Slurm has forgotten it, labtui did not send it"):
        await script_of(Scripts(None, None), kept, other)
    shell = Job(job_id="13", name="x", state="RUNNING")
    with pytest.raises(ActionError, match="no batch script, labtui did not send it"):
        await script_of(Scripts("", None), kept, shell)


async def test_the_accountings_script() -> None:
    said = f"Batch Script for 12\n{'-' * 80}\n#!/bin/sh\necho hi\n"
    for answer, script in ((said, "#!/bin/sh\necho hi\n"), ("NONE\n", None), ("", None)):
        client = SlurmClient(ScriptedHost(lambda argv, stdin, a=answer: (0, a, "")))  # type: ignore[misc]
        assert await client.accounted_script("12_4") == script


def test_what_a_job_waits_for() -> None:
    assert [waited_for(i) for i in ("12", "12_3", "12_[4-9%2]", "15+1")] == [
        "12", "12_3", "12", "15"
    ]  # fmt: skip
