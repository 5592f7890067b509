"""Vault's data is lost and comes back from a snapshot: Appendix D, scenario 1.

Each server's data is moved away, which to Vault is as good as destroyed, and put back should the
drill fail. A new Vault with throw-away shares takes the snapshot by force; from then on it has the
original shares again. In a set truenas is restored alone, as a set of one, and the others join it
empty: their copies would be those of a set that is no more.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvac.exceptions import VaultError

from labtui.keyholder.operation import Door
from labtui.keyholder.operations import raft
from labtui.lab import drill_jobs, vault, vault_setup
from labtui.lab.drill_record import Record
from labtui.lab.layout import MONITOR, STORAGE, Lab
from labtui.lab.system import LabError, wait_for

MARKER = "labtui-drill"
"""Below secret/."""
NODE = MONITOR
"""Where the login is tried: a role may be bound to the nodes' addresses."""


def run(lab: Lab, kept: Mapping[str, Any], record: Record) -> None:
    """The drill; Vault is open when it begins. Raises LabError, VaultError, OSError, Refused or
    SourceError."""
    root = vault.client(lab, vault.wait_active(lab), kept["root_token"])
    first, second = secrets.token_hex(8), secrets.token_hex(8)
    _mark(root, first)
    record.step("a marker is put", f"secret/{MARKER} {_hash(first)}")
    snapshot = lab.secrets / "drill.snap"
    snapshot.unlink(missing_ok=True)
    record.facts["snapshot"] = found = _take(lab, kept, snapshot)
    record.step("a raft snapshot is taken", f"{found['size']} bytes, index {found['index']}, whole")
    try:
        _lose_and_restore(lab, kept, record, snapshot, (first, second))
    finally:
        snapshot.unlink()


def _lose_and_restore(
    lab: Lab, kept: Mapping[str, Any], record: Record, snapshot: Path, markers: tuple[str, str]
) -> None:
    names = vault.servers(lab)
    first, second = markers
    _mark(vault.client(lab, vault.wait_active(lab), kept["root_token"]), second)
    record.step("the marker is changed", f"secret/{MARKER} {_hash(second)}")
    try:
        vault.set_aside(lab, *names)
        vault.start(lab, STORAGE)
        _restore(lab, kept, record, snapshot, first)
        if names[1:]:
            vault_setup.join(lab, kept)
            record.step("the peers join it anew", f"{len(names)} voters, all unsealed")
        _remove_mark(lab, kept)
    except BaseException:
        vault.put_back(lab)
        vault.start(lab, *names)
        record.say("Vault has its old data back")
        raise
    if not record.passed:
        vault.put_back(lab)
        vault.start(lab, *names)
        vault.unseal(lab, kept["unseal_keys_b64"], *names)
        _remove_mark(lab, kept)
        raise LabError("not everything came back: Vault has its old data again")
    vault.drop_aside(lab)


def _restore(
    lab: Lab, kept: Mapping[str, Any], record: Record, snapshot: Path, marker: str
) -> None:
    new = vault.client(lab)
    empty = not new.sys.is_initialized()
    record.step("the data is gone", "not initialised" if empty else "still initialised", empty)
    made = new.sys.initialize(1, 1)
    vault.unseal(lab, made["keys_base64"], STORAGE)
    new.token = made["root_token"]
    lost = _marked(new) is None
    record.step("a new Vault with a throw-away share knows nothing", "active, empty", lost)
    throwaway = {"token": bytearray(made["root_token"].encode())}
    raft.restore(_door(lab, STORAGE), throwaway, {"path": str(snapshot), "force": True})
    record.step("it takes the snapshot by force", "taken")

    def open_still() -> str:
        return "" if vault.is_sealed(lab) else "not sealed yet"

    wait_for("Vault", open_still, timeout=30, every=0.2)
    # Until its next start it goes on with the throw-away's threshold and refuses the real shares.
    vault.stop(lab, STORAGE)
    vault.start(lab, STORAGE)
    status = vault.client(lab).sys.read_seal_status()
    asks = f"{status['t']} of {status['n']}"
    wanted = f"{kept['unseal_threshold']} of {kept['unseal_shares']}"
    record.step("restarted, it asks for the original shares", f"sealed, {asks}", asks == wanted)
    vault.unseal(lab, kept["unseal_keys_b64"], STORAGE)
    record.step("the original shares open it", f"active: {vault.active(lab)}")
    root = vault.client(lab, STORAGE, kept["root_token"])
    value = _marked(root)
    record.step(
        "the marker is as it was in the snapshot",
        f"secret/{MARKER} {_hash(value) if value else 'missing'}",
        value == marker,
    )
    asked, accessor = drill_jobs.login(lab, root)
    ok, said = drill_jobs.try_login(lab, NODE, asked)
    drill_jobs.destroy(root, accessor)
    record.step(f"AppRole login and a read work from {NODE}", said, ok)


def _door(lab: Lab, machine: str) -> Door:
    return Door(machine, vault.url(machine), str(lab.ca))


def _take(lab: Lab, kept: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """By the very operation that `labtui vault snapshot` uses; it checks what came."""
    token = {"token": bytearray(kept["root_token"].encode())}
    found = raft.save(_door(lab, vault.wait_active(lab)), token, {"path": str(path)})
    return {key: found[key] for key in ("size", "index", "term", "servers", "sha256")}


def _mark(root: Any, value: str) -> None:
    root.secrets.kv.v2.create_or_update_secret(MARKER, {"marker": value}, mount_point="secret")


def _marked(root: Any) -> str | None:
    try:
        found = root.secrets.kv.v2.read_secret_version(
            MARKER, mount_point="secret", raise_on_deleted_version=True
        )
    except VaultError:
        return None
    return str(found["data"]["data"]["marker"])


def _remove_mark(lab: Lab, kept: Mapping[str, Any]) -> None:
    root = vault.client(lab, vault.wait_active(lab), kept["root_token"])
    root.secrets.kv.v2.delete_metadata_and_all_versions(MARKER, mount_point="secret")


def _hash(value: str) -> str:
    """The marker is no secret, but evidence has no values at all."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]
