"""Kubernetes by kubectl: an argv, JSON back, and what went wrong in one sentence."""

from __future__ import annotations

from labtui.config import KubernetesConfig
from labtui.hosts.base import Host


class Kubectl:
    """kubectl on one host, as the configuration says. Nothing is sent until something is asked."""

    def __init__(self, config: KubernetesConfig, host: Host) -> None:
        self.config = config
        self.host = host
