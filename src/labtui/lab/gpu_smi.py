"""The lab's stand-in of nvidia-smi: its questions and settings, over the stand-in of NVML.

A program of its own, for the Python of the lab's machines: the standard library and nvidia-ml-py.
It answers --query-gpu, --query-compute-apps and -L as the real one writes them, and sets -pl, -pm,
-lgc and -rgc with its words and exit codes. What a person sees says "stand-in".
"""

# ruff: noqa: T201 - a command: what it prints is its answer

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pynvml as n

STAND_IN = "labtui's stand-in of nvidia-smi: there is no GPU here"

USAGE, PERMISSION, ABSENT = 2, 4, 6
LOST = {n.NVML_ERROR_GPU_IS_LOST: "[GPU is lost]", n.NVML_ERROR_UNKNOWN: "[Unknown Error]"}


class Card:
    def __init__(self, index: int) -> None:
        self.index = index
        self.handle = n.nvmlDeviceGetHandleByIndex(index)
        self.bus = n.nvmlDeviceGetPciInfo(self.handle).busId
        self.uuid = n.nvmlDeviceGetUUID(self.handle)

    def memory(self) -> Any:
        return n.nvmlDeviceGetMemoryInfo(self.handle, version=n.nvmlMemory_v2)

    def limits(self) -> list[int]:
        found: list[int] = n.nvmlDeviceGetPowerManagementLimitConstraints(self.handle)
        return found


def switched(value: int) -> str:
    return "Enabled" if value else "Disabled"


def watts(milliwatts: float) -> str:
    return f"{milliwatts / 1000:.2f}"


Field = Callable[[Card], object]
GPU: dict[str, tuple[Field, str]] = {
    "index": (lambda c: c.index, ""),
    "uuid": (lambda c: c.uuid, ""),
    "name": (lambda c: n.nvmlDeviceGetName(c.handle), ""),
    "pci.bus_id": (lambda c: c.bus, ""),
    "driver_version": (lambda c: n.nvmlSystemGetDriverVersion(), ""),
    "count": (lambda c: n.nvmlDeviceGetCount(), ""),
    "utilization.gpu": (lambda c: n.nvmlDeviceGetUtilizationRates(c.handle).gpu, "%"),
    "utilization.memory": (lambda c: n.nvmlDeviceGetUtilizationRates(c.handle).memory, "%"),
    "memory.total": (lambda c: c.memory().total >> 20, "MiB"),
    "memory.used": (lambda c: c.memory().used >> 20, "MiB"),
    "memory.free": (lambda c: c.memory().free >> 20, "MiB"),
    "memory.reserved": (lambda c: c.memory().reserved >> 20, "MiB"),
    "temperature.gpu": (lambda c: n.nvmlDeviceGetTemperature(c.handle, 0), ""),
    "power.draw": (lambda c: watts(n.nvmlDeviceGetPowerUsage(c.handle)), "W"),
    "power.limit": (lambda c: watts(n.nvmlDeviceGetEnforcedPowerLimit(c.handle)), "W"),
    "power.default_limit": (
        lambda c: watts(n.nvmlDeviceGetPowerManagementDefaultLimit(c.handle)),
        "W",
    ),
    "power.min_limit": (lambda c: watts(c.limits()[0]), "W"),
    "power.max_limit": (lambda c: watts(c.limits()[1]), "W"),
    "persistence_mode": (lambda c: switched(n.nvmlDeviceGetPersistenceMode(c.handle)), ""),
    "clocks.sm": (lambda c: n.nvmlDeviceGetClockInfo(c.handle, 1), "MHz"),
    "clocks.gr": (lambda c: n.nvmlDeviceGetClockInfo(c.handle, 0), "MHz"),
    "clocks.mem": (lambda c: n.nvmlDeviceGetClockInfo(c.handle, 2), "MHz"),
    "clocks.max.sm": (lambda c: n.nvmlDeviceGetMaxClockInfo(c.handle, 1), "MHz"),
    "clocks_event_reasons.active": (
        lambda c: f"0x{n.nvmlDeviceGetCurrentClocksEventReasons(c.handle):016x}",
        "",
    ),
    "ecc.errors.uncorrected.volatile.total": (
        lambda c: n.nvmlDeviceGetTotalEccErrors(c.handle, 1, 0),
        "",
    ),
    "mig.mode.current": (lambda c: switched(n.nvmlDeviceGetMigMode(c.handle)[0]), ""),
}
GPU["gpu_uuid"], GPU["gpu_name"], GPU["gpu_bus_id"] = GPU["uuid"], GPU["name"], GPU["pci.bus_id"]
GPU["clocks_throttle_reasons.active"] = GPU["clocks_event_reasons.active"]

Row = tuple[Card, int, int | None]
APPS: dict[str, tuple[Callable[[Row], object], str]] = {
    "gpu_uuid": (lambda r: r[0].uuid, ""),
    "gpu_bus_id": (lambda r: r[0].bus, ""),
    "gpu_name": (lambda r: n.nvmlDeviceGetName(r[0].handle), ""),
    "pid": (lambda r: r[1], ""),
    "process_name": (lambda r: process_name(r[1]), ""),
    "used_memory": (lambda r: "[N/A]" if r[2] is None else r[2] >> 20, "MiB"),
}
APPS["used_gpu_memory"], APPS["name"] = APPS["used_memory"], APPS["process_name"]


def process_name(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return "[Not Found]"
    return line.decode(errors="replace") or "[Not Found]"


def fail(code: int, *lines: str) -> NoReturn:
    print("\n".join(lines))
    sys.exit(code)


def told(field: Field, card: Card) -> str:
    """The value, or the brackets that the real one writes for the error."""
    try:
        return str(field(card))
    except n.NVMLError as error:
        return LOST.get(error.value, "[N/A]")


def with_unit(text: str, unit: str, units: bool) -> str:
    return f"{text} {unit}" if unit and units and not text.startswith("[") else text


def query(
    known: dict[str, tuple[Any, str]], names: str, form: str, rows: list[Any], say: Any
) -> None:
    fields = [name.strip() for name in names.split(",")]
    for name in fields:
        if name not in known:
            fail(USAGE, f'Field "{name}" is not a valid field to query.', "")
    words = form.split(",")
    if words[0] != "csv":
        fail(USAGE, "Only csv is written here: " + STAND_IN)
    units = "nounits" not in words
    if "noheader" not in words:
        heads = [f"{f} [{known[f][1]}]" if known[f][1] and units else f for f in fields]
        print(", ".join(heads))
    for row in rows:
        print(", ".join(with_unit(say(known[f][0], row), known[f][1], units) for f in fields))


def running(cards: list[Card]) -> list[Row]:
    found: list[Row] = []
    for card in cards:
        try:
            listed = n.nvmlDeviceGetComputeRunningProcesses_v3(card.handle)
        except n.NVMLError:
            continue
        found += [(card, p.pid, p.usedGpuMemory) for p in listed]
    return found


def chosen(cards: list[Card], wanted: str) -> list[Card]:
    """Those that -i names by index, UUID or bus id."""
    if not wanted:
        return cards
    found = [
        c for name in wanted.split(",") for c in cards if name in (str(c.index), c.uuid, c.bus)
    ]
    if not found:
        fail(ABSENT, "No devices were found")
    return found


EARLY = "Terminating early due to previous errors."


def setting(card: Card, verb: str, act: Callable[[], object], denied: str) -> None:
    """One change of a card, with the real one's words where it is refused."""
    try:
        act()
    except n.NVMLError as error:
        if error.value == n.NVML_ERROR_NO_PERMISSION:
            fail(PERMISSION, denied.format(card.bus), EARLY)
        if error.value == n.NVML_ERROR_NOT_SUPPORTED:
            print(f"{verb} is not supported for GPU: {card.bus}.")
            print("Treating as warning and moving on.")
            return
        fail(int(error.value), f"Unable to change GPU {card.bus}: {error}", EARLY)


def set_limit(card: Card, text: str) -> None:
    low, high = card.limits()
    before = n.nvmlDeviceGetPowerManagementLimit(card.handle)
    wanted = round(float(text) * 1000)
    if not low <= wanted <= high:
        fail(
            USAGE,
            f"Provided power limit {watts(wanted)} W is not a valid power limit which should be "
            f"between {watts(low)} W and {watts(high)} W for GPU {card.bus}",
            EARLY,
        )
    setting(
        card, "Changing power management limit",
        lambda: n.nvmlDeviceSetPowerManagementLimit(card.handle, wanted),
        "Failed to set power management limit for GPU {}: Insufficient Permissions",
    )  # fmt: skip
    print(f"Power limit for GPU {card.bus} was set to {watts(wanted)} W from {watts(before)} W.")


def set_persistence(card: Card, text: str) -> None:
    wanted = {"0": 0, "1": 1, "DISABLED": 0, "ENABLED": 1}[text.upper()]
    already = n.nvmlDeviceGetPersistenceMode(card.handle) == wanted
    setting(
        card, "Changing persistence mode",
        lambda: n.nvmlDeviceSetPersistenceMode(card.handle, wanted),
        "Unable to set persistence mode for GPU {}: Insufficient Permissions",
    )  # fmt: skip
    if already:
        print(f"Persistence mode is already {switched(wanted)} for GPU {card.bus}.")
    else:
        print(f"{switched(wanted)} persistence mode for GPU {card.bus}.")


_CLOCKS_DENIED = "The current user does not have permission to change clocks for GPU {}."


def lock_clocks(card: Card, text: str) -> None:
    low, _, high = text.partition(",")
    setting(
        card, "Setting locked GPU clocks",
        lambda: n.nvmlDeviceSetGpuLockedClocks(card.handle, int(low), int(high or low)),
        _CLOCKS_DENIED,
    )  # fmt: skip
    print(f'GPU clocks set to "(gpuClkMin {low}, gpuClkMax {high or low})" for GPU {card.bus}')


def reset_clocks(card: Card) -> None:
    setting(
        card, "Resetting locked GPU clocks",
        lambda: n.nvmlDeviceResetGpuLockedClocks(card.handle), _CLOCKS_DENIED,
    )  # fmt: skip


def listed(cards: list[Card]) -> None:
    for card in cards:
        print(f"GPU {card.index}: {told(GPU['name'][0], card)} (UUID: {card.uuid})")


def table(cards: list[Card]) -> None:
    """What a person sees who types its name."""
    print(STAND_IN)
    for card in cards:
        names = ("index", "name", "temperature.gpu", "power.draw", "memory.used", "utilization.gpu")
        print("  ".join(with_unit(told(GPU[f][0], card), GPU[f][1], True) for f in names))
    for card, pid, used in running(cards):
        print(f"  pid {pid} on {card.index}: {(used or 0) >> 20} MiB  {process_name(pid)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nvidia-smi", description=STAND_IN, allow_abbrev=False)
    parser.add_argument("-L", "--list-gpus", action="store_true")
    parser.add_argument("-i", "--id", default="")
    parser.add_argument("--query-gpu", default="")
    parser.add_argument("--query-compute-apps", default="")
    parser.add_argument("--format", default="")
    parser.add_argument("-pl", "--power-limit", dest="limit", type=_number)
    parser.add_argument("-pm", "--persistence-mode", dest="persistence", type=_switch)
    parser.add_argument("-lgc", "--lock-gpu-clocks", dest="lock", type=_range)
    parser.add_argument("-rgc", "--reset-gpu-clocks", dest="reset", action="store_true")
    return parser.parse_args()


def _matching(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise argparse.ArgumentTypeError(f"not a valid value: {text}")
        return text

    return check


_number = _matching(r"\d{1,5}(\.\d{1,3})?")
_switch = _matching("0|1|enabled|disabled")
_range = _matching(r"\d{1,5}(,\d{1,5})?")


def main() -> None:
    asked = arguments()
    try:
        n.nvmlInit()
        count = n.nvmlDeviceGetCount()
    except n.NVMLError as error:
        if error.value == n.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            version = "NVML library version: 580.82"
            fail(18, "Failed to initialize NVML: Driver/library version mismatch", version)
        fail(
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make "
            "sure that the latest NVIDIA driver is installed and running.",
            "",
        )
    if not count:
        fail(ABSENT, "No devices were found")
    cards: list[Card] = []
    code = 0
    for index in range(count):
        try:
            cards.append(Card(index))
        except n.NVMLError as error:
            why = LOST.get(error.value, str(error)).strip("[]")
            words = "Unable to determine the device handle for"
            print(f"{words} GPU{index}: 00000000:{index + 1:02X}:00.0: {why}")
            code = int(error.value)
    if cards:
        cards = chosen(cards, asked.id)
    changes: list[tuple[Any, Callable[[Card], None]]] = [
        (asked.limit, lambda c: set_limit(c, asked.limit)),
        (asked.persistence, lambda c: set_persistence(c, asked.persistence)),
        (asked.lock, lambda c: lock_clocks(c, asked.lock)),
        (asked.reset, reset_clocks),
    ]
    if changing := [change for given, change in changes if given]:
        for card in cards:
            for change in changing:
                change(card)
        print("All done.")
    elif asked.query_gpu:
        query(GPU, asked.query_gpu, asked.format, cards, told)
    elif asked.query_compute_apps:
        rows = running(cards)
        query(
            APPS, asked.query_compute_apps, asked.format, rows, lambda field, row: str(field(row))
        )
    elif asked.list_gpus:
        listed(cards)
    else:
        table(cards)
    sys.exit(code)


if __name__ == "__main__":
    main()
