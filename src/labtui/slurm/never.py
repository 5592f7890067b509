"""What can never be: what a node lacks however empty it is, whom and what a partition shuts out.

The rules are slurmctld's own, on submission and before each start. What is not known decides
nothing: a node that Slurm hides, a resource whose types are not listed, features that a plug-in
can switch on. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from labtui.model import Node
from labtui.slurm import values
from labtui.slurm.asked import Asked, has_features
from labtui.slurm.types import Association, Partition
from labtui.slurm.usage import Context, here
from labtui.text import clock, inert, mib

_WORDS = {"gpu": ("GPU", "GPUs"), "shard": ("GPU shard", "GPU shards")}


class Charge(msgspec.Struct, frozen=True):
    """Who submits, and what it is charged to. None: not known."""

    user: str | None = None
    account: str | None = None
    qos: str | None = None
    place: Association | None = None
    """The user's own in that account, where there is one."""


class No(msgspec.Struct, frozen=True):
    """One reason. All texts are inert."""

    field: str
    """What the form calls the field that asks for it."""
    says: str
    """`allows at most 8 on one node`, of a partition; `has 12`, of a node."""
    count: str = ""
    """`9`, `48.0G`: what is wanted; empty where nothing is counted."""
    unit: str = ""
    most: int = 0
    """How much of it a node has."""
    gres: tuple[str, str | None] | None = None
    """Name and type, where it is a generic resource."""

    @property
    def of_it(self) -> str:
        """`9 CPUs wanted, it has 8`, `lacks the feature ib`."""
        wanted = f"{self.count} {self.unit}".rstrip()
        return f"{wanted} wanted, it {self.says}" if wanted else self.says

    @property
    def of_partition(self) -> str:
        """`9 CPUs wanted, it allows at most 8 on one node`, `it takes no jobs of root`."""
        return self.of_it if self.count else f"it {self.says}"

    def in_field(self, who: str) -> str:
        """`cpus: 9 wanted, cpu allows at most 8 on one node`."""
        wanted = f"{self.count} wanted, " if self.count else ""
        return f"{self.field}: {wanted}{who} {self.says}"

    def alike(self, other: No) -> bool:
        return (self.field, self.gres) == (other.field, other.gres)


# -- partitions ----------------------------------------------------------------------------


def shut(wants: Asked, charge: Charge, partition: Partition, context: Context) -> list[No]:
    """What of a partition's own rules keeps a job out."""
    found: list[No] = []
    limit, most = wants.time_limit_s, partition.max_time
    longer = most is not None and (wants.endless or (limit or 0) > most * 60)
    if longer and not _waived("PartitionTimeLimit", charge, context):
        asks = clock(limit) if limit is not None else "no time limit"
        found.append(No("time", f"allows at most {clock((most or 0) * 60)}", asks))
    for there, says in ((partition.total_nodes, "has"), (partition.max_nodes, "allows at most")):
        if not there or wants.nodes <= there:
            continue
        if says == "has" or not _waived("PartitionMaxNodes", charge, context):
            found.append(No("nodes", f"{says} {there}", str(wants.nodes), "nodes"))
            break
    if (most := partition.max_cpus_per_node) is not None and wants.cpus > most:
        says = f"allows at most {most} on one node"
        found.append(No("cpus", says, str(wants.cpus), "CPUs"))
    memory = wants.memory_mib
    if (most := partition.max_memory_per_node) and memory is not None and memory > most:
        says = f"allows at most {mib(most)} on one node"
        found.append(No("memory", says, mib(memory), "of memory"))
    if charge.user == "root" and not partition.allow_root_jobs:
        found.append(No("partition", "takes no jobs of root"))
    found += _account(charge, partition, context)
    allowed, denied, qos = partition.allowed_qos, partition.denied_qos, low(charge.qos)
    if qos and allowed and qos not in map(low, allowed):
        found.append(No("qos", f"takes only {_list(allowed)}, not QoS {inert(qos, 40)}"))
    elif qos and not allowed and qos in map(low, denied):
        found.append(No("qos", f"does not take QoS {inert(qos, 40)}"))
    return found


def _account(charge: Charge, partition: Partition, context: Context) -> list[No]:
    """The lists hold for the accounts below as well (since 23.02), and only where Slurm looks at
    associations; with a list of those allowed nobody asks for the other."""
    allowed, denied = partition.allowed_accounts, partition.denied_accounts
    if not charge.account or not enforces(context, "associations"):
        return []
    above, whole = _line(charge.account, context)
    name = inert(charge.account, 40)
    if allowed and whole and not above & set(map(low, allowed)):
        return [No("account", f"takes only {_list(allowed)}, not account {name}")]
    if not allowed and low(charge.account) in map(low, denied):
        return [No("account", f"does not take account {name}")]
    return []


def _line(account: str, context: Context) -> tuple[set[str], bool]:
    """An account and those above it; whether that is all of them."""
    parents = {low(a.account): a.parent for a in here(context) if a.user is None}
    found: set[str] = set()
    name: str | None = low(account)
    while name and name not in found:
        found.add(name)
        if name not in parents:
            return found, False
        name = low(parents[name])
    return found, not name


def enforces(context: Context, word: str) -> bool:
    """`associations`, `limits`, `qos`: each of the latter two implies the first."""
    said = context.settings.get("AccountingStorageEnforce", "").lower().split(",")
    return word in said or (word == "associations" and bool({"limits", "qos"} & set(said)))


def _waived(flag: str, charge: Charge, context: Context) -> bool:
    """Whether the QoS lifts a limit of the partition; also where it may, its name not known."""
    named = (q for q in context.qos if charge.qos is None or low(q.name) == low(charge.qos))
    return any(flag in q.flags for q in named)


def low(name: str | None) -> str:
    """Slurm keeps accounts and QoS in small letters."""
    return (name or "").lower()


def _list(names: Iterable[str]) -> str:
    return ", ".join(inert(name, 40) for name in names)


# -- nodes ---------------------------------------------------------------------------------


def lacks(wants: Asked, node: Node, context: Context) -> list[No]:
    """What one node can never give: of each of its nodes a job wants at least this."""
    found: list[No] = []
    enough = wants.nodes <= len(wants.only) and not wants.spreads
    if wants.only and enough and node.name not in wants.only:
        found.append(No("nodelist", "not among the nodes that it names"))
    if node.name in wants.without:
        found.append(No("exclude", "the job excludes it"))
    if wants.features is not None and _lacks_features(wants.features, node, context):
        found.append(No("constraint", f"lacks the feature {inert(wants.features, 60)}"))
    for name, kind, count in wants.gres:
        there = gres_there(node, name, kind)
        if there is not None and there < count:
            says = f"has {there}" if there else "has none"
            unit = amount(name, kind, count).partition(" ")[2]
            found.append(No("gpus", says, str(count), unit, there, (name, kind)))
    if node.cpus_total is not None and wants.cpus > node.cpus_total:
        says = f"has {node.cpus_total}"
        found.append(No("cpus", says, str(wants.cpus), "CPUs", node.cpus_total))
    memory, there = wants.memory_mib, node.memory_total_mib
    if memory is not None and there is not None and memory > there:
        found.append(No("memory", f"has {mib(there)}", mib(memory), "of memory", there))
    return found


def _lacks_features(wanted: str, node: Node, context: Context) -> bool:
    """Not where a plug-in could give a node the feature, by booting it anew, nor where it is not
    known whether there is one."""
    changing = not context.settings or "NodeFeaturesPlugins" in context.settings
    return has_features(node, wanted) is False and node.slurm_state is not None and not changing


_ENTRY = re.compile(r"([^:]+)((?::[^:]*)*?)(?::(\d{1,15})([KMGTP]?))?\Z", re.IGNORECASE)
_SUFFIX = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@lru_cache(maxsize=1024)
def counted(text: str) -> tuple[tuple[str, str | None, int], ...] | None:
    """(name, type, count) of `gpu:a100:2(S:0-1),bandwidth:lustre:no_consume:4G`: what a node has,
    or a job asks on each. None where it is of another form."""
    found = []
    for part in re.sub(r"\([^()]*\)", "", text).split(","):
        part = re.sub(r"\Agres[:/]", "", part.strip())
        match = _ENTRY.match(part.replace("=", ":"))
        if match is None and part:
            return None
        if match is None or part in values.NOTHING or part.lower() == "none":
            continue
        name, kinds, count, suffix = match.groups()
        kind = ":".join(k for k in kinds.split(":") if k and k.lower() != "no_consume")
        number = 1 if count is None else int(count) * 1024 ** _SUFFIX[suffix.upper()]
        found.append((name, kind or None, number))
    return tuple(found)


def gres_there(node: Node, name: str, kind: str | None) -> int | None:
    """How many of a resource a node has. None: not known, as where its types are not listed."""
    entries = counted(node.gres or "")
    if entries is None or (node.gres is None and node.slurm_state is None):
        return None
    mine = [(k, n) for g, k, n in entries if g.lower() == name.lower()]
    typed = sum(n for k, n in mine if kind is None or low(k) == low(kind))
    if kind is not None and any(k is None for k, _ in mine):
        return None
    return typed


def amount(name: str, kind: str | None, count: int) -> str:
    """`2 a100 GPUs`, `1 GPU shard`, `3 foo`."""
    one, many = _WORDS.get(name, (inert(name, 40), inert(name, 40)))
    sort = f"{inert(kind, 40)} " if kind else ""
    return f"{count} {sort}{one if count == 1 else many}"
