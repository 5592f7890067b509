"""`host.NAME`: what each machine says of itself, asked over the one connection to it."""

from __future__ import annotations

from collections.abc import Mapping

from labtui.collectors.base import Collector
from labtui.config import Config, NodeConfig
from labtui.hosts.base import Host
from labtui.hosts.command import CommandHost
from labtui.sources.node import HostFacts, NodeSource

TIMEOUT = 3.0
"""Seconds for each answer after the first: with the interval, a machine that dies is on screen
within five."""


class NodeCollector(Collector):
    """Asks one machine."""

    interval = 1.5
    timeout = 8.0
    """The first time there is a connection to make, and perhaps a busy console that makes it."""
    background = 1.0
    """A dead machine must be noticed on every screen."""

    def __init__(self, name: str, node: NodeConfig, host: Host) -> None:
        self.name = f"host.{name}"
        self.kind = node.transport
        self._host = host
        self._source = NodeSource(host, node.mounts, node.services)

    async def collect(self) -> HostFacts:
        # The scheduler paces this one; a back-off of the transport would only delay the return.
        if isinstance(self._host, CommandHost):
            self._host.retry()
        allowed, self.timeout = self.timeout, TIMEOUT
        return await self._source.facts(allowed - 0.3)


def build(config: Config, hosts: Mapping[str, Host]) -> list[Collector]:
    """One collector a configured machine."""
    return [NodeCollector(n, node, hosts[n]) for n, node in config.nodes.items() if n in hosts]
