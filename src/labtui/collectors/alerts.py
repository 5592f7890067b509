"""`alerts`: what Alertmanager holds."""

from __future__ import annotations

from labtui.collectors.base import Collector
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.model import Alert
from labtui.sources.alertmanager import Alertmanager
from labtui.sources.threads import Lane


class AlertCollector(SourceCollector):
    name = "alerts"
    kind = "alerts"

    def __init__(self, config: Config) -> None:
        section = config.alertmanager
        self.interval = section.interval_s
        # Two requests where something is silenced.
        self._budget = section.timeout_s * 2
        self.timeout = self._budget + 1.0
        self._client = Alertmanager(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
        self._lane = Lane(self._client.who)

    async def ask(self) -> list[Alert]:
        return await self._lane.call(self._budget, self._client.alerts)

    async def close(self) -> None:
        self._client.close()


def collectors(config: Config) -> list[Collector]:
    return [AlertCollector(config)] if config.alertmanager.url else []
