"""A real Prometheus scraping an exporter that speaks DCGM's names."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from labtui.collectors.gpus import GpuMetrics, PromGpus, cards_of
from labtui.config import Config, GpuConfig, NodeConfig, UrlConfig
from labtui.sources.base import SourceError
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
        "memory_used_mib": "no DCGM on a Jetson", "clock_mhz": "no DCGM on a Jetson"
    }  # fmt: skip
