"""The lab's network: one namespace with a bridge and the console in it, one for each machine.

No namespace has a route out of 10.77.0.0/24 and none is joined to the host's own network, so
nothing the lab's configuration names can leave this machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from labtui.lab.layout import GATEWAY, MACHINES, Lab
from labtui.lab.system import LabError, run

P = ParamSpec("P")
T = TypeVar("T")

BRIDGE = "br0"
INSIDE = "host0"
"""The machine's only interface; its peer on the bridge bears the machine's name."""

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000

TUNING = {
    # A link that comes back is used again within two seconds, not after TCP's doubled waits.
    "net.ipv4.tcp_rto_max_ms": "2000",
    # With those short waits, keep trying for minutes: a hung share hangs, as NFS does.
    "net.ipv4.tcp_retries2": "255",
}
"""Set in each machine's namespace where the kernel knows them."""


def namespace(lab: Lab, machine: str) -> str:
    """The network namespace of one machine."""
    return f"{lab.namespace}-{machine}"


def ensure(lab: Lab) -> None:
    """Make whatever is missing of the namespaces, the bridge and the links. Raises LabError."""
    _ensure_namespace(lab.namespace)
    links = _links(lab.namespace)
    if BRIDGE not in links:
        _ip(lab.namespace, "link", "add", BRIDGE, "address", _hardware(GATEWAY), "type", "bridge")
        _ip(lab.namespace, "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _ip(lab.namespace, "link", "set", BRIDGE, "up")
    for machine in MACHINES.values():
        ns = namespace(lab, machine.name)
        _ensure_namespace(ns)
        if machine.name in links and INSIDE in _links(ns):
            continue
        if machine.name in links:
            _ip(lab.namespace, "link", "del", machine.name)
        peer = ("peer", "name", INSIDE, "address", _hardware(machine.address), "netns", ns)
        _ip(lab.namespace, "link", "add", machine.name, "type", "veth", *peer)
        _ip(lab.namespace, "link", "set", machine.name, "master", BRIDGE, "up")
        _ip(ns, "addr", "add", f"{machine.address}/24", "dev", INSIDE)
        _ip(ns, "link", "set", INSIDE, "up")
        for key, value in TUNING.items():
            run(["ip", "netns", "exec", ns, "sysctl", "-q", "-w", f"{key}={value}"], check=False)


def remove(lab: Lab) -> None:
    """Remove the bridge, the links and the namespaces, whatever is there of them."""
    if (NAMESPACES / lab.namespace).exists():
        # Not left to the namespace's end: a console that is still in it would keep the bridge.
        for link in _links(lab.namespace):
            if link != "lo":
                run(["ip", "-n", lab.namespace, "link", "del", link], check=False)
    for ns in [*(namespace(lab, m) for m in MACHINES), lab.namespace]:
        if (NAMESPACES / ns).exists():
            run(["ip", "netns", "del", ns])


def link(lab: Lab, machine: str, up: bool) -> None:
    """Plug a machine's cable in or out, at the bridge."""
    _ip(lab.namespace, "link", "set", machine, "up" if up else "down")


def is_up(lab: Lab) -> bool:
    """Whether the lab's namespace is there."""
    return (NAMESPACES / lab.namespace).exists()


def call(lab: Lab, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread inside the lab's namespace: its sockets speak from the gateway."""
    result: list[T] = []
    error: list[BaseException] = []

    def enter() -> None:
        try:
            _setns(NAMESPACES / lab.namespace)
            result.append(function(*args, **kwargs))
        except BaseException as e:  # noqa: BLE001 - handed to the caller's thread
            error.append(e)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return result[0]


def _hardware(address: str) -> str:
    """An Ethernet address that stays when a link is made anew: neighbours remember it."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _setns(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError("the lab is not up") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise LabError(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(fd)


def _ensure_namespace(name: str) -> None:
    path = NAMESPACES / name
    if path.exists() and run(["ip", "-n", name, "link", "show", "lo"], check=False).returncode:
        run(["ip", "netns", "del", name])  # a plain file: its mount was lost
    if not path.exists():
        run(["ip", "netns", "add", name])
        _ip(name, "link", "set", "lo", "up")


def _links(ns: str) -> set[str]:
    found = json.loads(run(["ip", "-n", ns, "-j", "link"]).stdout or "[]")
    return {str(entry["ifname"]) for entry in found}


def _ip(ns: str, *words: str) -> None:
    run(["ip", "-n", ns, *words])
