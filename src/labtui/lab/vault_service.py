"""Vault as services of the lab: TLS from the lab's authority, raft storage, five shares of which
three unseal. It is sealed whenever the lab comes up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hvac.exceptions import VaultError

from labtui.lab import net, progress, tls, vault, vault_build, vault_setup
from labtui.lab.layout import MACHINES, STORAGE, Health, Lab, Say
from labtui.lab.progress import Progress
from labtui.lab.system import LabError, enable, write


class Vault:
    """The first server: built in the background the first time, then from the cache."""

    name = "vault"
    machine = STORAGE
    packages: Sequence[str] = ()

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return [(vault_build.folder(lab), str(Path(vault.PROGRAM).parent))]

    def prepare(self, lab: Lab, say: Say) -> None:
        vault_build.folder(lab).mkdir(parents=True, exist_ok=True)
        _prepare(lab, STORAGE, ())
        command = lab.machine_root(STORAGE) / "usr/local/bin/vault"
        if not command.is_symlink():
            command.symlink_to(vault.PROGRAM)

    def finish(self, lab: Lab, say: Say) -> None:
        told = Progress(lab.progress / "vault.json")
        told.tell("building", "Vault is being built")
        vault_build.ensure(lab, say)
        told.tell("starting", "Vault starts")
        try:
            net.call(lab, vault.start, lab, STORAGE)
            net.call(lab, vault_setup.set_up, lab, say)
        except (VaultError, OSError) as error:
            # Its type and status only: what was sent may hold a share.
            raise LabError(f"Vault's set-up: {type(error).__name__}, see its journal") from None
        told.tell("running", "")

    def health(self, lab: Lab) -> Health:
        return _health(lab, STORAGE)


class VaultPeer:
    """A further server of the set; `Vault.finish` lets it join."""

    name = "vault"
    packages: Sequence[str] = ()

    def __init__(self, machine: str) -> None:
        self.machine = machine

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        """Nothing: the program is copied, for the machine may run already."""
        return ()

    def prepare(self, lab: Lab, say: Say) -> None:
        _prepare(lab, self.machine, [m for m in (STORAGE, *vault.PEERS) if m != self.machine])

    def finish(self, lab: Lab, say: Say) -> None:
        """Nothing: it joins when the first one is set up."""

    def health(self, lab: Lab) -> Health:
        return _health(lab, self.machine)


def _prepare(lab: Lab, machine: str, others: Sequence[str]) -> None:
    address = MACHINES[machine].address
    name = f"vault-{machine}" if machine != STORAGE else machine
    tls.ensure_server(lab, name, [machine, "localhost"], [address, "127.0.0.1"])
    root = lab.machine_root(machine)
    owner = (vault.UID, vault.UID)
    _add_line(
        root / "etc/passwd", f"vault:x:{vault.UID}:{vault.UID}::{vault.DATA}:/usr/sbin/nologin"
    )
    _add_line(root / "etc/group", f"vault:x:{vault.UID}:")
    etc = root / "etc/vault"
    write(etc / "vault.json", json.dumps(vault.configuration(machine, others), indent=1) + "\n")
    write(etc / "ca.pem", lab.ca.read_text())
    write(etc / "server.pem", (lab.secrets / f"{name}.pem").read_text())
    write(etc / "server.key", (lab.secrets / f"{name}.key").read_text(), 0o400, owner)
    # The folder comes last: where agents run too there is a vault of their own.
    profile = f"VAULT_ADDR={vault.url(machine)} VAULT_CACERT=/etc/vault/ca.pem"
    write(root / "etc/profile.d/vault.sh", f"export {profile} PATH=$PATH:/opt/vault\n")
    write(root / "etc/systemd/system/vault.service", vault.UNIT)
    enable(root, "vault")


def _health(lab: Lab, machine: str) -> Health:
    if vault_build.binary(lab) is None:
        return vault_build.health(lab)
    told = lab.progress / "vault.json"
    try:
        status = net.call(lab, lambda: vault.client(lab, machine).sys.read_seal_status())
    except (VaultError, OSError) as error:
        why = Health("failed", f"{vault.url(machine)} does not answer: {type(error).__name__}")
        return progress.health(told, vault_build.lock_file(lab), why)
    if not status["initialized"]:
        lacks = "initialised" if machine == STORAGE else "a member of the set"
        return Health("starting", f"not {lacks} yet")
    if status["sealed"]:
        given = f"{status['progress']} of {status['t']} shares given"
        return Health("running", f"sealed, {given}; shares: {vault.shares_file(lab)}")
    return Health("running", "unsealed")


def _add_line(path: Path, line: str) -> None:
    text = path.read_text()
    if line not in text.splitlines():
        write(path, f"{text.rstrip()}\n{line}\n")
