"""A pipeline by keyboard alone, at 80x24, on the real machines: submitted, watched in the queue,
one stage fails, is understood, and is submitted again from there to the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labtui.lab import machines
from labtui.lab.layout import Lab
from tmux import Terminal, terminal

pytestmark = [pytest.mark.terminal, pytest.mark.lab]
CONTROLLER = "desktop-gpu"
WORK = f"/mnt/nfs/labtui-test-{os.getpid()}"
FILE = f"""
[pipeline]
summary = "the end-to-end test, small; its export has no tool"
env = {{ DEMO = "1", WORK = "{WORK}", EXPORT = "{WORK}/onnx-export" }}
set = {{ memory = "50M", time = "5", cpus = "1", gpus = "" }}
[stages.prepare]
template = "data-prep"
[stages.train]
template = "llama-lora"
after = {{ prepare = "ok" }}
[stages.export]
template = "model-export"
after = {{ train = "ok" }}
[stages.deploy]
template = "edge-deploy"
after = {{ export = "ok" }}
"""
EDITOR = f"sed -i 's|, EXPORT = \"{WORK}/onnx-export\"||'"
"""What the person does in the editor: takes the wrong tool out."""
Open = Callable[[], contextlib.AbstractContextManager[Terminal]]


def slurm(lab: Lab, *argv: str) -> str:
    full = ("runuser", "-u", "labop", "--", *argv)
    return machines.run(lab, CONTROLLER, full, check=False).stdout.strip()


@pytest.fixture
def open_console(lab: Lab, tmp_path: Path) -> Iterator[Open]:
    jobs = tmp_path / "config" / "labtui" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "small.pipeline.toml").write_text(FILE)

    @contextlib.contextmanager
    def start() -> Iterator[Terminal]:
        argv = (sys.executable, "-m", "labtui", "--config", str(lab.config), "--screen", "jobs")
        env = {
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "VISUAL": EDITOR,
        }
        with terminal(*argv, size=(80, 24), **env) as t:
            t.wait(r"Jobs [1-9]")
            yield t

    yield start
    for run in (tmp_path / "state" / "labtui" / f"{lab.name}-pipelines").glob("*.json"):
        ids = [stage["job_id"] for stage in json.loads(run.read_text())["stages"]]
        slurm(lab, "scancel", *ids)
    slurm(lab, "rm", "-rf", WORK)


def confirm(t: Terminal, title: str) -> None:
    t.wait(title)
    time.sleep(0.4)  # a key that comes at once is no answer
    t.keys("y")


def choose(t: Terminal, name: str) -> None:
    """A pipeline, or its newest run, by its name."""
    t.keys("N")
    t.wait("Pipelines")
    t.type(name)
    t.wait(rf"▌ {name}")
    t.keys("Enter")
    t.wait(f"Pipeline {name}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stage_fails_and_is_taken_up_from_there(lab: Lab, open_console: Open) -> None:
    with open_console() as t:
        choose(t, "small")
        screen = t.wait("not submitted yet")
        assert re.search(r"▌ prepare +cpu: 1 cpu 50M 5", screen)
        assert re.search(r"^      └ deploy +edge", screen, re.MULTILINE)
        t.keys("C-s")
        t.wait(r"'--dependency=afterok:<train>' < export")
        confirm(t, "Submit small: 4 jobs")
        screen = t.wait(r"prepare .* (\d+) (pending|running|done)")
        ids = re.findall(r"(?:prepare|train|export|deploy) .* (\d+) \w", screen)
        assert len(ids) == 4, screen

        # In the queue, with what each waits for
        t.keys("Escape")
        t.wait("WHY / WHERE")
        t.keys("/")
        t.wait("^/")
        t.type("edge-deploy")
        t.keys("Enter")
        t.wait(rf"{ids[3]} +edge-deploy")
        t.keys("Escape")
        t.gone("/edge-deploy")

        # The one that failed, and why
        choose(t, "small")
        screen = t.wait(r"▌.*└ export .* failed", timeout=90)
        assert re.search(r"train .* done", screen)
        t.wait(r"onnx-export is not there: install it")
        t.wait(rf"{ids[3]} never starts")
        t.keys("Enter")
        t.wait(rf"Job {ids[2]} model-export +failed")
        t.wait("onnx-export is not there")
        t.keys("Escape")
        t.wait("Pipeline small")

        # Mended in the editor, and from there to the end
        t.keys("e")
        time.sleep(0.5)
        t.wait("Pipeline small")
        t.keys("f")
        t.wait("Submit small: from export on")
        t.wait(f"scancel {ids[3]}")
        confirm(t, "from export on")
        screen = t.wait(r"deploy .* (\d+) done", timeout=90)
        again = re.findall(r"(?:prepare|train|export|deploy) .* (\d+) done", screen)
        assert again[:2] == ids[:2] and not set(again[2:]) & set(ids)
        t.wait("4 of 4 done")
        t.keys("j", "j", "j")
        t.wait("3 times 2 is 6.0")
        t.keys("Escape")
        t.wait("WHY / WHERE")
        t.wait("q quit")
        t.keys("q")
        t.wait("ended with 0", timeout=6)
    states = slurm(lab, "squeue", "-h", "-t", "all", "-o", "%T", "-j", ",".join(again))
    assert set(states.split()) == {"COMPLETED"}


@pytest.mark.slow
def test_a_job_after_another(lab: Lab, open_console: Open) -> None:
    """`d` waits for the job under the cursor."""
    made = slurm(lab, "sbatch", "--parsable", "-p", "cpu", "-t", "5", "--mem=20", "-J", "first",
                 "-o", "/dev/null", "--wrap", "sleep 200")  # fmt: skip
    try:
        with open_console() as t:
            t.keys(":")
            t.wait("^:")
            t.type(made)
            t.keys("Enter")
            t.wait(rf"^ {made} first")
            t.keys("d")
            screen = t.wait("New job")
            t.wait(rf"after +{made} ok")
            for text in ("second", "cpu", "", "1", "20M", "5", "true"):
                t.type(text)
                t.keys("Tab")
            t.wait(rf"#SBATCH --dependency=afterok:{made}")
            t.keys("C-s")
            confirm(t, "Submit second")
            screen = t.wait(r"Job \d+ second")
            job_id = re.findall(r"Job (\d+) second", screen)[0]
            said = slurm(lab, "squeue", "-h", "-j", job_id, "-o", "%E %r")
            assert said.startswith(f"afterok:{made}") and "Dependency" in said
            slurm(lab, "scancel", job_id)
            t.keys("Escape")
            t.wait("WHY / WHERE")
    finally:
        slurm(lab, "scancel", made)
