"""One SSH connection with its channels, by asyncssh: imported only when one is opened.

Host keys are always checked. asyncssh takes `UserKnownHostsFile none` for "do not check", and
opens the jump hosts of a ProxyJump with settings of its own; so both are resolved here, and
every hop goes through the same `_hop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shlex
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import asyncssh
import msgspec
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from labtui.config import NodeConfig
from labtui.hosts.base import HostError, HostErrorKind, UnknownHostKey
from labtui.text import inert

MAX_CHANNELS = 8
"""sshd's own limit (MaxSessions) is 10; one is left for sweeping, one to spare."""
KEEPALIVE = 2.0
"""Seconds of silence until the server is asked for a sign of life; two unanswered end it."""

# Its warnings would be printed over the screen; everything that matters arrives as an exception.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())
logging.getLogger("asyncssh").propagate = False


class _Target(NamedTuple):
    address: str
    user: str
    port: int


# sshd carries out a KILL only when it does not run as the user himself (root's sessions do), so
# every command carries a token in its environment, by which it and its children are found.
_TOKEN = "LABTUI_CALL"
_SWEEP = """
for e in $(grep -ls "$@" /proc/[0-9]*/environ); do e=${e#/proc/}; kill -KILL "${e%/*}"; done
"""
GIVE_UP = 8.0
"""Seconds until a process that cannot be killed (another user's, by sudo) is left alone."""

_Process: TypeAlias = "asyncssh.SSHClientProcess[bytes]"


class Link(msgspec.Struct):
    """An open connection, the hops before it, and how many channels are in use."""

    conn: asyncssh.SSHClientConnection
    hops: list[asyncssh.SSHClientConnection] = msgspec.field(default_factory=list)
    channels: asyncio.Semaphore = msgspec.field(
        default_factory=lambda: asyncio.Semaphore(MAX_CHANNELS)
    )
    dying: dict[str, tuple[_Process, float]] = msgspec.field(default_factory=dict)
    reaper: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def process(self, argv: Sequence[str], *, stdin: bool) -> AsyncIterator[_Process]:
        """A remote process; it is killed and its channel closed when the block is left.

        The opening is shielded: a channel that the server confirms after the caller has gone
        would otherwise stay open there for good.
        """
        token = os.urandom(8).hex()
        await self.channels.acquire()
        command = shlex.join(["env", f"{_TOKEN}={token}", *argv])
        opening = asyncio.ensure_future(self._open(command, stdin=stdin))
        try:
            yield await asyncio.shield(opening)
        finally:
            opening.add_done_callback(lambda done: self._end(done, token))

    async def _open(self, command: str, *, stdin: bool) -> _Process:
        """sshd counts a session until it has cleared it away: for a moment it may have no room
        for another, though ours was closed. Nothing ran yet then."""
        for pause in (0.05, 0.1, 0.2, 0.4, 0.0):
            try:
                return await self.conn.create_process(
                    command,
                    encoding=None,
                    request_pty=False,
                    stdin=asyncssh.PIPE if stdin else asyncssh.DEVNULL,
                )
            except asyncssh.ChannelOpenError as error:
                if not pause or error.reason != "open failed":
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _end(self, opening: asyncio.Future[_Process], token: str) -> None:
        if opening.cancelled() or opening.exception() is not None:
            self.channels.release()
            return
        process = opening.result()
        if _ended(process) or self.conn.is_closed():
            self._release(process)
            return
        with contextlib.suppress(OSError):
            process.kill()
        self.dying[token] = process, time.monotonic() + GIVE_UP
        if self.reaper is None or self.reaper.done():
            self.reaper = asyncio.create_task(self._reap())

    def _release(self, process: _Process) -> None:
        process.close()
        self.channels.release()

    async def _reap(self) -> None:
        """Until a process has ended, sshd counts its session as open; so does `channels`.

        Again and again: a command may be killed before it has even begun.
        """
        pause = 0.05
        while self.dying:
            await asyncio.sleep(pause)
            pause = min(pause * 3, 1.0)
            for token, (process, until) in list(self.dying.items()):
                if _ended(process) or self.conn.is_closed() or time.monotonic() > until:
                    del self.dying[token]
                    self._release(process)
            if self.dying:
                marks = [word for token in self.dying for word in ("-e", f"{_TOKEN}={token}")]
                with contextlib.suppress(OSError, asyncssh.Error):
                    async with asyncio.timeout(2.0):
                        command = shlex.join(["sh", "-c", _SWEEP, "sh", *marks])
                        await self.conn.run(command, stdin=asyncssh.DEVNULL, encoding=None)

    async def close(self) -> None:
        """Say goodbye for at most a second, then hang up."""
        if self.reaper is not None:
            await asyncio.wait([self.reaper], timeout=1.0)
            self.reaper.cancel()
        connections = [self.conn, *reversed(self.hops)]
        for conn in connections:
            conn.close()
        try:
            async with asyncio.timeout(1.0):
                for conn in connections:
                    await conn.wait_closed()
        except TimeoutError:
            for conn in connections:
                conn.abort()


def _ended(process: _Process) -> bool:
    return process.exit_status is not None or process.exit_signal is not None


async def open_link(
    node: NodeConfig,
    host: str,
    lost: Callable[[], None],
    *,
    connect_timeout: float,
    login_timeout: float,
) -> Link:
    """Connect and log in, through every jump host. Raises HostError; `lost` tells its end."""
    hops: list[asyncssh.SSHClientConnection] = []
    try:
        final = _Target(node.address, node.user, node.port)
        settings = await _settings(node, final)
        jump = node.proxy_jump or (settings.tunnel if isinstance(settings.tunnel, str) else "")
        limits = (connect_timeout, login_timeout)
        for text in filter(None, (part.strip() for part in jump.split(","))):
            hops.append(await _hop(node, _target(text), hops, lambda: None, *limits))
        conn = await _hop(node, final, hops, lost, *limits)
        return Link(conn, hops)
    except BaseException as error:
        for hop in hops:
            hop.abort()
        if isinstance(error, Exception):
            raise explain(error, host) from None
        raise


async def _hop(
    node: NodeConfig,
    target: _Target,
    hops: Sequence[asyncssh.SSHClientConnection],
    lost: Callable[[], None],
    connect_timeout: float,
    login_timeout: float,
) -> asyncssh.SSHClientConnection:
    settings = await _settings(node, target)
    known = _known_hosts(node, settings)
    kwargs = _options(node, target) | {
        "known_hosts": known,
        "server_host_key_algs": _key_kinds(known, settings),
        "tunnel": hops[-1] if hops else None,
        "keepalive_interval": KEEPALIVE,
        "keepalive_count_max": 2,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "password_auth": False,
        "kbdint_auth": False,
        "login_timeout": login_timeout,
        "connect_timeout": None,
    }
    loop = asyncio.get_running_loop()
    refused: list[UnknownHostKey] = []
    logging_in = False

    def connected() -> None:
        # The short limit is for finding a dead machine; a live one may take longer to log in.
        nonlocal logging_in
        logging_in = True
        limit.reschedule(loop.time() + login_timeout)

    kwargs["client_factory"] = _client(known, refused, connected, lost)
    try:
        async with asyncio.timeout(connect_timeout) as limit:
            return await asyncssh.connect(target.address, **kwargs)
    except TimeoutError:
        text = f"login took more than {login_timeout:.1f} s"
        if not logging_in:
            text = f"timeout after {connect_timeout:.1f} s"
        raise HostError("timeout", f"ssh: {text}") from None
    except asyncssh.HostKeyNotVerifiable:
        if refused:
            raise refused[0] from None
        raise


def _client(
    known: bytes,
    refused: list[UnknownHostKey],
    connected: Callable[[], None],
    lost: Callable[[], None],
) -> type[asyncssh.SSHClient]:
    """What asyncssh calls back: TCP is up, the key is not trusted, the connection has ended."""

    class Client(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            connected()

        def connection_lost(self, exc: Exception | None) -> None:
            lost()

        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            name = host if port == 22 else f"[{host}]:{port}"
            line = f"{name} {key.export_public_key('openssh').decode().strip()}"
            changed = bool(_trusted(known, host, port, addr)[0])
            refused.append(
                UnknownHostKey(inert(name), key.get_fingerprint(), line, changed=changed)
            )
            return False

    return Client


def _trusted(
    known: bytes, host: str, port: int, addr: str = ""
) -> tuple[Sequence[Any], Sequence[Any]]:
    """What known_hosts holds for a host: its keys, and the authorities for it."""
    hosts = asyncssh.import_known_hosts(known.decode(errors="replace"))
    found = asyncssh.match_known_hosts(hosts, host, addr, port if port != 22 else None)
    return found[0], found[1]


def _key_kinds(known: bytes, settings: asyncssh.SSHClientConnectionOptions) -> Any:
    """The kinds of host key to ask for: known ones first, then any.

    asyncssh asks for the known kinds alone; then a server whose key was replaced by one of
    another kind is a failed key exchange, and the person never sees its fingerprint.
    """
    host = settings.host_key_alias or settings.host
    keys, authorities = _trusted(known, host, settings.port)
    if not keys or settings.config.get("HostKeyAlgorithms"):
        return ()
    certified = get_default_certificate_algs()
    kinds = [*(certified if authorities else ()), *(k for key in keys for k in key.sig_algorithms)]
    return [kind.decode() for kind in (*kinds, *certified, *get_default_public_key_algs())]


async def _settings(node: NodeConfig, target: _Target) -> asyncssh.SSHClientConnectionOptions:
    """What ssh_config says about a host: HostName, ProxyJump, known_hosts. Loads no keys."""
    kwargs = _options(node, target) | {"client_keys": None}
    kwargs.pop("agent_identities", None)
    settings: asyncssh.SSHClientConnectionOptions
    settings = await asyncssh.SSHClientConnectionOptions.construct(host=target.address, **kwargs)
    return settings


def _options(node: NodeConfig, target: _Target) -> dict[str, Any]:
    """Only what labtui's own configuration says; the rest is ssh_config's."""
    options: dict[str, Any] = {}
    if target.user:
        options["username"] = target.user
    if target.port != 22:
        options["port"] = target.port
    if node.ssh_config:
        options["config"] = [str(Path(node.ssh_config).expanduser())]
    if node.identity_file:
        key = str(Path(node.identity_file).expanduser())
        # The agent is asked for this key alone; an encrypted file is left to it.
        options |= {"client_keys": [key], "agent_identities": [key], "ignore_encrypted": True}
    return options


def _known_hosts(node: NodeConfig, settings: asyncssh.SSHClientConnectionOptions) -> bytes:
    """The text of the known_hosts files, read anew at every attempt. Never empty."""
    named: Any = node.known_hosts or settings.known_hosts
    if named is None:
        raise HostError("host-key", "ssh_config says not to check host keys; labtui always does")
    if isinstance(named, str):
        named = [named]
    files = [Path(f).expanduser() for f in named] or [
        Path("~/.ssh/known_hosts").expanduser(),
        Path("/etc/ssh/ssh_known_hosts"),
    ]
    parts = [b"# known_hosts"]
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            parts.append(file.read_bytes())
    return b"\n".join(parts)


def _target(text: str) -> _Target:
    """`user@host:port` of a jump host."""
    user, _, rest = text.rpartition("@")
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        address, _, port = rest.partition(":")
    else:
        address, port = rest, ""
    return _Target(address, user, int(port) if port.isdigit() else 22)


_ERRNO: dict[int | None, HostErrorKind] = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
}


def explain(error: Exception, host: str) -> HostError:
    """Any exception of asyncssh or the system as a HostError."""
    if isinstance(error, HostError):
        error.host = error.host or host
        return error
    kind: HostErrorKind = "protocol"
    text = inert(error, 200)
    if isinstance(error, asyncssh.PermissionDenied):
        kind, text = "auth", f"login refused ({text[0].lower()}{text[1:]})"
    elif isinstance(error, asyncssh.HostKeyNotVerifiable):
        kind = "host-key"
    elif isinstance(error, asyncssh.ConnectionLost) or "connection closed" in text:
        kind, text = "unreachable", "the connection was lost"
    elif isinstance(error, asyncssh.ChannelOpenError):
        refused = "refused" in text
        kind = "refused" if refused else "unreachable" if "onnect" in text else "protocol"
        text = f"no channel: {text}"
    elif isinstance(error, asyncssh.KeyImportError):
        kind, text = "auth", f"the key cannot be used: {text}"
    elif isinstance(error, socket.gaierror):
        kind, text = "unreachable", "the host name is not known"
    elif isinstance(error, OSError) and error.filename:
        kind, text = "auth", f"{inert(error.filename)}: {(error.strerror or 'unreadable').lower()}"
    elif isinstance(error, OSError):
        kind = _ERRNO.get(error.errno, "unreachable")
        text = os.strerror(error.errno).lower() if error.errno else text
    return HostError(kind, f"ssh: {text}", host)
