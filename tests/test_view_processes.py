"""Processes on cards: whose they are, those of nobody first."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labtui.config import Config
from labtui.model import Gpu, GpuProcess
from labtui.spec import Cell
from labtui.store import Store
from labtui.views import processes
from labtui.views.arrange import How, arrange, at_once
from sample_gpus import BARE, CARD, JOB, NOW, POD, card

SUBJECT = processes.SUBJECT
STRAY = GpuProcess(pid=7781, node="desktop-gpu", name="python\x1b[2J", user="ben", memory_mib=512.0)
LOST = GpuProcess(pid=8000, node="desktop-gpu", name="eval", job_id="1400", via="slurmstepd")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[processes.ProcessRow]:
    monkeypatch.setattr("time.time", lambda: NOW)
    gpu = card(processes=(*CARD.processes, STRAY, LOST), holders=(JOB, POD, BARE))
    monkeypatch.setattr(processes, "items", lambda *a: [gpu])
    found = at_once(arrange(processes.rows(Store(), Config(), NOW), SUBJECT, How()))
    return list(found.items)


def cells(row: processes.ProcessRow) -> list[str]:
    texts = [c.text(row) for c in SUBJECT.columns]
    return [t.text if isinstance(t, Cell) else t for t in texts]


def details(row: processes.ProcessRow) -> list[str]:
    lines = processes.detail(row, Store(), NOW)
    return [line.text if isinstance(line, Cell) else line for line in lines]


def test_those_of_nobody_come_first(shown: list[processes.ProcessRow]) -> None:
    assert [cells(row) for row in shown] == [
        ["desktop-gpu:0", "8000", "-", "eval", "-", "-", "job 1400, no slice"],
        ["desktop-gpu:0", "7781", "ben", "python", "512M", "-", "not known"],
        ["desktop-gpu:0", "4121", "ana", "python", "17.9G", "2h08", "job 1422 llama-lora"],
        ["desktop-gpu:0", "9907", "root", "nim", "3.1G", "-", "pod nim/llama-0"],
    ]
    assert SUBJECT.heading is not None
    assert SUBJECT.heading(shown) == "1 that no scheduler knows, 1 of which it is not known"
    assert "no scheduler has given it a slice" in details(shown[0])[1]
    assert details(shown[2])[1] == "job 1422 llama-lora: its control group says so"


def of(monkeypatch: pytest.MonkeyPatch, gpu: Gpu) -> processes.ProcessRow:
    monkeypatch.setattr(processes, "items", lambda *a: [gpu])
    processes._made.clear()
    (row,) = processes.rows(Store(), Config(), NOW)
    return row


SEEN = msgspec.structs.replace(STRAY, since=NOW - 600)
DENIED = {"holders": "kubernetes: ana may not list pods"}


@pytest.mark.parametrize(
    ("process", "changes", "level", "whose", "why"),
    [
        (SEEN, {}, 2, "nobody", "no scheduler has given it a slice"),
        (SEEN, {"na": DENIED}, 1, "not known", "ana may not list pods"),
        (SEEN, {"sources": {"nvidia-smi": "1 process"}}, 0, "nobody", "no scheduler is configured"),
        (STRAY, {}, 1, "not known", "of another container, or /proc is hidden"),
        (LOST, {"na": DENIED}, 2, "job 1400, no slice", "no scheduler has given it a slice"),
        (LOST, {"na": {"holders": "slurm: refused"}}, 1, "job 1400", "slurm: refused"),
        (msgspec.structs.replace(LOST, job_id=None, pod_uid="u"), {"na": DENIED}, 1, "pod u",
         "ana may not"),
        (SEEN, {"na": {"holders": "Slurm does not say on which card"}}, 2, "nobody", "no sched"),
    ],
)  # fmt: skip
def test_what_nobody_could_know_is_not_called_nobodys(
    monkeypatch: pytest.MonkeyPatch, process: GpuProcess, changes: dict[str, Any], level: int,
    whose: str, why: str,
) -> None:  # fmt: skip
    row = of(monkeypatch, card(processes=(process,), holders=(BARE,), **changes))
    assert (processes.severity(row), processes.whose(row)) == (level, whose)
    assert why in details(row)[1]
    assert SUBJECT.heading is not None
    told = {2: "1 that no scheduler knows", 1: "1 of which it is not known", 0: ""}
    assert SUBJECT.heading([row]) == told[level]


def test_rows_are_printed_with_their_card(shown: list[processes.ProcessRow]) -> None:
    told = msgspec.to_builtins(shown[2])
    assert told["card"] == "desktop-gpu:0" and told["holder"]["id"] == "1422"
    assert told["pid"] == 4121 and told["memory_mib"] == 18330.0


def test_one_process_on_two_cards_is_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [card(), card(index=1, holders=())]
    monkeypatch.setattr(processes, "items", lambda *a: both)
    found = processes.rows(Store(), Config(), NOW)
    assert len({SUBJECT.row_key(row) for row in found}) == len(found) == 4
    again: list[Gpu] = [both[0], card(index=1)]
    monkeypatch.setattr(processes, "items", lambda *a: again)
    assert processes.rows(Store(), Config(), NOW)[0] is found[0]
