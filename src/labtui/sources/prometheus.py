"""Queries to Prometheus through prometheus-api-client, bounded. Blocking: call it in a lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from labtui.sources.base import SourceError, number

SAMPLES = 20_000
"""Series that one answer may hold."""


class Sample(msgspec.Struct, frozen=True):
    """One series and its values; NaN and infinities are None."""

    labels: dict[str, str]
    values: tuple[tuple[float, float | None], ...]
    """(Unix seconds, value), oldest first; exactly one of an instant query."""

    @property
    def name(self) -> str:
        return self.labels.get("__name__", "")

    @property
    def value(self) -> float | None:
        return self.values[-1][1]


class Prometheus:
    def __init__(self, url: str, *, ca_file: str = "", timeout: float) -> None:
        """`timeout`: seconds of one query, connecting included."""
        self.url = url.rstrip("/")
        self.who = f"Prometheus at {self.url}"
        self._ca_file = ca_file
        self._timeout = timeout
        self._client: Any = None

    def _connect(self) -> Any:
        from prometheus_api_client import PrometheusConnect
        from urllib3.util import Retry

        from labtui.sources.http import BoundedSession

        return PrometheusConnect(
            url=self.url,
            session=BoundedSession(timeout=self._timeout, ca_file=self._ca_file, who=self.who),
            # The scheduler tries again; three silent tries here would only hide that. read=False
            # lets a time-out come through as one.
            retry=Retry(total=0, read=False),
            timeout=self._timeout,
        )

    def instant(self, query: str) -> list[Sample]:
        """The newest value of each series of a PromQL expression. Raises SourceError."""
        with self._asking() as client:
            found = client.custom_query(query, params={"timeout": self._limit})
            return [_sample(item, [item["value"]]) for item in _bounded(found, self.who)]

    def range(self, query: str, start: float, end: float, step_s: float) -> list[Sample]:
        """The values between two times (Unix seconds), `step_s` apart. Raises SourceError."""
        with self._asking() as client:
            found = client.custom_query_range(
                query,
                start_time=datetime.fromtimestamp(start, UTC),
                end_time=datetime.fromtimestamp(end, UTC),
                step=f"{step_s:g}",
                params={"timeout": self._limit},
            )
            return [_sample(item, item["values"]) for item in _bounded(found, self.who)]

    @property
    def _limit(self) -> str:
        """The server gives up a query when nobody waits for it any more."""
        return f"{self._timeout:g}s"

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        from labtui.sources.http import explained

        with explained(self.who, self._ca_file):
            self._client = self._client or self._connect()
            yield self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _bounded(found: Any, who: str) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError("not a list of series")
    if len(found) > SAMPLES:
        raise SourceError("protocol", f"{who}: {len(found)} series are more than is read")
    return found


def _sample(item: Any, values: Sequence[Any]) -> Sample:
    labels = {str(key): str(value) for key, value in item["metric"].items()}
    return Sample(labels, tuple((float(at), number(value)) for at, value in values))
