"""Secret-ids for the agents' nodes, response-wrapped: what is handed over can be opened once, on
the node, and whoever opens one before is noticed.

They are written into a file in memory that has no name, from which ansible-playbook reads them:
the console holds it open and never looks in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, data, nothing_written
from labtui.text import inert

TTL = "10m"
"""How long a wrapped secret-id may be opened."""
MOST = 200
"""Secret-ids of a role that are looked at for older ones of the same node."""
_MEMORY = re.compile(r"/proc/[0-9]{1,10}/fd/[0-9]{1,6}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


def deliver(door: Door, secrets: Secrets, params: Params) -> Result:
    """Into `memory`: {"wrapped": {node: token}, "role_id": ...}. Told: for each of `nodes` the
    accessors of its `older` secret-ids, by their metadata."""
    role, nodes, memory = (
        _named(params["role"]),
        list(map(_named, params["nodes"])),
        params["memory"],
    )
    if not _MEMORY.fullmatch(str(memory)):
        raise Refused("a secret-id is only written into memory")
    client = door.client(secrets["token"])
    base = f"auth/approle/role/{role}"
    with nothing_written(), answered(door, "read", f"{base}/role-id", absent=_absent(role)):
        role_id = data(client.auth.approle.read_role_id(role), door)["role_id"]
    older = _older(client, door, role, nodes)
    wrapped: dict[str, str] = {}
    with answered(door, "update", f"{base}/secret-id", absent=_absent(role)):
        for node in nodes:
            answer = client.auth.approle.generate_secret_id(
                role, metadata={"node": node}, wrap_ttl=params.get("ttl", TTL)
            )
            wrapped[node] = _wrapped(answer)
    body = json.dumps({"wrapped": wrapped, "role_id": role_id}).encode()
    with Path(memory).open("wb") as file:
        file.write(body)
    return {"nodes": nodes, "older": older}


def _wrapped(answer: Any) -> str:
    info = answer.get("wrap_info") if isinstance(answer, dict) else None
    token = info.get("token") if isinstance(info, dict) else None
    if not isinstance(token, str):
        raise Refused("Vault did not wrap the secret-id: nothing is handed over")
    return token


def _older(client: Any, door: Door, role: str, nodes: list[str]) -> dict[str, list[str]]:
    """A token that may not list them gets none: then they stay, and it is told by their absence."""
    import hvac.exceptions as said

    found: dict[str, list[str]] = {node: [] for node in nodes}
    try:
        keys = client.auth.approle.list_secret_id_accessors(role)["data"]["keys"]
        for key in keys[:MOST]:
            told = client.auth.approle.read_secret_id_accessor(role, key)["data"]
            node = (told.get("metadata") or {}).get("node")
            if node in found:
                found[node].append(str(key))
    except (said.VaultError, KeyError, TypeError, AttributeError):
        return found
    return found


def destroy(door: Door, secrets: Secrets, params: Params) -> Result:
    """Destroys secret-ids by their `accessors`, or all of `nodes`; tells how many."""
    role = _named(params["role"])
    client = door.client(secrets["token"])
    accessors = [str(a) for a in params.get("accessors", ())]
    if nodes := list(map(_named, params.get("nodes", ()))):
        accessors += [a for group in _older(client, door, role, nodes).values() for a in group]
    right = f"auth/approle/role/{role}/secret-id-accessor/destroy"
    with answered(door, "update", right, absent=_absent(role)):
        for accessor in accessors:
            client.auth.approle.destroy_secret_id_accessor(role, accessor)
    return {"destroyed": len(accessors)}


def _named(text: Any) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise Refused(f"{inert(text, 60)!r} is no name")
    return text


def _absent(role: str) -> str:
    return f"there is no AppRole {role!r}: `labtui vault setup` makes it"


OPERATIONS = (
    Operation("approle.deliver", ("token",), deliver, timeout=60.0),
    Operation("approle.destroy", ("token",), destroy, timeout=60.0),
)
