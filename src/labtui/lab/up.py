"""Bringing a lab up, and taking it down so that nothing is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from labtui.lab import background, inventory, machines, memory, net, ready, root, share, slurm, ssh
from labtui.lab.layout import MACHINES, STORAGE, Lab, Say, Service
from labtui.lab.services import SERVICES
from labtui.lab.system import (
    USAGE,
    LabError,
    enable,
    lab_lock,
    locked,
    run,
    write,
)

NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")
LOCK_S = 1800.0
"""How long to wait for another `up` or `down` of the same lab: it may be building a root."""
GRACE_S = 8.0
"""How long a machine may take to shut down before its power is cut."""

EXPORTER_ARGS = """\
# Debian leaves /mnt out. A share that hangs must not hold up a scrape, which has two seconds.
ARGS="--collector.textfile.directory=/var/lib/prometheus/node-exporter \
--collector.filesystem.mount-points-exclude=^/(dev|proc|run|sys|opt)(/.*)?$ \
--collector.filesystem.mount-timeout=1s"
"""


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


def bring_up(lab: Lab, say: Say, wait: bool = False) -> None:
    """Machines and Slurm ready, the services' slower part under way; `wait` for that too.

    Harmless on a lab that is up; mends one that was killed or has faults. Raises LabError.
    """
    check_host(lab)
    with locked(lab_lock(lab), LOCK_S, lambda: say("waiting for another labtui lab command")):
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
        known.suite, known.root = lab.suite, base.name
        memory.save(lab, known)
        off = [m for m in MACHINES if m not in running]
        started = time.monotonic()
        if off:
            say(f"starting {', '.join(off)}")
        start(lab, off, base, say)

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


def start(lab: Lab, off: Iterable[str], base: Path, say: Say) -> None:
    """Mount, prepare and boot machines that are off; returns before they are ready."""
    names = list(off)
    net.ensure(lab)
    machines.kill_strays(lab)
    ssh.ensure_keys(lab)
    share.ensure_keys(lab)
    for machine in names:
        machines.mount(lab, machine, base)
        _prepare(lab, machine)
    for service in _services(names):
        try:
            service.prepare(lab, say)
        except (LabError, OSError) as e:
            say(f"{service.name}: {e}")
    for machine in names:
        binds = [bind for service in _services([machine]) for bind in service.binds(lab)]
        machines.boot(lab, machine, binds)


def take_down(lab: Lab, say: Say, forget: bool = False) -> None:
    """Stop everything and remove every process, mount, namespace and bridge of the lab.

    What its machines hold stays for the next `up`, unless `forget`. Raises LabError.
    """
    check_host(lab)
    with locked(lab_lock(lab), LOCK_S, lambda: say("waiting for another labtui lab command")):
        if pid := background.pid(lab):
            os.killpg(pid, signal.SIGKILL)
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
    base = root.ensure(lab, say, (p for s in SERVICES for p in s.packages))
    machines.unmount(lab)
    if known.root and known.root != base.name:
        say("the root file system is a new one: the machines start afresh")
        root.remove(lab.state / "machines")
        root.remove(lab.secrets)
    return base


def _heal(lab: Lab, known: memory.Memory, say: Say) -> None:
    from labtui.lab import fault

    for machine, what in known.faults.items():
        say(f"healing {machine} ({', '.join(what)})")
        fault.undo(lab, machine)


def _prepare(lab: Lab, machine: str) -> None:
    """A machine's own identity, keys and Slurm; its layer may be new or have run before."""
    base = lab.machine_root(machine)
    hosts = [f"{m.address} {m.name}" for m in MACHINES.values()]
    write(base / "etc/hosts", "\n".join(["127.0.0.1 localhost", *hosts, ""]))
    write(base / "etc/hostname", f"{machine}\n")
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine}.{lab.name}.labtui")
    write(base / "etc/machine-id", f"{identity.hex}\n", 0o444)
    write(base / "etc/default/prometheus-node-exporter", EXPORTER_ARGS)
    enable(base, "prometheus-node-exporter")
    ssh.prepare(lab, machine, share.keys(lab) if machine == STORAGE else ())
    share.prepare(lab, machine)
    slurm.prepare(lab, machine)


def _services(names: Iterable[str]) -> list[Service]:
    wanted = set(names)
    return [s for s in SERVICES if s.machine in wanted]
