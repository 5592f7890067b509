"""How the lab talks to the machine it runs on: commands with time limits, files, polling."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from labtui.lab.layout import Lab

USAGE = 2
UNREACHABLE = 3

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""For every command of the lab: a login shell's PATH may lack the sbin folders."""


class LabError(Exception):
    """One sentence for the person at the terminal; `code` is the exit code (2 usage, 3 missing)."""

    def __init__(self, message: str, code: int = UNREACHABLE) -> None:
        super().__init__(message)
        self.code = code


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    timeout: float = 60.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `timeout` in seconds, `log` gets its output instead of the result.

    Raises LabError when it is missing, runs out of time, or (with `check`) fails.
    """
    words = [str(a) for a in argv]
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **(env or {})}
    what = Path(words[0]).name
    try:
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(log.open("a")) if log else subprocess.PIPE
            done = subprocess.run(
                words,
                input=stdin,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                stdout=out,
                stderr=out if log else subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=timeout,
                env=environment,
                check=False,
            )
    except FileNotFoundError:
        raise LabError(f"{what} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{what} took longer than {timeout:.0f} s") from None
    if check and done.returncode:
        said = log.read_text(errors="replace") if log else done.stderr or done.stdout
        last = said.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise LabError(f"{' '.join(words[:3])} failed: {last[0].strip()}")
    return done


def wait_for(what: str, ready: Callable[[], str], *, timeout: float, every: float = 0.1) -> None:
    """Poll until `ready` returns "" (else: why not yet). Raises LabError after `timeout` s."""
    end = time.monotonic() + timeout
    while why := ready():
        if time.monotonic() > end:
            raise LabError(f"{what} is not ready after {timeout:.0f} s: {why}")
        time.sleep(every)


def write(path: Path, text: str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    """Write a file whole, with its mode from the first byte; a link in its place is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)
        os.fchown(fd, *owner)
        os.fchmod(fd, mode)
    part.replace(path)


def enable(root: Path, *units: str) -> None:
    """Have a machine start these units at boot; everything else in its root stays off."""
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in units:
        name = unit if "." in unit else f"{unit}.service"
        link = wants / name
        if not link.is_symlink():
            # systemd goes by the link's name; where it points only has to look like a unit.
            link.symlink_to(f"/usr/lib/systemd/system/{name}")


def account(root: Path, name: str) -> tuple[int, int]:
    """uid and gid of an account inside a root file system."""
    for line in (root / "etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2]), int(fields[3])
    raise LabError(f"{root} has no account {name}")


@contextlib.contextmanager
def locked(path: Path, timeout: float, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock file, which frees itself when we die. Raises LabError after `timeout` s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + timeout
    with path.open("w") as f:
        waited = False
        while True:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise LabError(f"another labtui holds {path}") from None
                if not waited:
                    busy()
                    waited = True
                time.sleep(0.1)
        yield


def lab_lock(lab: Lab) -> Path:
    """Beside the state, not in it: `down --forget` removes the state while it holds the lock."""
    return lab.state.parent / f".{lab.name}.lock"
