"""What agents need in Vault: KV engines, AppRole, a policy, a role. Read, compared, made so.

What is there and is none of these is left alone; of the role only the fields that are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, data, done, nothing_written
from labtui.keyholder.operations.secret import checked_path
from labtui.sources.base import SourceError
from labtui.text import inert

APPROLE = "approle"
"""Where that auth method is mounted."""
SECONDS = ("token_ttl", "token_max_ttl", "secret_id_ttl", "token_period", "token_explicit_max_ttl")


class Difference(msgspec.Struct, frozen=True):
    """One object that is not as it is wanted."""

    kind: str
    """`engine`, `auth`, `policy`, `role`."""
    name: str
    have: tuple[str, ...]
    """Its lines; empty: it is not there."""
    want: tuple[str, ...]
    call: str
    """`POST /v1/sys/policy/compute-node`."""


def read(door: Door, secrets: Secrets, params: Params) -> Result:
    """`params`: `role`, `paths`. What there is of all that; never a value."""
    client = door.client(secrets["token"])
    return _state(door, client, str(params["role"]), [str(p) for p in params["paths"]])


def apply(door: Door, secrets: Secrets, params: Params) -> Result:
    """Make what differs so, if what the plan saw (`seen`) is still what there is."""
    wanted: Mapping[str, Any] = params["wanted"]
    client = door.client(secrets["token"])
    role = str(wanted["role"]["name"])
    with nothing_written():
        state = _state(door, client, role, [str(p) for p in params["paths"]])
        if state != params["seen"]:
            raise Refused("somebody else changed it meanwhile: nothing was written; look again")
    made: list[str] = []
    for difference in differences(state, wanted):
        try:
            _make(door, client, difference, state, wanted)
        except (Refused, SourceError) as error:
            if not made:
                raise
            text = error.fault.message if isinstance(error, SourceError) else str(error)
            told = f"{text}. Made before that: {', '.join(made)}"
            raise (
                type(error)(told)
                if isinstance(error, Refused)
                else SourceError(error.fault.kind, told)
            ) from None
        made.append(f"{difference.kind} {difference.name}")
    return {"made": made}


def _state(door: Door, client: Any, role: str, paths: Sequence[str]) -> dict[str, Any]:
    with answered(door, "read", "sys/mounts"):
        mounts = data(client.sys.list_mounted_secrets_engines(), door)
    with answered(door, "read", "sys/auth"):
        auths = data(client.sys.list_auth_methods(), door)
    places = {path: _split(checked_path(path), mounts) for path in paths}
    engines = {mount: _engine(mounts.get(f"{mount}/")) for mount, _ in places.values()}
    method = auths.get(f"{APPROLE}/")
    state: dict[str, Any] = {
        "places": {path: list(place) for path, place in places.items()},
        "engines": engines,
        "approle": inert(method.get("type"), 40) if isinstance(method, dict) else None,
        "policy": _policy(door, client, role),
        "role": None,
        "secrets": {},
        "alone": {
            "engines": len(mounts) - sum(1 for m in engines if engines[m]),
            "auths": len(auths) - (method is not None),
            "policies": _policies(door, client, role),
        },
    }
    if state["approle"] == "approle":
        state["role"] = _role(door, client, role)
    for path, (mount, rest) in places.items():
        if engines[mount] == "kv 2":
            state["secrets"][path] = _version(door, client, mount, rest)
    return state


def _split(path: str, mounts: Mapping[str, Any]) -> tuple[str, str]:
    """Mount and rest: the longest one that is there, else the first part."""
    there = [m.strip("/") for m in mounts if path.startswith(m) and path != m.strip("/")]
    mount = max(there, key=len, default=path.partition("/")[0])
    return mount, path[len(mount) + 1 :]


def _engine(told: Any) -> str | None:
    if not isinstance(told, dict):
        return None
    version = (told.get("options") or {}).get("version")
    kind = inert(told.get("type"), 40)
    return f"kv {inert(version or 1, 8)}" if kind == "kv" else kind


def _policy(door: Door, client: Any, name: str) -> str | None:
    import hvac.exceptions

    with answered(door, "read", f"sys/policy/{name}"):
        try:
            return str(data(client.sys.read_policy(name), door).get("rules") or "")
        except hvac.exceptions.InvalidPath:
            return None


def _policies(door: Door, client: Any, name: str) -> int | None:
    try:
        with answered(door, "list", "sys/policy"):
            names = data(client.sys.list_policies(), door).get("policies") or []
    except Refused:
        return None
    return len([n for n in names if n != name])


def _role(door: Door, client: Any, name: str) -> dict[str, Any] | None:
    import hvac.exceptions

    with answered(door, "read", f"auth/{APPROLE}/role/{name}"):
        try:
            told = data(client.auth.approle.read_role(name, mount_point=APPROLE), door)
        except hvac.exceptions.InvalidPath as error:
            if error.errors:
                raise
            return None
    return {str(key): plain(value) for key, value in sorted(told.items())}


def _version(door: Door, client: Any, mount: str, path: str) -> int | str:
    """The current version, 0 where there is no such secret; a word where it may not be asked."""
    import hvac.exceptions

    where = f"{mount}/metadata/{path}"
    try:
        with answered(door, "read", where):
            try:
                told = client.secrets.kv.v2.read_secret_metadata(path, mount_point=mount)
            except hvac.exceptions.InvalidPath:
                return 0
            return int(data(told, door).get("current_version") or 0)
    except Refused as error:
        return inert(error, 200)


def plain(value: Any) -> Any:
    """A field of a role as both sides write it: Vault drops the /32 of one address."""
    if isinstance(value, (list, tuple)):
        return sorted(inert(v, 120).removesuffix("/32") for v in value)
    return value if value is None or isinstance(value, (bool, int, float)) else inert(value, 200)


def differences(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Difference]:
    """In the order in which they are made. Pure. Raises Refused where something is in the way."""
    found = []
    for mount, have in state["engines"].items():
        if have is None:
            found.append(Difference("engine", f"{mount}/", (), ("type = kv", "version = 2"),
                                    f"POST /v1/sys/mounts/{mount}"))  # fmt: skip
        elif have != "kv 2":
            raise Refused(f"{mount}/ is {have}, not KV version 2: that is left to you")
    if state["approle"] is None:
        found.append(Difference("auth", f"{APPROLE}/", (), ("type = approle",),
                                f"POST /v1/sys/auth/{APPROLE}"))  # fmt: skip
    elif state["approle"] != "approle":
        raise Refused(f"{APPROLE}/ is an auth method of type {state['approle']}: left to you")
    policy = wanted["policy"]
    have, want = _lines(state["policy"]), _lines(policy["text"])
    if have != want:
        found.append(Difference("policy", policy["name"], have, want,
                                f"POST /v1/sys/policy/{policy['name']}"))  # fmt: skip
    role = wanted["role"]
    there = state["role"]
    fields = {key: plain(value) for key, value in sorted(role["fields"].items())}
    if there is None or any(there.get(key) != value for key, value in fields.items()):
        old = _fields({k: v for k, v in (there or {}).items() if k in fields})
        found.append(Difference("role", role["name"], old, _fields(fields),
                                f"POST /v1/auth/{APPROLE}/role/{role['name']}"))  # fmt: skip
    return found


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple(line.rstrip() for line in (text or "").strip().splitlines())


def _fields(fields: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key} = {_word(key, value)}" for key, value in fields.items())


def _word(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if key in SECONDS:
        return _duration(int(value or 0))
    if value is None or isinstance(value, (list, tuple)):
        return ", ".join(map(str, value or ())) or "(none)"
    return str(value)


def _duration(seconds: int) -> str:
    """`1h`; 0 is `0 (no limit of its own)`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "0 (no limit of its own)"


def _make(
    door: Door, client: Any, what: Difference, state: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    name = what.name.strip("/")
    match what.kind:
        case "engine":
            with answered(door, "create", f"sys/mounts/{name}"):
                done(client.sys.enable_secrets_engine("kv", path=name, options={"version": "2"}),
                     door)  # fmt: skip
        case "auth":
            with answered(door, "create and sudo", f"sys/auth/{name}"):
                done(client.sys.enable_auth_method("approle", path=name), door)
        case "policy":
            with answered(door, "update", f"sys/policy/{name}"):
                done(client.sys.create_or_update_policy(name, wanted["policy"]["text"]), door)
        case "role":
            there = state["role"] or {}
            changed = {
                key: value
                for key, value in wanted["role"]["fields"].items()
                if key not in there or there[key] != plain(value)
            }
            # Not hvac's own method: it leaves out what is false or empty.
            with answered(door, "update", f"auth/{APPROLE}/role/{name}"):
                done(client.adapter.post(f"/v1/auth/{APPROLE}/role/{name}", json=changed), door)


OPERATIONS = (
    Operation("setup.read", ("token",), read, writes=False),
    Operation("setup.apply", ("token",), apply, timeout=60.0),
)
