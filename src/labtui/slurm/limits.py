"""What Slurm would accept and never run: checked against the cluster as it is, before sending.

Slurm takes jobs that no node can ever run (EnforcePartLimits=NO is its default) and leaves them
pending; so this says it first. What is not known about a cluster is not claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labtui.model import Job, Node
from labtui.slurm import values
from labtui.slurm.script import BatchScript
from labtui.slurm.types import Association, Limits, Partition, Qos
from labtui.text import clock, inert, mib


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the checks rest on. Empty: not known (yet), or not kept by this Slurm."""

    partitions: Sequence[Partition] = ()
    nodes: Sequence[Node] = ()
    jobs: Sequence[Job] = ()
    qos: Sequence[Qos] = ()
    associations: Sequence[Association] = ()
    reservations: Sequence[Any] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """slurm.conf: limits hold only as its AccountingStorageEnforce says."""
    user: str = ""
    """Who submits."""

    def partition(self, names: str) -> Partition | None:
        """The first of these that there is; the default one without a name."""
        if names:
            wanted = names.split(",")
            return next((p for n in wanted for p in self.partitions if p.name == n), None)
        return next((p for p in self.partitions if p.is_default), None)

    def enforces(self, word: str) -> bool:
        """`associations`, `limits`, `qos`: each of the latter two implies the first."""
        said = self.settings.get("AccountingStorageEnforce", "").lower().split(",")
        return word in said or (word == "associations" and bool({"limits", "qos"} & set(said)))

    def places(self) -> list[Association]:
        """The accounts that the user may charge."""
        return [a for a in self.associations if a.user == self.user and a.user]


def check_limits(asked: BatchScript, cluster: Cluster) -> list[str]:
    """One sentence for each thing that cannot be had, naming the field. Empty: nothing found.

    Without partitions (Slurm has not answered yet) nothing can be said.
    """
    if not cluster.partitions:
        return []
    by_name = {p.name: p for p in cluster.partitions}
    wanted = [name for name in asked.get("partition").split(",") if name]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        return [_no_such("partition", unknown[0], by_name)]
    chosen = [by_name[name] for name in wanted] or [p for p in cluster.partitions if p.is_default]
    if not chosen:
        return ["partition: this cluster has no default one; choose one"]
    best: list[str] | None = None
    for partition in chosen:  # of several partitions one that fits is enough
        own = [n for n in cluster.nodes if n.name in partition.nodes]
        found = _against(asked, partition, own) + _against_rules(asked, partition)
        best = found if best is None or len(found) < len(best) else best
    return (best or []) + _against_names(asked, cluster) + _against_accounting(asked, cluster)


def _no_such(what: str, name: str, there: Iterable[str]) -> str:
    names = ", ".join(inert(one, 40) for one in there)
    return f"{what}: there is no {inert(name, 40)}; choose from {names}"


def _against(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    found: list[str] = []
    if partition.state != "UP":
        found.append(f"partition: {name} is {partition.state.lower()}; the job would wait")
    time = asked.get("time")
    limit = values.minutes(time)
    if limit is not None and partition.max_time is not None and limit > partition.max_time:
        most = clock(partition.max_time * 60)
        found.append(f"time: {name} allows at most {most}; ask for less")
    if time.upper() in ("UNLIMITED", "INFINITE") and partition.max_time is not None:
        found.append(f"time: {name} allows at most {clock(partition.max_time * 60)}")
    low = wanted_nodes(asked)
    if low > (partition.total_nodes or low):
        found.append(f"nodes: {low} wanted, {name} has {partition.total_nodes}")
    elif low > (partition.max_nodes or low):
        found.append(f"nodes: {low} wanted, {name} allows at most {partition.max_nodes}")
    return found + _against_nodes(asked, partition, nodes)


def _against_nodes(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    found: list[str] = []
    cpus = _cpus_on_a_node(asked)
    memory = _memory_on_a_node(asked, cpus)
    if (most := partition.max_cpus_per_node) is not None and cpus > most:
        found.append(f"cpus: {cpus} wanted on one node, {name} allows at most {most}")
    if (most := partition.max_memory_per_node) and memory is not None and memory > most:
        found.append(f"memory: {mib(memory)} wanted on one node, {name} allows at most {mib(most)}")
    if not nodes:
        return found
    most = max((n.cpus_total or 0 for n in nodes), default=0)
    if most and cpus > most:
        found.append(f"cpus: {cpus} wanted on one node, the largest in {name} has {most}")
    room = max((n.memory_total_mib or 0 for n in nodes), default=0)
    if memory is not None and room and memory > room:
        found.append(
            f"memory: {mib(memory)} wanted on one node, the largest in {name} has {mib(room)}"
        )
    return found + _against_gpus(asked, partition, nodes)


def _against_gpus(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    gpus = wanted_gpus(asked)
    cards = max((n.gpus or 0 for n in nodes), default=0)
    there = sum(n.gpus or 0 for n in nodes)
    if not gpus:
        return []
    if not cards:
        return [f"gpus: {name} has none; choose a partition with GPUs"]
    for kind in _gpu_types(asked):
        types = [k.removeprefix("gres/gpu:") for k in partition.tres if k.startswith("gres/gpu:")]
        if partition.tres and kind not in types:
            known = f"those in {name} are {', '.join(types)}" if types else "leave the type out"
            return [f"gpus: {name} has no {inert(kind, 30)}; {known}"]
    if asked.get("gpus"):  # wherever they are
        return [f"gpus: {gpus} wanted in all, {name} has {there}"] if gpus > there else []
    if gpus > cards:
        return [f"gpus: {gpus} wanted on one node, the largest in {name} has {cards}"]
    free = max((n.gpus or 0) - (n.gpus_alloc or 0) for n in nodes)
    return [f"gpus: {gpus} wanted, {free} free now: it would wait"] if free < gpus else []


def _against_rules(asked: BatchScript, partition: Partition) -> list[str]:
    """Who may use a partition."""
    found = []
    name = inert(partition.name, 40)
    for what, allowed, denied in (
        ("account", partition.allowed_accounts, partition.denied_accounts),
        ("qos", partition.allowed_qos, partition.denied_qos),
    ):
        given = asked.get(what)
        if given and allowed and given not in allowed:
            found.append(f"{what}: {name} takes only {', '.join(map(inert, allowed))}")
        elif given and given in denied:
            found.append(f"{what}: {name} does not take {inert(given, 40)}")
    return found


def _against_names(asked: BatchScript, cluster: Cluster) -> list[str]:
    """Machines and reservations that there are not."""
    found = []
    names = {n.name for n in cluster.nodes}
    for option in ("nodelist", "exclude"):
        unknown = [n for n in values.nodes(asked.get(option)) if n not in names]
        if names and unknown and "/" not in asked.get(option):
            found.append(f"{option}: there is no machine {inert(unknown[0], 40)}")
    reservation = asked.get("reservation")
    known = [str(getattr(one, "name", "")) for one in cluster.reservations]
    if known and reservation and any(r not in known for r in reservation.split(",")):
        found.append(_no_such("reservation", reservation, known))
    most = values.whole(cluster.settings.get("MaxArraySize", ""))
    top = max((int(n) for n in _numbers(asked.get("array"))), default=0)
    if most is not None and top >= most:
        found.append(f"array: an index may be at most {most - 1} here (MaxArraySize)")
    return found


def _numbers(array: str) -> list[str]:
    tasks = array.partition("%")[0].replace("-", ",").split(",")
    return [t for part in tasks if (t := part.partition(":")[0]).isascii() and t.isdigit()]


# QoS and accounts


def _against_accounting(asked: BatchScript, cluster: Cluster) -> list[str]:
    """What the accounting would refuse or hold back; nothing is claimed where it is not kept."""
    found: list[str] = []
    places = cluster.places()
    account, qos_name = asked.get("account"), asked.get("qos")
    if account and places and cluster.enforces("associations"):
        own = sorted({p.account for p in places})
        if account not in own:
            found.append(_no_such("account of yours", account, own))
    at = [p for p in places if not account or p.account == account]
    if not qos_name and len(at) == 1:
        qos_name = at[0].default_qos or ""
    by_name = {q.name: q for q in cluster.qos}
    if qos_name and by_name and qos_name not in by_name:
        return [*found, _no_such("qos", qos_name, by_name)]
    if asked.get("qos") and at and cluster.enforces("qos"):
        allowed = sorted({name for place in at for name in place.qos})
        if allowed and qos_name not in allowed:
            return [*found, f"qos: you may not use {qos_name}; choose from {', '.join(allowed)}"]
    if not cluster.enforces("limits"):
        return found
    if qos := by_name.get(qos_name):
        found += _against_limits(asked, cluster, qos, f"qos {inert(qos.name, 40)}")
        found += _held(asked, cluster, qos)
    for place in at if len(at) == 1 else ():
        found += _against_limits(asked, cluster, place, f"account {inert(place.account, 40)}")
    return found


def _against_limits(asked: BatchScript, cluster: Cluster, limits: Limits, who: str) -> list[str]:
    """What one job may ask at most."""
    wanted = wanted_tres(asked)
    minutes = values.minutes(asked.get("time"))
    found = []
    if limits.max_wall is not None and minutes is not None and minutes > limits.max_wall:
        found.append(f"time: {who} allows at most {clock(limits.max_wall * 60)}; ask for less")
    for name, most in limits.max_tres_per_job.items():
        if wanted.get(name, 0) > most:
            amount, limit = _amount(name, wanted[name]), _amount(name, most)
            found.append(f"{_field(name)}: {amount} wanted, {who} allows {limit} for one job")
    for name, most in limits.grp_tres.items():
        if wanted.get(name, 0) > most:
            amount, limit = _amount(name, wanted[name]), _amount(name, most)
            found.append(f"{_field(name)}: {amount} wanted, {who} has {limit} for all its jobs")
    return found


def _held(asked: BatchScript, cluster: Cluster, qos: Qos) -> list[str]:
    """What a user may hold at once, less what the user holds now."""
    if not qos.max_tres_per_user and qos.max_jobs_per_user is None:
        return []
    wanted = wanted_tres(asked)
    mine = [
        job
        for job in cluster.jobs
        if job.user == cluster.user and job.qos == qos.name and job.state == "RUNNING"
    ]
    found = []
    for name, most in qos.max_tres_per_user.items():
        amount = wanted.get(name, 0)
        if not amount or name not in ("cpu", "mem", "gres/gpu", "node"):
            continue
        has = sum(_has(job, name) for job in mine)
        word = _amount(name, most)
        if amount > most:
            found.append(f"{_field(name)}: {_amount(name, amount)} wanted, qos {qos.name} lets"
                         f" you hold {word}; it would never start")  # fmt: skip
        elif has + amount > most:
            found.append(f"{_field(name)}: you hold {_amount(name, has)} of {word} that qos"
                         f" {qos.name} lets you have; it would wait for your own jobs")  # fmt: skip
    if qos.max_jobs_per_user is not None and len(mine) >= qos.max_jobs_per_user:
        found.append(f"qos: {qos.name} lets you run {qos.max_jobs_per_user} jobs at once, and you"
                     " do; it would wait")  # fmt: skip
    return found


def _has(job: Job, name: str) -> int:
    if name == "gres/gpu":
        return values.count_gpus(job.gres or "") or 0
    return {"cpu": job.cpus, "mem": job.memory_mib, "node": len(job.nodes)}[name] or 0


def _field(tres: str) -> str:
    words = {"cpu": "cpus", "mem": "memory", "node": "nodes", "gres/gpu": "gpus"}
    return words.get(tres, inert(tres, 40))


def _amount(tres: str, amount: int) -> str:
    return mib(amount) if tres == "mem" else str(amount)


# What a script asks for


def wanted_nodes(asked: BatchScript) -> int:
    """At least so many machines."""
    return values.whole(asked.get("nodes").partition("-")[0].partition(":")[0]) or 1


def wanted_gpus(asked: BatchScript) -> int:
    """GPUs on one node; with `--gpus` in all. `gpu:2`, `gpu:jetson:1`."""
    total = [part.rpartition(":")[2] for part in asked.get("gpus").split(",")]
    if asked.get("gpus"):
        return sum(values.whole(one) or 0 for one in total)
    each = [part.rpartition(":")[2] for part in asked.get("gpus-per-node").split(",")]
    return (values.count_gpus(asked.get("gres")) or 0) + sum(values.whole(one) or 0 for one in each)


def _gpu_types(asked: BatchScript) -> list[str]:
    typed = [kind for name, kind, _, _ in values.gres(asked.get("gres")) if name == "gpu" and kind]
    for option in ("gpus", "gpus-per-node"):
        typed += [p.partition(":")[0] for p in asked.get(option).split(",") if ":" in p]
    return typed


def _tasks_on_a_node(asked: BatchScript) -> int:
    each = values.whole(asked.get("ntasks-per-node"))
    if each is not None:
        return each
    tasks = values.whole(asked.get("ntasks")) or 1
    return -(-tasks // wanted_nodes(asked)) if asked.get("nodes") else 1


def _cpus_on_a_node(asked: BatchScript) -> int:
    return (values.whole(asked.get("cpus-per-task")) or 1) * _tasks_on_a_node(asked)


def _memory_on_a_node(asked: BatchScript, cpus: int) -> int | None:
    """MiB; None where it is not said, or all of it is asked for (`--mem=0`)."""
    if asked.get("mem"):
        return values.mib(asked.get("mem")) or None
    each = values.mib(asked.get("mem-per-cpu"))
    return each * cpus if each else None


def wanted_tres(asked: BatchScript) -> dict[str, int]:
    """The whole job's wants by Slurm's names; `mem` in MiB. What is not said is not in it."""
    nodes = wanted_nodes(asked)
    tasks = values.whole(asked.get("ntasks")) or _tasks_on_a_node(asked) * nodes
    cpus = (values.whole(asked.get("cpus-per-task")) or 1) * tasks
    found = {"node": nodes, "cpu": cpus}
    if memory := _memory_on_a_node(asked, _cpus_on_a_node(asked)):
        found["mem"] = memory * nodes
    if gpus := wanted_gpus(asked):
        found["gres/gpu"] = gpus if asked.get("gpus") else gpus * nodes
    return found
