"""The nodes screen's rows: what is wrong comes first, what is unknown is a dash."""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
import pytest

from labtui.config import Config, NodeConfig
from labtui.model import Job, Node, VaultNode
from labtui.sources.node import HostFacts
from labtui.spec import Cell
from labtui.store import Fault, FaultKind, Reading, Store
from labtui.views.health import findings, slurm_word
from labtui.views.nodes import SUBJECT, detail, rows, severity

NOW = 1_700_000_000.0
FACTS = HostFacts(
    load1=0.5,
    cpus=8,
    memory_total_mib=16000,
    memory_used_mib=4000,
    disk_total_mib=100_000,
    disk_free_mib=50_000,
    clock_offset_ms=12.0,
    clock_error_ms=3.0,
    uptime_s=90_000.0,
    services={"ssh": "active", "slurmd": "active"},
    mounts={"/mnt/nfs": "nfs4 from nas"},
)
SLURM = Node(
    name="gpu",
    address="10.0.0.1",
    slurm_state="MIXED",
    cpus_total=16,
    cpus_alloc=8,
    memory_total_mib=64000,
    gpus=4,
    gpus_alloc=3,
    partitions=("batch",),
)
CONFIG = Config(
    nodes={
        "gpu": NodeConfig(address="10.0.0.1", slurm=True),
        "nas": NodeConfig(address="10.0.0.5"),
    }
)


class World:
    def __init__(self) -> None:
        self.store = Store()
        for name in ("host.gpu", "host.nas", "slurm.nodes", "slurm.jobs", "vault.nas"):
            self.store.declare(name, "x", 2.0)

    def put(self, feed: str, value: Any, at: float = NOW) -> None:
        self.store.put(Reading(feed, value, None, at, 0.1))

    def fail(self, feed: str, kind: FaultKind, message: str, at: float = NOW) -> None:
        self.store.put(Reading(feed, None, Fault(kind, message), at, 3.0))

    def rows(self, now: float = NOW) -> dict[str, Node]:
        return {n.name: n for n in rows(self.store, CONFIG, now)}


@pytest.fixture
def world() -> World:
    world = World()
    world.put("host.gpu", FACTS)
    world.put("host.nas", FACTS)
    world.put("slurm.nodes", [SLURM])
    return world


def text(cell: Cell | str) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def cells(node: Node) -> dict[str, str]:
    return {c.id: text(c.text(node)) for c in SUBJECT.columns}


def lines(node: Node, world: World, now: float = NOW) -> str:
    return "\n".join(text(line) for line in detail(node, world.store, now))


def test_a_healthy_machine_is_told_in_figures(world: World) -> None:
    node = world.rows()["gpu"]
    assert severity(node) == 0 and findings(node) == []
    assert cells(node) == {
        "name": "gpu", "slurm": "mixed", "why": "", "cpu": "8/16", "memory": "25%",
        "gpu": "3/4", "load": "0.5", "disk": "48.8G", "clock": "+12ms", "up": "1d",
        "address": "10.0.0.1", "mounts": "/mnt/nfs nfs4 from nas", "services": "2 active",
        "seen": "now",
    }  # fmt: skip
    assert node.partitions == ("batch",) and node.reachable is True
    nas = cells(world.rows()["nas"])
    assert (nas["slurm"], nas["gpu"], nas["cpu"]) == ("-", "-", "-/8")


def test_nothing_known_is_dashes_and_never_zero() -> None:
    node = World().rows()["gpu"]
    shown = cells(node)
    assert shown.pop("name") == "gpu" and shown.pop("why") == "no answer yet"
    assert shown.pop("address") == "10.0.0.1"
    assert set(shown.values()) == {"-"}
    assert node.reachable is None and severity(node) == 0
    known = {"name", "address", "fault"}
    empty = {f: v for f, v in msgspec.structs.asdict(node).items() if f not in known}
    assert all(v is None or v in ({}, ()) or (f, v) == ("attempts", 0) for f, v in empty.items())


def test_a_dead_machine_keeps_its_last_values_and_says_why(world: World) -> None:
    for i in range(6):
        world.fail("host.gpu", "timeout", "ssh: timeout after 3.0 s", NOW + 2 + i * 5)
    now = NOW + 41
    node = world.rows(now)["gpu"]
    assert severity(node) == 3 and node.reachable is False
    assert (node.fault_kind, node.attempts, node.age_s) == ("timeout", 6, 41)
    assert node.memory_used_mib == 4000 and node.seen_at == NOW
    shown = cells(node)
    assert (shown["why"], shown["seen"]) == ("timeout after 3.0 s", "41s")
    memory = next(c for c in SUBJECT.columns if c.id == "memory").text(node)
    assert memory == Cell("25%", "dim")
    said = lines(node, world, now)
    assert "ssh: timeout after 3.0 s, 6 tries" in said
    assert "(41s ago)" in said and "services then: ssh ok  slurmd ok" in said


def test_the_row_stands_still_while_polls_are_on_time(world: World) -> None:
    before = world.rows(NOW + 0.5)["gpu"]
    assert before == world.rows(NOW + 1.9)["gpu"]
    assert cells(world.rows(NOW + 8.4)["gpu"])["seen"] == "8s"


def test_slurm_losing_a_dead_machine_is_explained(world: World) -> None:
    world.fail("host.gpu", "unreachable", "ssh: no route to host")
    down = msgspec.structs.replace(
        SLURM, slurm_state="DOWN*", slurm_reason="Not responding [slurm@2026-11-23T20:14:31]"
    )
    world.put("slurm.nodes", [down])
    node = world.rows()["gpu"]
    assert cells(node)["why"] == "no route to host +1"
    assert "because: the host does not answer, so Slurm has lost it too" in lines(node, world)


def test_slurmd_that_stopped_is_told_from_a_dead_machine(world: World) -> None:
    stopped = msgspec.structs.replace(FACTS, services={"slurmd": "failed", "munge": "active"})
    world.put("host.gpu", stopped)
    world.put("slurm.nodes", [msgspec.structs.replace(SLURM, slurm_state="DOWN*")])
    node = world.rows()["gpu"]
    assert severity(node) == 3 and node.reachable
    assert "because: slurmd is failed: Slurm has lost the node" in lines(node, world)


def test_a_hung_mount_names_the_server_that_died(world: World) -> None:
    hung = msgspec.structs.replace(FACTS, mounts={"/mnt/nfs": "hung (nfs4 from nas)"})
    world.put("host.gpu", hung)
    node = world.rows()["gpu"]
    assert severity(node) == 2 and cells(node)["why"] == "/mnt/nfs hung"
    assert "because" not in lines(node, world)
    world.fail("host.nas", "timeout", "ssh: timeout after 3.0 s")
    assert "because: /mnt/nfs is served by nas, which does not answer" in lines(node, world)


@pytest.mark.parametrize(
    ("change", "words", "level"),
    [
        ({"services": {"slurmd": "failed"}}, "slurmd failed", 2),
        ({"services": {"vault": "not-found"}}, "vault not-found", 2),
        ({"services": {"mlflow": "activating"}}, "mlflow activating", 1),
        ({"mounts": {"/mnt/nfs": "not mounted"}}, "/mnt/nfs not mounted", 2),
        ({"mounts": {"/mnt/nfs": "failing (nfs4 from nas)"}}, "/mnt/nfs failing", 2),
        ({"clock_offset_ms": -3210.0}, "clock 3.2 s behind", 2),
        ({"clock_offset_ms": 3210.0, "clock_error_ms": 5000.0}, "", 0),
        ({"disk_free_mib": 4000}, "/ full: 3.9G left", 2),
        ({"memory_used_mib": 15900}, "memory 99% used", 1),
        ({"load1": 50.0}, "load 50 on 16 cpus", 1),
    ],
)
def test_each_trouble_has_its_words(
    world: World, change: dict[str, Any], words: str, level: int
) -> None:
    world.put("host.gpu", msgspec.structs.replace(FACTS, **change))
    node = world.rows()["gpu"]
    assert (cells(node)["why"], severity(node)) == (words, level)


@pytest.mark.parametrize(
    ("state", "reason", "words", "level"),
    [
        ("IDLE+DRAIN", "bad fan [ana@2026-11-23T20:14:31]", "bad fan", 2),
        ("MIXED+DRAIN", None, "draining", 2),
        ("DOWN", "Not responding", "Not responding", 3),
        ("IDLE*", None, "slurmd does not answer", 2),
        ("IDLE", None, "", 0),
    ],
)
def test_what_slurm_says_is_weighed(
    world: World, state: str, reason: str | None, words: str, level: int
) -> None:
    changed = msgspec.structs.replace(SLURM, slurm_state=state, slurm_reason=reason)
    world.put("slurm.nodes", [changed])
    node = world.rows()["gpu"]
    assert (cells(node)["why"], severity(node)) == (words, level)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("IDLE", "idle"), ("MIXED", "mixed"), ("ALLOCATED", "allocated"), ("DOWN*", "down*"),
        ("IDLE+DRAIN", "drained"), ("MIXED+DRAIN", "draining"), ("drained*", "drained*"),
        ("DOWN+NOT_RESPONDING", "down*"), ("IDLE+MAINTENANCE", "maint"),
        ("ALLOCATED+FAIL", "failing"), ("IDLE~", "idle"), ("", ""),
        ("IDLE+CLOUD+POWERED_DOWN", "powered_down"),
    ],
)  # fmt: skip
def test_states_are_words(state: str, word: str) -> None:
    assert slurm_word(state) == word


def test_the_worst_is_named_and_the_rest_counted(world: World) -> None:
    bad = {"services": {"slurmd": "failed", "munge": "inactive"}, "load1": 50.0}
    world.put("host.gpu", msgspec.structs.replace(FACTS, **bad))
    world.put("slurm.nodes", [msgspec.structs.replace(SLURM, slurm_state="DOWN")])
    node = world.rows()["gpu"]
    assert cells(node)["why"] == "slurm: down +3"


def test_a_sealed_vault_shows_on_its_machine(world: World) -> None:
    world.put("vault.nas", VaultNode(node="nas", address="https://x", state="sealed"))
    node = world.rows()["nas"]
    assert node.services["vault"] == "sealed" and cells(node)["why"] == "vault sealed"


def test_jobs_are_those_that_hold_the_machine(world: World) -> None:
    world.put(
        "slurm.jobs",
        [
            Job(job_id="7", name="train", state="RUNNING", nodes=("gpu", "other")),
            Job(job_id="8", name="wait", state="PENDING"),
            Job(job_id="6", name="old", state="COMPLETED", nodes=("gpu",)),
        ],
    )
    node = world.rows()["gpu"]
    assert node.jobs == ("7",)
    assert "jobs: 7 train" in lines(node, world)


def test_a_node_that_only_slurm_knows_is_listed_after_ours(world: World) -> None:
    world.put("slurm.nodes", [msgspec.structs.replace(SLURM, name="other"), SLURM])
    assert list(world.rows()) == ["gpu", "nas", "other"]
    other = world.rows()["other"]
    assert other.reachable is None and "only Slurm was asked" in (other.fault or "")
    world.put("slurm.nodes", [msgspec.structs.replace(SLURM, name="other")])
    assert cells(world.rows()["gpu"])["why"] == "Slurm does not know it"


def test_an_odd_answer_is_not_a_dead_machine(world: World) -> None:
    world.fail("host.gpu", "protocol", "it answered something else: bash: sh: not found")
    node = world.rows()["gpu"]
    assert node.reachable is True and severity(node) == 2
    assert cells(node)["why"].startswith("it answered something else")


def test_hostile_text_is_inert_everywhere(world: World) -> None:
    evil = "\x1b[2J[bold]x[/]\n\u202e"
    facts = msgspec.structs.replace(FACTS, services={evil: evil}, mounts={evil: "hung (" + evil})
    world.put("host.gpu", facts)
    world.put(
        "slurm.nodes", [msgspec.structs.replace(SLURM, slurm_reason=evil, partitions=(evil,))]
    )
    world.put("slurm.jobs", [Job(job_id=evil, name=evil, state="RUNNING", nodes=("gpu",))])
    node = world.rows()["gpu"]
    told = [text(line) for line in detail(node, world.store, NOW)]
    for line in [*cells(node).values(), *told, SUBJECT.searchable(node)]:
        assert not any(unicodedata.category(c)[0] == "C" for c in line), line


def test_the_heading_counts(world: World) -> None:
    world.fail("host.nas", "refused", "refused")
    world.put("slurm.nodes", [msgspec.structs.replace(SLURM, slurm_state="IDLE+DRAIN")])
    assert SUBJECT.heading is not None
    assert SUBJECT.heading(list(world.rows().values())) == "1 of 2 answer  drained 1"
