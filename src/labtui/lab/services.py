"""What runs in the lab beside ssh, the shared folder and Slurm."""

from __future__ import annotations

from labtui.lab.gpu_service import GpuExporter, Nvml
from labtui.lab.kubernetes import services as kubernetes
from labtui.lab.layout import Service
from labtui.lab.mlflow import Mlflow
from labtui.lab.monitoring import GPU_MACHINES, Prometheus
from labtui.lab.vault import Vault

SERVICES: list[Service] = [
    *(GpuExporter(machine) for machine in GPU_MACHINES),
    Nvml(),
    Prometheus(),
    Mlflow(),
    Vault(),
    *kubernetes(),
]
