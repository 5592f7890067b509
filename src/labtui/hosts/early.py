"""A command that starts before there is an event loop, and is taken up by the first who asks.

While Python imports what draws the screen, squeue already works on the other core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from labtui.hosts.base import Sink
from labtui.hosts.local import LocalHost
from labtui.hosts.memfile import Begun


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
