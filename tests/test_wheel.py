"""The wheel: everything that runs from it is in it, and it runs from it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = (".tcss", ".sbatch", ".tsv", ".c", ".yml", ".lock", ".mod", ".sum", ".go", ".sh")
"""Suffixes of what is not Python and yet part of the program."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = out.glob("labtui-*.whl")
    return found


def test_everything_of_the_package_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "src/labtui"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    wanted = {name.removeprefix("src/") for name in listed}
    if not wanted:  # not a checkout: what there is
        files = (ROOT / "src/labtui").rglob("*")
        wanted = {str(f.relative_to(ROOT / "src")) for f in files if f.suffix in (*DATA, ".py")}
    assert wanted - names == set()
    for name in (
        "labtui.tcss", "playbooks/jobs/gpu.sbatch", "slurm/reasons.tsv", "lab/vaultmod/go.mod",
        "lab/vaultmod/main.go", "lab/nvml/nvml.c", "lab/rules.yml", "lab/training/train.py",
        "lab/training/train.sbatch", "lab/mlflow.lock",
    ):  # fmt: skip
        assert f"labtui/{name}" in names
    assert not [n for n in names if n.startswith(("tests/", "snapshots/")) or ".pyc" in n]
    assert any(n.endswith("LICENSE") for n in names)


def test_it_runs_where_pip_put_it(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own; the dependencies are those of this one, not fetched again."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin/python"
    target = next((home / "lib").glob("python*/site-packages"))
    (target / "theirs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    argv = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        python,
        "install",
    ]
    done = subprocess.run(
        [*argv, "-q", "--no-deps", "--no-index", "--force-reinstall", "--ignore-installed", wheel],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    labtui = home / "bin/labtui"

    def run(*words: str) -> str:
        done = subprocess.run(
            [labtui, *words], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import labtui; print(labtui.__file__)"],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert where.startswith(str(target)), "the installed one, not the checkout"
    assert run("--version").strip().endswith(wheel.name.split("-")[1])
    assert "queue.cancel" in run("config", "keys")
    run("config", "init", str(tmp_path / "c.toml"))
    assert "ok" in run("config", "check", str(tmp_path / "c.toml"))
