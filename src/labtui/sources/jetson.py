"""The GPU of a Jetson by one read-only command a poll: devfreq, thermal zones, INA3221, meminfo.

NVML of JetPack gives neither load nor clocks nor memory on Orin (NotSupported), so the kernel is
asked: `load` is per mille. After a boot the devfreq node comes late and its number changes, so
everything is looked for anew each time. Where it is not there, `tegrastats` tells a line.
"""

from __future__ import annotations

import re
from typing import Any

from labtui.hosts.base import Host
from labtui.model import Gpu
from labtui.sources.base import SourceError, number
from labtui.sources.gpufigures import possible
from labtui.text import inert

# sh -c SCRIPT labtui SYSFS; what is not in it is found from there: `/sys/../proc`
SCRIPT = r"""
LC_ALL=C; export LC_ALL
say() { printf '\n@@ %s\n' "$1"; }
tell() { [ -r "$2" ] && printf '%s %s\n' "$1" "$(head -c 64 "$2" 2>/dev/null | tr '\n\0' '  ')"; }
say begin
tell model "$1/../proc/device-tree/model"
tell mode "$1/../var/lib/nvpmodel/status"
say gpu
for d in "$1"/class/devfreq/*; do
  case "${d##*/}" in
    *.gpu|gpu*|*.gm20b|*.gp10b|*.gv11b|*.ga10b|*.gb10b)
      printf 'gpu %s\n' "${d##*/}"
      for f in cur_freq max_freq device/load; do tell "$f" "$d/$f"; done
      break ;;
  esac
done
for f in "$1"/devices/platform/gpu.0/load "$1"/devices/gpu.0/load; do
  [ -r "$f" ] && { tell device/load "$f"; break; }
done
say zones
for z in "$1"/class/thermal/thermal_zone*; do
  [ -r "$z/temp" ] && printf '%s %s\n' "$(head -c 64 "$z/type")" "$(head -c 64 "$z/temp")"
done 2>/dev/null
say rails
for h in "$1"/class/hwmon/hwmon*; do
  case "$(head -c 64 "$h/name" 2>/dev/null)" in ina3221*|ina238*) ;; *) continue ;; esac
  for l in "$h"/in[0-9]*_label; do
    [ -r "$l" ] || continue
    n=${l##*/in}; n=${n%_label}
    printf '%s %s %s\n' "$(head -c 64 "$l")" "$(head -c 64 "$h/in${n}_input")" \
      "$(head -c 64 "$h/curr${n}_input")"
  done
done 2>/dev/null
say memory; grep -E '^Mem(Total|Available):' "$1/../proc/meminfo"
say tegrastats
if command -v tegrastats >/dev/null && ! ls "$1"/class/devfreq/*/device/load >/dev/null 2>&1; then
  timeout -s KILL 2 tegrastats --interval 200 2>/dev/null | head -n 1
fi
say end
"""

WHOLE = ("VDD_IN", "POM_5V_IN", "VIN")
"""Rails that feed the whole board: Orin NX and Nano and Xavier NX; the first Nano; Thor. The AGX
boards measure only parts."""
_NVPMODEL = "a Jetson has none: nvpmodel sets what it may draw"
_UNTOLD = "a Jetson does not tell it"
_NA = {
    "uuid": _UNTOLD,
    "power_limit_w": _NVPMODEL,
    "power_default_w": _NVPMODEL,
    "power_min_w": _NVPMODEL,
    "power_max_w": _NVPMODEL,
    "persistence": "a Jetson has no such mode",
    "throttle": _UNTOLD,
    "ecc_uncorrected": "its memory has no ECC that it tells of",
    "xid": "a Jetson has no XIDs",
    "clock_lock_mhz": _UNTOLD,
    "processes": "NVML on a Jetson tells no processes, and the kernel tells them to root only",
}


class Jetson:
    """Polls one machine."""

    def __init__(self, node: str, host: Host, sysfs: str = "/sys") -> None:
        self.node = node
        self._host = host
        self._sysfs = sysfs

    async def cards(self, timeout: float) -> list[Gpu]:
        """Its one GPU. Raises HostError; SourceError("not-found") while there is none."""
        argv = ["sh", "-c", SCRIPT, "labtui", self._sysfs]
        done = await self._host.run(argv, timeout=timeout)
        return [parse(done.stdout, self.node)]


def parse(output: str, node: str) -> Gpu:
    """The script's output as a card. Raises SourceError."""
    _, *rest = re.split(r"^@@ (\w+)$", output, flags=re.MULTILINE)
    parts = {name: body.strip("\n") for name, body in zip(rest[::2], rest[1::2], strict=True)}
    who = f"the Jetson GPU of {node}"
    if "begin" not in parts or "end" not in parts:
        said = inert(output.strip(), 60)
        raise SourceError("protocol", f"{who}: something else answered: {said or 'nothing'}")
    line = tegrastats(parts.get("tegrastats", ""))
    device = _pairs(parts.get("gpu", ""))
    if not device and not line:
        text = "neither a devfreq node nor tegrastats; after a boot it comes late"
        raise SourceError("not-found", f"{who}: {text}")
    about = _pairs(parts["begin"])
    na = dict(_NA)
    figures: dict[str, Any] = {
        "util_percent": _scaled(device.get("device/load"), 10),
        "clock_mhz": _scaled(device.get("cur_freq"), 1e6),
        "clock_max_mhz": _scaled(device.get("max_freq"), 1e6),
        "temperature_c": _zone(parts.get("zones", "")),
        "power_w": _rail(parts.get("rails", "")),
        **_memory(parts.get("memory", "")),
    }
    for field, value in line.items():
        if figures.get(field) is None:
            figures[field] = value
    figures = possible(figures, na, who)
    reasons = {
        "util_percent": "neither devfreq nor tegrastats tells its load",
        "clock_mhz": "tegrastats tells the clock to root only",
        "clock_max_mhz": "there is no devfreq node",
        "temperature_c": "no thermal zone of the GPU can be read",
        "power_w": "no rail of the whole board is measured",
        "memory_used_mib": "/proc/meminfo does not tell it",
        "memory_total_mib": "/proc/meminfo does not tell it",
    }
    for field, why in reasons.items():
        if figures.get(field) is None:
            na.setdefault(field, why)
    mode = re.fullmatch(r"pmode:0*(\d{1,3})", about.get("mode", ""))
    return Gpu(
        node=node,
        index=0,
        product=inert(about.get("model", ""), 64) or "Jetson",
        na=na,
        sources={"nvpmodel": f"power mode {mode[1]}"} if mode else {},
        **figures,
    )


def _pairs(text: str) -> dict[str, str]:
    """`key value` lines; the first of a key counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, value.strip())
    return found


def _scaled(text: str | None, by: float) -> float | None:
    value = number(text) if text and re.fullmatch(r"-?\d{1,15}", text) else None
    return None if value is None else value / by


def _zone(text: str) -> float | None:
    """°C of the GPU's zone: `GPU-therm` (JetPack 4, 5), `gpu-thermal` (6). A GPU that is switched
    off has none: then the kernel says -256."""
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.lower().startswith("gpu"):
            celsius = _scaled(value, 1000)
            return celsius if celsius is None or celsius > -100 else None
    return None


def _rail(text: str) -> float | None:
    """W of the rail that feeds the board: label, mV, mA a line."""
    for label, millivolts, milliamperes in re.findall(
        r"^(\S{1,40}) (\d{1,7}) (\d{1,7})$", text, re.MULTILINE
    ):
        if label in WHOLE:
            return int(millivolts) * int(milliamperes) / 1e6
    return None


def _memory(text: str) -> dict[str, float | None]:
    """CPU and GPU share it."""
    found = dict(re.findall(r"^Mem(\w+):\s+(\d{1,12}) kB$", text, re.MULTILINE))
    total, free = _scaled(found.get("Total"), 1024), _scaled(found.get("Available"), 1024)
    used = None if total is None or free is None else max(0.0, total - free)
    return {"memory_total_mib": total, "memory_used_mib": used}


def tegrastats(line: str) -> dict[str, float]:
    """What one line tells of the GPU and the board.

    `GR3D_FREQ 45%@318` (JetPack 4), `0%@[510]`, `0%@[0,0]` (5, 6 as root), `0%` (without), and on
    Thor `@[1574,1574,1574]`, which is no load. Power is `VDD_IN 3528/3569` or `5079mW/5079mW`:
    now/average.
    """
    found: dict[str, float] = {}
    memory = re.search(r"\bRAM (\d{1,8})/(\d{1,8})MB", line)
    if memory:
        found["memory_used_mib"], found["memory_total_mib"] = float(memory[1]), float(memory[2])
    load = re.search(r"\bGR3D_FREQ (?:(\d{1,4})%)?(?:@\[?(\d{1,6}(?:, ?\d{1,6})*)\]?)?", line)
    if load and load[1]:
        found["util_percent"] = float(load[1])
    if load and load[2]:
        found["clock_mhz"] = float(max(int(clock) for clock in load[2].split(",")))
    warm = re.search(r"\bgpu@(-?\d{1,4}(?:\.\d{1,4})?)C", line, re.IGNORECASE)
    if warm and float(warm[1]) > -100:
        found["temperature_c"] = float(warm[1])
    for rail in WHOLE:
        if power := re.search(rf"(?<!\S){rail} (\d{{1,7}})(?:mW)?/\d", line):
            found["power_w"] = int(power[1]) / 1000
            break
    return found
