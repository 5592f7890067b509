"""Vault's states, read from a real server through its whole life."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from labtui.collectors.base import CollectError
from labtui.collectors.vault import collectors, standing
from labtui.config import Config, LabRef, VaultConfig
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.sources.vault import VaultClient, node_of, skew_of
from realservers import vault
from standin import answer, free_port, standing_in


@pytest.mark.slow
def test_a_real_vault_from_birth_to_seal(tmp_path: Path) -> None:
    hvac = pytest.importorskip("hvac")
    with vault(tmp_path) as (url, ca):
        client = VaultClient("truenas", url, ca_file=ca, timeout=3.0)
        operator = hvac.Client(url=url, verify=ca, token="")

        node = client.probe()
        assert (node.state, node.sealed, node.threshold) == ("uninitialised", True, None)

        made = operator.sys.initialize(secret_shares=5, secret_threshold=3)
        node = client.probe()
        assert (node.state, node.threshold, node.shares, node.progress) == ("sealed", 3, 5, 0)
        assert node.seal_type == "shamir" and node.version and node.nonce is None

        operator.sys.submit_unseal_key(made["keys"][0])
        node = client.probe()
        assert (node.state, node.progress) == ("unsealing", 1)
        assert node.nonce

        operator.sys.submit_unseal_keys(made["keys"][1:3])
        deadline = time.monotonic() + 10
        while (node := client.probe()).state != "active":
            assert node.state == "standby", "no leader yet is a standby, nothing else"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (node.sealed, node.ha_mode) == (False, "active")
        assert node.cluster and node.nonce is None

        operator.token = made["root_token"]
        operator.sys.seal()
        assert client.probe().state == "sealed"
        with pytest.raises(SourceError) as caught:
            VaultClient("truenas", url, timeout=3.0).probe()
        assert caught.value.fault.kind == "tls"
        client.close()


async def collect(config: Config) -> VaultNode:
    (collector,) = collectors(config)
    try:
        found = await collector.collect()
        assert isinstance(found, VaultNode)
        return found
    finally:
        await collector.close()


def config(url: str, state: str = "") -> Config:
    lab = LabRef(state=state) if state else None
    return Config(vault=VaultConfig(nodes={"truenas": url}, timeout_s=0.5), lab=lab)


SEALED = {"type": "shamir", "initialized": True, "sealed": True, "t": 3, "n": 5, "progress": 0}


async def test_since_stays_while_the_state_does() -> None:
    with standing_in(answer(200, json.dumps(SEALED).encode())) as server:
        (collector,) = collectors(config(server.url))
        first = await collector.collect()
        again = await collector.collect()
        assert first.since is not None and abs(first.since - time.time()) < 5
        assert again == first, "an unchanged state is an unchanged value"
        assert collector.background == 1.0, "a seal must be noticed whatever is on screen"
        assert collector.interval <= 5.0
        await collector.close()


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [(503, {"errors": ["Vault is sealed"]}, "sealed"), (501, {}, "uninitialised")],
)
async def test_statuses_that_tell_a_state(status: int, body: Any, state: str) -> None:
    with standing_in(answer(status, json.dumps(body).encode())) as server:
        assert (await collect(config(server.url))).state == state


async def test_a_build_under_way_is_no_refusal(tmp_path: Path) -> None:
    nowhere = f"https://127.0.0.1:{free_port()}"
    told = tmp_path / "progress" / "vault-build.json"
    told.parent.mkdir()
    cases: list[tuple[Any, str, str]] = [
        ({"state": "building", "percent": 43, "detail": "compiling"}, "building", "43 %"),
        ({"state": "building", "percent": None, "detail": "looking for Go"}, "building", "Go"),
        ({"state": "failed", "detail": "no Go here"}, "not-found", "no Go here"),
        ({"state": "running", "percent": 100, "detail": "built"}, "refused", "refused"),
        ("nonsense", "refused", "refused"),
    ]
    for document, kind, words in cases:
        told.write_text(json.dumps(document))
        with pytest.raises(CollectError) as caught:
            await collect(config(nowhere, str(tmp_path)))
        assert caught.value.fault.kind == kind
        assert words in caught.value.fault.message
    told.unlink()
    with pytest.raises(CollectError, match="refused"):
        await collect(config(nowhere, str(tmp_path)))


def test_hostile_fields_are_inert_and_bounded() -> None:
    status = SEALED | {
        "version": "1\x1b[31m[/red]\n" + "x" * 500, "nonce": {"a": 1}, "t": "three", "n": -5,
        "progress": True,
    }  # fmt: skip
    node = node_of("n", "https://x", status, {})
    assert node.version is not None and len(node.version) <= 80
    assert "\x1b" not in node.version and "\n" not in node.version
    assert (node.nonce, node.threshold, node.shares, node.progress) == (None, None, None, None)
    assert node_of("n", "https://x", SEALED | {"sealed": False}, {}).state == "unknown"
    for bad in ({}, {"sealed": "yes"}, {"sealed": 1}):
        with pytest.raises(SourceError, match="not a seal status"):
            node_of("n", "https://x", bad, {})


async def test_it_remembers_what_was_before_and_shares_that_are_gone() -> None:
    answers: list[dict[str, Any]] = [SEALED | {"progress": 2, "nonce": "638b23e0"}]

    def behave(handler: Any) -> None:
        answer(200, json.dumps(answers[0]).encode())(handler)

    with standing_in(behave) as server:
        (collector,) = collectors(config(server.url))
        first = await collector.collect()
        assert (first.state, first.was) == ("unsealing", None)
        answers[0] = SEALED | {"storage_type": "raft"}
        found = await collector.collect()
        assert (found.state, found.was) == ("sealed", None)
        assert found.since == first.since, "it was sealed all the while"
        assert found.detail == (
            "2 shares were in and are gone: one of them was wrong, somebody began anew, or it joins"
            " its leader now"
        )
        assert (await collector.collect()) == found, "until something else happens"
        answers[0] = SEALED | {"progress": 1}
        assert (await collector.collect()).detail is None
        answers[0] = SEALED
        found = await collector.collect()
        assert found.detail and "1 share was in and is gone" in found.detail
        answers[0] = SEALED | {"sealed": False, "standby": False}
        found = await collector.collect()
        assert (found.state, found.was, found.detail) == ("active", "sealed", None)
        await collector.close()


def test_a_clock_is_told_in_whole_seconds() -> None:
    def skew(told: Any, sent: float, received: float) -> int | None:
        return skew_of({"server_time_utc": told}, sent, received)

    assert skew(1000, 1000.2, 1000.3) == 0
    assert skew(1000, 1000.9, 1001.1) == 0, "the way there may have taken it"
    assert skew(1000, 1003.9, 1004.1) == -4000
    assert skew(1000, 993.4, 993.6) == 7000
    assert all(skew(bad, 1000.0, 1001.0) is None for bad in (None, True, "1000", -5, 1 << 50))


async def test_a_clock_between_two_seconds_does_not_go_to_and_fro() -> None:
    told = [0.0]

    def behave(handler: Any) -> None:
        fields = {"standby": False, "server_time_utc": int(time.time() + told[0])}
        answer(200, json.dumps(SEALED | {"sealed": False} | fields).encode())(handler)

    with standing_in(behave) as server:
        (collector,) = collectors(config(server.url))
        told[0] = 60.0
        first = await collector.collect()
        assert abs(first.clock_skew_ms - 60_000) <= 1000
        told[0] = 60.9
        assert await collector.collect() == first
        told[0] = 5.0
        assert abs((await collector.collect()).clock_skew_ms - 5000) <= 1000
        await collector.close()


async def test_a_fresh_read_outside_the_schedule() -> None:
    with standing_in(answer(200, json.dumps(SEALED).encode())) as server:
        found = await standing(config(server.url), "truenas")
        assert (found.node, found.state) == ("truenas", "sealed")
    with pytest.raises(SourceError) as caught:
        await standing(config(server.url), "truenas")
    assert caught.value.fault.kind == "refused"
    with pytest.raises(SourceError, match="no Vault 'other'"):
        await standing(config(server.url), "other")
