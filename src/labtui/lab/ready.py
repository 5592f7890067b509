"""When a lab is ready: every machine answers on ssh, has the share, and Slurm can use its nodes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from labtui.lab import machines, net, slurm
from labtui.lab.layout import MACHINES, PORTS, SHARE, Lab
from labtui.lab.system import LabError, wait_for

START_S = 10.0
"""After this a machine without its container has ended, and waiting is in vain."""
BOOT_S = 120.0
SLURM_S = 120.0
"""Limits for a busy machine; with nothing else to do four machines take 4 s."""


def wait(lab: Lab, booted: Callable[[str], None] = lambda machine: None, only: str = "") -> None:
    """Wait until the lab, or `only` one machine of it, is ready. Raises LabError.

    `booted` hears of each machine as it answers.
    """
    started = time.monotonic()
    waiting = [only] if only else list(MACHINES)

    def machines_lack() -> str:
        why = ""
        if time.monotonic() - started > START_S:
            for machine in set(waiting) - {*machines.supervisors(lab), *machines.leaders(lab)}:
                log = lab.machine_dir(machine) / "console.log"
                raise LabError(f"{machine} does not start: {log} says why")
        for machine in list(waiting):
            if lack := machine_lacks(lab, machine):
                why = why or lack
            else:
                waiting.remove(machine)
                booted(machine)
        return why

    wait_for("the lab", machines_lack, timeout=BOOT_S)
    wait_for("Slurm", lambda: slurm.lacks(lab, only), timeout=SLURM_S)


def machine_lacks(lab: Lab, machine: str) -> str:
    """Why a machine is not ready, or ""."""
    pid = machines.leader(lab, machine)
    if pid is None:
        return f"{machine} is not running"
    if not net.call(lab, greets, MACHINES[machine].address, PORTS["ssh"]):
        return f"{machine} does not answer on ssh"
    if MACHINES[machine].partition and not listens(pid, PORTS["slurmd"]):
        return f"{machine} has no slurmd"
    if not has_share(pid):
        return f"{machine} has no {SHARE}"
    return ""


def greets(address: str, port: int, timeout: float = 0.5) -> bool:
    """Whether a server there says something first, as sshd does; `timeout` in seconds."""
    end = time.monotonic() + timeout
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.settimeout(max(0.05, end - time.monotonic()))
            return bool(connection.recv(1))
    except OSError:
        return False


def listens(pid: int, port: int) -> bool:
    """Whether a machine takes connections on a port; seen without making one, which slurmd logs."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        # sl local_address rem_address st ...; state 0A is LISTEN.
        if any(w[1].endswith(wanted) and w[3] == "0A" for w in (line.split() for line in lines)):
            return True
    return False


def has_share(pid: int) -> bool:
    """Whether the share is mounted there; read from the kernel, for a hung mount answers nobody."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return any(line.split(" ")[4] == SHARE for line in lines)
