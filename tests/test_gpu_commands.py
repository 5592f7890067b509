"""`labtui gpu waiting` without a lab: of which machines it speaks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labtui.commands import gpu as commands
from labtui.config import Config
from labtui.model import Node
from labtui.store import Fault, Reading, Store


def waiting(place: str, told: Any, monkeypatch: pytest.MonkeyPatch) -> Result:
    store = Store()
    for name, value in {"slurm.nodes": told, "slurm.jobs": []}.items():
        store.declare(name, "slurm", 1e9)
        bad = isinstance(value, Fault)
        store.put(Reading(name, None if bad else value, value if bad else None, 1.0, 0.1))

    async def once(names: Any) -> None:
        pass

    session: Any = SimpleNamespace(
        store=store, config=Config(), scheduler=SimpleNamespace(once=once)
    )

    def with_session(context: Any, work: Callable[[Any], Awaitable[int]]) -> None:
        sys.exit(asyncio.run(work(session)))  # type: ignore[arg-type]

    monkeypatch.setattr(commands, "with_session", with_session)
    return CliRunner().invoke(commands.gpu, ["waiting", place])


@pytest.mark.parametrize("place", ["n-typo", "n-typo:0"])
def test_a_machine_that_is_not_there_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    done = waiting(place, [Node(name="n1", gpus=1, gres="gpu:1")], monkeypatch)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"labtui: no card {place}\n"
    known = waiting("n1", [Node(name="n1", gpus=1, gres="gpu:1")], monkeypatch)
    assert (known.exit_code, known.stdout) == (
        0, "nothing waits for a GPU of n1: nobody is in line for it\n"
    )  # fmt: skip


def test_whether_it_is_there_may_not_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    done = waiting("n1", Fault("refused", "nothing answers"), monkeypatch)
    assert done.exit_code == 0
    assert done.stdout.startswith("it is not known which jobs wait for a GPU of n1: slurm: refused")
    done = waiting("n1:0", Fault("refused", "nothing answers"), monkeypatch)
    assert done.exit_code == 3
    assert done.stderr.endswith("labtui: no card n1:0; nothing answers\n")
