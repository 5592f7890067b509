"""Templates and pipelines on the lab's Slurm; what sbatch reads beside what we read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labtui.actions.pipeline import SubmitPipeline
from labtui.hosts.base import Host
from labtui.kept import Kept
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.options import OPTIONS
from labtui.slurm.pipelines import parse, pipelines
from labtui.slurm.script import directives
from labtui.slurm.templates import templates
from test_slurm_lab import Body, on, perform, until

__all__ = ["on"]

pytestmark = pytest.mark.lab

SMALL = """
[pipeline]
set = { memory = "20M", time = "5", partition = "cpu" }
[stages.one]
command = "true"
[stages.two]
command = "true"
after = "one"
[stages.three]
command = "exit 3"
after = "one"
[stages.four]
command = "true"
after = { two = "ok", three = "failed" }
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Kept("lab")


def test_slurm_takes_every_template_and_stage(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        found, broken = pipelines()
        assert broken == []
        scripts = {f"{p.name}/{s.name}": s.script for p in found for s in p.stages}
        scripts |= {t.name: t.script for t in templates()[0]}
        for name, script in scripts.items():
            try:
                assert (await slurm.test_only(script, chdir="/tmp")).nodes
            except RPCError as error:
                pytest.fail(f"{name}: {error.msg}")

    on(body)


async def as_sbatch_reads(login: Host, script: str) -> dict[str, str]:
    """Options that `sbatch -vv` says it found; empty where it refuses the script."""
    argv = ["sbatch", "--test-only", "-vv"]
    done = await login.run(argv, stdin=script, timeout=10)
    return dict(re.findall(r"^sbatch: (\S+) +: (.*)$", done.stderr, re.MULTILINE))


ODD = [
    "-J 'two words' # why", '--job-name="a#b" --comment=c#d', "--job-name='a\\\\b\"c'",
    "-HJ name", "--job=short", "--job-name a\\x20b", "-J a -J b", "-Jx --exclusive=user",
    "--job-name=é漢", "--job-name='' -p cpu", "-p cpu -J x -k",
]  # fmt: skip


def test_lines_are_read_as_sbatch_reads_them(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host) -> None:
        for line in ODD:
            script = f"#!/bin/sh\n#SBATCH {line}\ntrue\n"
            theirs = await as_sbatch_reads(login, script)
            ours = directives(script)
            for name in ("job-name", "comment", "partition"):
                if name in ours or theirs.get(name):
                    assert ours.get(name) == theirs.get(name), line

    on(body)


def test_options_are_sbatchs_own(on: Callable[[Body], Any]) -> None:
    """None of our names is unknown to this release, but those that say since when they are."""

    async def body(slurm: SlurmClient, login: Host) -> None:
        told = (await login.run(["sbatch", "--help"], timeout=10)).stdout
        known = set(re.findall(r"--([a-z][a-z-]+)", told))
        hidden = {"acctg-freq", "hint", "kill-on-invalid-dep", "mem-bind", "network", "nodefile",
                  "ntasks-per-gpu", "open-mode", "prefer", "wait-all-nodes", "get-user-env",
                  "power", "cluster-constraint"}  # fmt: skip
        newer = {name for name, option in OPTIONS.items() if "since" in option.help}
        assert set(OPTIONS) - known - hidden - newer == set()

    on(body)


def test_a_pipeline_with_its_dependencies(on: Callable[[Body], Any], kept: Kept) -> None:
    whole = parse("small", SMALL, "small")

    class Lossy(SlurmClient):
        """The answer for one stage never comes."""

        async def submit(self, script: str, **more: Any) -> str:
            job_id = await super().submit(script, **more)
            if "exit 3" in script:
                raise RPCError(msg="no answer", kind="timeout")
            return job_id

    async def body(slurm: SlurmClient, login: Host) -> None:
        action = SubmitPipeline(Lossy(login), whole, kept)
        outcome = await perform(action)
        assert outcome.kind == "done", outcome.message
        assert len(set(action.jobs.values())) == 4
        ends = {"one": "COMPLETED", "two": "COMPLETED", "three": "FAILED", "four": "COMPLETED"}
        for name, state in ends.items():
            await until(slurm, action.jobs[name], state, limit=90)
        (run,) = kept.runs()
        again = SubmitPipeline(slurm, whole, kept, start="two", before=run)
        assert (await perform(again)).kind == "done"
        # What it waits for is over: `four` waits for the new `two` alone.
        assert set(again.jobs) == {"two", "four"}
        await until(slurm, again.jobs["two"], "COMPLETED", limit=90)
        job = await until(slurm, again.jobs["four"], "COMPLETED", limit=90)
        assert job.name

    on(body)


def test_nothing_is_left_of_a_pipeline_that_was_refused(
    on: Callable[[Body], Any], kept: Kept
) -> None:
    class Picky(SlurmClient):
        async def submit(self, script: str, **more: Any) -> str:
            if "exit 3" in script:
                raise RPCError(msg="no such thing")
            return await super().submit(script, **more)

    async def body(slurm: SlurmClient, login: Host) -> None:
        action = SubmitPipeline(Picky(login), parse("small", SMALL, "small"), kept)
        outcome = await perform(action)
        assert outcome.kind == "failed" and "are cancelled again" in outcome.message
        ids = re.findall(r"job (\d+)", outcome.message)
        assert len(ids) == 2
        for job_id in ids:
            await until(slurm, job_id, "CANCELLED")

    on(body)
