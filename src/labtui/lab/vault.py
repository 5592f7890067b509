"""The lab's Vault servers: where they are, how they are configured, started, unsealed, sealed.

One on truenas; with `lab up --vault-ha` two more, raft peers of it on other machines. What only
the lab may do with the shares in its root-only file is here and in vault_setup.py.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hvac
import requests
from hvac.exceptions import VaultError

from labtui.lab import machines, memory
from labtui.lab.layout import MACHINES, PORTS, STORAGE, Lab
from labtui.lab.system import wait_for, write

SHARES, THRESHOLD = 5, 3
PEERS = ("xps15-cpu", "desktop-gpu")
"""Where the second and the third server of a set run."""
UID = 990
"""Of the account `vault` in the machines."""
DATA = "/var/lib/vault"
ASIDE = "/var/lib/vault-before-drill"
"""Where a drill keeps a server's data until it has passed."""
PROGRAM = "/opt/vault/vault"

UNIT = f"""\
[Unit]
Description=HashiCorp Vault
After=network.target
# Absent until it is built, a first time, while the machine already runs.
ConditionPathExists={PROGRAM}

[Service]
User=vault
ExecStart={PROGRAM} server -config=/etc/vault/vault.json
ExecReload=/bin/kill -HUP $MAINPID
StateDirectory=vault
StateDirectoryMode=0700
UMask=0077
# What it holds in memory is in no core file.
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

ROLE = "compute-node"
ANSWER_S = 6.0
"""How long a peer that has its shares may wait for the leader's word before it gets them again."""


def url(machine: str) -> str:
    """A server's own address."""
    return f"https://{MACHINES[machine].address}:{PORTS['vault']}"


URL = url(STORAGE)


def servers(lab: Lab) -> tuple[str, ...]:
    """The machines on which this lab runs Vault, the first one first."""
    return (STORAGE, *PEERS) if memory.load(lab).vault_ha else (STORAGE,)


def configuration(machine: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """vault.json of one server; `others`: those that it asks to let it join."""
    cluster = PORTS["vault"] + 1
    # 1 is what Vault advises for production; its default takes 15 s to elect a leader.
    storage: dict[str, Any] = {"path": DATA, "node_id": machine, "performance_multiplier": "1"}
    if others:  # an empty list is an error
        storage["retry_join"] = [
            {"leader_api_addr": url(other), "leader_ca_cert_file": "/etc/vault/ca.pem"}
            for other in others
        ]
    return {
        "ui": False,
        "api_addr": url(machine),
        "cluster_addr": f"https://{MACHINES[machine].address}:{cluster}",
        # A container may not lock memory; the storage is as good as the machine it is a part of.
        "disable_mlock": True,
        "storage": {"raft": storage},
        "listener": {
            "tcp": {
                "address": f"0.0.0.0:{PORTS['vault']}",
                "cluster_address": f"0.0.0.0:{cluster}",
                "tls_cert_file": "/etc/vault/server.pem",
                "tls_key_file": "/etc/vault/server.key",
                "telemetry": {"unauthenticated_metrics_access": True},
            }
        },
        "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": True},
    }


def shares_file(lab: Lab) -> Path:
    """Root-only: the five shares and the root token, with the names `operator init` gives them."""
    return lab.secrets / "vault-init.json"


def kept(lab: Lab) -> dict[str, Any] | None:
    """What that file holds; None where there is none."""
    try:
        document: dict[str, Any] = json.loads(shares_file(lab).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return document


def keep(lab: Lab, document: Mapping[str, Any]) -> None:
    """Write that file; it is on disk before this returns."""
    path = shares_file(lab)
    lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(path, json.dumps(document, indent=1) + "\n", 0o600)
    # On disk before anything is done with them: without the shares all is lost.
    for place in (path, path.parent):
        opened = os.open(place, os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)


# All below speaks from within the lab's network: call it by `net.call`.


def client(lab: Lab, machine: str = STORAGE, token: str = "", timeout: float = 10) -> hvac.Client:
    """Without any token of the caller's environment, proxy or redirect; `timeout` in seconds."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(lab.ca)
    return hvac.Client(
        url=url(machine), token=token, session=session, timeout=timeout, allow_redirects=False
    )


def start(lab: Lab, *names: str) -> None:
    """Start the unit on each machine, wait until each answers. Raises LabError."""
    for machine in names:
        machines.run(lab, machine, ["systemctl", "start", "vault"], timeout=60)

    def silent() -> str:
        for machine in names:
            try:
                client(lab, machine).sys.read_seal_status()
            except (VaultError, OSError) as error:
                return f"{machine}: {type(error).__name__}"
        return ""

    wait_for("Vault", silent, timeout=60, every=0.3)


def stop(lab: Lab, *names: str) -> None:
    """Stop the unit on each machine. Raises LabError."""
    for machine in names:
        machines.run(lab, machine, ["systemctl", "stop", "vault"], timeout=60)


def is_sealed(lab: Lab, machine: str = STORAGE) -> bool:
    """Raises VaultError or OSError where it cannot be told."""
    return bool(client(lab, machine).sys.read_seal_status()["sealed"])


def active(lab: Lab) -> str:
    """The machine whose server is the active one now, or ""."""
    for machine in servers(lab):
        try:
            answer = client(lab, machine, timeout=3).sys.read_health_status(method="GET")
        except (VaultError, OSError):
            continue
        if isinstance(answer, dict) or answer.status_code == 200:
            return machine
    return ""


def wait_active(lab: Lab, timeout: float = 60) -> str:
    """The active one, once there is one. Raises LabError after `timeout` seconds."""
    found: list[str] = []

    def none_yet() -> str:
        found[:] = [active(lab)]
        return "" if found[0] else "no server is active"

    wait_for("Vault", none_yet, timeout=timeout, every=0.2)
    return found[0]


def unseal(lab: Lab, shares: Sequence[str], *names: str) -> None:
    """Give each sealed server its shares; all are unsealed and one is active afterwards.

    One that does not know its set yet is waited for: it joins as soon as the set has a leader.
    Raises LabError, VaultError or OSError.
    """
    given: dict[str, float] = {}

    def sealed() -> str:
        why = ""
        for machine in names:
            here = client(lab, machine)
            status = here.sys.read_seal_status()
            if not status["initialized"]:
                why = f"{machine} has not joined"
            elif status["sealed"]:
                why = f"{machine} is sealed"
                # A peer that joins stays so until the leader has checked what it made of them.
                if time.monotonic() - given.get(machine, -math.inf) > ANSWER_S:
                    here.sys.submit_unseal_key(reset=True)
                    here.sys.submit_unseal_keys(shares[:THRESHOLD])
                    given[machine] = time.monotonic()
        return why

    wait_for("Vault", sealed, timeout=90, every=0.2)
    wait_active(lab)


def seal(lab: Lab, token: str) -> list[str]:
    """Seal every server; how each was, in that order: `truenas`, `xps15-cpu by a restart`.

    Only an active one takes the command. Those that are left without a majority get no leader
    any more: they are restarted, as Vault itself advises. Raises LabError, VaultError or OSError.
    """
    told = []
    names = servers(lab)
    while left := [m for m in names if not is_sealed(lab, m)]:
        if len(left) > len(names) // 2 and (machine := wait_active(lab)):
            client(lab, machine, token).sys.seal()
            told.append(machine)
        else:
            for machine in left:
                machines.run(lab, machine, ["systemctl", "restart", "vault"], timeout=60)
                told.append(f"{machine} by a restart")
            start(lab, *left)
    return told


def wipe(lab: Lab, *names: str) -> None:
    """Stop the servers and delete what they hold; they are off afterwards. Raises LabError."""
    stop(lab, *names)
    for machine in names:
        machines.run(lab, machine, ["find", DATA, "-mindepth", "1", "-delete"])


def set_aside(lab: Lab, *names: str) -> None:
    """Stop the servers and take their data away from them, to be put back. Raises LabError."""
    stop(lab, *names)
    for machine in names:
        machines.run(lab, machine, ["mv", "--no-target-directory", DATA, ASIDE])


def put_back(lab: Lab) -> list[str]:
    """Undo `set_aside` wherever a drill left it so; the machines of which it was true.

    The servers that are put back are off afterwards. Raises LabError.
    """
    found = [m for m in servers(lab) if (lab.machine_root(m) / ASIDE.lstrip("/")).is_dir()]
    for machine in found:
        stop(lab, machine)
        machines.run(lab, machine, ["rm", "-rf", "--one-file-system", DATA])
        machines.run(lab, machine, ["mv", "--no-target-directory", ASIDE, DATA])
    return found


def drop_aside(lab: Lab) -> None:
    """The drill has passed: what was set aside is not needed any more. Raises LabError."""
    for machine in servers(lab):
        machines.run(lab, machine, ["rm", "-rf", "--one-file-system", ASIDE])
