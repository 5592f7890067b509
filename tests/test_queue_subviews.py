"""The closer looks at the queue: their rows from the store, and nothing made up."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.config import Config
from labtui.model import Job, Node, Reservation, Share
from labtui.registry import SUB_VIEWS, SUBJECT
from labtui.slurm import types
from labtui.spec import Cell
from labtui.store import Reading, Store
from labtui.views import fairshare, waiting
from labtui.views.filtering import compile_filter

NOW = time.time()
CONFIG = msgspec.convert({}, Config)


def store(**feeds: Any) -> Store:
    made = Store()
    for name, value in feeds.items():
        made.declare(f"slurm.{name}", "slurm", 2.0)
        made.put(Reading(f"slurm.{name}", value, None, NOW, 0.1))
    return made


def rows(subject: str, known: Store) -> list[Any]:
    return list(SUBJECT[subject].rows(known, CONFIG, NOW))


def cells(subject: str, item: Any) -> dict[str, str]:
    texts = {c.id: c.text(item) for c in SUBJECT[subject].columns}
    return {k: t.text if isinstance(t, Cell) else t for k, t in texts.items()}


def job(job_id: str, state: str = "RUNNING", **more: Any) -> Job:
    given: dict[str, Any] = {"user": "ana", "partition": "gpu", "qos": "normal", "cpus": 4}
    return Job(job_id=job_id, name="x", state=state, **given | more)


PARTITION = types.Partition(
    "gpu", nodes=("n1", "n2", "n3"), max_time=1440, default_time=60, is_default=True,
    allowed_accounts=("research",), denied_qos=("low",),
)  # fmt: skip
NODES = [
    Node(name="n1", slurm_state="MIXED", gpus=4, gpus_alloc=3, cpus_total=16, cpus_alloc=8),
    Node(name="n2", slurm_state="IDLE", gpus=4, gpus_alloc=0, cpus_total=16, cpus_alloc=0),
    Node(name="n3", slurm_state="DOWN*", gpus=4, gpus_alloc=0, cpus_total=16, cpus_alloc=0),
]


def test_partitions() -> None:
    known = store(
        partitions=[PARTITION, types.Partition("old", state="DOWN")],
        nodes=NODES,
        jobs=[
            job("1"), job("2_[1-5]", "PENDING"), job("3", "PENDING", partition="gpu,old"),
            job("4", "COMPLETED"),
        ],
    )  # fmt: skip
    gpu, old = rows("partitions", known)
    assert (gpu.nodes_idle, gpu.nodes_mixed, gpu.nodes_allocated, gpu.nodes_unavailable) == (
        1, 1, 0, 1,
    )  # fmt: skip
    assert (gpu.gpus_free, gpu.gpus_total) == (5, 12)
    assert (gpu.running, gpu.pending, old.pending) == (1, 6, 1)
    assert gpu.allowed == "account research; not QoS low"
    assert cells("partitions", gpu) | {"default": ""} == {
        "name": "gpu*", "state": "up", "nodes": "1/1/0/1", "cpus": "8/48", "gpus": "5/12",
        "limit": "1-00:00:00", "default": "", "running": "1", "pending": "6",
        "allowed": "account research; not QoS low",
    }  # fmt: skip
    assert SUBJECT["partitions"].severity(old) == 2
    assert old.nodes_idle is None and cells("partitions", old)["nodes"] == "-/-/-/-"


def test_what_was_not_asked_is_not_zero() -> None:
    (gpu,) = rows("partitions", store(partitions=[PARTITION]))
    assert (gpu.running, gpu.gpus_free, gpu.cpus_alloc) == (None, None, None)
    shown = cells("partitions", gpu)
    assert (shown["nodes"], shown["gpus"], shown["running"]) == ("-/-/-/-", "-/-", "-")
    many = [job("1_[0-9,...]", "PENDING")]
    (gpu,) = rows("partitions", store(partitions=[PARTITION], jobs=many))
    assert gpu.pending is None  # Slurm shortened the list: nobody knows how many


def test_qos() -> None:
    known = store(
        qos=[
            types.Qos(
                name="normal", priority=5, max_wall=120, max_tres_per_user={"gres/gpu": 4},
                grp_tres={"mem": 2048}, max_jobs_per_user=1,
                grp_tres_mins={"cpu": 1000}, used_tres_mins={"cpu": 20},
            )
        ],
        jobs=[
            job("1", gres="gpu:2"), job("2", gres="gpu:1", user="ben"), job("3", qos="other"),
            job("4", "PENDING"), job("5", cpus=None),
        ],
    )  # fmt: skip
    (normal,) = rows("qos", known)
    assert normal.limits == {
        "GPUs a user": "4", "memory in all": "2.0G", "running jobs a user": "1",
        "CPU minutes in all": "1000 (20 used)",
    }  # fmt: skip
    assert (normal.running, normal.pending) == (3, 1)
    assert normal.held == {"gpus": 3}  # of one job the CPUs are not known
    assert normal.holders["ben"]["gpus"] == 1
    assert cells("qos", normal)["limits"].endswith("in all, 1 running job a user")


def test_reservations_come_in_the_order_they_matter() -> None:
    found = rows(
        "reservations",
        store(
            reservations=[
                Reservation(name="later", state="INACTIVE", start_time=NOW + 900, end_time=None),
                Reservation(name="soon", state="INACTIVE", start_time=NOW + 60),
                Reservation(name="now", state="ACTIVE", start_time=NOW, users=("ana",),
                            accounts=("research",), end_time=NOW + 7200),
            ]
        ),
    )  # fmt: skip
    assert [one.name for one in found] == ["now", "soon", "later"]
    assert cells("reservations", found[0])["who"] == "ana, account research"


def test_fair_share_says_who_had_more_than_his_share() -> None:
    known = store(
        shares=[
            Share(account="root", depth=0, usage=10, usage_part=1.0, share_part=0.0),
            Share(account="a", depth=1, shares=1, share_part=0.5, usage=9, usage_part=0.9),
            Share(account="a", user="ana", depth=2, share_part=0.5, usage=0, usage_part=0.0,
                  fair_share=0.75),
        ]
    )  # fmt: skip
    found = [cells("fairshare", item) for item in rows("fairshare", known)]
    assert [one["name"] for one in found] == ["root", "  a", "    ana"]
    assert [one["standing"] for one in found] == [
        "the whole cluster",
        "more than its share",
        "nothing used lately",
    ]
    assert (found[2]["shares"], found[2]["factor"], found[0]["part"]) == ("parent", "0.750", "-")


@pytest.mark.parametrize(
    ("account", "user", "jobs"),
    [
        ("root", None, ["1", "2", "3", "4", "5"]),
        ("lab", None, ["1", "2", "3"]),
        ("vision", None, ["2", "3"]),
        ("lab", "ana", ["1"]),
        ("labs", None, ["4"]),
    ],
)
def test_an_account_s_jobs_are_those_of_the_accounts_below_it_too(
    account: str, user: str | None, jobs: list[str]
) -> None:
    tree = [
        Share(account="root"), Share(account="root", user="root", depth=1),
        Share(account="lab", depth=1), Share(account="lab", user="ana", depth=2),
        Share(account="vision", depth=2), Share(account="vision", user="ana", depth=3),
        Share(account="vision", user="joana", depth=3),
        Share(account="labs", depth=1), Share(account="labs", user="ana", depth=2),
    ]  # fmt: skip
    queue = [
        job("1", account="lab"), job("2", account="vision"),
        job("3", account="vision", user="joana"), job("4", account="labs"), job("5"),
    ]  # fmt: skip
    row = next(one for one in tree if (one.account, one.user) == (account, user))
    text = fairshare.only(row, tree)
    test = compile_filter(text, lambda job: "")
    assert [one.job_id for one in queue if test is None or test(one)] == jobs


@pytest.mark.parametrize("subject", SUB_VIEWS["jobs"])
def test_nothing_known_yet(subject: str) -> None:
    assert rows(subject, store()) == []
    assert SUBJECT[subject].parent == "jobs" and SUBJECT[subject].key == ""


EVIL = st.sampled_from(["gpu", "n1", "\x1b[31mred", "a\nb", "", "x" * 300, "日本"])
NUMBERS = st.one_of(st.none(), st.integers(0, 10**12))
PARTS = st.one_of(st.none(), st.floats(0, 1))
MOMENTS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
NAMES = st.lists(EVIL, max_size=3).map(tuple)
FEEDS = st.fixed_dictionaries(
    {},
    optional={
        "partitions": st.lists(st.builds(types.Partition, EVIL, EVIL, nodes=NAMES,
                                         max_time=NUMBERS, allowed_qos=NAMES), max_size=2),
        "nodes": st.lists(st.builds(Node, name=EVIL, slurm_state=EVIL, gpus=NUMBERS,
                                    gpus_alloc=NUMBERS, cpus_total=NUMBERS), max_size=2),
        "jobs": st.lists(st.builds(Job, job_id=EVIL, name=EVIL, state=st.sampled_from(
            ["PENDING", "RUNNING"]), partition=EVIL, qos=EVIL, user=EVIL, gres=EVIL), max_size=3),
        "qos": st.lists(st.builds(types.Qos, name=EVIL, priority=NUMBERS, flags=NAMES,
                                  max_wall=NUMBERS), max_size=2),
        "reservations": st.lists(st.builds(Reservation, name=EVIL, nodes=NAMES, users=NAMES,
                                           start_time=MOMENTS, end_time=MOMENTS), max_size=2),
        "shares": st.lists(st.builds(Share, account=EVIL, user=st.one_of(st.none(), EVIL),
                                     depth=st.integers(0, 99), usage=NUMBERS, share_part=PARTS,
                                     usage_part=PARTS, fair_share=PARTS), max_size=2),
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(FEEDS)
def test_any_feed_is_drawn_inert(feeds: dict[str, Any]) -> None:
    known = store(**feeds)
    for subject in SUB_VIEWS["jobs"]:
        spec = SUBJECT[subject]
        for item in rows(subject, known):
            texts = [*cells(subject, item).values(), spec.searchable(item)]
            lines = [
                line.text if isinstance(line, Cell) else line
                for line in spec.detail(item, known, NOW)
            ]
            spec.severity(item)
            for column in spec.columns:
                if column.sort:
                    column.sort(item)
            assert not any("\x1b" in text or "\n" in text for text in (*texts, *lines))
            msgspec.json.encode(item)


def test_one_context_serves_until_a_reading_changes() -> None:
    known = store(jobs=[job("1")], partitions=[PARTITION])
    first = waiting.look(known, NOW)
    assert waiting.look(known, NOW + 1) is first
    known.put(Reading("slurm.jobs", [job("2")], None, NOW, 0.1))
    assert waiting.look(known, NOW + 1) is not first
    assert waiting.look(known, NOW + 1 + waiting.AGED * 2).now > NOW + 1


def test_the_table_tells_the_figures_of_a_row_that_is_drawn() -> None:
    from labtui.views import jobs as jobs_view

    held = [job("1", gres="gpu:4", start_time=NOW - 60, time_limit_s=None)]
    waits = job("2", "PENDING", gres="gpu:1", reason="QOSMaxGRESPerUser",
                reason_text="QoS limit: GPUs a user")  # fmt: skip
    limit = types.Qos(name="normal", max_tres_per_user={"gres/gpu": 4})
    known = store(jobs=[*held, waits], qos=[limit], me="ana")
    jobs_view.rows(known, CONFIG, NOW)
    assert jobs_view.shown_why(waits) == "you hold 4 of 4 GPUs"
    assert jobs_view.why(waits) == "QoS limit: GPUs a user"
    detail = [str(line) for line in jobs_view.detail(waits, known, NOW)]
    assert any("QoS normal allows 4 GPUs a user" in line for line in detail)
    assert any("to do: it starts when" in line for line in detail)


def test_what_exceeds_a_limit_by_itself_looks_as_what_never_starts() -> None:
    """Its code alone does not tell."""
    from labtui.views import jobs as jobs_view

    more, waits = (job(str(gpus), "PENDING", gres=f"gpu:{gpus}", reason="QOSMaxGRESPerUser")
                   for gpus in (5, 1))  # fmt: skip
    limit = types.Qos(name="normal", max_tres_per_user={"gres/gpu": 4})
    jobs_view.rows(store(jobs=[more, waits], qos=[limit]), CONFIG, NOW)
    assert (jobs_view.tone(more), jobs_view.tone(waits)) == ("warn", "")
