"""Configuration -> hosts. Nothing is sent until one is asked to run something."""

from __future__ import annotations

from labtui.config import Config, NodeConfig
from labtui.hosts.base import Host
from labtui.hosts.kubectl import KubectlHost
from labtui.hosts.local import LocalHost
from labtui.hosts.namespace import NamespaceError, inside
from labtui.hosts.ssh import SshHost


def connect(config: Config) -> dict[str, Host]:
    """One host a node, by name. Raises NamespaceError outside the lab that the file is about."""
    if config.lab is not None and config.lab.namespace and not inside(config.lab.namespace):
        raise NamespaceError("lab-down", "not in the lab's network: nothing is sent")
    return {name: host(name, node) for name, node in config.nodes.items()}


def host(name: str, node: NodeConfig) -> Host:
    if node.transport == "local":
        return LocalHost(name)
    if node.transport == "kubectl":
        return KubectlHost(name, node)
    return SshHost(name, node)
