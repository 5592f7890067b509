"""Pictures of every screen at 80x24 and 120x40, of one recorded moment, in snapshots/.

`pytest tests/test_snapshots.py --snapshot-update` draws them anew; look at them before committing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot

from labtui.actions.base import Outcome
from labtui.app import LabApp
from labtui.kept import Kept
from labtui.screens.plan import PlanDialog
from labtui.slurm.pipelines import PipelineRun, StageRun
from sample_lab import DOWN, EMPTY, NOW, RecordedAction, cancel_plan, frozen, sample_app, until

__all__ = ["frozen"]

pytestmark = [
    pytest.mark.usefixtures("frozen"),
    # The pictures are named for readers, not for syrupy.
    pytest.mark.filterwarnings(r"ignore:\s*Can not relate snapshot"),
]
SMALL = (80, 24)
SIZES = pytest.mark.parametrize("size", [SMALL, (120, 40)], ids=["80x24", "120x40"])
Before = Callable[[Pilot[Any]], Awaitable[None]]
Picture = Callable[..., Awaitable[None]]


class Svg(SingleFileSnapshotExtension):
    """`test_subject[nodes-80x24]` is snapshots/subject-nodes-80x24.svg."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT

    @classmethod
    def dirname(cls, *, test_location: Any) -> str:
        return str(Path(super().dirname(test_location=test_location)).parent)

    @classmethod
    def get_snapshot_name(cls, *, test_location: Any, index: Any = 0) -> str:
        name = super().get_snapshot_name(test_location=test_location, index=index)
        return name.removeprefix("test_").replace("[", "-").replace("]", "").replace("_", "-")


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> Picture:
    """Compares what the app shows, once it has settled, with the picture of this test."""

    async def compare(
        app: LabApp,
        size: tuple[int, int] = SMALL,
        *,
        keys: list[str] | None = None,
        before: Before | None = None,
    ) -> None:
        async with app.run_test(size=size) as pilot:
            if before or keys:
                await settled(pilot)
            if before:
                await before(pilot)
            for key in keys or ():
                await pilot.press(key)
            shown = await settled(pilot)
        assert shown == snapshot(extension_class=Svg)

    return compare


async def settled(pilot: Pilot[Any]) -> str:
    """What is shown once it has stood still: the app's own clock repaints what is late."""
    shown, same = "", 0
    for _ in range(100):
        await pilot.pause(0.06)
        last, shown = shown, pilot.app.export_screenshot(title="labtui")
        same = same + 1 if shown == last else 0
        if same == 2:
            break
    return shown


def told(pilot: Pilot[Any], selector: str) -> str:
    """What a widget of lines shows."""
    found = pilot.app.screen.query(selector)
    return str(getattr(found.first(), "plain", "")) if found else ""


@SIZES
@pytest.mark.parametrize("screen", ["nodes", "gpus", "jobs", "vault", "agents", "runs"])
async def test_subject(picture: Picture, screen: str, size: tuple[int, int]) -> None:
    await picture(sample_app(screen=screen), size)


@SIZES
@pytest.mark.parametrize(
    ("screen", "keys"),
    [
        pytest.param("nodes", ["enter"], id="detail-node"),
        pytest.param("gpus", ["enter"], id="detail-gpu"),
        pytest.param("nodes", ["question_mark"], id="help"),
        pytest.param("jobs", ["a"], id="actions"),
        pytest.param("nodes", ["i"], id="sources"),
        pytest.param("jobs", ["ctrl+p", *"canc"], id="palette"),
    ],
)
async def test_page(picture: Picture, screen: str, keys: list[str], size: tuple[int, int]) -> None:
    await picture(sample_app(screen=screen), size, keys=keys)


@SIZES
async def test_submit_form(picture: Picture, size: tuple[int, int]) -> None:
    async def fill(pilot: Pilot[Any]) -> None:
        await pilot.press("n")
        await pilot.press(*"train", "tab", *"gpu", "tab", "2", "tab", "4", "tab", *"8G")
        await pilot.press("tab", *"5000", "tab", *"python train.py")
        await until(pilot, lambda: "start estimate" in told(pilot, "#problems"))

    await picture(sample_app(screen="jobs"), size, before=fill)


@SIZES
async def test_pipeline(
    picture: Picture, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of which a stage failed: where, why, and what never starts for it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    stages = zip(
        ("prepare", "train", "export", "deploy"), ("1417", "1419", "1432", "1434"), strict=True
    )
    run = PipelineRun(
        id="ab", pipeline="end-to-end", source="end-to-end", at=NOW,
        stages=tuple(StageRun(stage=n, token="ab", job_id=i) for n, i in stages),
    )  # fmt: skip
    Kept("lab").remember(run)

    async def show(pilot: Pilot[Any]) -> None:
        await pilot.press("N")
        await pilot.press(*"end-to-end", "enter")
        await until(pilot, lambda: "1419" in told(pilot, "#page"))

    await picture(sample_app(screen="jobs"), size, before=show)


@SIZES
@pytest.mark.parametrize("log", [False, True], ids=["state", "log"])
async def test_job(picture: Picture, log: bool, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"1422", "enter", "l" if log else "enter")
        await until(pilot, lambda: "checkpoint" in told(pilot, "#log"))

    await picture(sample_app(screen="jobs"), size, before=look)


@SIZES
@pytest.mark.parametrize(
    ("job", "key", "words"),
    [
        pytest.param("vision-eval", "w", "What would help", id="why"),
        pytest.param("big-batch", "E", "For the next one", id="efficiency"),
        pytest.param("vision-eval", "v", "srun python", id="script"),
    ],
)
async def test_of_job(
    picture: Picture, job: str, key: str, words: str, size: tuple[int, int]
) -> None:
    async def look(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *job, "enter", key)
        await until(pilot, lambda: words in told(pilot, "#page") + told(pilot, "#log"))

    await picture(sample_app(screen="jobs"), size, before=look)


REFUSED = Outcome(
    "failed",
    "Slurm refused: access or permission denied: on desktop-gpu this account may not do that to"
    " another's job",
)
SCRIPT = "#!/bin/bash\n#SBATCH --job-name=train\n#SBATCH --partition=gpu\n\npython train.py\n"


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        pytest.param({}, None, id="asks"),
        pytest.param({}, REFUSED, id="failed"),
        pytest.param(
            {"dangerous": True, "confirm_word": "3 jobs", "title": "Cancel 3 jobs"},
            None,
            id="dangerous",
        ),
        pytest.param({"title": "Submit train", "preview": SCRIPT}, None, id="script"),
    ],
)
async def test_plan(picture: Picture, plan: dict[str, Any], outcome: Outcome | None) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        action = RecordedAction(cancel_plan(**plan), outcome or Outcome("done", ""))
        dialog = PlanDialog(action, "c")
        pilot.app.push_screen(dialog)
        await until(pilot, lambda: dialog._plan is not None)
        if outcome:
            dialog._go()
            await until(pilot, lambda: outcome.kind in told(pilot, "#plan"))

    await picture(sample_app(screen="jobs"), before=ask)


@pytest.mark.parametrize("screen", ["nodes", "jobs", "vault"])
@pytest.mark.parametrize(
    "readings",
    [
        pytest.param(DOWN, id="all-down"),
        pytest.param(EMPTY, id="empty"),
        pytest.param({}, id="waiting"),
    ],
)
async def test_without(picture: Picture, screen: str, readings: dict[str, Any]) -> None:
    await picture(sample_app(readings, screen=screen))


async def test_stale(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source stopped a minute ago: its age is told, the rows are dimmed."""

    async def later(pilot: Pilot[Any]) -> None:
        monkeypatch.setattr("time.time", lambda: NOW + 75)
        await pilot.press("2", "4")

    await picture(sample_app(screen="jobs"), before=later)


@SIZES
async def test_welcome(picture: Picture, size: tuple[int, int]) -> None:
    await picture(LabApp(None), size)


async def test_ascii(picture: Picture) -> None:
    await picture(sample_app(screen="gpus", ascii_mode=True))


async def test_read_only(picture: Picture) -> None:
    await picture(sample_app(screen="jobs", read_only=True))


async def test_no_colour(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await picture(sample_app(screen="nodes"))
