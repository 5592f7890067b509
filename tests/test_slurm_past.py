"""Jobs that are over: parsed once, whole answers only, whatever their names hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import Job
from labtui.slurm import polling
from labtui.slurm.errors import RPCError
from labtui.slurm.past import REMEMBERED, Past, PastBook, Seen
from labtui.slurm.polling import Marks

MARK = Marks("c0ffee00").text
NAMES = polling.ACCOUNTED + polling.PATHS


def told(job_id: str, end: float = 1000, **more: str) -> str:
    of = dict.fromkeys(NAMES, "") | {"JobID": job_id, "JobIDRaw": job_id, "State": "COMPLETED"}
    of |= {"End": str(end), "NodeList": "n1", "JobName": "sweep", **more}
    return "".join(of[name] + MARK for name in NAMES) + "\n"


async def answer(book: PastBook, text: str, since: float = 0, cut: int = 97) -> Past:
    raw = text.encode()
    found = book.begin(NAMES)
    for start in range(0, len(raw), cut):
        found.feed(raw[start : start + cut])
    return await found.settle(since)


async def test_what_did_not_change_is_the_same_object() -> None:
    book = PastBook(MARK)
    first = await answer(book, told("7") + told("8"))
    assert await answer(book, told("7") + told("8")) is first
    second = await answer(book, told("7") + told("8") + told("9"), cut=31)
    assert {job.job_id for job in second} == {"7", "8", "9"}
    assert {id(job) for job in first} < {id(job) for job in second}, "parsed once"
    assert len(first) == 2, "an old one stays as it was"


async def test_what_ended_before_is_left_out() -> None:
    text = told("7", 1000) + told("8", 2000) + told("9", 0, End="Unknown")
    assert {job.job_id for job in await answer(PastBook(MARK), text, 1500)} == {"8", "9"}


@given(st.text(alphabet="a\n\x1f|~\\c0f", max_size=12), st.integers(1, 300))
async def test_any_name_ends_no_record(name: str, cut: int) -> None:
    text = told("7", JobName=name) + told("8", WorkDir=name)
    found = {job.job_id: job for job in await answer(PastBook(MARK), text, cut=cut)}
    assert found.keys() == {"7", "8"} and found["7"].name == name
    assert list(found.values()) == sorted(
        polling.accounted_jobs(text, MARK, NAMES), key=lambda job: list(found).index(job.job_id)
    )


async def test_half_an_answer_is_none_and_forgets_nothing() -> None:
    book = PastBook(MARK)
    first = await answer(book, told("7"))
    for cut_off in (told("7") + told("8")[:40], told("7")[: -len(MARK) - 1]):
        with pytest.raises(RPCError, match="cut off"):
            await answer(book, cut_off)
    assert await answer(book, told("7")) is first


def test_of_those_seen_the_newest_are_kept() -> None:
    seen = Seen()
    seen.add(Job(job_id=str(n), name="", state="FAILED", end_time=float(n)) for n in range(5002))
    found = list(seen.since(10.0))
    assert len(found) == REMEMBERED - 8
    assert {job.source for job in found} == {"labtui"}
