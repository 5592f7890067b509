"""`vaultmetrics`: how busy each Vault server is, from Prometheus or the server itself.

Asked only while the Vault screen shows. It never fails: that a server tells no figures is said
beside them, and is no fault of the server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from labtui.collectors.base import Collector
from labtui.config import Config
from labtui.sources.base import SourceError
from labtui.sources.prometheus import Prometheus, Sample
from labtui.sources.threads import Lane
from labtui.sources.vaultmetrics import NAMES, VaultFigures, VaultMetrics, figures

NAME = "vaultmetrics"
QUERY = f'{{__name__=~"{"|".join(NAMES)}"}}'


class VaultMetricsCollector(Collector):
    """`name -> VaultMetrics` for each server of [vault.nodes]."""

    name = NAME
    kind = "metrics"
    interval = 10.0
    lazy = True

    def __init__(self, config: Config) -> None:
        vault, prometheus = config.vault, config.prometheus
        self._nodes = dict(vault.nodes)
        self._addresses = {name: node.address for name, node in config.nodes.items()}
        self._budget = vault.timeout_s
        self._prometheus = (
            Prometheus(prometheus.url, ca_file=prometheus.ca_file, timeout=prometheus.timeout_s)
            if prometheus.url
            else None
        )
        self._servers = {
            name: VaultFigures(address, ca_file=vault.ca_file, timeout=vault.timeout_s)
            for name, address in self._nodes.items()
        }
        self._lanes = {name: Lane(figures.who) for name, figures in self._servers.items()}
        self._prometheus_lane = Lane("Prometheus")
        self._prometheus_s = prometheus.timeout_s
        self.timeout = self._budget + self._prometheus_s + 2.0

    async def collect(self) -> dict[str, VaultMetrics]:
        found = await self._from_prometheus()
        rest = [name for name in self._nodes if name not in found]
        told = await asyncio.gather(*(self._from_server(name) for name in rest))
        return {**found, **dict(zip(rest, told, strict=True))}

    async def _from_server(self, name: str) -> VaultMetrics:
        try:
            return await self._lanes[name].call(self._budget + 0.3, self._servers[name].read)
        except SourceError as error:
            return VaultMetrics(source="server", why=error.fault.message)

    async def _from_prometheus(self) -> dict[str, VaultMetrics]:
        if self._prometheus is None:
            return {}
        try:
            samples = await self._prometheus_lane.call(
                self._prometheus_s, self._prometheus.instant, QUERY
            )
        except SourceError:
            return {}  # its own feeds tell what is wrong with it
        return by_node(samples, self._nodes, self._addresses)

    async def close(self) -> None:
        if self._prometheus is not None:
            self._prometheus.close()
        for server in self._servers.values():
            server.close()


def by_node(
    samples: list[Sample], nodes: Mapping[str, str], addresses: Mapping[str, str]
) -> dict[str, VaultMetrics]:
    """The series of each server: by where they were scraped, or by a label `node`."""
    series: dict[str, list[tuple[str, float | None]]] = {}
    for sample in samples:
        if name := _node_of(sample.labels, nodes, addresses):
            series.setdefault(name, []).append((sample.name, sample.value))
    return {name: figures(found, "prometheus") for name, found in series.items()}


def _node_of(
    labels: Mapping[str, str], nodes: Mapping[str, str], addresses: Mapping[str, str]
) -> str | None:
    instance = labels.get("instance", "")
    urls = {name: urlsplit(address) for name, address in nodes.items()}
    if exact := [name for name, url in urls.items() if url.netloc == instance]:
        return exact[0]
    if labels.get("node") in nodes:
        return labels["node"]
    host = re.sub(r":\d+$", "", instance).strip("[]")
    for name, url in urls.items():
        if host and host in (name, url.hostname, addresses.get(name)):
            return name
    return None


def collectors(config: Config) -> list[Collector]:
    return [VaultMetricsCollector(config)] if config.vault.nodes else []
