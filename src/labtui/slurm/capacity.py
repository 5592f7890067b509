"""What the nodes of a partition could give one job, however empty they are. Pure.

Slurm hides nodes that are off in the cloud, and nodes of others: where not all of a partition's
are known, only its own figures count.
"""

from __future__ import annotations

from collections.abc import Sequence

from labtui.model import Node
from labtui.slurm.asked import Asked
from labtui.slurm.never import No, amount, counted, gres_there, lacks
from labtui.slurm.types import Partition
from labtui.slurm.usage import Context
from labtui.text import inert, mib


class Capacity:
    """One partition for one job. All texts are inert, and name the field."""

    def __init__(self, wants: Asked, partition: Partition, context: Context) -> None:
        names = set(partition.nodes)
        own = [n for n in context.nodes if n.name in names]
        self._wants, self._partition, self._context = wants, partition, context
        self._name = inert(partition.name, 40)
        self._nodes: list[Node] = own if len(own) == len(names) else []
        self._lacking = {n.name: lacks(wants, n, context) for n in self._nodes}
        self._able = [n for n in self._nodes if not self._lacking[n.name]]

    def never(self) -> list[str]:
        return (self._by_node() if self._nodes else []) or self._in_all()

    def waits(self, each: int) -> list[str]:
        """So many GPUs on one node: there are, but others hold them."""
        if not each or not self._able:
            return []
        free = max((n.gpus or 0) - (n.gpus_alloc or 0) for n in self._able)
        return [f"gpus: {each} wanted, {free} free now: it would wait"] if free < each else []

    def _by_node(self) -> list[str]:
        there = {n.name for n in self._context.nodes}
        for name in self._wants.only:
            if name not in self._lacking and name in there:
                return [f"nodelist: {inert(name, 40)} is not in {self._name}"]
            if found := self._lacking.get(name):
                return [f"nodelist: {inert(name, 40)}: {found[0].of_it}"]
        able, low = len(self._able), self._wants.nodes
        if not able:
            return self._nobody()
        return (
            [f"nodes: {low} wanted, {able} of {self._name} could take part"] if able < low else []
        )

    def _nobody(self) -> list[str]:
        """What all nodes lack, one and the same; else what the nearest does."""
        every = list(self._lacking.values())
        near = min(self._nodes, key=lambda n: len(self._lacking[n.name]))
        found = []
        for one in self._lacking[near.name]:
            alike = [no for nos in every for no in nos if no.alike(one)]
            if len(alike) == len(every):
                found.append(self._largest(one, max(no.most for no in alike)))
        if found:
            return found
        told = "; ".join(no.of_it for no in self._lacking[near.name])
        return [f"partition: no node of {self._name} can run it: {inert(near.name, 40)}: {told}"]

    def _largest(self, one: No, most: int) -> str:
        if one.field == "exclude":
            return f"exclude: no node of {self._name} is left"
        if not one.count:
            return f"{one.field}: every node of {self._name} {one.says}"
        unit = ""
        if one.gres is not None:
            name, kind = one.gres
            if not most:
                return f"gpus: {self._name} has {self._none_of(name, kind)}"
            unit = "" if name == "gpu" else " " + amount(name, kind, 2).partition(" ")[2]
        most_words = mib(most) if one.field == "memory" else str(most)
        wanted = f"{one.count}{unit} wanted on one node"
        return f"{one.field}: {wanted}, the largest in {self._name} has {most_words}"

    def _none_of(self, name: str, kind: str | None) -> str:
        entries = [e for n in self._nodes for e in counted(n.gres or "") or () if e[0] == name]
        if not entries:
            other = "; choose a partition with GPUs"
            return f"none{other}" if name == "gpu" else f"no {amount(name, None, 2)[2:]}"
        types = ", ".join(inert(k, 30) for k in sorted({k for _, k, _ in entries if k}))
        return f"no {inert(kind, 30)}; those in {self._name} are {types}"

    def _in_all(self) -> list[str]:
        """What all of its nodes together have too little of."""
        found = []
        wants, partition = self._wants, self._partition
        cap = partition.max_cpus_per_node
        cpus = [None if n.cpus_total is None else min(n.cpus_total, cap or n.cpus_total)
                for n in self._able]  # fmt: skip
        there = [partition.total_cpus or None, self._together(cpus)]
        if cap and partition.total_nodes:
            there.append(cap * partition.total_nodes)
        most = min((n for n in there if n is not None), default=wants.total_cpus)
        if wants.total_cpus > most:
            found.append(f"cpus: {wants.total_cpus} wanted in all, {self._have(most)}")
        for name, kind, count in wants.total_gres:
            have = self._together([gres_there(n, name, kind) for n in self._able])
            if have is not None and count > have:
                what = "" if name == "gpu" and not kind else " " + amount(name, kind, 2)[2:]
                found.append(f"gpus: {count}{what} wanted in all, {self._have(have)}")
        return found

    def _together(self, counts: Sequence[int | None]) -> int | None:
        """What as many nodes as it may take have, those with most of it; None: not known."""
        known = sorted((n for n in counts if n is not None), reverse=True)
        return (
            sum(known[: self._wants.most_nodes]) if counts and len(known) == len(counts) else None
        )

    def _have(self, most: int) -> str:
        count = self._wants.most_nodes
        some = count is not None and count < len(self._able)
        return f"{count} of {self._name} have {most}" if some else f"{self._name} has {most}"
