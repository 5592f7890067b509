"""A pipeline on screen: hostile files, files that break while it is open, read-only, its editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from labtui.app import LabApp
from labtui.kept import Kept
from labtui.screens.menu import Menu
from labtui.screens.pipeline import PipelineScreen
from labtui.screens.plan import PlanDialog
from labtui.slurm.pipelines import PipelineRun, StageRun
from labtui.slurm.templates import own_folder
from labtui.widgets.lines import Lines
from sample_lab import NOW, frozen, sample_app, until
from test_traps import assert_inert

__all__ = ["frozen"]

GOOD = '[stages.a]\ncommand = "true"\n[stages.b]\ncommand = "true"\nafter = "a"\n'


@pytest.fixture(autouse=True)
def own(frozen: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = own_folder()
    folder.mkdir(parents=True)
    return folder


async def choose(pilot: Pilot[Any], name: str) -> PipelineScreen:
    app = pilot.app
    await pilot.press("N")
    await until(pilot, lambda: isinstance(app.screen, Menu))
    await pilot.press(*name, "enter")
    await until(pilot, lambda: isinstance(app.screen, PipelineScreen))
    screen = app.screen
    assert isinstance(screen, PipelineScreen)
    return screen


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def said(screen: PipelineScreen) -> str:
    return screen.query_one("#problems", Lines).plain


async def test_hostile_files_are_inert(own: Path) -> None:
    (own / "evil.pipeline.toml").write_text(
        '[pipeline]\nsummary = "\\u001b[2J[red]x\\u202e"\n'
        '[stages.a]\ncommand = "echo \\u001b]0;owned\\u0007 [/b]"\nset = { name = "[@click=x]" }\n'
    )
    (own / "worse\x1b[31m.pipeline.toml").write_text("x")
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("N")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        assert_inert(app)
        await pilot.press("escape")
        await choose(pilot, "evil")
        assert_inert(app)
        await pilot.press("j", "k", "v", "enter", "G")
        assert_inert(app)


async def test_a_file_that_broke_meanwhile_is_told(own: Path) -> None:
    path = own / "mine.pipeline.toml"
    path.write_text(GOOD)
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await choose(pilot, "mine")
        path.write_text(GOOD + 'set = { memory = "lots" }\n')
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "stages.b.set.memory: memory: 'lots'" in said(screen))
        assert app.screen is screen
        path.write_text(GOOD)
        await pilot.press("j", "f")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))


async def test_read_only_watches_and_submits_nothing(own: Path) -> None:
    (own / "mine.pipeline.toml").write_text(GOOD)
    stages = (StageRun(stage="a", token="ab", job_id="1419"),)
    run = PipelineRun(id="ab", pipeline="mine", source="mine", at=NOW, stages=stages)
    Kept("lab").remember(run)
    app = sample_app(screen="jobs", read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await choose(pilot, "mine")
        assert "1419 failed" in screen.query_one("#stages", Lines).plain
        for key in ("ctrl+s", "f"):
            await pilot.press(key)
            assert "read-only" in said(screen) and app.screen is screen


async def test_ours_is_copied_before_it_is_edited(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def change(path: Path) -> None:
        opened.append(path.name)
        path.write_text(path.read_text().replace('DEMO = "2"', 'DEMO = "7"'))

    async def hand_over(self: LabApp, argv: list[str]) -> int:
        change(Path(argv[-1]))
        return 0

    monkeypatch.setattr(LabApp, "hand_over", hand_over)
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await choose(pilot, "end-to-end-demo")
        await pilot.press("e")
        await until(pilot, lambda: "DEMO=7" in screen.stage.script)
        await pilot.press("t")
        await until(pilot, lambda: len(opened) == 2)
        assert opened == ["end-to-end-demo.pipeline.toml", "data-prep.sbatch"]
    assert _names(own) == set(opened)
