"""Starting machines that are off: at `up`, and again when a stopped one is healed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from labtui.lab import machines, net, services, share, slurm, ssh
from labtui.lab.layout import MACHINES, STORAGE, Lab, Say, Service
from labtui.lab.system import LabError, enable, write

LOCK_S = 1800.0
"""How long to wait for another `up` or `down` of the same lab: it may be building a root."""

EXPORTER_ARGS = """\
# Debian leaves /mnt out. A share that hangs must not hold up a scrape, which has two seconds.
ARGS="--collector.textfile.directory=/var/lib/prometheus/node-exporter \
--collector.filesystem.mount-points-exclude=^/(dev|proc|run|sys|opt)(/.*)?$ \
--collector.filesystem.mount-timeout=1s"
"""


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
    for service in _services(lab, names):
        try:
            service.prepare(lab, say)
        except (LabError, OSError) as e:
            say(f"{service.name}: {e}")
    for machine in names:
        binds = [bind for service in _services(lab, [machine]) for bind in service.binds(lab)]
        machines.boot(lab, machine, binds, share.options(lab, machine))


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


def _services(lab: Lab, names: Iterable[str]) -> list[Service]:
    wanted = set(names)
    return [s for s in services.of(lab) if s.machine in wanted]
