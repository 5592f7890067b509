"""Store, scheduler, action boundary, history, filters: the parts that everything rests on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.runner import Runner
from labtui.collectors.base import CollectError, Collector
from labtui.collectors.schedule import Scheduler
from labtui.history import AuditLine, History, open_db, read_audit, trim
from labtui.hosts.base import HostError
from labtui.model import Job, Node
from labtui.slurm.joblist import Book
from labtui.slurm.polling import Marks
from labtui.store import Fault, Feed, Reading, Store
from labtui.views.filtering import FilterError, compile_filter
from labtui.views.summary import freshness, top_line
from slurmhost import record


def reading(name: str, value: Any = None, error: Fault | None = None, at: float = 0) -> Any:
    return Reading(name, value, error, at or time.time(), 0.01)


class TestStore:
    def test_a_failure_keeps_the_last_good_value_and_counts(self) -> None:
        store = Store()
        store.declare("slurm.jobs", "slurm", 2.0)
        assert store.feed("slurm.jobs").state() == "waiting"  # type: ignore[union-attr]
        store.put(reading("slurm.jobs", [1], at=100.0))
        store.put(reading("slurm.jobs", None, Fault("refused", "no"), at=110.0))
        store.put(reading("slurm.jobs", None, Fault("refused", "no"), at=120.0))
        feed = store.feed("slurm.jobs")
        assert feed is not None
        assert (feed.value, feed.failures, feed.since) == ([1], 2, 110.0)
        assert feed.state(121) == "failed"
        assert feed.age(121) == 21
        store.put(reading("slurm.jobs", [2], at=130.0))
        feed = store.feed("slurm.jobs")
        assert feed is not None and (feed.failures, feed.error, feed.since) == (0, None, None)

    def test_old_is_stale_after_three_intervals(self) -> None:
        store = Store()
        store.declare("x", "x", 5.0)
        store.put(reading("x", 1, at=100.0))
        feed = store.feed("x")
        assert feed is not None
        assert feed.state(114) == "ok"
        assert feed.state(116) == "stale"

    def test_subscribers_get_old_and_new_until_they_leave(self) -> None:
        store = Store()
        store.declare("x", "x", 1.0)
        seen: list[tuple[Any, Any]] = []
        leave = store.subscribe(["x"], lambda old, new: seen.append((old.value, new.value)))
        store.put(reading("x", 1))
        store.put(reading("x", 2))
        leave()
        store.put(reading("x", 3))
        assert seen == [(None, 1), (1, 2)]


class Source(Collector):
    """A stand-in source: answers, fails or hangs as told."""

    def __init__(self, name: str, answer: Callable[[], Any], **settings: Any) -> None:
        self.name = self.kind = name
        self.answer = answer
        self.calls = 0
        self.interval, self.timeout = 0.05, 0.2
        for key, value in settings.items():
            setattr(self, key, value)

    async def collect(self) -> Any:
        self.calls += 1
        value = self.answer()
        return await value if asyncio.iscoroutine(value) else value


def fails(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


class TestScheduler:
    async def test_each_kind_of_failure_becomes_a_fault_of_its_own_feed(self) -> None:
        store = Store()
        sources = [
            Source("good", lambda: 42),
            Source("hang", lambda: asyncio.sleep(30)),
            Source("host", fails(HostError("refused", "10.0.0.1: refused"))),
            Source("own", fails(CollectError("sealed", "is sealed"))),
            Source("bug", fails(ZeroDivisionError("[red]x\x1b[31m"))),
        ]
        await Scheduler(store, sources).once()
        got = {f.name: f.error.kind if f.error else f.value for f in store.feeds()}
        assert got == {
            "good": 42, "hang": "timeout", "host": "refused", "own": "sealed", "bug": "protocol",
        }  # fmt: skip
        bug = store.feed("bug")
        assert bug is not None and bug.error is not None
        assert "\x1b" not in bug.error.message and "ZeroDivisionError" in bug.error.message

    async def test_a_hung_source_does_not_hold_up_another(self) -> None:
        store = Store()
        good = Source("good", lambda: 1)
        hang = Source("hang", lambda: asyncio.sleep(30), timeout=30.0)
        scheduler = Scheduler(store, [hang, good])
        scheduler.show(["good", "hang"])
        scheduler.start()
        async with asyncio.timeout(5):
            while good.calls < 5:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        await scheduler.close()
        assert time.monotonic() - began < 1.5
        assert hang.calls == 1, "single flight"

    async def test_refresh_asks_at_once_despite_back_off(self) -> None:
        store = Store()
        source = Source("x", fails(HostError("refused", "no")), interval=60.0)
        scheduler = Scheduler(store, [source])
        scheduler.start()
        async with asyncio.timeout(5):
            while source.calls < 1:
                await asyncio.sleep(0.01)
            scheduler.refresh()
            while source.calls < 2:
                await asyncio.sleep(0.01)
        await scheduler.close()

    def test_back_off_grows_to_its_limit_and_less_while_shown(self) -> None:
        store = Store()
        source = Source("x", fails(HostError("refused", "no")), interval=1.0)
        scheduler = Scheduler(store, [source])
        failed = reading("x", None, Fault("refused", "no"))
        for _ in range(12):
            store.put(failed)
        assert 50 < scheduler._delay(source, failed) <= 66
        scheduler.show(["x"])
        assert scheduler._delay(source, failed) <= 5.5

    def test_an_expensive_poll_stretches_its_interval(self) -> None:
        store = Store()
        source = Source("x", lambda: 1, interval=1.0, cost=20.0)
        scheduler = Scheduler(store, [source])
        scheduler.show(["x"])
        slow = Reading("x", 1, None, time.time(), 2.0)
        assert scheduler._delay(source, slow) > 30


class Act(Action):
    """A stand-in action that does as told."""

    id = "test.act"

    def __init__(self, run: Exception | None = None, outcome: Outcome | None = None) -> None:
        self._error = run
        self.ran = False
        self._outcome = outcome or Outcome("done", "it is so")

    async def plan(self) -> Plan:
        return Plan("Do it", ("one",), (Step("host", "scancel 1"),))

    async def run(self, progress: Progress) -> None:
        self.ran = True
        if self._error:
            raise self._error

    async def verify(self) -> Outcome:
        return self._outcome


def runner(lines: list[AuditLine], read_only: bool = False) -> Runner:
    return Runner(lines.append, cluster="lab", read_only=read_only)


class TestRunner:
    async def test_done_is_what_was_read_back_and_it_is_in_the_audit(self) -> None:
        lines: list[AuditLine] = []
        act = Act()
        boundary = runner(lines)
        outcome = await boundary.perform(act, await boundary.plan(act), lambda line: None)
        assert outcome.ok
        assert [(x.action, x.outcome, x.targets) for x in lines] == [("test.act", "done", ("one",))]
        assert lines[0].steps == ("host: scancel 1",)

    async def test_read_only_refuses_the_plan_and_the_run(self) -> None:
        lines: list[AuditLine] = []
        act = Act()
        with pytest.raises(ActionError, match="read-only"):
            await runner(lines, read_only=True).plan(act)
        plan = await act.plan()
        outcome = await runner(lines, read_only=True).perform(act, plan, lambda line: None)
        assert (outcome.kind, act.ran, lines[0].outcome) == ("refused", False, "refused")

    async def test_a_timeout_means_unknown_until_the_world_is_read(self) -> None:
        for error in (Unknown("no answer"), HostError("timeout", "no answer")):
            lines: list[AuditLine] = []
            said: list[str] = []
            act = Act(run=error)
            outcome = await runner(lines).perform(act, await act.plan(), said.append)
            assert outcome.ok, "it had been accepted, and verify found it"
            assert "reading the state again" in said[0]

    async def test_a_refusal_is_failed_without_verifying(self) -> None:
        lines: list[AuditLine] = []
        act = Act(run=ActionError("Invalid job id specified"))
        outcome = await runner(lines).perform(act, await act.plan(), lambda line: None)
        assert (outcome.kind, outcome.message) == ("failed", "Invalid job id specified")

    async def test_no_answer_to_a_question_before_or_after_is_told(self) -> None:
        """Where what is asked goes by the keyholder, and that is killed."""
        lines: list[AuditLine] = []

        class Lost(Act):
            async def plan(self) -> Plan:
                raise Unknown("the keyholder was ended")

            async def verify(self) -> Outcome:
                raise Unknown("no answer in time")

        with pytest.raises(ActionError, match="keyholder was ended; nothing was sent"):
            await runner(lines).plan(Lost())
        outcome = await runner(lines).perform(Lost(), await Act().plan(), lambda line: None)
        assert outcome.kind == lines[0].outcome == "unknown"
        assert outcome.message == ("sent, but its effect could not be read back: no answer in time")

    async def test_interrupted_is_audited_as_unknown(self) -> None:
        class Hangs(Act):
            async def run(self, progress: Progress) -> None:
                await asyncio.sleep(30)

        lines: list[AuditLine] = []
        act = Hangs()
        task = asyncio.create_task(runner(lines).perform(act, await act.plan(), lambda line: None))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lines[0].outcome == "unknown"

    async def test_an_action_under_way_at_the_end_is_in_the_audit(self) -> None:
        class Hangs(Act):
            async def run(self, progress: Progress) -> None:
                progress("sent")
                await asyncio.sleep(30)

        lines: list[AuditLine] = []
        said: list[str] = []
        act, boundary = Hangs(), runner(lines)
        plan = await boundary.plan(act)
        task = asyncio.create_task(boundary.perform(act, plan, said.append))
        while not said:
            await asyncio.sleep(0)
        await boundary.close()
        assert [line.outcome for line in lines] == ["unknown"]
        assert task.cancelled()


class TestHistory:
    def test_readings_are_kept_when_they_change(self, tmp_path: Path) -> None:
        path = tmp_path / "h" / "lab.db"
        history = History(path)
        store = Store()
        store.declare("x", "x", 1.0)
        history.follow(store)
        for value in ([Node(name="a")], [Node(name="a")], [Node(name="b")]):
            store.put(reading("x", value))
        store.put(reading("x", None, Fault("refused", "no")))
        store.put(reading("x", None, Fault("refused", "no")))
        history.close()
        rows = sqlite3.connect(path).execute("select error_kind, value from reading").fetchall()
        assert len(rows) == 3
        assert rows[2] == ("refused", None)
        assert path.stat().st_mode & 0o077 == 0

    def test_a_running_queue_does_not_fill_the_disk(self, tmp_path: Path) -> None:
        path = tmp_path / "lab.db"
        history, store, book = History(path), Store(), Book(Marks("c0ffee00"))
        store.declare("slurm.jobs", "slurm", 2.0)
        history.follow(store)
        for second in range(20):
            poll = book.begin()
            for number in range(300):
                used = {"State": "RUNNING", "TimeUsed": f"1:{second:02}"}
                poll.feed(record(book.marks, JobArrayID=str(number), **used).encode())
            store.put(reading("slurm.jobs", poll.done()))
        history.close()
        (row,) = sqlite3.connect(path).execute("select value from reading").fetchall()
        assert json.loads(row[0]) == {"items": 300, "states": {"RUNNING": 300}}

    def test_json_is_made_beside_the_event_loop(self, tmp_path: Path) -> None:
        made: set[int] = set()

        class Noted(list[int]):
            def __iter__(self) -> Iterator[int]:
                made.add(threading.get_ident())
                return super().__iter__()

        history, store = History(tmp_path / "lab.db"), Store()
        store.declare("x", "x", 1.0)
        history.follow(store)
        store.put(reading("x", Noted([1])))
        history.close()
        assert made and threading.get_ident() not in made

    def test_readings_are_bounded_by_their_size(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labtui.history.KEEP_BYTES", 5000)
        monkeypatch.setattr("labtui.history.MAX_VALUE", 2000)
        path = tmp_path / "lab.db"
        history, store = History(path), Store()
        store.declare("x", "x", 1.0)
        history.follow(store)
        for number in range(9):
            store.put(reading("x", [number, "x" * 890]))
        store.put(reading("x", ["x" * 600] * 4))
        history.close()
        with contextlib.closing(open_db(path)) as db, db:
            trim(db)
            kept = [json.loads(row[0]) for row in db.execute("select value from reading")]
        assert [one[0] for one in kept[:-1]] == [5, 6, 7, 8], "the newest"
        assert kept[-1] == {"items": 4}, "too long by itself"

    def test_the_audit_is_append_only(self, tmp_path: Path) -> None:
        path = tmp_path / "lab.db"
        history = History(path)
        line = AuditLine(
            at=1.0, who="ana", origin="local", action="queue.cancel", targets=("1",),
            steps=("desktop-gpu: scancel 1",), outcome="done", message="cancelled", took_s=0.5,
        )  # fmt: skip
        history.audit(line)
        history.close()
        assert read_audit(path) == [line]
        db = open_db(path)
        for statement in ("delete from audit", "update audit set who = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)

    def test_a_disk_that_cannot_be_written_is_said_and_stops_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        history = History(tmp_path / "file" / "lab.db")
        history.close()
        assert history.problem and "cannot be written" in history.problem


JOB = Job(job_id="7", name="llama [x] LoRA", user="ana", partition="gpu,cpu", state="PENDING")


class TestFilter:
    @pytest.mark.parametrize(
        ("text", "matches"),
        [
            ("llama", True), ("LORA", True), ("!llama", False), ("/^llama .x. l/", True),
            ("user:ana", True), ("user:ben", False), ("part:gpu state:pend", True),
            ("!user:ben llama", True), ("ana nothere", False), ("[x]", True), ("", True),
            ("user:=ana", True), ("user:=an", False), ("user:=ben,Ana", True), ("!user:=an", True),
            ("part:=gpu", True), ("part:=cpu", True), ("part:=gpu,", True), ("part:=gp", False),
            ("account:=", False), ("user:=", False),
        ],
    )  # fmt: skip
    def test_terms(self, text: str, matches: bool) -> None:
        test = compile_filter(text, lambda j: f"{j.name} {j.user}")
        assert (test is None) or test(JOB) is matches

    def test_a_bad_regex_is_one_sentence(self) -> None:
        with pytest.raises(FilterError, match="not a regular expression"):
            compile_filter("/(/", lambda j: j.name)


class TestTopLine:
    def feed(self, name: str, kind: str, age: float, fault: Fault | None = None) -> Feed:
        good = Reading(name, 1, None, 1000.0 - age, 0.1)
        latest = Reading(name, None, fault, 1000.0, 0.1) if fault else good
        return Feed(name, kind, 2.0, latest=latest, good=good)

    def test_fresh_is_still_and_failed_shows_its_age(self) -> None:
        feeds = [
            self.feed("slurm.jobs", "slurm", 1.7),
            self.feed("prom", "prom", 14, Fault("refused", "no")),
            self.feed("host.a", "ssh", 1),
            self.feed("host.b", "ssh", 40, Fault("timeout", "no")),
        ]
        words = {kind: text for kind, text, _ in freshness(feeds, 1000.0)}
        assert words == {"slurm": "2s", "prom": "refused 14s", "ssh": "1/2"}

    def test_what_is_broken_stays_when_there_is_no_room(self) -> None:
        feeds = [self.feed(f"s{i}", f"source{i}", 1) for i in range(9)]
        feeds.append(self.feed("prom", "prom", 14, Fault("refused", "no")))
        line = "".join(t for t, _ in top_line("lab", (1, 2), feeds, 1000.0, 60))
        assert len(line) <= 60
        assert "prom refused 14s" in line and "CRIT 1" in line and "WARN 2" in line


async def test_when_one_of_a_kind_is_back_the_others_are_asked_at_once() -> None:
    """Else the top line calls Slurm refused for a minute after it has come back."""
    up = False

    class Asked(Collector):
        kind = "slurm"

        def __init__(self, name: str, interval: float) -> None:
            self.name, self.interval, self.timeout = name, interval, 1.0

        async def collect(self) -> str:
            if not up:
                raise CollectError("refused", "it does not answer")
            return "well"

    store = Store()
    often, seldom = Asked("slurm.often", 0.05), Asked("slurm.seldom", 60.0)
    scheduler = Scheduler(store, [often, seldom])
    scheduler.show(["slurm.often"])
    scheduler.start()
    async with asyncio.timeout(10):
        while not all(f.error for f in store.feeds()):
            await asyncio.sleep(0.01)
        up = True
        while any(f.error for f in store.feeds()):
            await asyncio.sleep(0.01)
    await scheduler.close()
