"""MLflow's tracking server on xps15-cpu, and real training runs that Slurm jobs log into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from labtui.lab import machines, net, progress
from labtui.lab.gpu_service import python_version
from labtui.lab.layout import (
    CONTROLLER,
    MACHINES,
    MONITOR,
    PORTS,
    SHARE,
    Health,
    Lab,
    Say,
)
from labtui.lab.monitoring import get
from labtui.lab.progress import Progress, pip_install
from labtui.lab.system import LabError, enable, locked, wait_for, write

VERSION = "3.17.2"
LOCK = resources.files("labtui.lab") / "mlflow.lock"
TRAINING = resources.files("labtui.lab") / "training"
URL = f"http://{MACHINES[MONITOR].address}:{PORTS['mlflow']}"
ALLOWED = ",".join(
    f"{host}:{PORTS['mlflow']}"
    for host in (MACHINES[MONITOR].address, MONITOR, "localhost", "127.0.0.1")
)

UNIT = f"""\
[Unit]
Description=MLflow tracking server
After=network.target
# Absent until it is installed, a first time, while the machines already run.
ConditionPathExists=/opt/mlflow/site

[Service]
DynamicUser=yes
StateDirectory=mlflow
CacheDirectory=mlflow
WorkingDirectory=/var/lib/mlflow
Environment=HOME=/var/lib/mlflow PYTHONPATH=/opt/mlflow/site PYTHONUNBUFFERED=1
# The installation is read-only and for every lab: what is compiled of it is kept here.
Environment=PYTHONPYCACHEPREFIX=/var/cache/mlflow
Environment=MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
Environment=MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
ExecStart=/usr/bin/python3 -m mlflow server --host 0.0.0.0 --port {PORTS["mlflow"]} --workers 1 \\
  --backend-store-uri sqlite:////var/lib/mlflow/mlflow.db \\
  --artifacts-destination /var/lib/mlflow/artifacts --allowed-hosts {ALLOWED}
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

JOBS = f"{SHARE}/jobs/training"
RUNS: dict[str, tuple[str, list[str], list[str]]] = {
    # job name: (account, sbatch's options, train.py's arguments)
    "spirals-slow": ("ana", ["--partition=cpu"], ["spirals", "--learning-rate", "0.02"]),
    "spirals-good": (
        "ana",
        ["--partition=gpu", "--gres=gpu:1"],
        ["spirals", "--learning-rate", "0.2"],
    ),
    "spirals-wide": (
        "ana",
        ["--partition=gpu", "--gres=gpu:2"],
        ["spirals", "--learning-rate", "0.2", "--hidden", "32"],
    ),
    "drift-slow": (
        "ben",
        ["--partition=edge", "--gres=gpu:jetson:1"],
        ["drift", "--learning-rate", "0.01"],
    ),
    "drift-good": ("ben", ["--partition=cpu"], ["drift", "--learning-rate", "0.1"]),
    # Diverges, as a learning rate of 3 does on this problem: the run ends FAILED by itself.
    "drift-too-fast": ("ben", ["--partition=cpu"], ["drift", "--learning-rate", "3"]),
}


def folder(lab: Lab) -> Path:
    """What the machine binds; `site` appears in it when the installation is whole."""
    return lab.cache / f"mlflow-{VERSION}-py{python_version(lab).replace('.', '')}"


def lock_file(lab: Lab) -> Path:
    """Held by whoever installs it: one at a time over all labs."""
    return lab.cache / "mlflow.lock"


class Mlflow:
    """SQLite, one worker, no job execution, nothing sent home."""

    name = "mlflow"
    machine = MONITOR
    packages: Sequence[str] = ()

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return [(folder(lab), "/opt/mlflow")]

    def prepare(self, lab: Lab, say: Say) -> None:
        folder(lab).mkdir(parents=True, exist_ok=True)
        root = lab.machine_root(self.machine)
        write(root / "etc/systemd/system/mlflow.service", UNIT)
        enable(root, "mlflow")

    def finish(self, lab: Lab, say: Say) -> None:
        told = Progress(lab.progress / "mlflow.json")
        if not (folder(lab) / "site").is_dir():
            told.tell("building", f"installing MLflow {VERSION} (half a minute, once)")
            install(lab)
        told.tell("starting", "MLflow starts")
        machines.run(lab, self.machine, ["systemctl", "start", "--no-block", "mlflow"])
        wait_for("MLflow", lambda: _unreachable(lab), timeout=120, every=0.5)
        submit_runs(lab, say)
        told.tell("running", "")

    def health(self, lab: Lab) -> Health:
        why = _unreachable(lab)
        if not why:
            return Health("running")
        told = lab.progress / "mlflow.json"
        return progress.health(told, lock_file(lab), Health("failed", why))


def install(lab: Lab) -> None:
    """The pinned wheels for the root's Python, into the cache, once. Raises LabError."""
    target = folder(lab) / "site"
    with locked(lock_file(lab), 1800):
        if target.is_dir():
            return
        draft = folder(lab) / ".site"
        shutil.rmtree(draft, ignore_errors=True)
        with resources.as_file(LOCK) as lock:
            pip_install(
                draft,
                [
                    *("--no-deps", "--require-hashes", "--only-binary=:all:"),
                    *("--python-version", python_version(lab), "-r", str(lock)),
                ],
            )
        draft.replace(target)


def submit_runs(lab: Lab, say: Say) -> None:
    """Each of RUNS by sbatch, once in the life of the lab's machines."""
    marker = lab.machine_dir(MONITOR) / "training.json"
    done: dict[str, str] = json.loads(marker.read_text()) if marker.is_file() else {}
    if set(RUNS) <= set(done):
        return
    machines.run(lab, CONTROLLER, ["install", "-d", "-m", "2775", "-g", "research", JOBS])
    for name in ("train.py", "train.sbatch"):
        script = (TRAINING / name).read_text()
        machines.run(lab, CONTROLLER, ["tee", f"{JOBS}/{name}"], stdin=script)
    for name, (user, options, arguments) in RUNS.items():
        if name in done:
            continue
        command = [
            *("runuser", "-u", user, "--", "sbatch", "--parsable", f"--job-name={name}"),
            *(f"--chdir={JOBS}", f"--output={JOBS}/{name}-%j.out", *options),
            *(f"--export=ALL,MLFLOW_TRACKING_URI={URL}", f"{JOBS}/train.sbatch", *arguments),
        ]
        done[name] = machines.run(lab, CONTROLLER, command).stdout.strip()
        write(marker, json.dumps(done) + "\n")
    say(f"submitted {len(done)} training runs")


def _unreachable(lab: Lab) -> str:
    try:
        net.call(lab, get, f"{URL}/health")
    except (OSError, LabError) as e:
        return f"MLflow on {MONITOR}: {e}"
    return ""
