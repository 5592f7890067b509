"""The GPU stand-in: it follows real processes, moves smoothly, and never says it is a GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labtui.lab import gpu

DCGM = {
    *("SM_CLOCK", "MEM_CLOCK", "GPU_TEMP", "POWER_USAGE", "GPU_UTIL", "MEM_COPY_UTIL"),
    *("ENC_UTIL", "DEC_UTIL", "XID_ERRORS", "FB_FREE", "FB_USED", "FB_RESERVED"),
    "TOTAL_ENERGY_CONSUMPTION",
}
"""dcgm-exporter's default counters, as far as a card without ECC and NVLink has them."""

JOB = gpu.Holder("17", 4711, frozenset({0, 1}))


def later(card: gpu.Card, seconds: int, *busy: gpu.Holder, **asked: float) -> gpu.Card:
    for _ in range(seconds):
        card.advance(list(busy), asked, 1.0)
    return card


def values(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_jobs_are_found_by_what_slurmd_put_into_their_environment() -> None:
    environment = {"PATH": "/bin", "SLURM_JOB_ID": "4242", "CUDA_VISIBLE_DEVICES": "1,3"}
    others = {"PATH": "/bin", "SLURM_JOB_ID": "4243"}
    with (
        subprocess.Popen(["sleep", "30"], env=environment) as job,
        subprocess.Popen(["sleep", "30"], env=others) as no_gpu,
    ):
        try:
            found = [h for h in gpu.holders() if h.job in ("4242", "4243")]
        finally:
            job.kill()
            no_gpu.kill()
    assert found == [gpu.Holder("4242", job.pid, frozenset({1, 3}))]
    assert not [h for h in gpu.holders() if h.job == "4242"]


def test_who_says_so_is_on_the_card_and_its_children_are_not() -> None:
    bare = {"PATH": os.environ["PATH"], "LABTUI_GPU_MIB": "700", "LABTUI_GPU_UTIL": "40"}
    held = {**bare, "SLURM_JOB_ID": "4244", "CUDA_VISIBLE_DEVICES": "2", "LABTUI_GPU_MIB": "0"}
    with (
        subprocess.Popen(["bash", "-c", "sleep 30; :"], env=bare) as parent,
        subprocess.Popen(["sleep", "30"], env=held) as job,
    ):
        try:
            deadline = time.monotonic() + 5
            while not _children(parent.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            children = _children(parent.pid)
            found = {h.pid: h for h in gpu.holders()}
        finally:
            job.kill()
            for pid in children:
                os.kill(pid, 9)
            parent.kill()
    assert found[parent.pid] == gpu.Holder("", parent.pid, frozenset(), 700, 40)
    assert children and not set(children) & set(found), "a child has no memory of its own"
    assert found[job.pid] == gpu.Holder("4244", job.pid, frozenset({2}), 0, 40)

    card = later(gpu.Card(gpu.RTX), 60, found[parent.pid], found[job.pid])
    assert 35 < card.util < 45 and round(card.memory_mib) == 718
    state = gpu.nvml_state(card, "h")
    assert "0.processes=1\n" in state and f"0.process.0.pid={parent.pid}\n" in state


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_job_that_holds_its_slice_without_a_process_is_idle() -> None:
    card = later(gpu.Card(gpu.RTX), 60, gpu.Holder("17", 4711, frozenset({0, 1}), 0.0))
    assert card.util < 1 and round(card.memory_mib) == 18 and card.reasons & gpu.IDLE
    assert "0.processes=0\n" in gpu.nvml_state(card, "h")


def test_faults() -> None:
    odd = later(gpu.Card(gpu.RTX), 5, xid=79, util=105)
    told = values(gpu.exposition(gpu.dcgm(odd, "h")))
    assert (told["DCGM_FI_DEV_XID_ERRORS"], told["DCGM_FI_DEV_GPU_UTIL"]) == (79, 105)
    lost = later(gpu.Card(gpu.RTX), 5, lost=1)
    assert gpu.dcgm(lost, "h") == [] and "0.lost=1\n" in gpu.nvml_state(lost, "h")
    assert gpu.nvml_state(later(gpu.Card(gpu.RTX), 5, mismatch=1), "h").startswith("mismatch=1\n")


def test_names_labels_and_help_are_dcgms_and_say_stand_in() -> None:
    text = gpu.exposition(gpu.dcgm(later(gpu.Card(gpu.RTX), 5, JOB), "desktop-gpu"))
    assert set(values(text)) == {f"DCGM_FI_DEV_{name}" for name in DCGM}
    helps = [line for line in text.splitlines() if line.startswith("# HELP")]
    assert len(helps) == len(DCGM)
    assert all("stand-in" in line for line in helps)
    labels = re.search(r"DCGM_FI_DEV_GPU_UTIL{(.*)}", text)
    assert labels is not None
    assert {pair.partition("=")[0] for pair in labels[1].split(",")} == {
        *("gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname"),
        "DCGM_FI_DRIVER_VERSION",
    }


def test_a_jetson_has_no_dcgm_names() -> None:
    text = gpu.exposition(gpu.jetson(later(gpu.Card(gpu.ORIN), 60, JOB), "jetson-edge"))
    assert "DCGM" not in text
    assert values(text)["jetson_gpu_utilization_percent"] > 50


def test_it_moves_with_the_jobs_and_comes_back() -> None:
    card = later(gpu.Card(gpu.RTX), 30)
    idle = values(gpu.exposition(gpu.dcgm(card, "h")))
    assert idle["DCGM_FI_DEV_GPU_UTIL"] == 0
    one = later(card, 60, JOB)
    half = values(gpu.exposition(gpu.dcgm(one, "h")))
    full = values(
        gpu.exposition(gpu.dcgm(later(one, 60, JOB, gpu.Holder("2", 5, frozenset({2, 3}))), "h"))
    )
    for name in ("GPU_UTIL", "FB_USED", "POWER_USAGE", "GPU_TEMP"):
        key = f"DCGM_FI_DEV_{name}"
        assert idle[key] < half[key] < full[key], name
    for told in (idle, half, full):
        parts = ("FB_USED", "FB_FREE", "FB_RESERVED")
        assert sum(told[f"DCGM_FI_DEV_{p}"] for p in parts) == gpu.RTX.memory_mib
    assert full["DCGM_FI_DEV_GPU_TEMP"] < 85, "four busy slices are no alert"
    after = values(gpu.exposition(gpu.dcgm(later(one, 90), "h")))
    assert after["DCGM_FI_DEV_GPU_UTIL"] == 0
    assert after["DCGM_FI_DEV_POWER_USAGE"] == pytest.approx(gpu.RTX.idle_w, abs=1)


def test_nothing_jumps() -> None:
    card = gpu.Card(gpu.RTX)
    before = card.temperature_c
    card.advance([gpu.Holder("1", 1, frozenset(range(4)))], {}, 1.0)
    assert 0 < card.util < 60
    assert abs(card.temperature_c - before) < 8


def test_a_hot_room_makes_the_alert_and_throttles() -> None:
    card = later(gpu.Card(gpu.RTX), 120, gpu.Holder("1", 1, frozenset(range(4))), ambient_c=60)
    assert card.temperature_c > 85
    assert card.reasons & gpu.THERMAL


def test_a_control_file_full_of_rubbish_is_no_control(tmp_path: Path) -> None:
    path = tmp_path / "control"
    assert gpu.control(path) == {}
    path.write_bytes(b"\xff\xfe")
    assert gpu.control(path) == {}
    path.write_text("power_limit_w=nan\nambient_c=x\n=\nclock_lock_mhz=900\n")
    assert gpu.control(path) == {"clock_lock_mhz": 900}


def test_the_program_needs_nothing_but_python() -> None:
    code = (
        "import sys; sys.modules['labtui'] = None; import runpy; "
        f"m = runpy.run_path({gpu.__file__!r}, run_name='gpu'); "
        "print(m['exposition'](m['dcgm'](m['Card'](m['RTX']), 'h')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert "DCGM_FI_DEV_GPU_TEMP" in done.stdout
