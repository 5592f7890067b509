"""What the lab is made of: machines, addresses, paths. Pure data; nothing touches the system."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

SUITES: dict[str, str] = {"trixie": "24.11", "bookworm": "22.05", "sid": "26.05"}
"""Debian suite -> the Slurm release it carries."""

OPERATOR = "labop"
"""The account labtui uses on every machine: key-only ssh, Slurm operator."""

GATEWAY = "10.77.0.1"
"""The console's own address on the lab's bridge."""

PORTS: dict[str, int] = {
    "ssh": 22,
    "slurmctld": 6817,
    "slurmd": 6818,
    "slurmdbd": 6819,
    "node-exporter": 9100,
    "gpu-exporter": 9400,
    "prometheus": 9090,
    "alertmanager": 9093,
    "mlflow": 5000,
    "vault": 8200,
    "kube-apiserver": 6443,
    "kubelet": 10250,
}

Say = Callable[[str], None]
"""Progress for the person at the terminal: one short line a call."""


class Machine(msgspec.Struct, frozen=True):
    """One of the four: its Slurm hardware is configured, not measured (config_overrides)."""

    name: str
    address: str
    cpus: int
    memory_mib: int
    gres: str = ""
    partition: str = ""
    """Empty: no slurmd there."""


MACHINES: dict[str, Machine] = {
    m.name: m
    for m in (
        Machine("desktop-gpu", "10.77.0.10", 16, 64000, "gpu:4", "gpu"),
        Machine("xps15-cpu", "10.77.0.20", 12, 32000, "", "cpu"),
        Machine("jetson-edge", "10.77.0.40", 6, 8000, "gpu:jetson:1", "edge"),
        Machine("truenas", "10.77.0.50", 8, 32000),
    )
}

CONTROLLER = "desktop-gpu"
"""slurmctld, slurmdbd and MariaDB run here; the console's Slurm login node."""
MONITOR = "xps15-cpu"
"""Prometheus, Alertmanager and MLflow run here."""
STORAGE = "truenas"
"""Vault and the shared file system are served from here."""

SHARE = "/mnt/nfs"
"""The shared folder on every machine; truenas keeps it in /srv/nfs."""

UNITS: dict[str, tuple[str, ...]] = {
    "desktop-gpu": (
        *("ssh", "munge", "slurmd", "slurmctld", "slurmdbd", "mariadb"),
        *("etcd", "kube-apiserver", "kube-scheduler", "kwok", "prometheus-node-exporter"),
    ),
    "xps15-cpu": (
        *("ssh", "munge", "slurmd", "prometheus-node-exporter"),
        *("prometheus", "prometheus-alertmanager", "mlflow"),
    ),
    "jetson-edge": ("ssh", "munge", "slurmd", "prometheus-node-exporter"),
    "truenas": ("ssh", "munge", "prometheus-node-exporter", "vault"),
}
"""The systemd units that matter on each machine: what the nodes screen watches."""


class Lab(msgspec.Struct, frozen=True):
    """One named lab. Two labs with different names share nothing but the cache."""

    name: str = "lab"
    suite: str = "trixie"

    @property
    def namespace(self) -> str:
        """The network namespace of bridge and console: it has no route out."""
        return f"labtui-{self.name}"

    @property
    def cache(self) -> Path:
        """Root file systems, built binaries: made once, shared by all labs."""
        return Path(os.environ.get("LABTUI_CACHE", "/var/cache/labtui"))

    @property
    def state(self) -> Path:
        """Everything else of this lab; removing it forgets the lab."""
        return Path(os.environ.get("LABTUI_STATE", "/var/lib/labtui")) / self.name

    @property
    def root(self) -> Path:
        """The read-only lower layer of every machine."""
        return self.cache / f"root-{self.suite}"

    @property
    def config(self) -> Path:
        """The labtui configuration that `lab up` writes."""
        return self.state / "labtui.toml"

    @property
    def ssh(self) -> Path:
        """`id`, `id.pub` and `known_hosts` of the lab."""
        return self.state / "ssh"

    @property
    def secrets(self) -> Path:
        """Root-only (0700): Vault's shares and root token, munge key, CA key."""
        return self.state / "secrets"

    @property
    def ca(self) -> Path:
        """The lab's own certificate authority, as labtui and the machines trust it."""
        return self.state / "ca.pem"

    @property
    def progress(self) -> Path:
        """Background work (`vault-build.json`, ...): what `lab status` and screens read."""
        return self.state / "progress"

    @property
    def evidence(self) -> Path:
        """What drills found, one JSON file each."""
        return self.state / "evidence"

    def machine_dir(self, machine: str) -> Path:
        """`upper`, `work`, `root` (the mounted overlay), `console.log`."""
        return self.state / "machines" / machine

    def machine_root(self, machine: str) -> Path:
        return self.machine_dir(machine) / "root"


State = Literal["running", "starting", "building", "stopped", "failed", "absent"]


class Health(msgspec.Struct, frozen=True):
    """How one service of the lab is, for `lab status` and for waiting."""

    state: State
    detail: str = ""
    """One sentence: why it failed, how far a build is."""


class Service(Protocol):
    """Something that runs in the lab beside ssh and Slurm.

    `prepare` runs before the machines boot, with each machine's overlay mounted; it only writes
    files. `finish` runs after boot, in a background process: it may take minutes (a build) and
    must be safe to run again after having been killed anywhere.
    """

    name: str
    machine: str
    packages: Sequence[str]
    """Debian packages it needs in the root file system."""

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        """Read-only binds of cached folders into the machine: (host path, path inside)."""
        ...

    def prepare(self, lab: Lab, say: Say) -> None: ...

    def finish(self, lab: Lab, say: Say) -> None: ...

    def health(self, lab: Lab) -> Health: ...
