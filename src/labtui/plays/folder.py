"""A run's folder, in memory and for this user alone, and the processes that belong to it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

PREFIX = "labtui.play-"
"""Of its name. A socket's path in it may have 108 bytes: no longer than that."""
CLOSING = 2.0
"""Seconds that ssh has to end the connections of a run."""
ENDING = 3.0
"""Seconds for which what is killed is looked for again."""


def memory() -> str | None:
    """A folder on a tmpfs, of this user's or everybody's; None: there is none, the usual one."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return None
    points = {line.split(" ")[1] for line in mounts if line.split(" ")[2:3] == ["tmpfs"]}
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):
        if place in points and os.access(place, os.W_OK | os.X_OK):
            return place
    return None


@contextlib.asynccontextmanager
async def folder() -> AsyncIterator[Path]:
    """A folder for one run. Connections that ssh left open in it are ended with it.

    It is locked as long as this process lives: one that no living process holds was left by a
    labtui that was killed, and is given back by the next run.
    """
    where = memory() or tempfile.gettempdir()
    await asyncio.to_thread(_sweep, where)
    made, lock = _make(where)
    try:
        yield made
    finally:
        await asyncio.shield(asyncio.to_thread(_give_back, made))
        os.close(lock)


def _make(where: str) -> tuple[Path, int]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
        with contextlib.suppress(FileNotFoundError):  # another one's sweep was faster
            lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if made.exists():
                return made, lock
            os.close(lock)


def _sweep(where: str) -> None:
    """End and remove what this user's dead processes left."""
    for left in Path(where).glob(f"{PREFIX}{'?' * 8}"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end_all(left)
                _give_back(left)
        except OSError:
            pass  # it lives
        finally:
            os.close(lock)


def _give_back(made: Path) -> None:
    """All connections are asked at once; one that hangs is not waited for."""
    asked = []
    for control in made.glob("cp/*"):
        with contextlib.suppress(OSError):
            asked.append(
                subprocess.Popen(
                    ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "labtui"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
    deadline = time.monotonic() + CLOSING
    for one in asked:
        try:
            one.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()
    shutil.rmtree(made, ignore_errors=True)


def end_all(place: Path) -> None:
    """Kill all that a run started here: what it has in common is the run's environment.

    What the kernel does not let go of, as a process that waits for a lost disk, is left to it.
    """
    mark = f"ANSIBLE_LOCAL_TEMP={place / 'tmp'}".encode()
    deadline = time.monotonic() + ENDING
    while _kill_all(mark) and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill_all(mark: bytes) -> bool:
    """Kill whatever has this variable; True: there was something, look again."""
    found = False
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # What has ended and waits for its parent has no environment.
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                found = True
        except OSError:
            continue  # gone, or another user's
    return found
