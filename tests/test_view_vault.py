"""The vault screen's rows: refused, sealed, building and stale are different things."""

from __future__ import annotations

import time
from typing import Any

import pytest

from labtui.config import Config, VaultConfig
from labtui.model import VaultNode
from labtui.spec import Cell
from labtui.store import Fault, FaultKind, Reading, Store
from labtui.views import vault

NOW = time.time()
URL = "https://10.77.0.50:8200"
CONFIG = Config(vault=VaultConfig(nodes={"truenas": URL}))


def node(**fields: Any) -> VaultNode:
    return VaultNode(node="truenas", address=URL, **fields)


SEALED = node(
    state="sealed", sealed=True, threshold=3, shares=5, progress=0, seal_type="shamir",
    version="1.21.2", since=NOW - 360,
)  # fmt: skip


def store(*answers: VaultNode | Fault) -> Store:
    made = Store()
    made.declare("vault.truenas", "vault", 2.0)
    for i, answer in enumerate(answers):
        value, fault = (None, answer) if isinstance(answer, Fault) else (answer, None)
        made.put(Reading("vault.truenas", value, fault, NOW + i, 0.01))
    return made


def details(made: Store) -> str:
    (row,) = vault.rows(made, CONFIG, NOW)
    lines = vault.detail(row, made, NOW)
    return "\n".join(line.text if isinstance(line, Cell) else line for line in lines)


def test_before_the_first_answer() -> None:
    for made in (Store(), store()):
        (row,) = vault.items(made, CONFIG, NOW)
        assert (row.state, row.sealed, row.detail) == ("unknown", None, "no answer yet")
        assert vault.severity(row) == 1, "not known yet is not an alarm"


def test_sealed_says_what_to_do() -> None:
    made = store(SEALED)
    assert vault.items(made, CONFIG, NOW) == [SEALED]
    assert vault.severity(SEALED) == 3
    said = details(made)
    assert "needs 3 of 5 shares" in said and f"VAULT_ADDR={URL}" in said and "for 6m" in said


def test_unsealing_says_how_far() -> None:
    half = node(
        state="unsealing", sealed=True, threshold=3, shares=5, progress=1, nonce="638b23e0-aa"
    )
    said = details(store(half))
    assert "needs 2 more of 5 shares" in said and "1 of 3 shares are in" in said
    assert vault.missing(half) == 2 and vault.missing(node(sealed=False, threshold=3)) is None


def test_an_auto_seal_is_not_opened_by_shares() -> None:
    said = details(store(node(state="sealed", sealed=True, seal_type="awskms", threshold=3)))
    assert "shares do not open it" in said


@pytest.mark.parametrize(
    ("kind", "state", "severity"),
    [("refused", "refused", 3), ("tls", "tls", 3), ("timeout", "unknown", 2),
     ("unreachable", "unknown", 2), ("protocol", "unknown", 2), ("building", "unknown", 2)],
)  # fmt: skip
def test_failures_are_told_apart(kind: FaultKind, state: str, severity: int) -> None:
    made = store(Fault(kind, "Vault at X: because [/b]"))
    (row,) = vault.items(made, CONFIG, NOW)
    assert (row.state, vault.severity(row), row.sealed) == (state, severity, None)
    assert row.detail == "Vault at X: because [/b]" and row.since == NOW
    assert "because [/b]" in details(made)


def test_what_it_once_said_is_not_taken_for_so_now() -> None:
    active = node(state="active", sealed=False, threshold=3, shares=5, version="1.21.2")
    made = store(active, Fault("refused", "refused"), Fault("refused", "refused"))
    (row,) = vault.items(made, CONFIG, NOW)
    assert (row.state, row.sealed, row.threshold, row.version) == ("refused", None, None, "1.21.2")
    assert row.detail is not None and "before that it was active" in row.detail
    assert row.since == NOW + 1, "since the first failure"
    assert "2 tries failed" in details(made)


def test_a_build_is_told_without_advice_to_unseal() -> None:
    said = details(store(Fault("building", "the lab builds Vault: 43 % compiling")))
    assert "43 %" in said and "operator" not in said


def test_columns() -> None:
    for row in (SEALED, node(), node(state="active", sealed=False, threshold=3, shares=5)):
        cells = [c.text(row) for c in vault.SUBJECT.columns]
        assert all(isinstance(c, Cell | str) for c in cells)
        for column in vault.SUBJECT.columns:
            if column.sort:
                column.sort(row)
    shown = [c for c in vault.SUBJECT.columns if c.min_total <= 80]
    assert 2 + sum(c.width for c in shown) + len(shown) - 1 <= 80
    assert vault.SUBJECT.heading and vault.SUBJECT.heading([SEALED]) == "1 sealed"
