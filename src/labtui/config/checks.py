"""What holds across keys, and what a type cannot say."""

from __future__ import annotations

import math
import re
from pathlib import Path

from labtui.config.reading import Where
from labtui.config.sections import Config, NodeConfig

_URL = re.compile(r"https?://[^\s/]+", re.IGNORECASE)
_HERE = re.compile(r"http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?/?", re.IGNORECASE)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]*")


_GPU_NODES = ("nvml", "smi", "jetson")


def check(config: Config) -> list[tuple[Where, str]]:
    found: list[tuple[Where, str]] = []
    names = ", ".join(config.nodes) or "none"
    login = config.slurm.login
    if login and login not in config.nodes:
        text = f"no node {login!r} in [nodes] (there: {names}); name one of them"
        found.append((("slurm", "login"), text))
    if (
        config.lab is not None
        and config.lab.namespace
        and not _NAME.fullmatch(config.lab.namespace)
    ):
        found.append((("lab", "namespace"), "not the name of a lab; let `labtui lab up` write it"))
    for name, node in config.nodes.items():
        found += [(("nodes", name, *key), text) for key, text in _check_node(name, node)]
    for section in ("prometheus", "alertmanager", "mlflow"):
        url = getattr(config, section).url
        if url and not _URL.match(url):
            text = f"{url!r} is not an address; write http://host:port"
            found.append(((section, "url"), text))
    for name, url in config.vault.nodes.items():
        if not _URL.match(url) or in_clear(url):
            wrong = "would carry shares and tokens in clear"
            why = wrong if _URL.match(url) else "is not an address"
            found.append((("vault", "nodes", name), f"{url!r} {why}; write https://host:8200"))
    for name, storage in config.vault.storage.items():
        where = ("vault", "storage", name)
        if name not in config.nodes or name not in config.vault.nodes:
            found.append((where, "no such server in [vault.nodes] and [nodes]; name one of both"))
        if not storage.data.startswith("/") or storage.data.rstrip("/") == "":
            text = f"{storage.data!r} is no absolute folder; write the one that Vault writes to"
            found.append(((*where, "data"), text))
        for key in ("stop", "start"):
            if not getattr(storage, key):
                found.append(((*where, key), "empty; write the command as a list"))
    for section in ("vault", "prometheus", "alertmanager", "mlflow"):
        ca_file = getattr(config, section).ca_file
        if ca_file and not Path(ca_file).is_absolute():
            text = f"{ca_file!r} is relative; write an absolute path"
            found.append(((section, "ca_file"), text))
    for section in ("slurm", "prometheus", "alertmanager", "mlflow", "vault", "gpu", "kubernetes"):
        for key in ("interval_s", "timeout_s", "history_h"):
            value = getattr(getattr(config, section), key, 1.0)
            if not 0 < value < math.inf:
                found.append(((section, key), f"{value} is no time; write a number above 0"))
    named = [("gpu", key, name) for key in _GPU_NODES for name in getattr(config.gpu, key)]
    if config.kubernetes.via:
        named.append(("kubernetes", "via", config.kubernetes.via))
    for section, key, name in named:
        if name not in config.nodes:
            text = f"no node {name!r} in [nodes] (there: {names}); name one of them"
            found.append(((section, key), text))
    if 0 < config.gpu.interval_s < 2:
        text = "faster than 2 s slows the card's own work; write 2 or more"
        found.append((("gpu", "interval_s"), text))
    return found


def in_clear(url: str) -> bool:
    """What is sent there can be read on the way: plain http, other than to this machine."""
    return not url.lower().startswith("https://") and not _HERE.fullmatch(url)


def _check_node(name: str, node: NodeConfig) -> list[tuple[Where, str]]:
    found: list[tuple[Where, str]] = []
    if not _NAME.fullmatch(name):
        found.append(((), "may hold letters, digits, '.', '_' and '-' only; rename it"))
    if node.transport == "ssh" and not node.address:
        found.append((("address",), "missing; ssh needs an address or a name of ssh_config"))
    if node.address.startswith("-"):
        found.append((("address",), "may not start with '-'; write a host name or address"))
    if not 0 < node.port < 65536:
        found.append((("port",), f"{node.port} is not a port; write 1 to 65535"))
    if node.transport == "kubectl" and not node.selector:
        found.append((("selector",), 'missing; write the label of the pod: "app=agent"'))
    if node.transport == "kubectl" and not all(node.kubectl or [""]):
        found.append((("kubectl",), 'empty; write the command: ["microk8s", "kubectl"]'))
    for mount in node.mounts:
        if not mount.startswith("/"):
            found.append((("mounts",), f"{mount!r} is relative; write where it is mounted"))
    for unit in node.services:
        if not _UNIT.fullmatch(unit):
            found.append((("services",), f"{unit!r} is not the name of a systemd unit; rename it"))
    return found
