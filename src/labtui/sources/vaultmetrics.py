"""A Vault server's figures of itself, asked at its own address without any token.

`vault_core_unsealed` is not among them: stale series of it stay beside the true one after an unseal
or a change of leader, so the seal is only ever read from the server itself.

It answers only where its listener has `unauthenticated_metrics_access` and its telemetry a
retention. Read in Prometheus' text form, so that those from a Prometheus are the same figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from labtui.model import Item
from labtui.sources.base import number

PATH = "/v1/sys/metrics"
ANSWER_LIMIT = 1 << 20
"""Bytes; a busy server has a tenth of that."""
NAMES = (
    "vault_core_in_flight_requests",
    "vault_expire_num_leases",
    "vault_token_count",
    "vault_audit_log_request_failure",
    "vault_audit_log_response_failure",
    "vault_runtime_sys_bytes",
)
_LINE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)", re.MULTILINE)


class VaultMetrics(Item, frozen=True, kw_only=True):
    """What is not told is None; with `why` nothing is."""

    in_flight: int | None = None
    """Requests under way."""
    leases: int | None = None
    tokens: int | None = None
    """As counted last: Vault does it every ten minutes."""
    audit_failures: int | None = None
    """Entries that no audit device took: Vault refuses what it cannot log."""
    memory_mib: float | None = None
    source: str = ""
    """`prometheus` or `server`."""
    why: str = ""
    """Why there are none: one sentence."""


Series = Iterable[tuple[str, float | None]]
"""(name of the metric, value): one a series."""


def figures(series: Series, source: str) -> VaultMetrics:
    found: dict[str, list[float]] = {}
    for name, value in series:
        if value is not None and name in NAMES:
            found.setdefault(name, []).append(value)
    sums = {name: sum(values) for name, values in found.items()}
    failures = [sums[n] for n in NAMES if n.startswith("vault_audit") and n in sums]
    memory = sums.get("vault_runtime_sys_bytes")
    return VaultMetrics(
        in_flight=_whole(sums.get("vault_core_in_flight_requests")),
        leases=_whole(sums.get("vault_expire_num_leases")),
        tokens=_whole(sums.get("vault_token_count")),
        audit_failures=_whole(sum(failures)) if failures else None,
        memory_mib=None if memory is None else memory / (1 << 20),
        source=source,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def series_of(text: str) -> list[tuple[str, float | None]]:
    """Prometheus' text form, without labels."""
    return [(name, number(value)) for name, value in _LINE.findall(text)]


class VaultFigures:
    """Blocking: call it in a lane."""

    def __init__(self, address: str, *, ca_file: str = "", timeout: float) -> None:
        self._url = address.rstrip("/") + PATH
        self.who = f"Vault at {address.rstrip('/')}"
        self._ca_file = ca_file
        self._timeout = timeout
        self._session: Any = None

    def read(self) -> VaultMetrics:
        """Raises SourceError; where the server will not tell, `why` says so."""
        from labtui.sources.http import BoundedSession, explained, status_error

        with explained(self.who, self._ca_file):
            self._session = self._session or BoundedSession(
                timeout=self._timeout, ca_file=self._ca_file, limit=ANSWER_LIMIT
            )
            answer = self._session.get(self._url, params={"format": "prometheus"})
            if answer.status_code == 200:
                return figures(series_of(answer.text), "server")
            if why := _REFUSALS.get(answer.status_code):
                return VaultMetrics(source="server", why=f"{why} ({answer.status_code})")
            raise status_error(answer.status_code, answer.text[:4096], self.who)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


_REFUSALS = {
    400: "the server keeps none: its telemetry has no prometheus_retention_time",
    403: "the server wants a token: its listener lacks unauthenticated_metrics_access",
    404: "the server has no such figures",
    503: "the server has none to give now",
}
