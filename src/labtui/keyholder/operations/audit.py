"""Audit devices: where Vault writes who asked for what. Without one nobody could tell."""

from __future__ import annotations

import re
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, data, done, nothing_written
from labtui.text import inert

PATH = "sys/audit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def list_devices(door: Door, secrets: Secrets, params: Params) -> Result:
    """`devices`: name, type, options; `findings`."""
    client = door.client(secrets["token"])
    devices = _devices(door, client)
    return {"devices": devices, "findings": findings(devices)}


def enable(door: Door, secrets: Secrets, params: Params) -> Result:
    """A file device. `path`: on the server; `name`: what it is called there."""
    path, name = file_path(str(params["path"])), device_name(str(params.get("name") or "file"))
    client = door.client(secrets["token"])
    with nothing_written():
        devices = _devices(door, client)
    for device in devices:
        if device["name"] == name:
            raise Refused(f"there is a device {name} already, to {device['options'] or 'nowhere'}")
        if device["options"].get("file_path") == path:
            raise Refused(f"the device {device['name']} writes to {inert(path, 120)} already")
    with answered(door, "update and sudo", f"{PATH}/{name}"):
        answer = client.sys.enable_audit_device("file", path=name, options={"file_path": path})
        done(answer, door)
    return {"name": name}


def disable(door: Door, secrets: Secrets, params: Params) -> Result:
    name = device_name(str(params["name"]))
    client = door.client(secrets["token"])
    with nothing_written():
        there = [device["name"] for device in _devices(door, client)]
    if name not in there:
        raise Refused(f"there is no audit device {name}: there is {', '.join(there) or 'none'}")
    with answered(door, "delete and sudo", f"{PATH}/{name}"):
        done(client.sys.disable_audit_device(name), door)
    return {"name": name}


def device_name(text: str) -> str:
    """Raises Refused where Vault would take it for something else."""
    name = text.removesuffix("/")
    if not _NAME.fullmatch(name):
        raise Refused(f"{inert(name, 60)!r} is no name of a device: letters, digits, - and _")
    return name


def file_path(text: str) -> str:
    """Raises Refused for what is no file of its own. `stdout` goes to the server's own log."""
    if text == "stdout":
        return text
    parts = text.split("/")
    if not text.startswith("/") or text.endswith("/") or {"..", "."} & set(parts):
        raise Refused(f"{inert(text, 120)!r}: name the whole path of a file on the server")
    if text.startswith(("/dev/", "/proc/", "/sys/")):
        raise Refused(f"{inert(text, 120)}: what is written there is not kept")
    if not text.isprintable():
        raise Refused("the path has characters that cannot be seen")
    return text


def _devices(door: Door, client: Any) -> list[dict[str, Any]]:
    with answered(door, "read and sudo", PATH):
        told = data(client.sys.list_enabled_audit_devices(), door)
    return [
        {
            "name": inert(str(name).removesuffix("/"), 80),
            "type": inert(device.get("type"), 40),
            "options": {inert(k, 40): inert(v, 200) for k, v in (device["options"] or {}).items()},
            "local": bool(device.get("local")),
        }
        for name, device in sorted(told.items())
        if isinstance(device, dict)
    ]


def findings(devices: list[dict[str, Any]]) -> list[str]:
    """What is wrong with them, the worst first."""
    found = []
    if not devices:
        found.append("there is no audit device: nobody could tell who read what "
                     "(labtui vault audit-devices --enable /var/log/vault/audit.log)")  # fmt: skip
    for device in devices:
        if str(device["options"].get("log_raw", "")).lower() == "true":
            found.append(f"{device['name']} has log_raw: every secret stands in it in clear")
    if len(devices) == 1:
        found.append(f"{devices[0]['name']} is the only one: when it cannot write, its disk being "
                     "full, Vault answers nothing at all; a second one helps")  # fmt: skip
    return found


OPERATIONS = (
    Operation("audit.list", ("token",), list_devices, writes=False),
    Operation("audit.enable", ("token",), enable),
    Operation("audit.disable", ("token",), disable),
)
