"""Pictures of the GPU screen and its closer looks: a card that Slurm, Kubernetes and a process of
nobody share, and cards of every other kind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from labtui.screens.lab import LabScreen
from labtui.views import gpurows
from sample_gpus import MIG, NOWHERE, OVER, SILENT, UNKNOWN, WIDE, told
from sample_lab import GPU_READINGS, JOBS, frozen, gpu_app
from test_snapshots import SMALL, Picture, picture

__all__ = ["frozen", "picture"]

pytestmark = [
    pytest.mark.usefixtures("frozen"),
    pytest.mark.filterwarnings(r"ignore:\s*Can not relate snapshot"),
]
SIZES = pytest.mark.parametrize(
    "size", [SMALL, (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"]
)


def on(key: str) -> Any:
    async def move(pilot: Pilot[Any]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, LabScreen)
        screen.goto("gpus", key)

    return move


@SIZES
async def test_shares(picture: Picture, size: tuple[int, int]) -> None:
    await picture(gpu_app(), size)


async def test_shares_slice(picture: Picture) -> None:
    await picture(gpu_app(), before=on("desktop-gpu:0/2"))


async def test_shares_stray(picture: Picture) -> None:
    await picture(gpu_app(), before=on("desktop-gpu:0/pid 7781"))


@SIZES
async def test_shares_kinds(
    picture: Picture, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overbooked, full, MIG, on no known card, many slices, silent."""
    cards = [
        msgspec.structs.replace(gpu, node=node)
        for node, gpu in zip("abbcde", (UNKNOWN, OVER, NOWHERE, MIG, WIDE, SILENT), strict=True)
    ]
    monkeypatch.setattr(gpurows.shares, "pieces", told(cards))
    await picture(gpu_app(), size)


async def test_shares_page(picture: Picture) -> None:
    await picture(gpu_app(), keys=["enter"])


async def test_shares_suggest(picture: Picture) -> None:
    """Who could have the free slice, why, and with which command."""
    held = next(j for j in JOBS if j.job_id == "1433")
    wants = msgspec.structs.replace(held, gres="gpu:1", partition="gpu")
    readings = GPU_READINGS | {
        "slurm.jobs": [wants, *(j for j in GPU_READINGS["slurm.jobs"] if j is not held)]
    }
    await picture(gpu_app(readings), keys=["w"])


@SIZES
async def test_processes(picture: Picture, size: tuple[int, int]) -> None:
    await picture(gpu_app(screen="processes"), size)


async def test_pods(picture: Picture) -> None:
    await picture(gpu_app(screen="pods"))


async def test_slurmclusters(picture: Picture) -> None:
    await picture(gpu_app(screen="slurmclusters"))


async def test_shares_ascii(picture: Picture) -> None:
    await picture(gpu_app(ascii_mode=True))


async def test_shares_no_colour(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await picture(gpu_app())
