"""A real Prometheus scraping an exporter that speaks DCGM's names."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.collectors.dcgm import ENERGY, METRICS
from labtui.collectors.frozen import Frozen
from labtui.collectors.gpuhours import PromGpuHours, hours
from labtui.collectors.gpus import GpuMetrics, PromGpus, cards_of
from labtui.config import Config, GpuConfig, NodeConfig, UrlConfig
from labtui.sources.base import SourceError
from labtui.sources.gpufigures import LIMITS
from labtui.sources.prometheus import Prometheus, Sample
from realservers import prometheus
from standin import answer, free_port, standing_in

LABELS = 'gpu="0",UUID="GPU-1",device="nvidia0",modelName="RTX \\u001b[31m",Hostname="desktop-gpu"'
EXPORTED = f"""
DCGM_FI_DEV_GPU_UTIL{{{LABELS}}} 91
DCGM_FI_DEV_FB_USED{{{LABELS}}} 21000
DCGM_FI_DEV_FB_FREE{{{LABELS}}} 3000
DCGM_FI_DEV_FB_RESERVED{{{LABELS}}} 564
DCGM_FI_DEV_GPU_TEMP{{{LABELS}}} 78
DCGM_FI_DEV_POWER_USAGE{{{LABELS}}} NaN
DCGM_FI_DEV_SM_CLOCK{{{LABELS}}} 2520
DCGM_FI_DEV_XID_ERRORS{{{LABELS}}} 0
"""


async def test_a_real_prometheus(tmp_path: Path) -> None:
    def export(handler: BaseHTTPRequestHandler) -> None:
        answer(200, EXPORTED.replace("\\u001b", "").encode(), "text/plain")(handler)

    dead = f"127.0.0.1:{free_port()}"
    with standing_in(export) as exporter:
        there = exporter.url.removeprefix("http://")
        targets = {"10.77.0.10:9400": there, "10.77.0.40:9400": dead}
        with prometheus(tmp_path, targets) as url:
            config = Config(
                nodes={
                    "desktop-gpu": NodeConfig(address="10.77.0.10"),
                    "jetson-edge": NodeConfig(address="10.77.0.40"),
                },
                prometheus=UrlConfig(url=url, timeout_s=3.0),
                gpu=GpuConfig(metrics=tuple(targets)),
            )
            collector = PromGpus(config)
            found = await settled(collector)
            assert found.up == {"desktop-gpu": True, "jetson-edge": False}
            (card,) = found.cards
            assert (card.node, card.index, card.uuid) == ("desktop-gpu", 0, "GPU-1")
            assert (card.util_percent, card.temperature_c, card.clock_mhz) == (91, 78, 2520)
            assert (card.memory_used_mib, card.memory_total_mib) == (21000, 24564)
            assert card.power_w is None and card.na["power_w"] == "the exporter says NaN"

            client = Prometheus(url, timeout=3.0)
            with pytest.raises(SourceError, match="refuses the request"):
                client.instant("this is not promql {")
            assert client.instant("no_such_series") == []
            now = time.time()
            (series,) = client.range("vector(time())", now - 10, now, 1.0)
            assert 10 <= len(series.values) <= 12 and series.value is not None
            (nothing,) = client.instant("vector(NaN)")
            assert nothing.value is None
            await collector.close()
            client.close()


async def settled(collector: PromGpus) -> GpuMetrics:
    """The first answer after both targets were scraped."""
    deadline = time.monotonic() + 15
    while True:
        found = await collector.collect()
        if found.cards and len(found.up) == 2:
            assert isinstance(found, GpuMetrics)
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs on this loop


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("DCGM_FI_DEV_GPU_UTIL", 105.0, "util_percent"),
        ("DCGM_FI_DEV_GPU_UTIL", -1.0, "util_percent"),
        ("DCGM_FI_DEV_GPU_TEMP", 9.2e18, "temperature_c"),
        ("DCGM_FI_DEV_FB_USED", None, "memory_used_mib"),
    ],
)
def test_values_that_cannot_be(name: str, value: float | None, field: str) -> None:
    """DCGM's blank values are huge numbers; none of them reaches a screen."""
    sample = Sample({"__name__": name, "gpu": "1", "Hostname": "n"}, ((0.0, value),))
    (card,) = cards_of([sample], Config()).cards
    assert getattr(card, field) is None
    assert card.na[field].startswith("the exporter says")
    assert card.index == 1


def test_foreign_labels_do_no_harm() -> None:
    labels = {"__name__": "DCGM_FI_DEV_GPU_UTIL", "gpu": "../x", "modelName": "\x1b[2Jcard\n"}
    (card,) = cards_of([Sample(labels, ((0.0, 5.0),))], Config()).cards
    assert (card.node, card.index, card.product) == ("unknown", 0, "card ")


def test_a_jetson_by_its_own_names() -> None:
    def sample(name: str, value: float, **more: str) -> Sample:
        labels = {"__name__": name, "instance": "10.77.0.40:9400", "model": "Orin", **more}
        return Sample(labels, ((0.0, value),))

    config = Config(nodes={"jetson-edge": NodeConfig(address="10.77.0.40")})
    samples = [
        sample("jetson_gpu_utilization_percent", 40),
        sample("jetson_temperature_celsius", 71.5, part="cpu"),
        sample("jetson_temperature_celsius", 52.5, part="gpu"),
        sample("jetson_power_milliwatts", 14500, rail="VDD_IN"),
        sample("jetson_power_milliwatts", 2500, rail="VDD_CPU"),
        sample("jetson_memory_total_mib", 7620),
    ]
    (card,) = cards_of(samples, config).cards
    assert (card.node, card.product, card.util_percent) == ("jetson-edge", "Orin", 40)
    assert (card.temperature_c, card.power_w, card.memory_total_mib) == (52.5, 14.5, 7620)
    assert card.na == {
        "memory_used_mib": "no DCGM on a Jetson", "clock_mhz": "no DCGM on a Jetson",
        "xid": "a Jetson has no XIDs",
    }  # fmt: skip


def of(name: str, value: float | None, **labels: str) -> Sample:
    known = {"__name__": name, "gpu": "0", "Hostname": "n", "UUID": "GPU-1", **labels}
    return Sample(known, ((0.0, value),))


def test_mig_series_are_the_instances() -> None:
    part = {"GPU_I_ID": "7", "GPU_I_PROFILE": "1g.5gb"}
    samples = [
        of("DCGM_FI_DEV_GPU_TEMP", 51, **part),
        of("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.25, **part),
        of("DCGM_FI_DEV_FB_USED", 1000, **part),
        of("DCGM_FI_DEV_FB_FREE", 3864, **part),
        of("DCGM_FI_DEV_FB_USED", 5, GPU_I_ID="8", GPU_I_PROFILE="1g.5gb"),
        of("DCGM_FI_DEV_POWER_USAGE", 71),
    ]
    (card,) = cards_of(samples, Config()).cards
    assert (card.sharing, card.temperature_c, card.power_w) == ("mig", 51, 71)
    assert card.util_percent is None and "each instance" in card.na["util_percent"]
    assert card.memory_used_mib is None and card.memory_total_mib is None
    first, second = card.mig
    assert (first.id, first.profile, first.util_percent) == (7, "1g.5gb", 25)
    assert (first.memory_used_mib, first.memory_total_mib) == (1000, 4864)
    assert (second.id, second.util_percent, second.memory_total_mib) == (8, None, None)


@pytest.mark.parametrize(
    ("used", "free", "reserved", "why"),
    [
        (100.0, -50.0, None, "-50 MiB free: cannot be"),
        (-5.0, 23000.0, None, "-5 MiB used: cannot be"),
        (1000.0, 23000.0, -500.0, "-500 MiB reserved: cannot be"),
        (1000.0, 1e12, 0.0, "1e+12 MiB free: cannot be"),
        (1000.0, 23000.0, "NaN", "NaN"),
        ("NaN", 23000.0, 500.0, "NaN"),
    ],
)
def test_no_total_is_made_of_a_sample_that_cannot_be(
    used: Any, free: Any, reserved: Any, why: str
) -> None:
    told = {"USED": used, "FREE": free, "RESERVED": reserved}
    names = {name: None if value == "NaN" else value for name, value in told.items() if value}
    for part in ({}, {"GPU_I_ID": "1", "GPU_I_PROFILE": "1g.5gb"}):
        samples = [of(f"DCGM_FI_DEV_FB_{name}", value, **part) for name, value in names.items()]
        (card,) = cards_of(samples, Config()).cards
        assert card.memory_total_mib is None
        assert all(instance.memory_total_mib is None for instance in card.mig)
        if not part:
            assert card.na["memory_total_mib"] == f"the exporter says {why}"
        elif why != "NaN":
            assert card.na["instance"].startswith("of instance 1 the exporter says")
            assert card.na["instance"].endswith("cannot be")


def test_a_part_that_dcgm_does_not_have_makes_no_total_impossible() -> None:
    blank = float((1 << 47) + 2)
    samples = [of("DCGM_FI_DEV_FB_USED", 1000), of("DCGM_FI_DEV_FB_FREE", 23000),
               of("DCGM_FI_DEV_FB_RESERVED", blank)]  # fmt: skip
    (card,) = cards_of(samples, Config()).cards
    assert card.memory_total_mib == 24000


def test_limits_ecc_and_blank_values() -> None:
    samples = [
        of("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 2),
        of("DCGM_FI_DEV_POWER_MGMT_LIMIT", 300),
        of("DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX", 9223372036854775794),
        of("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", 4),
        of("DCGM_FI_DEV_XID_ERRORS", 79),
    ]
    (card,) = cards_of(samples, Config()).cards
    assert (card.ecc_uncorrected, card.power_limit_w, card.xid) == (2, 300, 79)
    assert card.throttle == "power cap"
    assert card.power_max_w is None and "no such value" in card.na["power_max_w"]


def test_pods_that_have_the_card_are_not_the_exporters_own() -> None:
    name = "DCGM_FI_DEV_GPU_UTIL"
    config = Config()
    own = {"pod": "nvidia-dcgm-exporter-x", "namespace": "gpu-operator"}
    meant = {"exported_pod": "llama-0", "exported_namespace": "nim"}
    assert cards_of([of(name, 5, **own)], config).pods == {}
    assert cards_of([of(name, 5, **own, **meant)], config).pods == {"n:0": ("nim/llama-0",)}
    two = [of(name, 5, pod="b", namespace="x"), of(name, 5, pod="a", namespace="x")]
    assert cards_of(two, config).pods == {"n:0": ("x/a", "x/b")}
    called = [of("up", 1, pod="exporter-7"), of(name, 5, pod="exporter-7", namespace="x")]
    assert cards_of(called, config).pods == {}
    (card,) = cards_of(two, config).cards
    assert card.util_percent == 5


@given(st.lists(st.tuples(
    st.sampled_from([*METRICS, ENERGY, "up"]),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.dictionaries(st.sampled_from(["gpu", "GPU_I_ID", "UUID", "pod", "namespace", "instance"]),
                    st.text(max_size=6), max_size=4),
), max_size=20))  # fmt: skip
def test_no_value_that_cannot_be_comes_through(
    series: list[tuple[str, float | None, dict[str, str]]],
) -> None:
    samples = [Sample({"__name__": name, **labels}, ((0.0, v),)) for name, v, labels in series]
    found = cards_of(samples, Config())
    for card in found.cards:
        for field, (low, high) in LIMITS.items():
            value = getattr(card, field)
            assert value is None or isinstance(value, str) or low <= value <= high, field
        for part in card.mig:
            assert part.util_percent is None or 0 <= part.util_percent <= 100
            used, total = part.memory_used_mib, part.memory_total_mib
            assert used is None or 0 <= used <= (total or 1 << 24)
    Frozen().marked(found, samples, Config(), 5.0)
    for strip in hours(samples, samples, samples, Config(), 5.0).util.values():
        assert all(value is None or 0 <= value <= 100 for value in strip)


class Repeating:
    """An exporter that is asked at given seconds, with an energy counter."""

    def __init__(self) -> None:
        self.frozen = Frozen()

    def at(self, now: float, energy: float, power: float = 100.0) -> GpuMetrics:
        samples = [of(ENERGY, energy), of("DCGM_FI_DEV_POWER_USAGE", power),
                   of("DCGM_FI_DEV_GPU_UTIL", 50)]  # fmt: skip
        return self.frozen.marked(cards_of(samples, Config()), samples, Config(), now)


def test_an_exporter_that_repeats_itself() -> None:
    exporter = Repeating()
    for second in range(0, 61, 5):
        (card,) = exporter.at(1000.0 + second, second * 500).cards
        assert card.util_percent == 50
    (card,) = exporter.at(1085.0, 30000).cards
    assert card.util_percent == 50, "not long enough"
    (card,) = exporter.at(1095.0, 30000).cards
    since = time.strftime("%H:%M:%S", time.localtime(1060))
    assert card.util_percent is None and card.power_w is None
    assert card.na["util_percent"] == f"the exporter repeats itself since {since}"
    assert [f.kind for f in card.findings] == ["frozen"] and card.uuid == "GPU-1"
    (card,) = exporter.at(1100.0, 31000).cards
    assert card.util_percent == 50 and not card.findings


def test_a_slow_scrape_is_no_freeze_and_neither_is_a_card_without_power() -> None:
    exporter = Repeating()
    for minute in range(10):
        for second in range(0, 60, 5):
            (card,) = exporter.at(1000.0 + 60 * minute + second, minute * 500).cards
            assert card.util_percent == 50, (minute, second)
    off = Repeating()
    for second in range(0, 600, 5):
        (card,) = off.at(1000.0 + second, 7, power=0.0).cards
        assert card.util_percent == 50


def test_the_last_hour_of_a_card() -> None:
    config, now = Config(), 7200.0

    def series(*values: tuple[float, float | None], **labels: str) -> Sample:
        return Sample({"gpu": "1", "Hostname": "n", **labels}, values)

    found = hours(
        [series((now, 90.0), (now - 300, 30.0), (now - 3300, 5.0), (now - 600, 400.0)),
         series((now, 1.0), GPU_I_ID="7")],
        [series((now, 4.0), (now - 60, 1.0), (now - 120, 0.0), (now - 180, 1e18))], [], config, now,
    )  # fmt: skip
    assert found.util == {"n:1": (5.0, *[None] * 9, 30.0, 90.0)}
    assert found.throttled == {"n:1": (1, 4)} and found.violated == {}
    named = hours([series((now, 9.0), UUID="GPU-7")], [], [], config, now)
    assert list(named.util) == ["n:GPU-7"], "an exporter may count in another order"
    grew = [series((now, 0.0), (now - 60, 12.0), (now - 120, None))]
    grown = hours([], [], grew, config, now)
    assert grown.violated == {"n:1": (1, 2)} and grown.throttled == {}
    both = hours([], [series((now, 4.0))], [*grew, series((now, 1.0), gpu="2")], config, now)
    assert (both.throttled, both.violated) == ({"n:1": (1, 1)}, {"n:2": (1, 1)})


async def test_the_last_hour_by_a_real_prometheus(tmp_path: Path) -> None:
    def export(handler: BaseHTTPRequestHandler) -> None:
        second, told = (
            LABELS.replace('gpu="0",UUID="GPU-1"', 'gpu="1"'),
            EXPORTED.replace("\\u001b", ""),
        )
        told += f"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{{{LABELS}}} 4\n"
        for card in (LABELS, second):
            told += f"DCGM_FI_DEV_POWER_VIOLATION{{{card}}} 7\n"
            told += f"DCGM_FI_DEV_THERMAL_VIOLATION{{{card}}} {time.monotonic():.3f}\n"
        answer(200, told.encode(), "text/plain")(handler)

    with standing_in(export) as exporter:
        there = exporter.url.removeprefix("http://")
        with prometheus(tmp_path, {"10.77.0.10:9400": there}) as url:
            config = Config(
                nodes={"desktop-gpu": NodeConfig(address="10.77.0.10")},
                prometheus=UrlConfig(url=url, timeout_s=3.0),
                gpu=GpuConfig(metrics=("10.77.0.10:9400",)),
            )
            collector = PromGpuHours(config)
            assert collector.lazy
            deadline = time.monotonic() + 15
            while not (found := await collector.ask()).violated.get("desktop-gpu:1", (0, 0))[0]:
                assert time.monotonic() < deadline
                time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs on this loop
            assert list(found.util) == ["desktop-gpu:GPU-1"]
            assert found.util["desktop-gpu:GPU-1"] == (*[None] * 11, 91.0)
            held, seen = found.throttled["desktop-gpu:GPU-1"]
            assert held == seen and 1 <= seen <= 2, "only what was seen of the hour"
            assert list(found.throttled) == ["desktop-gpu:GPU-1"], "the other has no mask"
            assert list(found.violated) == ["desktop-gpu:1"], "asked for all the same"
            await collector.close()
