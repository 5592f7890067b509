"""The queue's table: long, filtered, sorted, folded, as a tree; and its rows through many polls."""

from __future__ import annotations

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from labtui.model import ArrayJob, Job
from labtui.slurm.joblist import Book, JobList, active, find
from labtui.slurm.polling import Marks
from labtui.slurm.values import count_tasks
from labtui.spec import Cell, Column
from labtui.views.arrange import Arranged, How, at_once
from labtui.views.filtering import FilterError, compile_filter
from labtui.views.jobs import COLUMNS, SUBJECT, due, heading
from labtui.views.jobtable import JobTable, arrange
from slurmhost import record

MARKS = Marks("c0ffee00")
STATES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "SUSPENDED", "CANCELLED")


def answer(book: Book, *changes: dict[str, str], cut: int = 97) -> JobList:
    """One poll of these jobs, arriving in pieces that end anywhere."""
    raw = "".join(record(MARKS, **change) for change in changes).encode()
    poll = book.begin()
    for start in range(0, len(raw), cut):
        poll.feed(raw[start : start + cut])
    return poll.done()


def one(job_id: str, state: str = "PENDING", **more: str) -> dict[str, str]:
    return {"JobArrayID": job_id, "JobID": job_id.partition("_")[0], "State": state, **more}


def task(array: str, index: str, state: str = "PENDING", **more: str) -> dict[str, str]:
    return one(f"{array}_{index}", state, ArrayJobID=array, ArrayTaskID=index, **more)


def shown(live: JobList, how: How, past: tuple[Job, ...] = ()) -> Arranged:
    return at_once(arrange(JobTable(live, past), SUBJECT, how))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(1, 30), st.sampled_from(STATES), max_size=20), min_size=1,
        max_size=6,
    ),
    st.integers(1, 400),
)  # fmt: skip
def test_any_run_of_polls_ends_with_what_the_last_one_said(
    polls: list[dict[int, str]], cut: int
) -> None:
    book = Book(MARKS)
    for said in polls:
        ids = list(said)
        random.Random(cut).shuffle(ids)
        found = answer(book, *(one(str(i), said[i]) for i in ids), cut=cut)
        assert {job.job_id: job.state for job in found} == {str(i): s for i, s in said.items()}
        assert [due(job) for job in found] == sorted(due(job) for job in found)
        assert {k: n for k, n in found.states.items() if n} == {
            s: list(said.values()).count(s) for s in set(said.values())
        }
        assert {job.job_id for job in active(found)} == {
            str(i) for i, s in said.items() if s in ("RUNNING", "SUSPENDED")
        }
        for i in range(1, 31):
            assert (find(found, str(i)) is not None) == (i in said)


def test_what_did_not_change_is_the_same_object_and_an_old_list_stays_as_it_was() -> None:
    book = Book(MARKS)
    first = answer(book, one("7"), one("8"))
    assert answer(book, one("8"), one("7")) is first
    second = answer(book, one("8", "RUNNING"), one("9"))
    assert [job.job_id for job in first] == ["8", "7"]
    assert [(job.job_id, job.state) for job in second] == [("8", "RUNNING"), ("9", "PENDING")]


def test_an_array_is_one_row_until_it_is_unfolded() -> None:
    live = answer(
        Book(MARKS), task("9", "[4-99%2]"), task("9", "0", "FAILED", EndTime="1000"),
        task("9", "1", "COMPLETED"), task("9", "2", "RUNNING", NodeList="n1"),
        task("9", "3", "RUNNING", NodeList="n2"), one("8"), task("7", "[0-9]"),
    )  # fmt: skip
    folded = shown(live, How())
    assert list(folded.keys) == ["9", "8", "7_[0-9]"]
    head = folded.items[0]
    assert isinstance(head, ArrayJob)
    assert head.tasks == {"COMPLETED": 1, "FAILED": 1, "PENDING": 96, "RUNNING": 2}
    assert set(head.nodes) == {"n1", "n2"}
    open_ = shown(live, How(unfolded=frozenset({"9"})))
    assert list(open_.keys) == ["9", "9_2", "9_3", "9_[4-99%2]", "9_0", "9_1", "8", "7_[0-9]"]
    assert open_.leads["9"] != folded.leads["9"]
    apart = shown(live, How(apart=True))
    assert sorted(apart.keys) == sorted(job.job_id for job in live)


def test_jobs_stand_under_those_they_wait_for() -> None:
    live = answer(
        Book(MARKS), one("10", "RUNNING"), one("11", Dependency="afterok:10(unfulfilled)"),
        one("12", Dependency="afterok:11(unfulfilled),afterany:5(unfulfilled)"), one("13"),
        one("14", Dependency="afterok:15"), one("15", Dependency="afterok:14"),
    )  # fmt: skip
    tree = shown(live, How(tree=True))
    assert list(tree.keys)[:4] == ["10", "11", "12", "13"]
    assert sorted(tree.keys) == ["10", "11", "12", "13", "14", "15"], "each once, a ring too"
    assert tree.leads["12"].index("└") > tree.leads["11"].index("└")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_filter_and_order_shows_each_matching_job_once(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(1, 40), unique=True, max_size=25))
    live = answer(
        Book(MARKS),
        *(one(str(i), data.draw(st.sampled_from(STATES)), Name=f"job-{i % 3}") for i in ids),
    )
    sort = data.draw(st.sampled_from(["", *(column.id for column in COLUMNS)]))
    wanted = data.draw(st.integers(0, 2))
    test = compile_filter(f"name:job-{wanted}", SUBJECT.searchable)
    how = How(test, sort, data.draw(st.booleans()))
    found = shown(live, how)
    assert sorted(found.keys) == sorted(str(i) for i in ids if i % 3 == wanted)
    assert [job.job_id for job in found.items] == list(found.keys)


WORDS = st.sampled_from([None, "", "-", "a", "B"])
NUMBERS = st.one_of(st.none(), st.integers(0, 10**6))
MOMENTS = st.one_of(st.none(), st.floats(1, 2e9))


@given(
    st.lists(st.builds(
        Job, job_id=st.integers(1, 10**6).map(str), name=st.sampled_from("ab"), user=WORDS,
        partition=WORDS, state=st.sampled_from(STATES), reason=WORDS, reason_text=WORDS,
        nodes=st.sampled_from([(), ("n1",), ("n1", "n2")]), cpus=NUMBERS, memory_mib=NUMBERS,
        gres=WORDS, submit_time=MOMENTS, start_time=MOMENTS, end_time=MOMENTS,
        time_limit_s=NUMBERS, time_used_s=NUMBERS, exit_code=WORDS, account=WORDS, qos=WORDS,
        priority=NUMBERS, dependency=WORDS,
    ), max_size=6, unique_by=lambda job: job.job_id),
    st.sampled_from(COLUMNS),
    st.booleans(),
)  # fmt: skip
def test_what_is_not_known_comes_last_whichever_the_way(
    jobs: list[Job], column: Column, reverse: bool
) -> None:
    found = at_once(arrange(JobTable(jobs, ()), SUBJECT, How(sort=column.id, reverse=reverse)))
    texts = [column.text(job) for job in found.items]
    blank = [(t.text if isinstance(t, Cell) else t) in ("", "-") for t in texts]
    assert blank == sorted(blank), texts


def test_a_job_without_a_time_limit_has_the_longest() -> None:
    jobs = [Job(job_id=i, name="x", state="RUNNING", time_limit_s=s)
            for i, s in (("1", None), ("2", 600), ("3", 60))]  # fmt: skip
    found = at_once(arrange(JobTable(jobs, ()), SUBJECT, How(sort="limit")))
    assert list(found.keys) == ["3", "2", "1"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab! 1:=,/user", max_size=4), min_size=2, max_size=5))
@example(["!a", "b"])
@example(["b1 !u", "s", "er"])
@example(["/b", "1"])
@example(["user", ":b", "u"])
@example(["user:", "=u", "1"])
@example(["user:=u1", ",a", "na", " b"])
def test_a_filter_typed_on_shows_what_it_would_show_at_once(typed: list[str]) -> None:
    live = answer(
        Book(MARKS),
        *(one(str(i), Name=n, UserName=u) for i, (n, u) in enumerate(
            (n, u) for n in ("a", "ab", "b1", "user") for u in ("ana", "bu", "u1")
        )),
    )  # fmt: skip
    table, before, text = JobTable(live, ()), None, ""
    for piece in typed:
        text += piece
        try:
            before = compile_filter(text, SUBJECT.searchable, before)
            alone = compile_filter(text, SUBJECT.searchable)
        except FilterError:
            continue
        found = at_once(arrange(table, SUBJECT, How(before)))
        assert list(found.keys) == [j.job_id for j in table if alone is None or alone(j)], text


def test_tasks_are_counted() -> None:
    for job_id, tasks in (
        ("9", 1), ("9_4", 1), ("9_[0-7]", 8), ("9_[0-7,12%2]", 9), ("9_[0-10:5]", 3),
        ("9_[1,3]", 2), ("9_[1,3,...]", None), ("9_[1,...,7]", None), ("9_[3-1]", None),
        ("9_[x]", None), ("9_[]", None), ("9_[1-5:0]", None),
    ):  # fmt: skip
        assert count_tasks(job_id) == tasks, job_id


def test_what_goes_on_running_is_parsed_once_whatever_its_time_used() -> None:
    book = Book(MARKS)

    def poll(second: int, **more: str) -> JobList:
        used = {"TimeUsed": f"1:{second:02}"}
        return answer(book, one("7", "RUNNING", **used), one("8", "RUNNING", **used, **more))

    first, second = poll(1), poll(2)
    assert second is not first
    assert [job.time_used_s for job in second] == [62, 62]
    assert second.active() is first.active(), "nothing else of them changed"
    third = poll(3, Partition="cpu")
    assert third.active()[0] is first.active()[0]
    assert [job.partition for job in third.active()] == ["gpu", "cpu"]
    assert [job.partition for job in first.active()] == ["gpu", "gpu"], "an old list stays"


def test_a_job_that_goes_on_is_found_also_while_an_answer_is_taken_in() -> None:
    book = Book(MARKS)
    old = answer(book, one("7", "RUNNING", TimeUsed="1:00"), one("8"))
    poll = book.begin()
    poll.feed("".join(record(MARKS, **one("7", "RUNNING", TimeUsed="1:02"))).encode())
    for _ in poll._steps():
        assert "7" in old.known and find(old, "7") is not None


async def test_many_running_and_ended_jobs_leave_the_loop_free() -> None:
    book = Book(MARKS)
    raw = "".join(
        record(MARKS, **one(str(n), state))
        for state, start in (("RUNNING", 0), ("COMPLETED", 5000))
        for n in range(start, start + 2000)
    )
    poll = book.begin()
    poll.feed(raw.encode())
    steps = sum(1 for _ in poll._steps())
    assert steps > 4, "several pauses"
    assert book.latest is not None
    assert len(book.latest.active()) == 2000
    assert len(book.latest.just_ended()) == 1000


def test_waiting_tasks_are_counted_one_by_one_at_the_top() -> None:
    book = Book(MARKS)
    table = JobTable(answer(book, one("100_[0-4999]"), one("101"), one("102", "RUNNING")), ())
    assert heading(table) == "running 1  pending 5001"
    table = JobTable(answer(book, one("100_[7-4999]"), one("101"), one("102", "RUNNING")), ())
    assert heading(table) == "running 1  pending 4994"
    assert heading(JobTable(answer(book, one("101")), ())) == "pending 1"


def test_what_is_left_of_a_cancelled_array_is_no_job() -> None:
    book = Book(MARKS)
    left = one("29", "CANCELLED", ArrayJobID="29", STDOUT="/x/slurm-%A_%a.out")
    live = answer(book, left, task("29", "0", "RUNNING"), one("30"))
    table = JobTable(live, ())
    assert sorted(table.keys()) == ["29_0", "30"]
    assert +table.states == {"RUNNING": 1, "PENDING": 1}
    live = answer(book, left, one("30"))
    (bare,) = (job for job in JobTable(live, ()) if job.job_id == "29")
    assert (bare.state, bare.stdout, bare.stderr) == ("CANCELLED", None, None)
    past = (Job(job_id="29_[12-13]", name="x", state="CANCELLED", source="sacct"),)
    assert sorted(JobTable(live, past).keys()) == ["29_[12-13]", "30"]
    found = shown(live, How(), past)
    assert found.keys == ["30", "29_[12-13]"]
    seen = (Job(job_id="29", name="x", state="CANCELLED", source="labtui"),)
    table = JobTable(answer(book, task("29", "0", "COMPLETED")), seen)
    assert table.keys() == ["29_0"] and +table.states == {"COMPLETED": 1}
