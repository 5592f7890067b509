"""What runs in the lab beside ssh, the shared folder and Slurm."""

from __future__ import annotations

from labtui.lab.layout import Service

SERVICES: list[Service] = []
