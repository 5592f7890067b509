"""From a slice to who holds it, from a job or pod to its card, and back, by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from labtui.screens.lab import LabScreen
from labtui.screens.menu import Menu
from labtui.screens.plan import PlanDialog
from labtui.store import Fault
from sample_lab import GPU_READINGS, JOBS, frozen, gpu_app, put, until

__all__ = ["frozen"]
pytestmark = pytest.mark.usefixtures("frozen")


@asynccontextmanager
async def console(screen: str = "gpus") -> AsyncIterator[tuple[LabScreen, Pilot[Any]]]:
    app = gpu_app(screen=screen)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.table.count > 0)
        assert isinstance(app.screen, LabScreen)
        yield app.screen, pilot


def foot(screen: LabScreen) -> str:
    return str(screen.query_one("#foot").plain)  # type: ignore[attr-defined]


async def at(screen: LabScreen, pilot: Pilot[Any], subject: str, key: str) -> None:
    await until(pilot, lambda: (screen.current, screen.table.cursor_key) == (subject, key))


@pytest.mark.parametrize(
    ("slice", "subject", "key"),
    [
        ("desktop-gpu:0/2", "jobs", "1422"),
        ("desktop-gpu:0/3", "pods", "nim/llama-0"),
        ("desktop-gpu:0/pid 7781", "processes", "desktop-gpu:0/7781"),
    ],
)
async def test_follow_and_back(slice: str, subject: str, key: str) -> None:
    async with console() as (screen, pilot):
        screen.goto("gpus", slice)
        await pilot.press("f")
        await at(screen, pilot, subject, key)
        await until(pilot, lambda: "esc gpu shares" in foot(screen))
        await pilot.press("escape")
        await at(screen, pilot, "gpus", slice)
        await pilot.press("escape")
        assert screen.current == "gpus", "a way back is gone once"


async def test_there_and_back_again_in_two_steps() -> None:
    async with console() as (screen, pilot):
        screen.goto("gpus", "desktop-gpu:0/3")
        await pilot.press("f")
        await at(screen, pilot, "pods", "nim/llama-0")
        await pilot.press("f")
        await at(screen, pilot, "gpus", "desktop-gpu:0/3")
        await pilot.press("escape")
        await at(screen, pilot, "pods", "nim/llama-0")
        await pilot.press("escape")
        await at(screen, pilot, "gpus", "desktop-gpu:0/3")


async def test_a_filter_typed_after_the_jump_is_cleared_first() -> None:
    async with console() as (screen, pilot):
        screen.goto("gpus", "desktop-gpu:0/1")
        await pilot.press("f")
        await at(screen, pilot, "jobs", "1422")
        await pilot.press("slash", *"llama", "enter", "escape")
        assert (screen.current, screen.view.filter) == ("jobs", "")
        await pilot.press("escape")
        await at(screen, pilot, "gpus", "desktop-gpu:0/1")


async def test_another_screen_ends_the_way_back() -> None:
    async with console() as (screen, pilot):
        screen.goto("gpus", "desktop-gpu:0/1")
        await pilot.press("f")
        await at(screen, pilot, "jobs", "1422")
        await pilot.press("2", "4", "escape")
        assert screen.current == "jobs"


async def test_a_free_slice_leads_nowhere_and_says_so() -> None:
    async with console() as (screen, pilot):
        screen.goto("gpus", "desktop-gpu:0/4")
        await pilot.press("f")
        assert screen.current == "gpus" and "nobody is known to hold it" in foot(screen)
        screen.goto("gpus", "desktop-gpu:0")
        await pilot.press("f")
        assert "choose one of its slices" in foot(screen)


@pytest.mark.parametrize(
    ("job", "key", "said"),
    [
        ("1422", "desktop-gpu:0/1", "esc jobs"),
        ("1431", "desktop-gpu:0", "job 1431 waits for 4: 1 of this card's slices free"),
    ],
)
async def test_from_a_job_to_its_card(job: str, key: str, said: str) -> None:
    async with console("jobs") as (screen, pilot):
        screen.goto("jobs", job)
        await pilot.press("g")
        await at(screen, pilot, "gpus", key)
        await until(pilot, lambda: said in foot(screen))
        await pilot.press(*["escape"] * (2 if "waits" in said else 1))  # the message first
        await at(screen, pilot, "jobs", job)


async def test_a_job_without_a_gpu_says_so() -> None:
    async with console("jobs") as (screen, pilot):
        for job, said in (("1430_7", "holds no GPU: running"), ("1432", "asks for no GPU")):
            screen.goto("jobs", job)
            await pilot.pause()
            await pilot.press("g")
            await until(pilot, lambda said=said: said in foot(screen))  # type: ignore[misc]
            assert screen.current == "jobs"


async def test_a_job_that_is_gone_is_said_to_be() -> None:
    async with console() as (screen, pilot):
        put(screen.session, {"slurm.jobs": [j for j in JOBS if j.job_id != "1422"]})
        screen.goto("gpus", "desktop-gpu:0/1")
        await pilot.press("f")
        await until(pilot, lambda: "1422 is not among the Jobs now" in foot(screen))


async def test_a_pod_that_waits_leads_to_what_could_serve_it() -> None:
    async with console("pods") as (screen, pilot):
        screen.goto("pods", "nim/eval-x7")
        await pilot.press("f")
        await at(screen, pilot, "gpus", "desktop-gpu:0")
        await until(pilot, lambda: "pod eval-x7 waits for 4" in foot(screen))


async def test_one_key_goes_through_the_closer_looks() -> None:
    async with console() as (screen, pilot):
        seen = []
        for _ in range(4):
            await pilot.press("p")
            seen.append(screen.current)
        assert seen == ["pods", "processes", "slurmclusters", "pods"]
        await pilot.press("escape")
        assert screen.current == "gpus"
        await pilot.press("4", "p")
        assert screen.current == "partitions"


async def test_who_could_have_the_free_slice() -> None:
    """The list says why and with which command; a choice opens the ordinary plan."""
    job = next(j for j in JOBS if j.job_id == "1433")
    held = msgspec.structs.replace(job, gres="gpu:1", partition="gpu")
    async with console() as (screen, pilot):
        put(screen.session, {"slurm.jobs": [held, *GPU_READINGS["slurm.jobs"]]})
        await pilot.pause(0.2)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(screen.app.screen, Menu))
        told = str(screen.app.screen.query_one("#menu").plain)  # type: ignore[attr-defined]
        note = str(screen.app.screen.query_one("#menu-note").plain)  # type: ignore[attr-defined]
        assert "1433" in told and "scontrol release" in note
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(screen.app.screen, PlanDialog))
        dialog = screen.app.screen
        assert isinstance(dialog, PlanDialog) and dialog._action.id == "queue.release"


async def test_an_unchanged_reading_repaints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with console() as (screen, pilot):
        await pilot.pause(0.3)
        drawn: list[Any] = []
        for widget in screen.query("Lines, Rows"):
            monkeypatch.setattr(widget, "refresh", lambda *a, **k: drawn.append(a))
        rows = screen.view.items
        put(screen.session, GPU_READINGS)
        await pilot.pause(0.3)
        assert drawn == [] and screen.view.items is rows


async def test_pods_that_may_not_be_read_are_not_told_as_none() -> None:
    told = msgspec.structs.replace(
        GPU_READINGS["k8s.gpus"], pods=(), denied={"pods": "labtui may not list pods"}
    )
    app = gpu_app(GPU_READINGS | {"k8s.gpus": told}, screen="pods")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        screen = app.screen
        assert isinstance(screen, LabScreen)
        await until(pilot, lambda: "may not list pods" in screen.table.message)
        title = str(screen.query_one("#title").plain)  # type: ignore[attr-defined]
        assert "labtui may not list pods" in title


async def test_an_empty_screen_names_what_it_lacks_most() -> None:
    """Without processes it is those who tell them that are missing, not Slurm."""
    failed: dict[str, Any] = {name: Fault("timeout", "no answer") for name in GPU_READINGS}
    app = gpu_app(failed, screen="processes")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, LabScreen)
        await until(pilot, lambda: bool(screen.table.message))
        assert screen.table.message.startswith(("smi:", "nvml:"))
