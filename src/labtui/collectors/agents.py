"""`agents.NODE`: the vault-agent of each node of [vault] agents, and the files that it rendered."""

from __future__ import annotations

from collections.abc import Mapping

from labtui.collectors.base import Collector
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.model import Agent
from labtui.sources.agents import AgentReport, new_salt


class AgentCollector(Collector):
    """Asks one node."""

    kind = "agents"
    interval = 10.0
    timeout = 10.0
    background = 6.0
    """A look costs the node a sudo and a Python for a moment."""

    def __init__(self, name: str, host: Host, report: AgentReport, salt: str) -> None:
        self.name = f"agents.{name}"
        self._host = host
        self._report = report
        self._salt = salt

    async def collect(self) -> Agent:
        return await self._report.ask(self._host, self._salt, timeout=self.timeout - 1.0)


def build(config: Config, hosts: Mapping[str, Host]) -> list[Collector]:
    report, salt = AgentReport(config.vault), new_salt()
    return [
        AgentCollector(name, hosts[name], report, salt)
        for name in config.vault.agents
        if name in hosts
    ]
