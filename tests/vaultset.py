"""One real Vault or a set of several raft peers on loopback, made anew for a test in seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac

from realservers import program
from standin import certificate, free_port, listens, running

SHARES, THRESHOLD = 5, 3


@dataclass
class VaultSet:
    """`urls` by node name; the first one is the one that was initialised."""

    urls: dict[str, str]
    ca: str
    folder: Path
    shares: list[str] = field(default_factory=list)
    """base64."""
    token: str = ""
    """Root."""

    @property
    def first(self) -> str:
        return next(iter(self.urls))

    def client(self, node: str = "", token: str | None = None) -> Any:
        url = self.urls[node or self.first]
        return hvac.Client(url=url, verify=self.ca, token=self.token if token is None else token)

    def unseal(self, *nodes: str) -> None:
        """All of them where none is named; returns when there is an active one."""
        for node in nodes or self.urls:
            client = self.client(node, "")
            deadline = time.monotonic() + 20
            while not client.sys.read_seal_status()["initialized"]:  # it joins its leader first
                assert time.monotonic() < deadline, f"{node} did not join"
                time.sleep(0.1)
            if client.sys.is_sealed():
                client.sys.submit_unseal_keys(self.shares[:THRESHOLD])
                # A peer that joins is told its answer by the leader: it is sealed for that long.
                while client.sys.is_sealed():
                    assert time.monotonic() < deadline, f"{node} does not unseal"
                    time.sleep(0.1)
        self.wait_active()

    def wait_active(self, wait: float = 60.0) -> str:
        """The node that is active, once there is one: two peers may take half a minute to agree."""
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            for node in self.urls:
                answer = self.client(node, "").sys.read_health_status(method="GET")
                if isinstance(answer, dict) or answer.status_code == 200:
                    return node
            time.sleep(0.1)
        raise AssertionError("no server became active")

    def kill(self, node: str) -> None:
        """End a server as a crash does."""
        name = f"-config={self.folder / node}.json"
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if name in entry.read_bytes().decode().split("\0"):
                    os.kill(int(entry.parent.name), signal.SIGKILL)

    def seal(self, node: str = "") -> None:
        self.client(node).sys.seal()


@contextmanager
def vault_set(
    folder: Path, *names: str, initialise: bool = True, unseal: bool = False, **extra: Any
) -> Iterator[VaultSet]:
    """Real servers; several form a raft set. `extra`: top-level keys of their configuration."""
    binary = program("vault")
    names = names or ("truenas",)
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = certificate(folder / "tls")
    ports = {name: free_port() for name in names}
    urls = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        for name in names:
            data = folder / f"raft-{name}"
            cluster = free_port()
            data.mkdir()
            joins = {"leader_api_addr": urls[names[0]], "leader_ca_cert_file": str(cert)}
            join = {"retry_join": [joins]} if name != names[0] else {}
            config = {
                "listener": {"tcp": {
                    "address": f"127.0.0.1:{ports[name]}",
                        "cluster_address": f"127.0.0.1:{cluster}",
                    "tls_cert_file": str(cert), "tls_key_file": str(key),
                    "telemetry": {"unauthenticated_metrics_access": True},
                }},
                "storage": {"raft": {"path": str(data), "node_id": name} | join},
                "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": True},
                "api_addr": urls[name], "cluster_addr": f"https://127.0.0.1:{cluster}",
                "disable_mlock": True,
            } | extra  # fmt: skip
            file = folder / f"{name}.json"
            file.write_text(json.dumps(config))
            argv = [binary, "server", f"-config={file}"]
            port = ports[name]
            stack.enter_context(
                running(argv, lambda port=port: listens(port), folder / f"{name}.log")
            )
        found = VaultSet(urls, str(cert), folder)
        if initialise:
            made = found.client("", "").sys.initialize(SHARES, THRESHOLD)
            found.shares, found.token = made["keys_base64"], made["root_token"]
            if unseal:
                found.unseal()
        yield found
