"""Who may do what in the lab's Kubernetes: tokens, kubeconfigs, keys. All for root alone."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from labtui.lab import tls
from labtui.lab.layout import CONTROLLER, MACHINES, PORTS, Lab
from labtui.lab.system import LabError, run, write

ADDRESS = MACHINES[CONTROLLER].address
URL = f"https://{ADDRESS}:{PORTS['kube-apiserver']}"

STATIC = {
    "admin": ("lab-admin", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("lab-kubelet", ""),
}
"""Key -> user and group of the API server's own token file."""

NAMESPACE = "labtui"
ACCOUNTS = {
    "kubeconfig": "labtui",
    "kubeconfig-read": "labtui-reader",
    "kubeconfig-nobody": "labtui-nobody",
}
"""File in the lab's state -> service account in the namespace labtui."""
EXPIRED = "kubeconfig-expired"
TEN_YEARS = "87600h"

Kubectl = Callable[..., str]
"""`kubectl(*arguments, stdin=...)` as the lab's administrator."""


def admin_config(lab: Lab) -> Path:
    """The administrator's kubeconfig."""
    return lab.secrets / "kubeconfig-admin"


def tokens(lab: Lab) -> dict[str, str]:
    """The token of each in STATIC, made once."""
    path = lab.secrets / "kube-tokens.json"
    try:
        known: dict[str, str] = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    if set(known) != set(STATIC):
        known = {key: secrets.token_urlsafe(32) for key in STATIC}
        lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(path, json.dumps(known, indent=1) + "\n", 0o600)
    return known


def token_file(lab: Lab) -> str:
    """What the API server reads: token, user, uid, groups."""
    lines = []
    for key, token in tokens(lab).items():
        user, group = STATIC[key]
        lines.append(f'{token},{user},{user},"{group}"' if group else f"{token},{user},{user}")
    return "\n".join(lines) + "\n"


def signing_key(lab: Lab) -> str:
    """The key that service accounts' tokens are signed with, made once."""
    path = lab.secrets / "kube-accounts.key"
    if not path.is_file():
        lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
        write(path, run(argv).stdout, 0o600)
    return path.read_text()


def certificates(lab: Lab) -> None:
    """Of the API server and of kwok's server in the kubelet's place, in `lab.secrets`."""
    hosts = [CONTROLLER, "localhost", "kubernetes", "kubernetes.default.svc"]
    tls.ensure_server(lab, "kube-apiserver", hosts, [ADDRESS, "127.0.0.1", "10.96.0.1"])
    tls.ensure_server(lab, "kubelet", [CONTROLLER], [ADDRESS])


def kubeconfig(lab: Lab, user: str, token: str) -> str:
    """A kubeconfig, as JSON: kubectl reads that too."""
    cluster = {"server": URL, "certificate-authority-data": _authority(lab)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": lab.name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": lab.name, "context": {"cluster": lab.name, "user": user}}],
        "current-context": lab.name,
    }
    return json.dumps(document, indent=1) + "\n"


def issue(lab: Lab, kubectl: Kubectl, accepts: Callable[[Path], bool]) -> None:
    """Write the kubeconfigs of ACCOUNTS, anew where the server does not accept the one there is;
    and one whose token was signed by the server and has been revoked since."""
    for file, account in ACCOUNTS.items():
        path = lab.state / file
        if not (path.is_file() and accepts(path)):
            token = _token(kubectl, account)
            write(path, kubeconfig(lab, account, token), 0o600)
    path = lab.state / EXPIRED
    if not (path.is_file() and _authority(lab) in path.read_text()):
        name = f"session-{int(time.time())}"
        kubectl("create", "secret", "generic", name, f"--namespace={NAMESPACE}")
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={name}")
        token = _token(kubectl, "labtui", *bound)
        kubectl("delete", "secret", name, f"--namespace={NAMESPACE}")
        write(path, kubeconfig(lab, "labtui", token), 0o600)


def _authority(lab: Lab) -> str:
    return base64.b64encode(lab.ca.read_bytes()).decode()


def _token(kubectl: Kubectl, account: str, *more: str) -> str:
    token = kubectl(
        "create", "token", account, f"--namespace={NAMESPACE}", f"--duration={TEN_YEARS}", *more
    ).strip()
    if token.count(".") != 2:
        raise LabError(f"Kubernetes gave no token for {account}")
    return token
