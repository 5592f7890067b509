"""The lab's libnvidia-ml.so.1, loaded by the real nvidia-ml-py in a process of its own."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.lab import gpu, gpu_service
from labtui.lab.layout import Lab
from labtui.model import GpuProcess, MigInstance
from labtui.sources.gpufigures import inside

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to build it with")

HOST = "desktop-gpu"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABTUI_CACHE", str(tmp_path_factory.mktemp("cache")))
        return gpu_service.build(Lab("nvml-test"), lambda line: None)


def ask(library: Path, state: Path, program: str) -> object:
    """What `program` leaves in `result`, or the NVML error it ran into."""
    code = (
        "import json, pynvml as n\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in program.splitlines())
        + "except n.NVMLError as e: result = ['error', e.value]\n"
        "print(json.dumps(result))"
    )
    env = os.environ | {"LD_LIBRARY_PATH": str(library.parent), "LABTUI_NVML_STATE": str(state)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


EVERYTHING = """\
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
m = n.nvmlDeviceGetMemoryInfo(h, version=n.nvmlMemory_v2)
u = n.nvmlDeviceGetUtilizationRates(h)
result = {
 "driver": n.nvmlSystemGetDriverVersion(), "count": n.nvmlDeviceGetCount(),
 "name": n.nvmlDeviceGetName(h), "uuid": n.nvmlDeviceGetUUID(h),
 "memory": [m.total, m.reserved, m.free, m.used], "v1": n.nvmlDeviceGetMemoryInfo(h).used,
 "util": [u.gpu, u.memory], "celsius": n.nvmlDeviceGetTemperature(h, 0),
 "celsius_v": n.nvmlDeviceGetTemperatureV(h, 0),
 "mw": n.nvmlDeviceGetPowerUsage(h), "limit": n.nvmlDeviceGetEnforcedPowerLimit(h),
 "range": n.nvmlDeviceGetPowerManagementLimitConstraints(h),
 "sm": n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM),
 "memory_mhz": n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM),
 "reasons": n.nvmlDeviceGetCurrentClocksEventReasons(h),
 "persistence": n.nvmlDeviceGetPersistenceMode(h),
 "bus": n.nvmlDeviceGetPciInfo(h).busId, "bus_number": n.nvmlDeviceGetPciInfo(h).bus,
 "processes": [[p.pid, p.usedGpuMemory] for p in n.nvmlDeviceGetComputeRunningProcesses(h)],
 "graphics": n.nvmlDeviceGetGraphicsRunningProcesses(h),
 "same": n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(n.nvmlDeviceGetUUID(h))),
}
n.nvmlShutdown()"""


def settled(*busy: gpu.Holder, **asked: float) -> gpu.Card:
    card = gpu.Card(gpu.RTX)
    for _ in range(120):
        card.advance(list(busy), asked, 1.0)
    return card


def test_it_tells_what_the_state_says_and_follows_it(library: Path, tmp_path: Path) -> None:
    state = tmp_path / "nvml.state"
    busy = gpu.Holder("17", 4711, frozenset({0, 1}))
    for card in (settled(), settled(busy)):
        state.write_text(gpu.nvml_state(card, HOST))
        told = ask(library, state, EVERYTHING)
        assert isinstance(told, dict)
        used = round(card.memory_mib) * 2**20
        total = card.model.memory_mib * 2**20
        reserved = gpu.RESERVED_MIB * 2**20
        assert told == {
            "driver": gpu.DRIVER,
            "count": 1,
            "name": card.model.name,
            "uuid": gpu.uuid(HOST),
            "memory": [total, reserved, total - reserved - used, used],
            "v1": used + reserved,
            "util": [round(card.util), round(card.util * 0.55)],
            "celsius": round(card.temperature_c),
            "celsius_v": round(card.temperature_c),
            "mw": round(card.power_w * 1000),
            "limit": 450_000,
            "range": [143_333, 600_000],
            "sm": round(card.clock_mhz),
            "memory_mhz": 10501 if card.busy else 405,
            "reasons": 0 if card.busy else 1,
            "persistence": 1,
            "bus": "00000000:01:00.0",
            "bus_number": 1,
            "processes": [[4711, round(busy.memory_mib) * 2**20]] if card.busy else [],
            "graphics": [],
            "same": 0,
        }


def test_what_is_not_there_is_an_nvml_error(library: Path, tmp_path: Path) -> None:
    state = tmp_path / "nvml.state"
    assert ask(library, state, "n.nvmlInit()") == ["error", 9], "driver not loaded"
    state.write_text(gpu.nvml_state(settled(), HOST))
    first = "n.nvmlInit()\nh = n.nvmlDeviceGetHandleByIndex(0)\n"
    assert ask(library, state, "n.nvmlDeviceGetCount()") == ["error", 1], "not initialised"
    assert ask(library, state, "n.nvmlInit()\nn.nvmlDeviceGetHandleByIndex(7)") == ["error", 2]
    assert ask(library, state, first + "n.nvmlDeviceGetFanSpeed(h)") == ["error", 13]
    assert ask(library, state, first + "n.nvmlDeviceGetClockInfo(h, 3)") == ["error", 3]


def test_a_malformed_state_is_an_error_never_a_crash(library: Path, tmp_path: Path) -> None:
    state = tmp_path / "nvml.state"
    good = gpu.nvml_state(settled(gpu.Holder("1", 9, frozenset({0}))), HOST)
    chance = random.Random(3)
    for broken in (
        "",
        "count",
        "count=",
        "count=-1",
        "count=many",
        "count=99999999999999999999999",
    ):
        state.write_text(broken)
        assert ask(library, state, "n.nvmlInit()") == ["error", 999], broken
    for _ in range(25):
        data = bytearray(good.encode())
        for _ in range(12):
            data[chance.randrange(len(data))] = chance.randrange(256)
        state.write_bytes(bytes(data[: chance.randrange(len(data))]))
        guarded = "import sys\nsys.stdout.reconfigure(errors='replace')\n"
        lenient = EVERYTHING.replace("except", "").splitlines()
        program = guarded + "\n".join(lenient)
        caught = f"try:\n{_indented(program)}\nexcept (UnicodeDecodeError, n.NVMLError): result = 1"
        ask(library, state, caught)


def _indented(program: str) -> str:
    return "\n".join(f"    {line}" for line in program.splitlines())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set a limit")
def test_what_is_set_reaches_the_card(library: Path, tmp_path: Path) -> None:
    state, control = tmp_path / "nvml.state", tmp_path / "nvml.control"
    busy = gpu.Holder("17", 4711, frozenset({0, 1, 2, 3}))
    card = settled(busy)
    state.write_text(gpu.nvml_state(card, HOST))
    first = "n.nvmlInit()\nh = n.nvmlDeviceGetHandleByIndex(0)\nresult = 0\n"
    assert ask(library, state, first + "n.nvmlDeviceSetPowerManagementLimit(h, 9000)") == [
        "error",
        2,
    ]
    ask(library, state, first + "n.nvmlDeviceSetPowerManagementLimit(h, 200000)")
    ask(library, state, first + "n.nvmlDeviceSetPersistenceMode(h, 0)")
    ask(library, state, first + "n.nvmlDeviceSetGpuLockedClocks(h, 210, 1500)")
    assert gpu.control(control) == {
        "power_limit_w": 200,
        "persistence": 0,
        "clock_lock_mhz": 1500,
        "clock_lock_min_mhz": 210,
    }
    capped = settled(busy, **gpu.control(control))
    assert capped.power_w <= 200 < card.power_w
    assert capped.clock_mhz <= 1500 < card.clock_mhz
    assert not capped.persistence
    ask(library, state, first + "n.nvmlDeviceResetGpuLockedClocks(h)")
    assert not [key for key in gpu.control(control) if key.startswith("clock_lock")]
    assert settled(busy, **gpu.control(control)).reasons & gpu.POWER_CAP


THROUGH_US = """\
import msgspec, os, sys
from labtui.sources.base import SourceError
from labtui.sources.nvml import Nvml
source = Nvml("here")
told = []
for text in {states!r}:
    path = os.environ["LABTUI_NVML_STATE"]
    if text is None: os.unlink(path)
    else: open(path, "w").write(text)
    try: told.append(msgspec.to_builtins(source.cards()))
    except SourceError as error: told.append([error.fault.kind, error.fault.message])
source.close()
source.close()
result = told"""


def through_us(library: Path, tmp_path: Path, *states: str | None) -> list[list[Any]]:
    """What our source says while the library's state changes under it."""
    told = ask(library, tmp_path / "nvml.state", THROUGH_US.format(states=states))
    assert isinstance(told, list) and len(told) == len(states)
    return told


def test_our_source_reads_limits_and_processes(library: Path, tmp_path: Path) -> None:
    busy = gpu.Holder("", os.getpid(), frozenset(), 700.0, 50.0)
    state = gpu.nvml_state(settled(busy), HOST)
    ((card,), (again,)) = through_us(library, tmp_path, state, state)
    assert (card["power_min_w"], card["power_max_w"], card["power_default_w"]) == (
        143.333,
        600,
        450,
    )
    assert (card["power_limit_w"], card["persistence"], card["clock_max_mhz"]) == (450, True, 2520)
    assert (card["memory_used_mib"], card["driver"]) == (718, gpu.DRIVER)
    assert card["ecc_uncorrected"] is None and "not supported" in card["na"]["ecc_uncorrected"]
    (process,) = card["processes"]
    assert (process["pid"], process["memory_mib"]) == (os.getpid(), 700)
    assert process["user"] and process["since"] and process["job_id"] is None
    assert card["holders"] == [] and again == card


def test_our_source_survives_what_happens_to_a_driver(library: Path, tmp_path: Path) -> None:
    good = gpu.nvml_state(settled(), HOST)
    told = through_us(
        library, tmp_path, good, "mismatch=1\n" + good, good, None, good, good + "0.lost=1\n", good
    )
    for i in (0, 2, 4, 6):
        assert told[i][0]["product"] == gpu.RTX.name, i
    assert told[1][0] == "protocol" and "differ" in str(told[1][1])
    assert told[3][0] == "not-found" and "not loaded" in str(told[3][1])
    (lost,) = told[5]
    assert [f["kind"] for f in lost["findings"]] == ["lost"]
    assert (lost["uuid"], lost["util_percent"]) == (gpu.uuid(HOST), None)
    assert "off the bus" in lost["na"]["util_percent"]


def test_one_lost_card_costs_its_own_row_only(library: Path, tmp_path: Path) -> None:
    one = gpu.nvml_state(settled(), HOST)
    other = "".join(
        line.replace("0.", "1.", 1) for line in one.splitlines(keepends=True) if line[:2] == "0."
    )
    two = one.replace("count=1", "count=2") + other
    told = through_us(library, tmp_path, two, two + "1.lost=1\n")
    assert [card["index"] for card in told[0]] == [card["index"] for card in told[1]] == [0, 1]
    assert told[1][0]["util_percent"] == 0 and told[1][1]["util_percent"] is None
    assert told[1][1]["product"] == gpu.RTX.name


def test_our_source_reads_mig(library: Path, tmp_path: Path) -> None:
    lines = gpu.nvml_state(settled(gpu.Holder("17", 4711, frozenset({0}))), HOST).splitlines()
    plain = [line for line in lines if not line.startswith("0.util_gpu")]
    for i, (instance, used) in enumerate(((7, 100), (9, 0))):
        plain += [
            f"0.mig.{i}.gi={instance}", f"0.mig.{i}.uuid=MIG-{i}",
            f"0.mig.{i}.name=NVIDIA A100-SXM4-40GB MIG 1g.5gb",
            f"0.mig.{i}.memory_total_mib=4864", f"0.mig.{i}.memory_reserved_mib=0",
            f"0.mig.{i}.memory_used_mib={used}",
        ]  # fmt: skip
    plain += ["0.mig=1", "0.mig_max=7", "0.ecc=3", "0.process.0.gi=9"]
    ((card,),) = through_us(library, tmp_path, "\n".join(plain) + "\n")
    assert (card["sharing"], card["ecc_uncorrected"]) == ("mig", 3)
    assert card["util_percent"] is None and "MIG" in card["na"]["util_percent"]
    assert [(m["id"], m["profile"], m["uuid"], m["memory_used_mib"]) for m in card["mig"]] == [
        (7, "1g.5gb", "MIG-0", 100), (9, "1g.5gb", "MIG-1", 0),
    ]  # fmt: skip
    (process,) = card["processes"]
    assert (process["pid"], process["mig_id"]) == (4711, 9)


def test_what_cannot_be_is_refused(library: Path, tmp_path: Path) -> None:
    state = gpu.nvml_state(settled(util=105), HOST).replace("0.power_mw=", "0.power_mw=999")
    ((card,),) = through_us(library, tmp_path, state)
    assert card["util_percent"] is None and "105: cannot be" in card["na"]["util_percent"]
    assert card["power_w"] is None and "cannot be" in card["na"]["power_w"]


def test_a_process_has_no_more_than_its_card(library: Path, tmp_path: Path) -> None:
    lines = gpu.nvml_state(settled(gpu.Holder("17", 4711, frozenset({0}))), HOST).splitlines()
    plain = [line for line in lines if not line.startswith("0.process.0.memory_mib")]
    plain += [f"0.process.0.memory_mib={1 << 43}"]
    ((card,),) = through_us(library, tmp_path, "\n".join(plain) + "\n")
    assert card["processes"][0]["memory_mib"] is None
    assert card["na"]["process_memory"].endswith("MiB of pid 4711: cannot be")


@given(st.floats(), st.floats(), st.floats(), st.floats(), st.sampled_from([None, 24564.0]))
def test_what_is_on_a_card_is_no_more_than_it(
    process: float, used: float, total: float, util: float, card: float | None
) -> None:
    part = MigInstance(id=1, memory_used_mib=used, memory_total_mib=total, util_percent=util)
    running = GpuProcess(pid=7, memory_mib=process)
    na: dict[str, str] = {}
    ((told,), (instance,)) = inside([running], [part], card, na, "NVML")
    assert told.memory_mib is None or 0 <= told.memory_mib <= (card or 1 << 24)
    assert (told.memory_mib is None) == ("process_memory" in na)
    left = instance.memory_used_mib, instance.memory_total_mib, instance.util_percent
    assert (None in left) == ("instance" in na)
    assert left[0] is None or 0 <= left[0] <= (left[1] or 1 << 24)
    assert left[2] is None or 0 <= left[2] <= 100
