"""The console's side of the keyholder: start it, let it ask, let it act, let it go.

The one that runs is `python -m labtui.keyholder`: no core file, not to be traced, its memory
locked where that is allowed. It reads the terminal itself and tells only how much was typed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import asdict

from labtui.keyholder.operation import Door
from labtui.spec import Wanted
from labtui.text import inert

Ended = Literal["given", "left", "reset"]
"""enter; esc; the key that asks to reset the progress."""

KEPT = ("PATH", "HOME", "GNUPGHOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TERM")
"""What it gets of the environment: no token of Vault's, no proxy, nothing to be loaded into it."""
START_TIMEOUT = 10.0
"""Seconds until it has to be there; it takes 0.1."""
UNLOCKED = (
    "the keyholder's memory may be written to swap: locking it is not allowed here (ulimit -l)"
)
LATE = 3.0
"""Seconds beyond an operation's own limit, after which the keyholder itself counts as hanging."""
LINE_LIMIT = 4 << 20
"""Bytes of one line that it may send."""


def _full(path: str) -> str:
    """The keyholder has another working directory, and no shell's `~`."""
    return str(Path(path).expanduser().absolute())


class Typed(msgspec.Struct, frozen=True):
    """How far the person is, without what was typed."""

    count: int = 0
    """Characters."""
    shape: str = ""
    """What it looks like: `44, base64`; or what is wrong: `43, no share is so long`."""
    good: bool = False
    """It may be sent."""
    text: str | None = None
    """Where the name of a file for gpg is typed: that, as far as it is known to be one."""


class HolderError(Exception):
    """The keyholder could not do it: one sentence without secrets."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """`denied` by the server or a check, `unknown` (sent, no answer), else a FaultKind."""
        self.message = message


class Keyboard(Protocol):
    """Lends the terminal: for that time nobody else reads it."""

    def lend(self) -> AbstractAsyncContextManager[str]:
        """The path of the terminal. Raises HolderError where there is none."""
        ...


class Given(msgspec.Struct):
    """The shares of one ceremony, so that none is sent twice: as digests that tell nothing else."""

    salt: str = msgspec.field(default_factory=lambda: secrets.token_hex(16))
    digests: set[str] = msgspec.field(default_factory=set)


class Keyholder:
    """One process. Use it `async with`; at the end of that it is gone, and what it knew with it."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._busy = asyncio.Lock()
        self._silent = False
        self.digest = ""
        """Of the share that it was given last; for `Given.digests` once the server has it."""
        self.locked = False
        """Its memory cannot be written to swap."""
        self.has: set[str] = set()
        """Names of what it was given."""

    @classmethod
    def start(cls, given: Given | None = None) -> Keyholder:
        """`given`: the shares of this ceremony so far, none of which it takes again."""
        return cls(given or Given())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Keyholder:
        """Raises HolderError where it does not start."""
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        argv = [sys.executable, "-I", "-m", "labtui.keyholder", str(fd), str(os.getpid())]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=[fd],
                cwd="/",
                env={k: v for k, v in os.environ.items() if k in KEPT},
            )
            theirs.close()
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_LIMIT)
            async with asyncio.timeout(START_TIMEOUT):
                ready = (await self._said()).get("ready") or {}
            self.locked = bool(ready.get("locked"))
            if ready.get("dumpable"):
                raise HolderError("permission", "the keyholder cannot keep others from reading it")
        except BaseException as error:
            theirs.close()
            if self._writer is None:
                ours.close()
            await self.close()
            if isinstance(error, TimeoutError):
                raise HolderError("timeout", "the keyholder does not start") from None
            if isinstance(error, OSError):
                said = (error.strerror or "").lower()
                raise HolderError("config", f"the keyholder does not start: {said}") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ask(
        self, wanted: Wanted, keyboard: Keyboard, typed: Callable[[Typed], None], file: str = ""
    ) -> Ended:
        """Have it typed or pasted, or decrypted by gpg from a file that the person names there.

        `typed` is called at each change; `file` is offered as that name. Raises HolderError.
        """
        async with keyboard.lend() as tty, self._turn():
            where = {"tty": tty, "folder": _full(""), "file": file}
            self._send(self._about(wanted) | where | {"do": "ask"})
            return await self._ended(wanted, typed)

    async def gpg(
        self, wanted: Wanted, path: str, keyboard: Keyboard, typed: Callable[[Typed], None]
    ) -> Ended:
        """Have gpg decrypt a file into it, through a pipe; its passphrase is asked where needed."""
        full = _full(path)
        async with self._turn():
            self._send(self._about(wanted) | {"do": "gpg", "path": full})
            said = await self._said()
            while "typed" in said:
                typed(Typed(*said["typed"]))
                said = await self._said()
            if "needs" not in said:
                return self._end(said, wanted)
            async with keyboard.lend() as tty:
                self._send({"do": "tty", "tty": tty})
                return await self._ended(wanted, typed, tty)

    async def key(self, keyboard: Keyboard, keys: Iterable[str]) -> str:
        """Which of these keys is pressed by itself: `enter`, `esc` or a letter. What is typed or
        pasted otherwise is thrown away. Raises HolderError."""
        async with keyboard.lend() as tty, self._turn():
            self._send({"do": "key", "tty": tty, "keys": list(keys)})
            return str((await self._said()).get("ended", "esc"))

    async def call(self, id: str, door: Door, **params: Any) -> dict[str, Any]:
        """One operation of keyholder/operations on one server. Raises HolderError."""
        async with self._turn():
            self._send({"do": "call", "op": id, "door": asdict(door), "params": params})
            limit = float((await self._said()).get("began", 0.0))
            try:
                async with asyncio.timeout(limit + LATE):
                    said = await self._said()
            except TimeoutError:
                raise HolderError("unknown", "the keyholder gave no answer in time") from None
            except HolderError as error:
                if error.kind == "gone":
                    said_so = "the keyholder was ended before the answer came"
                    raise HolderError("unknown", said_so) from None
                raise
            result: dict[str, Any] = said["result"]
            return result

    async def close(self) -> None:
        """End the process at once."""
        process, self._process = self._process, None
        if self._writer is not None:
            self._writer.close()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # What it knew is gone when the process is: so this is waited for, whoever gave up.
        await asyncio.shield(process.wait())

    # The socket

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One order at a time. One that was given up stops what the keyholder does for it."""
        async with self._busy:
            if self._silent:
                raise HolderError("protocol", "the keyholder was given up")
            try:
                yield
            except (asyncio.CancelledError, TimeoutError):
                self._silent = True
                await self.close()
                raise

    def _about(self, wanted: Wanted) -> dict[str, Any]:
        return {
            "name": wanted.name,
            "kind": wanted.kind,
            "salt": self._given.salt,
            "given": sorted(self._given.digests) if wanted.kind == "share" else [],
        }

    def _send(self, order: dict[str, Any]) -> None:
        if self._writer is None or self._process is None:
            raise HolderError("gone", "the keyholder has ended")
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _said(self) -> dict[str, Any]:
        """The next line. Raises HolderError for what failed, and where the process has ended."""
        assert self._reader is not None
        try:
            line = await self._reader.readline()
            said: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        except (OSError, ValueError):
            said = {}
        if not said:
            raise HolderError("gone", "the keyholder was ended; nothing of what it had is left")
        if "failed" in said:
            raise HolderError(str(said["failed"]), inert(str(said.get("message")), 400))
        return said

    async def _ended(self, wanted: Wanted, typed: Callable[[Typed], None], tty: str = "") -> Ended:
        while True:
            said = await self._said()
            if "typed" in said:
                typed(Typed(*said["typed"]))
            elif "needs" in said:
                self._send({"do": "tty", "tty": tty})
            else:
                return self._end(said, wanted)

    def _end(self, said: dict[str, Any], wanted: Wanted) -> Ended:
        ended = str(said.get("ended"))
        if ended == "given":
            self.has.add(wanted.name)
            self.digest = str(said.get("digest", ""))
            return "given"
        return "reset" if ended == "reset" else "left"
