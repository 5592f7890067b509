"""`k8s.gpus`: nodes, pods and slicing, as Kubernetes has them; `k8s.slurmclusters`: Soperator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from labtui.collectors.base import Collector
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.model import KubeGpus, KubeNode, Pod, SlicingConfig, SlurmCluster
from labtui.sources import kubeobjects, soperator
from labtui.sources.kubernetes import GRACE, Kubectl, KubeError
from labtui.sources.kubeshapes import NodePage, PageMeta, PodPage, RawNode, RawPod, Shape
from labtui.sources.slicing import slicing
from labtui.store import FaultKind
from labtui.text import inert

PAGE = 500
"""Objects of one answer: some 5 MB of pods, which take the event loop no 16 ms to decode."""
POLICY_EVERY = 30.0
"""Seconds for which ClusterPolicy and ConfigMap are taken to be as they were, unless a node's
slices or its label changed: they change by hand, and each question is a process."""
ONGOING = "status.phase!=Succeeded,status.phase!=Failed"
_POLICIES = "/apis/nvidia.com/v1/clusterpolicies"
_NAMESPACE = "gpu-operator"
"""Where the GPU Operator is, if its policy does not say."""

T = TypeVar("T")
U = TypeVar("U")
I_co = TypeVar("I_co", covariant=True)


class _Page(Protocol[I_co]):
    @property
    def items(self) -> tuple[I_co, ...] | None: ...
    @property
    def metadata(self) -> PageMeta: ...


class _ConfigRef(Shape, frozen=True):
    name: str | None = None
    default: str | None = None


class _DevicePlugin(Shape, frozen=True):
    config: _ConfigRef | None = None


class _PolicySpec(Shape, frozen=True):
    device_plugin: _DevicePlugin | None = None


class _PolicyStatus(Shape, frozen=True):
    state: str | None = None
    namespace: str | None = None


class _Policy(Shape, frozen=True):
    spec: _PolicySpec | None = None
    status: _PolicyStatus | None = None


class _PolicyPage(Shape, frozen=True):
    items: tuple[_Policy, ...] | None
    metadata: PageMeta = PageMeta()


class _ConfigMap(Shape, frozen=True):
    data: dict[str, str] | None = None


async def listed(
    client: Kubectl, path: str, page: type[_Page[T]], **query: str
) -> AsyncIterator[tuple[T, ...]]:
    """The objects at a path, page by page. Raises KubeError."""
    token: str | None = ""
    while token is not None:
        asked = query | {"limit": str(PAGE)} | ({"continue": token} if token else {})
        answer: _Page[T] = await client.get(f"{path}?{urlencode(asked)}", type=page)
        yield answer.items or ()
        token = answer.metadata.continue_ or None


async def _all(client: Kubectl, path: str, page: type[_Page[T]], **query: str) -> list[T]:
    return [one async for part in listed(client, path, page, **query) for one in part]


class GpuCollector(SourceCollector):
    """What Kubernetes has given away of its GPUs, and to whom."""

    name = "k8s.gpus"
    kind = "k8s"
    cost = 8.0

    def __init__(self, client: Kubectl, config: Config) -> None:
        self.interval = config.kubernetes.interval_s
        self.timeout = 4 * (config.kubernetes.timeout_s + GRACE)
        self._client = client
        self._machines = {name: node.address for name, node in config.nodes.items()}
        self._policy: tuple[str | None, SlicingConfig | None, dict[str, str]] = (None, None, {})
        self._policy_due = 0.0
        self._offered: object = None

    async def ask(self) -> KubeGpus:
        denied: dict[str, str] = {}
        faults: list[KubeError] = []
        raw_nodes, raw_pods = await _both(
            _permitted("nodes", _all(self._client, "/api/v1/nodes", NodePage), denied, faults),
            _permitted("pods", self._pods(), denied, faults),
        )
        # 10,000 pods take 0.2 s: not the event loop's.
        nodes, pods, unread = await asyncio.to_thread(
            self._understood, raw_nodes or (), raw_pods or ()
        )
        await self._ask_policy(nodes)
        policy, slices, why = self._policy
        if len(faults) == 2 and "clusterpolicies" in why:
            raise faults[0]
        return KubeGpus(
            nodes=nodes,
            pods=pods,
            slicing=slices,
            policy=policy,
            denied=denied | why,
            unread=unread,
        )

    def _understood(
        self, raw_nodes: Sequence[RawNode], raw_pods: Sequence[RawPod]
    ) -> tuple[tuple[KubeNode, ...], tuple[Pod, ...], dict[str, str]]:
        """And by machine what cannot be: that costs this node or pod alone."""
        names, twins = kubeobjects.machines(raw_nodes, self._machines)
        nodes, pods, unread = [], [], dict[str, str]()
        for raw in raw_nodes:
            name = raw.metadata.name
            try:
                nodes.append(kubeobjects.node(raw, names, twins.get(name)))
            except ValueError as error:
                unread[names[name]] = f"node {inert(name, 60)}: {error}"
        for of in raw_pods:
            try:
                if (one := kubeobjects.pod(of, names)) is not None:
                    pods.append(one)
            except ValueError as error:
                name = inert(f"{of.metadata.namespace}/{of.metadata.name}", 60)
                if on := of.spec.node_name:
                    unread.setdefault(names.get(on, on), f"pod {name}: {error}")
        return tuple(nodes), tuple(pods), unread

    async def _pods(self) -> list[RawPod]:
        """Those that ask for a GPU and are not over. Raises KubeError."""
        parts = listed(self._client, "/api/v1/pods", PodPage, fieldSelector=ONGOING)
        return [one async for part in parts for one in part if kubeobjects.asks(one)]

    async def _ask_policy(self, nodes: tuple[KubeNode, ...]) -> None:
        offered = [(n.name, n.config, n.slices, n.replicas) for n in nodes]
        if time.monotonic() < self._policy_due and offered == self._offered:
            return
        self._policy = await self._read_policy()
        self._policy_due, self._offered = time.monotonic() + POLICY_EVERY, offered

    async def _read_policy(self) -> tuple[str | None, SlicingConfig | None, dict[str, str]]:
        """ClusterPolicy's state, the ConfigMap that it names, and what could not be read."""
        try:
            found = await _all(self._client, _POLICIES, _PolicyPage)
        except KubeError as error:
            # Without the GPU Operator there is no such kind, and nothing is wrong.
            absent = error.fault.kind == "not-found"
            return None, None, {} if absent else {"clusterpolicies": error.fault.message}
        if not found:
            return None, None, {}
        spec, status = found[0].spec or _PolicySpec(), found[0].status or _PolicyStatus()
        config = spec.device_plugin.config if spec.device_plugin else None
        if config is None or not config.name:
            return status.state, None, {}
        namespace = status.namespace or _NAMESPACE
        path = f"/api/v1/namespaces/{quote(namespace, '')}/configmaps/{quote(config.name, '')}"
        try:
            data = (await self._client.get(path, type=_ConfigMap)).data or {}
        except KubeError as error:
            return status.state, None, {"configmaps": error.fault.message}
        return status.state, slicing(namespace, config.name, config.default, data), {}


class SlurmClusterCollector(SourceCollector):
    """Each Slurm that Soperator runs."""

    name = "k8s.slurmclusters"
    kind = "k8s"
    lazy = True
    cost = 8.0

    def __init__(self, client: Kubectl, config: Config) -> None:
        self.interval = max(5.0, config.kubernetes.interval_s)
        self.timeout = 4 * (config.kubernetes.timeout_s + GRACE)
        self._client = client

    async def ask(self) -> list[SlurmCluster]:
        try:
            found = await _all(self._client, soperator.CLUSTERS, soperator.ClusterPage)
        except KubeError as error:
            if error.fault.kind != "not-found":
                raise
            text = "Soperator is not installed: the cluster knows no SlurmCluster"
            raise KubeError("not-found", text) from None
        if not found:
            return []
        denied: dict[str, str] = {}
        kinds: tuple[FaultKind, ...] = ("permission", "not-found")
        nodesets, pods = await _both(
            _permitted(
                "nodesets", _all(self._client, soperator.NODESETS, soperator.NodeSetPage), denied,
                [], kinds,
            ),
            _permitted(
                "pods", _all(self._client, "/api/v1/pods", PodPage, labelSelector=soperator.LOGIN),
                denied, [],
            ),
        )  # fmt: skip
        return soperator.clusters(found, nodesets, pods, "; ".join(denied.values()))


async def _permitted(
    part: str,
    asking: Awaitable[T],
    denied: dict[str, str],
    faults: list[KubeError],
    kinds: tuple[FaultKind, ...] = ("permission",),
) -> T | None:
    """None, with the reason in `denied`, for what may not be read: the rest still counts."""
    try:
        return await asking
    except KubeError as error:
        if error.fault.kind not in kinds:
            raise
        denied[part] = error.fault.message
        faults.append(error)
        return None


async def _both(one: Awaitable[T], other: Awaitable[U]) -> tuple[T, U]:
    """Both at once, each to its end; raises the first one's error first."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


def build(client: Kubectl | None, config: Config) -> list[Collector]:
    """Nothing where no Kubernetes is configured."""
    if client is None:
        return []
    return [GpuCollector(client, config), SlurmClusterCollector(client, config)]
