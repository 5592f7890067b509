"""The GPU screen's rows, cells and detail: of cards written by hand, and of made-up ones."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.collectors.gpus import GpuMetrics
from labtui.config import Config
from labtui.model import Finding, Gpu, GpuHours, GpuProcess, Holder, MigInstance
from labtui.shares import cards as shares
from labtui.spec import Cell
from labtui.store import Reading, Store
from labtui.views import gpucells, gpurows, gpus
from labtui.views.sorting import order
from sample_gpus import CARD, MIG, NOW, NOWHERE, OVER, POD, SILENT, UNKNOWN, WIDE, card, told

SUBJECT = gpus.SUBJECT


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("time.localtime", time.gmtime)


def rows(*cards: Gpu) -> list[gpus.GpuRow]:
    return [row for gpu in cards for row in gpurows.rows_of(gpu)]


def text(row: gpus.GpuRow, column: str) -> str:
    cell = next(c for c in SUBJECT.columns if c.id == column).text(row)
    return cell.text if isinstance(cell, Cell) else cell


def table(*cards: Gpu, columns: str = "slice holder") -> list[str]:
    """The cells of all rows, one line a row."""
    return [
        " ".join(t for c in columns.split() if (t := text(row, c).strip())) for row in rows(*cards)
    ]


def details(row: gpus.GpuRow, store: Store | None = None) -> list[str]:
    lines = gpus.detail(row, store or Store(), NOW)
    return [line.text if isinstance(line, Cell) else line for line in lines]


def test_a_card_and_its_slices() -> None:
    shown = table(CARD, columns="card slice holder since util memory temperature power")
    assert shown == [
        "desktop-gpu:0 3 of 4 91 21.0/24G 78 441",
        "RTX 4090 1 job 1422 llama-lora 2h10 17.9G",
        "2 job 1422 llama-lora 2h10",
        "3 pod nim/llama-0 3d 3.1G",
        "4 free",
    ]
    assert [SUBJECT.row_key(row) for row in rows(CARD)][:2] == ["desktop-gpu:0", "desktop-gpu:0/1"]


def test_the_worst_is_said_where_the_eye_is() -> None:
    """On the card's own row, and first in the detail; a process of nobody below the slices."""
    assert table(UNKNOWN) == [
        "3 of 4, memory tight +1", "1 job 1422 llama-lora", "2 job 1422 llama-lora",
        "3 pod nim/llama-0", "4 free", "none pid 7781 python, ben",
    ]  # fmt: skip
    first = details(rows(UNKNOWN)[0])[1:3]
    assert first[0].endswith("the next allocation fails") and first[1].startswith("process 7781")
    assert details(rows(UNKNOWN)[-1])[1].startswith("process 7781"), "its own finding comes first"
    assert {SUBJECT.severity(row) for row in rows(UNKNOWN)} == {2}


def test_what_is_booked_beyond_the_card_is_shown_as_well() -> None:
    assert table(OVER) == [
        "3 of 2, overbooked", "1 job 1422 llama-lora", "2 job 1422 llama-lora",
        "over pod nim/llama-0",
    ]  # fmt: skip
    assert details(rows(OVER)[-1])[0].startswith("desktop-gpu:0 · beyond its slices: pod")


def test_what_lies_on_no_known_card() -> None:
    assert table(NOWHERE, columns="card slice holder util memory") == [
        "desktop-gpu:? nobody names its card",
        "? pod nim/late-0 3.1G",
    ]
    heading = gpurows.heading(rows(CARD, NOWHERE))
    assert heading == "1 card, 4 slices: 3 held, 1 free, 1 on no known card; memory shared"


def test_mig_instances_are_slices_with_memory_of_their_own() -> None:
    assert table(MIG, columns="card slice holder util memory") == [
        "a100:0 1 of 2 - 29.4/80G",
        "3g.40gb 1 free - 0.1/39G",
        "3g.40gb 2 pod ml/a, mig-3g.40gb - 29.3/39G",
    ]
    told = details(rows(MIG)[2])
    assert "memory 29.4/80G used" in told and "MIG instance 2 · 3g.40gb" in told
    assert "n/a: util: not given under MIG" in told


def test_the_plug_ins_mps_gives_each_process_a_part_of_the_memory() -> None:
    """What the detail, the heading and `m` say of it is the same."""
    mps = card(slices=4, sharing="mps", capacity={"kubernetes": 4}, booked={"kubernetes": 1},
               holders=(POD,), memory_used_mib=12288.0, memory_total_mib=24576.0)  # fmt: skip
    slurms = msgspec.structs.replace(mps, capacity={"slurm": 4}, booked={"slurm": 1})
    assert "memory shared" not in gpurows.heading(rows(mps))
    assert "memory shared" in gpurows.heading(rows(slurms))
    (told,) = (line for line in details(rows(mps)[0]) if "memory" in line)
    assert told.startswith("memory 12.0/24G used, MPS gives a process at most 6.0G; most: ")
    (told,) = (line for line in details(rows(slurms)[0]) if "memory" in line)
    assert told.startswith("slices share memory: 12.0/24G used, a free slice may ask at most 12.0G")


def test_mig_instances_that_are_shared_have_a_row_a_slice() -> None:
    shared = msgspec.structs.replace(
        MIG, slices=4, holders=(msgspec.structs.replace(MIG.holders[0], indexes=()),)
    )
    assert table(shared, columns="card slice holder memory")[1:] == [
        "3g.40gb 1 pod ml/a, mig-3g.40gb 0.1/39G", "3g.40gb 2 free 0.1/39G",
        "3g.40gb 3 free 29.3/39G", "3g.40gb 4 free 29.3/39G",
    ]  # fmt: skip


def test_many_slices_are_one_row_a_holder() -> None:
    assert table(WIDE) == ["12 of 52", "x12 pod nim/llama-0", "x40 free"]
    assert [SUBJECT.row_key(r) for r in rows(WIDE)] == [
        "desktop-gpu:0", "desktop-gpu:0/pod nim/llama-0", "desktop-gpu:0/free",
    ]  # fmt: skip
    assert "40 slices: free" in details(rows(WIDE)[2])[0]


def test_not_known_is_neither_0_nor_free() -> None:
    assert table(SILENT, columns="card holder util memory temperature power") == [
        "jetson-edge:0 free, host down 41 s - - - -"
    ]
    assert "n/a: util, memory, temperature: host down 41 s" in details(rows(SILENT)[0])
    blind = card(holders=(), na={"holders": "slurm: refused"})
    assert table(blind)[:2] == ["0 of 4, slurm: refused", "1 ? slurm: refused"]
    assert shares.free(blind) is None and "4 not known" in gpurows.heading(rows(blind))
    assert "free" not in " ".join([*table(blind), *details(rows(blind)[1])])
    one = card(slices=1, holders=(), na={"holders": "slurm: refused"})
    assert table(one) == ["? slurm: refused"]


def test_the_heading_adds_slices_to_slices() -> None:
    blind = card(na={"holders": "kubernetes: ana may not list pods"})
    assert gpurows.heading(rows(blind)).startswith("1 card, 4 slices: 3 held, 0 free, 1 not known;")
    uncounted = card(index=1, slices=None, holders=(), na={"slices": "no gres"})
    assert gpurows.heading(rows(CARD, uncounted)).startswith(
        "2 cards, 4 slices: 3 held, 1 free; of 1 card not told;"
    )
    assert "2 slices: 2 held, 0 free, 1 over;" in gpurows.heading(rows(OVER))
    over = msgspec.structs.replace(OVER, na={"holders": "slurm: refused"})
    assert "not known" not in gpurows.heading(rows(over)), "none is left"


def test_one_that_is_not_shared_is_one_row() -> None:
    (row,) = rows(card(slices=1, holders=(msgspec.structs.replace(CARD.holders[0], slices=1),)))
    assert (text(row, "holder"), text(row, "since")) == ("job 1422 llama-lora", "2h10")
    assert gpucells.whose(row) is not None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"throttled": {"desktop-gpu:0": (2, 2)}}, "throttled 100 % of the 2 min seen"),
        ({"throttled": {"desktop-gpu:0": (0, 60)}}, ""),
        ({"violated": {"desktop-gpu:0": (3, 60)}}, "throttled at times in 3 of 60 min"),
    ],
)
def test_of_the_hour_only_what_was_seen_is_told(told: dict[str, Any], words: str) -> None:
    store = Store()
    store.declare("prom.gpuhours", "prom", 60.0)
    store.put(Reading("prom.gpuhours", GpuHours(**told), None, NOW, 0.1))
    calm = msgspec.structs.replace(CARD, throttle=None)
    lines = [line for line in details(rows(calm)[0], store) if "throttled" in line]
    assert lines == [words] * bool(words)


def test_cards_that_nobody_counts_are_told_as_such() -> None:
    why = {"index": "nobody says how many cards there are"}
    machine = msgspec.structs.replace(CARD, sharing=None, na=why)
    text = gpurows.heading(rows(machine))
    assert text.startswith("1 machine whose cards nobody counts, 4 slices: 3 held, 1 free")
    assert "memory shared" not in text
    both = gpurows.heading(rows(CARD, msgspec.structs.replace(machine, node="m")))
    assert both.startswith("1 card and 1 machine whose cards nobody counts, 8 slices:")
    assert (
        "4 slices, on how many cards nobody says, 3 held" in details(rows(machine)[0], Store())[0]
    )


def test_the_hour_of_a_card_is_the_one_of_its_uuid() -> None:
    other = msgspec.structs.replace(CARD, uuid="GPU-9")
    told = {f"desktop-gpu:{CARD.uuid}": (1, 60), "desktop-gpu:0": (2, 60)}
    assert (gpurows.in_hour(told, CARD), gpurows.in_hour(told, other)) == ((1, 60), (2, 60))
    assert gpurows.in_hour({}, CARD) is None


def test_detail_of_a_card() -> None:
    store = Store()
    store.declare("prom.gpuhours", "prom", 60.0)
    hours = GpuHours(
        util={"desktop-gpu:0": (10.0, None, 50.0, 100.0)}, throttled={"desktop-gpu:0": (7, 60)}
    )
    store.put(Reading("prom.gpuhours", hours, None, NOW, 0.1))
    assert details(rows(CARD)[0], store) == [
        "desktop-gpu:0 RTX 4090 · 4 slices by time-slicing, 3 held, 1 free",
        "slices share memory: 21.0/24G used, a free slice may ask at most 3.0G;"
        " most: job 1422 17.9G, pod nim/llama-0 3.1G",
        "throttled 12 % of 1 h, now by power cap (450 W) · util, 1 h ▁·▄█",
        "sources agree: slurm 2, kubernetes 1, nvidia-smi 2 processes",
        "power limit 450 W (default 450, 150 to 600) · persistence on",
        "figures: nvidia-smi; clock: prometheus",
        "NVIDIA GeForce RTX 4090 · GPU-1ab70000-0000-4000-8000-6465736b746f",
    ]
    full = details(rows(card(memory_used_mib=24000.0))[0])
    assert "the next allocation fails, whoever asks; most: job 1422 17.9G" in full[1]
    differ = Finding(kind="count-differs", severity=1, text="x")
    assert "sources: slurm: 2 of 4 held · kubernetes: 1 of 4 held · nvidia-smi: 2 processes" in (
        details(rows(card(findings=(differ,)))[0])
    )


def test_detail_of_a_slice() -> None:
    assert details(rows(CARD)[1])[0] == (
        "desktop-gpu:0 · slice 1: job 1422 llama-lora of ana, holds 2 since 19:50"
    )
    assert details(rows(CARD)[4])[0].endswith("slice 4: free")


def test_a_card_that_is_the_same_object_keeps_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpurows.shares, "pieces", told([CARD, MIG]))
    store = Store()
    before = gpus.rows(store, Config(), NOW)
    assert all(a is b for a, b in zip(before, gpus.rows(store, Config(), NOW + 1), strict=True))
    store.declare("prom.gpuhours", "prom", 60.0)
    hours = GpuHours(util={"desktop-gpu:0": (1.0, 99.0)}, throttled={"desktop-gpu:0": (30, 60)})
    store.put(Reading("prom.gpuhours", hours, None, NOW, 0.1))
    after = gpus.rows(store, Config(), NOW)
    assert text(after[0], "hour") == "▁█" and after[5] is before[5]


@pytest.mark.parametrize("column", [c.id for c in SUBJECT.columns if c.sort])
@pytest.mark.parametrize("reverse", [False, True])
def test_slices_stay_below_their_card_in_any_order(column: str, reverse: bool) -> None:
    made = order(rows(CARD, MIG, NOWHERE, SILENT), SUBJECT, column, reverse)
    desktop = [i for i, r in enumerate(made) if r.gpu is CARD]
    assert desktop == list(range(desktop[0], desktop[0] + 5))
    assert [made[i].slice for i in desktop] == [0, 1, 2, 3, 4]


def test_a_short_series_is_kept_from_the_best_source() -> None:
    made = Store()
    for name, kind in (("prom.gpus", "prom"), ("smi.desktop-gpu", "smi")):
        made.declare(name, kind, 5.0)
    gpus.remember(made)
    for util in (10.0, 90.0, None):
        metrics = GpuMetrics(cards=(card(util_percent=util),))
        made.put(Reading("prom.gpus", metrics, None, NOW, 0.1))
    made.put(Reading("smi.desktop-gpu", [card(util_percent=50.0)], None, NOW, 0.1))
    made.put(Reading("prom.gpus", GpuMetrics(cards=(card(util_percent=1.0),)), None, NOW, 0.1))
    assert made.series(gpus.series(CARD, "util")) == [10.0, 90.0, None, 50.0]
    assert made.series(gpus.series(CARD, "power")) == [441.0] * 4
    assert "throttled now by power cap (450 W) · util, seen from here ▁█·▄" in details(
        rows(CARD)[0], made
    )


def test_the_columns_fit() -> None:
    """76 cells are what is left beside the detail of a terminal of 120."""
    for total in (76, 80, 116, 156, 220):
        shown = [c for c in SUBJECT.columns if c.min_total <= total]
        width = sum(c.wide if c.wide and total >= 120 else c.width for c in shown)
        assert 2 + width + len(shown) - 1 <= total, total


EVIL = st.sampled_from(["x", "\x1b[2Jred", "a\nb", "", "[/b]", "日本" * 40, "\u202egnp"])
MAYBE = st.one_of(st.none(), EVIL)
FIGURE = st.one_of(st.none(), st.floats(0, 1e7))
HOLDERS = st.builds(
    Holder, kind=st.sampled_from(["job", "pod", "process"]), id=EVIL, name=MAYBE, user=MAYBE,
    slices=st.integers(0, 20), since=FIGURE, memory_mib=FIGURE, state=MAYBE, share=MAYBE,
)  # fmt: skip
FINDINGS = st.builds(
    Finding, kind=st.sampled_from(list(gpucells.WORDS)), severity=st.integers(1, 3), text=EVIL,
    means=EVIL, holder=MAYBE,
)  # fmt: skip
CARDS = st.builds(
    Gpu, node=EVIL, index=st.one_of(st.none(), st.integers(0, 8)), uuid=MAYBE, product=MAYBE,
    slices=st.one_of(st.none(), st.integers(0, 40)),
    holders=st.lists(HOLDERS, max_size=4, unique_by=lambda h: (h.kind, h.id)).map(tuple),
    util_percent=FIGURE, memory_used_mib=FIGURE, memory_total_mib=FIGURE, temperature_c=FIGURE,
    power_w=FIGURE, throttle=MAYBE, sources=st.dictionaries(EVIL, EVIL, max_size=3),
    na=st.dictionaries(st.sampled_from(["holders", "util_percent", "slices"]), EVIL),
    origin=st.dictionaries(st.sampled_from(["power_w", "clock_mhz", "processes"]), EVIL),
    sharing=MAYBE, booked=st.dictionaries(EVIL, st.integers(0, 9), max_size=2),
    processes=st.lists(st.builds(GpuProcess, pid=st.integers(1, 9), node=EVIL), max_size=2)
    .map(tuple),
    mig=st.lists(st.builds(MigInstance, id=st.integers(0, 9), profile=MAYBE, uuid=MAYBE,
                           memory_used_mib=FIGURE, memory_total_mib=FIGURE), max_size=3).map(tuple),
    findings=st.lists(FINDINGS, max_size=6).map(tuple), power_limit_w=FIGURE, power_min_w=FIGURE,
    power_max_w=FIGURE, persistence=st.one_of(st.none(), st.booleans()), driver=MAYBE,
    xid=st.one_of(st.none(), st.integers(0, 200)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(CARDS)
def test_any_card_is_drawn_inert(gpu: Gpu) -> None:
    made = rows(gpu)
    assert len({SUBJECT.row_key(row) for row in made}) == len(made)
    assert len({SUBJECT.severity(row) for row in made}) == 1
    lines = [gpurows.heading(made)]
    for row in made:
        lines += [text(row, column.id) for column in SUBJECT.columns]
        lines += [SUBJECT.searchable(row), *details(row)]
    assert not any("\x1b" in line or "\n" in line or "\u202e" in line for line in lines)
