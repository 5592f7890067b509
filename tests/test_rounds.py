"""Shares of a rekey and of a root token whose answer never came: told by what the server has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labtui.actions.runner import Runner
from labtui.actions.vault import Doors, rekeyrounds, rekeystate, rooting
from labtui.actions.vault.ceremony import Ceremony, Standing
from labtui.actions.vault.giving import Giving
from labtui.config import Config, VaultConfig
from labtui.history import AuditLine
from labtui.keyholder.holder import HolderError
from labtui.keyholder.operation import Door
from labtui.screens.shares import FOOT
from labtui.spec import Tone
from labtui.store import Store

KEY = "AB" * 20
ROUND = {
    "started": True, "nonce": "abc", "progress": 1, "required": 3,
    "pgp_fingerprints": [KEY], "pgp_fingerprint": KEY,
}  # fmt: skip


def verifying(nonce: str, progress: int) -> dict[str, Any]:
    return ROUND | {"verifying": {"nonce": nonce, "progress": progress, "t": 3}}


class Silent:
    """A keyholder that has a share and never hears of it again; `arrives`: what it leads to."""

    digest = "d"

    def __init__(self, server: dict[str, Any], arrives: dict[str, Any]) -> None:
        self._server, self._arrives = server, arrives

    async def call(self, id: str, door: Door, **params: Any) -> Any:
        self._server.update(self._arrives)
        raise HolderError("unknown", "no complete answer in time; whether it was done is not known")

    async def close(self) -> None: ...


class Person:
    def __init__(self) -> None:
        self.said: list[str] = []

    def stands(self, standing: Standing, mine: int) -> None: ...

    def say(self, words: str, tone: Tone = "") -> None:
        self.said.append(words)

    def waits(self, keys: str) -> None: ...


def at(
    which: str, server: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Giving, Person, list[AuditLine]]:
    """A person at a ceremony of this server."""

    async def state(door: Door) -> dict[str, Any]:
        return dict(server)

    for module in (rekeyrounds, rekeystate, rooting):
        monkeypatch.setattr(module, "state", state)
    doors = Doors(Config(vault=VaultConfig(nodes={"n1": "https://127.0.0.1:9"})), Store(), {})
    ceremonies: dict[str, Ceremony] = {
        "rekey": rekeyrounds.RekeyCeremony(doors, "n1", folder),
        "verify": rekeyrounds.VerifyCeremony(doors, "n1"),
        "root": rooting.RootCeremony(doors, "n1", folder),
    }
    audit: list[AuditLine] = []
    person: Any = Person()
    keyboard: Any = None
    runner = Runner(audit.append, cluster="lab")
    return Giving(ceremonies[which], runner, keyboard, person), person, audit


@pytest.mark.parametrize(
    ("which", "before", "arrives", "outcome", "said"),
    [
        ("rekey", ROUND, {}, "failed", "1 of 3 shares are in, as before: it did not arrive"),
        ("rekey", ROUND, {"progress": 2}, "unknown", "2 of 3 shares are in: it was this one, or"),
        ("rekey", ROUND, {"progress": 0}, "unknown", "0 of 3 shares are in, and more were before"),
        ("rekey", ROUND, verifying("v", 0), "done", "the new shares are made"),
        ("root", ROUND, {}, "failed", "1 of 3 shares are in, as before: it did not arrive"),
        ("root", ROUND, {"progress": 2}, "unknown", "it was this one, or somebody else's"),
        ("root", ROUND, {"nonce": "", "started": False}, "unknown", "it is over"),
        ("verify", verifying("v", 1), {}, "failed", "as before: it did not arrive"),
        ("verify", verifying("v", 1), verifying("v", 2), "unknown", "it was this one, or"),
        ("verify", verifying("v", 1), verifying("w", 0), "unknown", "the nonce is another one"),
    ],
)
async def test_a_share_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, before: dict[str, Any],
    arrives: dict[str, Any], outcome: str, said: str,
) -> None:  # fmt: skip
    server = dict(before)
    giving, person, audit = at(which, server, tmp_path, monkeypatch)
    holder: Any = Silent(server, arrives)
    await giving._send(holder, await giving._look())
    assert [(line.outcome, said in line.message) for line in audit] == [(outcome, True)], audit
    assert person.said[-1] == audit[0].message
    taken = {"d"} if outcome == "done" else set()
    assert giving._given.digests == taken, "it may be given again"


class Presses:
    """A keyholder at whose keyboard one key is pressed."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def key(self, keyboard: Any, keys: Any) -> str:
        assert self._key in keys
        return self._key


@pytest.mark.parametrize(
    ("which", "before", "resets", "asked"),
    [
        ("rekey", ROUND, "cancel rekey",
         ["Cancel the rekey of n1?", "1 of 3 shares are in; whoever gave one begins anew"]),
        ("verify", verifying("v", 1), "verify anew",
         ["Begin the verification on n1 anew?", "1 of 3 shares are in and dropped"]),
        ("root", ROUND, "cancel it all",
         ["Cancel the making of a root token of n1?", "1 of 3 shares are in and dropped"]),
    ],
)  # fmt: skip
async def test_what_is_dropped_is_said_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, before: dict[str, Any],
    resets: str, asked: list[str],
) -> None:  # fmt: skip
    giving, person, audit = at(which, dict(before), tmp_path, monkeypatch)
    assert giving._ceremony.resets == resets
    assert len(FOOT.format(resets=resets)) <= 72, "on one line of a dialog at 80 columns"
    holder: Any = Presses("esc")
    await giving._reset(holder)
    assert person.said == [*asked, "kept"] and not audit


async def test_a_ceremony_that_is_over_is_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    giving, person, audit = at("rekey", {"started": False}, tmp_path, monkeypatch)
    holder: Any = Presses("y")
    await giving._reset(holder)
    assert person.said == ["n1: no rekey is under way"] and not audit
