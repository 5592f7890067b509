"""A machine by SSH: one connection, opened when it is first needed and again when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labtui.config import NodeConfig
from labtui.hosts.base import HostError, Sink, UnknownHostKey
from labtui.hosts.command import CommandHost, collect, read_lines, read_tail, stream_failed
from labtui.text import inert

if TYPE_CHECKING:
    import asyncssh

    from labtui.hosts.sshlink import Link

CONNECT_TIMEOUT = 3.0
"""Seconds until a machine that answers nothing counts as dead."""
LOGIN_TIMEOUT = 10.0
"""Seconds that a machine which does answer may take to let us in."""
BACKOFF_MAX = 10.0
"""Seconds between attempts, at most; short enough that a healed machine is soon back."""
MAX_STREAMS = 4
"""Of the 8 channels; the rest stays free for polls and actions."""


class SshHost(CommandHost):
    """One connection shared by all calls; argv is quoted in `Link.process` and nowhere else.

    While it backs off after a failure, calls fail at once with that failure and the time of the
    next attempt; `retry` cuts the wait short.
    """

    def __init__(
        self,
        name: str,
        node: NodeConfig,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        login_timeout: float = LOGIN_TIMEOUT,
        backoff_max: float = BACKOFF_MAX,
    ) -> None:
        super().__init__(name)
        self.node = node
        self._connect_timeout = connect_timeout
        self._login_timeout = login_timeout
        self._backoff_max = backoff_max
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._failure: HostError | None = None
        self._next_try = 0.0
        self._streams = 0
        self.tries = 0
        """Failed attempts to connect since the last good one."""

    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        try:
            async with asyncio.timeout(timeout):
                link = await self._connected()
                async with link.process(argv, stdin=stdin is not None) as process:
                    feed = _feed(process, stdin) if stdin is not None else None
                    out, err = await collect(
                        process.stdout.read, process.stderr.read, feed, self.name, sink
                    )
                    await process.wait_closed()
                    return self._status(process), out, err
        except TimeoutError:
            raise HostError("timeout", self._sentence(timeout), self.name) from None
        except HostError:
            raise
        except Exception as error:  # noqa: BLE001 - asyncssh's, the system's: all become one
            from labtui.hosts.sshlink import explain

            raise explain(error, self.name) from None

    async def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        if self._streams >= MAX_STREAMS:
            text = f"{MAX_STREAMS} logs are followed there already; close one first"
            raise HostError("protocol", text, self.name)
        self._streams += 1
        try:
            link = await self._connected()
            async with link.process(argv, stdin=False) as process:
                errors = asyncio.create_task(read_tail(process.stderr.read))
                try:
                    async for line in read_lines(process.stdout.read):
                        yield line
                    await process.wait_closed()
                    rc = self._status(process)
                    if rc:
                        raise stream_failed(argv, rc, await errors, self.name)
                finally:
                    errors.cancel()
        except HostError:
            raise
        except Exception as error:  # noqa: BLE001 - asyncssh's, the system's: all become one
            from labtui.hosts.sshlink import explain

            raise explain(error, self.name) from None
        finally:
            self._streams -= 1

    def shell_argv(self) -> list[str]:
        """The OpenSSH client, with the same key, known_hosts, jump host and port."""
        node = self.node
        argv = ["ssh", "-t"]
        if node.ssh_config:
            argv += ["-F", str(Path(node.ssh_config).expanduser())]
        if node.port != 22:
            argv += ["-p", str(node.port)]
        if node.identity_file:
            argv += ["-i", str(Path(node.identity_file).expanduser()), "-o", "IdentitiesOnly=yes"]
        if node.known_hosts:
            argv += ["-o", f"UserKnownHostsFile={Path(node.known_hosts).expanduser()}"]
        if node.proxy_jump:
            argv += ["-J", node.proxy_jump]
        return [*argv, "--", f"{node.user}@{node.address}" if node.user else node.address]

    def trust(self, key: UnknownHostKey) -> None:
        """Add a key that a person has compared and accepted; a changed one is never added."""
        if key.changed:
            raise HostError("host-key", f"{key.message}; remove the old one first", self.name)
        file = Path(self.node.known_hosts or "~/.ssh/known_hosts").expanduser()
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as known:
                known.write(key.key_line + "\n")
        except OSError as error:
            text = f"{inert(file)}: {(error.strerror or 'cannot be written').lower()}"
            raise HostError("permission", text, self.name) from None
        self.retry()

    def retry(self) -> None:
        self._next_try = 0.0

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, HostError):
                await self._connecting
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _connected(self) -> Link:
        """The open connection; opens it when there is none, once for all who wait."""
        if self._link is not None and not self._link.conn.is_closed():
            return self._link
        if self._connecting is None:
            if self._failure is not None and self._next_try > time.monotonic():
                raise self._waiting(self._failure)
            self._connecting = asyncio.create_task(self._connect(), name=f"ssh {self.name}")
            self._connecting.add_done_callback(self._attempted)
        # Whoever gives up leaves the attempt to the others.
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Link:
        from importlib import import_module

        # 0.2 s of imports, off the event loop.
        sshlink = await asyncio.to_thread(import_module, "labtui.hosts.sshlink")
        opened: list[Link] = []

        def lost() -> None:
            if opened:
                self._lost(opened[0])

        link: Link = await sshlink.open_link(
            self.node,
            self.name,
            lost,
            connect_timeout=self._connect_timeout,
            login_timeout=self._login_timeout,
        )
        opened.append(link)
        self._link = link
        return link

    def _attempted(self, task: asyncio.Task[Link]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.tries, self._failure = 0, None
            return
        self.tries += 1
        self._failure = (
            error
            if isinstance(error, HostError)
            else HostError("protocol", f"ssh: {type(error).__name__}: {inert(error)}", self.name)
        )
        delay = min(self._backoff_max, 0.5 * 2.0 ** min(self.tries, 10))
        self._next_try = time.monotonic() + delay * random.uniform(0.8, 1.2)

    def _lost(self, link: Link) -> None:
        if self._link is link:
            self._link = None
        for hop in link.hops:
            hop.abort()

    def _waiting(self, failure: HostError) -> HostError:
        if isinstance(failure, UnknownHostKey):
            return failure.with_traceback(None)
        wait = max(1.0, self._next_try - time.monotonic())
        tries = f", {self.tries} tries" if self.tries > 1 else ""
        text = f"{failure.message}{tries}, next in {wait:.0f} s"
        return HostError(failure.kind, text, self.name)

    def _sentence(self, timeout: float) -> str:
        if self._link is not None:
            return f"no answer within {timeout:.1f} s"
        tries = f", {self.tries + 1} tries" if self.tries else ""
        return f"ssh: timeout after {timeout:.1f} s{tries}"

    def _status(self, process: asyncssh.SSHClientProcess[bytes]) -> int:
        rc = process.returncode
        if rc is None:
            raise HostError("unreachable", "ssh: the connection was lost", self.name)
        return rc if rc >= 0 else 128 - rc


async def _feed(process: asyncssh.SSHClientProcess[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it did not want to read
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.write_eof()
