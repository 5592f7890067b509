"""The Slurm that runs inside Kubernetes."""

from __future__ import annotations

from labtui.config import Config
from labtui.model import SlurmCluster
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import inert


def rows(store: Store, config: Config, now: float) -> list[SlurmCluster]:
    return []


def detail(row: SlurmCluster, store: Store, now: float) -> list[str | Cell]:
    return []


SUBJECT = SubjectSpec(
    name="slurmclusters",
    key="",
    title="Soperator",
    words="The Slurm that runs inside Kubernetes.",
    feeds=("k8s.slurmclusters",),
    columns=(Column("name", "NAME", 20, lambda r: inert(str(r.name)), grow=True),),
    row_key=lambda r: f"{r.namespace}/{r.name}",
    severity=lambda r: 0,
    rows=rows,
    detail=detail,
    searchable=lambda r: inert(str(r.name)),
    parent="gpus",
    counted=False,
)
