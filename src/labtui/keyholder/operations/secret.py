"""New versions of a secret in a KV version 2 engine; what is told of one is a salted digest.

A write names the version that was read before (check-and-set), so that a concurrent writer is
noticed, and keeps the secret's other fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, data, nothing_written
from labtui.text import inert

VALUE_LIMIT = 64 << 10
"""Bytes of one value; Vault takes 512 KiB of a whole secret."""
KEPT = 10
"""Versions that an engine keeps where neither it nor the secret says another number."""
_CAS = "check-and-set parameter did not match"


class Place(msgspec.Struct, frozen=True):
    """Where a secret is: `secret/` and `ngc`."""

    mount: str
    path: str

    @property
    def data(self) -> str:
        return f"{self.mount}/data/{self.path}"

    @property
    def metadata(self) -> str:
        return f"{self.mount}/metadata/{self.path}"

    @property
    def words(self) -> str:
        return inert(f"{self.mount}/{self.path}", 120)


class Version(msgspec.Struct, frozen=True):
    """One version as read; its values never leave this process."""

    number: int
    created: str
    fields: Mapping[str, Any] | None
    """None: deleted or destroyed."""


def checked_path(text: str) -> str:
    """A path that means the same to every proxy and client. Raises Refused."""
    path = text.strip("/")
    parts = path.split("/")
    if len(parts) < 2 or not path.isprintable():
        raise Refused(f"{inert(text, 80)!r} is no mount and path, as secret/ngc")
    if any(part in ("", ".", "..") for part in parts) or set(path) & set('?#%*+\\{}"'):
        raise Refused(f"{inert(text, 80)!r} is not a path that Vault keeps a secret at")
    return path


def place_of(door: Door, client: Any, text: str) -> Place:
    """Vault is asked which engine is mounted there, as a mount may have a slash in its name."""
    path = checked_path(text)
    first, _, rest = path.partition("/")
    try:
        with answered(door, "any right", path):
            told = data(client.adapter.get(f"/v1/sys/internal/ui/mounts/{path}"), door)
    except Refused as error:
        if "lacks" not in str(error):
            raise
        # Vault says the same of a path without any right and of one without an engine.
        raise Refused(
            f"Vault on {inert(door.node, 60)}: no engine is mounted at {inert(first, 60)}/, or the "
            f"token has no right on {inert(path, 100)}"
        ) from None
    mount = str(told.get("path") or f"{first}/").strip("/")
    version = str((told.get("options") or {}).get("version") or "1")
    if told.get("type") not in ("kv", "generic") or not f"{path}/".startswith(f"{mount}/"):
        raise Refused(f"{inert(mount, 60)}/ is a {inert(told.get('type'), 40)} engine: it keeps no "
                      "secrets of this kind")  # fmt: skip
    if version != "2":
        raise Refused(f"{inert(mount, 60)}/ is KV version {inert(version, 8)}, which keeps no "
                      "earlier versions: vault kv enable-versioning makes it 2")  # fmt: skip
    rest = path[len(mount) + 1 :]
    if not rest:
        raise Refused(f"{inert(path, 80)} is the engine's mount: name a secret in it")
    return Place(mount, rest)


def read(door: Door, client: Any, place: Place, number: int = 0) -> Version | None:
    """A version; the newest without a number. None where the secret or that version is not."""
    import hvac.exceptions

    with answered(door, "read", place.data):
        try:
            told = data(
                client.secrets.kv.v2.read_secret_version(
                    place.path,
                    version=number or None,
                    mount_point=place.mount,
                    raise_on_deleted_version=False,
                ),
                door,
            )
        except hvac.exceptions.InvalidPath as error:
            # hvac knows a deleted version, not one that was destroyed without being deleted.
            body = error.json if isinstance(error.json, dict) else {}
            if error.errors:
                raise
            if not isinstance(body.get("data"), dict):
                return None
            told = body["data"]
        meta = told["metadata"]
        return Version(int(meta["version"]), inert(meta.get("created_time"), 40), told.get("data"))


def digest(salt: str, value: object) -> str | None:
    """Hex of SHA-256 over the salt's bytes and the value, as a rendered file has it."""
    if not isinstance(value, str):
        return None
    return hashlib.sha256(bytes.fromhex(salt) + value.encode()).hexdigest()


def given(secrets: Secrets, exact: bool) -> str:
    """The value to write. Without `exact` one line's end after it is not taken as a part of it."""
    raw = secrets["value"]
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise Refused("the value is not text (UTF-8)") from None
    if not exact:
        value = value.removesuffix("\n").removesuffix("\r")
        if value != value.strip():
            raise Refused("the value begins or ends with white space, which keys do not: give it "
                          "without, or say that it is meant (--exact)")  # fmt: skip
    if not value:
        raise Refused("the value is empty")
    if len(raw) > VALUE_LIMIT:
        raise Refused(f"the value has {len(raw)} bytes, more than {VALUE_LIMIT >> 10} KiB")
    return value


def look(door: Door, secrets: Secrets, params: Params) -> Result:
    """What is there, by digests: the current version, and what `put` or `rollback` would meet.

    `earlier`: the version to go back to as well, that of the number given, 0: the newest one
    whose field is another. With a value among the secrets `same` says whether it is the current.
    """
    salt, field = str(params["salt"]), str(params["field"])
    client = door.client(secrets["token"])
    place = place_of(door, client, str(params["path"]))
    now = read(door, client, place)
    fields = (now.fields if now else None) or {}
    found: dict[str, Any] = {
        "mount": place.mount,
        "path": place.path,
        "version": now.number if now else 0,
        "created": now.created if now else "",
        "deleted": bool(now and now.fields is None),
        "digest": digest(salt, fields.get(field)),
        "others": sorted(inert(name, 60) for name in fields if name != field)[:16],
    }
    if "value" in secrets:
        value = given(secrets, bool(params.get("exact")))
        found["same"] = fields.get(field) == value
    if params.get("earlier") is not None:
        old = _earlier(door, client, place, now, field, int(params["earlier"]))
        found |= {"earlier": old.number, "earlier_created": old.created,
                  "earlier_digest": digest(salt, (old.fields or {}).get(field))}  # fmt: skip
    return found


def put(door: Door, secrets: Secrets, params: Params) -> Result:
    """The value given as `field` of a new version. `before`: the version that was seen, 0: none."""
    with nothing_written():
        value = given(secrets, bool(params.get("exact")))
        client = door.client(secrets["token"])
        place = place_of(door, client, str(params["path"]))
        now = _seen(door, client, place, params)
        fields = dict((now.fields if now else None) or {})
        if fields.get(str(params["field"])) == value:
            raise Refused(f"{place.words} has this value already, in version "
                          f"{now.number if now else 0}: nothing was written")  # fmt: skip
    return _write(door, client, place, now, fields, value, params)


def rollback(door: Door, secrets: Secrets, params: Params) -> Result:
    """`field` of the earlier version `to` as a new version; the other fields stay as they are."""
    with nothing_written():
        client = door.client(secrets["token"])
        place = place_of(door, client, str(params["path"]))
        now = _seen(door, client, place, params)
        field = str(params["field"])
        old = _earlier(door, client, place, now, field, int(params.get("to") or 0))
        fields = dict((now.fields if now else None) or {})
        value = (old.fields or {})[field]
    return {**_write(door, client, place, now, fields, value, params), "of": old.number}


def versions(door: Door, secrets: Secrets, params: Params) -> Result:
    """Numbers, times and fates of all versions; never a value."""
    client = door.client(secrets["token"])
    place = place_of(door, client, str(params["path"]))
    with answered(door, "read", place.metadata, absent=f"there is no secret {place.words}"):
        told = data(
            client.secrets.kv.v2.read_secret_metadata(place.path, mount_point=place.mount), door
        )
        found = [
            {
                "version": int(number),
                "created": inert(v.get("created_time"), 40),
                "deleted": inert(v.get("deletion_time"), 40),
                "destroyed": bool(v.get("destroyed")),
            }
            for number, v in (told.get("versions") or {}).items()
        ]
        return {
            "mount": place.mount,
            "path": place.path,
            "current": int(told.get("current_version") or 0),
            "oldest": int(told.get("oldest_version") or 0),
            "keeps": int(told.get("max_versions") or 0) or KEPT,
            "versions": sorted(found, key=lambda v: -v["version"]),
        }


def _seen(door: Door, client: Any, place: Place, params: Params) -> Version | None:
    """The current version, which must be the one that the plan showed."""
    now = read(door, client, place)
    number = now.number if now else 0
    before = params.get("before")
    if before is not None and int(before) != number:
        raise Refused(f"somebody else wrote {place.words} meanwhile: it is at version {number}, "
                      f"was at {before}: nothing was written; look again")  # fmt: skip
    return now


def _earlier(
    door: Door, client: Any, place: Place, now: Version | None, field: str, wanted: int
) -> Version:
    """The version `wanted`, or the newest one before `now` whose field is there and another."""
    if now is None:
        raise Refused(f"there is no secret {place.words}")
    current = (now.fields or {}).get(field)
    if wanted:
        if wanted >= now.number:
            raise Refused(f"{place.words} is at version {now.number}: an earlier one is needed")
        old = read(door, client, place, wanted)
        if old is None or old.fields is None:
            gone = "is gone" if old is None else f"of {old.created[:16]} was deleted"
            raise Refused(f"version {wanted} of {place.words} {gone}: another one is needed")
        if not isinstance(old.fields.get(field), str):
            raise Refused(f"version {wanted} of {place.words} has no field {inert(field, 60)}")
        if old.fields[field] == current:
            raise Refused(f"version {wanted} of {place.words} has the value that it has now")
        return old
    for number in range(now.number - 1, max(0, now.number - 1 - 64), -1):
        old = read(door, client, place, number)
        if old is None:  # older than the engine keeps
            break
        value = (old.fields or {}).get(field)
        if isinstance(value, str) and value != current:
            return old
    raise Refused(f"{place.words} has no earlier version whose {inert(field, 60)} is another one")


def _write(
    door: Door,
    client: Any,
    place: Place,
    now: Version | None,
    fields: dict[str, Any],
    value: str,
    params: Params,
) -> Result:
    import hvac.exceptions

    field, salt, number = str(params["field"]), str(params["salt"]), now.number if now else 0
    before = digest(salt, fields.get(field))
    fields[field] = value
    right = "update" if now else "create"
    with answered(door, right, place.data):
        try:
            told = data(
                client.secrets.kv.v2.create_or_update_secret(
                    place.path, fields, cas=number, mount_point=place.mount
                ),
                door,
            )
        except hvac.exceptions.InvalidRequest as error:
            if _CAS in " ".join(map(str, error.errors or ())):
                raise Refused(f"somebody else wrote {place.words} at the same moment: nothing was "
                              "written; look again") from None  # fmt: skip
            raise
    return {
        "version": int(told.get("version") or 0),
        "before": number,
        "digest": digest(salt, value),
        "digest_before": before,
        "kept": len(fields) - 1,
    }


OPERATIONS = (
    Operation("secret.look", ("token",), look, writes=False),
    Operation("secret.versions", ("token",), versions, writes=False),
    Operation("secret.put", ("token", "value"), put),
    Operation("secret.rollback", ("token",), rollback),
)
