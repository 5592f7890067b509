"""Bringing a lab up, and taking it down so that nothing is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

from msgspec.structs import replace

from labtui.lab import (
    background,
    fault,
    inventory,
    machines,
    memory,
    monitoring,
    net,
    ready,
    root,
    services,
    share,
    start,
    vault,
)
from labtui.lab.layout import MACHINES, MONITOR, SHARE, Lab, Say
from labtui.lab.system import (
    USAGE,
    LabError,
    lab_lock,
    locked,
    run,
)

NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")
GRACE_S = 8.0
"""How long a machine may take to shut down before its power is cut."""


def check_host(lab: Lab) -> None:
    """Whether a lab can be had here at all. Raises LabError with the reason."""
    if not NAME.fullmatch(lab.name):
        raise LabError("a lab's name is 1 to 16 of a-z, 0-9 and -, a letter first", USAGE)
    root.check_suite_name(lab.suite)
    if os.geteuid():
        raise LabError("the lab makes machines and networks: run this as root", USAGE)
    release = root.host_release()
    if "debian" not in (release.get("ID"), *release.get("ID_LIKE", "").split()):
        raise LabError("the lab needs a Debian machine (it is installed with apt)", USAGE)
    if "overlay" not in Path("/proc/filesystems").read_text():
        run(["modprobe", "overlay"], check=False)
        if "overlay" not in Path("/proc/filesystems").read_text():
            raise LabError("this kernel has no overlay file system")


def remembered(name: str, suite: str | None) -> Lab:
    """The lab of that name, of the suite asked for, else the one it has, else the default."""
    lab = Lab(name)
    return replace(lab, suite=suite or memory.load(lab).suite or lab.suite)


def bring_up(lab: Lab, say: Say, wait: bool = False, vault_ha: bool = False) -> None:
    """Machines and Slurm ready, the services' slower part under way; `wait` for that too.

    `vault_ha` gives it two more Vault servers, for good.

    Harmless on a lab that is up; mends one that was killed or has faults. Raises LabError.
    """
    check_host(lab)
    with locked(lab_lock(lab), start.LOCK_S, lambda: say("waiting for another labtui lab command")):
        known = memory.load(lab)
        root.install_host(say)
        running = set(machines.leaders(lab))
        if running and known.suite != lab.suite:
            raise LabError(f"the lab {lab.name} runs {known.suite}: take it down first", USAGE)
        _heal(lab, known, say)
        if broken := machines.broken(lab):
            say(f"restarting {', '.join(broken)}")
            machines.power_off(lab, broken, grace=GRACE_S)
        running = set(machines.leaders(lab))
        base = _base(lab, known, bool(running), say)
        more = vault_ha and not known.vault_ha
        known.suite, known.root = lab.suite, base.name
        known.vault_ha |= vault_ha
        memory.save(lab, known)
        off = [m for m in MACHINES if m not in running]
        started = time.monotonic()
        if off:
            say(f"starting {', '.join(off)}")
        start.start(lab, off, base, say)
        if more:
            background.stop(lab)  # what is at work does not know of them yet
            _add_vaults(lab, running, say)

        def booted(machine: str) -> None:
            if machine in off:
                known.boot_s[machine] = round(time.monotonic() - started, 1)

        ready.wait(lab, booted)
        known.faults.clear()
        memory.save(lab, known)
        inventory.save(lab)
        say(f"four machines and Slurm are ready ({time.monotonic() - started:.1f} s)")
        background.start(lab)
    if wait:
        background.follow(lab, say)


def take_down(lab: Lab, say: Say, forget: bool = False) -> None:
    """Stop everything and remove every process, mount, namespace and bridge of the lab.

    What its machines hold stays for the next `up`, unless `forget`. Raises LabError.
    """
    check_host(lab)
    with locked(lab_lock(lab), start.LOCK_S, lambda: say("waiting for another labtui lab command")):
        background.stop(lab)
        for pid in machines.leaders(lab).values():
            for process in machines.processes(pid):
                machines.signal_process(process, signal.SIGCONT)
        machines.power_off(lab, MACHINES, grace=GRACE_S)
        machines.kill_strays(lab)
        machines.unmount(lab)
        machines.remove_cgroups(lab)
        if shutil.which("ip"):
            net.remove(lab)
        known = memory.load(lab)
        if known.faults:
            known.faults.clear()
            memory.save(lab, known)
        if forget and lab.state.exists():
            root.remove(lab.state)
    say(f"the lab {lab.name} is {'gone' if forget else 'down'}")


def _base(lab: Lab, known: memory.Memory, running: bool, say: Say) -> Path:
    """The root to start machines on. A new one starts them afresh: layers fit one root only."""
    current = lab.cache / known.root
    if running and known.root and current.is_dir():
        return current
    carrier = share.choose()
    say(f"{SHARE} is carried by {carrier.name}: {carrier.why}")
    wanted = (p for s in services.of(lab) for p in s.packages)
    base = root.ensure(lab, say, [*wanted, *carrier.packages])
    machines.unmount(lab)
    if known.root and known.root != base.name:
        say("the root file system is a new one: the machines start afresh")
        root.remove(lab.state / "machines")
        root.remove(lab.secrets)
    return base


def _add_vaults(lab: Lab, running: set[str], say: Say) -> None:
    """Vault's peers on machines that run already; their units start when they are to join."""
    say(f"two more Vault servers: {', '.join(vault.PEERS)}; all three are sealed afterwards")
    for service in services.of(lab):
        if service.machine in running and service.name in ("vault", "prometheus"):
            service.prepare(lab, say)
    if MONITOR in running:
        try:
            monitoring.reload(lab)
        except OSError as error:
            say(f"Prometheus does not scrape them before its next start: {error}")


def _heal(lab: Lab, known: memory.Memory, say: Say) -> None:
    for machine, what in known.faults.items():
        say(f"healing {machine} ({', '.join(what)})")
        fault.undo(lab, machine)
