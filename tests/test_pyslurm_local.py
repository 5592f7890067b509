"""`labtui.slurm` on this machine: without `connect`, Slurm's commands are run here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import labtui.slurm as pyslurm
from labtui.hosts.base import MAX_OUTPUT
from labtui.slurm import bridge

SAMPLES = Path(__file__).parent / "samples" / "slurm"

SCONTROL = r"""#!/bin/sh
case "$*" in
*config*) echo "ClusterName             = here" ;;
*"show job"*--json*) {json} ;;
*"show job"*) cat {samples}/text-24.11/job.txt ;;
*"show step"*--json*) cat {samples}/v0.0.42/step.json ;;
*"show step"*) cat {samples}/text-24.11/step.txt ;;
*) echo "scontrol: $*" >&2; exit 1 ;;
esac
"""
SQUEUE = r"""#!/usr/bin/env python3
import re, sys
form = dict(part.split(":", 1) for part in sys.argv[sys.argv.index("-O") + 1].split(","))
text = open("{samples}/text-24.11/job.txt").read()
for job, name in re.findall(r"^JobId=(\d+) .*?JobName=(.*)$", text, re.M):
    print(f"{{job}}{{form['JobID']}}{{form['Comment']}}{{name}}{{form['Name']}}")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in PATH with a Slurm of a few jobs in it."""
    bridge.close()
    install(tmp_path, "sinfo", "#!/bin/sh\necho slurm 24.11.5\n")
    install(tmp_path, "sbatch", "#!/bin/sh\ncat > {samples}/script\necho 17\n", samples=tmp_path)
    scontrol(tmp_path, f"cat {SAMPLES}/v0.0.42/job.json")
    install(tmp_path, "squeue", SQUEUE, samples=SAMPLES)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    yield tmp_path
    bridge.close()


def install(folder: Path, name: str, text: str, **words: object) -> None:
    path = folder / name
    path.write_text(text.format(**words) if words else text)
    path.chmod(0o755)


def scontrol(folder: Path, answer: str) -> None:
    install(folder, "scontrol", SCONTROL, json=answer, samples=SAMPLES)


def test_jobs_of_this_machine(here: Path) -> None:
    jobs = pyslurm.Jobs.load()
    recorded = json.loads((SAMPLES / "v0.0.42" / "job.json").read_text())["jobs"]
    assert sorted(jobs) == sorted(job["job_id"] for job in recorded)
    assert pyslurm.settings.LOCAL_CLUSTER == "here" and list(jobs.clusters()) == ["lab"]
    first = next(iter(jobs.values()))
    assert pyslurm.Job.load(first.id).name == first.name
    assert len(jobs.reload()) == len(jobs)
    assert set(pyslurm.JobSteps.load_all()) == {37, 38, 40, 49}


def test_more_jobs_than_json_can_tell(here: Path) -> None:
    scontrol(here, f"head -c {MAX_OUTPUT + 2} /dev/zero")
    jobs = pyslurm.Jobs.load()
    assert len(jobs) == 9 and list(jobs.clusters()) == ["here"]
    assert {job.user_name for job in jobs.values()} == {"labop"}


def test_a_submission_on_this_machine_runs_where_the_program_does(here: Path) -> None:
    script = "#!/bin/sh\necho one\n"
    assert pyslurm.JobSubmitDescription(script=script).submit() == 17
    assert (here / "script").read_text() == script


def test_json_that_is_not_whole_is_told(here: Path) -> None:
    scontrol(here, "echo '{{'")
    with pytest.raises(pyslurm.PyslurmError, match="not whole"):
        pyslurm.Jobs.load()
    scontrol(here, "echo hello")
    with pytest.raises(pyslurm.RPCError, match="not its JSON"):
        pyslurm.Jobs.load()


def test_a_slurm_without_json_is_read_by_its_text(here: Path) -> None:
    scontrol(here, "echo 'scontrol: unrecognized option --json' >&2; exit 1")
    install(here, "squeue", SQUEUE, samples=SAMPLES)
    assert pyslurm.Job.load(37).name == "p2_train"
    assert len(pyslurm.Jobs.load()) == 9


FORKED = """
import os, sys
import labtui.slurm as pyslurm

print(len(pyslurm.Jobs.load()), flush=True)
if (child := os.fork()) == 0:
    print(len(pyslurm.Jobs.load()), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
pyslurm.bridge.current().client.host = object()
if (child := os.fork()) == 0:
    try:
        pyslurm.Jobs.load()
    except pyslurm.PyslurmError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


def test_a_forked_process_does_not_wait_for_a_thread_it_has_not(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    *counts, told = done.stdout.splitlines()
    assert counts == ["4", "4", "0"] and "connect again" in told, done.stderr
