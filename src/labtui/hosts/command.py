"""What every transport has in common: it runs argv and moves bytes; the rest is built on that."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import PurePosixPath
from typing import Any

from labtui.hosts.base import MAX_OUTPUT, Completed, HostError, HostErrorKind, Sink
from labtui.text import inert

MAX_LINE = 1 << 16
"""Bytes of one line of a stream; a longer one is handed on in pieces."""
FILE_TIMEOUT = 30.0
"""Seconds that put and get may take."""
CHUNK = 1 << 16

# Written beside the target and moved over it: a reader sees the old file or the new one.
_PUT = 'umask 077 && cat > "$1.$$" && chmod -- "$2" "$1.$$" && mv -f -- "$1.$$" "$1"'

Read = Callable[[int], Awaitable[bytes]]


class CommandHost(ABC):
    """A Host (see base.py) on top of two primitives, `_exec` and `stream`."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        """Run to the end: exit status (128 + N for signal N), stdout, stderr. Raises HostError."""

    @abstractmethod
    def stream(self, argv: Sequence[str]) -> AsyncIterator[str]: ...

    @abstractmethod
    def shell_argv(self) -> list[str]: ...

    async def close(self) -> None:
        return

    def retry(self) -> None:
        """Forget a back-off: the next call tries at once."""
        return

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes | None = None,
        timeout: float,
        user: str | None = None,
        sink: Sink | None = None,
    ) -> Completed:
        full = as_user(argv, user)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        began = time.monotonic()
        rc, out, err = await self._exec(full, data, timeout, sink)
        text = err.decode(errors="replace")
        if user and rc == 1 and text.startswith("sudo:"):
            raise HostError("permission", f"{user}: {inert(text.strip(), 200)}", self.name)
        took = time.monotonic() - began
        return Completed(tuple(full), rc, out.decode(errors="replace"), text, took)

    async def put(self, data: bytes, path: PurePosixPath | str, *, mode: int = 0o644) -> None:
        argv = ["sh", "-c", _PUT, "sh", str(path), f"{mode:o}"]
        rc, _, err = await self._exec(argv, data, FILE_TIMEOUT)
        if rc:
            raise self._file_error(str(path), err)

    async def get(self, path: PurePosixPath | str, *, limit: int = 1 << 20) -> bytes:
        argv = ["env", "LC_ALL=C", "head", "-c", str(limit + 1), "--", str(path)]
        rc, out, err = await self._exec(argv, None, FILE_TIMEOUT)
        if rc:
            raise self._file_error(str(path), err)
        if len(out) > limit:
            raise HostError("protocol", f"{inert(path)}: larger than {limit} bytes", self.name)
        return out

    async def read(
        self, path: PurePosixPath | str, start: int, size: int, *, timeout: float
    ) -> bytes:
        # dd finds its place by a seek: the middle of a file of any size costs the same.
        flags = "iflag=skip_bytes,count_bytes,fullblock"
        argv = ["env", "LC_ALL=C", "dd", f"if={path}", flags, f"skip={start}", f"count={size}"]
        rc, out, err = await self._exec([*argv, "bs=256K", "status=none"], None, timeout)
        if rc and b"cannot skip to specified offset" in err:  # past its end
            return b""
        if rc:
            raise self._file_error(str(path), err)
        return out

    def _file_error(self, path: str, stderr: bytes) -> HostError:
        text = inert(stderr.decode(errors="replace").strip(), 200)
        if "No such file" in text or "Directory nonexistent" in text or "nonexistent dir" in text:
            return HostError("not-found", f"{inert(path)}: no such file", self.name)
        if "ermission denied" in text or "Read-only file system" in text:
            return HostError("permission", f"{inert(path)}: permission denied", self.name)
        return HostError("protocol", f"{inert(path)}: {text or 'failed without a word'}", self.name)


def as_user(argv: Sequence[str], user: str | None) -> list[str]:
    """argv as another user; `-n`: sudo never asks, it fails."""
    return ["sudo", "-n", "-u", user, "--", *argv] if user else list(argv)


async def collect(
    stdout: Read,
    stderr: Read,
    feed: Coroutine[Any, Any, None] | None,
    host: str,
    sink: Sink | None = None,
) -> tuple[bytes, bytes]:
    """Both outputs to their ends while `feed` writes the input."""
    try:
        async with asyncio.TaskGroup() as group:
            if feed is not None:
                group.create_task(feed)
            out = group.create_task(read_all(stdout, host, sink=sink))
            err = group.create_task(read_all(stderr, host))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return out.result(), err.result()


async def read_all(
    read: Read, host: str, limit: int = MAX_OUTPUT, sink: Sink | None = None
) -> bytes:
    """Everything up to the end. Half an answer is no answer: too much to hold is an error."""
    parts: list[bytes] = []
    size = 0
    while chunk := await read(CHUNK):
        size += len(chunk)
        if sink is None and size > limit:
            raise HostError("protocol", f"it printed more than {limit >> 20} MiB", host)
        if sink is None:
            parts.append(chunk)
            continue
        sink(chunk)
        await asyncio.sleep(0)  # what is there already is read without a pause
    return b"".join(parts)


async def read_tail(read: Read, keep: int = 4096) -> bytes:
    """Read to the end, keep the last bytes: stderr of a stream."""
    tail = b""
    while chunk := await read(CHUNK):
        tail = (tail + chunk)[-keep:]
    return tail


async def read_lines(read: Read) -> AsyncIterator[str]:
    """Lines without their ends; the last one also when its end is missing."""
    rest = b""
    while chunk := await read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        while len(rest) > MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def stream_failed(argv: Sequence[str], rc: int, stderr: bytes, host: str) -> HostError:
    """A stream whose command ended with an error."""
    text = inert(stderr.decode(errors="replace").strip(), 200)
    kind: HostErrorKind = "not-found" if rc == 127 or "No such file" in text else "protocol"
    return HostError(kind, f"{inert(argv[0])} ended with {rc}: {text or 'no word why'}", host)
