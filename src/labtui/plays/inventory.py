"""On which machines a playbook runs, as an inventory of Ansible made from the configuration.

It holds addresses and paths of keys, and no secret: those reach a task in memory.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labtui.config import Config, NodeConfig

PYTHON = "/usr/bin/python3"
"""On the machines: there is no guessing which of several is meant."""


class PlayError(Exception):
    """A playbook cannot be run: one sentence, what and why and what to do."""


def inventory(config: Config, hosts: Iterable[str], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Ansible's YAML inventory as JSON. Raises PlayError for a machine that is not reached so."""
    entries = {name: _host(name, config) for name in hosts}
    return {"all": {"hosts": entries, "vars": plain(dict(variables))}}


def _host(name: str, config: Config) -> dict[str, Any]:
    node = config.nodes.get(name)
    if node is None:
        raise PlayError(f"no node {name!r} in [nodes]: name one of {', '.join(config.nodes)}")
    if node.transport == "kubectl":
        raise PlayError(f"{name} is reached by kubectl: playbooks run by ssh or on this machine")
    found: dict[str, Any] = {"ansible_python_interpreter": PYTHON}
    if node.transport == "local":
        found["ansible_connection"] = "local"
        if not Path(PYTHON).exists():
            found["ansible_python_interpreter"] = sys.executable
        if os.geteuid() == 0:
            found["ansible_become"] = False
        return found
    return plain(found | _ssh(node))


def _ssh(node: NodeConfig) -> dict[str, Any]:
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    found: dict[str, Any] = {"ansible_host": node.address, "ansible_port": node.port}
    if node.user:
        found["ansible_user"] = node.user
    if node.user == "root":
        found["ansible_become"] = False
    if node.identity_file:
        found["ansible_ssh_private_key_file"] = str(Path(node.identity_file).expanduser())
        options += ["-o", "IdentitiesOnly=yes"]
    if node.known_hosts:
        path = Path(node.known_hosts).expanduser()
        options += ["-o", f'UserKnownHostsFile="{path}"']
    if node.ssh_config:
        options += ["-F", str(Path(node.ssh_config).expanduser())]
    if node.proxy_jump:
        options += ["-J", node.proxy_jump]
    found["ansible_ssh_common_args"] = shlex.join(options)
    return found


_TEMPLATE = re.compile(r"\{\{|\{%|\{#")


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """The same, once it holds nothing that Ansible would take for a template."""

    def check(part: Any) -> None:
        if isinstance(part, str) and _TEMPLATE.search(part):
            raise PlayError(f"the configuration holds {part[:60]!r}: braces are not for playbooks")
        if isinstance(part, Mapping):
            for key, inner in part.items():
                check(key)
                check(inner)
        elif isinstance(part, list | tuple):
            for inner in part:
                check(inner)

    check(value)
    return value
