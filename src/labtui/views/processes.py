"""Every process with memory on a card, and whose it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec.structs import asdict

from labtui.config import Config
from labtui.model import Gpu, GpuProcess, Holder
from labtui.shares.cards import items
from labtui.spec import Cell, Column, SubjectSpec
from labtui.store import Store
from labtui.text import age, inert, mib
from labtui.views.gpucells import named
from labtui.views.gpudetail import when
from labtui.views.gpurows import card_name

_SCHEDULERS = ("slurm: ", "kubernetes: ")
_NO_SCHEDULER = "no scheduler is configured"
_VIA = {
    "cgroup": "its control group says so",
    "slurmstepd": "Slurm's slurmstepd is among its parents",
}


class ProcessRow(GpuProcess, frozen=True, kw_only=True):
    """A process with the card that it is on, and who holds that."""

    index: int | None = None
    """Of its card on the node."""
    holder: Holder | None = None
    """The job or pod that it belongs to, as far as it holds a slice of the card."""
    key: str = ""
    card: str = ""
    """`desktop-gpu:0`."""
    why: str | None = None
    """Of one without a holder: why it is not known whose it is; None: no scheduler knows it."""


_made: dict[str, tuple[Gpu, tuple[ProcessRow, ...]]] = {}


def rows(store: Store, config: Config, now: float) -> list[ProcessRow]:
    """By card; those of a card that is the same object are the same as well."""
    global _made
    made: dict[str, tuple[Gpu, tuple[ProcessRow, ...]]] = {}
    for gpu in items(store, config, now):
        if gpu.processes:
            kept = _made.get(card_name(gpu))
            again = kept is not None and kept[0] is gpu
            made[card_name(gpu)] = kept if kept and again else (gpu, tuple(_of(gpu)))
    _made = made
    return [row for _, of_card in made.values() for row in of_card]


def _of(gpu: Gpu) -> Sequence[ProcessRow]:
    owners = {pid: holder for holder in gpu.holders for pid in holder.pids}
    rows = []
    for process in gpu.processes:
        # It may use several cards, and several instances of one.
        part = "" if process.mig_id is None else f"/mig {process.mig_id}"
        key = f"{card_name(gpu)}/{process.pid}{part}"
        told = asdict(process) | {"node": gpu.node}
        rows.append(
            ProcessRow(
                **told, index=gpu.index, key=key, card=card_name(gpu),
                holder=owners.get(process.pid), why=_why(gpu, process),
            )
        )  # fmt: skip
    return rows


def _why(gpu: Gpu, process: GpuProcess) -> str | None:
    """Why nobody can tell whose it is: a scheduler that may know it is silent, or its owner is
    hidden. That a slice lies on no card that is known is no such reason."""
    if gpu.sources.keys().isdisjoint(("slurm", "kubernetes")):
        return _NO_SCHEDULER
    mine = ("slurm: ",) if process.job_id else ("kubernetes: ",) if process.pod_uid else _SCHEDULERS
    silent = [r for r in gpu.na.get("holders", "").split("; ") if r.startswith(mine)]
    if silent:
        return "; ".join(silent)
    hidden = process.since is None and not process.job_id and not process.pod_uid
    return "of another container, or /proc is hidden from this user" if hidden else None


def whose(row: ProcessRow) -> str:
    """`job 1422 llama-lora`, `nobody`; of one that holds no slice what its group tells."""
    if _held(row) and row.holder is not None:
        return named(row.holder)
    slices = "" if row.why else ", no slice"
    if row.job_id:
        return f"job {inert(row.job_id, 40)}{slices}"
    if row.pod_uid:
        return f"pod {inert(row.pod_uid, 40)}{slices}"
    return "not known" if severity(row) == 1 else "nobody"


def _held(row: ProcessRow) -> bool:
    return row.holder is not None and row.holder.kind != "process"


def severity(row: ProcessRow) -> int:
    """What no scheduler knows of comes first, then what cannot be known."""
    if _held(row) or row.why == _NO_SCHEDULER:
        return 0
    return 1 if row.why else 2


def detail(row: ProcessRow, store: Store, now: float) -> list[str | Cell]:
    head = f"process {row.pid} {inert(row.name or '', 80)} · {inert(row.card)}"
    lines: list[str | Cell] = [Cell(head, "accent")]
    if _held(row):
        lines.append(f"{whose(row)}: {_VIA.get(row.via or '', inert(row.via or 'not told how'))}")
    elif row.why == _NO_SCHEDULER:
        lines.append(f"{whose(row)}: {row.why}")
    elif row.why:
        owned = row.job_id or row.pod_uid
        whether = f"{whose(row)}: whether it has a slice" if owned else "whose it is"
        lines.append(Cell(f"{whether} is not known: {inert(row.why)}", "warn"))
    else:
        lines.append(
            Cell(
                f"{whose(row)}: no scheduler has given it a slice, its memory is missing to those"
                " that hold one",
                "warn",
            )
        )
    lines.append(
        f"{mib(row.memory_mib)} of the card's memory · user {inert(row.user or 'not known', 60)}"
        + (f" · since {when(row.since, now)}" if row.since else "")
    )
    if row.gpu_uuid:
        lines.append(Cell(inert(row.gpu_uuid, 80), "dim"))
    return lines


def _since(row: ProcessRow) -> str:
    return "-" if row.since is None else age(time.time() - row.since)


def _heading(found: Sequence[ProcessRow]) -> str:
    levels = [severity(row) for row in found]
    lost, unknown = levels.count(2), levels.count(1)
    told = [f"{lost} that no scheduler knows"] if lost else []
    told += [f"{unknown} of which it is not known"] if unknown else []
    return ", ".join(told)


SUBJECT = SubjectSpec(
    name="processes",
    key="",
    title="GPU processes",
    words="Every process with memory on a card, and whose it is.",
    feeds=("smi.", "nvml.", "jetson.", "prom.gpus", "k8s.gpus", "slurm.allocations",
           "slurm.jobs", "slurm.nodes"),
    columns=(
        Column("card", "CARD", 15, lambda r: inert(r.card, 80), lambda r: (r.node, r.index or 0),
               wide=22),
        Column("pid", "PID", 7, lambda r: str(r.pid), lambda r: r.pid, "right"),
        Column("user", "USER", 7, lambda r: inert(r.user or "-", 40), wide=12),
        Column("name", "COMMAND", 11, lambda r: inert(r.name or "-", 200), wide=24),
        Column("memory", "MEM", 6, lambda r: mib(r.memory_mib), lambda r: r.memory_mib, "right"),
        Column("since", "SINCE", 5, _since, lambda r: r.since, "right"),
        Column("whose", "WHOSE", 15,
               lambda r: Cell(whose(r), "warn" if severity(r) else ""), grow=True),
    ),
    row_key=lambda r: r.key,
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda r: inert(f"{r.card} {r.pid} {r.user or ''} {r.name or ''} {whose(r)}", 500),
    heading=_heading,
    parent="gpus",
    counted=False,
)  # fmt: skip
