"""What kubectl writes when it fails, as a kind and one sentence: what it is and what to do.

The texts are those of kubectl 1.20 to 1.34; tests/test_kubernetes_api.py has them from the real
one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec

from labtui.text import inert

KubeErrorKind = Literal[
    "refused", "unreachable", "timeout", "auth", "permission", "not-found", "protocol", "tls",
    "config",
]  # fmt: skip


class Told(msgspec.Struct, frozen=True):
    """Why a call of kubectl failed."""

    kind: KubeErrorKind
    message: str
    """One inert sentence, without the source's name."""
    gone: bool = False
    """The pod, or the container in it, is not there (any more)."""


_Match = re.Match[str]
_GONE = re.compile(r"\(NotFound\): pods |container not found|completed pod|pod does not exist")
_SECRET = re.compile(r"eyJ[\w-]{10,}\.[\w.-]+|(?i:bearer)\s+\S+")
_RIGHT = re.compile(
    r'User "(?P<user>.*?)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)


def _forbidden(text: str, _: _Match) -> str:
    right = _RIGHT.search(text)
    if right is None:
        return f"refused, a right is missing (docs/kubernetes.md names them): {text}"
    where = f" in {right['namespace']}" if right["namespace"] else ""
    group = f".{right['group']}" if right["group"] else ""
    return (
        f"{right['user']} may not {right['verb']} {right['resource']}{group}{where}: "
        "docs/kubernetes.md names the right it needs"
    )


def _refused(_: str, found: _Match) -> str:
    where = found["where"] or "the server"
    if where == "localhost:8080":
        return "no cluster is configured: name a kubeconfig in [kubernetes] kubeconfig"
    return f"nothing answers at {where}: the API server is down, or the address is wrong"


def _tls(text: str, _: _Match) -> str:
    if "expired" in text or "not yet valid" in text:
        return "the server's certificate is not valid now: renew it, or set the clock"
    if "unknown authority" in text:
        return "the server's certificate is of another CA: a new kubeconfig has the right one"
    if "HTTP response to HTTPS" in text:
        return "the server does not speak TLS: is the kubeconfig's address the API server's?"
    return f"the server's certificate does not fit: {text.partition('x509: ')[2] or text}"


_RULES: tuple[tuple[str, KubeErrorKind, str | Callable[[str, _Match], str]], ...] = (
    (r"\(Forbidden\)", "permission", _forbidden),
    (
        r"\(Unauthorized\)|must be logged in|asked for the client to provide credentials",
        "auth",
        "the token is not accepted, it has expired or is wrong: docs/kubernetes.md has how to "
        "renew it",
    ),
    (
        "Insufficient permissions to access MicroK8s",
        "permission",
        "this user may not use microk8s: add it to the group microk8s",
    ),
    (r"microk8s is not running", "refused", "microk8s is not running: `microk8s start`"),
    (
        r"getting credentials|exec plugin",
        "auth",
        lambda text, _: f"the kubeconfig's login program failed: {text}",
    ),
    (
        r"stat (?P<file>\S+): no such file|open (?P<open>\S+): no such file",
        "config",
        lambda _, m: f"{m['file'] or m['open']}: no such kubeconfig",
    ),
    (
        r"open (?P<file>\S+): permission denied",
        "config",
        lambda _, m: f"{m['file']}: this kubeconfig may not be read",
    ),
    (
        r'error loading config file "?(?P<file>[^":]+)',
        "config",
        lambda _, m: f"{m['file']}: not a kubeconfig",
    ),
    (
        r'context "(?P<name>[^"]*)" does not exist|context exists with the name: "?(?P<n>[^"]+)',
        "config",
        lambda _, m: f"the kubeconfig has no context {m['name'] or m['n']}",
    ),
    (r"x509|tls: |certificate|HTTP response to HTTPS", "tls", _tls),
    (
        r"\(Expired\)",
        "timeout",
        "the list grew too old while it was read page by page: it is asked again",
    ),
    (
        r"TLS handshake timeout|timeout|timed out|deadline exceeded|Timeout",
        "timeout",
        "no answer in time: the API server is busy, or hangs",
    ),
    (r"connection to the server (?P<where>\S+) was refused", "refused", _refused),
    (r"dial tcp (?P<where>\S+): .*refused|refused(?P<x>)", "refused",
     lambda text, m: _refused(text, m) if m["where"] else f"refused: {text}"),
    (
        r"no such host|no route|unreachable|connection reset|EOF$",
        "unreachable",
        lambda text, _: f"cannot be reached: {text}",
    ),
    (
        r"could not find the requested resource|doesn't have a resource type",
        "not-found",
        "the cluster has no such kind of object",
    ),
    (r"\(NotFound\)|not found|completed pod|does not exist", "not-found", lambda text, _: text),
)  # fmt: skip


def explain(stderr: str) -> Told:
    """The last line that kubectl wrote, understood. It holds no token."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    # klog's own lines ("E1124 09:50:10 ...") repeat what the last line says.
    said = [line for line in lines if not re.match(r"[EWI]\d{4} ", line)] or lines
    text = _SECRET.sub("...", inert(said[-1] if said else "failed without a word", 1000)).strip()
    gone = _GONE.search(text) is not None
    short = re.sub(
        r"^(?:error: |Error from server \(\w+\): |Error from server: |Unable to connect to the "
        r"server: )+", "", text
    )  # fmt: skip
    everything = inert(" ".join(said), 4000)
    for where in (text, everything):
        for pattern, kind, words in _RULES:
            if found := re.search(pattern, where):
                message = words if isinstance(words, str) else words(short, found)
                return Told(kind, inert(message, 300), gone)
    return Told("protocol", inert(short, 300), gone)
