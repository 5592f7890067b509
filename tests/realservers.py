"""Real servers for tests, from packages or the lab's cache; where absent, a loud skip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from standin import certificate, free_port, listens, running


def program(name: str) -> str:
    """The executable, or a skip that says what to install."""
    cache = Path(os.environ.get("LABTUI_CACHE", "/var/cache/labtui"))
    found = [shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")]
    found += map(str, [*cache.glob(f"root-*/usr/bin/{name}"), *cache.glob(f"{name}-*/{name}")])
    for path in filter(None, found):
        return path
    pytest.skip(f"SKIPPED LOUDLY: no `{name}` here: apt-get install it, or start the lab once")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """A real Prometheus that scrapes `targets` (instance label -> host:port) each second."""
    binary, port = program("prometheus"), free_port()
    static = [{"targets": [where], "labels": {"instance": name}} for name, where in targets.items()]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "900ms"},
        "scrape_configs": [{"job_name": "gpu", "static_configs": static}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    argv = [
        binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running(argv, lambda: _answers(f"{url}/-/ready"), folder / "prometheus.log"):
        yield url


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    binary, port = program("prometheus-alertmanager"), free_port()
    config = {
        "route": {"receiver": "nobody"},
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="HostDown"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["node"],
            }
        ],
    }
    (folder / "alertmanager.yml").write_text(json.dumps(config))
    argv = [
        binary, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running(argv, lambda: _answers(f"{url}/-/ready"), folder / "alertmanager.log"):
        yield url


@contextmanager
def vault(folder: Path) -> Iterator[tuple[str, str]]:
    """A real Vault with TLS, not initialised: (address, CA file)."""
    binary, port = program("vault"), free_port()
    cert, key = certificate(folder / "tls")
    (folder / "raft").mkdir()
    url = f"https://127.0.0.1:{port}"
    listener = {
        "address": f"127.0.0.1:{port}",
        "tls_cert_file": str(cert),
        "tls_key_file": str(key),
    }
    config = {
        "listener": {"tcp": listener},
        "storage": {"raft": {"path": str(folder / "raft"), "node_id": "one"}},
        "api_addr": url,
        "cluster_addr": f"https://127.0.0.1:{free_port()}",
        "disable_mlock": True,
    }
    (folder / "vault.json").write_text(json.dumps(config))
    argv = [binary, "server", f"-config={folder}/vault.json"]
    with running(argv, lambda: listens(port), folder / "vault.log"):
        yield url, str(cert)


@contextmanager
def mlflow(folder: Path) -> Iterator[str]:
    """A real MLflow from PATH, or from the lab's cache with the Python that it was made for."""
    argv, extra = _mlflow_program()
    port = free_port()
    argv = [
        *argv, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", f"{folder}/artifacts",
    ]  # fmt: skip
    env = os.environ | extra
    env |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    url = f"http://127.0.0.1:{port}"
    with running(argv, lambda: _answers(f"{url}/health"), folder / "mlflow.log", env=env, wait=110):
        yield url


def _mlflow_program() -> tuple[list[str], dict[str, str]]:
    if there := shutil.which("mlflow"):
        return [there], {}
    cache = Path(os.environ.get("LABTUI_CACHE", "/var/cache/labtui"))
    for site in cache.glob("mlflow-*-py*/site"):
        version = site.parent.name.rpartition("-py")[2]
        name = f"python{version[0]}.{version[1:]}"
        pythons = [shutil.which(name), *Path.home().glob(f".pyenv/versions/*/bin/{name}")]
        for python in filter(None, pythons):
            works = subprocess.run([python, "-c", ""], capture_output=True, timeout=20)
            if works.returncode == 0:
                compiled = str(Path(tempfile.gettempdir()) / "labtui-mlflow-compiled")
                more = {"PYTHONPATH": str(site), "PYTHONPYCACHEPREFIX": compiled}
                return [str(python), "-m", "mlflow"], more
    pytest.skip("SKIPPED LOUDLY: no MLflow here: pip install mlflow==3.17.2, or start the lab")


def post(url: str, body: object) -> object:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        text = answer.read()
        return json.loads(text) if text else None
