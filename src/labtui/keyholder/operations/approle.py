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
_MEMORY = re.compile(r"/proc/[0-9]{1,10}/fd/[0-9]{1,6}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


def deliver(door: Door, secrets: Secrets, params: Params) -> Result:
    """Into `memory`: {"wrapped": {node: token}, "role_id": ...}. Told: for each of `nodes` the
    `accessors` of what was made (empty: Vault does not tell) and of its `older` secret-ids, by
    their metadata, or why these are not known."""
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
    older, unknown = {}, ""
    try:
        older = _of_nodes(client, door, role, nodes)
    except Refused as error:
        unknown = str(error)
    wrapped: dict[str, str] = {}
    accessors: dict[str, str] = {}
    with answered(door, "update", f"{base}/secret-id", absent=_absent(role)):
        for node in nodes:
            answer = client.auth.approle.generate_secret_id(
                role, metadata={"node": node}, wrap_ttl=params.get("ttl", TTL)
            )
            wrapped[node], accessors[node] = _wrapped(answer)
    body = json.dumps({"wrapped": wrapped, "role_id": role_id}).encode()
    with Path(memory).open("wb") as file:
        file.write(body)
    return {"nodes": nodes, "accessors": accessors, "older": older, "unknown": unknown}


def _wrapped(answer: Any) -> tuple[str, str]:
    """The single-use token, and the accessor of what it holds."""
    info = answer.get("wrap_info") if isinstance(answer, dict) else None
    token = info.get("token") if isinstance(info, dict) else None
    if not isinstance(info, dict) or not isinstance(token, str):
        raise Refused("Vault did not wrap the secret-id: nothing is handed over")
    return token, inert(info.get("wrapped_accessor") or "", 100)


def _of_nodes(client: Any, door: Door, role: str, nodes: list[str]) -> dict[str, list[str]]:
    """The accessors of each node's secret-ids, by their metadata; all are looked at. Raises
    Refused."""
    import hvac.exceptions as said

    found: dict[str, list[str]] = {node: [] for node in nodes}
    base = f"auth/approle/role/{role}"
    with nothing_written():
        with answered(door, "list", f"{base}/secret-id"):
            try:
                keys = data(client.auth.approle.list_secret_id_accessors(role), door)["keys"]
            except (said.InvalidPath, said.InvalidRequest) as error:
                # There is none, or not even the role, without which none works.
                if error.errors and "does not exist" not in str(error.errors):
                    raise
                return found
        with answered(door, "update", f"{base}/secret-id-accessor/lookup"):
            for key in keys:
                try:
                    told = data(client.auth.approle.read_secret_id_accessor(role, key), door)
                except said.InvalidPath:
                    continue  # it has gone meanwhile
                node = (told.get("metadata") or {}).get("node")
                if node in found:
                    found[node].append(str(key))
    return found


def destroy(door: Door, secrets: Secrets, params: Params) -> Result:
    """Destroys secret-ids by their `accessors`, or all of `nodes`; tells how many, and of whom."""
    role = _named(params["role"])
    client = door.client(secrets["token"])
    nodes = list(map(_named, params.get("nodes", ())))
    groups = _of_nodes(client, door, role, nodes) if nodes else {}
    groups[""] = [str(a) for a in params.get("accessors", ())]
    right = f"auth/approle/role/{role}/secret-id-accessor/destroy"
    with answered(door, "update", right, absent=_absent(role)):
        counts = {
            node: sum(_destroyed(client, role, accessor) for accessor in group)
            for node, group in groups.items()
        }
    return {"destroyed": sum(counts.values()), "of": {node: counts[node] for node in nodes}}


def _destroyed(client: Any, role: str, accessor: str) -> bool:
    """False: it was not there any more, for which Vault 1.21 says 500."""
    import hvac.exceptions as said

    try:
        client.auth.approle.destroy_secret_id_accessor(role, accessor)
    except (said.InvalidPath, said.InternalServerError) as error:
        if "failed to find accessor" not in f"{error.errors} {error.text}":
            raise
        return False
    return True


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
