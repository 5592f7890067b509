"""Rotating a secret and going back, on a real Vault; the nodes' reports are stand-ins, but for the
real vault-agent at the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from holderhere import HolderHere
from labtui.actions.base import ActionError, Outcome
from labtui.actions.runner import Runner
from labtui.actions.vault import Doors
from labtui.actions.vault.arrival import LONGEST, Sighting, short
from labtui.actions.vault.rotation import NodeReports, Rollback, Rotate, make
from labtui.actions.vault.versions import chosen, wait_of
from labtui.config import Config, SecretConfig, VaultConfig
from labtui.history import AuditLine
from labtui.hosts.base import Completed, HostError
from labtui.keyholder.operations.secret import digest
from labtui.model import OldHolder
from labtui.sources.base import SourceError
from labtui.store import Store
from realservers import program
from standin import running
from vaultset import VaultSet, vault_set

NODES = ("desktop-gpu", "xps15-cpu", "jetson-edge")
VALUES = iter(f"nvapi-value-that-nobody-may-see-{n}" for n in range(1000))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    with vault_set(tmp_path_factory.mktemp("vault"), "truenas", unseal=True) as found:
        found.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        fill(found, "first")
        yield found


def fill(servers: VaultSet, value: str, path: str = "ngc") -> int:
    """The value as the newest version, and its number."""
    deadline = time.monotonic() + 20
    while True:
        try:
            kv = servers.client().secrets.kv.v2
            fields = {"api_key": value, "user": "$oauthtoken"}
            return int(kv.create_or_update_secret(path, fields)["data"]["version"])
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Nodes:
    """A stand-in for the nodes' reports: each renders what Vault has, `late` seconds after that."""

    def __init__(self, servers: VaultSet, **late: float) -> None:
        self._servers = servers
        self.late = {"desktop-gpu": 0.2, "xps15-cpu": 0.6, "jetson-edge": 0.4} | {
            node.replace("_", "-"): seconds for node, seconds in late.items()
        }
        self._since: dict[int, float] = {}
        self.held: dict[str, str] = {}
        self.down: set[str] = set()
        self.stopped: set[str] = set()
        self.old: dict[str, tuple[OldHolder, ...]] = {}
        self.looks: list[str] = []

    async def look(self, node: str, name: str, salt: str) -> Sighting:
        assert name == "ngc"
        self.looks.append(node)
        if node in self.down:
            raise HostError("unreachable", f"{node}: no route to it", node)
        told = await asyncio.to_thread(self._now)
        version, value = told["metadata"]["version"], told["data"]["api_key"]
        since = self._since.setdefault(version, time.monotonic())
        late = time.monotonic() - since < self.late[node] or node in self.stopped
        if node not in self.held or not late:
            self.held[node] = value
        alive = node not in self.stopped
        return Sighting(
            digest=hashlib.sha256(bytes.fromhex(salt) + self.held[node].encode()).hexdigest(),
            alive=alive,
            agent="running" if alive else "failed",
            old=self.old.get(node, ()),
        )

    def _now(self) -> dict[str, Any]:
        kv = self._servers.client().secrets.kv.v2
        return cast(
            "dict[str, Any]", kv.read_secret_version("ngc", raise_on_deleted_version=True)["data"]
        )


def config(servers: VaultSet, *agents: str) -> Config:
    return Config(
        vault=VaultConfig(
            nodes=servers.urls,
            ca_file=servers.ca,
            agents=agents,
            secrets={
                "ngc": SecretConfig(path="secret/ngc", env=("NGC_API_KEY",)),
                "huggingface": SecretConfig(path="secret/huggingface", field="token"),
            },
        )
    )


class Bench:
    """What performs an action as screens and commands do."""

    def __init__(self, servers: VaultSet, nodes: Nodes | None, **given: str) -> None:
        self.holder = HolderHere(token=servers.token, **given)
        self.nodes = nodes
        self.doors = Doors(config(servers, *NODES), Store(), {}, cast("Any", self.holder))
        self.audit: list[AuditLine] = []
        self.lines: list[str] = []
        self.runner = Runner(self.audit.append, cluster="lab")

    def rotate(self, **more: Any) -> Rotate:
        return Rotate(self.doors, self.ngc, self.nodes, **{"every": 0.05, "grace": 0.5} | more)

    def rollback(self, **more: Any) -> Rollback:
        return Rollback(self.doors, self.ngc, self.nodes, **{"every": 0.05, "grace": 0.5} | more)

    @property
    def ngc(self) -> Any:
        return chosen(self.doors.config.vault, "ngc")

    async def perform(self, action: Rotate | Rollback) -> Outcome:
        plan = await self.runner.plan(action)
        outcome = await self.runner.perform(action, plan, self.lines.append)
        told = json.dumps([outcome.message, outcome.details, self.lines, repr(plan)])
        told += repr(self.audit)
        for secret in self.holder.secrets.values():
            assert secret.decode() not in told
        return outcome


async def test_it_arrives_at_each_node_with_evidence(servers: VaultSet) -> None:
    before, nodes = fill(servers, old := next(VALUES)), Nodes(servers)
    bench = Bench(servers, nodes, value=(new := next(VALUES)))
    nodes.old["xps15-cpu"] = (
        OldHolder(kind="job", id="1431", name="llama", variable="NGC_API_KEY"),
        OldHolder(kind="registry", id="nvcr.io"),
    )
    action = bench.rotate()
    plan = await bench.runner.plan(action)
    assert plan.title == f"Rotate ngc: version {before + 1} of secret/ngc"
    assert "(the value, not shown)" in plan.steps[0].what
    assert f'"cas": {before}' in plan.steps[0].what and '"user": (as it is)' in plan.steps[0].what
    assert "desktop-gpu, xps15-cpu, jetson-edge" in plan.steps[1].where
    assert f"version {before} stays in Vault" in plan.undo

    outcome = await bench.perform(action)
    assert outcome.ok, outcome
    assert f"version {before + 1} of secret/ngc is written" in outcome.message
    for node in NODES:
        assert outcome.details[f"node {node}"] == "arrived"
        assert outcome.details[f"before {node}"] == short(digest(action.salt, old))
        assert outcome.details[f"after {node}"] == short(digest(action.salt, new))
        assert float(outcome.details[f"seconds {node}"]) < 5
    assert outcome.details["hash"] == short(digest(action.salt, new))
    assert (outcome.details["arrived"], outcome.details["nodes"]) == ("3", "3")
    held = "job 1431 llama (NGC_API_KEY), registry nvcr.io"
    assert f"still with the old value: {held} on xps15-cpu" in outcome.message
    assert any("xps15-cpu has it after" in line for line in bench.lines)
    assert [line.outcome for line in bench.audit] == ["done"]
    await and_back(servers, nodes, old, before)


async def and_back(servers: VaultSet, nodes: Nodes, old: str, number: int) -> None:
    bench = Bench(servers, nodes)
    action = bench.rollback()
    plan = await bench.runner.plan(action)
    assert plan.title == f"Roll ngc back: version {number} of secret/ngc again, as {number + 2}"
    outcome = await bench.perform(action)
    assert outcome.ok and outcome.details["arrived"] == "3"
    assert set(nodes.held.values()) == {old}


async def test_one_that_never_gets_it_is_named(servers: VaultSet) -> None:
    fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers, xps15_cpu=999.0), value=next(VALUES))
    outcome = await bench.perform(bench.rotate(wait=1.5))
    assert outcome.kind == "failed"
    assert "xps15-cpu does NOT have it: its file still holds another value" in outcome.message
    assert outcome.details["node desktop-gpu"] == "arrived"
    assert outcome.details["node xps15-cpu"].startswith("not arrived")
    assert any("without it: xps15-cpu" in line for line in bench.lines)


async def test_what_is_down_or_has_no_agent_running_is_not_waited_for(servers: VaultSet) -> None:
    fill(servers, next(VALUES))
    nodes = Nodes(servers)
    nodes.down.add("jetson-edge")
    nodes.stopped.add("desktop-gpu")
    bench = Bench(servers, nodes, value=next(VALUES))
    action = bench.rotate(wait=60.0)
    plan = await bench.runner.plan(action)
    assert (
        "jetson-edge will not have it until that is mended: jetson-edge: no route"
        in (plan.risks[1])
    )
    began = time.monotonic()
    outcome = await bench.perform(action)
    assert time.monotonic() - began < 20
    assert outcome.kind == "failed" and outcome.details["arrived"] == "1"
    assert "jetson-edge does NOT have it: jetson-edge: no route to it" in outcome.message
    assert "its vault-agent does not run (failed)" in outcome.message


async def test_one_that_comes_back_meanwhile_gets_it(servers: VaultSet) -> None:
    fill(servers, next(VALUES))
    nodes = Nodes(servers)
    nodes.down.add("jetson-edge")
    bench = Bench(servers, nodes, value=next(VALUES))
    asyncio.get_running_loop().call_later(1.0, nodes.down.clear)
    outcome = await bench.perform(bench.rotate(grace=10.0))
    assert outcome.ok, outcome


async def test_an_answer_that_is_lost_is_read_back_and_watched(servers: VaultSet) -> None:
    before = fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers), value=next(VALUES))
    bench.holder.unanswered.add("secret.put")
    outcome = await bench.perform(bench.rotate())
    assert outcome.ok and outcome.details["version"] == str(before + 1)
    assert any("reading the secret again" in line for line in bench.lines)

    bench = Bench(servers, bench.nodes)
    bench.holder.unanswered.add("secret.rollback")
    outcome = await bench.perform(bench.rollback())
    assert outcome.ok and outcome.details["version"] == str(before + 2)


async def test_a_write_that_never_came_there_is_told_so(servers: VaultSet) -> None:
    before = fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers), value=next(VALUES))
    bench.holder.lost.add("secret.put")
    outcome = await bench.perform(bench.rotate())
    assert outcome.kind == "failed"
    assert f"is at version {before} still: nothing was written" in outcome.message


async def test_where_nothing_can_be_read_back_it_stays_unknown(servers: VaultSet) -> None:
    fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers), value=next(VALUES))
    action = bench.rotate()
    plan = await bench.runner.plan(action)
    bench.holder.unanswered.add("secret.put")
    bench.holder.lost.add("secret.look")
    outcome = await bench.runner.perform(action, plan, bench.lines.append)
    assert outcome.kind == "unknown" and "could not be read back" in outcome.message


async def test_broken_off_while_it_waits_the_audit_says_who_has_it(servers: VaultSet) -> None:
    before = fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers, xps15_cpu=999.0), value=next(VALUES))
    action = bench.rotate()
    plan = await bench.runner.plan(action)
    task = asyncio.create_task(bench.runner.perform(action, plan, bench.lines.append))
    deadline = time.monotonic() + 20
    while sum("has it after" in line for line in bench.lines) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (line,) = bench.audit
    assert line.outcome == "unknown"
    assert f"version {before + 1} of secret/ngc is written" in line.message
    assert "xps15-cpu does NOT have it" in line.message and "desktop-gpu after" in line.message


async def test_somebody_who_wrote_between_plan_and_write_is_noticed(servers: VaultSet) -> None:
    fill(servers, next(VALUES))
    bench = Bench(servers, Nodes(servers), value=next(VALUES))
    action = bench.rotate()
    plan = await bench.runner.plan(action)
    fill(servers, next(VALUES))
    outcome = await bench.runner.perform(action, plan, bench.lines.append)
    assert outcome.kind == "failed" and "somebody else wrote secret/ngc meanwhile" in (
        outcome.message
    )


async def test_what_cannot_be_planned_says_why(servers: VaultSet) -> None:
    fill(servers, value := next(VALUES))
    bench = Bench(servers, Nodes(servers), value=value)
    with pytest.raises(ActionError, match="has this value already"):
        await bench.runner.plan(bench.rotate())
    bench = Bench(servers, Nodes(servers), value=f" {value}")
    with pytest.raises(ActionError, match="white space"):
        await bench.runner.plan(bench.rotate())
    bench = Bench(servers, Nodes(servers))
    with pytest.raises(ActionError, match=r"is at version .*: an earlier one is needed"):
        await bench.runner.plan(bench.rollback(version=999))
    gone = replace(bench.doors, config=Config(vault=VaultConfig(
        nodes={"truenas": "https://127.0.0.1:1"}, timeout_s=0.5)))  # fmt: skip
    with pytest.raises(ActionError, match=r"no Vault server is active .truenas: .*refused"):
        await bench.runner.plan(Rollback(gone, bench.ngc, None))
    none = replace(bench.doors, holder=None)
    with pytest.raises(ActionError, match="needs a token"):
        await bench.runner.plan(Rollback(none, bench.ngc, None))
    read_only = Runner(bench.audit.append, cluster="lab", read_only=True)
    with pytest.raises(ActionError, match="read-only"):
        await read_only.plan(bench.rollback())


async def test_sealed_says_unseal_it_first(servers: VaultSet) -> None:
    servers.seal()
    bench = Bench(servers, Nodes(servers), value=next(VALUES))
    with pytest.raises(ActionError, match="truenas: sealed, unseal it first"):
        await bench.runner.plan(bench.rotate())
    servers.unseal()


def test_a_secret_is_meant_by_its_name_or_its_path() -> None:
    vault = VaultConfig(
        secrets={
            "ngc": SecretConfig(path="secret/ngc"),
            "a": SecretConfig(path="secret/two", field="a"),
            "b": SecretConfig(path="secret/two", field="b"),
        }
    )
    assert chosen(vault, "ngc").file == "/run/secrets/ngc"
    assert chosen(vault, "secret/ngc").name == chosen(vault, "/secret/ngc/").name == "ngc"
    assert chosen(vault, "secret/two", "b").name == "b"
    assert chosen(vault, "kv/other", "token").name == ""
    for text, field, said in (
        ("secret/two", "", "several secrets"),
        ("nope", "", "no secret is called"),
        ("kv/other", "", "say which field"),
        ("ngc", "token", "is the field api_key"),
        ("\x1b[31mred", "", "no secret is called"),
    ):
        with pytest.raises(ActionError, match=said) as caught:
            chosen(vault, text, field)
        assert "\x1b[31m" not in str(caught.value)
    assert wait_of("") == 90.0 and wait_of("360") == LONGEST
    for text in ("361", "-1", "nan", "x"):
        with pytest.raises(ActionError):
            wait_of(text)
    doors = Doors(Config(vault=vault), Store(), {})
    assert make("vault.other", [], "", {}, doors) is None
    with pytest.raises(ActionError, match="no version"):
        make("vault.rollback", [], "ngc", {"version": "-1"}, doors)


class ReportHost:
    """A stand-in for a node that answers its report with this."""

    name = "xps15-cpu"

    def __init__(self, said: dict[str, Any], rc: int = 0) -> None:
        self.said, self.rc = said, rc

    async def run(self, argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), self.rc, json.dumps(self.said), "", 0.1)


async def test_a_nodes_own_report_is_what_is_seen(servers: VaultSet) -> None:
    file = {"name": "ngc", "path": "/run/secrets/ngc", "age": 2.5, "sha256": "ab" * 32}
    told = {"report": 1, "unit": {"active": "active"}, "token": {"ttl": 60}, "files": [file]}
    hosts = {"xps15-cpu": cast("Any", ReportHost(told))}
    doors = Doors(config(servers, "xps15-cpu"), Store(), hosts)
    seen = await NodeReports(doors).look("xps15-cpu", "ngc", "5a" * 16)
    assert (seen.digest, seen.age_s, seen.alive) == ("ab" * 32, 2.5, True)
    other = await NodeReports(doors).look("xps15-cpu", "huggingface", "5a" * 16)
    assert other.digest is None and "does not render it" in other.fault
    hosts["xps15-cpu"] = cast("Any", ReportHost({}, 66))
    absent = await NodeReports(doors).look("xps15-cpu", "ngc", "5a" * 16)
    assert absent.alive is False and absent.agent == "absent"
    with pytest.raises(SourceError, match="cannot be asked"):
        await NodeReports(doors).look("jetson-edge", "ngc", "5a" * 16)


# With a real vault-agent


class FileHere:
    """The report of a node that is this machine: a hash of the file that its real agent renders."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def look(self, node: str, name: str, salt: str) -> Sighting:
        try:
            text, stat = self.file.read_bytes(), self.file.stat()
        except OSError:
            return Sighting(fault="the file is missing", alive=True)
        found = hashlib.sha256(bytes.fromhex(salt) + text).hexdigest()
        return Sighting(digest=found, age_s=max(0.0, time.time() - stat.st_mtime), alive=True)


TEMPLATE = '{{ with secret "secret/data/ngc" }}{{ .Data.data.api_key }}{{ end }}'


@pytest.mark.slow
async def test_a_real_agent_renders_what_was_rotated_and_what_was_rolled_back(
    servers: VaultSet, tmp_path: Path
) -> None:
    fill(servers, old := next(VALUES))
    client = servers.client()
    client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy("agent", 'path "secret/data/ngc" { capabilities=["read"] }')
    client.auth.approle.create_or_update_approle("agent", token_policies=["agent"], token_ttl="1h")
    role_id, secret_id, rendered = (tmp_path / n for n in ("role-id", "secret-id", "ngc-api-key"))
    role_id.write_text(client.auth.approle.read_role_id("agent")["data"]["role_id"])
    secret_id.write_text(client.auth.approle.generate_secret_id("agent")["data"]["secret_id"])
    settings = {
        "vault": {"address": servers.urls["truenas"], "ca_cert": servers.ca},
        "auto_auth": {"method": [{"type": "approle", "config": {
            "role_id_file_path": str(role_id), "secret_id_file_path": str(secret_id)}}]},
        "template_config": {"static_secret_render_interval": "2s"},
        "template": [{"contents": TEMPLATE, "destination": str(rendered), "perms": "0600"}],
    }  # fmt: skip
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(settings))
    argv = [program("vault"), "agent", f"-config={file}"]
    ready = lambda: rendered.is_file() and rendered.read_text() == old  # noqa: E731
    with running(argv, ready, tmp_path / "agent.log"):
        bench = Bench(servers, None, value=(new := next(VALUES)))
        doors = replace(bench.doors, config=config(servers, "xps15-cpu"))
        here = FileHere(rendered)
        outcome = await bench.perform(Rotate(doors, bench.ngc, here, wait=30.0))
        assert outcome.ok, outcome
        assert rendered.read_text() == new
        assert 0 <= float(outcome.details["seconds xps15-cpu"]) < 10
        assert outcome.details["before xps15-cpu"] != outcome.details["after xps15-cpu"]
        assert outcome.details["after xps15-cpu"] == outcome.details["hash"]

        back = Bench(servers, None)
        outcome = await back.perform(Rollback(doors, bench.ngc, here, wait=30.0))
        assert outcome.ok and rendered.read_text() == old

        # Sealed, the file stays.
        servers.seal()
        assert rendered.read_text() == old
        servers.unseal()
