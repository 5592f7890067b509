"""What runs in the lab beside ssh, the shared folder and Slurm."""

from __future__ import annotations

from labtui.lab import vault
from labtui.lab.gpu_service import GpuExporter, Nvml
from labtui.lab.kubernetes import services as kubernetes
from labtui.lab.layout import Lab, Service
from labtui.lab.mlflow import Mlflow
from labtui.lab.monitoring import GPU_MACHINES, Prometheus
from labtui.lab.vault_service import Vault, VaultPeer

_ALWAYS: list[Service] = [
    *(GpuExporter(machine) for machine in GPU_MACHINES),
    Nvml(),
    Prometheus(),
    Mlflow(),
    Vault(),
    *kubernetes(),
]


def of(lab: Lab) -> list[Service]:
    """What runs in this lab; Vault's peers are in one with `--vault-ha` only."""
    return [*_ALWAYS, *(VaultPeer(m) for m in vault.servers(lab)[1:])]
