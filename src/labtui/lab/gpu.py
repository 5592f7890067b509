"""The lab's GPU stand-in: no GPU, but DCGM's metrics and NVML's state as one would show them.

A program of its own, for the Python of the lab's machines: nothing but the standard library. It
follows what runs here, by the environments of processes; so it needs no slurmctld and no kubelet:

- a Slurm job with CUDA_VISIBLE_DEVICES, which slurmd sets, is on the card by its first process;
  with LABTUI_GPU_MIB=0 it holds its slices and is not on the card;
- any other process with LABTUI_GPU_MIB is on the card: a pod's container, or one of nobody.
  LABTUI_GPU_UTIL says how busy it alone makes the card, in percent.

Its text says "stand-in" in every HELP line.
"""

import http.server
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

PORT = 9400
DRIVER = "580.82.09"
STATE = Path("/run/labtui-nvml.state")
"""What libnvidia-ml.so.1 of the lab reads."""
CONTROL = Path("/run/labtui-nvml.control")
"""`key=value` lines that it writes: power_limit_w, persistence, clock_lock_mhz, clock_lock_min_mhz;
and what a person may write: ambient_c makes the card hot, xid=79 is told as its last error, lost=1
takes it off the bus, freeze=1 lets the exporter repeat itself, util=105 is what cannot be,
mismatch=1 is a driver that was upgraded."""
SYSFS = Path("/run/labtui-jetson/sys")
"""A Jetson's sysfs, as far as its GPU goes: written here, for /sys has none."""
STAND_IN = "[labtui stand-in: there is no GPU, values follow what runs here]"


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
    """A job or another process on the card, by its first process."""

    job: str
    """Empty: no Slurm job."""
    pid: int
    slices: frozenset[int]
    mib: float | None = None
    """Memory on the card, where its environment says."""
    percent: float | None = None
    """How busy it alone makes the card, where its environment says."""

    @property
    def intensity(self) -> float:
        """How hard it works, 0.7 to 1: the same for a job's whole life."""
        return 0.7 + sum(self.job.encode()) * 7 % 31 / 100

    @property
    def memory_mib(self) -> float:
        return len(self.slices) * 3900 * self.intensity if self.mib is None else self.mib

    def drive(self, slices: int) -> float:
        """Its part of what the card can do, of which there are so many slices; 0 to 1."""
        if not self.memory_mib:
            return 0.0
        if self.percent is not None:
            return min(1.0, self.percent / 100) ** 2
        return self.intensity * max(1, len(self.slices)) / slices


def holders(proc: Path = Path("/proc")) -> list[Holder]:
    """The jobs that run here with a GPU, and the processes that say they use one, as the kernel
    tells it."""
    seen: dict[int, dict[bytes, bytes]] = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        known = dict(word.split(b"=", 1) for word in words if b"=" in word)
        if b"LABTUI_GPU_MIB" in known or b"CUDA_VISIBLE_DEVICES" in known:
            seen[int(process.name)] = known
    found: dict[str, Holder] = {}
    for pid, known in sorted(seen.items()):
        job = known.get(b"SLURM_JOB_ID", b"").decode(errors="replace")
        devices = known.get(b"CUDA_VISIBLE_DEVICES", b"").split(b",")
        slices = frozenset(int(d) for d in devices if d.isdigit())
        mib, percent = (_number(known.get(k)) for k in (b"LABTUI_GPU_MIB", b"LABTUI_GPU_UTIL"))
        if job and slices:
            first = found.get(job, Holder(job, pid, frozenset(), mib, percent))
            found[job] = replace(first, slices=first.slices | slices)
        # A child inherits the environment, not the memory.
        elif not job and mib and _parent(proc, pid) not in seen:
            found[f" {pid}"] = Holder("", pid, frozenset(), mib, percent)
    return sorted(found.values(), key=lambda h: (h.job, h.pid))


def _number(text: bytes | None) -> float | None:
    return float(text) if text and text.isdigit() and len(text) < 7 else None


def _parent(proc: Path, pid: int) -> int:
    try:
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


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
    xid: int = 0
    lost: bool = False
    mismatch: bool = False
    told_util: float | None = None
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
        drive = sum(h.drive(m.slices) for h in busy)
        # Slices take turns: one busy job keeps a card busier than its share of it.
        wobble = 1 + 0.04 * math.sin(time.monotonic() / 3)
        util = min(99.0, 100 * min(1.0, drive) ** 0.5 * wobble)
        self.util += (util - self.util) * _lag(seconds, 1.5)

        memory = min(m.memory_mib - RESERVED_MIB, 18 + sum(h.memory_mib for h in busy))
        self.memory_mib += (memory - self.memory_mib) * _lag(seconds, 1.0)

        wanted_w = m.idle_w + (m.full_w - m.idle_w) * self.util / 100
        clock: float = m.full_mhz if drive else m.idle_mhz
        self.reasons = 0 if drive else IDLE
        if "clock_lock_mhz" in asked:
            low = min(m.full_mhz, asked.get("clock_lock_min_mhz", 0))
            clock = max(low, min(clock, max(m.idle_mhz, asked["clock_lock_mhz"])))
            self.reasons |= APPLICATION_CLOCKS if drive else 0
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
        self.xid = int(min(max(asked.get("xid", 0), 0), 65535))
        self.lost, self.mismatch = bool(asked.get("lost")), bool(asked.get("mismatch"))
        self.told_util = asked.get("util")

    @property
    def util_told(self) -> int:
        """What it says of its load: another figure where one was asked for."""
        return round(self.util if self.told_util is None else self.told_util)

    @property
    def working(self) -> bool:
        return not self.reasons & IDLE


def _lag(seconds: float, constant: float) -> float:
    """How much of the way a first-order lag goes in that time."""
    return 1 - math.exp(-seconds / constant)


def uuid(host: str) -> str:
    digits = "".join(f"{b:02x}" for b in host.encode())[:12].ljust(12, "0")
    return f"GPU-1ab70000-0000-4000-8000-{digits}"


Series = tuple[str, str, str, dict[str, str], float]
"""Name, type, help, labels, value."""


def dcgm(card: Card, host: str) -> list[Series]:
    """The names and labels of dcgm-exporter's default counters; none of a card that is lost."""
    if card.lost:
        return []
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
            m.memory_full_mhz if card.working else m.memory_idle_mhz,
        ),
        "GPU_TEMP": ("GPU temperature (in C).", round(card.temperature_c)),
        "POWER_USAGE": ("Power draw (in W).", round(card.power_w, 3)),
        "GPU_UTIL": ("GPU utilization (in %).", card.util_told),
        "MEM_COPY_UTIL": ("Memory utilization (in %).", round(card.util * 0.55)),
        "ENC_UTIL": ("Encoder utilization (in %).", 0),
        "DEC_UTIL": ("Decoder utilization (in %).", 0),
        "XID_ERRORS": ("Value of the last XID error encountered.", card.xid),
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


def shared_mib(card: Card) -> int:
    """What the system and the GPU use together."""
    return min(card.model.memory_mib, round(1400 + card.memory_mib))


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
            shared_mib(card),
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


def sysfs(card: Card, root: Path = SYSFS) -> None:
    """A Jetson's files: devfreq (Hz, load per mille), thermal zone (m°C), INA3221 (mV, mA); and
    what else is read of one, as far from here as from /sys."""
    mains_mv = 5000
    files = {
        "class/devfreq/17000000.gpu/cur_freq": round(card.clock_mhz) * 1_000_000,
        "class/devfreq/17000000.gpu/max_freq": card.model.full_mhz * 1_000_000,
        "class/devfreq/17000000.gpu/device/load": round(max(0, card.util_told) * 10),
        "class/thermal/thermal_zone0/type": "cpu-thermal",
        "class/thermal/thermal_zone0/temp": round(card.temperature_c * 1000) - 1500,
        "class/thermal/thermal_zone1/type": "gpu-thermal",
        "class/thermal/thermal_zone1/temp": round(card.temperature_c * 1000),
        "class/hwmon/hwmon1/name": "ina3221",
        "class/hwmon/hwmon1/in1_label": "VDD_IN",
        "class/hwmon/hwmon1/in1_input": mains_mv,
        "class/hwmon/hwmon1/curr1_input": round(card.power_w * 1e6 / mains_mv),
        "../proc/device-tree/model": f"{card.model.name} [labtui stand-in]",
        "../proc/meminfo": f"MemTotal: {card.model.memory_mib * 1024} kB\n"
        f"MemAvailable: {(card.model.memory_mib - shared_mib(card)) * 1024} kB",
        "../var/lib/nvpmodel/status": "pmode:0000",
    }
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(f"{value}\n")
        draft.replace(path)


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
        "0.util_gpu": max(0, card.util_told),
        "0.util_memory": round(card.util * 0.55),
        "0.temperature_c": round(card.temperature_c),
        "0.power_mw": round(card.power_w * 1000),
        "0.power_limit_mw": round(card.limit_w * 1000),
        "0.power_default_mw": round((m.full_w + 20) * 1000),
        "0.power_min_mw": round(m.full_w / 3 * 1000),
        "0.power_max_mw": round((m.full_w + 170) * 1000),
        "0.sm_mhz": round(card.clock_mhz),
        "0.memory_mhz": m.memory_full_mhz if card.working else m.memory_idle_mhz,
        "0.sm_max_mhz": m.full_mhz,
        "0.memory_max_mhz": m.memory_full_mhz,
        "0.reasons": card.reasons,
        "0.persistence": int(card.persistence),
    }
    if card.mismatch or card.lost:
        values = {"mismatch": 1, **values} if card.mismatch else {**values, "0.lost": 1}
    running = [h for h in card.busy if h.memory_mib]
    values["0.processes"] = len(running)
    for i, holder in enumerate(running):
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
        asked = control()
        card.advance(holders(), asked, max(0.01, now - before))
        before = now
        if not asked.get("freeze"):
            text = exposition(jetson(card, host) if is_jetson else dcgm(card, host))
        if is_jetson:
            sysfs(card)
        else:
            draft = STATE.with_suffix(".new")
            draft.write_text(nvml_state(card, host))
            draft.replace(STATE)
        time.sleep(1)


if __name__ == "__main__":
    main()
