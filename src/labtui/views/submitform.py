"""The submission form as data: its fields, what is said beside each, what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from labtui.model import Node
from labtui.slurm.limits import check_limits
from labtui.slurm.script import BatchScript, ScriptError
from labtui.slurm.types import Partition
from labtui.store import Store
from labtui.text import mib


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the form and the attribute of the description that it sets."""

    id: str
    attribute: str
    help: str


FIELDS: tuple[Field, ...] = (
    Field("name", "name", "what the queue calls it"),
    Field("partition", "partitions", "which machines"),
    Field("gpus", "gres_per_node", "how many on each node, or gpu:TYPE:N"),
    Field("cpus", "cpus_per_task", "cores"),
    Field("memory", "memory_per_node", "512M, 8G on each node"),
    Field("time", "time_limit", "30 (minutes), 4:00:00, 1-12:00:00"),
    Field("command", "body", "what runs; e edits a longer script"),
    Field("directory", "working_directory", "where it runs"),
    Field("output", "standard_output", "%j is the job's id"),
    Field("after", "dependencies", "1429, or afterok:1429"),
    Field("array", "array", "0-9%2"),
    Field("nodes", "nodes", "how many machines"),
    Field("account", "account", "who pays"),
    Field("qos", "qos", "quality of service"),
)


def value_of(job: BatchScript, field: Field) -> str:
    """What the field shows. A script of several lines is shown by its size."""
    value = str(getattr(job, field.attribute))
    if field.id == "gpus" and value.startswith("gpu:") and value[4:].isdigit():
        return value[4:]
    if field.id == "command":
        lines = value.strip().splitlines()
        return f"({len(lines)} lines: e edits)" if len(lines) > 1 else value.strip()
    return value


def set_field(job: BatchScript, field: Field, text: str) -> BatchScript:
    """The job with what was typed: a bare number of GPUs or of a job gets its prefix."""
    text = text.strip() if field.id != "command" else text
    if field.id == "gpus" and text.isdigit():
        text = f"gpu:{int(text)}" if int(text) else ""
    if field.id == "after" and text and text.replace(",", "").replace("_", "").isdigit():
        text = "afterok:" + text.replace(",", ":")
    return job.with_fields(**{field.attribute: text})


def notes(store: Store, job: BatchScript) -> dict[str, str]:
    """What is there now and what the partition allows, field by field."""
    partitions: list[Partition] = store.value("slurm.partitions") or []
    nodes: list[Node] = store.value("slurm.nodes") or []
    chosen = _partition(partitions, job.partitions)
    said: dict[str, str] = {}
    if chosen is None:
        said["partition"] = " ".join(p.name for p in partitions)
        return said
    own = [n for n in nodes if n.name in chosen.nodes]
    states = [(n.slurm_state or "").lower() for n in own]
    counts = {
        word: sum(s.startswith(word) for s in states) for word in ("idle", "mixed", "alloc", "down")
    }
    said["partition"] = (
        " ".join(f"{w} {n}" for w, n in counts.items() if n)
        if job.partitions
        else f"default {chosen.name}"
    )
    gpus = [n for n in own if n.gpus]
    if gpus:
        free = sum((n.gpus or 0) - (n.gpus_alloc or 0) for n in gpus)
        said["gpus"] = f"{free} of {sum(n.gpus or 0 for n in gpus)} free"
    elif own:
        said["gpus"] = "none there"
    if cpus := max((n.cpus_total or 0 for n in own), default=0):
        said["cpus"] = f"of {cpus}"
    if memory := max((n.memory_total_mib or 0 for n in own), default=0):
        said["memory"] = f"of {mib(memory)}"
    if chosen.max_time is not None:
        said["time"] = f"max {_span(chosen.max_time)}"
    return said


def _span(minutes: int) -> str:
    """`2 d`, `12 h`, `90 min`: what fits beside a field."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0 and minutes >= size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


def _partition(partitions: list[Partition], name: str) -> Partition | None:
    if name:
        first = name.split(",")[0]
        return next((p for p in partitions if p.name == first), None)
    return next((p for p in partitions if p.is_default), None)


def problems(store: Store, job: BatchScript) -> list[str]:
    """One sentence for each thing that is wrong, before anything is sent."""
    try:
        job.script()
    except ScriptError as error:
        return [f"{error.field}: {error.message}"]
    partitions: list[Partition] = store.value("slurm.partitions") or []
    nodes: list[Node] = store.value("slurm.nodes") or []
    return check_limits(job, partitions, nodes)
