"""What a machine says of itself: one read-only command a poll.

The script is a constant; mount points and unit names reach it as arguments. A mount that hangs
must not hang the poll, and a process that waits for a dead server cannot always be killed: each
mount is asked by a `stat` in the background that gets one second, and while the one of an earlier
poll still waits, no other is started.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

import msgspec

from labtui.hosts.base import Host, HostError
from labtui.model import Item
from labtui.text import inert

# sh -c SCRIPT labtui [MOUNT PID-OF-EARLIER-PROBE]... -- [UNIT]...
SCRIPT = r"""
LC_ALL=C; export LC_ALL
say() { printf '\n@@ %s\n' "$1"; }
probe() {
  i=0
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if grep -qs labtui-probe "/proc/$2/cmdline"; then echo "probe $i $2"
    else
      sh -c 'stat -f -- "$1" >/dev/null && echo "ok $2" || echo "failing $2"' \
        labtui-probe "$1" $i &
      echo "probe $i $!"
    fi
    i=$((i + 1)); shift 2
  done
}
say begin; date +%s.%N
say load; cat /proc/loadavg
say uptime; cat /proc/uptime /proc/1/stat
say memory; grep -E '^Mem(Total|Available):' /proc/meminfo
say cpus; getconf _NPROCESSORS_ONLN
say disk; stat -f -c '%S %b %a' /
say table; [ "$1" = -- ] || cat /proc/mounts
say mounts; [ "$1" = -- ] || probe "$@" </dev/null 2>/dev/null | timeout -s KILL 1 cat
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -gt 0 ] && shift
say units; [ $# -gt 0 ] && command -v systemctl >/dev/null &&
  timeout -s KILL 1 systemctl show --property=LoadState,ActiveState -- "$@"
say end; date +%s.%N
"""

TICKS = 100.0
"""USER_HZ, in which the kernel tells a process's start: 100 on every Linux that matters here."""
_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?"


class HostFacts(Item, frozen=True, kw_only=True):
    """One poll. What could not be had is None; it is never 0."""

    load1: float | None = None
    cpus: int | None = None
    memory_total_mib: int | None = None
    memory_used_mib: int | None = None
    """Total less what the kernel calls available."""
    disk_total_mib: int | None = None
    disk_free_mib: int | None = None
    """Of `/`, for an ordinary user."""
    clock_offset_ms: float | None = None
    """Its clock less ours."""
    clock_error_ms: float | None = None
    """The offset is known no better than this: half the round trip."""
    uptime_s: float | None = None
    """Seconds since its first process started; true of a container as well."""
    services: dict[str, str] = msgspec.field(default_factory=dict)
    """Unit -> systemd's word for it, `not-found`, `masked` or `unknown`."""
    mounts: dict[str, str] = msgspec.field(default_factory=dict)
    """Mount point -> `nfs4 from truenas`, `not mounted`, `hung (nfs4 from truenas)`, `failing`."""


class NodeSource:
    """Polls one machine; remembers which mounts still have a probe waiting there."""

    def __init__(self, host: Host, mounts: Sequence[str] = (), units: Sequence[str] = ()) -> None:
        self._host = host
        self._mounts = tuple(mounts)
        self._units = tuple(units)
        self._waiting: dict[str, int] = {}

    async def facts(self, timeout: float) -> HostFacts:
        """Raises HostError."""
        probes = [word for m in self._mounts for word in (m, str(self._waiting.get(m, 0)))]
        argv = ["sh", "-c", SCRIPT, "labtui", *probes, "--", *self._units]
        sent = time.time()
        done = await self._host.run(argv, timeout=timeout)
        facts, self._waiting = parse(
            done.stdout, self._mounts, self._units, sent=sent, received=time.time()
        )
        return facts


def parse(
    output: str, mounts: Sequence[str], units: Sequence[str], *, sent: float, received: float
) -> tuple[HostFacts, dict[str, int]]:
    """The script's output as facts, and mount -> pid of the probes that wait.

    `sent` and `received` are our clock around it. Raises HostError when it is something else.
    """
    parts = _sections(output)
    if "begin" not in parts or "end" not in parts:
        said = inert(output.strip(), 60)
        raise HostError("protocol", f"it answered something else: {said or 'nothing'}")
    memory = dict(re.findall(r"^(\w+):\s+(\d{1,15}) kB$", parts.get("memory", ""), re.MULTILINE))
    total, available = (_mib(memory.get(f"Mem{word}"), 1024) for word in ("Total", "Available"))
    disk = re.fullmatch(r"(\d{1,9}) (\d{1,18}) (\d{1,18})", parts.get("disk", ""))
    offset, error = _clock(parts["begin"], parts["end"], sent, received)
    states, waiting = _mounts(parts, mounts)
    cpus = parts.get("cpus", "")
    return HostFacts(
        load1=_first(rf"({_NUMBER}) ", parts.get("load", "")),
        cpus=int(cpus) if re.fullmatch(r"[1-9]\d{0,5}", cpus) else None,
        memory_total_mib=total,
        memory_used_mib=None if total is None or available is None else max(0, total - available),
        disk_total_mib=_mib(disk[2], 1048576, int(disk[1])) if disk else None,
        disk_free_mib=_mib(disk[3], 1048576, int(disk[1])) if disk else None,
        clock_offset_ms=offset,
        clock_error_ms=error,
        uptime_s=_uptime(parts.get("uptime", "")),
        services=_services(parts.get("units", ""), units),
        mounts=states,
    ), waiting


def _sections(output: str) -> dict[str, str]:
    """`@@ name` lines and what follows each; what a login script printed before is left out."""
    _, *rest = re.split(r"^@@ (\w+)$", output, flags=re.MULTILINE)
    return {name: body.strip("\n") for name, body in zip(rest[::2], rest[1::2], strict=True)}


def _first(pattern: str, text: str) -> float | None:
    hit = re.match(pattern, text)
    return float(hit[1]) if hit else None


def _mib(text: str | None, units_per_mib: int, factor: int = 1) -> int | None:
    return None if text is None else int(text) * factor // units_per_mib


def _clock(begin: str, end: str, sent: float, received: float) -> tuple[float | None, float | None]:
    """As NTP does it from four times: (offset, how far it may be off), in ms."""
    first, last = _first(f"({_NUMBER})$", begin), _first(f"({_NUMBER})$", end)
    if first is None or last is None or last < first or received < sent:
        return None, None
    offset = ((first - sent) + (last - received)) / 2
    error = max(0.0, (received - sent) - (last - first)) / 2
    return round(offset * 1000, 1), round(error * 1000, 1)


def _uptime(text: str) -> float | None:
    up, _, first_process = text.partition("\n")
    seconds = _first(rf"({_NUMBER}) ", up)
    after = first_process.rpartition(")")[2].split()
    if seconds is not None and len(after) > 19 and re.fullmatch(r"\d{1,15}", after[19]):
        seconds -= int(after[19]) / TICKS
    return None if seconds is None else max(0.0, round(seconds, 1))


def _services(text: str, units: Sequence[str]) -> dict[str, str]:
    blocks = [dict(re.findall(r"^(\w+)=([\w-]+)$", b, re.MULTILINE)) for b in text.split("\n\n")]
    if len(blocks) != len(units):
        return dict.fromkeys(units, "unknown")
    return {unit: _state(block) for unit, block in zip(units, blocks, strict=True)}


def _state(block: Mapping[str, str]) -> str:
    loaded = block.get("LoadState", "loaded")
    return loaded if loaded in ("not-found", "masked") else block.get("ActiveState", "unknown")


def _mounts(
    parts: Mapping[str, str], mounts: Sequence[str]
) -> tuple[dict[str, str], dict[str, int]]:
    table: dict[str, str] = {}
    for line in parts.get("table", "").splitlines():
        fields = line.split(" ")
        if len(fields) > 2:  # the last one mounted on a point is the one that is seen
            table[_unescape(fields[1])] = _origin(_unescape(fields[0]), fields[2])
    lines = [line.split(" ") for line in parts.get("mounts", "").splitlines()]
    answers = {f[1]: f[0] for f in lines if len(f) == 2}
    pids = {f[1]: int(f[2]) for f in lines if len(f) == 3 and re.fullmatch(r"\d{1,9}", f[2])}
    states: dict[str, str] = {}
    waiting: dict[str, int] = {}
    for index, mount in enumerate(mounts):
        answer = answers.get(str(index))
        origin = table.get(mount) or table.get(mount.rstrip("/"))
        if origin is None:
            states[mount] = "not mounted"
        elif answer == "ok":
            states[mount] = origin
        elif answer == "failing":
            states[mount] = f"failing ({origin})"
        else:
            states[mount] = f"hung ({origin})" if str(index) in pids else "unknown"
        if answer is None and str(index) in pids:
            waiting[mount] = pids[str(index)]
    return states, waiting


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-3][0-7]{2})", lambda hit: chr(int(hit[1], 8)), text)


def _origin(source: str, kind: str) -> str:
    """`nfs4 from truenas`, `sshfs from truenas`, `ext4 on /dev/sda1`."""
    server, colon, _ = source.rpartition(":")
    kind = kind.removeprefix("fuse.")
    if colon and not source.startswith("/"):
        return inert(f"{kind} from {server.rpartition('@')[2].strip('[]')}", 80)
    return inert(f"{kind} on {source}", 80)
