"""What Slurm would accept and never run: checked against the cluster as it is, before sending.

Slurm takes jobs that no node can ever run (EnforcePartLimits=NO is its default) and leaves them
pending; so this says it first. What is not known about a cluster is not claimed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from labtui.model import Job, Node
from labtui.slurm import values
from labtui.slurm.script import BatchScript
from labtui.slurm.types import Association, Limits, Partition, Qos
from labtui.slurm.urgency import FINISHED
from labtui.slurm.usage import Bound, Context, freed, total
from labtui.text import clock, inert, mib


def default_partition(context: Context, names: str) -> Partition | None:
    """The first of these that there is; the default one without a name."""
    if names:
        wanted = names.split(",")
        return next((p for n in wanted for p in context.partitions if p.name == n), None)
    return next((p for p in context.partitions if p.is_default), None)


def enforces(context: Context, word: str) -> bool:
    """`associations`, `limits`, `qos`: each of the latter two implies the first."""
    said = context.settings.get("AccountingStorageEnforce", "").lower().split(",")
    return word in said or (word == "associations" and bool({"limits", "qos"} & set(said)))


def places(context: Context) -> list[Association]:
    """The accounts that the user may charge here."""
    here = context.settings.get("ClusterName")
    mine = [a for a in context.associations if a.user == context.me and a.user]
    return [a for a in mine if here in (None, a.cluster)]


def check_limits(asked: BatchScript, context: Context) -> list[str]:
    """One sentence for each thing that cannot be had, naming the field. Empty: nothing found.

    Without partitions (Slurm has not answered yet) nothing can be said.
    """
    if not context.partitions:
        return []
    by_name = {p.name: p for p in context.partitions}
    wanted = [name for name in asked.get("partition").split(",") if name]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        return [_no_such("partition", unknown[0], by_name)]
    chosen = [by_name[name] for name in wanted] or [p for p in context.partitions if p.is_default]
    if not chosen:
        return ["partition: this cluster has no default one; choose one"]
    best: list[str] | None = None
    for partition in chosen:  # of several partitions one that fits is enough
        own = [n for n in context.nodes if n.name in partition.nodes]
        found = _against(asked, partition, own) + _against_rules(asked, partition)
        best = found if best is None or len(found) < len(best) else best
    found = _against_names(asked, context) + _against_dependency(asked, context)
    return (best or []) + found + _against_accounting(asked, context)


def _no_such(what: str, name: str, there: Iterable[str]) -> str:
    names = ", ".join(inert(one, 40) for one in there)
    return f"{what}: there is no {inert(name, 40)}; choose from {names}"


def _against(asked: BatchScript, partition: Partition, nodes: list[Node]) -> list[str]:
    name = inert(partition.name, 40)
    found: list[str] = []
    if partition.state != "UP":
        found.append(f"partition: {name} is {partition.state.lower()}; the job would wait")
    said = asked.get("time")
    limit = values.minutes(said)
    if limit is not None and partition.max_time is not None and limit > partition.max_time:
        most = clock(partition.max_time * 60)
        found.append(f"time: {name} allows at most {most}; ask for less")
    if said.upper() in ("UNLIMITED", "INFINITE") and partition.max_time is not None:
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


def _against_names(asked: BatchScript, context: Context) -> list[str]:
    """Machines and reservations that there are not."""
    found = []
    names = {n.name for n in context.nodes}
    for option in ("nodelist", "exclude"):
        unknown = [n for n in values.nodes(asked.get(option)) if n not in names]
        if names and unknown and "/" not in asked.get(option):
            found.append(f"{option}: there is no machine {inert(unknown[0], 40)}")
    reservation = asked.get("reservation")
    known = [one.name for one in context.reservations]
    if known and reservation and any(r not in known for r in reservation.split(",")):
        found.append(_no_such("reservation", reservation, known))
    most = values.whole(context.settings.get("MaxArraySize", ""))
    top = max((int(n) for n in _numbers(asked.get("array"))), default=0)
    if most is not None and top >= most:
        found.append(f"array: an index may be at most {most - 1} here (MaxArraySize)")
    return found


def _against_dependency(asked: BatchScript, context: Context) -> list[str]:
    """What could never become true."""
    found = []
    for part in asked.get("dependency").split(","):
        kind, _, ids = part.partition(":")
        for job_id in ids.split(":") if kind in ("afterok", "afternotok") else ():
            states = {job.state for job in context.find(job_id.partition("+")[0])}
            over = states and states <= FINISHED
            if over and kind == "afterok" and states != {"COMPLETED"}:
                said = ", ".join(sorted(states)).lower()
                found.append(f"after: {job_id} is over ({said}), not ok; write {job_id} any")
            elif over and kind == "afternotok" and states == {"COMPLETED"}:
                found.append(f"after: {job_id} ended well, so this would never start")
    return found


def _numbers(array: str) -> list[str]:
    tasks = array.partition("%")[0].replace("-", ",").split(",")
    return [t for part in tasks if (t := part.partition(":")[0]).isascii() and t.isdigit()]


# QoS and accounts


def _against_accounting(asked: BatchScript, context: Context) -> list[str]:
    """What the accounting would refuse or hold back; nothing is claimed where it is not kept."""
    found: list[str] = []
    mine = places(context)
    account, qos_name = asked.get("account"), asked.get("qos")
    if account and mine and enforces(context, "associations"):
        own = sorted({p.account for p in mine})
        if account not in own:
            known = ", ".join(inert(one, 40) for one in own)
            found.append(f"account: you may not charge {inert(account, 40)}; choose from {known}")
    at = [p for p in mine if not account or p.account == account]
    if not qos_name and len(at) == 1:
        qos_name = at[0].default_qos or ""
    by_name = {q.name: q for q in context.qos}
    if qos_name and by_name and qos_name not in by_name:
        return [*found, _no_such("qos", qos_name, by_name)]
    if asked.get("qos") and at and enforces(context, "qos"):
        allowed = sorted({name for place in at for name in place.qos})
        if allowed and qos_name not in allowed:
            return [*found, f"qos: you may not use {qos_name}; choose from {', '.join(allowed)}"]
    if not enforces(context, "limits"):
        return found
    if qos := by_name.get(qos_name):
        found += _against_limits(asked, qos, f"qos {inert(qos.name, 40)}")
        found += _held(asked, context, qos, [j for j in context.holding if j.qos == qos.name])
    partition = default_partition(context, asked.get("partition"))
    if partition and (qos := by_name.get(partition.qos or "")) and qos.name != qos_name:
        there = [p.name for p in context.partitions if p.qos == qos.name]
        found += _against_limits(asked, qos, f"partition {inert(partition.name, 40)}")
        found += _held(asked, context, qos, [j for j in context.holding if j.partition in there])
    for place in at if len(at) == 1 else ():
        found += _against_limits(asked, place, f"account {inert(place.account, 40)}")
    return found


def _against_limits(asked: BatchScript, limits: Limits, who: str) -> list[str]:
    """What one job may ask at most."""
    wanted = wanted_tres(asked)
    minutes = values.minutes(asked.get("time"))
    found = []
    if limits.max_wall is not None and minutes is not None and minutes > limits.max_wall:
        found.append(f"time: {who} allows at most {clock(limits.max_wall * 60)}; ask for less")
    for name, most in limits.max_tres_per_job.items():
        if wanted.get(name, 0) > most:
            amount, limit = want_words(name, wanted[name]), want_words(name, most)
            found.append(f"{_field(name)}: {amount} wanted, {who} allows {limit} for one job")
    for name, most in limits.grp_tres.items():
        if wanted.get(name, 0) > most:
            amount, limit = want_words(name, wanted[name]), want_words(name, most)
            found.append(f"{_field(name)}: {amount} wanted, {who} has {limit} for all its jobs")
    return found


def _held(asked: BatchScript, context: Context, qos: Qos, jobs: Sequence[Job]) -> list[str]:
    """What a user may hold at once, less what the user holds now."""
    if not qos.max_tres_per_user and qos.max_jobs_per_user is None:
        return []
    wanted = wanted_tres(asked)
    mine = [job for job in jobs if job.user == context.me]
    found = []
    name = inert(qos.name, 40)
    for tres, most in qos.max_tres_per_user.items():
        want, held = wanted.get(tres, 0), total(mine, tres)
        if want > most:
            found.append(
                f"{_field(tres)}: {want_words(tres, want)} wanted, qos {name} lets you hold"
                f" {want_words(tres, most)}; it would never start"
            )
        elif want and held is not None and held + want > most:
            bound = Bound(name, "user", tres, most, tuple(mine))
            found.append(
                f"{_field(tres)}: you hold {want_words(tres, held)} of {want_words(tres, most)}"
                f" that qos {name} lets you have; it would wait"
                f"{_until(bound, held + want - most, context)}"
            )
    if qos.max_jobs_per_user is not None and len(mine) >= qos.max_jobs_per_user:
        bound = Bound(name, "user", "jobs", qos.max_jobs_per_user, tuple(mine))
        over = len(mine) + 1 - qos.max_jobs_per_user
        found.append(
            f"qos: {name} lets you run {qos.max_jobs_per_user} jobs at once, and you do;"
            f" it would wait{_until(bound, over, context)}"
        )
    return found


def _until(bound: Bound, over: int, context: Context) -> str:
    at, _jobs = freed(bound, over, context.now)
    return f" until {time.strftime('%H:%M', time.localtime(at))} at the latest" if at else ""


def _field(tres: str) -> str:
    words = {"cpu": "cpus", "mem": "memory", "node": "nodes", "gres/gpu": "gpus"}
    return words.get(tres, inert(tres, 40))


def want_words(tres: str, count: int) -> str:
    return mib(count) if tres == "mem" else str(count)


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
