"""A command on this machine whose output goes into memory instead of through a pipe.

30 MB in pieces of a pipe's 64 KiB cost the event loop more than all that is done with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from labtui.hosts.base import Sink

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
        at = 0
        try:
            while True:
                rc = self._process.poll()
                # Not os.read: the place in the file is shared with who writes it.
                while piece := os.pread(self._out, PIECE, at):
                    at += len(piece)
                    (parts.append if sink is None else sink)(piece)
                    await asyncio.sleep(0)
                if rc is not None:
                    return status(rc), b"".join(parts), os.pread(self._err, PIECE, 0)
                await asyncio.sleep(LOOK)
        finally:
            self.close()

    def close(self) -> None:
        """End it and what it started, where it still runs. It is not waited for: one that hangs
        in a dead mount does not even end when it is killed, and this is the event loop."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for handle in (self._out, self._err):
            if handle >= 0:
                os.close(handle)
        self._out = self._err = -1


def status(rc: int) -> int:
    """Python's -N for signal N as a shell's 128 + N."""
    return rc if rc >= 0 else 128 - rc
