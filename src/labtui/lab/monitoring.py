"""Prometheus and Alertmanager on xps15-cpu, with rules that can fire."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from labtui.lab import net, vault
from labtui.lab.layout import MACHINES, MONITOR, PORTS, STORAGE, Health, Lab, Say
from labtui.lab.system import LabError, account, enable, write

RULES = resources.files("labtui.lab") / "rules.yml"
GPU_MACHINES = ("desktop-gpu", "jetson-edge")
CA = "/etc/prometheus/lab-ca.pem"

PROMETHEUS = (
    "--web.enable-lifecycle --storage.tsdb.path=/var/lib/prometheus/metrics2 "
    "--storage.tsdb.retention.time=2d --storage.tsdb.retention.size=256MB"
)
ALERTMANAGER = (
    # An empty address: no gossip, which would look for other members.
    "--cluster.listen-address= --data.retention=48h"
)


def configuration(vaults: Sequence[str] = (STORAGE,)) -> dict[str, object]:
    """prometheus.yml, with Vault on these machines; JSON is YAML."""

    def job(name: str, port: str, machines: Sequence[str], **more: object) -> dict[str, object]:
        targets = [
            {"targets": [f"{MACHINES[m].address}:{PORTS[port]}"], "labels": {"node": m}}
            for m in machines
        ]
        return {"job_name": name, "static_configs": targets, **more}

    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "rule_files": ["/etc/prometheus/rules.yml"],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"localhost:{PORTS['alertmanager']}"]}]}
            ]
        },
        "scrape_configs": [
            job("prometheus", "prometheus", [MONITOR], scrape_interval="5s"),
            job("alertmanager", "alertmanager", [MONITOR], scrape_interval="5s"),
            job("node", "node-exporter", list(MACHINES)),
            job("gpu", "gpu-exporter", GPU_MACHINES),
            job(
                "vault",
                "vault",
                vaults,
                scheme="https",
                metrics_path="/v1/sys/metrics",
                params={"format": ["prometheus"]},
                tls_config={"ca_file": CA},
            ),
        ],
    }


def alerting() -> dict[str, object]:
    """alertmanager.yml: nobody is called, and what a dead machine explains is held back."""
    down = 'alertname="NodeDown"'
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "node"],
            "group_wait": "1s",
            "group_interval": "5s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": [
            {
                "source_matchers": [down],
                "target_matchers": ['alertname!="NodeDown"'],
                "equal": ["node"],
            },
            {
                "source_matchers": [down, f'node="{STORAGE}"'],
                "target_matchers": ['alertname="NFSMountFailed"'],
            },
        ],
    }


class Prometheus:
    """Scrapes every 2 s; keeps two days or 256 MB, whichever is less."""

    name = "prometheus"
    machine = MONITOR
    packages: Sequence[str] = ("prometheus", "prometheus-alertmanager")

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return ()

    def prepare(self, lab: Lab, say: Say) -> None:
        from labtui.lab import tls

        root = lab.machine_root(self.machine)
        owner = account(root, "prometheus")
        etc = root / "etc/prometheus"
        scrape = configuration(vault.servers(lab))
        write(etc / "prometheus.yml", json.dumps(scrape, indent=1) + "\n")
        write(etc / "alertmanager.yml", json.dumps(alerting(), indent=1) + "\n")
        write(etc / "rules.yml", RULES.read_text())
        write(root / CA.lstrip("/"), tls.ensure_ca(lab).read_text(), 0o644, owner)
        write(root / "etc/default/prometheus", f'ARGS="{PROMETHEUS}"\n')
        write(root / "etc/default/prometheus-alertmanager", f'ARGS="{ALERTMANAGER}"\n')
        enable(root, "prometheus", "prometheus-alertmanager")

    def finish(self, lab: Lab, say: Say) -> None:
        """Nothing: systemd starts both."""

    def health(self, lab: Lab) -> Health:
        address = MACHINES[self.machine].address
        for what in ("prometheus", "alertmanager"):
            try:
                net.call(lab, get, f"http://{address}:{PORTS[what]}/-/ready")
            except (OSError, LabError) as e:
                return Health("failed", f"{what} on {self.machine}: {e}")
        return Health("running")


def reload(lab: Lab) -> None:
    """Have a Prometheus that runs read its configuration anew. Raises OSError or LabError."""
    url = f"http://{MACHINES[MONITOR].address}:{PORTS['prometheus']}/-/reload"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    net.call(lab, lambda: opener.open(url, data=b"", timeout=10).close())


def get(url: str, timeout: float = 3.0) -> bytes:
    """GET of a plain http address; `timeout` in seconds. Raises OSError (URLError is one)."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout) as answer:
        body: bytes = answer.read()
    return body
