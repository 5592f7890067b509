"""The parts of Kubernetes' objects that are decoded; what is not named here is skipped.

What may be absent may also be null: both are "not told".
"""

from __future__ import annotations

from datetime import datetime

import msgspec

Quantities = dict[str, str | int] | None


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Owner(Shape, frozen=True):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Meta(Shape, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    owner_references: tuple[Owner, ...] | None = None


class PageMeta(Shape, frozen=True):
    continue_: str | None = msgspec.field(name="continue", default=None)


class Condition(Shape, frozen=True):
    type: str
    status: str = "Unknown"
    reason: str | None = None
    message: str | None = None


# Nodes


class Address(Shape, frozen=True):
    type: str = ""
    address: str = ""


class NodeStatus(Shape, frozen=True):
    allocatable: Quantities = None
    capacity: Quantities = None
    conditions: tuple[Condition, ...] | None = None
    addresses: tuple[Address, ...] | None = None


class NodeSpec(Shape, frozen=True):
    unschedulable: bool | None = None


class RawNode(Shape, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class NodePage(Shape, frozen=True):
    items: tuple[RawNode, ...] | None
    metadata: PageMeta = PageMeta()


# Pods


class Resources(Shape, frozen=True):
    limits: Quantities = None
    requests: Quantities = None


class Container(Shape, frozen=True):
    resources: Resources | None = None
    restart_policy: str | None = None


class PodSpec(Shape, frozen=True):
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    node_name: str | None = None
    priority: int | None = None


class Told(Shape, frozen=True):
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None


class State(Shape, frozen=True):
    waiting: Told | None = None
    terminated: Told | None = None


class ContainerStatus(Shape, frozen=True):
    restart_count: int | None = None
    ready: bool | None = None
    state: State | None = None
    last_state: State | None = None


class PodStatus(Shape, frozen=True):
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class RawPod(Shape, frozen=True):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodPage(Shape, frozen=True):
    items: tuple[RawPod, ...] | None
    metadata: PageMeta = PageMeta()
