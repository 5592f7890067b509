"""Into how many slices Kubernetes cuts a machine's cards: the device plug-in's ConfigMap has an
entry for each way, and the node's label names the one it follows.

The number is what the plug-in calls replicas: slices a card. It means an entry that shares as the
one in use does; where there is none a new one is added, a copy with that number, so that its other
settings stay. To MPS and back nothing leads from here: it splits pods' memory, and has a daemon.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Unknown
from labtui.actions.earlier import described
from labtui.actions.pods import ask, document, kubectl_step
from labtui.model import Gpu, Holder, KubeGpus, KubeNode, Pod, SlicingConfig
from labtui.shares import room
from labtui.sources.kubernetes import Kubectl
from labtui.sources.slicing import recut, slicing
from labtui.text import inert

LABEL = "nvidia.com/device-plugin.config"
RESOURCES = ("nvidia.com/gpu", "nvidia.com/gpu.shared")
FOLLOWS = 90.0
"""Seconds that the plug-in may take: it is restarted, and a new entry reaches its pod late."""
STEP = 1.0
MOST = 128
NAMED = 4
NONE = "no label"
_BY_MPS = "by MPS, which splits pods' memory as well: change that in the plug-in's configuration"


def entries_words(config: SlicingConfig) -> str:
    """`time-slicing-4 (4), plain (1)`: those that can be chosen."""
    found = ((name, n) for name, n in config.entries.items() if name not in config.mps)
    return ", ".join(f"{inert(name, 40)} ({n})" for name, n in found)


class Slices(Action):
    """`answer`: an entry's name, or a number of slices a card."""

    id = "gpus.slices"

    def __init__(
        self,
        kube: Kubectl,
        gpu: Gpu,
        answer: str,
        told: KubeGpus | None,
        *,
        follows: float = FOLLOWS,
    ) -> None:
        """`told`: what Kubernetes last said of itself."""
        self.kube = kube
        self.gpu = gpu
        self.answer = answer.strip()
        self.told = told
        self.follows = follows
        self.name = inert(gpu.node, 60)
        self._node: KubeNode | None = None
        self._entry = ""
        self._data: dict[str, str] = {}
        self._new: dict[str, str] = {}
        """Entries to add: name -> YAML."""
        self._before: str | None = None
        self._had: int | None = None
        self._want: int | None = None
        """Allocatable slices of the node, once it follows."""

    async def plan(self) -> Plan:
        told, config = self._known()
        node = self._this(told)
        self._node = node
        self._data, config = await self._entries(config)
        now = await self._read()
        labels = now["metadata"].get("labels") or {}
        self._before, self._had = labels.get(LABEL), allocatable(now)
        entry, count = self._choose(config)
        if entry == self._before and not self._new:
            raise ActionError(f"{self.name}: it follows {entry} already: {count} slices a card")
        self._entry = entry
        config = self._understood(config)
        cards = self._cards(node, config)
        self._want = None if cards is None else cards * count
        return Plan(
            title=f"Cut {self.name}'s cards into {count} slices ({entry})",
            targets=(described(self.name, "", "slices", self._before or NONE),),
            steps=tuple(kubectl_step(self.kube, *words) for words, _ in self._commands(config)),
            risks=self._risks(told, node, config, count),
            undo=f"it follows {self._before or NONE} now: u on the card, or "
            f"`labtui gpu undo {self.name}:{self.gpu.index}`",
            preview=next(iter(self._new.values()), ""),
        )

    def _known(self) -> tuple[KubeGpus, SlicingConfig]:
        told = self.told
        if told is None:
            raise ActionError("Kubernetes has not answered yet: look at its source (i)")
        config = told.slicing
        if config is None:
            why = told.denied.get("configmaps") or told.denied.get("clusterpolicies")
            raise ActionError(
                "the device plug-in's ConfigMap is not known" + (f": {inert(why, 160)}" if why else
                ": ClusterPolicy names none in spec.devicePlugin.config")
            )  # fmt: skip
        return told, config

    def _this(self, told: KubeGpus) -> KubeNode:
        node = next((n for n in told.nodes if self.gpu.node in (n.node, n.name)), None)
        if node is None:
            raise ActionError(f"{self.name}: Kubernetes has no such node with a GPU")
        if node.mig or self.gpu.mig or self.gpu.sharing == "mig":
            raise ActionError(f"{self.name}: MIG instances are cut on the card, not by the plug-in")
        if node.sharing == "mps":
            raise ActionError(f"{self.name}: its cards are shared {_BY_MPS}")
        return node

    async def _entries(self, seen: SlicingConfig) -> tuple[dict[str, str], SlicingConfig]:
        """The ConfigMap as it is now: what was told of it may be a minute old."""
        path = f"/api/v1/namespaces/{seen.namespace}/configmaps/{seen.name}"
        data = document(await ask(self.kube, "get", "--raw", path)).get("data") or {}
        return data, slicing(seen.namespace, seen.name, seen.default, data)

    def _understood(self, config: SlicingConfig) -> SlicingConfig:
        """With the new entry; refused where one of both shares by MPS."""
        data = self._data | self._new
        config = slicing(config.namespace, config.name, config.default, data)
        for entry in (self._in_use(config), self._entry or config.default or ""):
            if entry in config.mps:
                raise ActionError(f"{self.name}: {inert(entry, 40)} shares its cards {_BY_MPS}")
        return config

    def _in_use(self, config: SlicingConfig) -> str:
        return self._before or config.default or ""

    async def _read(self) -> dict[str, Any]:
        name = self._node.name if self._node else ""
        return document(await ask(self.kube, "get", "--raw", f"/api/v1/nodes/{name}"))

    def _choose(self, config: SlicingConfig) -> tuple[str, int]:
        """The entry to follow and its slices; a new one where none has that number."""
        there = f"there are {entries_words(config)}; or write a number of slices a card"
        self._new = {}
        if self.answer in config.entries:
            return self.answer, config.entries[self.answer]
        if self.answer in config.unread:
            raise ActionError(f"entry {inert(self.answer, 40)}: {config.unread[self.answer]}")
        if not re.fullmatch(r"[0-9]{1,3}", self.answer):
            raise ActionError(f"no entry {inert(self.answer, 40) or 'without a name'}: {there}")
        count = int(self.answer)
        if not 1 <= count <= MOST:
            raise ActionError(f"{count} slices a card: write 1 to {MOST}")
        now = self._in_use(config)
        same = [
            name for name, n in config.entries.items()
            if n == count and name not in config.mps and config.mig.get(name) == config.mig.get(now)
        ]  # fmt: skip
        if same:
            return now if now in same else same[0], count
        entry = f"slices-{count}"
        while entry in self._data:  # somebody's own, with another number
            entry += "-labtui"
        try:
            self._new = {entry: recut(self._data.get(now, ""), count)}
        except ValueError as error:
            raise ActionError(
                f"entry {inert(now, 40)} cannot be copied with another number: "
                f"{inert(error, 160)}; add one to the ConfigMap"
            ) from None
        return entry, count

    def _cards(self, node: KubeNode, config: SlicingConfig) -> int | None:
        if node.cards:
            return node.cards
        each = config.entries.get(self._in_use(config))
        return self._had // each if self._had and each else None

    def _commands(self, config: SlicingConfig) -> list[tuple[tuple[str, ...], str | None]]:
        """kubectl's words, and its standard input."""
        assert self._node is not None
        found: list[tuple[tuple[str, ...], str | None]] = []
        if self._new:
            patch = json.dumps({"data": self._new})
            words = ("patch", "configmap", config.name, "-n", config.namespace, "--type=merge",
                     "--patch-file=/dev/stdin")  # fmt: skip
            found.append((words, patch))
        label = f"{LABEL}={self._entry}" if self._entry else f"{LABEL}-"
        found.append((("label", "node", self._node.name, label, "--overwrite"), None))
        return found

    def _risks(
        self, told: KubeGpus, node: KubeNode, config: SlicingConfig, count: int
    ) -> tuple[str, ...]:
        held = [p for p in told.pods if p.node in (node.node, node.name) and p.slices]
        held.sort(key=lambda p: p.since or float("inf"))
        found: list[str] = []
        out = _beyond(held, self._want)
        if out:
            found.append(f"no longer fit, the newest first to go: {_named(out)}; they run on, and "
                         "wait once they end")  # fmt: skip
        stay = [p for p in held if p not in out]
        if stay:
            found.append(f"the plug-in restarts: {_named(stay)} hold slices there; a container "
                         "that starts meanwhile may fail")  # fmt: skip
        if "pods" in told.denied:
            found.append(f"which pods hold slices there is not known: {told.denied['pods']}")
        now, then = self._in_use(config), self._entry or config.default or ""
        if (then in config.renamed) != (now in config.renamed):
            name = RESOURCES[then in config.renamed]
            found.append(f"its slices are called {name} then: pods must ask for that")
        if config.mig.get(then) != config.mig.get(now):
            strategy, before = (config.mig.get(name, "none") for name in (then, now))
            found.append(f"its migStrategy is {strategy} then, {before} now: it changes how MIG "
                         "instances are offered, if there are any")  # fmt: skip
        if self._new:
            found.append("a new entry reaches the plug-in's pod after up to a minute")
        if slurm := self.gpu.capacity.get("slurm", 0):
            found.append(f"Slurm's own {slurm} slices of the card stay as they are: neither knows "
                         "what the other gives away")  # fmt: skip
        jobs = [h for h in self.gpu.holders if h.kind == "job"]
        most, might = max(count, slurm), count + sum(h.slices for h in jobs)
        if jobs and might > most:
            found.append(f"overbooked once Kubernetes gives all {count} slices of the card, "
                         f"{might} of {most} with {_named(jobs)}: when its memory is full, what "
                         "they or the pods allocate next fails")  # fmt: skip
        found.append("slices do not split memory: more of them, less for each")
        return tuple(found)

    async def run(self, progress: Progress) -> None:
        _, config = self._known()
        sent = ""
        for words, stdin in self._commands(config):
            try:
                await ask(self.kube, *words, stdin=stdin, sends=True)
            except ActionError as error:
                raise ActionError(f"{sent}{error}") from None
            sent = f"entry {self._entry} was added, but the node does not follow it: "
        progress("sent; waiting until the node's allocatable slices follow")
        deadline = time.monotonic() + self.follows
        last: int | None = -1
        while time.monotonic() < deadline:
            try:
                have = allocatable(await self._read())
            except ActionError as error:  # it was sent: what is so is found out later
                progress(str(error))
                await asyncio.sleep(STEP)
                continue
            if have != last:
                progress(f"{self.name} has {_count(have)}, {_count(self._want)} wanted")
                last = have
            if self._follows(have):
                return
            await asyncio.sleep(STEP)
        raise Unknown(f"{self.name} has not followed after {self.follows:.0f} s")

    def _follows(self, have: int | None) -> bool:
        return have == self._want if self._want is not None else have != self._had

    async def verify(self) -> Outcome:
        now = await self._read()
        label = (now["metadata"].get("labels") or {}).get(LABEL)
        have = allocatable(now)
        details = {"node": self.gpu.node, "entry": label or "", "slices": str(have or ""),
                   "before": self._before or ""}  # fmt: skip
        if (label or "") != self._entry:
            text = f"{self.name} follows {inert(label or NONE, 60)}, not {self._entry or NONE}"
            return Outcome("failed", text, details)
        if self._follows(have):
            text = f"{self.name} has {_count(have)} in Kubernetes, had {_count(self._had)}"
            return Outcome("done", text, details)
        return Outcome(
            "unknown",
            f"{self.name} is told to follow {self._entry}, and has {_count(have)} yet: see whether "
            "the device plug-in's pod there runs",
            details,
        )


class Unlabel(Slices):
    """Back to no label of its own: the plug-in's default."""

    def _choose(self, config: SlicingConfig) -> tuple[str, int]:
        self._new = {}
        return "", config.entries.get(config.default or "", 1)


def allocatable(node: dict[str, Any]) -> int | None:
    """Slices that the node gives; None where it has none. MIG's resources are others."""
    had = (node.get("status") or {}).get("allocatable") or {}
    counts = [int(had[name]) for name in RESOURCES if str(had.get(name, "")).isdecimal()]
    return sum(counts) if counts else None


def _beyond(held: Sequence[Pod], room: int | None) -> list[Pod]:
    """Those that no longer fit, the oldest having come first."""
    out: list[Pod] = []
    used = 0
    for pod in held:
        if room is not None and used + pod.slices > room:
            out.append(pod)
        else:
            used += pod.slices
    return out


def _named(who: Sequence[Pod | Holder]) -> str:
    names = [
        (inert(f"{one.namespace}/{one.name}", 80) if isinstance(one, Pod) else room.named(one))
        + (f" ({one.slices})" if one.slices > 1 else "")
        for one in who
    ]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _count(slices: int | None) -> str:
    return "an unknown number of slices" if slices is None else f"{slices} slices"
