"""The GPU stand-ins in the lab: DCGM's metrics on :9400, NVML for whoever loads it, nvidia-smi and
tegrastats."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from labtui.lab import machines, net
from labtui.lab.layout import MACHINES, PORTS, Health, Lab, Say
from labtui.lab.monitoring import get
from labtui.lab.root import apt_install
from labtui.lab.system import LabError, enable, locked, run, write

PROGRAM = resources.files("labtui.lab") / "gpu.py"
SMI = resources.files("labtui.lab") / "gpu_smi.py"
SOURCE = resources.files("labtui.lab") / "nvml" / "nvml.c"
LIBRARY = "libnvidia-ml.so.1"
JETSON = "jetson-edge"

UNIT = """\
[Unit]
Description=GPU metrics of the lab's stand-in for a GPU
After=network.target

[Service]
# Root: whose process holds the card is read from the processes' environments.
ExecStart=/usr/bin/python3 /opt/labtui-gpu.py
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

TEGRASTATS = """\
#!/bin/sh
# labtui's stand-in of tegrastats: one line of what the stand-in of a GPU writes, as JetPack 6's.
root=/run/labtui-jetson; gpu=$root/sys/class/devfreq/17000000.gpu
tenths() { read -r value <"$1"; echo $((value / $2)); }
total=$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' $root/proc/meminfo)
free=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' $root/proc/meminfo)
load=$(tenths $gpu/device/load 10); mhz=$(tenths $gpu/cur_freq 1000000)
warm=$(tenths $root/sys/class/thermal/thermal_zone1/temp 1000)
mw=$(($(tenths $root/sys/class/hwmon/hwmon1/curr1_input 1) * 5))
echo "RAM $(((total - free) / 1024))/$((total / 1024))MB (lfb 4x4MB)" \
  "SWAP 0/3810MB (cached 0MB) CPU [2%@729,1%@729,0%@729,0%@729,0%@729,1%@729]" \
  "GR3D_FREQ $load%@[$mhz] gpu@${warm}C VDD_IN ${mw}mW/${mw}mW"
"""


class GpuExporter:
    """On desktop-gpu DCGM's names; on jetson-edge names of our own, for no DCGM runs there."""

    packages: Sequence[str] = ()

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.name = f"gpu-exporter-{machine}"

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return ()

    def prepare(self, lab: Lab, say: Say) -> None:
        root = lab.machine_root(self.machine)
        write(root / "opt/labtui-gpu.py", PROGRAM.read_text())
        write(root / "etc/systemd/system/gpu-exporter.service", UNIT)
        enable(root, "gpu-exporter")
        if self.machine == JETSON:
            write(root / "usr/bin/tegrastats", TEGRASTATS, 0o755)

    def finish(self, lab: Lab, say: Say) -> None:
        """Nothing: systemd starts it."""

    def health(self, lab: Lab) -> Health:
        url = f"http://{MACHINES[self.machine].address}:{PORTS['gpu-exporter']}/metrics"
        try:
            net.call(lab, get, url)
        except (OSError, LabError) as e:
            return Health("failed", f"{url}: {e}")
        return Health("running", "a stand-in")


class Nvml:
    """A libnvidia-ml.so.1 that reads what the exporter writes, nvidia-ml-py and nvidia-smi to ask
    it."""

    name = "nvml"
    machine = "desktop-gpu"
    packages: Sequence[str] = ()

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return [(folder(lab), "/opt/labtui-nvml")]

    def prepare(self, lab: Lab, say: Say) -> None:
        folder(lab).mkdir(parents=True, exist_ok=True)
        root = lab.machine_root(self.machine)
        link = root / "usr/lib" / LIBRARY
        if not link.is_symlink():
            link.symlink_to(f"/opt/labtui-nvml/{LIBRARY}")
        module = importlib.util.find_spec("pynvml")
        if module and module.origin:
            ours = root / "usr/local/lib" / f"python{python_version(lab)}" / "dist-packages"
            write(ours / "pynvml.py", Path(module.origin).read_text())
        program = SMI.read_text()
        # Isolated: it also runs as root, and each start is a poll's.
        write(root / "usr/bin/nvidia-smi", f"#!/usr/bin/python3 -I\n{program}", 0o755)

    def finish(self, lab: Lab, say: Say) -> None:
        build(lab, say)
        # As root, so that it is kept compiled.
        machines.run(lab, self.machine, ["python3", "-c", "import pynvml"], check=False)

    def health(self, lab: Lab) -> Health:
        if (folder(lab) / LIBRARY).is_file():
            return Health("running", "a stand-in")
        return Health("absent", "not built: it needs gcc and libc6-dev")


def python_version(lab: Lab) -> str:
    """The version of the root's Python, as `3.13`."""
    return (lab.root / "usr/bin/python3").readlink().name.removeprefix("python")


def folder(lab: Lab) -> Path:
    """Where the library is built, named by its source; the machine binds it."""
    return lab.cache / f"nvml-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"


def build(lab: Lab, say: Say) -> Path:
    """The library, compiled once. Raises LabError: why not, in one sentence."""
    target = folder(lab) / LIBRARY
    with locked(lab.cache / "nvml.lock", 600):
        if target.is_file():
            return target
        if not shutil.which("gcc") or not Path("/usr/include/stdio.h").is_file():
            apt_install(["gcc", "libc6-dev"], say)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(".new")
        with resources.as_file(SOURCE) as source:
            flags = ("-O2", "-Wall", "-Wextra", "-fvisibility=hidden")
            run(["gcc", *flags, "-shared", "-fPIC", "-o", draft, source])
        draft.replace(target)
    return target
