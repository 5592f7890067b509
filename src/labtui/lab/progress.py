"""Background work that takes a while: how far it is, and how its children are kept in hand."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from labtui.lab.layout import Health, State
from labtui.lab.system import LabError, write

LEASH = ("setpriv", "--pdeathsig", "KILL", "nice", "-n", "10")
"""Prefix of every long child: it dies with us (also by kill -9) and leaves the machine usable."""


STARTING_S = 180.0
"""After this long what still has not started will not."""


def _age(at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Progress(msgspec.Struct):
    """One JSON file `{state, percent, detail, started_at, updated_at}`; percent is an estimate."""

    path: Path
    started_at: str = msgspec.field(default_factory=now)
    _said: tuple[State, str, int | None] | None = None
    _at: float = 0.0

    def tell(self, state: State, detail: str, percent: int | None = None) -> None:
        """Written at most twice a second, except when the state changes."""
        said = (state, detail, percent)
        same_state = self._said is not None and self._said[0] == state
        if said == self._said or (same_state and time.monotonic() - self._at < 0.5):
            return
        self._said, self._at = said, time.monotonic()
        document = {
            "state": state,
            "percent": percent,
            "detail": detail,
            "started_at": self.started_at,
            "updated_at": now(),
        }
        write(self.path, json.dumps(document) + "\n")


def read(path: Path) -> dict[str, Any] | None:
    """What a progress file says; None where there is none or it is not readable."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def health(path: Path, lock: Path, otherwise: Health) -> Health:
    """The health that a progress file tells of work not done; `otherwise` where it is silent.

    A build is one only while somebody holds its lock: one that was killed tells nothing any more.
    """
    match read(path):
        case {"state": "building"} if not held(lock):
            return Health("stopped", "interrupted: the next `labtui lab up` goes on with it")
        case {"state": "building", "detail": str(detail), "percent": int(percent)}:
            return Health("building", f"{percent} %: {detail}")
        case {"state": "building", "detail": str(detail)}:
            return Health("building", detail)
        case {"state": "failed", "detail": str(detail)}:
            return Health("failed", detail)
        case {"state": "starting", "updated_at": str(at)} if _age(at) < STARTING_S:
            return Health("starting")
    return otherwise


def held(lock: Path) -> bool:
    """Whether a process has locked this file."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def pip_install(target: Path, arguments: Sequence[str], timeout: float = 1200) -> None:
    """Install wheels into `target` with the pip at hand. Raises LabError with pip's last error."""
    pythons = filter(None, [sys.executable, shutil.which("python3", path="/usr/bin:/bin")])
    for python in pythons:
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            break
    else:
        raise LabError("there is no pip here: install python3-pip")
    command = [*LEASH, python, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
    try:
        # Not system.run: pip needs the caller's own environment (index, proxy, certificates).
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--target", str(target), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"pip did not finish in {timeout:.0f} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise LabError(f"pip could not install: {(errors or ['no reason given'])[-1][:300]}")
