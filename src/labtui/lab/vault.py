"""Vault on truenas: TLS from the lab's authority, raft storage, five shares of which three unseal.

It is sealed whenever the lab comes up. Its shares and root token are in one root-only file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hvac
import requests
from hvac.exceptions import VaultError

from labtui.lab import machines, net, progress, tls, vault_build
from labtui.lab.layout import MACHINES, PORTS, STORAGE, Health, Lab, Say
from labtui.lab.progress import Progress
from labtui.lab.system import LabError, enable, wait_for, write

SHARES, THRESHOLD = 5, 3
ADDRESS = MACHINES[STORAGE].address
URL = f"https://{ADDRESS}:{PORTS['vault']}"
UID = 990
"""Of the account `vault` in the machine."""
DATA = "/var/lib/vault"

UNIT = """\
[Unit]
Description=HashiCorp Vault
After=network.target
# Absent until it is built, a first time, while the machine already runs.
ConditionPathExists=/opt/vault/vault

[Service]
User=vault
ExecStart=/opt/vault/vault server -config=/etc/vault/vault.json
ExecReload=/bin/kill -HUP $MAINPID
StateDirectory=vault
StateDirectoryMode=0700
NoNewPrivileges=yes
LimitCORE=0
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

CONFIGURATION = {
    "ui": False,
    "api_addr": URL,
    "cluster_addr": f"https://{ADDRESS}:{PORTS['vault'] + 1}",
    # A container may not lock memory; the storage is as good as the machine it is a part of.
    "disable_mlock": True,
    "storage": {"raft": {"path": DATA, "node_id": STORAGE}},
    "listener": {
        "tcp": {
            "address": f"0.0.0.0:{PORTS['vault']}",
            "tls_cert_file": "/etc/vault/server.pem",
            "tls_key_file": "/etc/vault/server.key",
            "telemetry": {"unauthenticated_metrics_access": True},
        }
    },
    "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": True},
}

PROFILE = f"export VAULT_ADDR={URL} VAULT_CACERT=/etc/vault/ca.pem\n"

ROLE = "compute-node"
POLICY = """\
path "secret/data/ngc" { capabilities = ["read"] }
path "secret/data/huggingface" { capabilities = ["read"] }
"""
"""What a node may read, and nothing more."""


def shares_file(lab: Lab) -> Path:
    """Root-only: the five shares and the root token, with the names `operator init` gives them."""
    return lab.secrets / "vault-init.json"


class Vault:
    """The real one: built in the background the first time, then from the cache."""

    name = "vault"
    machine = STORAGE
    packages: Sequence[str] = ()

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return [(vault_build.folder(lab), "/opt/vault")]

    def prepare(self, lab: Lab, say: Say) -> None:
        vault_build.folder(lab).mkdir(parents=True, exist_ok=True)
        tls.ensure_server(lab, STORAGE, [STORAGE, "localhost"], [ADDRESS, "127.0.0.1"])
        root = lab.machine_root(self.machine)
        owner = (UID, UID)
        _add_line(root / "etc/passwd", f"vault:x:{UID}:{UID}::{DATA}:/usr/sbin/nologin")
        _add_line(root / "etc/group", f"vault:x:{UID}:")
        etc = root / "etc/vault"
        write(etc / "vault.json", json.dumps(CONFIGURATION, indent=1) + "\n")
        write(etc / "ca.pem", lab.ca.read_text())
        write(etc / "server.pem", (lab.secrets / f"{STORAGE}.pem").read_text())
        write(etc / "server.key", (lab.secrets / f"{STORAGE}.key").read_text(), 0o400, owner)
        write(root / "etc/profile.d/vault.sh", PROFILE)
        command = root / "usr/local/bin/vault"
        if not command.is_symlink():
            command.symlink_to("/opt/vault/vault")
        write(root / "etc/systemd/system/vault.service", UNIT)
        enable(root, "vault")

    def finish(self, lab: Lab, say: Say) -> None:
        told = Progress(lab.progress / "vault.json")
        told.tell("building", "Vault is being built")
        vault_build.ensure(lab, say)
        told.tell("starting", "Vault starts")
        try:
            net.call(lab, _start, lab)
            net.call(lab, set_up, lab, say)
        except (VaultError, OSError) as error:
            # Its type and status only: what was sent may hold a share.
            raise LabError(f"Vault's set-up: {type(error).__name__}, see its journal") from None
        told.tell("running", "")

    def health(self, lab: Lab) -> Health:
        if vault_build.binary(lab) is None:
            return vault_build.health(lab)
        try:
            status = net.call(lab, lambda: _client(lab).sys.read_seal_status())
        except (VaultError, OSError) as error:
            why = Health("failed", f"{URL} does not answer: {type(error).__name__}")
            return progress.health(lab.progress / "vault.json", vault_build.lock_file(lab), why)
        if not status["initialized"]:
            return Health("starting", "not initialised yet")
        if status["sealed"]:
            given = f"{status['progress']} of {status['t']} shares given"
            return Health("running", f"sealed, {given}; shares: {shares_file(lab)}")
        return Health("running", "unsealed")


def set_up(lab: Lab, say: Say) -> None:
    """Initialise once, put the minimum in, seal again. Whatever was left half done is finished."""
    client = _client(lab)
    kept = _kept(lab)
    if client.sys.is_initialized() and kept is None:
        # Killed between the answer and the file: nobody has these shares, so nothing is lost.
        say("Vault's shares were never stored: it starts anew")
        _wipe(lab)
    if not client.sys.is_initialized():
        kept = _initialise(lab, client)
    if kept is None or kept.get("set_up"):
        return
    _unseal(client, kept["unseal_keys_b64"])
    client.token = kept["root_token"]
    _fill(client)
    client.sys.seal()
    _keep(lab, kept | {"set_up": True})
    say(f"Vault is sealed; its shares are in {shares_file(lab)}")


def _initialise(lab: Lab, client: hvac.Client) -> dict[str, Any]:
    answer = client.sys.initialize(SHARES, THRESHOLD)
    kept = {
        "unseal_keys_b64": answer["keys_base64"],
        "unseal_keys_hex": answer["keys"],
        "unseal_shares": SHARES,
        "unseal_threshold": THRESHOLD,
        "root_token": answer["root_token"],
    }
    _keep(lab, kept)
    return kept


def _unseal(client: hvac.Client, shares: Sequence[str]) -> None:
    if client.sys.is_sealed():
        client.sys.submit_unseal_key(reset=True)
        client.sys.submit_unseal_keys(shares[:THRESHOLD])

    def standby() -> str:
        answer = client.sys.read_health_status(method="GET")
        return "" if isinstance(answer, dict) or answer.status_code == 200 else "not active yet"

    wait_for("Vault", standby, timeout=60)


def _fill(client: hvac.Client) -> None:
    """Each step may have been done before."""
    if "secret/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    if "approle/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy(ROLE, POLICY)
    client.auth.approle.create_or_update_approle(
        ROLE, token_policies=[ROLE], token_ttl="1h", token_max_ttl="24h"
    )
    wait_for("secret/", lambda: _put(client, "ngc", "nvapi-"), timeout=30)
    wait_for("secret/", lambda: _put(client, "huggingface", "hf_"), timeout=30)


def _put(client: hvac.Client, path: str, prefix: str) -> str:
    """A random value that looks like the real thing; "" when it is there, else why not yet."""
    try:
        value = {"api_key": prefix + secrets.token_urlsafe(24)}
        client.secrets.kv.v2.create_or_update_secret(path, value, cas=0, mount_point="secret")
    except hvac.exceptions.InvalidRequest as error:
        if "check-and-set" not in str(error):
            return "upgrading to version 2"  # for a moment after it was enabled
    return ""


def _client(lab: Lab) -> hvac.Client:
    """Without any token of the caller's environment, proxy or redirect."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(lab.ca)
    return hvac.Client(url=URL, token="", session=session, timeout=10, allow_redirects=False)


def _start(lab: Lab) -> None:
    """Inside the lab's namespace: start the unit, wait until it answers."""
    machines.run(lab, STORAGE, ["systemctl", "start", "vault"], timeout=60)

    def silent() -> str:
        try:
            _client(lab).sys.read_seal_status()
        except (VaultError, OSError) as error:
            return type(error).__name__
        return ""

    wait_for("Vault", silent, timeout=60, every=0.3)


def _wipe(lab: Lab) -> None:
    machines.run(lab, STORAGE, ["systemctl", "stop", "vault"], timeout=60)
    machines.run(lab, STORAGE, ["find", DATA, "-mindepth", "1", "-delete"])
    _start(lab)


def _kept(lab: Lab) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = json.loads(shares_file(lab).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return kept


def _keep(lab: Lab, kept: dict[str, Any]) -> None:
    path = shares_file(lab)
    lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(path, json.dumps(kept, indent=1) + "\n", 0o600)
    # On disk before anything is done with them: without the shares all is lost.
    for place in (path, path.parent):
        opened = os.open(place, os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)


def _add_line(path: Path, line: str) -> None:
    text = path.read_text()
    if line not in text.splitlines():
        write(path, f"{text.rstrip()}\n{line}\n")
