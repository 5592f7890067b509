"""Drills of the lab: something is broken for real, mended for real, and every step written down.

They use the shares and the root token in the lab's root-only file: a drill is the lab's own. No
secret is in what they print, nor in their evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hvac.exceptions import VaultError

from labtui.keyholder.operation import Refused
from labtui.lab import background, drill_restore, drill_seal, net, start, vault
from labtui.lab.drill_record import Record
from labtui.lab.layout import Lab, Say
from labtui.lab.system import LabError, lab_lock, locked
from labtui.sources.base import SourceError

DRILLS: dict[str, Callable[[Lab, Mapping[str, Any], Record], None]] = {
    "seal": drill_seal.run,
    "restore": drill_restore.run,
}


def run(lab: Lab, name: str, say: Say) -> tuple[bool, Path]:
    """Whether it passed, and its evidence. Vault is as it was afterwards. Raises LabError."""
    if not net.is_up(lab):
        raise LabError("the lab is not up")
    if background.pid(lab):
        raise LabError("the lab's services are still being set up: `labtui lab up --wait` waits")
    with locked(lab_lock(lab), start.LOCK_S, lambda: say("waiting for another labtui lab command")):
        kept = vault.kept(lab)
        if kept is None or not kept.get("set_up"):
            raise LabError("Vault is not set up: `labtui lab status` says why")
        record = Record(lab, name, say)
        net.call(lab, _guarded, lab, kept, record)
        return record.passed, record.save()


def _guarded(lab: Lab, kept: Mapping[str, Any], record: Record) -> None:
    """The drill itself; Vault is left sealed where it was found so, else open."""
    names = vault.servers(lab)
    opened: list[str] = []
    try:
        if mended := vault.put_back(lab):
            record.say(f"a drill was cut short: Vault on {', '.join(mended)} has its data back")
        vault.start(lab, *names)
        opened = [m for m in names if not vault.is_sealed(lab, m)]
        vault.unseal(lab, kept["unseal_keys_b64"], *names)
        _check_token(lab, kept)
        record.facts["vault"] = {
            "servers": list(names),
            "version": vault.client(lab).sys.read_seal_status()["version"],
        }
        DRILLS[record.drill](lab, kept, record)
    except (LabError, VaultError, OSError, Refused, SourceError) as error:
        record.step("the drill runs to its end", _told(error), ok=False)
    finally:  # also where somebody interrupts it
        try:
            if opened:
                vault.unseal(lab, kept["unseal_keys_b64"], *opened)
            else:
                vault.seal(lab, kept["root_token"])
        except (LabError, VaultError, OSError) as error:
            record.step("Vault is as it was found", _told(error), ok=False)


def _check_token(lab: Lab, kept: Mapping[str, Any]) -> None:
    try:
        vault.client(lab, vault.wait_active(lab), kept["root_token"]).auth.token.lookup_self()
    except VaultError:
        text = "the root token in it is not valid any more; make one by the ceremony"
        raise LabError(f"{vault.shares_file(lab)}: {text}") from None


def _told(error: Exception) -> str:
    """Never more than its type of what was sent to Vault: that may hold a share."""
    plain = isinstance(error, LabError | Refused | SourceError)
    return str(error) if plain else f"Vault: {type(error).__name__}"
