"""Alertmanager's API v2. Blocking: call it in a lane."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from labtui.model import Alert
from labtui.sources.base import SourceError
from labtui.text import inert

ALERTS = 5_000
"""Alerts that one answer may hold."""


class Alertmanager:
    def __init__(self, url: str, *, ca_file: str = "", timeout: float) -> None:
        """`timeout`: seconds of one request, connecting included."""
        self.url = url.rstrip("/")
        self.who = f"Alertmanager at {self.url}"
        self._ca_file = ca_file
        self._timeout = timeout
        self._session: Any = None

    def alerts(self) -> list[Alert]:
        """All alerts, also silenced and inhibited ones. Raises SourceError."""
        from labtui.sources.http import explained

        with explained(self.who, self._ca_file):
            found = self._get("alerts")
            if not isinstance(found, list) or len(found) > ALERTS:
                raise SourceError("protocol", f"{self.who}: the answer is not a list of alerts")
            silenced = any(item["status"]["silencedBy"] for item in found)
            silences = {s["id"]: s for s in self._get("silences")} if silenced else {}
            names = {i["fingerprint"]: str(i["labels"].get("alertname", "")) for i in found}
            return [_alert(item, silences, names) for item in found]

    def version(self) -> str:
        """The server's version, from its status. Raises SourceError."""
        from labtui.sources.http import explained

        with explained(self.who, self._ca_file):
            return inert(self._get("status")["versionInfo"]["version"], 40)

    def _get(self, what: str) -> Any:
        from labtui.sources.http import BoundedSession

        if self._session is None:
            self._session = BoundedSession(
                timeout=self._timeout, ca_file=self._ca_file, who=self.who
            )
        return self._session.get(f"{self.url}/api/v2/{what}").json()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def _alert(item: Any, silences: dict[str, Any], names: dict[str, str]) -> Alert:
    labels = {inert(k, 128): inert(v, 512) for k, v in item["labels"].items()}
    notes, status = item.get("annotations") or {}, item["status"]
    silence = next((silences[s] for s in status["silencedBy"] if s in silences), None)
    inhibitor = next(iter(status["inhibitedBy"]), None)
    suppressed = f"inhibited by {names.get(inhibitor) or inhibitor}" if inhibitor else None
    if silence is not None:
        suppressed = f"silenced: {silence.get('comment') or 'no reason given'}"
    description = notes.get("description")
    return Alert(
        id=inert(item["fingerprint"], 64),
        severity=labels.get("severity", "none"),
        title=inert(notes.get("summary") or labels.get("alertname") or "unnamed alert", 200),
        since=_seconds(item.get("startsAt")),
        because=(inert(description, 500),) if description else (),
        suppressed_by=inert(suppressed, 200) if suppressed else None,
        acknowledged_by=inert(silence.get("createdBy") or "", 80) or None if silence else None,
        silenced_until=_seconds(silence.get("endsAt")) if silence else None,
        labels=labels,
    )


def _seconds(stamp: Any) -> float | None:
    """Unix seconds of an RFC 3339 time; None when it is none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
