"""Pictures of the closer looks at the queue, the form to modify, and a job that is told why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labtui.app import LabApp
from labtui.config import Config
from labtui.model import Reservation, Share
from labtui.session import Session
from labtui.slurm.types import Association, Partition, Qos
from sample_lab import JOBS, NOW, READINGS, frozen, put, sample_app, sample_session
from test_snapshots import SIZES, Picture, picture

__all__ = ["frozen", "picture"]

pytestmark = [
    pytest.mark.usefixtures("frozen"),
    pytest.mark.filterwarnings(r"ignore:\s*Can not relate snapshot"),
]

WAITS = next(job for job in JOBS if job.job_id == "1431")
HELD = msgspec.structs.replace(
    WAITS, reason="QOSMaxGRESPerUser", reason_text="QoS limit: GPUs a user", gres="gpu:1"
)
RUNS = next(job for job in JOBS if job.job_id == "1422")
LIMITED: dict[str, Any] = READINGS | {
    "slurm.jobs": [
        HELD if job is WAITS else msgspec.structs.replace(job, start_time=NOW - 7000)
        if job is RUNS else job
        for job in JOBS
    ],
    "slurm.me": "ana",
    "slurm.partitions": [
        Partition("gpu", nodes=("desktop-gpu",), max_time=4320, default_time=60,
                  allowed_accounts=("research",), qos="normal"),
        Partition("cpu", is_default=True, nodes=("xps15-cpu",), default_time=60),
        Partition("edge", state="DRAIN", nodes=("jetson-edge",), max_time=720),
    ],
    "slurm.qos": [
        Qos(name="normal", priority=0, max_tres_per_user={"gres/gpu": 2}, grp_jobs=40),
        Qos(name="urgent", priority=1000, max_wall=120, preempt=("normal",), flags=("DenyOnLimit",),
            max_tres_per_job={"gres/gpu": 1, "mem": 16384}),
    ],
    "slurm.associations": [
        Association(cluster="lab", account="root", qos=("normal",)),
        Association(cluster="lab", account="research", parent="root", qos=("normal", "urgent")),
        Association(cluster="lab", account="research", user="ana", qos=("normal", "urgent")),
    ],
    "slurm.reservations": [
        Reservation(name="maintenance", state="INACTIVE", start_time=NOW + 40_000,
                    end_time=NOW + 47_200, nodes=("xps15-cpu",), cores=12, users=("root",),
                    flags=("MAINT", "IGNORE_JOBS"), tres="cpu=12", comment="new fan"),
        Reservation(name="course", state="ACTIVE", start_time=NOW - 600, end_time=NOW + 5000,
                    nodes=("jetson-edge",), cores=6, accounts=("teaching",), flags=("FLEX",)),
    ],
    "slurm.shares": [
        Share(account="root", depth=0, share_part=0.0, usage=96_120, usage_part=1.0),
        Share(account="root", user="root", depth=1, shares=1, share_part=0.1, usage=0,
              usage_part=0.0, fair_share=1.0),
        Share(account="research", depth=1, shares=9, share_part=0.9, usage=96_120, usage_part=1.0,
              level=0.9),
        Share(account="research", user="ana", depth=2, shares=1, share_part=0.5, usage=90_000,
              usage_part=0.936, fair_share=0.07, level=0.53),
        Share(account="research", user="ben", depth=2, shares=1, share_part=0.5, usage=6_120,
              usage_part=0.064, fair_share=0.8, level=7.8),
    ],
}  # fmt: skip


def limited_app(screen: str) -> LabApp:
    """The console once the feeds have come that are asked for when a screen wants them."""

    def make(config: Config, read_only: bool) -> Session:
        session = sample_session(config, {}, read_only=read_only)
        for name in LIMITED:
            session.store.declare(name, "slurm", 30.0)
        put(session, LIMITED)
        return session

    return sample_app(screen=screen, make=make)


@SIZES
@pytest.mark.parametrize("screen", ["partitions", "reservations", "qos", "fairshare"])
async def test_closer(picture: Picture, screen: str, size: tuple[int, int]) -> None:
    await picture(limited_app(screen), size)


@SIZES
async def test_waits(picture: Picture, size: tuple[int, int]) -> None:
    """A limit of its QoS holds it back: who holds what, until when, and what to do."""
    keys = ["slash", *"vision", "enter"]
    await picture(limited_app("jobs"), size, keys=keys)


@SIZES
async def test_modify(picture: Picture, size: tuple[int, int]) -> None:
    keys = ["slash", *"vision", "enter", "m", *"9-00:00:00x", "enter"]
    await picture(limited_app("jobs"), size, keys=keys)
