"""Pods that ask for a GPU: where they run, or why they wait."""

from __future__ import annotations

from labtui.config import Config
from labtui.model import Pod
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import inert


def rows(store: Store, config: Config, now: float) -> list[Pod]:
    return []


def detail(row: Pod, store: Store, now: float) -> list[str | Cell]:
    return []


SUBJECT = SubjectSpec(
    name="pods",
    key="",
    title="Pods",
    words="Pods that ask for a GPU: where they run, or why they wait.",
    feeds=("k8s.gpus",),
    columns=(Column("name", "NAME", 20, lambda r: inert(str(r.name)), grow=True),),
    row_key=lambda r: f"{r.namespace}/{r.name}",
    severity=lambda r: 0,
    rows=rows,
    detail=detail,
    searchable=lambda r: inert(str(r.name)),
    parent="gpus",
    counted=False,
)
