"""The queue's rows, cells and feeds."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from labtui.collectors.queue import build
from labtui.collectors.schedule import Scheduler
from labtui.config import Config, SlurmConfig
from labtui.model import Job
from labtui.slurm.client import SlurmClient
from labtui.spec import Cell
from labtui.store import Reading, Store
from labtui.views import jobs as view
from slurmhost import ScriptedHost, marks_of, record

NOW = time.time()


def job(**changes: Any) -> Job:
    return Job(**{"job_id": "7", "name": "x", "state": "PENDING", **changes})


def store(live: list[Job] | None, past: list[Job] | None) -> Store:
    made = Store()
    for name, value in (("slurm.jobs", live), ("slurm.finished", past)):
        made.declare(name, "slurm", 2.0)
        if value is not None:
            made.put(Reading(name, value, None, NOW, 0.1))
    return made


def test_squeue_wins_while_it_knows_a_job() -> None:
    live = [job(job_id="7", state="RUNNING"), job(job_id="8")]
    past = [job(job_id="7", state="FAILED", source="sacct"), job(job_id="6", state="COMPLETED")]
    found = view.rows(store(live, past), Config(), NOW)
    assert [(j.job_id, j.state) for j in found] == [
        ("7", "RUNNING"), ("8", "PENDING"), ("6", "COMPLETED"),
    ]  # fmt: skip
    assert list(view.rows(store(None, None), Config(), NOW)) == []


def test_what_matters_comes_first() -> None:
    found = [
        job(job_id="1", state="COMPLETED", end_time=NOW - 60),
        job(job_id="2"),
        job(job_id="3", state="RUNNING"),
        job(job_id="4", reason="DependencyNeverSatisfied"),
        job(job_id="5", state="FAILED", end_time=NOW - 60),
        job(job_id="6", state="FAILED", end_time=NOW - 7 * 86400),
    ]
    assert [j.job_id for j in sorted(found, key=view.due)] == ["5", "4", "3", "2", "1", "6"]
    table = view.rows(store(found, []), Config(), NOW)
    assert [j.job_id for j in table] == ["5", "4", "3", "2", "1", "6"]
    assert view.heading(table) == "running 1  pending 2  failed lately 1"


def test_why_and_where() -> None:
    assert view.why(job(state="RUNNING", nodes=("a", "b"))) == "a,b"
    assert view.why(job(state="RUNNING", nodes=("a", "b", "c", "d"))) == "a and 3 more"
    assert view.why(job(reason="Resources", reason_text="waits for free resources")) == (
        "waits for free resources"
    )
    later = job(reason="Resources", reason_text="waits", start_time=NOW + 5)
    assert view.why(later).startswith("waits, ~")
    assert view.why(job(state="FAILED", reason_text="exit 1", nodes=("a",))) == "exit 1"
    assert view.why(job(state="COMPLETED", nodes=("a",))) == "a"


def test_times() -> None:
    assert view.spent(job(submit_time=NOW - 41), NOW) == 41
    assert view.spent(job(state="RUNNING", time_used_s=12), NOW) == 12
    assert view.spent(job(), NOW) is None


HOSTILE = st.text(max_size=60) | st.sampled_from(
    ["\x1b[31mred\x1b[0m", "[bold]x[/]", "\u202ertl", "a\nb", "\x1b]0;title\x07", "\x9b31m", "]8;;"]
)


@given(name=HOSTILE, reason=HOSTILE, comment=HOSTILE, path=HOSTILE, user=HOSTILE)
def test_every_cell_and_line_is_inert(
    name: str, reason: str, comment: str, path: str, user: str
) -> None:
    item = job(
        name=name, reason=reason, reason_text=reason, comment=comment, stdout=path, stderr=user,
        work_dir=path, user=user, partition=user, account=user, qos=user, gres=user,
        dependency=reason, nodes=(user,), job_id=name,
    )  # fmt: skip
    found: list[Any] = [column.text(item) for column in view.COLUMNS]
    found += view.detail(item, store([item], []), NOW)
    found.append(view.searchable(item))
    for cell in found:
        text = cell.text if isinstance(cell, Cell) else cell
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
        assert not any(c in text for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2069")
        assert cell_len(text) >= 0


def test_columns_fit_80_cells() -> None:
    narrow = [column for column in view.COLUMNS if not column.min_total]
    assert sum(column.width + 1 for column in narrow) <= 80
    assert [column.title for column in narrow] == [
        "JOB", "NAME", "USER", "PART", "STATE", "WHY / WHERE", "TIME",
    ]  # fmt: skip


def test_the_mark_of_a_submission_is_not_shown() -> None:
    assert view.comment(job(comment="my words labtui:3f9c0d")) == "my words"
    assert view.comment(job(comment="labtui:3f9c0d")) == ""


async def test_feeds() -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[0] == "squeue" and "--json" in argv:
            return 0, '{"jobs": []}', ""
        if argv[0] == "squeue":
            return 0, record(marks_of(argv)), ""
        if argv[0] == "sacct":
            return 1, "", "Slurm accounting storage is disabled"
        return 0, "", ""

    config = Config(slurm=SlurmConfig(login="login"))
    made = Store()
    collectors = build(config, SlurmClient(ScriptedHost(reply)))
    await Scheduler(made, collectors).once()
    assert [j.job_id for j in made.value("slurm.jobs")] == ["7"]
    assert made.value("slurm.nodes") == [] and made.value("slurm.allocations") == []
    assert len(made.value("slurm.finished")) == 0  # no accounting, and nothing was seen to end
    assert build(Config(), None) == []
