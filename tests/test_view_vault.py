"""The vault screen's rows and detail: refused, sealed, building and stale are different things."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from labtui.config import Config, VaultConfig
from labtui.model import Agent, OldHolder, Secret, VaultNode
from labtui.sources.node import HostFacts
from labtui.sources.vaultmetrics import VaultMetrics
from labtui.spec import Cell
from labtui.store import Fault, FaultKind, Reading, Store
from labtui.views import agents, vault
from labtui.views.summary import alarm_of, top_line
from labtui.views.vaultset import Finding, findings

NOW = time.time()
URL = "https://10.77.0.50:8200"
CONFIG = Config(vault=VaultConfig(nodes={"truenas": URL}))


def node(name: str = "truenas", **fields: Any) -> VaultNode:
    host = {"truenas": 50, "xps15-cpu": 20, "desktop-gpu": 10}[name]
    return VaultNode(node=name, address=f"https://10.77.0.{host}:8200", **fields)


SEALED = node(
    state="sealed", sealed=True, threshold=3, shares=5, progress=0, seal_type="shamir",
    version="1.21.2", since=NOW - 360,
)  # fmt: skip
ACTIVE = node(
    state="active", sealed=False, threshold=3, shares=5, version="1.21.2", since=NOW - 360,
    storage="raft", cluster_id="aaaa-1", leader=URL, seal_type="shamir", ha_mode="active",
    clock_skew_ms=0,
)  # fmt: skip


def peer(name: str, **fields: Any) -> VaultNode:
    given: dict[str, Any] = {
        "state": "standby", "sealed": False, "leader": URL, "leaderless": False,
        "storage": "raft", "version": "1.21.2", "cluster_id": "aaaa-1", "since": NOW - 360,
        "clock_skew_ms": 0, "ha_mode": "standby",
    }  # fmt: skip
    return node(name, **given | fields)


def store(*answers: VaultNode | Fault) -> Store:
    made = Store()
    made.declare("vault.truenas", "vault", 2.0)
    for i, answer in enumerate(answers):
        value, fault = (None, answer) if isinstance(answer, Fault) else (answer, None)
        made.put(Reading("vault.truenas", value, fault, NOW + i, 0.01))
    return made


def details(made: Store, config: Config = CONFIG) -> str:
    row = vault.rows(made, config, NOW)[0]
    lines = vault.detail(row, made, NOW)
    return "\n".join(line.text if isinstance(line, Cell) else line for line in lines)


def test_before_the_first_answer() -> None:
    for made in (Store(), store()):
        (row,) = vault.items(made, CONFIG, NOW)
        assert (row.state, row.sealed, row.detail) == ("unknown", None, "no answer yet")
        assert vault.severity(row) == 1, "not known yet is not an alarm"
        assert findings([row], NOW) == [] and vault.alarm(made, CONFIG, NOW) == ""
        assert "no answer yet" in details(made)


def test_sealed_says_since_when_and_which_key_to_press() -> None:
    made = store(SEALED)
    assert vault.items(made, CONFIG, NOW) == [SEALED]
    assert vault.severity(SEALED) == 3
    said = details(made)
    assert "it needs 3 of 5 shares; u gives a share" in said and "for 6m" in said
    assert "(first seen so)" in said


def test_sealed_after_a_reboot_says_what_was_before() -> None:
    made = store(SEALED.__class__(**{f: getattr(SEALED, f) for f in SEALED.__struct_fields__}
                                  | {"was": "active", "since": NOW - 10}))  # fmt: skip
    made.declare("host.truenas", "ssh", 1.5)
    made.put(Reading("host.truenas", HostFacts(uptime_s=27.0), None, NOW, 0.1))
    at, booted = (time.strftime("%H:%M:%S", time.localtime(NOW - s)) for s in (10, 27))
    head = f"truenas  sealed since {at}, for 10s (was active; the machine booted at {booted})"
    assert head in details(made)


def test_unsealing_says_how_far() -> None:
    half = node(
        state="unsealing", sealed=True, threshold=3, shares=5, progress=1, nonce="638b23e0-aa"
    )
    said = details(store(half))
    assert "it needs 2 more of 5 shares" in said and "1 of 3 shares are in" in said
    assert "nonce 638b23e0)" in said and "somebody else may be adding" in said
    assert vault.missing(half) == 2 and vault.missing(node(sealed=False, threshold=3)) is None
    cells = {c.id: c.text(half) for c in vault.SUBJECT.columns}
    assert cells["unseal"] == Cell("1 of 3", "warn") and cells["nonce"] == "638b23e0"


@pytest.mark.parametrize("more", [{"seal_type": "awskms"}, {"recovery_seal": True}])
def test_an_auto_seal_is_not_opened_by_shares(more: dict[str, Any]) -> None:
    sealed = node(state="sealed", sealed=True, threshold=3, shares=5, **more)
    said = details(store(sealed))
    assert "shares do not" in said and "u gives" not in said and "3 of 5 recovery shares" in said
    assert vault.missing(sealed) is None
    assert {c.id: c.text(sealed) for c in vault.SUBJECT.columns}["unseal"] == Cell("auto", "warn")


@pytest.mark.parametrize(
    ("kind", "state", "severity", "advice"),
    [("refused", "refused", 3, "is the service up"), ("tls", "tls", 3, ""),
     ("timeout", "unknown", 2, "it hangs"), ("unreachable", "unknown", 2, "is the machine on"),
     ("protocol", "unknown", 2, ""), ("building", "unknown", 2, "")],
)  # fmt: skip
def test_failures_are_told_apart(kind: FaultKind, state: str, severity: int, advice: str) -> None:
    made = store(Fault(kind, f"Vault at {URL}: because [/b]"))
    (row,) = vault.items(made, CONFIG, NOW)
    assert (row.state, vault.severity(row), row.sealed) == (state, severity, None)
    assert row.detail and row.detail.startswith(f"Vault at {URL}: because [/b]")
    assert row.since == NOW
    said = details(made)
    assert advice in said
    assert said.count("because [/b]") == (kind != "refused"), "once; refused needs no more words"


def test_what_it_once_said_is_not_taken_for_so_now() -> None:
    made = store(ACTIVE, Fault("refused", "refused"), Fault("refused", "refused"))
    (row,) = vault.items(made, CONFIG, NOW)
    assert (row.state, row.sealed, row.threshold, row.version) == ("refused", None, None, "1.21.2")
    assert row.was == "active" and "(was active)" in details(made)
    assert row.since == NOW + 1, "since the first failure"
    assert "2 tries failed" in details(made)


def test_a_build_is_told_without_advice() -> None:
    said = details(store(Fault("building", "the lab builds Vault: 43 % compiling")))
    assert "43 %" in said and "gives a share" not in said and said.count("43 %") == 1


def sentences(*nodes: VaultNode, now: float = NOW) -> list[str]:
    return [f.sentence for f in findings(nodes, now)]


class TestSet:
    def test_a_healthy_set_has_no_findings(self) -> None:
        assert findings([ACTIVE, peer("xps15-cpu"), peer("desktop-gpu")], NOW) == []

    def test_one_left_sealed(self) -> None:
        left = peer("desktop-gpu", state="sealed", sealed=True, threshold=3, shares=5, progress=0)
        found = findings([ACTIVE, peer("xps15-cpu"), left], NOW)
        assert [(f.severity, f.words) for f in found] == [
            (3, "vault sealed on desktop-gpu"),
            (2, "vault without a spare"),
        ]
        assert "2 of 3 servers are up, the least that it takes" in found[1].sentence

    def test_no_active_server(self) -> None:
        down = node(state="refused", since=NOW - 30)
        one, two = (peer(n, leaderless=True) for n in ("xps15-cpu", "desktop-gpu"))
        found = findings([down, one, two], NOW)
        (finding,) = [f for f in found if f.words == "no active vault"]
        assert finding.severity == 3 and finding.nodes == ("xps15-cpu", "desktop-gpu")
        assert "no server is active: xps15-cpu and desktop-gpu stand by" in finding.sentence
        assert "2 of 3 have to be up: unseal or start truenas" in finding.sentence
        assert vault.severity(one) == 3

    def test_a_leader_that_is_gone_is_none_before_the_standby_says_so(self) -> None:
        found = findings([node(state="refused"), peer("xps15-cpu")], NOW)
        assert any(f.words == "no active vault" and f.severity == 3 for f in found)

    def test_a_set_that_has_just_been_unsealed_may_take_a_moment(self) -> None:
        young = node(state="standby", sealed=False, leaderless=True, since=NOW - 1)
        assert [f.severity for f in findings([young], NOW)] == [2]
        assert [f.severity for f in findings([young], NOW + 20)] == [3]

    def test_an_active_one_that_nobody_watches(self) -> None:
        (said,) = sentences(peer("xps15-cpu", leader="https://10.9.9.9:8200"))
        assert "calls https://10.9.9.9:8200 active" in said and "not watched" in said

    def test_a_peer_without_keys_is_not_to_be_initialised(self) -> None:
        bare = node("xps15-cpu", state="uninitialised", sealed=True, storage="raft")
        (said,) = [s for s in sentences(ACTIVE, bare) if "joined" in s]
        assert f"raft join {URL}" in said and "I would make a set of its own" in said
        sealed = node(state="sealed", sealed=True, threshold=3)
        assert any("once truenas is unsealed" in s for s in sentences(sealed, bare))
        assert "I makes its shares, once" in sentences(bare)[0]
        (both,) = sentences(bare, node("desktop-gpu", state="uninitialised", sealed=True))
        assert both.startswith("xps15-cpu and desktop-gpu have no keys yet")
        assert "on one of them; the others join it" in both

    def test_removed_from_its_cluster(self) -> None:
        out = peer("desktop-gpu", state="sealed", sealed=True, removed=True, threshold=3)
        (finding,) = findings([ACTIVE, peer("xps15-cpu"), out], NOW)
        assert finding.severity == 2 and "shares do not bring it back" in finding.sentence
        assert vault.missing(out) is None

    def test_versions(self) -> None:
        (finding,) = findings([ACTIVE, peer("xps15-cpu", version="1.20.0")], NOW)
        assert finding.severity == 1
        assert "versions differ: truenas 1.21.2, xps15-cpu 1.20.0" in finding.sentence

    def test_clusters(self) -> None:
        other = node("xps15-cpu", state="active", sealed=False, cluster_id="bbbb-2")
        (said,) = sentences(ACTIVE, other)
        assert "not one set: truenas in aaaa-1; xps15-cpu in bbbb-2" in said

    def test_two_active(self) -> None:
        (said,) = sentences(ACTIVE, peer("xps15-cpu", state="active"))
        assert "truenas and xps15-cpu say that they are active" in said

    @pytest.mark.parametrize(("skew", "said"), [(-1999, []), (1000, []), (None, [])])
    def test_a_clock_within_what_can_be_told(self, skew: int | None, said: list[str]) -> None:
        assert sentences(ACTIVE, peer("xps15-cpu", clock_skew_ms=skew)) == said

    def test_clocks(self) -> None:
        (said,) = sentences(ACTIVE, peer("xps15-cpu", clock_skew_ms=-7000))
        assert "the clock of xps15-cpu is 7 s behind this machine's" in said
        ahead = (node(state="active", clock_skew_ms=9000), peer("xps15-cpu", clock_skew_ms=8000))
        assert any(
            "this machine's clock is 8 s behind that of every" in s for s in sentences(*ahead)
        )

    def test_migration_and_dr(self) -> None:
        moving = node(state="sealed", sealed=True, threshold=3, migration=True)
        assert any("-migrate" in s for s in sentences(moving))
        (said,) = sentences(ACTIVE, peer("xps15-cpu", ha_mode="dr secondary"))
        assert "DR secondary" in said

    def test_a_standby_names_its_leader(self) -> None:
        config = Config(vault=VaultConfig(nodes={"truenas": URL, "xps15-cpu": "https://x:8200"}))
        made = store(ACTIVE)
        made.declare("vault.xps15-cpu", "vault", 2.0)
        made.put(Reading("vault.xps15-cpu", peer("xps15-cpu"), None, NOW, 0.01))
        row = vault.rows(made, config, NOW)[1]
        assert "ready to take over from truenas" in vault.detail(row, made, NOW)


AGENTS = [
    Agent(node="desktop-gpu", alive=True, state="retrying, 503", token_ttl_s=390.0, address=URL,
          secrets=(Secret(path="/run/secrets/ngc-api-key", name="ngc", age_s=7300, mode="0600",
                          owner="root:root"),
                   Secret(path="/run/secrets/hf-token", name="hf", age_s=7300, mode="0600",
                          owner="root:root"))),
    Agent(node="xps15-cpu", alive=True, token_ttl_s=0.0, address="https://elsewhere:8200",
          secrets=(Secret(path="/run/secrets/ngc-api-key", age_s=60, mode="0644", owner="ana:ana",
                          old=(OldHolder(kind="process", id="7"),)),
                   Secret(path="/x", name="hf", fault="missing"))),
    Agent(node="jetson-edge", state="unknown (down)"),
]  # fmt: skip


def test_agents_in_aligned_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "items", lambda *_: AGENTS)
    said = details(store(SEALED)).splitlines()
    at = next(i for i, line in enumerate(said) if line.startswith("AGENTS"))
    assert said[at : at + 4] == [
        "AGENTS        STATE             TOKEN    SECRETS",
        "desktop-gpu   retrying, 503     6m       ngc 2h01  hf 2h01",
        "xps15-cpu     running           expired  ngc-api-key 60s 0644 ana:ana (1 old)  hf missing",
        "jetson-edge   unknown (down)    -        -",
    ]


def test_json_has_each_agent_at_the_server_that_it_talks_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agents, "items", lambda *_: AGENTS)
    config = Config(
        vault=VaultConfig(nodes={"truenas": URL, "xps15-cpu": "https://elsewhere:8200/"})
    )
    first, second = vault.items(store(SEALED), config, NOW)
    assert [a.node for a in first.agents] == ["desktop-gpu", "jetson-edge"]
    assert [a.node for a in second.agents] == ["xps15-cpu"]


def test_metrics_are_told_or_why_not() -> None:
    made = store(ACTIVE)
    made.declare("vaultmetrics", "metrics", 10.0)
    told = VaultMetrics(in_flight=2, leases=12, tokens=4, audit_failures=0, memory_mib=101.5,
                        source="server")  # fmt: skip
    made.put(Reading("vaultmetrics", {"truenas": told}, None, NOW, 0.1))
    words = "2 requests under way · 12 leases · 4 tokens · 0 audit failures · memory 102M"
    assert words in details(made)
    made.put(Reading("vaultmetrics", {"truenas": VaultMetrics(why="it wants a token (403)")},
                     None, NOW, 0.1))  # fmt: skip
    assert details(made).count("no metrics: it wants a token (403)") == 1
    assert vault.severity(vault.rows(made, CONFIG, NOW)[0]) == 0


class TestAlarm:
    def test_it_says_what_where_and_for_how_long(self) -> None:
        assert vault.alarm(store(SEALED), CONFIG, NOW) == "vault sealed on truenas 6m"
        assert vault.alarm(store(ACTIVE), CONFIG, NOW) == ""
        assert alarm_of([vault.SUBJECT], store(SEALED), CONFIG, NOW).startswith("vault sealed")

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_it_is_in_the_top_line(self, width: int) -> None:
        made = store(SEALED)
        words = vault.alarm(made, CONFIG, NOW)
        spans = top_line("lab", (1, 2), made.feeds(), NOW, width, alarm=words)
        line = "".join(text for text, _ in spans)
        assert "CRIT 1 vault sealed on truenas 6m" in line and len(line) <= width

    def test_the_heading_is_the_banner(self) -> None:
        assert vault.SUBJECT.heading
        said = vault.SUBJECT.heading([SEALED])
        assert re.fullmatch(r"vault sealed on truenas for (\d+m|\dh\d\d); 1 sealed", said)
        assert vault.SUBJECT.heading([ACTIVE, peer("xps15-cpu")]) == "1 active, 1 standby"


def test_columns() -> None:
    for row in (SEALED, node(), node(state="active", sealed=False, threshold=3, shares=5)):
        cells = [c.text(row) for c in vault.SUBJECT.columns]
        assert all(isinstance(c, Cell | str) for c in cells)
        for column in vault.SUBJECT.columns:
            if column.sort:
                column.sort(row)
    shown = [c for c in vault.SUBJECT.columns if c.min_total <= 80]
    assert [c.title for c in shown] == ["NODE", "STATE", "UNSEAL", "NONCE", "VERSION", "ADDRESS"]
    assert 2 + sum(c.width for c in shown) + len(shown) - 1 <= 80


def test_every_field_is_documented() -> None:
    """The field names are a contract: docs/cli.md has each of them."""
    text = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    part = text.split("### vault\n")[1].split("\n### ")[0]
    missing = [f for f in VaultNode.__struct_fields__ if f"`{f}`" not in part]
    assert not missing
    assert isinstance(findings([SEALED], NOW)[0], Finding)
