"""The services' slower part, in a process of its own that outlives `lab up`: builds, first data."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labtui.lab import progress, services
from labtui.lab.layout import Lab, Say, Service
from labtui.lab.system import LabError, wait_for

WAIT_S = 3600.0
"""The longest wait: Vault's build from nothing took 6 minutes on two cores."""


def finish(lab: Lab) -> None:
    """Finish every service, each in a thread; what fails is told by its progress file."""

    def one(service: Service) -> None:
        told = progress.Progress(lab.progress / f"{service.name}.json")
        try:
            service.finish(lab, lambda line: print(f"{service.name}: {line}", flush=True))  # noqa: T201
        except (LabError, OSError, subprocess.SubprocessError) as e:
            print(f"{service.name} failed: {e}", flush=True)  # noqa: T201
            told.tell("failed", str(e))

    lab.progress.mkdir(parents=True, exist_ok=True)
    found = services.of(lab)
    with ThreadPoolExecutor(len(found)) as pool:
        list(pool.map(one, found))


def start(lab: Lab) -> None:
    """Start it, unless it is at work."""
    if pid(lab):
        return
    with (lab.state / "finish.log").open("w") as log:
        child = subprocess.Popen(
            _command(lab),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    # For a moment after its exec a process has no command line yet: who waits for it would not
    # find it, and take it for done.
    while child.poll() is None and pid(lab) is None:
        time.sleep(0.01)


def stop(lab: Lab) -> None:
    """End it, wherever it is; the next `up` goes on with what is left to do."""
    if found := pid(lab):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(found, signal.SIGKILL)
        wait_for(
            "the end of the background work", lambda: "" if not pid(lab) else "alive", timeout=5
        )


def pid(lab: Lab) -> int | None:
    """The process, and the group, at work for this lab; found by its command line."""
    wanted = [word.encode() for word in _command(lab)[1:]]
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")[1:-1]
            except OSError:
                continue
            if words == wanted:
                return int(process.name)
    return None


def follow(lab: Lab, say: Say) -> None:
    """Wait for its end, telling how far each service is. Raises LabError after WAIT_S."""
    end = time.monotonic() + WAIT_S
    told: dict[str, tuple[object, object]] = {}
    while pid(lab):
        for path in sorted(lab.progress.glob("*.json")):
            document = progress.read(path) or {}
            percent = document.get("percent")
            step = (document.get("detail"), percent // 10 if isinstance(percent, int) else None)
            busy = document.get("state") in ("building", "starting")
            if busy and document.get("detail") and told.get(path.stem) != step:
                told[path.stem] = step
                say(f"{path.stem}: {document['detail']}" + (f", {percent} %" if percent else ""))
        if time.monotonic() > end:
            raise LabError(f"the services are not ready after {WAIT_S / 60:.0f} minutes")
        time.sleep(0.2)


def _command(lab: Lab) -> list[str]:
    return [sys.executable, "-m", "labtui.lab.commands", "finish", str(lab.state)]
