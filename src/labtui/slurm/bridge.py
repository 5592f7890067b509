"""The synchronous face on the asynchronous one: an event loop on a thread of its own.

`connect` says where Slurm's commands run; without it they run on this machine. The thread is
started by the first call after that, and inherits the caller's network namespace.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import re
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from labtui.hosts.base import Host, HostError
from labtui.hosts.local import LocalHost
from labtui.slurm import error
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import PyslurmError, RPCError

T = TypeVar("T")

CALL_TIMEOUT = 120.0
"""Seconds after which a call gives up whatever the adapters below wait for. They have shorter
limits of their own; this one is for a loop that is stuck."""
COMMAND_TIMEOUT = 60.0
"""Seconds that one command may take: a whole accounting takes its time. That slurmctld is down is
told within some three seconds all the same."""
NAME_TIMEOUT = 5.0
THREAD = "labtui.slurm"


class Bridge:
    """One connection to one Slurm, and the loop that its commands run on."""

    def __init__(self, client: SlurmClient) -> None:
        self.client = client
        self.cluster: str | None = None
        self.named = False
        self.process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self, make: Callable[[SlurmClient], Awaitable[T]], timeout: float) -> T:
        """The coroutine's result. Raises what it raises; RPCError "timeout" when time is over."""

        async def body() -> T:
            return await make(self.client)

        future = asyncio.run_coroutine_threadsafe(body(), self._running())
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            text = f"Slurm's commands gave no answer within {timeout:g} s"
            raise RPCError(msg=text, kind="timeout") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread; the transport closes its connection first."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self.client.host.close(), loop).result(5.0)
        loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(loop,), name=THREAD, daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


_bridge: Bridge | None = None
_choosing = threading.RLock()


def connect(host: Host | SlurmClient | None = None) -> None:
    """Where Slurm's commands run from now on: a host, a client, or (None) this machine.

    Nothing is sent yet. The former connection is closed.
    """
    global _bridge
    with _choosing:
        close()
        if not isinstance(host, SlurmClient):
            host = SlurmClient(host or LocalHost("localhost"), timeout=COMMAND_TIMEOUT)
        _bridge = Bridge(host)


def close() -> None:
    """Close the connection, if there is one; the next call makes a new one to this machine."""
    global _bridge
    with _choosing:
        old, _bridge = _bridge, None
        if old is not None and old.process == os.getpid():
            old.close()


def current() -> Bridge:
    """The connection, made to this machine where none was chosen.

    A process that was forked has no thread and no connection of its own: PyslurmError, unless
    commands run on this machine.
    """
    with _choosing:
        forked = _bridge is not None and _bridge.process != os.getpid()
        if forked and not isinstance(_bridge and _bridge.client.host, LocalHost):
            raise PyslurmError("this process was forked from one that was connected: connect again")
        if _bridge is None or forked:
            connect()
        assert _bridge is not None
        return _bridge


def client() -> SlurmClient:
    """The client of the connection: for the asynchronous face."""
    return current().client


def call(make: Callable[[SlurmClient], Awaitable[T]], timeout: float = CALL_TIMEOUT) -> T:
    """Run `make(client)` to its end, and wait for it.

    Raises RPCError, also where the transport failed. An event loop of the caller's, as a notebook
    has one, stands still meanwhile: `labtui.slurm.aio` is for programs that have more to do.
    PyslurmError on the bridge's own loop, which would wait for itself.
    """
    if threading.current_thread().name == THREAD:
        raise PyslurmError("this call would wait for itself: use labtui.slurm.aio")
    try:
        return current().run(make, timeout)
    except HostError as failed:
        raise error.remember(RPCError(msg=failed.message, kind=failed.kind)) from None
    except RPCError as failed:
        error.remember(failed)
        raise


def in_loop() -> bool:
    """Whether this thread runs an event loop right now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def cluster_name(*, wait: bool = False) -> str | None:
    """The name of the connected cluster; None where it is not known.

    Asked once a connection, but not from inside an event loop, unless somebody would `wait`.
    """
    bridge = current()
    own = threading.current_thread().name == THREAD
    if not bridge.named and not own and (wait or not in_loop()):
        bridge.named = True
        with contextlib.suppress(RPCError, HostError):
            bridge.cluster = bridge.run(ask_cluster, NAME_TIMEOUT)
    return bridge.cluster


async def ask_cluster(client: SlurmClient) -> str | None:
    """ClusterName of slurm.conf, as slurmctld has it."""
    done = await client.read(["scontrol", "show", "config"])
    found = re.search(r"^ClusterName\s*= (\S+)$", done.stdout, re.MULTILINE)
    return found[1] if found else None
