"""Every process with memory on a card, and whose it is."""

from __future__ import annotations

from labtui.config import Config
from labtui.model import GpuProcess
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import inert


def rows(store: Store, config: Config, now: float) -> list[GpuProcess]:
    return []


def detail(row: GpuProcess, store: Store, now: float) -> list[str | Cell]:
    return []


SUBJECT = SubjectSpec(
    name="processes",
    key="",
    title="GPU processes",
    words="Every process with memory on a card, and whose it is.",
    feeds=(
        "smi.",
        "nvml.",
    ),
    columns=(Column("name", "NAME", 20, lambda r: inert(str(r.name)), grow=True),),
    row_key=lambda r: f"{r.node}:{r.pid}",
    severity=lambda r: 0,
    rows=rows,
    detail=detail,
    searchable=lambda r: inert(str(r.name)),
    parent="gpus",
    counted=False,
)
