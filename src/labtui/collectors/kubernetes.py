"""`k8s.gpus`: nodes, pods and slicing, as Kubernetes has them; `k8s.slurmclusters`: Soperator."""

from __future__ import annotations

from labtui.collectors.base import Collector
from labtui.sources.kubernetes import Kubectl


def build(client: Kubectl | None) -> list[Collector]:
    return []
