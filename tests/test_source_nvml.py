"""The real nvidia-ml-py on a small libnvidia-ml.so.1 of our own, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labtui.sources.nvml import throttle_words

CARD = r"""
#include <string.h>
#ifndef COUNT
#define COUNT 1
#define CLOSED 0
#define CODE 2
#endif
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlInitWithFlags(unsigned f) { return INIT; }
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d)
  { *d = (void *)(i + 1ULL); return (CLOSED >> i) & 1 ? CODE : 0; }
int nvmlDeviceGetMinorNumber(void *d, unsigned *n)
  { *n = COUNT - (unsigned)(unsigned long long)d; return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) { strncpy(s, "RTX \033[31m4090", n); return 0; }
int nvmlDeviceGetUUID(void *d, char *s, unsigned n) { strncpy(s, "GPU-42", n); return 0; }
int nvmlDeviceGetUtilizationRates(void *d, Rates *r) { r->gpu = UTIL; return 0; }
int nvmlDeviceGetMemoryInfo(void *d, Memory *m)
  { m->total = 24ULL << 30; m->used = 6ULL << 30; m->free = 18ULL << 30; return 0; }
int nvmlDeviceGetTemperature(void *d, int k, unsigned *t) { *t = 61; return 0; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *p) { *p = 301500; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *m) { *m = 0x44; return 0; }
int nvmlDeviceGetClockInfo(void *d, int k, unsigned *c) { return 3; }
const char *nvmlErrorString(int code) { return "as the library says"; }
"""
ASK = """
import msgspec
from labtui.sources.base import SourceError
from labtui.sources.nvml import Nvml
try:
    found = Nvml("desktop-gpu").cards()
except SourceError as error:
    found = [error.fault.kind, error.fault.message]
print(msgspec.json.encode(found).decode())
"""


def ask(folder: Path, **defines: int) -> list[object]:
    if defines:
        if not shutil.which("gcc"):
            pytest.skip("SKIPPED LOUDLY: no C compiler here: apt-get install gcc")
        (folder / "card.c").write_text(CARD)
        flags = [f"-D{name}={value}" for name, value in defines.items()]
        library = str(folder / "libnvidia-ml.so.1")
        argv = ["gcc", "-w", "-shared", "-fPIC", *flags, "-o", library, str(folder / "card.c")]
        subprocess.run(argv, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=os.environ | {"LD_LIBRARY_PATH": str(folder)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_card(tmp_path: Path) -> None:
    (card,) = ask(tmp_path, INIT=0, UTIL=97)
    assert isinstance(card, dict)
    assert (card["product"], card["uuid"]) == ("RTX 4090", "GPU-42")
    assert (card["util_percent"], card["temperature_c"], card["power_w"]) == (97, 61, 301.5)
    assert (card["memory_used_mib"], card["memory_total_mib"]) == (6144, 24576)
    assert card["throttle"] == "power cap, too hot (hardware)"
    assert card["clock_mhz"] is None and "not supported" in card["na"]["clock_mhz"]
    # A function that this library lacks: one figure, not the card.
    assert "too old" in card["na"]["processes"] or "do not match" in card["na"]["processes"]


def test_a_value_that_cannot_be(tmp_path: Path) -> None:
    (card,) = ask(tmp_path, INIT=0, UTIL=4294967295)
    assert isinstance(card, dict)
    assert card["util_percent"] is None and "util_percent" in card["na"]


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [(9, "not-found", "not loaded"), (4, "permission", "may not"), (18, "protocol", "reboot"),
     (15, "unreachable", "off the bus"), (999, "protocol", "Unknown")],
)  # fmt: skip
def test_a_library_that_cannot_be_used(tmp_path: Path, code: int, kind: str, words: str) -> None:
    found = ask(tmp_path, INIT=code, UTIL=0)
    assert found[0] == kind
    assert words in str(found[1]) and "desktop-gpu" in str(found[1])


def test_no_library(tmp_path: Path) -> None:
    found = ask(tmp_path)
    assert isinstance(found, list)
    if isinstance(found[0], dict):
        pytest.skip("this machine has a card")
    assert found[0] == "not-found" and "no NVIDIA driver" in str(found[1])


@pytest.mark.parametrize(
    ("code", "words", "kinds"),
    [
        (8, "power cables", ["lost"]), (11, "interrupts", ["lost"]), (15, "off the bus", ["lost"]),
        (999, "Unknown", ["lost"]), (4, "may not read", []),
    ],
)  # fmt: skip
def test_a_card_that_cannot_be_opened_costs_its_own_row_only(
    tmp_path: Path, code: int, words: str, kinds: list[str]
) -> None:
    cards = ask(tmp_path, INIT=0, UTIL=97, COUNT=3, CLOSED=0b010, CODE=code)
    assert all(isinstance(card, dict) for card in cards), cards
    first, closed, last = [dict(card) for card in cards]  # type: ignore[call-overload]
    assert (first["util_percent"], last["util_percent"]) == (97, 97)
    assert (closed["index"], closed["util_percent"]) == (1, None)
    assert words in closed["na"]["util_percent"]
    assert [finding["kind"] for finding in closed["findings"]] == kinds


def test_where_no_card_can_be_opened_the_source_fails(tmp_path: Path) -> None:
    found = ask(tmp_path, INIT=0, UTIL=97, COUNT=2, CLOSED=0b11, CODE=4)
    assert found[0] == "permission" and "may not" in str(found[1])


def test_the_driver_counts_its_devices_in_an_order_of_its_own(tmp_path: Path) -> None:
    cards = ask(tmp_path, INIT=0, UTIL=97, COUNT=2, CLOSED=0, CODE=0)
    assert [card["minor"] for card in cards] == [1, 0]  # type: ignore[index]


def test_nobody_asks_it_for_xids_and_it_says_so(tmp_path: Path) -> None:
    (card,) = ask(tmp_path, INIT=0, UTIL=97)
    assert isinstance(card, dict)
    assert card["xid"] is None and "not asked for XIDs" in card["na"]["xid"]


def test_throttle_words() -> None:
    assert throttle_words(0) is None and throttle_words(1) is None
    assert throttle_words(0x4 | 0x1) == "power cap"
