"""Modify, top, and actions on many jobs: what is sent, what is said before, what was read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.actions.base import Action, ActionError, Outcome, Plan
from labtui.actions.jobs import JobAction
from labtui.actions.modify import FIELDS, ModifyJob, TopJob, checked
from labtui.actions.queue import CancelJob, HoldJob, ReleaseJob, ResumeJob, SuspendJob
from labtui.actions.runner import Runner
from labtui.model import ArrayJob
from labtui.slurm import many
from labtui.slurm.argv import whole_id
from labtui.slurm.client import SlurmClient
from slurmhost import ScriptedHost, marks_of, record

Answer = tuple[int, str, str]
PARTITIONS = (
    "PartitionName=gpu Nodes=n1 MaxTime=1-00:00:00 State=UP\n"
    "PartitionName=cpu Nodes=n2 MaxTime=UNLIMITED State=UP\n"
)


class Slurm:
    """A controller of a few jobs that does what `scontrol update` says."""

    def __init__(self, *, user: str = "ana", level: str = "None", **jobs: dict[str, str]) -> None:
        self.jobs = {k.removeprefix("j"): {"JobArrayID": k[1:], **v} for k, v in jobs.items()}
        self.nice = dict.fromkeys(self.jobs, "0")
        self.user, self.level = user, level
        self.parameters = "sched_interval=2"
        self.deaf = False
        self.refuse = ""
        self.host = ScriptedHost(self.reply)
        self.client = SlurmClient(self.host, timeout=0.05)

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] == "squeue":
            return self.queue(argv)
        if argv[0] == "id":
            return 0, f"{self.user}\n", ""
        if argv[0] == "sacctmgr":
            return 0, f"{self.user}|{self.level}\n", ""
        if argv[0] in ("sacct", "sinfo"):
            return 1, "", "Slurm accounting storage is disabled"
        if "partition" in argv:
            return 0, PARTITIONS, ""
        if "config" in argv:
            return 0, f"SchedulerParameters     = {self.parameters}\n", ""
        return self.told_to(argv)

    def queue(self, argv: list[str]) -> Answer:
        ids = argv[argv.index("-j") + 1].split(",") if "-j" in argv else None
        found = [j for k, j in self.jobs.items() if ids is None or whole_id(k) in ids]
        if not found:
            return 1, "", "slurm_load_jobs error: Invalid job id specified"
        if "Nice" in argv[-1]:
            rows = (f"{j['JobArrayID']}\x1f{self.nice[j['JobArrayID']]}\x1f\n" for j in found)
            return 0, "".join(rows), ""
        return 0, "".join(record(marks_of(argv), JobID=j["JobArrayID"], **j) for j in found), ""

    def told_to(self, argv: list[str]) -> Answer:
        if self.refuse:
            return 1, "", self.refuse
        if argv[1] == "update" and not self.deaf:
            sets = dict(part.partition("=")[::2] for part in argv[2:])
            for job_id in sets.pop("JobId").split(","):
                self.nice[job_id] = sets.get("Nice", self.nice[job_id])
                names = {"Partition": "Partition", "TimeLimit": "TimeLimit", "QOS": "QOS",
                         "Priority": "PriorityLong"}  # fmt: skip
                self.jobs[job_id] |= {names[k]: v for k, v in sets.items() if k in names}
        return 0, "", ""

    async def plan(self, action: Action) -> Plan:
        return await Runner(lambda line: None, cluster="x").plan(action)

    async def perform(self, action: Action) -> Outcome:
        runner = Runner(lambda line: None, cluster="x")
        return await runner.perform(action, await runner.plan(action), lambda line: None)

    @property
    def told(self) -> list[list[str]]:
        return [c for c in self.host.commands if c[0] == "scontrol" and c[1] in ("update", "top")]


RUNS = {"State": "RUNNING", "Reason": "None", "StartTime": "1795471000", "NodeList": "n1"}
ALL = {
    "time_limit": "2:00:00", "partition": "cpu", "qos": "long", "priority": "12", "nice": "-5",
}  # fmt: skip


async def test_every_field_is_sent_and_read_back() -> None:
    slurm = Slurm(level="Operator", j5={})
    plan = await slurm.plan(ModifyJob(slurm.client, ["5"], ALL))
    assert plan.title == (
        "Modify job 5 llama-lora (time limit 4:00:00, partition gpu, QoS normal, "
        "priority 4294901759, nice 0)"
    )
    assert plan.risks == ()
    assert plan.undo == (
        "scontrol update JobId=5 TimeLimit=4:00:00 Partition=gpu QOS=normal "
        "Priority=4294901759 Nice=0"
    )
    outcome = await slurm.perform(ModifyJob(slurm.client, ["5"], ALL))
    assert (outcome.kind, outcome.message) == (
        "done",
        "job 5 has time limit 2:00:00, partition cpu, QoS long, priority 12, nice -5",
    )
    assert slurm.told == [
        ["scontrol", "update", "JobId=5", "TimeLimit=2:00:00", "Partition=cpu", "QOS=long",
         "Priority=12", "Nice=-5"],
    ]  # fmt: skip


async def test_a_change_that_does_not_come_is_not_believed() -> None:
    slurm = Slurm(j5={})
    slurm.deaf = True
    outcome = await slurm.perform(ModifyJob(slurm.client, ["5"], {"time_limit": "60"}, settle=0.1))
    assert outcome.kind == "unknown" and "is not changed" in outcome.message
    slurm.deaf, slurm.refuse = False, "Access/permission denied for job 5"
    outcome = await slurm.perform(ModifyJob(slurm.client, ["5"], {"time_limit": "60"}))
    assert outcome.kind == "failed" and "may not do that" in outcome.message


@pytest.mark.parametrize(
    ("changes", "job", "said"),
    [
        ({"time_limit": "5:00:00"}, RUNS, "raise the time limit of a job that runs"),
        ({"time_limit": "UNLIMITED"}, RUNS, "raise the time limit of a job that runs"),
        ({"priority": "9"}, {}, "set a priority"),
        ({"nice": "-1"}, {}, "give a nice below 0"),
        ({"partition": "cpu"}, RUNS, "only while a job waits, 1 runs"),
        ({"at_once": "2"}, {}, "only an array has tasks"),
        ({"time_limit": "2-00:00:00"}, {}, "gpu allows 1-00:00:00: with more time it would wait"),
    ],
)
async def test_what_slurm_would_refuse_is_said_before(
    changes: dict[str, str], job: dict[str, str], said: str
) -> None:
    slurm = Slurm(j5=job)
    plan = await slurm.plan(ModifyJob(slurm.client, ["5"], changes))
    assert any(said in risk for risk in plan.risks), plan.risks


async def test_what_is_fine_is_not_warned_of() -> None:
    waits = Slurm(j5={})
    for changes in ({"time_limit": "5:00:00"}, {"nice": "5"}, {"partition": "cpu"}):
        assert (await waits.plan(ModifyJob(waits.client, ["5"], changes))).risks == ()
    boss = Slurm(level="Administrator", j5=RUNS)
    assert (await boss.plan(ModifyJob(boss.client, ["5"], {"time_limit": "9:00:00"}))).risks == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing is changed"),
        ({"reason": "x"}, "reason: cannot be changed; there are time_limit"),
        ({"time_limit": "soon"}, "time limit: soon: write it as 90"),
        ({"time_limit": "0"}, "time limit: 0: write it as 90"),
        ({"partition": "a b"}, "partition: a b: write a name"),
        ({"qos": "-x y"}, "QoS"),
        ({"priority": "0"}, "priority: 0: 0 would hold it: use hold"),
        ({"priority": "-4"}, "priority: -4: write a whole number"),
        ({"nice": "1.5"}, "nice: 1.5: write a whole number"),
        ({"at_once": "0"}, "at once: 0: write how many"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_asked(
    changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ActionError, match=words):
        checked(changes)


@given(st.sampled_from([f.name for f in FIELDS]), st.text(max_size=20))
def test_no_value_is_more_than_a_value(name: str, text: str) -> None:
    """What is sent is one word that Slurm takes as the value of one key."""
    try:
        (value,) = checked({name: text}).values()
    except ActionError as error:
        assert "\x1b" not in str(error) and "\n" not in str(error)
        return
    assert value and value == value.strip()
    assert not set(value) & set(" \t\n=;'\"\\$`\x1b\x00")


async def test_an_unknown_partition_names_those_there_are() -> None:
    slurm = Slurm(j5={})
    with pytest.raises(ActionError, match="there is no nope; choose from gpu, cpu"):
        await slurm.plan(ModifyJob(slurm.client, ["5"], {"partition": "nope"}))
    assert slurm.told == []


async def test_what_is_over_is_not_modified() -> None:
    slurm = Slurm(j5={"State": "COMPLETED", "Reason": "None"})
    with pytest.raises(ActionError, match=r"it is over \(completed\)"):
        await slurm.plan(ModifyJob(slurm.client, ["5"], {"nice": "1"}))


async def test_top_needs_a_setting_for_users() -> None:
    slurm = Slurm(j5={}, j6={"PriorityLong": "1"})
    with pytest.raises(ActionError, match="enable_user_top"):
        await slurm.plan(TopJob(slurm.client, ["5"]))
    slurm.parameters += ",enable_user_top"
    outcome = await slurm.perform(TopJob(slurm.client, ["5"]))
    assert (outcome.kind, outcome.message) == ("done", "job 5 is first of ana's jobs in gpu")
    assert slurm.told == [["scontrol", "top", "5"]]
    later = await slurm.perform(TopJob(slurm.client, ["6"], settle=0.1))
    assert later.kind == "unknown"


async def test_a_held_or_running_job_is_not_put_first() -> None:
    for job, words in (({"Reason": "JobHeldUser"}, "release it first"), (RUNS, "only a waiting")):
        slurm = Slurm(level="Operator", j5=job)
        with pytest.raises(ActionError, match=words):
            await slurm.plan(TopJob(slurm.client, ["5"]))


# Many at once


async def test_many_are_asked_for_in_one_question_and_told_in_one_command() -> None:
    jobs = {f"j{n}": {} for n in range(100, 400)}
    slurm = Slurm(**jobs)
    ids = [str(n) for n in range(100, 400)]
    plan = await slurm.plan(ModifyJob(slurm.client, ids, {"time_limit": "1:00:00"}))
    assert plan.title == "Modify 300 jobs"
    assert len(plan.targets) == 300 and len(plan.steps) == 1
    assert plan.undo == (
        "TimeLimit=4:00:00 for 300 jobs again; the old value of each is in the audit"
    )
    before = len(slurm.host.commands)
    outcome = await slurm.perform(ModifyJob(slurm.client, ids, {"time_limit": "1:00:00"}))
    assert (outcome.kind, outcome.message) == ("done", "300 jobs are changed")
    assert len(outcome.details) == 301
    assert len(slurm.host.commands) - before <= 6


async def test_those_for_which_it_makes_no_sense_are_left_out_and_named() -> None:
    slurm = Slurm(j5={}, j6=RUNS, j7={"Reason": "JobHeldUser"})
    plan = await slurm.plan(HoldJob(slurm.client, ["5", "6", "7", "8"]))
    assert plan.targets == ("5 llama-lora",)
    assert [step.what for step in plan.steps] == ["scontrol hold 5"]
    assert sorted(plan.risks) == [
        "1 of 4 left out: Slurm does not know it (any more)",
        "1 of 4 left out: it is held already",
        "1 of 4 left out: only a waiting job: it is running",
    ]
    with pytest.raises(ActionError, match="it is not held"):
        await slurm.plan(ReleaseJob(slurm.client, ["5", "6"]))


async def test_ids_go_in_parts_that_fit_a_command() -> None:
    ids = [str(10_000_000 + n) for n in range(10_000)]
    parts = many.chunks(ids)
    assert [job_id for part in parts for job_id in part] == ids
    assert len(parts) == 4
    assert all(len(",".join(part)) <= many.LONGEST for part in parts)
    cancel = CancelJob(Slurm().client, [*ids, "9_[0-99%4]"])
    assert all(len(" ".join(argv)) < 40_000 for argv in cancel.argvs())
    with pytest.raises(ValueError, match="not a job id"):
        many.chunks(["5", "-u root"])
    with pytest.raises(ActionError, match="is shortened"):
        await ModifyJob(Slurm().client, ["9_[1,3,...,9]"], {"nice": "1"}).plan()


def test_a_folded_array_is_as_its_tasks_are() -> None:
    from labtui.actions.offered import JOBS

    def usable(**tasks: int) -> set[str]:
        array = ArrayJob(job_id="9", name="x", state="FAILED", tasks=tasks)
        return {
            s.id
            for s in JOBS
            if s.many and s.id != "queue.after" and s.disabled and not s.disabled(array)
        }

    waits = {"queue.cancel", "queue.hold", "queue.release", "queue.modify", "queue.top"}
    assert usable(FAILED=3) == {"queue.requeue"}
    assert usable(FAILED=3, PENDING=2) == waits | {"queue.requeue"}
    assert usable(PENDING=2) == waits
    assert "queue.suspend" in usable(RUNNING=1, PENDING=2)
    assert "queue.resume" in usable(SUSPENDED=1)


@pytest.mark.parametrize(("action", "state"), [(SuspendJob, "RUNNING"), (ResumeJob, "SUSPENDED")])
async def test_suspend_and_resume_say_who_may(action: type[JobAction], state: str) -> None:
    for level, warned in (("None", True), ("Operator", False)):
        slurm = Slurm(level=level, j5={**RUNS, "State": state})
        plan = await slurm.plan(action(slurm.client, ["5"]))
        assert any("lets only operators" in risk for risk in plan.risks) is warned
