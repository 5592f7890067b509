"""GPU shares from made-up stores: every source present, missing, failing, lying."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from labtui.collectors.gpus import FIGURES, GpuMetrics
from labtui.config import Config, GpuConfig, NodeConfig
from labtui.model import Gpu, Holder, Job, Node
from labtui.shares import cards as shares
from labtui.slurm.types import Allocation
from labtui.spec import Cell
from labtui.store import Fault, Reading, Store
from labtui.views import gpus
from labtui.views.sorting import order

NOW = time.time()
CONFIG = Config(
    nodes={
        "desktop-gpu": NodeConfig(address="10.77.0.10", slurm=True),
        "xps15-cpu": NodeConfig(address="10.77.0.20", slurm=True),
        "jetson-edge": NodeConfig(address="10.77.0.40", slurm=True),
    },
    gpu=GpuConfig(metrics=("10.77.0.10:9400", "10.77.0.40:9400")),
)
CARD = Gpu(
    node="desktop-gpu", index=0, uuid="GPU-1", product="RTX 4090", util_percent=91.0,
    memory_used_mib=21000.0, memory_total_mib=24564.0, temperature_c=78.0, power_w=441.0,
    clock_mhz=2520.0,
)  # fmt: skip
METRICS = GpuMetrics(cards=(CARD,), up={"desktop-gpu": True, "jetson-edge": False})
NODES = [
    Node(name="desktop-gpu", gpus=4, gpus_alloc=3),
    Node(name="xps15-cpu", gpus=0),
    Node(name="jetson-edge", gpus=1, gpus_alloc=0),
]
JOBS = [
    Job(job_id="1422", name="llama[/b]\x1b[2J", state="RUNNING", gres="gpu:2", user="ana",
        nodes=("desktop-gpu",), start_time=NOW - 7800),
    Job(job_id="1430_7", name="nim", state="running", gres="gres/gpu:1", nodes=("desktop-gpu",)),
    Job(job_id="1431", name="waits", state="PENDING", gres="gpu:4", nodes=()),
    Job(job_id="1400", name="over", state="COMPLETED", gres="gpu:4", nodes=("desktop-gpu",)),
]  # fmt: skip
KINDS = {"prom.gpus": "prom", "slurm.jobs": "slurm", "slurm.nodes": "slurm"}


def store(at: float = NOW, **values: Any) -> Store:
    """Feeds by their names with `_` for `.`; a Fault is a failed answer, None no answer yet."""
    made = Store()
    for name, value in values.items():
        feed = name.replace("_", ".", 1)
        made.declare(feed, KINDS.get(feed, "nvml"), 5.0)
        if isinstance(value, Fault):
            made.put(Reading(feed, None, value, at, 0.1))
        elif value is not None:
            made.put(Reading(feed, value, None, at, 0.1))
    return made


ALL = {"prom_gpus": METRICS, "slurm_jobs": JOBS, "slurm_nodes": NODES}


def text(row: gpus.GpuRow, column: str) -> str:
    chosen = next(c for c in gpus.SUBJECT.columns if c.id == column)
    cell = chosen.text(row)
    return cell.text if isinstance(cell, Cell) else cell


def details(row: gpus.GpuRow, made: Store, now: float = NOW) -> str:
    lines = gpus.detail(row, made, now)
    return "\n".join(line.text if isinstance(line, Cell) else line for line in lines)


def test_everything_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    made = store(**ALL)
    desktop, jetson = gpus.items(made, CONFIG, NOW)
    assert (desktop.node, desktop.slices) == ("desktop-gpu", 4)
    assert [(h.id, h.slices) for h in desktop.holders] == [("1422", 2), ("1430_7", 1)]
    assert desktop.sources == {"slurm": "3 of 4 held", "prometheus": "answers"}
    assert desktop.util_percent == 91 and not desktop.na
    assert (jetson.node, jetson.slices, jetson.holders) == ("jetson-edge", 1, ())
    assert set(jetson.na) == set(FIGURES) and set(jetson.na.values()) == {"exporter down"}

    rows = gpus.rows(made, CONFIG, NOW)
    keys = [gpus.SUBJECT.row_key(r) for r in rows]
    cards = [f"desktop-gpu:0/{i}" for i in range(1, 5)]
    assert keys == ["desktop-gpu:0", *cards, "jetson-edge:0"]
    held = [text(r, "holder") for r in rows]
    assert held == [
        "3 of 4", "job 1422 llama[/b]", "job 1422 llama[/b]", "job 1430_7 nim", "free",
        "free, exporter down",
    ]  # fmt: skip
    assert text(rows[0], "memory") == "20.5G/24.0G" and text(rows[1], "since").startswith("2h1")
    assert "slices do not split memory" in details(rows[1], made)
    assert "a free slice may ask at most 3.5G" in details(rows[1], made)
    assert gpus.SUBJECT.heading and "2 cards, 5 slices, 3 held" in gpus.SUBJECT.heading(rows)


@pytest.mark.parametrize("missing", ["prom_gpus", "slurm_jobs", "slurm_nodes"])
@pytest.mark.parametrize("how", ["absent", "waiting", "failed"])
def test_any_source_may_be_missing(missing: str, how: str) -> None:
    """The row stays; what cannot be known is None with a reason, never 0 and never "free"."""
    values: dict[str, Any] = dict(ALL)
    values.pop(missing)
    if how != "absent":
        values[missing] = Fault("refused", "x") if how == "failed" else None
    made = store(**values)
    found = {g.node: g for g in gpus.items(made, CONFIG, NOW)}
    desktop = found["desktop-gpu"]
    if missing == "prom_gpus":
        assert desktop.util_percent is None and desktop.slices == 4
        word = {"absent": "not configured", "waiting": "no answer yet", "failed": "refused"}[how]
        assert desktop.na["util_percent"] == f"prom: {word}"
    elif missing == "slurm_nodes":
        assert desktop.slices is None and "slices" in desktop.na and desktop.util_percent == 91
    elif how == "absent":
        assert desktop.slices is None and desktop.holders == ()
    else:
        assert "holders" in desktop.na
        rows = [r for r in gpus.rows(made, CONFIG, NOW) if r.slice]
        assert rows and all(text(r, "holder").startswith("? slurm") for r in rows)
    for row in gpus.rows(made, CONFIG, NOW):
        assert details(row, made) and gpus.severity(row) in range(4)
        assert "0" not in (text(row, "util"), text(row, "temperature"))


def test_nothing_at_all() -> None:
    assert gpus.rows(store(), Config(), NOW) == []
    rows = gpus.rows(store(), CONFIG, NOW)
    assert [r.node for r in rows] == ["desktop-gpu", "jetson-edge"], "the configured exporters"
    assert text(rows[0], "util") == "-"


def test_an_old_figure_is_not_shown_as_present() -> None:
    made = store(**ALL)
    made.put(Reading("prom.gpus", None, Fault("refused", "x"), NOW + 5, 0.1))
    (desktop, _) = gpus.items(made, CONFIG, NOW + 5)
    assert desktop.util_percent == 91, "one missed answer is within three intervals"
    (desktop, _) = gpus.items(made, CONFIG, NOW + 60)
    assert desktop.util_percent is None and desktop.na["util_percent"] == "prom: refused"
    assert desktop.memory_total_mib == 24564 and desktop.product == "RTX 4090"
    assert desktop.sources["prometheus"] == "refused"
    assert desktop.sources["slurm"].startswith("silent since ")
    assert desktop.holders, "who held it last is kept, marked with since when"
    assert desktop.na["holders"] == f"slurm: {desktop.sources['slurm']}"


def test_an_unchanged_world_makes_equal_rows() -> None:
    """Nothing that is drawn changes while nothing changes: equal items, so nothing is sent."""
    assert gpus.rows(store(**ALL), CONFIG, NOW) == gpus.rows(store(**ALL), CONFIG, NOW + 1)


def test_sources_that_disagree_are_named() -> None:
    nodes = [Node(name="desktop-gpu", gpus=4, gpus_alloc=1)]
    found = gpus.items(store(**ALL | {"slurm_nodes": nodes}), CONFIG, NOW)
    assert found[0].sources["slurm"] == "3 of 4 held, but the node counts 1"


def test_several_cards_are_never_guessed() -> None:
    cards = (CARD, msgspec.structs.replace(CARD, index=1, uuid="GPU-2"))
    made = store(**ALL | {"prom_gpus": GpuMetrics(cards=cards)})
    first, second = gpus.items(made, CONFIG, NOW)[:2]
    assert (first.slices, second.slices) == (2, 2)
    assert first.holders == second.holders == ()
    assert first.na["holders"] == "Slurm does not say on which card"
    odd = store(**ALL | {
        "prom_gpus": GpuMetrics(cards=cards), "slurm_nodes": [Node(name="desktop-gpu", gpus=3)]
    })  # fmt: skip
    assert gpus.items(odd, CONFIG, NOW)[0].na["slices"] == "3 gres on 2 cards"


def test_nvml_adds_processes_and_fills_gaps() -> None:
    mine = msgspec.structs.replace(
        CARD, power_w=None, throttle="power cap", util_percent=90.0, na={"power_w": "nvml: no"},
        holders=(Holder(kind="process", id="4121", slices=0, source="nvml"),),
    )  # fmt: skip
    config = msgspec.structs.replace(CONFIG, gpu=GpuConfig(nvml=("desktop-gpu",)))
    values = ALL | {"nvml_desktop-gpu": [mine]}
    (card, _) = gpus.items(store(**values), config, NOW)
    assert (card.util_percent, card.power_w, card.throttle) == (90.0, 441.0, "power cap")
    assert card.sources["nvml"] == "1 processes (pids 4121)" and "power_w" not in card.na
    assert [h.kind for h in card.holders] == ["job", "job"], "the jobs' own processes"
    (bare, _) = gpus.items(store(**values | {"slurm_jobs": []}), config, NOW)
    assert [(h.kind, h.id) for h in bare.holders] == [("process", "4121")]


def test_allocations_know_the_devices() -> None:
    """They count before the job list, which stands in where Slurm cannot tell."""
    parts = [
        Allocation("7", "train", "ana", "desktop-gpu", "gpu", None, 1, (3,), NOW - 60),
        Allocation("7", "train", "ana", "desktop-gpu", "shard", None, 2, (0,), NOW - 60),
    ]
    made = store(**ALL | {"slurm_allocations": parts})
    rows = [text(r, "holder") for r in gpus.rows(made, CONFIG, NOW) if r.node == "desktop-gpu"]
    assert rows == ["1 of 4", "free", "free", "free", "job 7 train"]
    failed = store(**ALL | {"slurm_allocations": Fault("protocol", "no JSON")})
    assert shares.held(gpus.items(failed, CONFIG, NOW)[0]) == 3
    cards = (CARD, msgspec.structs.replace(CARD, index=1, uuid="GPU-2"))
    two = store(**ALL | {"slurm_allocations": parts, "prom_gpus": GpuMetrics(cards=cards)})
    first, second = gpus.items(two, CONFIG, NOW)[:2]
    assert first.holders == () and [(h.id, h.indexes) for h in second.holders] == [("7", (1,))]
    assert shares.slots(second)[0] is None and shares.slots(second)[1] is not None


def test_a_job_on_several_nodes_holds_its_part_on_each() -> None:
    job = Job(job_id="9", name="wide", state="RUNNING", gres="gpu:4",
              nodes=("desktop-gpu", "jetson-edge"))  # fmt: skip
    found = gpus.items(store(**ALL | {"slurm_jobs": [job]}), CONFIG, NOW)
    assert [shares.held(g) for g in found] == [2, 2]


def test_slots_by_index_then_in_order() -> None:
    known = Holder(kind="job", id="1", slices=1, indexes=(2,))
    loose = Holder(kind="job", id="2", slices=2)
    gpu = msgspec.structs.replace(CARD, slices=4, holders=(known, loose))
    assert shares.slots(gpu) == [loose, loose, known, None]
    too_many = msgspec.structs.replace(CARD, slices=1, holders=(loose,))
    assert shares.slots(too_many) == [loose]
    strange = Holder(kind="job", id="3", indexes=(9, -7))
    assert shares.slots(msgspec.structs.replace(CARD, slices=2, holders=(strange,)))


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        (None, 0), ("", 0), ("N/A", 0), ("(null)", 0), ("gpu", 1), ("gpu:2", 2),
        ("gpu:jetson:1", 1),
        ("gres/gpu:3", 3), ("gres/gpu:a100=2", 2), ("gres:gpu:2", 2), ("gpu:2(IDX:0-1)", 2),
        ("craynetwork:1,gpu:4", 4), ("shard:3", 0), ("cpu=4,mem=8G,gres/gpu=2", 2),
        ("gpu:a100", 1),
    ],
)  # fmt: skip
def test_gres_texts(gres: str | None, count: int) -> None:
    assert shares.gres_gpus(gres) == count


@pytest.mark.parametrize("column", [c.id for c in gpus.SUBJECT.columns if c.sort])
@pytest.mark.parametrize("reverse", [False, True])
def test_slices_stay_below_their_card_in_any_order(column: str, reverse: bool) -> None:
    rows = order(gpus.rows(store(**ALL), CONFIG, NOW), gpus.SUBJECT, column, reverse)
    desktop = [i for i, r in enumerate(rows) if r.node == "desktop-gpu"]
    assert desktop == list(range(desktop[0], desktop[0] + 5))
    assert [rows[i].slice for i in desktop] == [0, 1, 2, 3, 4]


def test_what_is_wrong_is_severe() -> None:
    def worst(**changes: Any) -> int:
        card = msgspec.structs.replace(CARD, slices=1, **changes)
        return gpus.severity(gpus.GpuRow(node="n", index=0, gpu=card))

    assert worst() == 0
    assert worst(temperature_c=86.0) == 2 and worst(temperature_c=95.0) == 3
    assert worst(xid=79) == 2 and worst(memory_used_mib=24500.0) == 2
    assert worst(util_percent=None, na={"util_percent": "exporter down"}) == 2


def test_a_short_series_is_kept_for_the_sparkline() -> None:
    made = store(prom_gpus=None)
    gpus.remember(made)
    for util in (10.0, 90.0, None):
        card = msgspec.structs.replace(CARD, util_percent=util)
        made.put(Reading("prom.gpus", GpuMetrics(cards=(card,)), None, NOW, 0.1))
    assert made.series(gpus.series(CARD)) == [10.0, 90.0, None]
    row = gpus.rows(made, CONFIG, NOW)[0]
    assert "util ▁█" in details(row, made).replace("▇", "█").replace("▂", "▁").replace("▅", "▁")


def test_hostile_names_are_inert() -> None:
    made = store(**ALL)
    shown = [text(r, c.id) for r in gpus.rows(made, CONFIG, NOW) for c in gpus.SUBJECT.columns]
    shown += [details(r, made) for r in gpus.rows(made, CONFIG, NOW)]
    assert not any("\x1b" in cell for cell in shown)
    assert "llama[/b]" in " ".join(shown), "markup stays as the text that it is"


def test_the_columns_fit_eighty_cells() -> None:
    shown = [c for c in gpus.SUBJECT.columns if c.min_total <= 80]
    assert 2 + sum(c.width for c in shown) + len(shown) - 1 <= 80
