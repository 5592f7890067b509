"""`scontrol show partition`, slurmrestd's partitions."""

from __future__ import annotations

from typing import Any

from labtui.slurm import fields, settings
from labtui.slurm.constants import UNLIMITED
from labtui.slurm.core.partition import Partition, Partitions
from labtui.slurm.documents import Document, cluster_of, data_parser, entries
from labtui.slurm.documents.text import joined
from labtui.slurm.scontrol import pairs
from labtui.slurm.served import from_json, from_text

PER_CPU = 1 << 63
"""slurm/slurm.h MEM_PER_CPU: the bit by which one number says which of two things it limits."""

_FLAGS = {
    "DEFAULT": "is_default", "HIDDEN": "is_hidden", "ROOT_ONLY": "is_root_only", "LLN":
    "least_loaded_nodes_scheduling", "LEAST_LOADED_NODES": "least_loaded_nodes_scheduling",
    "REQ_RESV": "requires_reservation", "RESERVATION_REQUIRED": "requires_reservation",
    "EXCLUSIVE_USER": "is_user_exclusive", "PDOI": "power_down_on_idle",
    "POWER_DOWN_ON_IDLE": "power_down_on_idle",
}  # fmt: skip


def partitions(document: Document, cluster: str | None = None) -> Partitions:
    """Partitions of any of these documents."""
    name = cluster or cluster_of(document) or settings.local_cluster()
    if isinstance(document, str):
        told = [_of_text(line) for line in joined(document, "PartitionName")]
    else:
        parser = data_parser(document) or ()
        told = [_of_json(record, parser) for record in entries(document, "partitions")]
    found = Partitions()
    for known in told:
        partition = Partition.of(known)
        partition.cluster = name
        if partition.name:
            found.data.setdefault(name, {})[partition.name] = partition
    return found


def _of_text(line: str) -> dict[str, Any]:
    of = pairs(line)
    if "Exclusive" in of:  # 26.05
        of["ExclusiveUser"] = "YES" if of["Exclusive"] == "USER" else "NO"
    return from_text(Partition, of)


def _of_json(record: dict[str, Any], parser: tuple[int, ...]) -> dict[str, Any]:
    known = from_json(Partition, record)
    if (0, 0, 0) < parser < (0, 0, 39):
        _openapi(record, known, parser)
    else:
        _oversubscribe(record, known)
    flags = record.get("flags")
    if isinstance(flags, list):  # v0.0.39 to v0.0.44 do not tell
        words = fields.states(flags)
        known |= dict.fromkeys(_FLAGS.values(), False)
        known |= {_FLAGS[word]: True for word in words if word in _FLAGS}
        known["allow_root_jobs"] = "NO_ROOT" not in words
        inside = record.get("partition")
        if isinstance(inside, dict) and "exclusive" in inside:
            known["is_user_exclusive"] = inside["exclusive"] == "USER"
    return known


def _oversubscribe(record: dict[str, Any], known: dict[str, Any]) -> None:
    if known.get("oversubscribe") is not None:
        return
    maximums = record.get("maximums")
    shared = maximums.get("oversubscribe") if isinstance(maximums, dict) else None
    jobs = fields.num(shared.get("jobs")) if isinstance(shared, dict) else None
    if isinstance(shared, dict) and jobs is not None:
        forced = "FORCE" in fields.states(shared.get("flags"))
        words = {0: "EXCLUSIVE", 1: "FORCE:1" if forced else "NO"}
        known["oversubscribe"] = words.get(jobs, f"{'FORCE' if forced else 'YES'}:{jobs}")


def _openapi(record: dict[str, Any], known: dict[str, Any], parser: tuple[int, ...]) -> None:
    """21.08 and 22.05. null is "no limit" as well as "not set"; v0.0.37 has one number for memory
    a CPU and a node, no true default time (0 where it is 60), and modes where none is set."""
    if "max_time_limit" in record and record["max_time_limit"] is None:
        known["max_time"] = UNLIMITED
    if parser > (0, 0, 37):
        return
    known["default_time"] = None
    if known.get("preempt_mode") == "REQUEUE,GANG":
        known["preempt_mode"] = None
    for source, per_cpu, per_node in (
        ("default_memory_per_cpu", "default_memory_per_cpu", "default_memory_per_node"),
        ("maximum_memory_per_node", "max_memory_per_cpu", "max_memory_per_node"),
    ):
        number = record.get(source)
        known[per_cpu] = known[per_node] = None
        if isinstance(number, bool) or not isinstance(number, int) or abs(number) > PER_CPU:
            continue
        if number < -2:  # -2 is "not set", -1 no limit at all
            known[per_cpu] = number + PER_CPU or UNLIMITED
        elif number >= 0:
            known[per_node] = fields.num(number, UNLIMITED) if number else UNLIMITED
