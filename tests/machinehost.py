"""The lab's login machine as root, and PySlurm's names run on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import PurePosixPath

from labtui.hosts.base import Completed, HostError
from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, Lab


class MachineHost:
    """Commands as root inside a machine of the lab."""

    def __init__(self, lab: Lab, machine: str = CONTROLLER) -> None:
        self.lab, self.name = lab, machine

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes | None = None,
        timeout: float,
        user: str | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        text = stdin.decode() if isinstance(stdin, bytes) else stdin
        done = await asyncio.to_thread(
            machines.run, self.lab, self.name, argv, timeout=timeout, stdin=text, check=False
        )
        out = done.stdout
        if sink is not None:
            sink(out.encode())
            out = ""
        return Completed(tuple(argv), done.returncode, out, done.stderr, 0.0)

    def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        raise NotImplementedError

    async def put(self, data: bytes, path: PurePosixPath | str, *, mode: int = 0o644) -> None:
        raise HostError("protocol", "not for tests", self.name)

    async def get(self, path: PurePosixPath | str, *, limit: int = 1 << 20) -> bytes:
        raise HostError("protocol", "not for tests", self.name)

    def shell_argv(self) -> list[str]:
        return machines.enter(self.lab, self.name, ["bash"])

    async def close(self) -> None:
        return None
