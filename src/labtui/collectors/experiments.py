"""`mlflow.runs`: the newest runs; a run's curves are asked for when somebody looks at it."""

from __future__ import annotations

from labtui.collectors.base import Collector
from labtui.collectors.source import SourceCollector
from labtui.config import Config, UrlConfig
from labtui.model import Run
from labtui.sources.mlflow import Mlflow
from labtui.sources.threads import Lane

CURVES = 4
"""Metrics of one run whose curves are fetched."""


class RunCollector(SourceCollector):
    name = "mlflow.runs"
    kind = "mlflow"

    def __init__(self, config: Config) -> None:
        section = config.mlflow
        self.interval = section.interval_s
        self._budget = section.timeout_s * 2
        self.timeout = self._budget + 1.0
        self._client = Mlflow(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
        self._lane = Lane(self._client.who)

    async def ask(self) -> list[Run]:
        return await self._lane.call(self._budget, self._client.runs)

    async def close(self) -> None:
        self._client.close()


class Curves:
    """The curves of one run at a time, on demand, beside the regular question."""

    def __init__(self, section: UrlConfig) -> None:
        self._client = Mlflow(section.url, ca_file=section.ca_file, timeout=section.timeout_s)
        self._lane = Lane(f"curves of {self._client.who}")
        self._budget = section.timeout_s * CURVES

    async def of(self, run: Run) -> dict[str, list[float | None]]:
        """Metric -> values in the order of steps. Raises SourceError."""
        return await self._lane.call(self._budget, self._read, run)

    def _read(self, run: Run) -> dict[str, list[float | None]]:
        return {
            metric: [value for _, value in self._client.history(run.run_id, metric)]
            for metric in list(run.metrics)[:CURVES]
        }

    def close(self) -> None:
        self._client.close()


def collectors(config: Config) -> list[Collector]:
    return [RunCollector(config)] if config.mlflow.url else []
