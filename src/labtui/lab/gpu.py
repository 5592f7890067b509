"""The lab's GPU stand-in: no GPU, but DCGM's metrics and NVML's state as one would show them.

A program of its own, for the Python of the lab's machines: nothing but the standard library. It
follows what runs here: processes whose environment has a Slurm job and CUDA_VISIBLE_DEVICES,
which slurmd sets; so it needs no slurmctld. Its text says "stand-in" in every HELP line.
"""

import http.server
import math
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PORT = 9400
DRIVER = "580.82.09"
STATE = Path("/run/labtui-nvml.state")
"""What libnvidia-ml.so.1 of the lab reads."""
CONTROL = Path("/run/labtui-nvml.control")
"""`key=value` lines that it writes: power_limit_w, persistence, clock_lock_mhz; and ambient_c,
which a person may write to make the card hot."""
STAND_IN = "[labtui stand-in: there is no GPU, values follow the Slurm jobs that run here]"


@dataclass(frozen=True)
class Model:
    """A card's limits: W, °C, MHz, MiB."""

    name: str
    slices: int
    memory_mib: int
    idle_w: float
    full_w: float
    idle_mhz: int
    full_mhz: int
    memory_idle_mhz: int
    memory_full_mhz: int
    degrees_per_w: float


RTX = Model("NVIDIA GeForce RTX 4090", 4, 24564, 22, 430, 210, 2520, 405, 10501, 0.105)
ORIN = Model("Orin (nvgpu)", 1, 7620, 4.5, 14.5, 306, 918, 2133, 2133, 2.2)
RESERVED_MIB = 346
THROTTLE_C = 88.0

IDLE, APPLICATION_CLOCKS, POWER_CAP, THERMAL = 0x1, 0x2, 0x4, 0x20
"""NVML's bits for why the clocks are what they are."""


@dataclass(frozen=True)
class Holder:
    """A job on the card, by its first process."""

    job: str
    pid: int
    slices: frozenset[int]

    @property
    def intensity(self) -> float:
        """How hard it works, 0.7 to 1: the same for a job's whole life."""
        return 0.7 + sum(self.job.encode()) * 7 % 31 / 100

    @property
    def memory_mib(self) -> float:
        return len(self.slices) * 3900 * self.intensity


def holders(proc: Path = Path("/proc")) -> list[Holder]:
    """The Slurm jobs that run here with a GPU, as the kernel tells it."""
    found: dict[str, tuple[int, frozenset[int]]] = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        seen = dict(word.split(b"=", 1) for word in words if b"=" in word)
        job, devices = seen.get(b"SLURM_JOB_ID", b""), seen.get(b"CUDA_VISIBLE_DEVICES", b"")
        slices = frozenset(int(d) for d in devices.split(b",") if d.isdigit())
        if not (job and slices):
            continue
        pid, others = found.get(job.decode(errors="replace"), (sys.maxsize, frozenset()))
        found[job.decode(errors="replace")] = (min(pid, int(process.name)), slices | others)
    return [Holder(job, pid, slices) for job, (pid, slices) in sorted(found.items())]


def control(path: Path = CONTROL) -> dict[str, float]:
    """What was asked of the card; a line that is no number is as if it were not there."""
    asked: dict[str, float] = {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return asked
    for line in lines:
        key, _, value = line.partition("=")
        try:
            asked[key.strip()] = float(value)
        except ValueError:
            continue
    return {k: v for k, v in asked.items() if math.isfinite(v)}


@dataclass
class Card:
    """Where the card is now. `advance` moves it, never in a jump, towards what runs on it."""

    model: Model
    util: float = 0.0
    memory_mib: float = 0.0
    power_w: float = 0.0
    temperature_c: float = 35.0
    clock_mhz: float = 0.0
    reasons: int = IDLE
    limit_w: float = 0.0
    persistence: bool = True
    energy_mj: float = 0.0
    busy: list[Holder] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.power_w, self.clock_mhz = self.model.idle_w, float(self.model.idle_mhz)
        self.limit_w = self.model.full_w + 20

    def advance(self, busy: list[Holder], asked: Mapping[str, float], seconds: float) -> None:
        """`seconds` later, with those jobs on it and those settings."""
        m = self.model
        self.busy = busy
        limit = asked.get("power_limit_w", m.full_w + 20)
        self.limit_w = min(m.full_w + 170, max(m.full_w / 3, limit))
        self.persistence = asked.get("persistence", 1) != 0
        slices = min(m.slices, len(frozenset[int]().union(*(h.slices for h in busy))))
        drive = sum(h.intensity * len(h.slices) for h in busy) / m.slices
        # Slices take turns: one busy job keeps a card busier than its share of it.
        wobble = 1 + 0.04 * math.sin(time.monotonic() / 3)
        util = min(99.0, 100 * min(1.0, drive) ** 0.5 * wobble) if slices else 0.0
        self.util += (util - self.util) * _lag(seconds, 1.5)

        memory = min(m.memory_mib - RESERVED_MIB, 18 + sum(h.memory_mib for h in busy))
        self.memory_mib += (memory - self.memory_mib) * _lag(seconds, 1.0)

        wanted_w = m.idle_w + (m.full_w - m.idle_w) * self.util / 100
        clock: float = m.full_mhz if busy else m.idle_mhz
        self.reasons = 0 if busy else IDLE
        if busy and "clock_lock_mhz" in asked:
            clock = min(clock, max(m.idle_mhz, asked["clock_lock_mhz"]))
            self.reasons |= APPLICATION_CLOCKS
            wanted_w = m.idle_w + (wanted_w - m.idle_w) * (clock / m.full_mhz) ** 2
        if wanted_w > self.limit_w:
            clock *= math.sqrt(self.limit_w / wanted_w)
            wanted_w = self.limit_w
            self.reasons |= POWER_CAP
        if self.temperature_c > THROTTLE_C:
            clock, wanted_w = clock * 0.8, wanted_w * 0.75
            self.reasons |= THERMAL
        self.power_w += (wanted_w - self.power_w) * _lag(seconds, 1.0)
        self.clock_mhz += (clock - self.clock_mhz) * _lag(seconds, 0.5)
        warm = asked.get("ambient_c", 31.0) + m.degrees_per_w * self.power_w
        self.temperature_c += (min(warm, 99.0) - self.temperature_c) * _lag(seconds, 8.0)
        self.energy_mj += self.power_w * seconds * 1000


def _lag(seconds: float, constant: float) -> float:
    """How much of the way a first-order lag goes in that time."""
    return 1 - math.exp(-seconds / constant)


def uuid(host: str) -> str:
    digits = "".join(f"{b:02x}" for b in host.encode())[:12].ljust(12, "0")
    return f"GPU-1ab70000-0000-4000-8000-{digits}"


Series = tuple[str, str, str, dict[str, str], float]
"""Name, type, help, labels, value."""


def dcgm(card: Card, host: str) -> list[Series]:
    """The names and labels of dcgm-exporter's default counters."""
    labels = {
        "gpu": "0",
        "UUID": uuid(host),
        "pci_bus_id": "00000000:01:00.0",
        "device": "nvidia0",
        "modelName": card.model.name,
        "Hostname": host,
        "DCGM_FI_DRIVER_VERSION": DRIVER,
    }
    m = card.model
    used = round(card.memory_mib)
    gauges = {
        "SM_CLOCK": ("SM clock frequency (in MHz).", round(card.clock_mhz)),
        "MEM_CLOCK": (
            "Memory clock frequency (in MHz).",
            m.memory_full_mhz if card.busy else m.memory_idle_mhz,
        ),
        "GPU_TEMP": ("GPU temperature (in C).", round(card.temperature_c)),
        "POWER_USAGE": ("Power draw (in W).", round(card.power_w, 3)),
        "GPU_UTIL": ("GPU utilization (in %).", round(card.util)),
        "MEM_COPY_UTIL": ("Memory utilization (in %).", round(card.util * 0.55)),
        "ENC_UTIL": ("Encoder utilization (in %).", 0),
        "DEC_UTIL": ("Decoder utilization (in %).", 0),
        "XID_ERRORS": ("Value of the last XID error encountered.", 0),
        "FB_FREE": ("Framebuffer memory free (in MiB).", m.memory_mib - RESERVED_MIB - used),
        "FB_USED": ("Framebuffer memory used (in MiB).", used),
        "FB_RESERVED": ("Framebuffer memory reserved (in MiB).", RESERVED_MIB),
    }
    found = [
        (f"DCGM_FI_DEV_{name}", "gauge", text, labels, float(value))
        for name, (text, value) in gauges.items()
    ]
    energy = "Total energy consumption since boot (in mJ)."
    found.append(
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", energy, labels, round(card.energy_mj))
    )
    return found


def jetson(card: Card, host: str) -> list[Series]:
    """Names of our own: there is no DCGM on a Jetson, whose memory CPU and GPU share."""
    labels = {"model": card.model.name, "Hostname": host}
    rows = {
        "jetson_gpu_utilization_percent": ("Load of the integrated GPU.", {}, round(card.util)),
        "jetson_gpu_frequency_mhz": ("Its clock.", {}, round(card.clock_mhz)),
        "jetson_temperature_celsius": (
            "Temperature of a thermal zone.",
            {"part": "gpu"},
            round(card.temperature_c, 1),
        ),
        "jetson_power_milliwatts": (
            "Power of a rail.",
            {"rail": "VDD_IN"},
            round(card.power_w * 1000),
        ),
        "jetson_memory_used_mib": (
            "Memory that CPU and GPU share.",
            {},
            round(1400 + card.memory_mib),
        ),
        "jetson_memory_total_mib": (
            "Memory that CPU and GPU share.",
            {},
            card.model.memory_mib,
        ),
    }
    return [
        (name, "gauge", text, labels | more, float(value))
        for name, (text, more, value) in rows.items()
    ]


def exposition(series: Iterable[Series]) -> str:
    """Prometheus' text format."""
    lines = []
    for name, kind, text, labels, value in series:
        pairs = ",".join(f'{k}="{v}"' for k, v in labels.items())
        lines += [
            f"# HELP {name} {text} {STAND_IN}",
            f"# TYPE {name} {kind}",
            f"{name}{{{pairs}}} {value:.12g}",
        ]
    return "\n".join(lines) + "\n"


def nvml_state(card: Card, host: str) -> str:
    """One `key=value` a line, for the library."""
    m = card.model
    values: dict[str, object] = {
        "driver": DRIVER,
        "count": 1,
        "0.name": m.name,
        "0.uuid": uuid(host),
        "0.pci": "00000000:01:00.0",
        "0.memory_total_mib": m.memory_mib,
        "0.memory_reserved_mib": RESERVED_MIB,
        "0.memory_used_mib": round(card.memory_mib),
        "0.util_gpu": round(card.util),
        "0.util_memory": round(card.util * 0.55),
        "0.temperature_c": round(card.temperature_c),
        "0.power_mw": round(card.power_w * 1000),
        "0.power_limit_mw": round(card.limit_w * 1000),
        "0.power_default_mw": round((m.full_w + 20) * 1000),
        "0.power_min_mw": round(m.full_w / 3 * 1000),
        "0.power_max_mw": round((m.full_w + 170) * 1000),
        "0.sm_mhz": round(card.clock_mhz),
        "0.memory_mhz": m.memory_full_mhz if card.busy else m.memory_idle_mhz,
        "0.sm_max_mhz": m.full_mhz,
        "0.memory_max_mhz": m.memory_full_mhz,
        "0.reasons": card.reasons,
        "0.persistence": int(card.persistence),
        "0.processes": len(card.busy),
    }
    for i, holder in enumerate(card.busy):
        values[f"0.process.{i}.pid"] = holder.pid
        values[f"0.process.{i}.memory_mib"] = round(holder.memory_mib)
    return "".join(f"{key}={value}\n" for key, value in values.items())


def main() -> None:
    host = os.uname().nodename
    is_jetson = "jetson" in host
    card = Card(ORIN if is_jetson else RTX)
    text = ""

    class Metrics(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it is asked every two seconds."""

    server = http.server.ThreadingHTTPServer(("", PORT), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = time.monotonic()
    while True:
        now = time.monotonic()
        card.advance(holders(), control(), max(0.01, now - before))
        before = now
        text = exposition(jetson(card, host) if is_jetson else dcgm(card, host))
        if not is_jetson:
            draft = STATE.with_suffix(".new")
            draft.write_text(nvml_state(card, host))
            draft.replace(STATE)
        time.sleep(1)


if __name__ == "__main__":
    main()
