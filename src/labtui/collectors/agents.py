"""`agents.NODE`: the vault-agent of each node of [vault] agents, and the files that it rendered."""

from __future__ import annotations

from collections.abc import Mapping

from labtui.collectors.base import Collector
from labtui.config import Config
from labtui.hosts.base import Host


def build(config: Config, hosts: Mapping[str, Host]) -> list[Collector]:
    return []
