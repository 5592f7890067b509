"""What becomes of secret-ids that were not taken, and of those of a node that is taken away."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from labtui.actions.base import Outcome
from labtui.actions.plays import PlayAction
from labtui.actions.vault import Doors
from labtui.actions.vault import agents as agent_actions
from labtui.actions.vault.agents import InstallAgents, UndoAgents
from labtui.actions.vault.secretids import TAKEN
from labtui.config import Config, parse
from labtui.keyholder.holder import HolderError
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import operation
from labtui.plays.catalogue import INSTALL
from labtui.plays.events import HostReport, Report, Result
from labtui.store import Store
from vaultset import vault_set

DELIVER = "Deliver a secret-id"
NODES = ("good", "thief", "dead")


def config() -> Config:
    nodes = "".join(f'[nodes.{n}]\ntransport = "local"\n' for n in NODES)
    return parse(f"""{nodes}
[vault]
agents = {list(NODES)}
[vault.nodes]
one = "https://127.0.0.1:8200"
two = "https://127.0.0.1:8201"
[vault.secrets.ngc]
path = "secret/ngc"
""", "test")  # fmt: skip


class Holder:
    """Answers `approle.destroy` as it is told to, one answer a call."""

    def __init__(self, *answers: Mapping[str, Any] | HolderError, known: bool = True) -> None:
        self.answers = list(answers)
        self.destroyed: list[tuple[str, list[str]]] = []
        self.known = known

    async def call(self, id: str, door: Door, **params: Any) -> Mapping[str, Any]:
        if id == "approle.deliver":
            return {
                "accessors": {n: f"new-{n}" if self.known else "" for n in params["nodes"]},
                "older": {n: [f"old-{n}"] for n in params["nodes"]},
                "unknown": "",
            }
        self.destroyed.append((door.node, list(params.get("nodes") or params["accessors"])))
        answer = self.answers.pop(0) if self.answers else {"destroyed": 1, "of": {}}
        if isinstance(answer, HolderError):
            raise answer
        return answer


def host(name: str, *changed: str, failed: str = "", status: Any = "failed") -> HostReport:
    found = HostReport(name, changed=[Result(name, task, "changed") for task in changed])
    found.failed = Result(name, failed, status, message="no") if failed else None
    return found


def report(*hosts: HostReport, ended: bool = True) -> Report:
    return Report(hosts={h.name: h for h in hosts}, ended=ended)


async def installed(
    holder: Holder, ran: Report, monkeypatch: pytest.MonkeyPatch
) -> tuple[InstallAgents, list[str]]:
    action = InstallAgents(Doors(config(), Store(), {}, cast("Any", holder)), [])
    action.seen = report(*(host(n, DELIVER) for n in NODES))

    async def door() -> Door:
        return Door("one", "https://127.0.0.1:8200")

    async def play(*words: Any, **more: Any) -> Report:
        return ran

    monkeypatch.setattr(action, "_door", door)
    monkeypatch.setattr(action, "_play", play)
    lines: list[str] = []
    action.report = await action.perform(lines.append)
    return action, lines


RAN = report(
    host("good", DELIVER, failed="Start the agent"),
    host("thief", DELIVER, failed=TAKEN),
    host("dead", failed="Look at the machine", status="unreachable"),
)


async def test_what_was_not_taken_is_destroyed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`good` has its new one, whatever failed there later: only its older ones go."""
    holder = Holder()
    action, _ = await installed(holder, RAN, monkeypatch)
    assert holder.destroyed == [("one", ["old-good"]), ("one", ["new-thief", "new-dead"])]
    outcome = await action.verify()
    assert outcome.kind == "failed"
    assert "the new secret-id of thief, dead, which was not taken, was destroyed" in outcome.message


async def test_one_that_cannot_be_destroyed_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    forbidden = HolderError("denied", "the token lacks `update`")
    action, _ = await installed(Holder({}, forbidden), RAN, monkeypatch)
    message = (await action.verify()).message
    assert "of thief, dead, which was not taken, stays valid: the token lacks `update`" in message
    action, _ = await installed(Holder(known=False), RAN, monkeypatch)
    assert "stays valid: Vault does not tell its accessor" in (await action.verify()).message
    lost = HolderError("unknown", "no answer within 1 s")
    _, lines = await installed(Holder(lost, lost), RAN, monkeypatch)
    assert "1 older secret-ids stay: no answer within 1 s" in lines


async def test_of_a_run_that_was_broken_off_nothing_is_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder = Holder()
    await installed(holder, report(host("good", DELIVER), ended=False), monkeypatch)
    assert holder.destroyed == [("one", ["new-thief", "new-dead"])]


def test_the_tasks_have_the_names_that_are_looked_for() -> None:
    text = (INSTALL / "vault-agent.yml").read_text()
    for name in (DELIVER, TAKEN, agent_actions.KEEP):
        assert text.count(f"- name: {name}\n") == 1


# Undone


async def undone(
    holder: Holder, monkeypatch: pytest.MonkeyPatch, failed: Mapping[str, str], *changed: str
) -> Outcome:
    action = UndoAgents(Doors(config(), Store(), {}, cast("Any", holder)), [])
    action.report = report(*(host(n, *changed) for n in NODES))

    async def verify(self: UndoAgents) -> Outcome:
        return self._outcome(failed)

    monkeypatch.setattr(PlayAction, "verify", verify)
    return await action.verify()


ALL = {"destroyed": 3, "of": dict.fromkeys(NODES, 1)}
NONE = {"destroyed": 0, "of": dict.fromkeys(NODES, 0)}


async def test_an_undo_tells_how_many_were_destroyed(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await undone(Holder(ALL), monkeypatch, {}, "Stop it")
    assert outcome.ok and "3 secret-ids destroyed in Vault" in outcome.message
    outcome = await undone(Holder(NONE), monkeypatch, {}, "Stop it")
    assert outcome.kind == "failed" and "none was known by its node's name" in outcome.message
    outcome = await undone(Holder(NONE), monkeypatch, {})  # it was undone before
    assert outcome.ok and "0 secret-ids destroyed" in outcome.message


async def test_an_undo_says_why_secret_ids_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    forbidden = HolderError("denied", "the token lacks `list`")
    outcome = await undone(Holder(forbidden, forbidden), monkeypatch, {}, "Stop it")
    assert outcome.kind == "failed"
    assert "their secret-ids stay in Vault: the token lacks `list`" in outcome.message


async def test_a_server_that_hangs_is_not_the_last_one_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = HolderError("unknown", "no answer within 60 s")
    holder = Holder(lost, NONE)
    outcome = await undone(holder, monkeypatch, {}, "Stop it")
    assert [node for node, _ in holder.destroyed] == ["one", "two"]
    assert outcome.ok, "the first may have destroyed them"
    outcome = await undone(Holder(lost, lost), monkeypatch, {}, "Stop it")
    assert outcome.kind == "failed" and "no answer within 60 s" in outcome.message


async def test_a_node_that_failed_does_not_keep_the_others_secret_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder = Holder({"destroyed": 2, "of": {"good": 1, "thief": 1}})
    outcome = await undone(holder, monkeypatch, {"dead": "dead is unreachable"}, "Stop it")
    assert holder.destroyed == [("one", ["good", "thief"])]
    assert outcome.kind == "failed" and "2 secret-ids destroyed" in outcome.message


# Against a real Vault


@pytest.mark.slow
def test_all_of_a_nodes_secret_ids_are_destroyed_or_the_right_is_named(tmp_path: Path) -> None:
    with vault_set(tmp_path / "vault", unseal=True) as vaults:
        client = vaults.client()
        client.sys.enable_auth_method("approle")
        door = Door("one", vaults.urls[vaults.first], vaults.ca)
        secrets = {"token": bytearray(vaults.token.encode())}
        wanted = {"role": "compute-node", "nodes": ["here", "other"]}
        destroy = operation("approle.destroy").run
        none = {"destroyed": 0, "of": {"here": 0, "other": 0}}
        assert destroy(door, secrets, wanted) == none  # no such role
        client.auth.approle.create_or_update_approle("compute-node")
        assert destroy(door, secrets, wanted) == none
        for number in range(210):
            node = "here" if number % 70 == 0 else f"n{number}"
            client.auth.approle.generate_secret_id("compute-node", metadata={"node": node})
        assert destroy(door, secrets, wanted) == {"destroyed": 3, "of": {"here": 3, "other": 0}}
        left = client.auth.approle.list_secret_id_accessors("compute-node")["data"]["keys"]
        assert len(left) == 207
        gone = {"role": "compute-node", "accessors": [left[0], "none-such"]}
        assert destroy(door, secrets, gone)["destroyed"] == 1

        rules = 'path "auth/approle/role/compute-node/{}" {{ capabilities = ["read", "update"] }}\n'
        client.sys.create_or_update_policy(
            "some", "".join(map(rules.format, ("role-id", "secret-id", "secret-id-accessor/*")))
        )
        token = client.auth.token.create(policies=["some"])["auth"]["client_token"]
        less = {"token": bytearray(token.encode())}
        with pytest.raises(Refused, match="lacks `list` on auth/approle/role/compute-node/secret-"):
            destroy(door, less, wanted)
        handed = os.memfd_create("handed")
        try:
            memory = f"/proc/{os.getpid()}/fd/{handed}"
            told = operation("approle.deliver").run(door, less, {**wanted, "memory": memory})
        finally:
            os.close(handed)
        assert "lacks `list`" in told["unknown"] and told["older"] == {}
        made = told["accessors"]["here"]
        assert destroy(door, secrets, {"role": "compute-node", "accessors": [made]}) == {
            "destroyed": 1, "of": {},
        }  # fmt: skip
