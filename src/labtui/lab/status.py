"""How a lab is, seen from the machine it runs on: `lab status`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from labtui.lab import machines, memory, net, ready, services, share, slurm
from labtui.lab.layout import CONTROLLER, MACHINES, UNITS, Health, Lab, State
from labtui.lab.system import LabError

UNIT_STATES: dict[str, State] = {
    "active": "running",
    "reloading": "running",
    "activating": "starting",
    "failed": "failed",
}
BAD = ("failed", "stopped", "absent")


class ServiceStatus(msgspec.Struct, frozen=True):
    """One service of one machine."""

    name: str
    machine: str
    health: Health


class LabStatus(msgspec.Struct, frozen=True):
    """Everything `lab status` tells."""

    lab: Lab
    pids: dict[str, int]
    memory: memory.Memory
    services: list[ServiceStatus]

    @property
    def up(self) -> bool:
        return net.is_up(self.lab) and len(self.pids) == len(MACHINES)

    @property
    def fine(self) -> bool:
        return self.up and not any(s.health.state in BAD for s in self.services)

    def document(self) -> dict[str, Any]:
        """The JSON document `labtui/lab/1`."""
        return {
            "schema": "labtui/lab/1",
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "name": self.lab.name,
            "namespace": self.lab.namespace,
            "suite": self.memory.suite or None,
            "up": self.up,
            "machines": [
                {
                    "name": m.name,
                    "address": m.address,
                    "state": "running" if m.name in self.pids else "stopped",
                    "pid": self.pids.get(m.name),
                    "fault": ",".join(self.memory.faults.get(m.name, [])) or None,
                    "boot_s": self.memory.boot_s.get(m.name),
                }
                for m in MACHINES.values()
            ],
            "services": [
                {
                    "name": s.name,
                    "machine": s.machine,
                    "state": s.health.state,
                    "detail": s.health.detail,
                }
                for s in self.services
            ],
        }


def take(lab: Lab) -> LabStatus:
    """Ask every machine and service, at the same time, each with a limit of a few seconds."""
    pids = machines.leaders(lab)
    wanted = services.of(lab)
    own = {s.name for s in wanted}
    with ThreadPoolExecutor(16) as pool:
        units = [
            pool.submit(_units, lab, m, pids.get(m), [u for u in UNITS[m] if u not in own])
            for m in MACHINES
        ]
        cluster = pool.submit(_guarded, lambda: _cluster(lab, pids))
        others = [(s, pool.submit(_guarded, partial(s.health, lab))) for s in wanted]
        found = [status for future in units for status in future.result()]
        found.append(ServiceStatus("slurm", CONTROLLER, cluster.result()))
        found += [ServiceStatus(s.name, s.machine, future.result()) for s, future in others]
    return LabStatus(lab, pids, memory.load(lab), found)


def _units(lab: Lab, machine: str, pid: int | None, units: list[str]) -> list[ServiceStatus]:
    if pid is None:
        off = Health("stopped", f"{machine} is off")
        return [ServiceStatus(unit, machine, off) for unit in units]
    argv = ["timeout", "4", "systemctl", "show", "--property=ActiveState,LoadState", *units]
    try:
        said = machines.run(lab, machine, argv, timeout=6, check=False).stdout.strip()
    except LabError as e:
        said = str(e)
    blocks = [
        dict(line.split("=", 1) for line in b.splitlines() if "=" in line)
        for b in said.split("\n\n")
    ]
    if len(blocks) != len(units):
        mute = Health("failed", f"systemd on {machine} does not answer")
        return [ServiceStatus(unit, machine, mute) for unit in units]
    found = [
        ServiceStatus(unit, machine, _unit_health(block))
        for unit, block in zip(units, blocks, strict=True)
    ]
    mounted = ready.has_share(pid)
    state: State = "running" if mounted else "failed"
    found.append(ServiceStatus("share", machine, Health(state, share.kind(lab, machine))))
    return found


def _unit_health(block: dict[str, str]) -> Health:
    if block.get("LoadState") == "not-found":
        return Health("absent", "not installed")
    said = block.get("ActiveState", "unknown")
    return Health(UNIT_STATES.get(said, "stopped"), "" if said == "active" else said)


def _cluster(lab: Lab, pids: dict[str, int]) -> Health:
    if CONTROLLER not in pids:
        return Health("stopped", f"{CONTROLLER} is off")
    why = slurm.lacks(lab)
    return Health("failed", why) if why else Health("running")


def _guarded(ask: Callable[[], Health]) -> Health:
    try:
        return ask()
    except (LabError, OSError, ValueError) as e:
        return Health("failed", str(e))
