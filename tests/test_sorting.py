"""The order of the plain tables: what is not known comes last, whichever the way."""

from __future__ import annotations

from typing import Any

import pytest

from labtui.model import Agent, Pod, Qos, VaultNode
from labtui.registry import SUBJECT
from labtui.views.sorting import order

AGENTS = [Agent(node="a", token_ttl_s=60.0, renewed_at=1e9), Agent(node="b"),
          Agent(node="c", token_ttl_s=30.0, renewed_at=2e9)]  # fmt: skip
PODS = [Pod(name=name, namespace="x", uid="u", phase="Running", since=since, created=created)
        for name, since, created in (("a", 2e9, 1.0), ("b", None, None), ("c", None, 1e9))
        ]  # fmt: skip
SERVERS = [
    VaultNode(node="a", address="x", state="sealed", sealed=True, threshold=3, progress=0,
              since=2e9),
    VaultNode(node="b", address="x", state="active", sealed=False),
    VaultNode(node="c", address="x", state="sealed", sealed=True, threshold=3, progress=2,
              since=1e9),
]  # fmt: skip
QOS = [Qos(name="a", held={"gpus": 4}), Qos(name="b"), Qos(name="c", held={"gpus": 1})]


@pytest.mark.parametrize(
    ("subject", "column", "items"),
    [
        ("agents", "token", AGENTS), ("pods", "since", PODS), ("vault", "unseal", SERVERS),
        ("vault", "since", SERVERS), ("qos", "held", QOS),
    ],
)  # fmt: skip
def test_what_is_not_known_comes_last(subject: str, column: str, items: list[Any]) -> None:
    def names(reverse: bool) -> str:
        found = order(items, SUBJECT[subject], column, reverse)
        return "".join(one.name if subject in ("pods", "qos") else one.node for one in found)

    assert (names(False), names(True)) == ("cab", "acb")


def test_the_longest_since_a_token_was_renewed_comes_last_but_what_is_not_known() -> None:
    spec = SUBJECT["agents"]
    assert [a.node for a in order(AGENTS, spec, "renewed", False)] == ["c", "a", "b"]
    assert [a.node for a in order(AGENTS, spec, "renewed", True)] == ["a", "c", "b"]
