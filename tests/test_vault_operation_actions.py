"""Seal, set-up, audit devices and tokens as actions on real servers: plan, run, read back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from holderhere import HolderHere
from labtui.actions.base import ActionError, Outcome
from labtui.actions.offered import VAULT
from labtui.actions.runner import Runner
from labtui.actions.vault import Doors, make
from labtui.actions.vault.sealing import Seal
from labtui.actions.vault.wanted import addresses, covers, policy, role_problem, wanted
from labtui.config import Config, NodeConfig, SecretConfig, VaultConfig
from labtui.history import AuditLine
from labtui.model import VaultNode
from labtui.spec import Cell
from labtui.store import Store
from labtui.views import vaultpages
from standin import answer, certificate, hang, standing_in
from vaultset import VaultSet, vault_set


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    with vault_set(tmp_path_factory.mktemp("one"), "truenas", unseal=True) as servers:
        yield servers


def config(servers: VaultSet, **vault: Any) -> Config:
    return Config(
        nodes={"xps15-cpu": NodeConfig(address="127.0.0.1")},
        vault=VaultConfig(
            nodes=servers.urls,
            ca_file=servers.ca,
            agents=("xps15-cpu",),
            secrets={"ngc": SecretConfig(path="secret/ngc")},
            **vault,
        ),
    )


class Bench:
    def __init__(self, servers: VaultSet, token: str = "", **vault: Any) -> None:
        self.holder = HolderHere(token=token or servers.token)
        self.doors = Doors(config(servers, **vault), Store(), {}, cast("Any", self.holder))
        self.audit: list[AuditLine] = []
        self.lines: list[str] = []
        self.runner = Runner(self.audit.append, cluster="lab")

    async def perform(self, id: str, node: str = "truenas", **changes: str) -> Outcome:
        action = make(id, [VaultNode(node=node, address="")], "", changes, self.doors)
        plan = await self.runner.plan(action)
        self.plan = plan
        outcome = await self.runner.perform(action, plan, self.lines.append)
        told = repr((outcome, plan, self.audit, self.lines))
        assert self.holder.secrets["token"].decode() not in told
        return outcome


async def test_seal_says_what_stops_and_is_read_back(one: VaultSet) -> None:
    bench = Bench(one)
    outcome = await bench.perform("vault.seal")
    assert outcome.ok and outcome.message == "truenas is sealed"
    assert bench.plan.dangerous and bench.plan.confirm_word == "truenas"
    assert (
        "every login" in bench.plan.risks[0]
        and "1 agent on nodes: the files" in bench.plan.risks[1]
    )
    assert "3 of 5 shares are needed" in bench.plan.undo
    assert one.client(token="").sys.is_sealed()
    with pytest.raises(ActionError, match="sealed already"):
        await bench.perform("vault.seal")
    for id in ("vault.setup", "vault.audit", "vault.revoke"):
        with pytest.raises(ActionError, match="truenas: sealed, unseal it first"):
            await bench.perform(id, path="/tmp/a.log")
    one.unseal()
    one.wait_active()


async def test_a_seal_without_an_answer_is_read_back(one: VaultSet) -> None:
    bench = Bench(one)
    bench.holder.unanswered.add("seal.seal")
    assert (await bench.perform("vault.seal")).ok
    one.unseal()
    bench.holder.lost.add("seal.seal")
    bench.holder.unanswered.clear()
    import labtui.actions.vault.sealing as module

    module.SETTLES, kept = 1.0, module.SETTLES
    try:
        outcome = await bench.perform("vault.seal")
    finally:
        module.SETTLES = kept
    assert outcome.kind == "failed" and outcome.message == "truenas is active, not sealed"
    with pytest.raises(ActionError, match="no Vault 'nope'"):
        await bench.perform("vault.seal", "nope")


async def test_what_may_not_be_done_is_told_with_the_right_that_is_missing(one: VaultSet) -> None:
    client = one.client()
    client.sys.create_or_update_policy("weak", 'path "x" { capabilities = ["read"] }')
    weak = client.auth.token.create(policies=["weak"], ttl="1h")["auth"]["client_token"]
    bench = Bench(one, weak)
    outcome = await bench.perform("vault.seal")
    assert outcome.kind == "failed" and "lacks `update and sudo` on sys/seal" in outcome.message
    for id, right in (("vault.setup", "sys/mounts"), ("vault.audit", "sys/audit")):
        with pytest.raises(ActionError, match=f"lacks .* on {right}"):
            await bench.perform(id, path="/tmp/a.log")
    outcome = await bench.perform("vault.revoke")
    assert outcome.ok and "no new root" not in repr(bench.plan)
    with pytest.raises(ActionError, match="does not know this token"):
        await bench.perform("vault.revoke")


async def test_set_up_is_a_diff_and_the_second_time_there_is_none(one: VaultSet) -> None:
    bench = Bench(one)
    outcome = await bench.perform("vault.setup")
    assert outcome.ok, outcome
    text = bench.plan.preview
    assert "--- /dev/null" in text and "+++ b/policy/compute-node" in text
    assert '+path "secret/data/ngc" {' in text and "+token_ttl = 1h" in text
    assert "+secret_id_bound_cidrs = 127.0.0.1" in text
    assert any("from these addresses only" in risk for risk in bench.plan.risks)
    assert "there is no secret secret/ngc yet" in outcome.message
    with pytest.raises(ActionError, match="nothing to do: all is as it is wanted"):
        await bench.perform("vault.setup")

    one.client().sys.create_or_update_policy("compute-node", "# mine\n")
    outcome = await bench.perform("vault.setup")
    assert outcome.ok and "-# mine" in bench.plan.preview
    assert bench.plan.preview.count("+++") == 1, "the role is as it was"
    assert any("the policy is replaced" in risk for risk in bench.plan.risks)


async def test_set_up_says_what_is_in_its_way(one: VaultSet) -> None:
    client = one.client()
    client.sys.enable_secrets_engine("kv", path="one", options={"version": "1"})
    bench = Bench(one)
    vault = msgspec.structs.replace(
        bench.doors.config.vault, secrets={"ngc": SecretConfig(path="one/ngc")}
    )
    bench.doors = replace(bench.doors, config=Config(vault=vault))
    with pytest.raises(ActionError, match="one/ is kv 1, not KV version 2"):
        await bench.perform("vault.setup")
    bench = Bench(one, role="Root!")
    with pytest.raises(ActionError, match="small letters"):
        await bench.perform("vault.setup")
    bench.doors = replace(bench.doors, config=Config(vault=VaultConfig(nodes=one.urls)))
    with pytest.raises(ActionError, match="names no path"):
        await bench.perform("vault.setup")


async def test_an_audit_device_and_the_last_one_asks_for_its_name(
    one: VaultSet, tmp_path: Path
) -> None:
    bench = Bench(one)
    outcome = await bench.perform("vault.audit", path=str(tmp_path / "a.log"))
    assert outcome.ok and "only device" in bench.plan.risks[0]
    outcome = await bench.perform("vault.audit", path=str(tmp_path / "b.log"))
    assert outcome.ok and outcome.details["device"] == "file-2"
    outcome = await bench.perform("vault.audit", name="file-2")
    assert outcome.ok and bench.plan.confirm_word == ""
    with pytest.raises(ActionError, match="there is no audit device nope: there is file"):
        await bench.perform("vault.audit", name="nope")
    outcome = await bench.perform("vault.audit", path="stdout")
    assert outcome.ok and "the server's own log" in bench.plan.title
    assert '{"file_path": "stdout"}' in bench.plan.steps[0].what and bench.plan.risks == ()
    await bench.perform("vault.audit", name="file-2")
    outcome = await bench.perform("vault.audit", name="file")
    assert outcome.ok and bench.plan.dangerous and bench.plan.confirm_word == "file"
    with pytest.raises(ActionError, match="is not kept"):
        await bench.perform("vault.audit", path="/dev/null")


@pytest.mark.slow
async def test_sealing_a_set_one_after_the_other(tmp_path: Path) -> None:
    with vault_set(tmp_path / "v", "truenas", "xps15-cpu", "desktop-gpu", unseal=True) as servers:
        deadline = time.monotonic() + 40
        while True:  # a peer that has just joined has no vote for its first ten seconds
            peers = servers.client(servers.wait_active()).sys.read_raft_config()["data"]["config"]
            if sum(1 for p in peers["servers"] if p["voter"]) == 3:
                break
            assert time.monotonic() < deadline
            await asyncio.sleep(0.3)
        active = servers.wait_active()
        other = next(n for n in servers.urls if n != active)
        bench = Bench(servers)
        with pytest.raises(ActionError, match="is a standby, which Vault does not seal: the act"):
            await bench.perform("vault.seal", other)
        outcome = await bench.perform("vault.seal", active)
        assert "stay open: one of them becomes active" in bench.plan.risks[0]
        assert outcome.ok and "is active now" in outcome.message, outcome
        second = servers.wait_active()
        with_two = Seal(bench.doors, second)
        plan = await bench.runner.plan(with_two)
        assert "too few for raft" in plan.risks[0]


@pytest.mark.parametrize("behave", [hang, answer(200, b"{}"), answer(500, b"x")])
async def test_a_server_that_says_nothing_useful_costs_a_sentence(
    tmp_path: Path, behave: Any
) -> None:
    tls = certificate(tmp_path / "tls")
    with standing_in(behave, tls) as server:
        holder = HolderHere(token="hvs.never-told")
        vault = VaultConfig(nodes={"truenas": server.url}, ca_file=str(tls[0]), timeout_s=0.5)
        doors = Doors(Config(vault=vault), Store(), {}, cast("Any", holder))
        runner = Runner(lambda line: None, cluster="lab")
        for id in ("vault.seal", "vault.audit", "vault.revoke"):
            action = make(id, [VaultNode(node="truenas", address="")], "", {}, doors)
            with pytest.raises(ActionError) as caught:
                await runner.plan(action)
            assert "hvs.never-told" not in str(caught.value)
        assert holder.calls == [], "no token is sent to what does not say that it is active"
        assert not any("X-Vault-Token" in headers for _, headers in server.requests)


# Without a server


def test_the_policy_names_exactly_the_secrets() -> None:
    text = policy([("secret", "ngc"), ("team/kv", "a/b"), ("secret", "ngc")])
    assert text.count('path "') == 2
    assert 'path "secret/data/ngc" {\n  capabilities = ["read"]\n}' in text
    assert 'path "team/kv/data/a/b" {' in text
    assert text.startswith("# What vault-agent may")
    assert not any(word in text for word in ("*", "MOUNT", "PATH"))


def test_addresses_are_all_known_or_none_is_bound() -> None:
    vault = VaultConfig(agents=("a", "b"), secrets={"ngc": SecretConfig(path="secret/ngc")})
    known = Config(nodes={"a": NodeConfig(address="10.0.0.1"), "b": NodeConfig(address="fd00::2")},
                   vault=vault)  # fmt: skip
    assert addresses(known) == (["10.0.0.1/32", "fd00::2/128"], [])
    named = Config(nodes={"a": NodeConfig(address="10.0.0.1"), "b": NodeConfig(address="host.lan")},
                   vault=vault)  # fmt: skip
    assert addresses(named) == ([], ["b"])
    state = {"places": {"secret/ngc": ["secret", "ngc"]}}
    fields = wanted(named, state)["role"]["fields"]
    assert "secret_id_bound_cidrs" not in fields and fields["token_policies"] == ["compute-node"]
    wide = {
        "places": state["places"],
        "role": {
            "secret_id_bound_cidrs": ["10.0.0.0/24", "fd00::/64"],
            "token_bound_cidrs": ["10.0.0.1"],
        },
    }
    fields = wanted(known, wide)["role"]["fields"]
    assert fields["secret_id_bound_cidrs"] == ["10.0.0.0/24", "fd00::/64"], "wider on purpose"
    assert fields["token_bound_cidrs"] == ["10.0.0.1/32", "fd00::2/128"], "one is missing there"
    assert not covers(["0.0.0.0/0"], ["10.0.0.1/32"]) and not covers(["x"], ["10.0.0.1/32"])
    assert role_problem("compute-node") is None
    for name in ("root", "default", "a b", "A", "../x", ""):
        assert role_problem(name)


def test_what_writes_is_gone_under_read_only_and_seal_is_dangerous() -> None:
    specs = {spec.id: spec for spec in VAULT}
    assert specs["vault.seal"].dangerous and specs["vault.seal"].key == "L"
    reads = [s.id for s in VAULT if not s.changes]
    assert reads == ["vault.token", "vault.audit", "vault.agents"]
    why = specs["vault.seal"].disabled
    assert why is not None
    assert why(VaultNode(node="a", address="", state="active")) is None
    assert "standby" in (why(VaultNode(node="a", address="", state="standby")) or "")
    assert why(VaultNode(node="a", address="", state="refused", detail="no")) == "no"


def test_pages_of_text() -> None:
    now = 1_800_000_000.0
    root = {"policies": ["root"], "ttl": 0, "type": "service", "path": "auth/token/root",
            "creation_time": now - 7200, "orphan": True, "findings": ["a root token"]}  # fmt: skip
    lines = [line.text if isinstance(line, Cell) else line for line in vaultpages.token(root, now)]
    assert lines[0] == "! a root token" and "ends        never" in lines
    assert "made        2h00 ago, by auth/token/root" in lines
    first = {"display_name": "root", "creation_time": now - 90000, "ttl": 0}
    told = {"count": 9, "looked": 4, "oldest": now - 90000, "endless": 3, "roots": [first]}
    text = json.dumps([line.text if isinstance(line, Cell) else line
                       for line in vaultpages.tokens(told, now)])  # fmt: skip
    assert "9 tokens in all, 4 of them looked at; the oldest was made 1d ago" in text
    assert "a root token, root, made 1d ago, never ends" in text and "2 other tokens never" in text
    told = {"devices": [{"name": "file", "type": "file", "options": {"file_path": "/a"}}],
            "findings": ["only one"]}  # fmt: skip
    assert vaultpages.audit(told)[-1] == "file            file      file_path=/a"
