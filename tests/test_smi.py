"""Cards by nvidia-smi: what drivers print, the real script on the lab's stand-in, and rubbish."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.collectors.gpus import NvmlGpus, collectors
from labtui.config import Config, GpuConfig, NodeConfig
from labtui.hosts.base import Completed, HostError
from labtui.hosts.local import LocalHost
from labtui.lab import gpu, gpu_service, gpu_smi
from labtui.lab.layout import Lab
from labtui.model import Gpu
from labtui.sources.base import SourceError
from labtui.sources.gpufigures import LIMITS
from labtui.sources.smi import Smi
from labtui.sources.smiparts import with_processes
from labtui.sources.smitext import FIELDS, HIDDEN, Answer, cards, fault

SAMPLES = Path(__file__).parent / "samples/gpu"
H100 = "GPU-8c35f4c9-4dff-c9a2-866f-afb5d82e1dd7"


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


def around(text: str, code: int = 0, **parts: str) -> str:
    parts = {"log": "read"} | parts
    more = "".join(f"@@ {name}\n{body}\n" for name, body in parts.items())
    return f"@@ begin\n1795502700\n@@ cards\n{text}\n@@ code\n{code}\n{more}@@ end\n"


def read(output: str, known: dict[str, Gpu] | None = None) -> list[Gpu]:
    answer = Answer.of(output)
    assert answer is not None
    found = cards(answer, "n", FIELDS, known or {})
    return [card.gpu for card in with_processes(found, answer, "n")]


def test_two_h100() -> None:
    first, second = read(sample("h100-550-made.txt"))
    assert (first.index, first.uuid, first.product) == (0, H100, "NVIDIA H100 80GB HBM3")
    assert (first.util_percent, first.memory_used_mib, first.memory_total_mib) == (97, 40000, 81559)
    assert (first.temperature_c, first.power_w, first.power_limit_w) == (71, 612.4, 700)
    assert (first.power_min_w, first.power_max_w, first.power_default_w) == (200, 700, 700)
    assert (first.persistence, first.clock_mhz, first.clock_max_mhz) == (True, 1980, 1980)
    assert (first.throttle, first.ecc_uncorrected, first.driver) == ("power cap", 0, "550.54.15")
    assert (first.xid, first.xid_at) == (31, 1795502100.5)
    (process,) = first.processes
    assert (process.pid, process.memory_mib, process.name) == (4242, 39990, "python3")
    assert (process.user, process.job_id, process.via) == ("ana", "1392969", "cgroup")
    assert process.since == 1795501000.0
    assert (second.throttle, second.ecc_uncorrected, second.xid) == (None, 2, 79)
    assert first.holders == () and first.origin == {} and list(first.na) == ["clock_lock_mhz"]


ROW = (
    "0, GPU-a, NVIDIA A100, 00000000:3B:00.0, 550, 0, 10, 40960, 40, 60, 400, 400, 100, 400, "
    "Enabled, 1000, 1410, 0x0000000000000000, 0, Disabled"
)
BOOT = 1795000000


def xid(code: int, at: float = BOOT + 500.0) -> str:
    return f"{at} host kernel: NVRM: Xid (PCI:0000:3b:00): {code}, pid=1, gone"


def told(now: int, xids: str = "", row: str = ROW, boot: int = BOOT, **parts: str) -> str:
    owners = f"btime {boot}\nusers"
    answer = around(row, 0, owners=owners, xids=xids, **parts)
    return answer.replace("@@ begin\n1795502700", f"@@ begin\n{now}")


async def polled(*answers: str) -> list[tuple[int | None, float | None]]:
    """The XID of the card at each poll."""
    source = Smi("n", Told(*answers))  # type: ignore[arg-type]
    return [(card.xid, card.xid_at) for _ in answers for card in await source.cards(5.0)]


async def test_an_xid_goes_with_the_boot_that_it_asks_for() -> None:
    seen, kept, rebooted = await polled(
        told(BOOT + 600, xid(79)), told(BOOT + 90_000_000), told(BOOT + 900, boot=BOOT + 800)
    )
    assert seen == kept == (79, BOOT + 500.0)
    assert rebooted == (None, None)


async def test_an_xid_goes_with_the_card_that_had_it() -> None:
    other = ROW.replace("GPU-a", "GPU-b")
    assert (await polled(told(BOOT + 600, xid(79)), told(BOOT + 700, row=other)))[1] == (None, None)


@pytest.mark.parametrize("code", [13, 31, 43, 45])
async def test_an_xid_of_a_program_is_told_for_a_day(code: int) -> None:
    day = BOOT + 500 + 86400
    seen = await polled(told(BOOT + 600, xid(code)), told(day - 1), told(day + 1))
    assert seen == [(code, BOOT + 500.0)] * 2 + [(None, None)]


async def test_an_xid_of_a_program_does_not_hide_one_of_the_card() -> None:
    seen = "\n".join((xid(79), xid(45, BOOT + 501.0)))
    assert (await polled(told(BOOT + 600, seen)))[0][0] == 79
    assert (await polled(told(BOOT + 600, xid(79)), told(BOOT + 700, xid(45))))[1][0] == 79


def test_no_xid_and_a_log_that_nobody_may_read_are_not_the_same() -> None:
    (none,) = read(told(BOOT + 600))
    assert none.xid is None and "xid" not in none.na
    (hidden,) = read(told(BOOT + 600, log=""))
    assert hidden.xid is None
    assert hidden.na["xid"] == "the kernel's log may not be read by this account"


def test_the_device_number_that_slurm_counts_by() -> None:
    minors = (
        "/proc/driver/nvidia/gpus/0000:19:00.0/information:Device Minor: \t 1\n"
        "/proc/driver/nvidia/gpus/0000:3b:00.0/information:Device Minor: \t 0"
    )
    rows = sample("h100-550-made.txt").split("@@ cards\n")[1].split("@@ code")[0].strip()
    assert [(card.index, card.minor) for card in read(around(rows, minors=minors))] == [
        (0, 1), (1, 0),
    ]  # fmt: skip
    assert [card.minor for card in read(around(rows))] == [None, None]


def test_a_geforce_that_tells_little() -> None:
    (card,) = read(sample("geforce-470-made.txt"))
    assert (card.memory_used_mib, card.temperature_c, card.persistence) == (1211, 54, False)
    for field in ("util_percent", "power_w", "power_limit_w", "clock_mhz", "ecc_uncorrected"):
        assert getattr(card, field) is None
        assert card.na[field] == "this card does not tell"
    assert card.na["processes"] == "not supported by this card"


def test_wsl_hides_processes() -> None:
    (card,) = read(sample("wsl-576-made.txt"))
    assert card.util_percent == 12
    assert [p.memory_mib for p in card.processes] == [None]
    assert "WSL" in card.na["process_memory"]


def test_mig() -> None:
    output = around(
        sample("mig-cards-made.txt"),
        processes="GPU-48aeb943-9458-4282-da24-e5f49e0db44b, 31337, 1234\n"
        "MIG-de819d17-9382-56a2-b9ca-aec36c88014f, 41, [N/A]",
        list=sample("mig-list.txt"), table=sample("mig-table-535.txt"),
    )  # fmt: skip
    (card,) = read(output)
    assert (card.sharing, card.memory_used_mib) == ("mig", 15)
    assert card.util_percent is None and "MIG" in card.na["util_percent"]
    assert [(m.id, m.profile, m.memory_used_mib, m.memory_total_mib) for m in card.mig] == [
        (7, "1g.5gb", 5, 4864), (8, "1g.5gb", 5, 4864), (9, "1g.5gb", 5, 4864),
    ]  # fmt: skip
    assert card.mig[0].uuid == "MIG-fb42055e-9e53-5764-9278-438605a3014c"
    assert {(p.pid, p.mig_id) for p in card.processes} == {(31337, 8), (41, 9)}


def test_what_cannot_be_is_refused_and_says_so() -> None:
    (card,) = read(sample("impossible-made.txt"))
    for field, said in (
        ("util_percent", "105"), ("memory_used_mib", "99999 of 23028"), ("temperature_c", "250"),
        ("power_w", "5000"), ("clock_mhz", "65535"), ("ecc_uncorrected", "1.84467e+19"),
    ):  # fmt: skip
        assert getattr(card, field) is None, field
        assert said in card.na[field] and "cannot be" in card.na[field]
    assert card.memory_total_mib == 23028 and card.power_limit_w == 150


def test_a_process_has_no_more_than_its_card() -> None:
    uuid = "GPU-48aeb943-9458-4282-da24-e5f49e0db44b"
    output = around(
        sample("mig-cards-made.txt"), processes=f"{uuid}, 7, 900000\n{uuid}, 8, 1234",
        list=sample("mig-list.txt"), table=sample("mig-table-535.txt").replace(" 5MiB", " 5999MiB"),
    )  # fmt: skip
    (card,) = read(output)
    assert {p.pid: p.memory_mib for p in card.processes} == {7: None, 8: 1234}
    assert card.na["process_memory"] == "nvidia-smi says 900000 MiB of pid 7: cannot be"
    assert [m.memory_used_mib for m in card.mig] == [None] * 3
    assert "5999 of 4864 MiB: cannot be" in card.na["instance"]


def test_a_lost_card_keeps_its_row() -> None:
    first, second = read(sample("lost-555-made.txt"))
    assert first.util_percent == 97 and not first.findings
    assert (second.index, second.product) == (1, "NVIDIA H100 80GB HBM3")
    assert second.util_percent is None and "off the bus" in second.na["util_percent"]
    assert [f.kind for f in second.findings] == ["lost"]


@pytest.mark.parametrize(
    ("name", "place"),
    [("silent-610.txt", "0000:34:00"), ("silent-515.txt", "0000:0b:00"),
     ("silent-440.txt", "0000:02:00")],
)  # fmt: skip
def test_one_that_answers_no_more_keeps_its_row(name: str, place: str) -> None:
    rows = sample("h100-550-made.txt").split("@@ cards\n")[1].split("@@ code")[0].splitlines()
    known = {place: Gpu(node="n", index=1, uuid="GPU-b", product="A10", util_percent=5)}
    first, lost = read(around(f"{sample(name)}{rows[0]}\n"), known)
    assert first.index == 0 and first.util_percent == 97
    assert (lost.index, lost.uuid, lost.product, lost.util_percent) == (1, "GPU-b", "A10", None)
    assert "does not answer" in lost.na["memory_used_mib"]
    assert [f.kind for f in lost.findings] == ["lost"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("mismatch-580.txt", "protocol", "driver and library differ"),
        ("no-driver.txt", "not-found", "driver is not loaded"),
        ("no-devices.txt", "not-found", "no card"),
        ("container.txt", "protocol", "Failed to initialize NVML: Unknown Error"),
        ("silent-440.txt", "unreachable", "off the bus"),
        ("silent-515.txt", "unreachable", "does not answer"),
    ],
)
def test_no_card_at_all(name: str, kind: str, words: str) -> None:
    output = around(sample(name))
    assert read(output) == []
    answer = Answer.of(output)
    assert answer is not None
    error = fault(answer, "nvidia-smi on n")
    assert error.fault.kind == kind and words in error.fault.message


class Told:
    """Stands in for a machine: gives the next of its answers, remembers what was asked."""

    name = "n"

    def __init__(self, *answers: str | HostError) -> None:
        self.answers = list(answers)
        self.asked: list[Sequence[str]] = []

    async def run(self, argv: Sequence[str], *, timeout: float, **_: Any) -> Completed:
        self.asked.append(argv)
        answer = self.answers.pop(0)
        if isinstance(answer, HostError):
            raise answer
        return Completed(tuple(argv), 0, answer, "", 0.1)


async def test_an_older_driver_is_asked_for_what_it_knows() -> None:
    host = Told(
        around(sample("unknown-field.txt")),
        around('Field "ecc.errors.uncorrected.volatile.total" is not a valid field to query.'),
        around("0, GPU-1, T4, 00000000:01:00.0, 450.1, 1, 2, 3, 4, 5, 6, 7, 8, 9, Enabled, 10, 11, "
               "0x4, Disabled"),
        around("0, GPU-1, T4, 00000000:01:00.0, 450.1, 1, 2, 3, 4, 5, 6, 7, 8, 9, Enabled, 10, 11, "
               "0x4, Disabled"),
    )  # fmt: skip
    source = Smi("n", host)  # type: ignore[arg-type]
    (card,) = await source.cards(5.0)
    assert card.throttle == "power cap"
    assert card.na["ecc_uncorrected"] == "this driver does not know the question"
    await source.cards(5.0)
    assert len(host.asked) == 4, "what the driver knows is remembered"
    assert "clocks_throttle_reasons.active" in host.asked[-1][4]
    assert host.asked[0][6] == "-1d" and host.asked[-1][6] == "@1795502700"


async def test_after_a_time_out_it_is_asked_whether_the_last_one_still_hangs() -> None:
    host = Told(
        HostError("timeout", "no answer"),
        "@@ begin\n1\n@@ hung\n@@ end\n",
        around("", code=137),
        sample("h100-550-made.txt"),
        sample("h100-550-made.txt"),
    )
    source = Smi("n", host)  # type: ignore[arg-type]
    with pytest.raises(HostError):
        await source.cards(5.0)
    for words in ("still waits", "may hang"):
        with pytest.raises(SourceError, match=words) as raised:
            await source.cards(5.0)
        assert raised.value.fault.kind == "timeout"
    assert len(await source.cards(5.0)) == len(await source.cards(5.0)) == 2
    assert [argv[5] for argv in host.asked] == ["0", "1", "1", "1", "0"]


async def test_what_was_seen_of_a_card_is_kept_when_it_is_lost() -> None:
    rows = sample("h100-550-made.txt").replace("1795502100.5", "x")
    host = Told(
        rows,
        around("Unable to determine the device handle for GPU1: 0000:3B:00.0: Unknown Error"),
    )
    source = Smi("n", host)  # type: ignore[arg-type]
    await source.cards(5.0)
    (lost,) = await source.cards(5.0)
    assert lost.uuid == "GPU-bc5610b9-79c8-fedd-8899-07539c7f868a"
    assert (lost.xid, lost.xid_at) == (79, 1795502000.123456)


async def test_something_else_answers() -> None:
    host = Told("This account is currently not available.\n")
    with pytest.raises(SourceError, match="not available"):
        await Smi("n", host).cards(5.0)  # type: ignore[arg-type]


def test_who_is_asked_and_how_often() -> None:
    config = Config(
        nodes={"a": NodeConfig(transport="local"), "b": NodeConfig(transport="local")},
        gpu=GpuConfig(smi=("a",), jetson=("b", "gone"), nvml=("a",), interval_s=2.5),
    )
    hosts = {name: LocalHost(name) for name in config.nodes}
    found = {c.name: c for c in collectors(config, hosts)}
    assert set(found) == {"nvml.a", "smi.a", "jetson.b"}
    assert {c.interval for c in found.values()} == {2.5}
    assert NvmlGpus("a", 0.1).interval == 2.0, "never faster"


VALUES = st.sampled_from(
    ["0", "1", "105", "-3", "1e400", "nan", "inf", "[N/A]", "[Not Supported]", "ERR!", "Enabled",
     "0x4", "0xzz", "[GPU is lost]", "", "99999999999999999999", "\x1b[31m", "Disabled"],
)  # fmt: skip


@given(st.lists(st.lists(VALUES, min_size=len(FIELDS), max_size=len(FIELDS)), max_size=4))
def test_no_value_that_cannot_be_comes_through(rows: list[list[str]]) -> None:
    text = "\n".join(", ".join([str(i), *row[1:]]) for i, row in enumerate(rows))
    for card in read(around(text)):
        for field, (low, high) in LIMITS.items():
            value = getattr(card, field)
            if isinstance(value, (int, float)):
                assert low <= value <= high, (field, value)
            elif field not in ("throttle", "xid", "clock_lock_mhz"):
                assert card.na[field]
        if card.memory_used_mib is not None and card.memory_total_mib is not None:
            assert card.memory_used_mib <= card.memory_total_mib


@given(st.text(max_size=300), st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read(text: str, apps: str, table: str, xids: str) -> None:
    answer = Answer.of(
        around(text, processes=apps, list=table, table=table, owners=apps, xids=xids)
    )
    if answer is not None:
        with_processes(cards(answer, "n", FIELDS, {}), answer, "n")
        assert fault(answer, "x").fault.message
    Answer.of(text)


# ---- the script, on the lab's stand-ins of nvidia-smi and NVML


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nvidia-smi on PATH; returns the state file that it reads."""
    if shutil.which("gcc") is None:
        pytest.skip("SKIPPED LOUDLY: no C compiler here: apt-get install gcc")
    monkeypatch.setenv("LABTUI_CACHE", str(tmp_path / "cache"))
    library = gpu_service.build(Lab("smi-test"), lambda line: None)
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nexport LD_LIBRARY_PATH={library.parent}\n"
        f'exec {sys.executable} {gpu_smi.__file__} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    state = tmp_path / "nvml.state"
    monkeypatch.setenv("LABTUI_NVML_STATE", str(state))
    return state


def state_of(*busy: gpu.Holder, **asked: float) -> str:
    card = gpu.Card(gpu.RTX)
    for _ in range(60):
        card.advance(list(busy), asked, 1.0)
    return gpu.nvml_state(card, "desktop-gpu")


def tell(state: Path, text: str | None) -> None:
    """What the stand-in reads; None: the driver is not loaded."""
    if text is None:
        state.unlink()
    else:
        state.write_text(text)


async def test_the_script_on_the_stand_in(smi: Path) -> None:
    busy = gpu.Holder("", os.getpid(), frozenset(), 700.0, 50.0)
    tell(smi, state_of(busy))
    source = Smi("n", LocalHost("n"))
    (card,) = await source.cards(10.0)
    assert (card.uuid, card.product) == (gpu.uuid("desktop-gpu"), gpu.RTX.name)
    assert card.memory_used_mib == 718 and card.power_limit_w == 450
    assert card.util_percent is not None and 40 < card.util_percent < 60
    assert card.na["ecc_uncorrected"] == "this card does not tell"
    (process,) = card.processes
    assert (process.pid, process.memory_mib) == (os.getpid(), 700)
    assert process.job_id is None and process.since is not None
    assert card.na.get("xid", HIDDEN) == HIDDEN, "the log of this machine was read, or was not"

    tell(smi, state_of(lost=1))
    (lost,) = await source.cards(10.0)
    assert lost.uuid == card.uuid and [f.kind for f in lost.findings] == ["lost"]

    tell(smi, state_of(mismatch=1))
    with pytest.raises(SourceError, match="driver and library differ"):
        await source.cards(10.0)
    tell(smi, state_of(util=105))
    (odd,) = await source.cards(10.0)
    assert odd.util_percent is None and "105: cannot be" in odd.na["util_percent"]
    tell(smi, None)
    with pytest.raises(SourceError, match="not loaded"):
        await source.cards(10.0)


async def test_no_such_command(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has one")
    with pytest.raises(SourceError) as raised:
        await Smi("n", LocalHost("n")).cards(10.0)
    assert raised.value.fault.kind == "not-found"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set a limit")
async def test_settings_by_the_stand_in(smi: Path) -> None:
    tell(smi, state_of())
    host = LocalHost("n")

    async def said(*options: str) -> tuple[int, str]:
        done = await host.run(["nvidia-smi", *options], timeout=10.0)
        return done.rc, done.stdout

    code, text = await said("-pl", "900")
    assert code == 2 and text.startswith(
        "Provided power limit 900.00 W is not a valid power limit which should be between "
        "143.33 W and 600.00 W for GPU 00000000:01:00.0"
    )
    assert (await said("-i", gpu.uuid("desktop-gpu"), "-pl", "300"))[1].startswith(
        "Power limit for GPU 00000000:01:00.0 was set to 300.00 W from 450.00 W."
    )
    assert "Disabled persistence mode" in (await said("-pm", "0"))[1]
    assert "(gpuClkMin 1500, gpuClkMax 1500)" in (await said("-lgc", "1500"))[1]
    asked = gpu.control(smi.with_name("nvml.control"))
    assert asked == {
        "power_limit_w": 300, "persistence": 0, "clock_lock_mhz": 1500, "clock_lock_min_mhz": 1500
    }  # fmt: skip
    tell(smi, state_of(**asked))
    (card,) = await Smi("n", host).cards(10.0)
    assert (card.power_limit_w, card.persistence, card.clock_mhz) == (300, False, 1500)
    assert await said("-rgc") == (0, "All done.\n")
    assert (await said("-i", "7", "-L"))[0] == 6
    assert "stand-in" in (await said())[1]
