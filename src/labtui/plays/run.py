"""Run ansible-playbook: previewed, followed line by line, stopped with all that it started.

What it needs lies in a folder of its own in memory, for this user alone, gone afterwards. Its
settings are ours alone: no ansible.cfg, no ANSIBLE_ variable and no token of the caller's
environment reaches it. Pipelining sends a module's arguments through ssh's stdin: they never lie
in a file of the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from labtui.config import Config
from labtui.plays.events import LINE, Event, Report, parse
from labtui.plays.folder import end_all, folder
from labtui.plays.inventory import PlayError, inventory
from labtui.plays.variables import variables
from labtui.text import inert

FORKS = 4
TIMEOUT = 900.0
"""Seconds for a whole run."""
GRACE = 3.0
"""Seconds between asking it to end and killing it."""
STDERR = 8192
"""Bytes kept of what it says beside its events: the last ones."""
MOST = 64 << 20
"""Bytes of events that are read of one run."""
CALLBACKS = Path(__file__).parent.parent / "playbooks/install/callback_plugins"
PLUGINS = CALLBACKS.parent / "lookup_plugins"
KEPT_VARIABLES = ("HOME", "USER", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "TMPDIR")
"""Of the caller's environment."""

OnEvent = Callable[[Event], None]


class Prepared(msgspec.Struct, frozen=True):
    """A run that is ready to start: whoever starts it needs no more than this."""

    argv: list[str]
    env: dict[str, str]
    folder: Path
    """0700, in memory where there is a tmpfs."""
    timeout: float = TIMEOUT
    handed: int = -1
    """A file in memory that ansible-playbook inherits: what no argument may hold."""


@contextlib.asynccontextmanager
async def prepared(
    config: Config,
    playbook: Path,
    hosts: Sequence[str],
    *,
    check: bool = False,
    extra: Mapping[str, Any] | None = None,
    handed: int = -1,
    timeout: float = TIMEOUT,
) -> AsyncIterator[Prepared]:
    """`check`: look only, and tell what would change. `handed`: a file descriptor whose JSON the
    playbook may look up, without any file having a name for it. Raises PlayError."""
    told = {"labtui_handed_fd": handed} if handed >= 0 else {}
    machines = inventory(config, hosts, variables(config) | dict(extra or {}) | told)
    async with folder() as place:
        (place / "tmp").mkdir()
        (place / "cp").mkdir()
        (place / "ansible.cfg").touch()
        (place / "inventory.json").write_text(json.dumps(machines, indent=1))
        argv = [
            sys.executable, "-m", "ansible", "playbook",
            "--inventory", str(place / "inventory.json"),
            "--diff", *(["--check"] if check else []),
            str(playbook),
        ]  # fmt: skip
        yield Prepared(argv, _environment(place), place, timeout, handed)


def _environment(place: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    settings = {
        "CONFIG": place / "ansible.cfg",
        "HOME": place / "home",
        "LOCAL_TEMP": place / "tmp",
        "SSH_CONTROL_PATH_DIR": place / "cp",
        "SSH_CONTROL_PATH": "%(directory)s/%%C",
        "SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
        "PIPELINING": "True",
        "KEEP_REMOTE_FILES": "False",
        "HOST_KEY_CHECKING": "True",
        "NO_TARGET_SYSLOG": "True",
        "NOCOWS": "True",
        "NOCOLOR": "True",
        "FORKS": FORKS,
        "TIMEOUT": 10,
        "STDOUT_CALLBACK": "labtui_lines",
        "CALLBACK_PLUGINS": CALLBACKS,
        "LOOKUP_PLUGINS": PLUGINS,
        "CACHE_PLUGIN": "memory",
        "RETRY_FILES_ENABLED": "False",
        "DEPRECATION_WARNINGS": "False",
        "LOCALHOST_WARNING": "False",
        "INVENTORY_ENABLED": "yaml",
        "DISPLAY_SKIPPED_HOSTS": "True",
        "BECOME_ASK_PASS": "False",
    }
    own = {f"ANSIBLE_{name}": str(value) for name, value in settings.items()}
    return kept | own | {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "TERM": "dumb"}


async def run(ready: Prepared, on_event: OnEvent = lambda event: None) -> Report:
    """Start it and follow it to its end. Raises PlayError where it cannot be started.

    Cancelled or out of time, it ends with all that it started on this machine; the report that is
    told then (`on_event` saw all of it) says how far it was.
    """
    report = Report()
    try:
        process = await asyncio.create_subprocess_exec(
            *ready.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ready.env,
            cwd=ready.folder,
            start_new_session=True,
            pass_fds=[ready.handed] if ready.handed >= 0 else [],
            limit=LINE,
        )
    except OSError as error:
        raise PlayError(f"ansible-playbook cannot be started: {error.strerror}") from None
    assert process.stdout is not None and process.stderr is not None
    said = asyncio.create_task(_tail(process.stderr))
    try:
        async with asyncio.timeout(ready.timeout):
            await _follow(process.stdout, report, on_event)
            report.rc = await process.wait()
            report.said = await said
    except TimeoutError:
        report.said = f"not done within {ready.timeout:.0f} s"
    finally:
        said.cancel()
        if process.returncode is None or not report.ended:
            await asyncio.shield(_end(process, ready.folder))
        process._transport.close()  # type: ignore[attr-defined]
    return report


async def _follow(reader: asyncio.StreamReader, report: Report, on_event: OnEvent) -> None:
    size = 0
    while size < MOST:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)  # a line too long: what is left is no JSON
            size += error.consumed
            continue
        size += len(line)
        event = parse(line)
        if event is not None:
            report.take(event)
            on_event(event)


async def _tail(reader: asyncio.StreamReader) -> str:
    kept = b""
    while piece := await reader.read(65536):
        kept = (kept + piece)[-STDERR:]
    return inert(kept.decode(errors="replace").strip(), STDERR)


async def _end(process: asyncio.subprocess.Process, place: Path) -> None:
    """End all that a run started here: asked first, then killed, and seen to be gone.

    Ansible's workers have sessions of their own (2.19), and are ended only by a parent that lives
    to hear the request; ssh's masters outlive both.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(end_all, place)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE)
