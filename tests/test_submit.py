"""A submission: what is sent, and that an accepted one is found when the answer is lost."""

from __future__ import annotations

import pytest

from labtui.actions.base import ActionError, Outcome, Plan
from labtui.actions.runner import Runner
from labtui.actions.submit import SubmitJob
from labtui.slurm.client import SlurmClient
from slurmhost import ScriptedHost, marks_of, record

SCRIPT = "#!/bin/bash\n#SBATCH --job-name=x\n#SBATCH --comment=mine\ntrue\n"
Answer = tuple[int, str, str]


class Slurm:
    def __init__(
        self, *, user: str = "ana", lost: bool = False, accepts: bool = True, refusal: str = ""
    ) -> None:
        self.user = user
        self.lost = lost
        self.accepts = accepts
        self.refusal = refusal
        self.comments: list[str] = []
        self.scripts: list[str] = []
        self.writable = {"/mnt/nfs"}
        self.host = ScriptedHost(self.reply)
        self.client = SlurmClient(self.host, timeout=0.05)

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] == "id":
            return 0, f"{self.user}\n", ""
        if argv[0] == "test":
            return (0 if argv[2] in self.writable else 1), "", ""
        if "--test-only" in argv:
            if self.refusal:
                return 1, "", self.refusal
            text = "sbatch: Job 1 to start at 1795471840 using 1 processors on nodes n1"
            return 0, "", text
        if argv[0] == "sbatch":
            self.scripts.append(stdin)
            if self.accepts:
                comment = next(a for a in argv if a.startswith("--comment="))
                self.comments.append(comment.removeprefix("--comment="))
            return (124, "", "") if self.lost else (0, f"{len(self.comments) + 6}\n", "")
        if argv[0] == "squeue":
            marks = marks_of(argv)
            rows = [
                record(marks, JobArrayID=f"{n + 7}", JobID=f"{n + 7}", Comment=comment)
                for n, comment in enumerate(self.comments)
            ]
            return 0, "".join(rows), ""
        return 1, "", "Slurm accounting storage is disabled"

    async def submit(self, script: str = SCRIPT, chdir: str = "") -> tuple[Plan, Outcome]:
        action = SubmitJob(self.client, script, chdir=chdir, look=0.1)
        runner = Runner(lambda line: None, cluster="x")
        plan = await runner.plan(action)
        return plan, await runner.perform(action, plan, lambda line: None)


async def test_accepted() -> None:
    slurm = Slurm()
    plan, outcome = await slurm.submit()
    assert outcome.kind == "done" and outcome.details["job_id"] == "7"
    assert slurm.scripts == [SCRIPT]
    assert plan.preview == SCRIPT and plan.title == "Submit x" and not plan.dangerous
    (step,) = plan.steps
    assert "--chdir=/mnt/nfs" in step.what and "mine labtui:" in step.what
    sent = next(argv for argv in slurm.host.commands if "--parsable" in argv)
    assert not any("true" in part or "job-name" in part for part in sent)


async def test_accepted_but_the_answer_was_lost() -> None:
    slurm = Slurm(lost=True)
    slurm.comments.append("labtui:0000000000000000")
    _, outcome = await slurm.submit()
    assert outcome.kind == "done" and outcome.details["job_id"] == "8"
    assert len(slurm.scripts) == 1


async def test_neither_accepted_nor_answered() -> None:
    _, outcome = await Slurm(lost=True, accepts=False).submit()
    assert outcome.kind == "failed" and "did not take it" in outcome.message


async def test_refused_in_slurms_words_before_anything_is_sent() -> None:
    slurm = Slurm(refusal="allocation failure: Requested node configuration is not available")
    action = SubmitJob(slurm.client, SCRIPT)
    with pytest.raises(ActionError, match="would refuse it: Requested node configuration"):
        await action.plan()
    assert slurm.scripts == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello", "#!"),
        ("", "#!"),
        ("#!/bin/sh\n\0", "NUL"),
        ("#!/bin/sh\n" + "x" * (5 << 20), "larger than Slurm takes"),
    ],
)
async def test_what_is_no_script(script: str, words: str) -> None:
    slurm = Slurm()
    with pytest.raises(ActionError, match=words):
        await SubmitJob(slurm.client, script).plan()
    assert slurm.host.seen == []


async def test_root_is_asked_for_by_name() -> None:
    plan, _ = await Slurm(user="root").submit()
    assert plan.dangerous and plan.confirm_word == "root"


async def test_the_folder_that_was_asked_for_is_kept() -> None:
    plan, _ = await Slurm().submit(chdir="/data")
    assert "--chdir=/data" in plan.steps[0].what
    plan, _ = await Slurm().submit("#!/bin/sh\n#SBATCH -D /data\ntrue\n")
    assert "--chdir" not in plan.steps[0].what
    slurm = Slurm()
    slurm.writable.add("/mnt/nfs/ana")
    plan, _ = await slurm.submit()
    assert "--chdir=/mnt/nfs/ana" in plan.steps[0].what
    slurm.writable.clear()
    plan, _ = await slurm.submit()
    assert "--chdir" not in plan.steps[0].what


async def test_windows_line_ends_are_mended() -> None:
    slurm = Slurm()
    await slurm.submit(SCRIPT.replace("\n", "\r\n"))
    assert slurm.scripts == [SCRIPT]
