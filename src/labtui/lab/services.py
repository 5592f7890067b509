"""What runs in the lab beside ssh, the shared folder and Slurm."""

from __future__ import annotations

from labtui.lab.layout import Service
from labtui.lab.mlflow import Mlflow
from labtui.lab.monitoring import Prometheus
from labtui.lab.vault import Vault

SERVICES: list[Service] = [Prometheus(), Mlflow(), Vault()]
