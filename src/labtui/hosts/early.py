"""A command that starts before there is an event loop, and is taken up by the first who asks.

While Python imports what draws the screen, squeue already works on the other core.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence

from labtui.hosts.base import Sink
from labtui.hosts.command import CHUNK
from labtui.hosts.local import LocalHost, status

PIECE = 1 << 18
"""Bytes that are handed on in one go: two milliseconds of squeue's records."""
LOOK = 0.01
"""Seconds between looks at whether more was written."""


class Begun:
    """One running command; its output waits in memory, so that no pipe holds it up."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self._out, self._err = os.memfd_create("out"), os.memfd_create("err")
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    async def finish(self, sink: Sink | None) -> tuple[int, bytes, bytes]:
        """Its output is handed on while it still runs."""
        parts: list[bytes] = []
        ended = asyncio.ensure_future(_ended(self._process.pid))
        at = 0
        try:
            while True:
                over = ended.done()
                # Not os.read: the place in the file is shared with who writes it.
                while piece := os.pread(self._out, PIECE, at):
                    at += len(piece)
                    (parts.append if sink is None else sink)(piece)
                    await asyncio.sleep(0)
                if over:
                    break
                await asyncio.wait({ended}, timeout=LOOK)
            rc = status(self._process.wait())
            return rc, b"".join(parts), os.pread(self._err, CHUNK, 0)
        finally:
            ended.cancel()
            self.close()

    def close(self) -> None:
        """End it where it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for handle in (self._out, self._err):
            if handle >= 0:
                os.close(handle)
        self._out = self._err = -1


async def _ended(pid: int) -> None:
    """Until a child of ours has ended; it is not reaped here."""
    loop = asyncio.get_running_loop()
    handle = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


class EarlyHost(LocalHost):
    """This machine, where one command has begun already."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._begun: Begun | None = None

    def begin(self, argv: Sequence[str]) -> None:
        """Start it; a command that cannot be started is left to whoever runs it again."""
        try:
            self._begun = Begun(argv)
        except (OSError, ValueError):
            self._begun = None

    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        begun = self._begun
        if begun is None or begun.argv != list(argv):
            return await super()._exec(argv, stdin, timeout, sink)
        self._begun = None
        try:
            async with asyncio.timeout(timeout):
                return await begun.finish(sink)
        except TimeoutError:
            return 124, b"", b""

    async def close(self) -> None:
        if self._begun is not None:
            self._begun.close()
            self._begun = None
