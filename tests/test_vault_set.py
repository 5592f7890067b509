"""A real raft set of three, each server told by its own address; and what the shell says of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.collectors.vault import VaultCollector, collectors, standing
from labtui.collectors.vaultmetrics import VaultMetricsCollector, by_node
from labtui.config import Config, UrlConfig, VaultConfig
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.sources.prometheus import Sample
from labtui.sources.vaultmetrics import VaultMetrics
from labtui.store import Fault, Reading, Store
from labtui.views import vault as view
from labtui.views.vaultset import findings
from realservers import prometheus
from standin import answer, free_port, standing_in
from vaultset import SHARES, THRESHOLD, VaultSet, vault_set

NAMES = ("truenas", "xps15-cpu", "desktop-gpu")


def config(servers: VaultSet, **more: Any) -> Config:
    return Config(vault=VaultConfig(nodes=servers.urls, ca_file=servers.ca), **more)


class Watched:
    """The servers as a console sees them: real collectors, the store, the view."""

    def __init__(self, servers: VaultSet) -> None:
        self.config = config(servers)
        self.store = Store()
        self.collectors = collectors(self.config)
        for collector in self.collectors:
            self.store.declare(collector.name, collector.kind, collector.interval)

    async def look(self) -> list[VaultNode]:
        for collector in self.collectors:
            assert isinstance(collector, VaultCollector)
            value, fault = None, None
            try:
                value = await collector.ask()
            except SourceError as error:
                fault = Fault(error.fault.kind, error.fault.message)
            self.store.put(Reading(collector.name, value, fault, time.time(), 0.01))
        return view.states(self.store, self.config, time.time())

    async def states(self) -> list[str]:
        return [node.state for node in await self.look()]

    async def until(self, *states: str, wait: float = 20.0) -> list[VaultNode]:
        deadline = time.monotonic() + wait
        while True:
            nodes = await self.look()
            found = tuple(node.state for node in nodes)
            if found == states:
                return nodes
            assert time.monotonic() < deadline, f"{found} is not {states}"
            await asyncio.sleep(0.1)

    async def words(self, later: float = 0.0) -> list[str]:
        return [f.words for f in findings(await self.look(), time.time() + later)]

    async def close(self) -> None:
        for collector in self.collectors:
            await collector.close()


async def all_vote(servers: VaultSet) -> None:
    """A peer that has joined votes only ten seconds later; before that the set has no spare."""
    deadline = time.monotonic() + 40
    while True:
        told = servers.client().sys.read_raft_config()["data"]["config"]["servers"]
        if sum(peer["voter"] for peer in told) == len(servers.urls):
            return
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.3)


@pytest.mark.slow
async def test_a_set_from_birth_to_the_loss_of_its_quorum(tmp_path: Path) -> None:
    with vault_set(tmp_path, *NAMES, initialise=False) as servers:
        watched = Watched(servers)
        nodes = await watched.look()
        assert [n.state for n in nodes] == ["uninitialised"] * 3
        assert all("on one of them" in f.sentence for f in findings(nodes, time.time()))

        made = servers.client("", "").sys.initialize(SHARES, THRESHOLD)
        servers.shares, servers.token = made["keys_base64"], made["root_token"]
        nodes = await watched.until("sealed", "uninitialised", "uninitialised")
        said = [f.sentence for f in findings(nodes, time.time())]
        joins = "xps15-cpu and desktop-gpu have not joined the set"
        assert any(s.startswith(joins) and "once truenas is unsealed" in s for s in said)

        servers.unseal("truenas")
        nodes = await watched.until("active", "sealed", "sealed")  # they joined by themselves
        first = nodes[0]
        assert first.was in ("standby", "sealed") and first.storage == "raft"
        assert (first.recovery_seal, first.migration, first.removed) == (False, False, False)
        assert [n.clock_skew_ms for n in nodes] == [0, 0, 0], "of a sealed one it is told too"

        servers.client("xps15-cpu", "").sys.submit_unseal_key(servers.shares[0])
        nodes = await watched.until("active", "unsealing", "sealed")
        assert (nodes[1].progress, nodes[1].threshold) == (1, 3) and nodes[1].nonce
        for share in servers.shares[1:3]:
            servers.client("xps15-cpu", "").sys.submit_unseal_key(share)
        nodes = await watched.until("active", "standby", "sealed")
        assert nodes[1].leader == servers.urls["truenas"] and nodes[1].leaderless is False
        assert nodes[1].cluster_id == nodes[0].cluster_id is not None
        assert await watched.words() == ["vault sealed on desktop-gpu", "vault without a spare"]

        servers.unseal("desktop-gpu")
        await watched.until("active", "standby", "standby")
        assert await watched.words() == []

        await all_vote(servers)
        servers.kill("truenas")
        nodes = await watched.look()
        assert nodes[0].state in ("refused", "unknown") and nodes[0].was == "active"
        assert any(f.words == "no active vault" for f in findings(nodes, time.time() + 60))
        deadline = time.monotonic() + 40
        while "active" not in (states := await watched.states()):
            assert time.monotonic() < deadline, states
            await asyncio.sleep(0.1)
        assert sorted(states) == ["active", "refused", "standby"]
        assert "no active vault" not in await watched.words()

        last = NAMES[states.index("standby")]
        servers.kill(NAMES[states.index("active")])
        deadline = time.monotonic() + 40
        while not (node := {n.node: n for n in await watched.look()}[last]).leaderless:
            assert time.monotonic() < deadline, "Vault tells its standbys after ten seconds"
            assert "no active vault" in await watched.words(60), "the view knows it before"
            await asyncio.sleep(0.2)
        assert node.state == "standby"
        assert "no active vault" in await watched.words(60)
        await watched.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    """Two servers: the one is active, the other joined and left sealed, then removed."""
    with vault_set(tmp_path_factory.mktemp("set"), "truenas", "xps15-cpu") as servers:
        servers.unseal()
        yield servers


async def test_metrics_of_the_server_itself(pair: VaultSet) -> None:
    collector = VaultMetricsCollector(config(pair))
    assert collector.lazy
    told = await collector.collect()
    await collector.close()
    first = told["truenas"]
    assert first.in_flight is not None and first.leases is not None
    assert first.memory_mib and 1 < first.memory_mib < 2000
    assert (first.source, first.why) == ("server", "")


@pytest.mark.slow
async def test_metrics_from_prometheus(pair: VaultSet, tmp_path: Path) -> None:
    """The real text form, through a Prometheus; a stand-in serves it without TLS and by name."""
    asked = pair.client("", "").adapter.get("/v1/sys/metrics", params={"format": "prometheus"})
    text = asked.text
    with standing_in(answer(200, text.encode(), "text/plain")) as exporter:
        target = exporter.url.removeprefix("http://")
        with prometheus(tmp_path, {"truenas": target}) as url:
            collector = VaultMetricsCollector(config(pair, prometheus=UrlConfig(url=url)))
            deadline = time.monotonic() + 15
            while (told := await collector.collect())["truenas"].source != "prometheus":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.3)
            await collector.close()
    assert told["truenas"].memory_mib
    assert told["xps15-cpu"].source == "server", "what Prometheus has not, it tells itself"


def test_series_belong_to_the_server_that_was_scraped() -> None:
    nodes = {"truenas": "https://10.0.0.1:8200", "xps15-cpu": "https://[fd00::2]:8200"}
    addresses = {"xps15-cpu": "10.0.0.2"}

    def sample(value: float, **labels: str) -> Sample:
        return Sample({"__name__": "vault_expire_num_leases", **labels}, ((1.0, value),))

    found = by_node(
        [sample(1, instance="10.0.0.1:8200"), sample(2, instance="10.0.0.2:8200"),
         sample(4, instance="[fd00::2]:9"), sample(8, instance="10.0.0.9:8200"),
         sample(16, instance="x", node="truenas")],
        nodes, addresses,
    )  # fmt: skip
    assert {name: m.leases for name, m in found.items()} == {"truenas": 17, "xps15-cpu": 6}


@pytest.mark.parametrize(
    ("status", "why"),
    [(403, "wants a token"), (400, "no prometheus_retention_time"), (500, "it failed inside")],
)
async def test_a_server_that_tells_no_figures_is_not_at_fault(status: int, why: str) -> None:
    with standing_in(answer(status, b'{"errors":["no"]}')) as server:
        section = VaultConfig(nodes={"truenas": server.url}, timeout_s=1.0)
        collector = VaultMetricsCollector(Config(vault=section))
        (told,) = (await collector.collect()).values()
        assert isinstance(told, VaultMetrics) and why in told.why
        await collector.close()


# The shell


def labtui(tmp_path: Path, made: Config, *argv: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "labtui.toml"
    lines = ["[vault]", f'ca_file = "{made.vault.ca_file}"', "timeout_s = 2.0", "[vault.nodes]"]
    lines += [f'{name} = "{url}"' for name, url in made.vault.nodes.items()]
    file.write_text("\n".join(lines))
    env = os.environ | {"XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-m", "labtui", "--config", str(file), *argv],
        capture_output=True, text=True, timeout=30, env=env, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.slow
def test_status_in_plain_words(pair: VaultSet, tmp_path: Path) -> None:
    made = config(pair)
    done = labtui(tmp_path, made, "vault", "status")
    assert done.returncode == 0, done.stderr
    first, second, said = done.stdout.splitlines()
    version = standing_version(done.stdout)
    assert first == f"truenas    active, version {version}, {pair.urls['truenas']}"
    assert second == f"xps15-cpu  standby, version {version}, {pair.urls['xps15-cpu']}"
    assert said == "nothing is wrong"

    document = json.loads(labtui(tmp_path, made, "vault", "status", "--json").stdout)
    assert document["schema"] == "labtui/vault/1" and document["findings"] == []
    assert [i["state"] for i in document["items"]] == ["active", "standby"]

    gone = f"https://127.0.0.1:{free_port()}"
    section = VaultConfig(nodes=pair.urls | {"desktop-gpu": gone}, ca_file=pair.ca)
    done = labtui(tmp_path, Config(vault=section), "vault", "status")
    assert done.returncode == 1 and "CRITICAL desktop-gpu refuses the connection" in done.stdout
    done = labtui(tmp_path, Config(vault=section), "vault", "status", "desktop-gpu")
    assert done.returncode == 3 and "truenas" not in done.stdout.splitlines()[0]
    assert labtui(tmp_path, made, "vault", "status", "nobody").returncode == 2
    assert labtui(tmp_path, Config(), "vault", "status").returncode == 2


def standing_version(text: str) -> str:
    return text.partition("version ")[2].partition(",")[0]


@pytest.mark.slow
async def test_sealed_and_removed(pair: VaultSet, tmp_path: Path) -> None:
    """Last, for it breaks the set."""
    made = config(pair)
    pair.seal("truenas")
    document = json.loads((done := labtui(tmp_path, made, "vault", "status", "--json")).stdout)
    assert done.returncode == 1
    (sealed,) = [f for f in document["findings"] if f["words"] == "vault sealed on truenas"]
    assert sealed["severity"] == 3 and "needs 3 of 5 shares" in sealed["sentence"]
    done = labtui(tmp_path, made, "vault", "status", "truenas")
    assert "truenas  sealed, 0 of 3 shares are in" in done.stdout
    assert "CRITICAL truenas is sealed" in done.stdout

    pair.unseal("truenas")
    leader = pair.wait_active()
    other = next(name for name in pair.urls if name != leader)
    pair.client(leader).sys.remove_raft_node(other)
    deadline = time.monotonic() + 20
    while not (node := await standing(made, other)).removed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert node.state == "sealed"
    (finding,) = findings([node], time.time())
    assert "was removed from its raft cluster" in finding.sentence
