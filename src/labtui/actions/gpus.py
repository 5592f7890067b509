"""What can be done to a card, to who holds it, and to how it is shared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from labtui.actions import earlier
from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress
from labtui.actions.card import Persistence, PowerLimit, watt
from labtui.actions.clocks import ClockLock
from labtui.actions.pods import DeletePod
from labtui.actions.process import EndProcess
from labtui.actions.queue import CancelJob
from labtui.actions.slicing import NONE, Slices, Unlabel
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.model import Gpu, GpuProcess, Holder, KubeGpus, Pod
from labtui.shares.room import by_mps
from labtui.slurm.client import SlurmClient
from labtui.sources.kubernetes import Kubectl
from labtui.store import Store
from labtui.text import age, cut, inert
from labtui.views.gpucells import whose
from labtui.views.gpus import GpuRow
from labtui.views.processes import ProcessRow


class Doors(msgspec.Struct, frozen=True):
    """What these actions go through."""

    config: Config
    store: Store
    hosts: Mapping[str, Host]
    slurm: SlurmClient | None
    kube: Kubectl | None


def make(id: str, items: Sequence[Any], answer: str, doors: Doors) -> Action:
    """The action `id` of ACTIONS on rows; `answer` is what its question was answered with.

    Raises ActionError when it cannot be made.
    """
    item = items[0]
    if id == "gpus.cancel":
        holder = whose(item)
        if holder is None:
            raise ActionError(no_holder(item) or "nobody holds it")
        return _end(item.node, holder, doors)
    if id == "pods.cancel":
        return _delete(item.namespace, item.name, doors, item)
    if id == "processes.cancel":
        return _end_process(item, doors)
    if id == "gpus.undo":
        return Undo(item.gpu, doors)
    settings = {"gpus.power": "power limit", "gpus.persistence": "persistence",
                "gpus.clocks": "clocks", "gpus.slices": "slices"}  # fmt: skip
    if id not in settings:
        raise ActionError(f"{id}: no such action")
    return _set(settings[id], item.gpu, answer, doors)


def _set(setting: str, gpu: Gpu, answer: str, doors: Doors) -> Action:
    if setting == "slices":
        told = doors.store.value("k8s.gpus")
        kind = Unlabel if answer == NONE else Slices
        return kind(_kube(doors), gpu, answer, told if isinstance(told, KubeGpus) else None)
    host = _host(gpu.node, doors)
    section = doors.config.nodes.get(gpu.node)
    user = section.user if section else ""
    if setting == "clocks":
        return _Clocks(host, gpu, answer, doors.config.cluster.name, user)
    if setting == "power limit":
        return PowerLimit(host, gpu, answer, user=user)
    return Persistence(host, gpu, answer, user=user)


class _Clocks(ClockLock):
    """With how labtui left them before."""

    def __init__(self, host: Host, gpu: Gpu, answer: str, cluster: str, user: str) -> None:
        super().__init__(host, gpu, answer, user=user)
        self._cluster = cluster

    async def plan(self) -> Plan:
        gpu = self.gpu
        self.earlier = await earlier.last_clocks(self._cluster, gpu.node, gpu.index, gpu.uuid)
        return await super().plan()


class Undo(Action):
    """Sets back what labtui changed last of a card, or of its machine's slicing."""

    id = "gpus.undo"

    def __init__(self, gpu: Gpu, doors: Doors) -> None:
        self.gpu = gpu
        self.doors = doors
        self._way_back: Action | None = None

    async def plan(self) -> Plan:
        gpu = self.gpu
        cluster = self.doors.config.cluster.name
        found = await earlier.changes(cluster, gpu.node, gpu.index, gpu.uuid)
        card = f"{inert(gpu.node, 60)}:{gpu.index}"
        if not found:
            raise ActionError(f"{card}: labtui has changed nothing here, as far as its audit goes")
        last = found[0]
        value = last.before
        if last.setting == "clocks" and value == earlier.FREE:
            value = "off"
        self._way_back = _set(last.setting, gpu, value.removesuffix(" W"), self.doors)
        plan = await self._way_back.plan()
        said = [f"it was changed {age(time.time() - last.at)} ago by {inert(last.who, 40)}"]
        if last.added:
            said.append(f"entry {inert(last.added, 60)}, added then, stays in the ConfigMap")
        return replace(
            plan,
            title=f"Undo on {card}: {last.setting} back to {inert(last.before, 60)}",
            risks=(*said, *plan.risks),
            undo=f"{plan.undo}; a second undo sets it again",
        )

    async def run(self, progress: Progress) -> None:
        assert self._way_back is not None, "planned first"
        await self._way_back.run(progress)

    async def verify(self) -> Outcome:
        assert self._way_back is not None, "planned first"
        return await self._way_back.verify()


# -- who holds it --------------------------------------------------------------------------


def _end(node: str, holder: Holder, doors: Doors) -> Action:
    if holder.kind == "job":
        return CancelJob(_slurm(doors), [holder.id])
    if holder.kind == "pod":
        namespace, _, name = holder.id.partition("/")
        return _delete(namespace, name, doors)
    pid = int(holder.id) if holder.id.isdecimal() else 0
    return EndProcess(_host(node, doors), node, pid, since=holder.since)


def _delete(namespace: str, name: str, doors: Doors, pod: Pod | None = None) -> Action:
    told = doors.store.value("k8s.gpus")
    known = told.pods if pod is None and isinstance(told, KubeGpus) else ()
    seen = pod or next((p for p in known if (p.namespace, p.name) == (namespace, name)), None)
    return DeletePod(
        _kube(doors), namespace, name,
        uid=seen.uid if seen else None, owner=seen.owner if seen else None,
    )  # fmt: skip


def _end_process(process: GpuProcess, doors: Doors) -> Action:
    holder = process.holder if isinstance(process, ProcessRow) else None
    if holder is not None and holder.kind != "process":
        return _end(process.node, holder, doors)
    if process.job_id:
        return CancelJob(_slurm(doors), [process.job_id])
    if process.pod_uid:
        told = doors.store.value("k8s.gpus")
        pods = told.pods if isinstance(told, KubeGpus) else ()
        pod = next((p for p in pods if p.uid == process.pod_uid), None)
        if pod is None:
            raise ActionError("it is of a pod that Kubernetes does not tell of: look at the pods")
        return _delete(pod.namespace, pod.name, doors, pod)
    host = _host(process.node, doors)
    return EndProcess(host, process.node, process.pid, since=process.since)


def _host(node: str, doors: Doors) -> Host:
    host = doors.hosts.get(node)
    if host is None:
        raise ActionError(f"{inert(node, 60)}: it has no transport in the config: name its address")
    return host


def _kube(doors: Doors) -> Kubectl:
    if doors.kube is None:
        raise ActionError("no Kubernetes is configured: name its kubectl in [kubernetes]")
    return doors.kube


def _slurm(doors: Doors) -> SlurmClient:
    if doors.slurm is None:
        raise ActionError("no Slurm is configured: name its login node in [slurm] login")
    return doors.slurm


# -- what the menus ask --------------------------------------------------------------------


def nobody(row: GpuRow) -> str | None:
    if whose(row) is not None:
        return None
    return "choose one of its slices" if row.is_card else "nobody is known to hold it"


def no_holder(row: GpuRow) -> str | None:
    if whose(row) is not None:
        return None
    if row.slice:
        return "the slice is free"
    return "choose one of its slices" if row.gpu.holders else "nobody holds it"


def no_card(row: GpuRow) -> str | None:
    if row.gpu.index is None:
        return "no single card: it was booked on the node"
    words = f"{row.gpu.product or ''} {' '.join(row.gpu.sources)}".lower()
    if "jetson" in words or "orin" in words:
        return "a Jetson has no nvidia-smi: its limits are nvpmodel's"
    return None


def no_slicing(row: GpuRow) -> str | None:
    gpu = row.gpu
    if gpu.mig or gpu.sharing == "mig":
        return "MIG instances are cut on the card, not by the plug-in"
    if by_mps(gpu):
        return "it is shared by the plug-in's MPS, which splits memory as well"
    return None if "kubernetes" in gpu.capacity else "Kubernetes gives no slices of it"


def ask_watts(row: GpuRow, store: Store) -> tuple[str, str]:
    gpu = row.gpu
    now = f"now {watt(gpu.power_limit_w)}" if gpu.power_limit_w is not None else "watts"
    between = ""
    if gpu.power_min_w is not None and gpu.power_max_w is not None:
        between = f", {gpu.power_min_w:g} to {gpu.power_max_w:g}"
    example = "for example: 300"
    if gpu.power_default_w is not None:
        example = f"{gpu.power_default_w:g} is its default"
    return f"Power limit in W ({now}{between})", example


def ask_clocks(row: GpuRow, store: Store) -> tuple[str, str]:
    most = row.gpu.clock_max_mhz
    upto = f", up to {most:.0f}" if most is not None else ""
    return f"Lock the clocks: lowest,highest in MHz{upto}", "for example: 210,1800; off frees them"


def ask_slices(row: GpuRow, store: Store) -> tuple[str, str]:
    now = row.gpu.capacity.get("kubernetes")
    said = f" (now {now})" if now is not None else ""
    told = store.value("k8s.gpus")
    slicing = told.slicing if isinstance(told, KubeGpus) else None
    entries = "? lists the entries that the ConfigMap has"
    if slicing is not None:
        pairs = sorted(slicing.entries.items(), key=lambda pair: (pair[1], pair[0]))
        entries = "entries: " + ", ".join(
            f"{inert(name, 24)} {count}" for name, count in pairs if name not in slicing.mps
        )
    return f"Slices a card in Kubernetes{said}: a number or an entry", cut(entries, 70).rstrip()
