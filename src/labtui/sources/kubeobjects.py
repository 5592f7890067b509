"""Nodes and pods of Kubernetes -> ours: what each has, asks for, and why it waits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from labtui.model import KubeNode, Pod
from labtui.sources import kubereasons
from labtui.sources.kubeshapes import (
    Container,
    ContainerStatus,
    Meta,
    PodSpec,
    Quantities,
    RawNode,
    RawPod,
)
from labtui.sources.slicing import GPU
from labtui.text import inert

Names = Mapping[str, str]
"""Kubernetes' name of a node -> the configured machine's."""

_UNITS = {
    **{unit: Decimal(10) ** (3 * n) for n, unit in enumerate(("n", "u", "m", "", *"kMGTPE"), -3)},
    **{f"{unit}i": Decimal(1 << 10 * n) for n, unit in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(
    r"(\+?(?:[0-9]{1,18}\.?[0-9]{0,9}|\.[0-9]{1,9})(?:[eE][+-]?[0-9]{1,2})?)"
    r"([numkMGTPE]|[KMGTPE]i)?\Z"
)
"""As ParseQuantity of k8s.io/apimachinery reads it; with a unit no exponent is written."""
_MOST = 10**12
_MIG = "nvidia.com/mig-"
_UNDER_WAY = ("ContainerCreating", "PodInitializing")


def moment(at: datetime | None) -> float | None:
    """Unix seconds; None for what is not told, or no time that can be."""
    try:
        return at.timestamp() if at is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def quantity(value: str | int) -> int:
    """A count of whole things. Raises ValueError: a GPU has no halves, and none is owed."""
    if found := _QUANTITY.match(str(value)):
        count = Decimal(found[1]) * _UNITS[found[2] or ""]
        if count == (whole := int(count)) and whole < _MOST:
            return whole
    raise ValueError(f"{inert(value, 40)} is no number of GPUs")


_WHOLE = (GPU, f"{GPU}.shared")


def _is_gpu(resource: str) -> bool:
    return resource in _WHOLE or resource.startswith(_MIG)


def _gpus(quantities: Quantities) -> dict[str, int]:
    return {name: quantity(n) for name, n in (quantities or {}).items() if _is_gpu(name)}


def _slices(found: Mapping[str, int]) -> int:
    return sum(n for name, n in found.items() if not name.startswith(_MIG))


def _mig(found: Mapping[str, int]) -> dict[str, int]:
    """`mig-1g.10gb` -> how many; `.shared` of a MIG part is that part still."""
    counts: dict[str, int] = {}
    for name, n in found.items():
        if name.startswith(_MIG) and n:
            part = name.removeprefix("nvidia.com/").removesuffix(".shared")
            counts[part] = counts.get(part, 0) + n
    return counts


class Machines(NamedTuple):
    names: dict[str, str]
    """Kubernetes' name of each node -> the machine; a twin keeps its own."""
    twins: dict[str, str]
    """Node -> the machine whose address it tells, which another node is."""


def machines(nodes: Sequence[RawNode], configured: Mapping[str, str]) -> Machines:
    """`configured`: machine -> its address. By name first, then by the address that the kubelet
    told: of several nodes with the same one that is ready (the others were left behind)."""
    by_address = {address: name for name, address in configured.items() if address}
    names: dict[str, str] = {}
    twins: dict[str, str] = {}
    claimed = set(configured).intersection(raw.metadata.name for raw in nodes)
    for raw in sorted(nodes, key=lambda raw: not _is_ready(raw)):
        name = raw.metadata.name
        addresses = [a.address for a in raw.status.addresses or () if a.type == "InternalIP"]
        known = next((by_address[a] for a in addresses if a in by_address), name)
        machine = name if name in configured else known
        if machine != name and machine in claimed:
            twins[name] = machine
            machine = name
        claimed.add(machine)
        names[name] = machine
    return Machines(names, twins)


def _is_ready(raw: RawNode) -> bool | None:
    told = next((c.status for c in raw.status.conditions or () if c.type == "Ready"), None)
    return None if told is None else told == "True"


def node(raw: RawNode, names: Names, twin: str | None = None) -> KubeNode:
    """Raises ValueError where a number of GPUs is none."""
    name, labels, status = raw.metadata.name, raw.metadata.labels or {}, raw.status
    offered, all_of_it = _gpus(status.allocatable), _gpus(status.capacity)
    has = any(not r.startswith(_MIG) for r in offered)
    had = any(not r.startswith(_MIG) for r in all_of_it)
    return KubeNode(
        name=name,
        node=names.get(name, name),
        twin=twin,
        ready=_is_ready(raw),
        unschedulable=bool(raw.spec.unschedulable),
        slices=_slices(offered) if has else None,
        capacity=_slices(all_of_it) if had else None,
        mig=_mig(offered),
        cards=_label_count(labels, f"{GPU}.count"),
        replicas=_label_count(labels, f"{GPU}.replicas"),
        product=labels.get(f"{GPU}.product"),
        memory_mib=_label_count(labels, f"{GPU}.memory"),
        sharing=labels.get(f"{GPU}.sharing-strategy"),
        config=labels.get("nvidia.com/device-plugin.config"),
    )


def _label_count(labels: Mapping[str, str], name: str) -> int | None:
    value = labels.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None


def asked(spec: PodSpec) -> dict[str, int]:
    """GPUs by resource as the scheduler counts them: what it needs at its most, at any time.

    Init containers run one after another before the others; one that always restarts (a sidecar)
    stays beside all that come after it. kubernetes/component-helpers, resource/helpers.go.
    """
    together: dict[str, int] = {}
    most: dict[str, int] = {}
    for one in spec.init_containers or ():
        own = _of(one)
        if one.restart_policy == "Always":
            _add(together, own)
            own = dict(together)
        else:
            own = {r: n + together.get(r, 0) for r, n in own.items()}
        for resource, n in own.items():
            most[resource] = max(most.get(resource, 0), n)
    for one in spec.containers or ():
        _add(together, _of(one))
    return {r: max(together.get(r, 0), most.get(r, 0)) for r in together | most}


def _of(container: Container) -> dict[str, int]:
    resources = container.resources
    return _gpus(resources.requests) | _gpus(resources.limits) if resources else {}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, n in more.items():
        total[resource] = total.get(resource, 0) + n


def asks(raw: RawPod) -> bool:
    """It asks for a GPU; or nobody can read how many."""
    try:
        return any(asked(raw.spec).values())
    except ValueError:
        return True


def pod(raw: RawPod, names: Names) -> Pod | None:
    """The pod where it asks for a GPU and is not over. Raises ValueError as `node` does."""
    status = raw.status
    if status.phase in ("Succeeded", "Failed"):
        return None
    wants = asked(raw.spec)
    if not any(wants.values()):
        return None
    meta, on = raw.metadata, raw.spec.node_name or None
    phase = status.phase or "Unknown"
    statuses = status.container_statuses
    reason, words = why(raw, wants)
    return Pod(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        node=None if on is None else names.get(on, on),
        phase=phase,
        slices=_slices(wants),
        mig=_mig(wants),
        reason=reason,
        reason_text=words,
        created=moment(meta.creation_timestamp),
        since=None if phase == "Pending" else moment(status.start_time),
        priority=raw.spec.priority,
        owner=_owner(meta),
        restarts=None if statuses is None else sum(max(0, s.restart_count or 0) for s in statuses),
    )


def _owner(meta: Meta) -> str | None:
    owners = meta.owner_references or ()
    owner = next((o for o in owners if o.controller), next(iter(owners), None))
    if owner is None:
        return None
    kind, name = owner.kind, owner.name
    made_by = (meta.labels or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and made_by and name.endswith(f"-{made_by}"):
        kind, name = "Deployment", name.removesuffix(f"-{made_by}")
    return f"{kind}/{name}"


def why(raw: RawPod, wants: Mapping[str, int]) -> tuple[str | None, str | None]:
    """Why it waits, fails or ends: as Kubernetes says it, and in words."""
    status = raw.status
    if raw.metadata.deletion_timestamp is not None:
        return "Terminating", kubereasons.waiting("Terminating", None, None)
    if not raw.spec.node_name:
        placed = next((c for c in status.conditions or () if c.type == "PodScheduled"), None)
        if placed is None:
            return None, "no scheduler has looked at it yet"
        if placed.reason == "SchedulingGated":
            return placed.reason, kubereasons.waiting(placed.reason, None, None)
        said = placed.message or placed.reason
        return said, kubereasons.unscheduled(said, wants) if said else None
    waits = [
        (s.state.waiting, s)
        for s in (*(status.init_container_statuses or ()), *(status.container_statuses or ()))
        if s.state and s.state.waiting and s.state.waiting.reason
    ]
    # What fails says more than what only waits its turn.
    waits.sort(key=lambda pair: pair[0].reason in _UNDER_WAY)
    for told, of in waits:
        reason = told.reason or ""
        said = f"{reason}: {told.message}" if told.message else reason
        return said, kubereasons.waiting(reason, told.message, _ended(of))
    if status.phase == "Pending":
        return status.reason, "it has its machine, and waits for its kubelet"
    return status.reason, inert(status.message, 300) if status.message else None


def _ended(of: ContainerStatus) -> str | None:
    last = of.last_state.terminated if of.last_state else None
    if last is None:
        return None
    if last.reason in (None, "", "Error", "Completed"):
        return None if last.exit_code is None else f"exit {last.exit_code}"
    return inert(last.reason, 60)
