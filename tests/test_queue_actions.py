"""Cancel, hold, release and their like: what is sent, and that the state is read again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.actions import jobs as job_actions
from labtui.actions import modify as modify_actions
from labtui.actions import offered
from labtui.actions import queue as queue_actions
from labtui.actions.base import Action, ActionError, Outcome
from labtui.actions.nodes import DrainNode, ResumeNode
from labtui.actions.queue import (
    CancelJob,
    HoldJob,
    ReleaseJob,
    RequeueJob,
    ResumeJob,
    SuspendJob,
)
from labtui.actions.runner import Runner
from labtui.model import ArrayJob, Job, Node
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.values import covers
from slurmhost import ScriptedHost, marks_of, record

Answer = tuple[int, str, str]


class Slurm:
    """A controller of one or more jobs; commands change their fields as Slurm would."""

    def __init__(self, **jobs: dict[str, str]) -> None:
        self.jobs = {k.removeprefix("j"): {"JobArrayID": k[1:], **v} for k, v in jobs.items()}
        self.refuse = ""
        self.effect: dict[str, dict[str, str]] = {}
        self.silent: set[str] = set()
        self.host = ScriptedHost(self.reply)
        self.client = SlurmClient(self.host, timeout=0.05)

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] == "squeue":
            marks = marks_of(argv)
            wanted = argv[argv.index("-j") + 1] if "-j" in argv else None
            asked = None if wanted is None else wanted.split(",")
            found = [j for j in self.jobs.values() if asked is None or j["JobArrayID"] in asked]
            if not found:
                return 1, "", "slurm_load_jobs error: Invalid job id specified"
            return 0, "".join(record(marks, JobID=j["JobArrayID"], **j) for j in found), ""
        if argv[0] == "sacct" or argv[0] == "sinfo":
            return 1, "", "Slurm accounting storage is disabled"
        word = argv[1] if argv[0] == "scontrol" else "cancel"
        if self.refuse:
            return 1, "", self.refuse
        for job in self.jobs.values():
            job.update(self.effect.get(word, {}))
        return (124, "", "") if word in self.silent else (0, "", "")

    async def perform(self, action: Action) -> Outcome:
        runner = Runner(lambda line: None, cluster="x")
        plan = await runner.plan(action)
        return await runner.perform(action, plan, lambda line: None)

    @property
    def told(self) -> list[list[str]]:
        reading = ("squeue", "sacct", "sinfo", "sacctmgr", "id")
        return [argv for argv in self.host.commands if argv[0] not in reading]


CANCELLED = {"State": "CANCELLED", "Reason": "None"}
HELD = {"Reason": "JobHeldUser"}
RUNNING = {"State": "RUNNING", "Reason": "None", "StartTime": "1795471000", "NodeList": "n1"}


async def test_cancel_is_done_when_the_job_is_over() -> None:
    slurm = Slurm(j5=RUNNING)
    slurm.effect["cancel"] = CANCELLED
    outcome = await slurm.perform(CancelJob(slurm.client, ["5"]))
    assert (outcome.kind, outcome.message) == ("done", "job 5 is cancelled")
    assert slurm.told == [["scancel", "5"]]


async def test_an_exit_status_of_zero_is_not_believed() -> None:
    """scancel exits 0, and the job goes on: COMPLETING is not over either."""
    for state in ("RUNNING", "COMPLETING"):
        slurm = Slurm(j5={**RUNNING, "State": state})
        outcome = await slurm.perform(CancelJob(slurm.client, ["5"], settle=0.1))
        assert outcome.kind == "unknown"
        assert "not cancelled" in outcome.message


async def test_a_job_that_ended_by_itself_meanwhile() -> None:
    slurm = Slurm(j5=RUNNING)
    slurm.effect["cancel"] = {"State": "COMPLETED", "Reason": "None"}
    outcome = await slurm.perform(CancelJob(slurm.client, ["5"]))
    assert (outcome.kind, outcome.message) == ("done", "job 5 had ended by itself (completed)")


async def test_a_timeout_is_decided_by_the_state() -> None:
    slurm = Slurm(j5=RUNNING)
    slurm.silent.add("cancel")
    slurm.effect["cancel"] = CANCELLED
    assert (await slurm.perform(CancelJob(slurm.client, ["5"]))).kind == "done"


async def test_unknown_jobs_and_what_is_no_job() -> None:
    slurm = Slurm()
    with pytest.raises(ActionError, match="does not know it"):
        await CancelJob(slurm.client, ["999"]).plan()
    with pytest.raises(ActionError, match="not a job id"):
        await CancelJob(slurm.client, ["-u root"]).plan()
    straight = CancelJob(slurm.client, ["999"], settle=0.1)
    await straight.run(lambda line: None)
    assert (await straight.verify()).kind == "failed"


@pytest.mark.parametrize(
    ("action", "before", "effect", "words"),
    [
        (HoldJob, {}, HELD, "is held"),
        (ReleaseJob, HELD, {"Reason": "Resources"}, "is released"),
        (RequeueJob, RUNNING, {"State": "PENDING", "Reason": "BeginTime"}, "back in the queue"),
        (SuspendJob, RUNNING, {"State": "SUSPENDED"}, "is suspended"),
        (ResumeJob, {**RUNNING, "State": "SUSPENDED"}, {"State": "RUNNING"}, "runs again"),
    ],
)
async def test_each_is_verified_by_its_state(
    action: Any, before: dict[str, str], effect: dict[str, str], words: str
) -> None:
    verb = action.id.partition(".")[2]
    slurm = Slurm(j5=before)
    slurm.effect[verb] = effect
    outcome = await slurm.perform(action(slurm.client, ["5"]))
    assert outcome.kind == "done" and words in outcome.message
    assert slurm.told == [["scontrol", verb, "5"]]
    stuck = Slurm(j5=before)
    assert (await stuck.perform(action(stuck.client, ["5"], settle=0.1))).kind == "unknown"
    refused = Slurm(j5=before)
    refused.refuse = "Access/permission denied for job 5"
    outcome = await refused.perform(action(refused.client, ["5"]))
    assert outcome.kind == "failed" and "may not do that" in outcome.message


@pytest.mark.parametrize(
    ("action", "job", "words"),
    [
        (CancelJob, CANCELLED, "over"),
        (HoldJob, RUNNING, "only a waiting job"),
        (HoldJob, HELD, "held already"),
        (ReleaseJob, {}, "not held"),
        (RequeueJob, {}, "waits already"),
        (SuspendJob, {}, "only a running job"),
        (ResumeJob, RUNNING, "not suspended"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_it_is_sent(
    action: Any, job: dict[str, str], words: str
) -> None:
    slurm = Slurm(j5=job)
    with pytest.raises(ActionError, match=words):
        await action(slurm.client, ["5"]).plan()
    assert slurm.told == []
    spec = next(s for s in offered.JOBS if s.id == action.id)
    (row,) = await slurm.client.jobs()
    assert spec.disabled is not None and words in (spec.disabled(row) or "")


async def test_several_running_jobs_ask_for_their_number() -> None:
    slurm = Slurm(j5=RUNNING, j6=RUNNING)
    plan = await CancelJob(slurm.client, ["5", "6", "5"]).plan()
    assert (plan.title, plan.dangerous, plan.confirm_word) == ("Cancel 2 jobs", True, "2 jobs")
    assert [step.what for step in plan.steps] == ["scancel 5 6"]


REQUEUED_HELD = (
    {"Reason": "launch failed requeued held"}, {"Reason": "job_requeued_in_held_state"},
    {"Reason": "user env retrieval failed requeued held"}, {"State": "SPECIAL_EXIT"},
    {"State": "REQUEUE_HOLD"},
)  # fmt: skip
"""What Slurm itself held, and says in its own words."""


@pytest.mark.parametrize("held", REQUEUED_HELD)
async def test_what_slurm_itself_held_can_be_released(held: dict[str, str]) -> None:
    slurm = Slurm(j5=held)
    slurm.effect["release"] = {"State": "PENDING", "Reason": "BeginTime"}
    outcome = await slurm.perform(ReleaseJob(slurm.client, ["5"]))
    assert (outcome.kind, outcome.message) == ("done", "job 5 is released (pending)")
    stuck = Slurm(j5=held)
    outcome = await stuck.perform(ReleaseJob(stuck.client, ["5"], settle=0.1))
    assert outcome.kind == "unknown"
    for action in (HoldJob, modify_actions.TopJob):
        with pytest.raises(ActionError, match="it is held"):
            await action(Slurm(j5=held).client, ["5"]).plan()
    folded = ArrayJob(job_id="9", name="x", state="FAILED", tasks={held.get("State", "PENDING"): 1})
    assert queue_actions.not_held(folded) is None


DENIED = "scancel: error: Kill job error on job id {}: Access/permission denied"


class Shared(Slurm):
    """Some jobs are another's: Slurm does what was asked to the rest, which takes a while."""

    def __init__(self, others: str, refuse: str, **jobs: dict[str, str]) -> None:
        super().__init__(**jobs)
        self.others, self.words, self.looks = others.split(), refuse, 0

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] == "scancel":
            for job_id, job in self.jobs.items():
                job |= {} if job_id in self.others else {"State": "COMPLETING"}
            return 1, "", "\n".join(self.words.format(job_id) for job_id in self.others)
        self.looks += 1
        for job in self.jobs.values():
            if job.get("State") == "COMPLETING" and self.looks > 2:
                job |= CANCELLED
        return super().reply(argv, stdin)


async def test_what_slurm_refuses_of_several_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_actions, "SEVERAL_STEP", 0.01)
    slurm = Shared("12 13 14 15", DENIED, **{f"j{n}": RUNNING for n in (11, 12, 13, 14, 15, 16)})
    ids = ["11", "12", "13", "14", "15", "16"]
    outcome = await slurm.perform(CancelJob(slurm.client, ids))
    assert outcome.kind == "failed"
    assert outcome.message.startswith("job 11 is cancelled; job 16 is cancelled; ")
    assert "Slurm refused for 12, 13, 14, 15: " in outcome.message
    assert outcome.details["job 11"] == "is cancelled"
    assert outcome.details["job 12"] == "not cancelled"


async def test_a_refusal_that_names_nobody_is_not_laid_on_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_actions, "SEVERAL_STEP", 0.01)
    slurm = Shared("12", "scancel: error: Access/permission denied", j11=RUNNING, j12=RUNNING)
    outcome = await slurm.perform(CancelJob(slurm.client, ["11", "12"], settle=0.3))
    assert outcome.kind == "unknown"
    assert outcome.message.startswith("job 11 is cancelled; Slurm refused some: Access/permission")
    assert outcome.message.endswith("; not cancelled (yet): 12")


async def test_no_answer_is_no_refusal() -> None:
    slurm = Slurm(j5=RUNNING, j6=RUNNING)
    slurm.silent.add("cancel")
    outcome = await slurm.perform(CancelJob(slurm.client, ["5", "6"], settle=0.1))
    assert outcome.kind == "unknown" and "refused" not in outcome.message


def test_whom_a_refusal_names() -> None:
    def named(*lines: str) -> list[str]:
        error = RPCError(msg="x")
        error.said = lines
        return job_actions._named(error, ["9", "9_[1-4%2]", "10", "11_3", "12"])

    assert named("Access/permission denied for job 10", "12: Job is pending") == ["10", "12"]
    assert named("9_2: Job is pending") == [], "others of its tasks may be done"
    assert named("Access/permission denied for job 9_[1-4].") == ["9_[1-4%2]"]
    assert named("Kill job error on job id 11: x", "see 10.0.0.12 or slurm-12.out") == []
    assert named("Kill job error on job id 12: Job/step already completing or completed") == []


def test_which_rows_are_meant() -> None:
    assert covers("9", "9_3") and covers("9", "9_[4-5%2]") and covers("9", "9")
    assert covers("9_[4-5%2]", "9_[5]") and not covers("9_[4-5%2]", "9_3")
    assert covers("9_[4-5%2]", "9_4") and not covers("9_[4-5]", "9_[0-3,6-9]")
    assert covers("9_3", "9_3") and not covers("9_3", "9_4") and not covers("9", "91")
    assert covers("9_3", "9_[0-5]") and not covers("9_3", "9") and not covers("9_[0-3]", "9")
    assert covers("15", "15+0") and not covers("15+0", "15+1") and not covers("15+0", "15")
    shortened = "9_[1,3,...,9]"
    assert covers(shortened, "9_[5]") and not covers(shortened, "9_5") and covers("9_3", shortened)


TASKS = st.sets(st.integers(0, 40), min_size=1)


def listed(tasks: set[int]) -> str:
    return f"9_[{','.join(map(str, sorted(tasks)))}]"


@given(TASKS, TASKS)
def test_a_row_is_meant_where_it_has_one_of_the_tasks(wanted: set[int], row: set[int]) -> None:
    assert covers(listed(wanted), listed(row)) == bool(wanted & row)
    assert all(covers(listed(wanted), f"9_{task}") == (task in wanted) for task in row)
    assert all(covers(f"9_{task}", listed(wanted)) == (task in wanted) for task in row)
    steps = range(min(row), max(row) + 1, 3)
    assert covers(listed(wanted), f"9_[{steps[0]}-{steps[-1]}:3]") == bool(wanted & set(steps))


class Array(Slurm):
    """An array of which some tasks have begun; scancel takes exactly what it is told."""

    def __init__(self, waiting: set[int], running: set[int]) -> None:
        super().__init__()
        self.waiting, self.running = waiting, running
        self.ended: set[int] = set()

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        gone: set[int] = set()
        if argv[0] == "scancel":
            everything = self.waiting if "--state=PENDING" in argv else self.waiting | self.running
            gone = {t for t in everything for one in argv[1:] if covers(one, f"9_{t}")}
        self.ended |= gone & self.running
        self.waiting, self.running = self.waiting - gone, self.running - gone
        self.jobs = {f"9_{t}": {"JobArrayID": f"9_{t}", **RUNNING} for t in self.running}
        self.jobs |= {f"9_{t}": {"JobArrayID": f"9_{t}", **CANCELLED} for t in self.ended}
        if self.waiting:
            self.jobs |= {"9": {"JobArrayID": listed(self.waiting)}}
        if argv[0] != "squeue":
            return super().reply(argv, stdin)
        marks = marks_of(argv)
        return 0, "".join(record(marks, JobID="9", **j) for j in self.jobs.values()), ""


async def test_of_an_array_only_the_named_tasks_are_cancelled() -> None:
    slurm = Array(set(range(4, 100)), {0, 1, 2, 3})
    outcome = await slurm.perform(CancelJob(slurm.client, ["9_[90-95]"]))
    assert (outcome.kind, outcome.message) == ("done", "job 9_[90-95] is cancelled")
    assert slurm.told == [["scancel", "9_[90-95]"]]
    outcome = await slurm.perform(CancelJob(slurm.client, ["9_[2-5]"]))
    assert outcome.kind == "done" and slurm.running == {0, 1}
    assert slurm.waiting == set(range(6, 100)) - set(range(90, 96))


class PartlyHeld(Slurm):
    """Tasks that wait in one row, of which some are held; squeue -r shows each."""

    def __init__(self, **reasons: str) -> None:
        super().__init__()
        self.reasons = {int(task[1:]): reason for task, reason in reasons.items()}

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        if argv[0] != "squeue":
            for task in self.reasons if argv[0] == "scontrol" else ():
                if any(covers(one, f"9_{task}") for one in argv[2].split(",", 1)):
                    self.reasons[task] = "JobHeldUser" if argv[1] == "hold" else "None"
            return super().reply(argv, stdin)
        folded = listed(set(self.reasons)), ",".join(dict.fromkeys(self.reasons.values()))
        apart = [(f"9_{task}", reason) for task, reason in self.reasons.items()]
        rows = apart if "-r" in argv else [folded]
        marks = marks_of(argv)
        return 0, "".join(record(marks, JobArrayID=i, JobID="9", Reason=r) for i, r in rows), ""


@pytest.mark.parametrize("job_id", ["9", "9_[5]", "9_5", "9_[0-5]"])
async def test_one_held_task_among_others_can_be_released(job_id: str) -> None:
    slurm = PartlyHeld(t0="BeginTime", t5="JobHeldUser")
    outcome = await slurm.perform(ReleaseJob(slurm.client, [job_id]))
    assert (outcome.kind, outcome.message) == ("done", f"job {job_id} is released (pending)")
    assert slurm.told == [["scontrol", "release", job_id]]


@pytest.mark.parametrize("job_id", ["9", "9_[0-1]", "9_0"])
async def test_some_tasks_among_others_can_be_held(job_id: str) -> None:
    slurm = PartlyHeld(t0="BeginTime", t1="BeginTime", t5="JobHeldUser")
    outcome = await slurm.perform(HoldJob(slurm.client, [job_id]))
    assert (outcome.kind, outcome.message) == ("done", f"job {job_id} is held")
    stuck = PartlyHeld(t0="BeginTime", t1="BeginTime", t5="JobHeldUser")
    stuck.refuse = "Job is pending execution"
    assert (await stuck.perform(HoldJob(stuck.client, [job_id], settle=0.1))).kind == "failed"


async def test_a_shortened_list_cancels_what_waits_and_says_so() -> None:
    slurm = Array(set(range(4, 100)), {0})
    cancel = CancelJob(slurm.client, ["9_[4,6,...,98]"])
    plan = await cancel.plan()
    assert plan.risks[0] == "9_[4,6,...,98] is shortened: every task of 9 that waits is cancelled"
    assert [step.what for step in plan.steps] == ["scancel --state=PENDING 9"]
    assert (await slurm.perform(cancel)).kind == "done"
    assert (slurm.waiting, slurm.running) == (set(), {0})


def nodes_host(state: str, after: str, *, needs_root: bool = False) -> ScriptedHost:
    now = [state]

    def reply(argv: list[str], stdin: str) -> Answer | None:
        if "show" in argv:
            return 0, f"NodeName=n1 CPUAlloc=1 State={now[0]} RealMemory=1 Partitions=p\n", ""
        if needs_root and argv[0] != "sudo":
            return 1, "", "slurm_update error: Invalid user id"
        now[0] = after
        return 0, "", ""

    return ScriptedHost(reply)


async def run(action: Action) -> Outcome:
    runner = Runner(lambda line: None, cluster="x")
    return await runner.perform(action, await runner.plan(action), lambda line: None)


async def test_drain_and_resume() -> None:
    host = nodes_host("MIXED", "MIXED+DRAIN")
    drain = DrainNode(SlurmClient(host), ["n1"], "fan is\nloud")
    outcome = await run(drain)
    assert (outcome.kind, outcome.message) == ("done", "n1 is draining")
    assert ["scontrol", "update", "NodeName=n1", "State=drain", "Reason=fan is loud"] in (
        host.commands
    )
    host = nodes_host("IDLE+DRAIN", "IDLE", needs_root=True)
    assert (await run(ResumeNode(SlurmClient(host), ["n1"]))).message == "n1 is idle"
    assert ["sudo", "scontrol", "update", "NodeName=n1", "State=resume"] in host.commands


async def test_a_node_that_stays_down_is_not_resumed() -> None:
    host = nodes_host("DOWN+NOT_RESPONDING", "DOWN+NOT_RESPONDING")
    outcome = await run(ResumeNode(SlurmClient(host), ["n1"], settle=0.1))
    assert outcome.kind == "failed" and "n1 is down*" in outcome.message


async def test_a_node_that_is_turned_off_is_resumed_when_it_is_not_drained() -> None:
    off = "IDLE+CLOUD+POWERED_DOWN"
    host = nodes_host(f"{off}+DRAIN", off)
    assert (await run(ResumeNode(SlurmClient(host), ["n1"], settle=0.1))).message == "n1 is off"
    with pytest.raises(ActionError, match="Slurm uses it: it is off"):
        await ResumeNode(SlurmClient(nodes_host(off, off)), ["n1"]).plan()


async def test_what_cannot_be_done_to_a_node() -> None:
    client = SlurmClient(nodes_host("IDLE", "IDLE"))
    with pytest.raises(ActionError, match="a reason is needed"):
        await DrainNode(client, ["n1"], " \n").plan()
    with pytest.raises(ActionError, match="no such node in Slurm; there are: n1"):
        await DrainNode(client, ["nope"], "x").plan()
    with pytest.raises(ActionError, match="Slurm uses it"):
        await ResumeNode(client, ["n1"]).plan()
    for spec in (s for s in offered.NODES if s.id in ("nodes.drain", "nodes.resume")):
        if spec.disabled:
            assert spec.disabled(Node(name="truenas")) == "it is not a node of Slurm"


def test_no_two_actions_share_a_key() -> None:
    specs = offered.JOBS
    keys = [spec.key for spec in specs if "jobs" in spec.subjects]
    assert len(keys) == len(set(keys))
    reserved = {"a", "s", "S", "y", "space", "slash", "colon", "question_mark", "q"}
    assert not reserved & set(keys) and not any(key.isdigit() for key in keys)
    done = Job(job_id="1", name="x", state="COMPLETED", source="sacct")
    usable = {s.id for s in specs if s.changes and s.disabled and not s.disabled(done)}
    assert usable <= {"queue.edit"}
