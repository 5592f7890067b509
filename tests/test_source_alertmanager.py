"""A real Alertmanager with firing, silenced and inhibited alerts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labtui.collectors.alerts import collectors
from labtui.config import Config, UrlConfig
from labtui.sources.alertmanager import Alertmanager
from labtui.store import Reading, Store
from labtui.views import alerts
from realservers import alertmanager, post


def stamp(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_real_alertmanager(tmp_path: Path) -> None:
    with alertmanager(tmp_path) as url:
        firing = [("HostDown", "critical"), ("ExporterDown", "warning"), ("DiskFull", "critical")]
        post(f"{url}/api/v2/alerts", [
            {
                "labels": {"alertname": name, "severity": severity, "node": "jetson-edge"},
                "annotations": {"summary": f"{name} [/b]\x1b[31m\n", "description": "because"},
                "startsAt": stamp(-60),
            }
            for name, severity in firing
        ])  # fmt: skip
        post(f"{url}/api/v2/silences", {
            "matchers": [{"name": "alertname", "value": "DiskFull", "isRegex": False}],
            "startsAt": stamp(0), "endsAt": stamp(3600), "createdBy": "ana", "comment": "known",
        })  # fmt: skip
        (collector,) = collectors(Config(alertmanager=UrlConfig(url=url)))
        deadline = time.monotonic() + 15
        while True:
            found = {a.labels["alertname"]: a for a in await collector.collect()}
            suppressed = [name for name, alert in found.items() if alert.suppressed_by]
            if len(found) == 3 and len(suppressed) == 2:
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs on this loop
        down, disk = found["HostDown"], found["DiskFull"]
        assert (down.severity, down.suppressed_by) == ("critical", None)
        assert down.since is not None and 50 < time.time() - down.since < 120
        assert down.title.startswith("HostDown [/b]") and "\x1b" not in down.title
        assert down.because == ("because",)
        assert disk.suppressed_by == "silenced: known" and disk.acknowledged_by == "ana"
        assert disk.silenced_until is not None and disk.silenced_until > time.time() + 3000
        assert found["ExporterDown"].suppressed_by == "inhibited by HostDown"
        assert Alertmanager(url, timeout=2.0).version()
        await collector.close()

        store = Store()
        store.declare("alerts", "alerts", 5)
        store.put(Reading("alerts", list(found.values()), None, time.time(), 0.1))
        assert alerts.items(store, Config(), time.time())[0] == down
