"""The lab's card for tests: labtui's command line, and the lab's own tools beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtui.lab import kube_access, kube_build, kube_setup, machines, net
from labtui.lab.layout import CONTROLLER, OPERATOR, Lab
from labtui.model import Gpu, Holder
from labtui.shares.cards import slots

CARD = "desktop-gpu:0"
LABEL = "nvidia.com/device-plugin.config"


def kubectl(lab: Lab) -> list[str]:
    """With the administrator's rights."""
    config = kube_access.admin_config(lab)
    return [str(kube_build.kubectl(lab)), f"--kubeconfig={config}"]


class Rig:
    """The command line with an audit of its own, and the lab's own tools beside it."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.lab = lab
        self._env = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}

    def labtui(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "labtui", "--config", str(self.lab.config), *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=150, check=False, env=self._env
        )

    def act(self, *words: str, code: int = 0) -> Any:
        done = self.labtui("gpu", *words, "--yes", "--json")
        assert done.returncode == code, done
        return json.loads(done.stdout)

    def on_machine(self, *argv: str) -> str:
        return machines.run(self.lab, CONTROLLER, argv, timeout=30, check=False).stdout

    def slurm(self, *argv: str) -> str:
        return self.on_machine("runuser", "-u", OPERATOR, "--", *argv).strip()

    def kube(self, *words: str, stdin: str | None = None) -> str:
        argv = [*kubectl(self.lab), *words]
        done = net.call(
            self.lab, subprocess.run, argv, capture_output=True, text=True, timeout=30, input=stdin
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def setting(self, field: str) -> str:
        options = ("--format=csv,noheader,nounits", "-i", "0")
        return self.on_machine("nvidia-smi", f"--query-gpu={field}", *options).strip()

    def allocatable(self) -> int:
        node = json.loads(self.kube("get", "node", CONTROLLER, "-o", "json"))
        return int(node["status"]["allocatable"]["nvidia.com/gpu"])

    def card(self) -> Gpu:
        found = json.loads(self.labtui("get", "gpus", CONTROLLER, "--json").stdout)
        return msgspec.convert(found["items"][0], Gpu)

    def held_by(self, kind: str, id: str) -> tuple[Gpu, Holder]:
        """Once the console sees it."""
        until = time.monotonic() + 40
        while time.monotonic() < until:
            gpu = self.card()
            for holder in gpu.holders:
                if (holder.kind, holder.id) == (kind, id):
                    return gpu, holder
            time.sleep(1)
        raise AssertionError(f"{kind} {id} is not among {gpu.holders}")

    def place(self, kind: str, id: str) -> str:
        gpu, holder = self.held_by(kind, id)
        return f"{CARD}/{slots(gpu).index(holder) + 1}"


def until(look: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.fixture
def rig(lab: Lab, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(lab, tmp_path)
    yield made
    made.on_machine("nvidia-smi", "-i", "0", "-pl", "450", "-pm", "1", "-rgc")
    made.slurm("scancel", "--name=act")


@pytest.fixture
def sliced(rig: Rig) -> Iterator[Rig]:
    """Its slicing and its pods are as at first afterwards: with more slices a pod that waits
    starts."""
    until(lambda: rig.allocatable() == 4)
    yield rig
    rig.kube("delete", "pod", "act", "-n", "default", "--ignore-not-found")
    rig.kube("label", "node", CONTROLLER, f"{LABEL}=slices-4", "--overwrite")
    until(lambda: rig.allocatable() == 4)
    rig.kube("delete", "configmap", "time-slicing-config", "-n", "gpu-operator")
    rig.kube("delete", "pod", "llama-0", "embed-0", "-n", "nim", "--ignore-not-found")
    kube_setup.fill(rig.lab, lambda line: None)
    until(lambda: "Running" in rig.kube("get", "pod", "llama-0", "-n", "nim"))
