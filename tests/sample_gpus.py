"""Cards as labtui.shares makes them, written by hand: what the GPU screen shows of each kind."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import msgspec

from labtui.model import Finding, Gpu, GpuProcess, Holder, MigInstance

NOW = 1_795_471_200.0

JOB = Holder(kind="job", id="1422", name="llama-lora", slices=2, since=NOW - 7800, indexes=(0, 1),
             user="ana", memory_mib=18330.0, pids=(4121,))  # fmt: skip
POD = Holder(kind="pod", id="nim/llama-0", name="llama-0", slices=1, source="kubernetes",
             since=NOW - 3 * 86400, state="Running", memory_mib=3174.0, pids=(9907,))  # fmt: skip
BARE = Holder(kind="process", id="7781", name="python", slices=0, source="nvidia-smi", user="ben",
              since=NOW - 600, memory_mib=512.0, pids=(7781,))  # fmt: skip

CARD = Gpu(
    node="desktop-gpu", index=0, uuid="GPU-1ab70000-0000-4000-8000-6465736b746f",
    product="NVIDIA GeForce RTX 4090", slices=4, sharing="time-slicing", holders=(JOB, POD),
    util_percent=91.0, memory_used_mib=21504.0, memory_total_mib=24564.0, temperature_c=78.0,
    power_w=441.0, clock_mhz=2520.0, throttle="power cap", power_limit_w=450.0,
    power_default_w=450.0, power_min_w=150.0, power_max_w=600.0, persistence=True,
    booked={"slurm": 2, "kubernetes": 1}, capacity={"slurm": 4, "kubernetes": 4},
    sources={"slurm": "2 of 4 held", "kubernetes": "1 of 4 held", "nvidia-smi": "2 processes"},
    processes=(
        GpuProcess(pid=4121, node="desktop-gpu", job_id="1422", via="cgroup", memory_mib=18330.0,
                   name="python", user="ana", since=NOW - 7700,
                   gpu_uuid="GPU-1ab70000-0000-4000-8000-6465736b746f"),
        GpuProcess(pid=9907, node="desktop-gpu", pod_uid="u-1", via="cgroup", memory_mib=3174.0,
                   name="nim", user="root",
                   gpu_uuid="GPU-1ab70000-0000-4000-8000-6465736b746f"),
    ),
    origin={"util_percent": "nvidia-smi", "memory_used_mib": "nvidia-smi",
            "temperature_c": "nvidia-smi", "power_w": "nvidia-smi", "clock_mhz": "prometheus",
            "processes": "nvidia-smi"},
)  # fmt: skip


def told(cards: list[Gpu]) -> Callable[..., Generator[None, None, list[Gpu]]]:
    """In the place of `shares.cards.pieces`."""

    def pieces(*_: Any) -> Generator[None, None, list[Gpu]]:
        yield
        return cards

    return pieces


def card(**changes: Any) -> Gpu:
    return msgspec.structs.replace(CARD, **changes)


UNKNOWN = card(
    holders=(JOB, POD, BARE),
    findings=(
        Finding(kind="memory-tight", severity=2, text="22.0 of 24.0 GiB used, pod nim/llama-0 asks"
                " 4.0 more", means="nobody is chosen: the next allocation fails"),
        Finding(kind="unknown-process", severity=2, holder="7781",
                text="process 7781 of ben uses 512 MiB", means="no scheduler knows it"),
    ),
)  # fmt: skip
OVER = card(
    slices=2, holders=(JOB, POD), booked={"slurm": 2, "kubernetes": 1},
    findings=(Finding(kind="overbooked", severity=3, text="slurm gave 2, kubernetes 1, of 2",
                      means="they do not know of each other"),),
)  # fmt: skip
NOWHERE = Gpu(
    node="desktop-gpu", index=None, holders=(msgspec.structs.replace(POD, id="nim/late-0"),),
    booked={"kubernetes": 1},
    findings=(Finding(kind="card-unknown", severity=1, text="kubernetes: 1 slice, on which card"
                      " nobody says", means="no process has started yet"),),
)  # fmt: skip
MIG = Gpu(
    node="a100", index=0, product="NVIDIA A100-SXM4-80GB", slices=2, sharing="mig",
    holders=(Holder(kind="pod", id="ml/a", slices=1, indexes=(1,), share="mig-3g.40gb"),),
    mig=(
        MigInstance(id=1, profile="3g.40gb", memory_total_mib=40192.0, memory_used_mib=100.0),
        MigInstance(id=2, profile="3g.40gb", memory_total_mib=40192.0, memory_used_mib=30000.0),
    ),
    temperature_c=40.0, power_w=120.0, memory_used_mib=30100.0, memory_total_mib=81920.0,
    na={"util_percent": "not given under MIG"},
)  # fmt: skip
WIDE = card(
    slices=52, capacity={"kubernetes": 52},
    holders=(msgspec.structs.replace(POD, slices=12, indexes=()),), booked={"kubernetes": 12},
)  # fmt: skip
SILENT = Gpu(
    node="jetson-edge", index=0, slices=1,
    na=dict.fromkeys(("util_percent", "memory_used_mib", "temperature_c"), "host down 41 s"),
)  # fmt: skip
