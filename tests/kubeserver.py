"""A real etcd and a real kube-apiserver with RBAC on loopback; no kubelet, no scheduler.

Users are static tokens: "admin" may do everything, others what a test grants them. What a scheduler
and a kubelet would write (where a pod runs, its phase) tests write through `status`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from standin import free_port, running

CODE = Path(__file__).parent.parent / "src" / "labtui"
KUBE = CODE / "lab" / "kube"


def binaries() -> Path:
    """Where kube-apiserver and kubectl are, or a skip that says what to do."""
    cache = Path(os.environ.get("LABTUI_CACHE", "/var/cache/labtui"))
    named = os.environ.get("LABTUI_KUBE_BIN")
    for folder in [*([Path(named)] if named else []), *sorted(cache.glob("kubernetes-*"))]:
        if all((folder / name).exists() for name in ("kube-apiserver", "kubectl")):
            return folder
    pytest.skip(
        "SKIPPED LOUDLY: no kube-apiserver here: start the lab once, it builds one, or name a "
        "folder with kube-apiserver, kubectl and etcd in LABTUI_KUBE_BIN"
    )


def _etcd(folder: Path) -> str:
    cache = Path(os.environ.get("LABTUI_CACHE", "/var/cache/labtui"))
    path = os.pathsep.join((str(folder), os.environ.get("PATH", ""), "/usr/sbin"))
    for found in (shutil.which("etcd", path=path), *map(str, cache.glob("root-*/usr/bin/etcd"))):
        if found:
            return found
    pytest.skip("SKIPPED LOUDLY: no `etcd` here: apt-get install etcd-server")


@dataclass
class KubeServer:
    """One that runs. `folder` has its keys and the kubeconfigs made of it."""

    folder: Path
    kubectl: str
    url: str
    ca: Path
    pid: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    def kubeconfig(self, user: str, **changes: str) -> str:
        """A kubeconfig of this user; `changes`: address, ca, token."""
        path = self.folder / f"{user}-{abs(hash(tuple(sorted(changes.items()))))}.kubeconfig"
        ca = Path(changes.get("ca", str(self.ca))).read_bytes()
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": changes.get("address", self.url),
                "certificate-authority-data": base64.b64encode(ca).decode()}}],
            "users": [{"name": user, "user": {"token": changes.get("token", self.tokens[user])}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }  # fmt: skip
        path.touch(0o600)
        path.write_text(json.dumps(document))
        return str(path)

    def run(self, *words: str, stdin: str | None = None, user: str = "admin") -> str:
        """kubectl, which must succeed."""
        argv = [self.kubectl, f"--kubeconfig={self.kubeconfig(user)}", *words]
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def request(self, method: str, path: str, body: object = None, kind: str = "json") -> Any:
        """One request as the admin, without kubectl's start."""
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(), method=method
        )
        request.add_header("Authorization", f"Bearer {self.tokens['admin']}")
        request.add_header("Content-Type", f"application/{kind}")
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return json.loads(answer.read())

    def make(self, *objects: dict[str, Any]) -> None:
        """Create or replace objects, their status too where they have one."""
        self.run("apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-",
                 stdin="\n---\n".join(json.dumps(one) for one in objects))  # fmt: skip
        for one in objects:
            if "status" in one:
                self.status(one)

    def status(self, one: dict[str, Any]) -> None:
        """What the scheduler, the kubelet or an operator says of it."""
        meta, group = one["metadata"], one["apiVersion"]
        plural = PLURALS.get(one["kind"], one["kind"].lower() + "s")
        where = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        where += f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        self.request(
            "PATCH", f"{where}/{plural}/{meta['name']}/status", {"status": one["status"]},
            "merge-patch+json",
        )  # fmt: skip

    def apply(self, path: Path) -> None:
        self.run("apply", "--server-side", "--force-conflicts", "-f", str(path))

    def install(self, *names: str) -> None:
        """The kinds and rights that the lab has, then these of its manifests."""
        for name in ("base", "crds"):
            self.apply(KUBE / f"{name}.yaml")
        self.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
        self.apply(CODE / "playbooks" / "kubernetes" / "rbac.yaml")
        for name in names:
            self.apply(KUBE / f"{name}.yaml")


PLURALS = {"ClusterPolicy": "clusterpolicies"}


@contextmanager
def kubernetes(folder: Path) -> Iterator[KubeServer]:
    """Ready in about three seconds, on ports of its own."""
    programs = binaries()
    etcd = _etcd(programs)
    store, peers, port = free_port(), free_port(), free_port()
    tokens = {name: f"{name}-token-of-this-test" for name in ("admin", "labtui", "nobody")}
    lines = [f"{t},{n},{n}" + (',"system:masters"' if n == "admin" else "") for n, t in
             tokens.items()]  # fmt: skip
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
    ca = _keys(folder)
    argv = [
        etcd, f"--data-dir={folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{store}",
        f"--advertise-client-urls=http://127.0.0.1:{store}", "--unsafe-no-fsync",
        f"--listen-peer-urls=http://127.0.0.1:{peers}", f"--initial-cluster=default=http://127.0.0.1:{peers}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
    ]  # fmt: skip
    with running(argv, lambda: _answers(f"http://127.0.0.1:{store}/health"), folder / "etcd.log"):
        argv = [
            str(programs / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{store}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none", f"--secure-port={port}",
            f"--tls-cert-file={folder}/server.pem", f"--tls-private-key-file={folder}/server.key",
            f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/sa.key",
            f"--service-account-signing-key-file={folder}/sa.key",
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--service-cluster-ip-range=10.96.0.0/16", f"--cert-dir={folder}",
        ]  # fmt: skip
        url = f"https://127.0.0.1:{port}"
        server = KubeServer(folder, str(programs / "kubectl"), url, ca, tokens=tokens)
        with running(argv, lambda: _answers(f"{url}/readyz", ca), folder / "api.log", wait=60):
            server.pid = _pid(argv)
            yield server


def _keys(folder: Path) -> Path:
    """A certificate of 127.0.0.1, its own CA, and the key of service account tokens."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=kube-test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.pem"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    subprocess.run(
        ["openssl", "genrsa", "-out", f"{folder}/sa.key", "2048"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return folder / "server.pem"


def _answers(url: str, ca: Path | None = None) -> bool:
    context = ssl.create_default_context(cafile=str(ca)) if ca else None
    try:
        with urllib.request.urlopen(url, timeout=1, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _pid(argv: list[str]) -> int:
    wanted = "\0".join(argv).encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                return int(path.parent.name)
        except OSError:
            continue
    raise AssertionError("the API server is not there")
