"""What is compared: labtui in two settings, its peers from PyPI, and two plain Textual apps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labtui.config import SlurmConfig
from labtui.lab.layout import Lab


@dataclass(frozen=True)
class Program:
    """One of those compared."""

    name: str
    argv: tuple[str, ...]
    poll: str = ""
    """A regular expression for the call that is its refresh."""
    refresh: bytes = b""
    """The key that has it ask at once."""
    pip: str = ""
    """What it is installed from, into an environment of its own."""
    needs: Callable[[], str] = lambda: ""
    """Why it cannot run, if so."""
    config: str = ""
    env: dict[str, str] = field(default_factory=dict)
    most: int = 1_000_000
    """More jobs than that are not tried: it would take all the time there is."""


CONFIG = """\
[cluster]
name = "bench"
[slurm]
login = "here"
{more}
[nodes.here]
transport = "local"
"""
LABTUI = (sys.executable, "-m", "labtui", "--config", "{config}", "--screen", "jobs")
PLAIN = (sys.executable, str(Path(__file__).with_name("plain.py")))
CTRL_R = b"\x12"
POLL = r"squeue .*-O JobArrayID"


FLOOR = "cat (the floor)"
"""It gives back each key: what the machine and this measuring take by themselves."""


def _tasks() -> str:
    return "" if hasattr(SlurmConfig(), "tasks") else "this labtui cannot show a row a task"


PROGRAMS = (
    Program("labtui", LABTUI, POLL, CTRL_R, config=CONFIG.format(more="")),
    Program(
        "labtui, a row a task",
        LABTUI,
        POLL,
        CTRL_R,
        needs=_tasks,
        config=CONFIG.format(more="tasks = true"),
    ),
    Program("turm", ("{bin}/turm",), "squeue ", pip="turm==0.17.0"),
    Program("stui", ("{bin}/stui",), "squeue ", pip="stui==0.3.6", most=10_000),
    Program(
        "slurmtui",
        ("{bin}/slurmtui", "--check_all_jobs"),
        "squeue ",
        CTRL_R,
        pip="slurmtui==0.6.3",
        most=10_000,
    ),
    Program("plain DataTable", (*PLAIN, "datatable"), POLL),
    Program("empty Textual app", (*PLAIN, "empty")),
    Program(FLOOR, ("sh", "-c", "stty raw -echo; printf 'job-\\n'; exec cat")),
)


def environment(requirement: str) -> Path:
    """The `bin` of a virtual environment with one peer in it; kept. Raises CalledProcessError."""
    folder = Lab().cache / "peers" / requirement.replace("==", "-")
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=120)
        install = [str(folder / "bin/python"), "-m", "pip", "-q", "install", requirement]
        subprocess.run(install, check=True, timeout=600)
        (folder / "done").touch()
    return folder / "bin"
