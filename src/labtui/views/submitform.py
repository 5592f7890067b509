"""The submission form: which fields are in sight, what is said beside each, what is wrong."""

from __future__ import annotations

from labtui.slurm.form import FIELDS, Field, is_set, word_of
from labtui.slurm.limits import check_limits, default_partition, places
from labtui.slurm.options import OPTIONS
from labtui.slurm.script import BatchScript, ScriptError, counts_pbs
from labtui.slurm.types import Partition
from labtui.slurm.usage import Context
from labtui.store import Store
from labtui.text import inert, mib

FEEDS = ("slurm.partitions", "slurm.nodes", "slurm.jobs", "slurm.qos", "slurm.associations",
         "slurm.reservations", "slurm.settings", "slurm.me")  # fmt: skip
"""What the form reads; the accounting's are there where Slurm keeps any."""


def shown(job: BatchScript, opened: bool, added: tuple[str, ...] = ()) -> list[Field]:
    """The fields in sight: always those of the first tier, the common ones when opened, and
    whatever is in use or was asked for by name."""
    return [
        f
        for f in FIELDS
        if f.tier == "always" or (opened and f.tier == "common") or is_set(job, f) or f.id in added
    ]


def context_of(store: Store) -> Context:
    """What is known of the cluster now, and who submits."""
    return Context.of(store, me=store.value("slurm.me") or "")


def choices(known: Context, field: Field) -> list[str]:
    """What a field can be completed with: what this cluster has, then what sbatch knows."""
    there: dict[str, list[str]] = {
        "partition": [p.name for p in known.partitions],
        "qos": [q.name for q in known.qos],
        "account": sorted({a.account for a in places(known) or known.associations}),
        "nodelist": [n.name for n in known.nodes],
        "exclude": [n.name for n in known.nodes],
        "reservation": [r.name for r in known.reservations],
    }
    if field.id == "command":
        return []
    option = OPTIONS[field.option]
    words = list(option.choices) + ([] if option.takes == "text" else ["yes", "no"])
    return [inert(word, 60) for word in there.get(field.id, [])] + words


def notes(known: Context, job: BatchScript) -> dict[str, str]:
    """What is there now and what the partition allows, by the field's name."""
    chosen = default_partition(known, job.get("partition"))
    said: dict[str, str] = {}
    if known.qos:
        said["qos"] = " ".join(q.name for q in known.qos)
    if mine := places(known):
        said["account"] = " ".join(sorted({p.account for p in mine}))
    if chosen is None:
        said["partition"] = " ".join(p.name for p in known.partitions)
        return said
    own = [n for n in known.nodes if n.name in chosen.nodes]
    states = [(n.slurm_state or "").lower() for n in own]
    counts = {
        word: sum(s.startswith(word) for s in states) for word in ("idle", "mixed", "alloc", "down")
    }
    said["partition"] = (
        " ".join(f"{w} {n}" for w, n in counts.items() if n)
        if job.get("partition")
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
    if chosen.total_nodes is not None:
        said["nodes"] = f"of {chosen.total_nodes}"
    said |= _times(chosen)
    return said


def _times(partition: Partition) -> dict[str, str]:
    if partition.max_time is not None:
        return {"time": f"max {_span(partition.max_time)}"}
    return {}


def _span(minutes: int) -> str:
    """`2 d`, `12 h`, `90 min`: what fits beside a field."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0 and minutes >= size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


def problems(known: Context, job: BatchScript) -> list[str]:
    """One sentence for each thing that is wrong, before anything is sent."""
    try:
        job.script()
    except ScriptError as error:
        return [f"{word_of(error.field)}: {error.message}"]
    found = check_limits(job, known)
    if counts_pbs(job):
        found.append("command: sbatch obeys its #PBS lines too; set ignore-pbs, or take them out")
    return found
