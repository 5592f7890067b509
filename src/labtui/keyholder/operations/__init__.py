"""Every operation by its id. A module is imported in the keyholder, when one of its is asked."""

from __future__ import annotations

from importlib import import_module

from labtui.keyholder.operation import Operation

MODULES = {
    "unseal": "labtui.keyholder.operations.unseal",
    "seal": "labtui.keyholder.operations.seal",
    "token": "labtui.keyholder.operations.token",
    "setup": "labtui.keyholder.operations.setup",
    "secret": "labtui.keyholder.operations.secret",
    "audit": "labtui.keyholder.operations.audit",
    "approle": "labtui.keyholder.operations.approle",
    "init": "labtui.keyholder.operations.init",
    "rekey": "labtui.keyholder.operations.rekey",
    "root": "labtui.keyholder.operations.root",
    "raft": "labtui.keyholder.operations.raft",
}
"""The part of an id before its dot -> the module, whose OPERATIONS are a tuple of Operation."""


def operation(id: str) -> Operation:
    """Raises KeyError where there is none of that id."""
    module = import_module(MODULES[id.partition(".")[0]])
    found: Operation = {o.id: o for o in module.OPERATIONS}[id]
    return found
