"""A Jetson by its kernel: the script on a made tree, lines of tegrastats as published, rubbish."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.hosts.local import LocalHost
from labtui.lab import gpu
from labtui.sources.base import SourceError
from labtui.sources.gpufigures import LIMITS
from labtui.sources.jetson import Jetson, parse, tegrastats

LINES = (Path(__file__).parent / "samples/gpu/tegrastats.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("line", "load", "mhz", "used", "total", "celsius", "watts"),
    [
        (LINES[0], 0, 1300, 2135, 7855, 29, 3.104),  # TX2, JetPack 4
        (LINES[1], 0, None, 1766, 3964, 23.5, 2.545),  # Nano, not as root
        (LINES[2], 0, 510, 2690, 6854, 37.5, 5.079),  # Xavier NX, JetPack 5
        (LINES[3], 0, None, 2272, 7620, 55.468, 4.673),  # Orin Nano, JetPack 6
        (LINES[4], 0, None, 13123, 62841, None, None),  # AGX Orin: no rail of the whole
        (LINES[5], None, 1574, 3429, 125749, 51.218, 28.906),  # Thor, JetPack 7: no load
    ],
)
def test_a_line_of_tegrastats(
    line: str, load: float | None, mhz: float | None, used: float, total: float,
    celsius: float | None, watts: float | None,
) -> None:  # fmt: skip
    found = tegrastats(line)
    assert [found.get(f) for f in (
        "util_percent", "clock_mhz", "memory_used_mib", "memory_total_mib", "temperature_c",
        "power_w",
    )] == [load, mhz, used, total, celsius, watts]  # fmt: skip


def busy() -> gpu.Card:
    card = gpu.Card(gpu.ORIN)
    for _ in range(60):
        card.advance([gpu.Holder("17", 4711, frozenset({0}))], {}, 1.0)
    return card


async def test_the_script_on_a_tree(tmp_path: Path) -> None:
    card, root = busy(), tmp_path / "sys"
    gpu.sysfs(card, root)
    (found,) = await Jetson("jetson-edge", LocalHost("j"), str(root)).cards(10.0)
    assert (found.node, found.index, found.product) == (
        "jetson-edge", 0, "Orin (nvgpu) [labtui stand-in]"
    )  # fmt: skip
    assert found.util_percent == round(card.util)
    assert (found.clock_mhz, found.clock_max_mhz) == (round(card.clock_mhz), 918)
    assert found.temperature_c == pytest.approx(card.temperature_c, abs=0.01)
    assert found.power_w == pytest.approx(card.power_w, abs=0.01)
    assert found.memory_used_mib == gpu.shared_mib(card)
    assert found.memory_total_mib == gpu.ORIN.memory_mib
    assert found.sources == {"nvpmodel": "power mode 0"}
    assert "nvpmodel" in found.na["power_limit_w"] and "root only" in found.na["processes"]
    assert found.persistence is None and found.xid is None


async def test_the_node_comes_late_after_a_boot(tmp_path: Path) -> None:
    source = Jetson("jetson-edge", LocalHost("j"), str(tmp_path / "sys"))
    with pytest.raises(SourceError, match="comes late") as raised:
        await source.cards(10.0)
    assert raised.value.fault.kind == "not-found"
    gpu.sysfs(busy(), tmp_path / "sys")
    (card,) = await source.cards(10.0)
    assert card.util_percent is not None


async def test_tegrastats_where_devfreq_tells_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", LINES[3], monkeypatch)
    (card,) = await Jetson("j", LocalHost("j"), str(tmp_path / "sys")).cards(10.0)
    assert (card.util_percent, card.temperature_c, card.power_w) == (0, 55.468, 4.673)
    assert card.memory_total_mib == 7620
    assert "root only" in card.na["clock_mhz"]
    assert card.clock_max_mhz is None and card.na["clock_max_mhz"]


def stand_in(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tegrastats that goes on for ever, as the real one does."""
    folder.mkdir()
    program = folder / "tegrastats"
    program.write_text(f"#!/bin/sh\nwhile echo '{line}'; do sleep 0.1; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def told(**parts: str) -> str:
    body = "".join(f"@@ {name}\n{text}\n" for name, text in parts.items())
    return f"@@ begin\nmodel Orin \x1b[31mNano \n{body}@@ end\n"


def test_what_cannot_be() -> None:
    card = parse(
        told(gpu="gpu 17000000.gpu\ncur_freq 99000000000\ndevice/load 1200", zones="gpu-thermal x",
             rails="VDD_IN 5000 9999999", memory="MemTotal: 100 kB"),
        "j",
    )  # fmt: skip
    assert card.product == "Orin Nano"
    for field in ("util_percent", "clock_mhz", "power_w"):
        assert getattr(card, field) is None and "cannot be" in card.na[field]
    assert card.temperature_c is None and card.memory_used_mib is None


def test_a_gpu_that_is_switched_off_is_not_cold() -> None:
    card = parse(told(gpu="gpu x\ndevice/load 0", zones="GPU-therm -256000"), "j")
    assert card.temperature_c is None and card.util_percent == 0


@given(st.text(max_size=300), st.text(max_size=100), st.text(max_size=200))
def test_any_text_is_read(device: str, zones: str, line: str) -> None:
    try:
        card = parse(told(gpu=device, zones=zones, rails=device, tegrastats=line), "j")
    except SourceError:
        return
    for field, (low, high) in LIMITS.items():
        value = getattr(card, field)
        assert value is None or isinstance(value, str) or low <= value <= high
    tegrastats(line)


@given(st.from_regex(
    r"RAM \d{1,9}/\d{1,9}MB GR3D_FREQ \d{1,5}%@\[\d{1,7}\] gpu@-?\d{1,5}C VDD_IN \d{1,8}mW/1mW",
    fullmatch=True,
))  # fmt: skip
def test_no_impossible_figure_of_tegrastats_comes_through(line: str) -> None:
    card = parse(told(gpu="gpu x", tegrastats=line), "j")
    for field, (low, high) in LIMITS.items():
        value = getattr(card, field)
        assert value is None or low <= value <= high
