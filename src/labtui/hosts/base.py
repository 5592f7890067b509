"""The protocol that every transport fulfils."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal, Protocol

import msgspec

HostErrorKind = Literal[
    "refused", "unreachable", "timeout", "auth", "host-key", "permission", "not-found", "protocol"
]


class HostError(Exception):
    """A machine did not do what was asked. One inert sentence; `kind` is to act on."""

    def __init__(self, kind: HostErrorKind, message: str, host: str = "") -> None:
        super().__init__(message)
        self.kind: HostErrorKind = kind
        self.message = message
        self.host = host


class UnknownHostKey(HostError):
    """The key is not in known_hosts, or differs from it. Nothing was sent."""

    def __init__(self, host: str, fingerprint: str, key_line: str, *, changed: bool) -> None:
        word = "changed" if changed else "is not known yet"
        super().__init__("host-key", f"{host}: host key {fingerprint} {word}", host)
        self.fingerprint = fingerprint
        self.key_line = key_line
        """What known_hosts would hold to accept it."""
        self.changed = changed


class Completed(msgspec.Struct, frozen=True):
    """A command that ran to its end."""

    argv: tuple[str, ...]
    rc: int
    """Exit status; 128 + N when signal N ended it."""
    stdout: str
    stderr: str
    took: float
    """Seconds."""


Sink = Callable[[bytes], None]


class Host(Protocol):
    """A machine that commands can be run on.

    argv is a list on every transport; quoting happens once, inside the transport. Output is
    decoded as UTF-8 with replacement and limited to `MAX_OUTPUT`. All methods raise HostError.
    """

    name: str

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes | None = None,
        timeout: float,
        user: str | None = None,
        sink: Sink | None = None,
    ) -> Completed:
        """To its end. With a `sink` stdout goes there as it arrives, undecoded, and the answer's
        is empty: for outputs that are better never held whole. A sink must not raise."""
        ...

    def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        """Lines of stdout without their ends. Closing the iterator kills the remote process."""
        ...

    async def put(self, data: bytes, path: PurePosixPath | str, *, mode: int = 0o644) -> None: ...

    async def get(self, path: PurePosixPath | str, *, limit: int = 1 << 20) -> bytes: ...

    async def read(
        self, path: PurePosixPath | str, start: int, size: int, *, timeout: float
    ) -> bytes:
        """At most `size` bytes of a regular file from byte `start` on; fewer at its end."""
        ...

    def shell_argv(self) -> list[str]:
        """The local command that hands the terminal over to a shell on this machine."""
        ...

    async def close(self) -> None: ...


MAX_OUTPUT = 64 << 20
"""Bytes of output kept from one command: a `squeue` of 100,000 jobs is about 25 MB."""
