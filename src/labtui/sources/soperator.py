"""Soperator's SlurmCluster and NodeSet, and the login pod of each -> ours.

Labels, phases and conditions are those of nebius/soperator (internal/consts, api/v1,
api/v1alpha1), 1.14 to 3.0; what newer ones add is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labtui.model import SlurmCluster
from labtui.sources.kubeobjects import why
from labtui.sources.kubeshapes import Condition, Meta, PageMeta, RawPod, Shape
from labtui.text import inert

CLUSTERS = "/apis/slurm.nebius.ai/v1/slurmclusters"
NODESETS = "/apis/slurm.nebius.ai/v1alpha1/nodesets"
LOGIN = "app.kubernetes.io/component=login"
"""The label of login pods; `app.kubernetes.io/instance` is their cluster's name."""
INSTANCE = "app.kubernetes.io/instance"
CONTAINER = "sshd"
"""The login pod's container, and where in it the machine's root is that users see."""
JAIL = "/mnt/jail"


class ClusterStatus(Shape, frozen=True):
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None


class RawCluster(Shape, frozen=True):
    metadata: Meta
    status: ClusterStatus | None = None


class ClusterPage(Shape, frozen=True):
    items: tuple[RawCluster, ...] | None
    metadata: PageMeta = PageMeta()


class NodeSetSpec(Shape, frozen=True):
    cluster_name: str | None = None
    replicas: int | None = None


class NodeSetStatus(Shape, frozen=True):
    phase: str | None = None
    replicas: int | None = None


class RawNodeSet(Shape, frozen=True):
    metadata: Meta
    spec: NodeSetSpec | None = None
    status: NodeSetStatus | None = None


class NodeSetPage(Shape, frozen=True):
    items: tuple[RawNodeSet, ...] | None
    metadata: PageMeta = PageMeta()


def clusters(
    found: Sequence[RawCluster],
    nodesets: Iterable[RawNodeSet] | None,
    pods: Iterable[RawPod] | None,
    denied: str = "",
) -> list[SlurmCluster]:
    """None for `nodesets` or `pods`: they could not be read, `denied` says why."""
    sets, login = list(nodesets or ()), list(pods or ())
    result = []
    for one in found:
        meta, status = one.metadata, one.status or ClusterStatus()
        neighbours = sum(other.metadata.namespace == meta.namespace for other in found)
        pod, fault = _login(meta, login)
        result.append(
            SlurmCluster(
                namespace=meta.namespace,
                name=meta.name,
                phase=status.phase or None,
                conditions={c.type: _condition(c) for c in status.conditions or ()},
                nodesets={
                    s.metadata.name: _nodeset(s)
                    for s in sets
                    if s.metadata.namespace == meta.namespace
                    and (_cluster(s) == meta.name or (not _cluster(s) and neighbours == 1))
                },
                login_pod=pod,
                login_fault=None if pod else denied if pods is None else fault,
                message=_message(status) or (denied or None if nodesets is None else None),
            )
        )
    return result


def _cluster(one: RawNodeSet) -> str:
    return (one.spec.cluster_name if one.spec else None) or ""


def _condition(one: Condition) -> str:
    return f"False: {one.reason}" if one.status == "False" and one.reason else one.status


def _nodeset(one: RawNodeSet) -> str:
    spec, status = one.spec or NodeSetSpec(), one.status or NodeSetStatus()
    ready, wanted = (("?" if n is None else n) for n in (status.replicas, spec.replicas))
    return f"{status.phase or 'Pending'} {ready}/{wanted}"


def _message(status: ClusterStatus) -> str | None:
    """What the first condition that does not hold says."""
    bad = (c for c in status.conditions or () if c.status != "True")
    return next((c.message or c.reason for c in bad), None)


def _login(meta: Meta, pods: Iterable[RawPod]) -> tuple[str | None, str | None]:
    """The ready login pod of a cluster, else why there is none."""
    own = sorted(
        (
            p for p in pods
            if p.metadata.namespace == meta.namespace
            and (p.metadata.labels or {}).get(INSTANCE, meta.name) == meta.name
        ),
        key=lambda p: p.metadata.name,
    )  # fmt: skip
    ready = next((p.metadata.name for p in own if _is_ready(p)), None)
    if ready is not None:
        return ready, None
    if not own:
        return None, f"no pod has the label {LOGIN}"
    told = [f"{p.metadata.name}: {why(p, {})[1] or 'not ready'}" for p in own[:3]]
    return None, inert("; ".join(told), 300)


def _is_ready(pod: RawPod) -> bool:
    """Running, staying, and each of its containers ready: as the transport chooses too."""
    statuses = pod.status.container_statuses or ()
    return (
        pod.status.phase == "Running"
        and pod.metadata.deletion_timestamp is None
        and all(s.ready for s in statuses)
    )
