"""The key map is checked when it is read: Textual would ignore an unknown id and a clash."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from labtui.actions import offered
from labtui.keys import KeyMap, KeyMapError
from labtui.registry import ACTIONS, COMMANDS, SUBJECTS
from labtui.screens.plan import PlanDialog
from labtui.spec import Wanted
from sample_lab import CONFIG, frozen, sample_app, until

__all__ = ["frozen"]


def problems(own: dict[str, str]) -> list[str]:
    with pytest.raises(KeyMapError) as error:
        KeyMap(own)
    return error.value.problems


def test_the_defaults_have_no_clash_and_no_gap() -> None:
    keys = KeyMap()
    for subject in SUBJECTS:
        for spec in (*keys.of(subject.name), *COMMANDS):
            if spec.subjects and subject.name not in spec.subjects:
                continue
            assert keys.lookup(subject.name, keys.keys[spec.id]) is spec
    assert {s.id for s in ACTIONS} <= set(keys.keys)


def test_what_an_action_names_is_there() -> None:
    """The table names functions and secrets by `module:name`: no type checker sees those."""
    text = Path(offered.__file__).read_text()
    targets = set(re.findall(r'"([a-z.]+:\w+)"', text))
    assert len(targets) > 30
    for target in targets - {"module:name"}:
        thing = offered.found(target)
        assert callable(thing) or isinstance(thing, Wanted), target


def test_an_unknown_id_is_told_with_the_nearest() -> None:
    (line,) = problems({"queue.cancle": "x"})
    assert "'queue.cancle' is no action" in line and "did you mean 'queue.cancel'?" in line


@pytest.mark.parametrize("key", ["enter", "escape", "ctrl+c", "xx", "", "ctrl+", "\x1b", "é"])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    (line,) = problems({"queue.cancel": key})
    assert line.startswith("keys: queue.cancel:") and "write one key such as x" in line
    assert line.isprintable()


def test_a_clash_names_both_and_the_screen() -> None:
    (line,) = problems({"queue.cancel": "h"})
    assert "'h' is both queue.cancel and queue.hold on jobs" in line
    assert any("quit" in p and "nodes" in p for p in problems({"nodes.drain": "q"}))


def test_every_problem_is_told_at_once() -> None:
    assert len(problems({"nope": "x", "queue.cancel": "enter", "queue.hold": "n"})) == 3


def test_two_keys_may_change_places() -> None:
    keys = KeyMap({"queue.cancel": "h", "queue.hold": "c"})
    found = keys.lookup("jobs", "h")
    assert found and found.id == "queue.cancel"
    assert KeyMap({"filter": "?", "help": "/"}).key("filter") == "?"


@pytest.mark.usefixtures("frozen")
async def test_a_remapped_key_does_it_and_the_old_one_does_not() -> None:
    config = msgspec.structs.replace(CONFIG, keys={"queue.cancel": "u", "help": "f1"})
    app = sample_app(screen="jobs", config=config)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.screen.goto("jobs", "1422")  # type: ignore[attr-defined]
        await pilot.pause()
        foot = app.screen.query_one("#foot").plain  # type: ignore[attr-defined]
        assert " u cancel" in foot and " f1 help" in foot and " c " not in foot
        await pilot.press("c")
        await pilot.pause(0.1)
        assert not isinstance(app.screen, PlanDialog)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, PlanDialog))
        await pilot.press("escape", "f1")
        await until(pilot, lambda: "Help" in str(app.screen.query_one("#top").plain))  # type: ignore[attr-defined]
        assert re.search(r"\bu +cancel", app.screen.query_one("#page").plain)  # type: ignore[attr-defined]


def labtui(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labtui", *argv], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_a_bad_key_map_ends_every_door_with_2(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[nodes.here]\ntransport = "local"\n[keys]\n"queue.cancle" = "x"\nhelp = "q"\n'
    )
    done = labtui("config", "check", str(config))
    assert done.returncode == 2 and done.stdout == ""
    assert "did you mean 'queue.cancel'?" in done.stderr and "is both" in done.stderr
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m labtui --config {config}", "/dev/null"],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2 and "queue.cancle" in done.stdout, done
    assert "\x1b[?1049h" not in done.stdout, "the terminal is not touched"
