"""What the lab puts into its Vault, once, and how the servers of a set find each other."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hvac
from hvac.exceptions import InvalidPath, InvalidRequest

from labtui.lab import machines, vault, vault_build
from labtui.lab.layout import STORAGE, Lab, Say
from labtui.lab.system import wait_for

DONE = 2
"""The set-up that a lab has: 1 kept both secrets in the field `api_key`."""

POLICY = """\
path "secret/data/ngc" { capabilities = ["read"] }
path "secret/data/huggingface" { capabilities = ["read"] }
"""
"""What a node may read, and nothing more."""

SECRETS = (("ngc", "api_key", "nvapi-"), ("huggingface", "token", "hf_"))
"""Path below secret/, field, and how the real thing begins."""


def set_up(lab: Lab, say: Say) -> None:
    """Initialise once, put the minimum in, join the peers, seal again.

    Whatever was left half done is finished. Raises LabError, VaultError or OSError.
    """
    if mended := vault.put_back(lab):
        say(f"a drill was cut short: Vault on {', '.join(mended)} has its data back")
        vault.start(lab, *mended)
    client = vault.client(lab)
    kept = vault.kept(lab)
    if client.sys.is_initialized() and kept is None:
        # Killed between the answer and the file: nobody has these shares, so nothing is lost.
        say("Vault's shares were never stored: it starts anew")
        vault.wipe(lab, *vault.servers(lab))
        vault.start(lab, STORAGE)
    if not client.sys.is_initialized():
        kept = _initialise(lab, client)
    if kept is None:
        return
    peers = [m for m in vault.servers(lab) if m != STORAGE]
    filled = int(kept.get("set_up", 0))
    joined = set(peers) <= set(kept.get("joined", []))
    if filled >= DONE and joined:
        return
    # A lab that is only brought to date stays as its people left it.
    reseal = not filled or not joined or vault.is_sealed(lab)
    if filled < DONE:
        vault.unseal(lab, kept["unseal_keys_b64"], STORAGE, *kept.get("joined", []))
        fill(vault.client(lab, token=kept["root_token"]))
    if not joined:
        # Killed from here on, truenas may have a peer already without which it has no majority.
        kept = kept | {"set_up": DONE}
        vault.keep(lab, kept)
        join(lab, kept)
    if reseal:
        vault.seal(lab, kept["root_token"])
        say(f"Vault is sealed; its shares are in {vault.shares_file(lab)}")
    vault.keep(lab, kept | {"set_up": DONE} | ({"joined": peers} if peers else {}))


def join(lab: Lab, kept: Mapping[str, Any]) -> None:
    """The peers become voters of truenas's set; all are unsealed then.

    Raises LabError, VaultError or OSError.
    """
    names = vault.servers(lab)
    for machine in names[1:]:
        _give_program(lab, machine)
        machines.run(lab, machine, ["systemctl", "daemon-reload"])
    vault.start(lab, *names)
    vault.unseal(lab, kept["unseal_keys_b64"], *names)

    def voteless() -> str:
        here = vault.client(lab, vault.active(lab) or STORAGE, kept["root_token"])
        found = here.sys.read_raft_config()["data"]["config"]["servers"]
        voters = {server["node_id"] for server in found if server["voter"]}
        return ", ".join(f"{m} has no vote yet" for m in names if m not in voters)

    # The leader watches a new peer for ten seconds before it lets it vote.
    wait_for("Vault's set", voteless, timeout=90, every=0.5)


def _give_program(lab: Lab, machine: str) -> None:
    """Into a peer's own root: only truenas was booted with the folder that has it."""
    source = vault_build.folder(lab) / "vault"
    target = lab.machine_root(machine) / vault.PROGRAM.lstrip("/")
    if target.exists() and _same(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(".vault.new")
    shutil.copy2(source, draft)
    draft.replace(target)


def _same(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return (first.st_size, first.st_mtime) == (second.st_size, second.st_mtime)


def _initialise(lab: Lab, client: hvac.Client) -> dict[str, Any]:
    answer = client.sys.initialize(vault.SHARES, vault.THRESHOLD)
    kept = {
        "unseal_keys_b64": answer["keys_base64"],
        "unseal_keys_hex": answer["keys"],
        "unseal_shares": vault.SHARES,
        "unseal_threshold": vault.THRESHOLD,
        "root_token": answer["root_token"],
    }
    vault.keep(lab, kept)
    return kept


def fill(client: hvac.Client) -> None:
    """Each step may have been done before. Raises LabError or VaultError."""
    if "secret/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    if "approle/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy(vault.ROLE, POLICY)
    client.auth.approle.create_or_update_approle(
        vault.ROLE, token_policies=[vault.ROLE], token_ttl="1h", token_max_ttl="24h"
    )
    for path, field, prefix in SECRETS:
        wait_for("secret/", partial(_put, client, path, field, prefix), timeout=30)


def _put(client: hvac.Client, path: str, field: str, prefix: str) -> str:
    """A random value that looks like the real thing; "" when it is there, else why not yet.

    An earlier lab has it in `api_key`: it keeps that, with the same value.
    """
    engine = client.secrets.kv.v2
    try:
        found = engine.read_secret_version(
            path, mount_point="secret", raise_on_deleted_version=False
        )
        data = found["data"]["data"] or {}
        version = found["data"]["metadata"]["version"]
    except InvalidPath:
        data, version = {}, 0
    except InvalidRequest:
        return "upgrading to version 2"  # for a moment after it was enabled
    if field not in data:
        value = data.get("api_key") or prefix + secrets.token_urlsafe(24)
        engine.create_or_update_secret(
            path, data | {field: value}, cas=version, mount_point="secret"
        )
    return ""
