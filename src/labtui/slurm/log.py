"""A job's output: the end of a file, and what is written to it from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from labtui.hosts.base import Host, HostError, HostErrorKind
from labtui.model import Job
from labtui.text import inert, inert_lines

MAX_TAIL = 1 << 20
"""Bytes of a file's end that are read at first."""
TIMEOUT = 6.0


def _last_state(line: str) -> str:
    """What a terminal would show of a line that a progress bar wrote again and again."""
    kept = line.rstrip("\r")
    return kept.rsplit("\r", 1)[-1]


async def tail(host: Host, path: str, lines: int = 200) -> list[str]:
    """The last lines of a file, inert. HostError "not-found" where it is not there yet."""
    done = await host.run(["tail", "-c", str(MAX_TAIL), "--", path], timeout=TIMEOUT)
    if done.rc != 0:
        why = done.stderr.strip().rpartition(":")[2].strip() or "cannot be read"
        kind: HostErrorKind = "permission" if "ermission" in why else "not-found"
        raise HostError(kind, f"{inert(path, 200)} on {host.name}: {inert(why, 100)}", host.name)
    text = "\n".join(_last_state(line) for line in done.stdout.split("\n"))
    return inert_lines(text.rstrip("\n"), limit=MAX_TAIL)[-lines:] if text.strip() else []


async def follow(host: Host, path: str, lines: int = 200) -> AsyncIterator[str]:
    """The last lines and every further one, inert, until it is closed.

    Waits for a file that is not there yet, and follows it through replacement (`tail -F`).
    """
    argv = ["tail", "-n", str(lines), "-F", "--", path]
    stream = host.stream(argv)
    async with aclosing(stream) as source:  # type: ignore[type-var]
        async for line in source:
            yield inert(_last_state(line))


async def locate(hosts: Mapping[str, Host], login: str, job: Job, path: str) -> Host | None:
    """The machine where a job's file can be read: the login node, else the one it ran on.

    A file outside the shared file system exists only on the job's first node.
    """
    for name in (login, *job.nodes[:1]):
        host = hosts.get(name)
        if host is None:
            continue
        try:
            if (await host.run(["test", "-e", path], timeout=TIMEOUT)).rc == 0:
                return host
        except HostError:
            continue
    return None
