"""The form: any text in any field, in any order, is what sbatch reads, or is told to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from labtui.screens.menu import Menu
from labtui.screens.submit import SubmitScreen
from labtui.slurm.form import FIELD, FIELDS, is_set, set_field, value_of, word_of
from labtui.slurm.options import OPTIONS
from labtui.slurm.script import BatchScript, ScriptError, batch_script, directives, parse_script
from labtui.slurm.types import Association, Partition, Qos
from labtui.slurm.usage import Context
from labtui.views.submitform import choices, notes, problems, shown
from labtui.widgets.lines import Lines
from sample_lab import frozen, sample_app, until

__all__ = ["frozen"]

TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["2", "gpu:2", "0", "8G", "1-00:00:00", "1429", "1429 ok", "12,13 failed", "afterok:1?",
         "yes", "no", "YES", "x\n#SBATCH --uid=0", "#SBATCH --uid=0", "a b", '"', "'", "\\", "#",
         "$(id)", "`id`", "--uid=0", "%j", "\x1b[2J", "\ud800", "é漢", " 4 ", "#PBS -N x", "=",
         "-", "2-4", "END", "now", "ALL", "\u2028", "\x85", "x" * 5000]
    ),
)  # fmt: skip
TYPED = st.lists(st.tuples(st.sampled_from(FIELDS), TEXT), max_size=8)


@settings(max_examples=400, deadline=None)
@given(TYPED)
def test_what_the_form_shows_is_what_sbatch_reads(typed: list[tuple[Any, str]]) -> None:
    job = BatchScript()
    for field, text in typed:
        job = set_field(job, field, text)
    found = problems(Context(0.0), job)
    assert all("\n" not in problem for problem in found)
    try:
        script = job.script()
    except ScriptError as error:
        assert found == [f"{word_of(error.field)}: {error.message}"]
        parse_script(job.text())  # the editor may have it all the same
        return
    read = parse_script(script)
    assert dict(read.options) == dict(job.options) == directives(script)
    assert read.body == job.body.strip("\n") and read.extra == ()
    for field in FIELDS:
        assert value_of(read, field) == value_of(job, field)
        if field.id != "command" or "\n" not in job.body.strip():
            assert set_field(read, field, value_of(read, field)).options == read.options


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT)
def test_a_command_gives_no_directive(first: str, second: str) -> None:
    job = set_field(BatchScript(), FIELD["command"], f"{first}\n{second}")
    try:
        script = job.script()
    except ScriptError:
        return
    assert directives(script) == {}


@pytest.mark.parametrize(
    ("field", "typed", "option", "shows"),
    [
        ("gpus", "2", "gpu:2", "2"),
        ("gpus", "gpu:jetson:1", "gpu:jetson:1", "gpu:jetson:1"),
        ("gpus", "0", "", ""),
        ("after", "1429", "afterok:1429", "1429 ok"),
        ("after", "1429,1430 any", "afterany:1429:1430", "1429,1430 any"),
        ("after", "1429_3 failed", "afternotok:1429_3", "1429_3 failed"),
        ("after", "1429 started", "after:1429", "1429 started"),
        ("after", "afterok:1,singleton", "afterok:1,singleton", "afterok:1,singleton"),
        ("exclusive", "user", "user", "user"),
        ("memory", " 8G ", "8G", "8G"),
    ],
)
def test_what_fields_take_and_show(field: str, typed: str, option: str, shows: str) -> None:
    job = set_field(batch_script("true"), FIELD[field], typed)
    assert job.get(FIELD[field].option) == option
    assert value_of(job, FIELD[field]) == shows


def test_options_that_stand_alone_take_yes_and_no() -> None:
    job = batch_script("true")
    for id in ("hold", "exclusive", "requeue"):
        on = set_field(job, FIELD[id], "yes")
        assert FIELD[id].option in on.options and value_of(on, FIELD[id]) == "yes"
        assert set_field(on, FIELD[id], "no") == set_field(on, FIELD[id], "") == job


def test_every_option_of_sbatch_is_a_field_with_help() -> None:
    assert {f.option for f in FIELDS} - {""} >= set(OPTIONS)
    assert all(f.help and len(f.help) < 76 for f in FIELDS)
    first = shown(BatchScript(), opened=False)
    assert [f.id for f in first] == ["name", "partition", "gpus", "cpus", "memory", "time",
                                     "command"]  # fmt: skip
    used = shown(batch_script("x", tres_per_task="cpu:2", comment="c"), opened=False)
    assert [f.id for f in used[7:]] == ["comment", "tres-per-task"]
    assert len(shown(BatchScript(), opened=True)) > 20
    assert is_set(batch_script("x"), FIELD["command"])


def test_fields_are_completed_with_what_there_is() -> None:
    known = Context(
        0.0,
        partitions=[Partition("gpu"), Partition("cpu", is_default=True, max_time=90)],
        qos=[Qos(name="normal"), Qos(name="high")],
        associations=[Association(cluster="c", account="research", user="ana")],
        me="ana",
    )
    assert choices(known, FIELD["partition"]) == ["gpu", "cpu"]
    assert choices(known, FIELD["qos"]) == ["normal", "high"]
    assert choices(known, FIELD["account"]) == ["research"]
    assert "append" in choices(known, FIELD["open-mode"]) and choices(known, FIELD["hold"])
    said = notes(known, BatchScript())
    assert said["partition"] == "default cpu" and said["time"] == "max 90 min"
    assert said["qos"] == "normal high" and said["account"] == "research"


# On the screen


def form(pilot: Pilot[Any]) -> SubmitScreen:
    screen = pilot.app.screen
    assert isinstance(screen, SubmitScreen)
    return screen


@pytest.fixture
def _own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.usefixtures("frozen", "_own")
async def test_tiers_and_any_option_by_name() -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        screen = form(pilot)
        assert len(screen.query(Input)) == 7
        for _ in range(7):
            await pilot.press("tab")
        await pilot.press("enter")  # on "+ 21 common fields"
        await until(pilot, lambda: len(screen.query(Input)) == 28)
        await pilot.press("ctrl+f")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press(*"switches", "enter")
        await until(pilot, lambda: len(screen.query("#field-switches")) == 1)
        await until(pilot, lambda: getattr(screen.focused, "id", "") == "field-switches")
        await pilot.press(*"1@0:30")
        await until(pilot, lambda: screen.job.get("switches") == "1@0:30")
        await pilot.press(*(["backspace"] * 6))
        await until(pilot, lambda: "switches" not in screen.job.options)
        assert screen.query("#field-switches")


@pytest.mark.usefixtures("frozen", "_own")
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (40, 12)])
async def test_odd_text_in_fields_is_no_traceback(size: tuple[int, int]) -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=size) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        screen = form(pilot)
        odd = ["[red]x", "\u202e", "1429", "#SBATCH", '"', "é漢", "x" * 300, "2", "-1", "\\"]
        for number, box in enumerate(screen.query(Input)):
            box.value = odd[number % len(odd)]
        await pilot.pause(0.2)
        await pilot.press("ctrl+s", "escape", "escape")
        await pilot.pause(0.1)
        assert app.is_running


@pytest.mark.usefixtures("frozen", "_own")
async def test_a_job_after_others_and_a_template_keeps_waiting() -> None:
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"1422", "enter", "d")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        screen = form(pilot)
        assert screen.job.get("dependency") == "afterok:1422"
        assert screen.query_one("#field-after", Input).value == "1422 ok"
        await pilot.press("ctrl+t", *"sweep", "enter")
        await until(pilot, lambda: screen.job.get("array") == "0-9%2")
        assert screen.job.get("dependency") == "afterok:1422"
        await until(pilot, lambda: len(screen.query("#field-array")) == 1)
        box = screen.query_one("#field-command", Input)
        assert box.disabled and "ctrl+e edits" in box.value
        assert "rates=" in screen.job.body


@pytest.mark.usefixtures("frozen", "_own")
async def test_what_was_not_in_its_script_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def as_it_was(client: Any, kept: Any, job: Any) -> tuple[str, tuple[str, ...]]:
        return "#!/bin/sh\n#SBATCH -p gpu --gres=gpu:2\nsleep 1\n", ("partition", "gres")

    monkeypatch.setattr("labtui.screens.again.as_it_was", as_it_was)
    app = sample_app(screen="jobs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"1422", "enter", "e")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        screen = form(pilot)
        assert screen.query_one("#field-gpus", Input).value == "2"
        said = screen.query_one("#problems", Lines)
        await until(pilot, lambda: "but so it was: partition, gpus" in said.plain)
