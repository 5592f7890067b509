"""Faults on the way to any HTTP source: each is one kind and one sentence naming the address."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labtui.sources.alertmanager import Alertmanager
from labtui.sources.base import SourceError
from labtui.sources.mlflow import Mlflow
from labtui.sources.prometheus import Prometheus
from labtui.sources.vault import VaultClient
from standin import answer, big, certificate, cut_short, drip, free_port, hang, reset, standing_in

Ask = Callable[[], Any]


def client(name: str, url: str, ca_file: str = "", timeout: float = 1.0) -> tuple[Ask, Any]:
    if name == "vault":
        vault = VaultClient("truenas", url, ca_file=ca_file, timeout=timeout)
        return vault.probe, vault
    kind: Any = {"prometheus": Prometheus, "alertmanager": Alertmanager, "mlflow": Mlflow}[name]
    made = kind(url, ca_file=ca_file, timeout=timeout)
    asks = {"prometheus": lambda: made.instant("up"), "alertmanager": lambda: made.alerts()}
    return asks.get(name, lambda: made.runs()), made


def fault(name: str, url: str, **options: Any) -> tuple[str, str]:
    ask, made = client(name, url, **options)
    with pytest.raises(SourceError) as caught:
        ask()
    made.close()
    message = caught.value.fault.message
    assert url in message, "the sentence names the address"
    assert "\n" not in message and "<" not in message
    return caught.value.fault.kind, message


SOURCES = ("vault", "prometheus", "alertmanager", "mlflow")


@pytest.mark.parametrize("name", SOURCES)
def test_refused(name: str) -> None:
    kind, message = fault(name, f"http://127.0.0.1:{free_port()}")
    assert kind == "refused" and "refused" in message


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("behave", [hang, drip])
def test_an_answer_that_does_not_come_or_end(name: str, behave: Any) -> None:
    began = time.monotonic()
    with standing_in(behave) as server:
        kind, _ = fault(name, server.url, timeout=0.5)
        assert kind == "timeout"
        assert time.monotonic() - began < 2.0
        assert len(server.requests) == 1, "a silent second try would double the wait"


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("behave", [reset, cut_short])
def test_a_connection_that_breaks(name: str, behave: Any) -> None:
    with standing_in(behave) as server:
        kind, message = fault(name, server.url)
    assert kind == "protocol" and "closed the connection" in message


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, "protocol"),
        (503, "protocol"),
        (429, "protocol"),
        (403, "permission"),
        (502, "protocol"),
    ],
)
def test_statuses(name: str, status: int, kind: str) -> None:
    body = b"<html><b>it\x1b[31m broke</b>\nin two lines</html>"
    with standing_in(answer(status, body, "text/html")) as server:
        found, message = fault(name, server.url)
    assert "\x1b" not in message
    assert str(status) in message and found == kind


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("body", [b"not json at all", b"", b'{"a": ', b"\xff\xfe\x00", b"[1, 2]"])
def test_garbage(name: str, body: bytes) -> None:
    with standing_in(answer(200, body)) as server:
        kind, _ = fault(name, server.url)
    assert kind == "protocol"


@pytest.mark.parametrize("name", SOURCES)
def test_an_endless_answer_is_cut_off(name: str) -> None:
    with standing_in(big) as server:
        kind, message = fault(name, server.url, timeout=5.0)
    assert kind == "protocol" and "larger than" in message


@pytest.mark.parametrize("name", SOURCES)
def test_a_redirect_is_not_followed(name: str) -> None:
    with (
        standing_in(answer(200, b"{}")) as elsewhere,
        standing_in(answer(307, b"", Location=f"{elsewhere.url}/v1/x")) as server,
    ):
        kind, message = fault(name, server.url)
        assert kind == "protocol" and "redirects" in message
        assert elsewhere.requests == []


@pytest.mark.parametrize("name", SOURCES)
def test_tls(name: str, tmp_path: Path) -> None:
    right, wrong = certificate(tmp_path / "a"), certificate(tmp_path / "b")
    other = certificate(tmp_path / "c", "192.0.2.1")
    with standing_in(answer(500), right) as server:
        assert fault(name, server.url, ca_file=str(right[0]))[0] == "protocol", "TLS itself is fine"
        kind, message = fault(name, server.url, ca_file=str(wrong[0]))
        assert kind == "tls" and str(wrong[0]) in message
        assert fault(name, server.url)[0] == "tls"
        kind, message = fault(name, server.url, ca_file=str(tmp_path / "none.pem"))
        assert kind == "config" and "none.pem" in message
    with standing_in(answer(500), other) as server:
        kind, message = fault(name, server.url, ca_file=str(other[0]))
        assert kind == "tls" and "127.0.0.1" in message
    with standing_in(answer(200)) as server:
        url = server.url.replace("http:", "https:")
        kind, message = fault(name, url, ca_file=str(right[0]))
        assert kind == "tls" and "does not speak TLS" in message


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_of_the_environment_takes_part(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy, no token, no netrc: not even where the environment offers all of them."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "hvs.must-not-be-sent")
    monkeypatch.setenv("VAULT_NAMESPACE", "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text("hvs.must-not-be-sent")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with standing_in(answer(500)) as server:
        fault(name, server.url)
        _, headers = server.requests[0]
    said = str(headers)
    assert "must-not-be-sent" not in said and "Authorization" not in headers
    assert "X-Vault-Namespace" not in headers
