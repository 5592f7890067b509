"""What a lab remembers between commands: its suite and root, its Vault servers, its faults."""

from __future__ import annotations

import json

import msgspec
from msgspec.structs import asdict

from labtui.lab.layout import Lab
from labtui.lab.system import write


class Memory(msgspec.Struct):
    """`lab.json` in the lab's state. What runs is never read from here."""

    suite: str = ""
    root: str = ""
    """The folder under every machine's layer; another root needs new layers."""
    faults: dict[str, list[str]] = msgspec.field(default_factory=dict)
    boot_s: dict[str, float] = msgspec.field(default_factory=dict)
    vault_ha: bool = False
    """Vault has two more servers, on other machines."""


def load(lab: Lab) -> Memory:
    """The lab's memory; a lab that never was, or an unreadable file, has none."""
    try:
        document = json.loads((lab.state / "lab.json").read_text())
        return Memory(**document)
    except (OSError, ValueError, TypeError):
        return Memory()


def save(lab: Lab, memory: Memory) -> None:
    """Write it whole."""
    write(lab.state / "lab.json", json.dumps(asdict(memory), indent=1) + "\n", 0o600)
