"""This machine: subprocesses, each in a session of its own to end its whole family at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence

from labtui.hosts.base import HostError, Sink
from labtui.hosts.command import CommandHost, collect, read_lines, read_tail, stream_failed
from labtui.hosts.memfile import Begun, status
from labtui.text import inert


@contextlib.asynccontextmanager
async def process(argv: Sequence[str], *, stdin: bool) -> AsyncIterator[Process]:
    """A subprocess in its own process group, which is killed when the block is left early."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE if stdin else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        yield child
    except BaseException:
        # EPERM: all that is left runs as another user (sudo); its pipes are closed below.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        child._transport.close()  # type: ignore[attr-defined]


async def execute(
    argv: Sequence[str],
    stdin: bytes | None,
    timeout: float,
    host: str,
    sink: Sink | None = None,
) -> tuple[int, bytes, bytes]:
    """Exit status, stdout, stderr. A command that is not there is 127, as in a shell."""
    try:
        async with asyncio.timeout(timeout), process(argv, stdin=stdin is not None) as child:
            assert child.stdout is not None and child.stderr is not None
            feed = _feed(child, stdin) if stdin is not None else None
            out, err = await collect(child.stdout.read, child.stderr.read, feed, host, sink)
            return status(await child.wait()), out, err
    except FileNotFoundError:
        return 127, b"", f"{argv[0]}: not found\n".encode()
    except PermissionError:
        return 126, b"", f"{argv[0]}: permission denied\n".encode()
    except TimeoutError:
        text = f"{inert(argv[0])}: no answer within {timeout:.1f} s"
        raise HostError("timeout", text, host) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in argv
        raise HostError("protocol", f"{inert(argv[0])}: {inert(error)}", host) from None


async def _feed(child: Process, data: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it did not want to read
        child.stdin.write(data)
        await child.stdin.drain()
    child.stdin.close()


class LocalHost(CommandHost):
    """The machine that labtui runs on."""

    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        if sink is None or stdin is not None:
            return await execute(argv, stdin, timeout, self.name, sink)
        try:
            begun = Begun(argv)
        except (OSError, ValueError):  # what is wrong with it is told in the ordinary way
            return await execute(argv, stdin, timeout, self.name, sink)
        try:
            async with asyncio.timeout(timeout):
                return await begun.finish(sink)
        except TimeoutError:
            text = f"{inert(argv[0])}: no answer within {timeout:.1f} s"
            raise HostError("timeout", text, self.name) from None

    async def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        async for line in stream_local(argv, self.name):
            yield line

    def shell_argv(self) -> list[str]:
        return [os.environ.get("SHELL") or "/bin/sh"]


async def stream_local(argv: Sequence[str], host: str) -> AsyncIterator[str]:
    """Lines of a local command; ends it when closed. Raises HostError when it failed."""
    try:
        async with process(argv, stdin=False) as child:
            assert child.stdout is not None and child.stderr is not None
            errors = asyncio.create_task(read_tail(child.stderr.read))
            try:
                async for line in read_lines(child.stdout.read):
                    yield line
                rc = status(await child.wait())
                if rc:
                    raise stream_failed(argv, rc, await errors, host)
            finally:
                errors.cancel()
    except FileNotFoundError:
        raise HostError("not-found", f"{inert(argv[0])}: no such command", host) from None
    except PermissionError:
        raise HostError("permission", f"{inert(argv[0])}: may not be run", host) from None
