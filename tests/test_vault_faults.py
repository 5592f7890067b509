"""What the screen says when Vault does not answer as it should: one row a fault.

The same table stands in docs/vault.md. Collector, view and screen are the real ones; the faulty
server is a stand-in, and so are the two healthy ones beside it.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from labtui.app import LabApp
from labtui.collectors.vault import standing
from labtui.collectors.vaultmetrics import VaultMetricsCollector
from labtui.config import Cluster, Config, VaultConfig
from labtui.screens.lab import LabScreen
from labtui.session import Session
from labtui.sources.base import SourceError
from labtui.sources.vault import VaultClient
from labtui.views import vault as view
from labtui.widgets.lines import Lines
from labtui.widgets.rows import Rows
from standin import (
    Behaviour,
    answer,
    big,
    by_path,
    certificate,
    cut_short,
    deaf,
    drip,
    drip_header,
    expired,
    free_port,
    hang,
    reset,
    standing_in,
)

FAULTY = "desktop-gpu"
LIMIT = 0.8
"""[vault] timeout_s of these tests, seconds."""
SLACK = 1.5
"""Seconds that a busy machine of two cores may add."""

UNSEALED = {
    "type": "shamir", "initialized": True, "sealed": False, "t": 3, "n": 5, "progress": 0,
    "nonce": "", "version": "1.21.2", "migration": False, "cluster_name": "vault-cluster-1",
    "cluster_id": "32b69eb4-413c", "recovery_seal": False, "storage_type": "raft",
    "removed_from_cluster": False,
}  # fmt: skip
SEALED = UNSEALED | {"sealed": True, "cluster_name": "", "cluster_id": ""}
HEALTH = {
    "initialized": True, "sealed": False, "standby": True, "performance_standby": False,
    "replication_dr_mode": "disabled", "version": "1.21.2",
}  # fmt: skip
"""As Vault 1.21.2 answers."""


def said(status: int, body: Any = None) -> Behaviour:
    return answer(status, b"" if body is None else json.dumps(body).encode())


def errors(status: int, *words: str) -> Behaviour:
    return said(status, {"errors": list(words)})


def unsealed(health: Behaviour) -> Behaviour:
    """Unsealed as its seal-status has it; health as given."""
    return by_path(seal_status=said(200, UNSEALED), health=health, leader=said(200, {}))


def serving(*, active: bool, leader: str = "") -> Behaviour:
    health = HEALTH | {"standby": not active}
    told = {"ha_enabled": True, "is_self": active, "leader_address": leader}
    return by_path(
        seal_status=said(200, UNSEALED), health=said(200, health), leader=said(200, told)
    )


Place = tuple[str, str]
"""Address and CA file."""


@contextmanager
def at(behave: Behaviour) -> Iterator[Place]:
    with standing_in(behave) as server:
        yield server.url, ""


@contextmanager
def nowhere() -> Iterator[Place]:
    yield f"https://127.0.0.1:{free_port()}", ""


@contextmanager
def no_way() -> Iterator[Place]:
    yield "https://255.255.255.255:8200", ""  # TCP has no way to a broadcast address


@contextmanager
def deaf_port(full: bool) -> Iterator[Place]:
    with deaf(full=full) as port:
        yield f"https://127.0.0.1:{port}", ""


@contextmanager
def plain_port() -> Iterator[Place]:
    with standing_in(serving(active=True)) as server:
        yield server.url.replace("http:", "https:"), ""


@contextmanager
def tls(
    make: Callable[[Path], tuple[Path, Path]], folder: Path, ca: Path | None
) -> Iterator[Place]:
    pair = make(folder / "its")
    with standing_in(serving(active=True), pair) as server:
        yield server.url, str(ca or pair[0])


@dataclass(frozen=True)
class Fault:
    name: str
    """As the table in docs/vault.md calls it."""
    state: str
    says: str
    """What the screen says. ADDRESS and CAFILE stand for this server's."""
    place: Callable[[Path], Any]


def http(name: str, state: str, says: str, behave: Behaviour) -> Fault:
    return Fault(name, state, says, lambda _: at(behave))


WRONG = {"t": "three", "n": -5, "progress": -1, "nonce": [], "version": {}}
WHOSE = "is the address the server's own, with no proxy or balancer in between?"
HANGS = "it hangs, or the way there does: look at its load and its log"
WAY = "is the machine on, and is there a way to it?"


def elsewhere(folder: Path) -> tuple[Path, Path]:
    return certificate(folder, "192.0.2.1")


FAULTS: list[Fault] = [
    Fault(
        "nothing listens",
        "refused",
        "NODE refuses the connection: nothing listens at ADDRESS; is the service up on "
        "that machine?",
        lambda _: nowhere(),
    ),
    Fault("no route to it", "unknown", f"NODE: no route to it; {WAY}", lambda _: no_way()),
    Fault(
        "its packets are dropped",
        "unknown",
        f"NODE: it does not answer; {WAY}",
        lambda _: deaf_port(True),
    ),
    Fault(
        "takes the connection, never speaks",
        "unknown",
        f"NODE: no complete answer in time; {HANGS}",
        lambda _: deaf_port(False),
    ),
    http(
        "takes the request, never answers",
        "unknown",
        f"NODE: no complete answer in time; {HANGS}",
        hang,
    ),
    http("an answer byte by byte", "unknown", f"NODE: no complete answer in time; {HANGS}", drip),
    http(
        "a header byte by byte",
        "unknown",
        f"NODE: no complete answer in time; {HANGS}",
        drip_header,
    ),
    http(
        "reset in mid-request",
        "unknown",
        f"NODE: it closed the connection without an answer; {WHOSE}",
        reset,
    ),
    http(
        "answer cut short",
        "unknown",
        f"NODE: it closed the connection without an answer; {WHOSE}",
        cut_short,
    ),
    http(
        "429, a standby", "standby", "ready to take over from truenas", unsealed(said(429, HEALTH))
    ),
    http(
        "429, a quota",
        "unknown",
        "NODE: it says 429: rate limit quota exceeded; look at its log",
        errors(429, "rate limit quota exceeded"),
    ),
    http(
        "472",
        "standby",
        "NODE is a DR secondary: it serves nobody until it is promoted",
        unsealed(said(472)),
    ),
    http(
        "473",
        "standby",
        "ready to take over from truenas, and serves reads meanwhile",
        unsealed(said(473)),
    ),
    http(
        "474",
        "standby",
        "NODE stands by and reaches no leader, though truenas is active: look at the "
        "cluster port (8201) between them",
        unsealed(said(474)),
    ),
    http(
        "500",
        "unknown",
        "NODE: it says 500: internal error; look at its log",
        errors(500, "internal error"),
    ),
    http(
        "501",
        "uninitialised",
        "NODE has not joined the set: with retry_join that comes by itself; else "
        "`vault operator raft join LEADER` there; I would make a set of its own",
        said(501),
    ),
    http(
        "503, sealed",
        "sealed",
        "NODE is sealed: how many shares it needs it does not say; u gives a share "
        "(`labtui vault unseal NODE`)",
        errors(503, "Vault is sealed"),
    ),
    http(
        "503, no active server",
        "standby",
        "NODE stands by and reaches no leader, though truenas is active: look at the "
        "cluster port (8201) between them",
        errors(503, "no active Vault instance found"),
    ),
    http(
        "503, a proxy's page",
        "unknown",
        f"NODE: it is not available now (503: Down); {WHOSE}",
        answer(503, b"<html><b>Down</b>", "text/html"),
    ),
    http(
        "530",
        "sealed",
        "NODE was removed from its raft cluster: shares do not bring it back; stop it, "
        "empty its raft folder and let it join anew, or take it out of [vault.nodes]",
        said(530),
    ),
    Fault(
        "plain HTTP on the port",
        "tls",
        "NODE: it does not speak TLS on this port: is it another port, or plain http?",
        lambda _: plain_port(),
    ),
    Fault(
        "wrong CA",
        "tls",
        "NODE: its certificate is signed by an authority that CAFILE does not hold (self-"
        "signed certificate): ca_file must name the CA that signed it",
        lambda f: tls(certificate, f, certificate(f / "other")[0]),
    ),
    Fault(
        "expired certificate",
        "tls",
        "NODE: its certificate has expired: have a new one made and loaded there",
        lambda f: tls(expired, f, None),
    ),
    Fault(
        "wrong host name",
        "tls",
        "NODE: its certificate is for another name (IP address mismatch, certificate is "
        "not valid for '127.0.0.1'): use an address that is in the certificate, or have "
        "one made for this address",
        lambda f: tls(elsewhere, f, None),
    ),
    http(
        "no JSON", "unknown", f"NODE: the answer is not JSON; {WHOSE}", answer(200, b"\x00\xff{]")
    ),
    http(
        "JSON of another kind: a list",
        "unknown",
        f"NODE: the answer is not Vault's; {WHOSE}",
        said(200, [1, 2]),
    ),
    http(
        "JSON of something else",
        "unknown",
        f"NODE: the answer is not a seal status; {WHOSE}",
        said(200, {"status": "ok"}),
    ),
    http(
        "`sealed` is a string",
        "unknown",
        f"NODE: the answer is not a seal status; {WHOSE}",
        said(200, SEALED | {"sealed": "false"}),
    ),
    http(
        "other fields of wrong types",
        "sealed",
        "NODE is sealed: how many shares it needs it does not say; u gives a share "
        "(`labtui vault unseal NODE`)",
        said(200, SEALED | WRONG),
    ),
    http("an answer of 10 MB", "unknown", f"NODE: the answer is larger than 64 KiB; {WHOSE}", big),
    http(
        "a redirect",
        "unknown",
        f"NODE: it redirects (307), which is not followed; {WHOSE}",
        answer(307, Location="https://192.0.2.1/v1/sys/health"),
    ),
]


def lab(places: dict[str, str], ca_file: str = "", timeout: float = LIMIT) -> Config:
    return Config(
        cluster=Cluster(name="lab"),
        vault=VaultConfig(nodes=places, ca_file=ca_file, timeout_s=timeout, interval_s=0.3),
    )


def text_of(widget: Lines | Rows) -> str:
    """What stands on the screen. Spaces do not count: lines break where there is room."""
    lines = (
        "".join(segment.text for segment in widget.render_line(y))
        for y in range(widget.size.height)
    )
    return squashed(" ".join(lines))


def squashed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def lanes(url: str) -> list[str]:
    return [t.name for t in threading.enumerate() if url in t.name]


async def until(met: Callable[[], Any], wait: float, pilot: Pilot[Any] | None = None) -> bool:
    deadline = time.monotonic() + wait
    while not met():
        if time.monotonic() > deadline:
            return False
        await (pilot.pause(0.02) if pilot else asyncio.sleep(0.02))
    return True


def console(config: Config, screen: str = "vault") -> LabApp:
    return LabApp(config, screen=screen, make_session=lambda c, r: Session(c, keep=False))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
async def test_fault(fault: Fault, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url, ca_file = stack.enter_context(fault.place(tmp_path))
        good = stack.enter_context(standing_in(serving(active=True)))
        other = stack.enter_context(standing_in(serving(active=False, leader=good.url)))
        config = lab({"truenas": good.url, "xps15-cpu": other.url, FAULTY: url}, ca_file)
        app = console(config)
        async with app.run_test(size=(80, 24)) as pilot:
            store = app.session.store

            def answered() -> bool:
                feeds = [store.feed(f"vault.{name}") for name in config.vault.nodes]
                return all(feed and feed.latest for feed in feeds)

            assert await until(answered, LIMIT + 2 * SLACK, pilot)
            feed = store.feed(f"vault.{FAULTY}")
            assert feed and feed.latest and feed.latest.took < LIMIT + SLACK, "it has a limit"
            screen = app.screen
            assert isinstance(screen, LabScreen)
            screen.goto("vault", FAULTY)

            words = fault.says.replace("NODE", FAULTY).replace("ADDRESS", url)
            words = words.replace("CAFILE", ca_file).replace("LEADER", good.url)
            detail, table = screen.query_one("#detail", Lines), screen.table
            await until(lambda: squashed(words) in text_of(detail), 3 * SLACK, pilot)
            assert squashed(words) in text_of(detail)

            def states() -> list[str]:
                rows = {row.node: row for row in view.rows(store, config, time.time())}
                return [rows[name].state for name in config.vault.nodes]

            # On a busy machine an answer of the others may come late too, once.
            wanted = ["active", "standby", fault.state]
            await until(lambda: states() == wanted, 3 * SLACK, pilot)
            assert states() == wanted, "the others are unharmed"
            shown = [
                f"{name}{state}" for name, state in zip(config.vault.nodes, wanted, strict=True)
            ]
            await until(lambda: all(s in text_of(table) for s in shown), SLACK, pilot)
            assert [s for s in shown if s not in text_of(table)] == []
        assert await until(lambda: not lanes(url), LIMIT + SLACK), "its thread ended by itself"


def test_docs_have_the_same_table() -> None:
    text = (Path(__file__).parents[1] / "docs" / "vault.md").read_text()
    part = text.split("## When Vault does not answer as it should\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    assert rows == [f"| {f.name} | {f.state} | {f.says} |" for f in FAULTS]


SECRET = "hvs.ambient-token"


async def test_nothing_ambient_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, proxy, CA or login of the person's environment, and no redirect followed."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".vault-token").write_text(SECRET)
    (home / ".netrc").write_text(f"machine 127.0.0.1 login ana password {SECRET}\n")
    (home / ".netrc").chmod(0o600)
    wrong = certificate(tmp_path / "wrong")[0]
    with standing_in(answer(200, b"{}")) as trap, ExitStack() as stack:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.lower(), trap.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("NETRC", str(home / ".netrc"))
        monkeypatch.setenv("VAULT_TOKEN", SECRET)
        monkeypatch.setenv("VAULT_ADDR", trap.url)
        monkeypatch.setenv("VAULT_NAMESPACE", "ambient")
        for name in ("VAULT_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(wrong))
        pair = certificate(tmp_path / "its")
        moved = answer(307, Location=f"{trap.url}/v1/sys/seal-status")
        server = stack.enter_context(standing_in(serving(active=False), pair))
        away = stack.enter_context(standing_in(moved))
        config = lab({"truenas": server.url, FAULTY: away.url}, str(pair[0]))
        found = await standing(config, "truenas")
        assert found.state == "standby", "its own CA counts, not that of the environment"
        with pytest.raises(SourceError, match="it redirects"):
            await standing(config, FAULTY)
        metrics = VaultMetricsCollector(config)
        await metrics.collect()
        await metrics.close()
        assert not trap.requests, "neither a proxy nor the target of a redirect"
        assert len(server.requests) == 4 and len(away.requests) == 2
        for path, headers in (*server.requests, *away.requests):
            names = {name.lower() for name in headers}
            assert not names & {"x-vault-token", "authorization", "x-vault-namespace", "cookie"}
            assert SECRET not in path and SECRET not in json.dumps(headers)
        # Without a CA of its own it is the machine's list, and not the environment's file either.
        monkeypatch.setenv("VAULT_CACERT", str(pair[0]))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))
        with pytest.raises(SourceError, match="this machine's own list does not hold"):
            await standing(lab({"truenas": server.url}), "truenas")


def test_most_of_a_huge_answer_is_not_read() -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(10 << 20))
        handler.end_headers()
        for _ in range(160):
            handler.wfile.write(b"x" * (64 << 10))
            sent += 64 << 10

    with standing_in(endless) as server:
        client = VaultClient("truenas", server.url, timeout=3.0)
        with pytest.raises(SourceError, match="larger than 64 KiB"):
            client.probe()
        client.close()
    assert sent < 10 << 20, "the connection is closed as soon as it is too much"


class Changing:
    """A stand-in that answers as it is told to."""

    def __init__(self) -> None:
        self.now = serving(active=True)

    def __call__(self, handler: Any) -> None:
        self.now(handler)


JOBS, HELP, MENU, DETAIL = ("3",), ("question_mark",), ("5", "a"), ("5", "enter")
"""Keys that open another table, a full screen, a dialog over the table, a row's own screen."""


@pytest.mark.parametrize("before", ["active", "refused", "hangs"])
@pytest.mark.parametrize("keys", [JOBS, HELP, MENU, DETAIL], ids=lambda keys: keys[-1])
async def test_a_seal_is_on_screen_within_five_seconds(keys: tuple[str, ...], before: str) -> None:
    """Whatever screen is open, also where the server was not to be reached before (a reboot)."""
    changing = Changing()
    with standing_in(changing) as server:
        config = Config(
            cluster=Cluster(name="lab"), vault=VaultConfig(nodes={"truenas": server.url})
        )
        app = console(config, "nodes")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: app.session.store.value("vault.truenas"), 5, pilot)
            await pilot.press(*keys)
            await pilot.pause(0.1)
            assert isinstance(app.screen, LabScreen) == (keys == JOBS), "it is open"
            if before != "active":
                changing.now = reset if before == "refused" else hang
                feed = lambda: app.session.store.feed("vault.truenas")  # noqa: E731
                await until(lambda: (f := feed()) and f.failures > 1, 12, pilot)
            server.server.released.set()  # type: ignore[attr-defined]
            changing.now = said(200, SEALED)
            began = time.monotonic()

            def seen() -> bool:
                tops = [s.query_one("#top", Lines) for s in app.screen_stack if s.query("#top")]
                return "vaultsealedontruenas" in text_of(tops[-1])

            assert await until(seen, 7, pilot)
            assert time.monotonic() - began < 5.0


def test_every_full_screen_has_the_line_that_tells_it() -> None:
    folder = Path(__file__).parents[1] / "src" / "labtui" / "screens"
    plain = {f.name for f in folder.glob("*.py") if re.search(r"[ (]Lines\(id=.top", f.read_text())}
    assert plain == {"lab.py", "welcome.py"}, "the one has it in another way, the other no lab"


async def longest_stall(config: Config) -> float:
    """Seconds for which the loop did nothing else while keys were pressed on the vault screen."""
    worst = 0.0
    stop = False

    async def watch() -> None:
        nonlocal worst
        last = time.perf_counter()
        while not stop:
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            worst, last = max(worst, now - last - 0.002), now

    app = console(config)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(1.0)  # what is imported once is no matter of Vault
        watching = asyncio.create_task(watch())
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            for key in ("down", "up", "end", "home", "s", "S"):
                await pilot.press(key)
        stop = True
        await watching
    return worst


@pytest.mark.slow
async def test_the_console_never_stutters_while_vault_hangs() -> None:
    """Beside a run with healthy servers: this machine's own pauses are in both."""
    with ExitStack() as stack:
        names = ("truenas", "xps15-cpu", FAULTY)
        hung = {n: stack.enter_context(standing_in(hang)).url for n in names}
        well = {n: stack.enter_context(standing_in(serving(active=False))).url for n in names}
        tries = []
        for _ in range(4):
            with_hang = await longest_stall(lab(hung, timeout=0.5))
            without = await longest_stall(lab(well, timeout=0.5))
            tries.append((with_hang, without))
            if with_hang < max(0.05, without + 0.01):
                return
        raise AssertionError(f"stalls of (hanging, healthy) servers in seconds: {tries}")
