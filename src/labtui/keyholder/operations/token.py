"""What a token may and how long it lives; how many there are. The token itself is never told."""

from __future__ import annotations

import time
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, data, done
from labtui.text import inert

MOST = 500
"""Accessors that are looked up one by one; of more only the number is told."""
PATIENCE = 20.0
"""Seconds for that."""
LONG = 32 * 86400
"""Seconds that a token of a person may live without a word about it: Vault's own default."""
FIELDS = (
    "policies", "identity_policies", "display_name", "creation_time", "expire_time", "ttl",
    "creation_ttl", "explicit_max_ttl", "period", "num_uses", "orphan", "renewable", "type",
    "entity_id", "path", "bound_cidrs",
)  # fmt: skip
"""Of lookup-self; `id` and `accessor` are left where they are."""


def lookup(door: Door, secrets: Secrets, params: Params) -> Result:
    """The fields of the given token, times in seconds, and `findings`."""
    client = door.client(secrets["token"])
    with answered(door, "read", "auth/token/lookup-self"):
        found = _fields(data(client.auth.token.lookup_self(), door))
    return {**found, "root": _root(found), "findings": findings(found)}


def revoke_self(door: Door, secrets: Secrets, params: Params) -> Result:
    client = door.client(secrets["token"])
    with answered(door, "update", "auth/token/revoke-self"):
        done(client.auth.token.revoke_self(), door)
    return {}


def accessors(door: Door, secrets: Secrets, params: Params) -> Result:
    """`count` of all tokens; of the `looked` first ones the oldest, and those that are root."""
    client = door.client(secrets["token"])
    path = "auth/token/accessors"
    with answered(door, "list and sudo", path, absent="it has no tokens"):
        keys = data(client.auth.token.list_accessors(), door).get("keys") or []
    most, deadline = int(params.get("most", MOST)), time.monotonic() + PATIENCE
    found: list[dict[str, Any]] = []
    for key in keys[:most]:
        if time.monotonic() > deadline:
            break
        try:
            with answered(door, "update", "auth/token/lookup-accessor"):
                found.append(_fields(data(client.auth.token.lookup_accessor(str(key)), door)))
        except Refused as error:
            if "lacks" in str(error):
                raise
            continue  # it expired in between
    oldest = min((t["creation_time"] for t in found if t.get("creation_time")), default=None)
    roots = [{k: t.get(k) for k in ("display_name", "creation_time", "ttl", "path")}
             for t in found if _root(t)]  # fmt: skip
    return {"count": len(keys), "looked": len(found), "oldest": oldest, "roots": roots,
            "endless": sum(1 for t in found if not t.get("ttl"))}  # fmt: skip


def _fields(told: dict[str, Any]) -> dict[str, Any]:
    return {name: _harmless(told[name]) for name in FIELDS if told.get(name) is not None}


def _harmless(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_harmless(v) for v in value[:64]]
    return value if isinstance(value, (bool, int, float)) else inert(value, 200)


def _root(token: dict[str, Any]) -> bool:
    policies = token.get("policies")
    return isinstance(policies, list) and "root" in policies


def findings(token: dict[str, Any]) -> list[str]:
    """What is wrong with it, a sentence each; the worst first."""
    found = []
    ttl = token.get("ttl")
    if _root(token):
        found.append("a root token, which may do everything: revoke it when done "
                     "(labtui vault token --revoke)")  # fmt: skip
    if ttl == 0:
        found.append("it never expires: whoever finds it can use it for ever")
    elif isinstance(ttl, int) and ttl > LONG:
        found.append(f"it lives {ttl // 86400} days more: give people tokens for a day")
    if isinstance(ttl, int) and 0 < ttl < 300:
        found.append(f"it expires in {ttl} s")
    if token.get("num_uses"):
        found.append(f"it may be used {token['num_uses']} more times, this one not counted")
    return found


OPERATIONS = (
    Operation("token.lookup", ("token",), lookup, writes=False),
    Operation("token.revoke-self", ("token",), revoke_self),
    Operation("token.accessors", ("token",), accessors, writes=False, timeout=60.0),
)
