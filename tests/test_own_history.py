"""Jobs that have ended, where Slurm keeps no accounting: as consoles here have seen them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from labtui.collectors.queue import build
from labtui.config import Config, NodeConfig, SlurmConfig
from labtui.history import History, default_path, read_ended
from labtui.slurm.client import SlurmClient
from labtui.store import Reading, Store
from slurmhost import ScriptedHost, marks_of, record

CONFIG = Config(nodes={"here": NodeConfig(transport="local")}, slurm=SlurmConfig(login="here"))


def slurm(*answers: list[dict[str, str]]) -> SlurmClient:
    """squeue gives these answers one after the other; sacct has none."""
    rest = list(answers)

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[0] == "squeue":
            jobs = rest.pop(0)
            return 0, "".join(record(marks_of(argv), **job) for job in jobs), ""
        if argv[0] == "sinfo":
            return 0, "slurm 24.11.5\n", ""
        return 1, "", "Slurm accounting storage is disabled"

    return SlurmClient(ScriptedHost(reply))


def ended(job_id: str, at: float) -> dict[str, str]:
    return {"JobArrayID": job_id, "JobID": job_id, "State": "FAILED", "EndTime": str(int(at)),
            "exit_code": "1:0", "SubmitTime": str(int(at) - 60)}  # fmt: skip


async def test_a_job_that_squeue_forgot_is_still_there_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    now = time.time()
    client = slurm([ended("7", now - 10), ended("5", now - 90 * 3600), {}], [])
    store, path = Store(), default_path("lab")
    store.declare("slurm.jobs", "slurm", 2.0)
    history = History(path)
    history.follow(store)
    for _ in range(2):
        jobs = await client.jobs()
        store.put(Reading("slurm.jobs", jobs, None, time.time(), 0.1))
    (finished,) = (c for c in build(CONFIG, client) if c.name == "slurm.finished")
    found = await finished.collect()
    assert [(job.job_id, job.state, job.source) for job in found] == [("7", "FAILED", "labtui")]
    history.close()

    later = slurm([])
    (finished,) = (
        c
        for c in build(CONFIG, later, lambda since: read_ended(path, since))
        if c.name == "slurm.finished"
    )
    again = await finished.collect()
    assert [(job.job_id, job.exit_code) for job in again] == [("7", "1:0")]


def test_a_file_that_cannot_be_read_tells_of_none(tmp_path: Path) -> None:
    assert read_ended(tmp_path / "absent.db", 0.0) == []
    (tmp_path / "odd.db").write_bytes(b"no database")
    assert read_ended(tmp_path / "odd.db", 0.0) == []
