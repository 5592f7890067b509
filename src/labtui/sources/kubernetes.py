"""Kubernetes by kubectl: an argv, JSON back, and what went wrong in one sentence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec

from labtui.config import KubernetesConfig
from labtui.hosts.base import MAX_OUTPUT, Completed, Host, HostError
from labtui.hosts.kubectl_errors import explain
from labtui.sources.base import SourceError
from labtui.store import FaultKind
from labtui.text import inert

T = TypeVar("T")

GRACE = 1.0
"""Seconds that kubectl has to say that the time is over, before it is ended."""
AT_ONCE = 2
"""Reads of one client that run at the same time; an action never waits for them."""
THREAD_ABOVE = 1 << 20
"""Characters above which an answer is decoded off the event loop: some 5 ms of it."""


class KubeError(SourceError):
    """kubectl, the API server or what they said: one kind, one inert sentence."""


class Kubectl:
    """kubectl on one host, as the configuration says. Nothing is sent until something is asked.

    A token is in the kubeconfig or nowhere: none stands in an argv.
    """

    def __init__(self, config: KubernetesConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self._reading = asyncio.Semaphore(AT_ONCE)

    def argv(self, *words: str, timeout: float | None = None) -> list[str]:
        """The command with these words; `timeout`: seconds of one request to the API server."""
        config = self.config
        path = config.kubeconfig
        if path.startswith("~") and not config.via:
            path = str(Path(path).expanduser())
        return [
            *config.kubectl,
            *([f"--kubeconfig={path}"] if path else []),
            *([f"--context={config.context}"] if config.context else []),
            f"--request-timeout={timeout or config.timeout_s:g}s",
            *words,
        ]

    @overload
    async def get(self, path: str, *, timeout: float | None = None) -> Any: ...
    @overload
    async def get(self, path: str, *, timeout: float | None = None, type: type[T]) -> T: ...

    async def get(self, path: str, *, timeout: float | None = None, type: Any = Any) -> Any:
        """What the API server has at this path (`/api/v1/pods?limit=10`), as `type`.

        Raises KubeError. `--raw` spares the requests by which kubectl finds out what there is.
        """
        async with self._reading:
            text = await self.run("get", "--raw", path, timeout=timeout)
        try:
            if len(text) > THREAD_ABOVE:
                return await asyncio.to_thread(msgspec.json.decode, text, type=type)
            return msgspec.json.decode(text, type=type)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            what = path.partition("?")[0].rpartition("/")[2]
            raise KubeError("protocol", f"{inert(what, 60)}: not what Kubernetes says: "
                            f"{inert(error, 120)}") from None  # fmt: skip

    async def run(self, *words: str, stdin: str | None = None, timeout: float | None = None) -> str:
        """What kubectl prints. Raises KubeError, also where it ends with anything but 0."""
        limit = timeout or self.config.timeout_s
        try:
            done = await self.host.run(
                self.argv(*words, timeout=limit), stdin=stdin, timeout=limit + GRACE
            )
        except HostError as error:
            if error.kind == "timeout":
                text = f"kubectl: no answer within {limit:g} s: the API server is busy, or hangs"
                raise KubeError("timeout", text) from None
            if "it printed more than" in error.message:
                text = f"kubectl: the answer is larger than {MAX_OUTPUT >> 20} MiB"
                raise KubeError("protocol", text) from None
            raise KubeError(error.kind, inert(error.message, 300)) from None
        if done.rc:
            raise self._error(done)
        return done.stdout

    def _error(self, done: Completed) -> KubeError:
        command = " ".join(self.config.kubectl)
        kind: FaultKind
        if done.rc in (126, 127):
            on = f" on {self.config.via}" if self.config.via else ""
            kind, message = "not-found", f"no such command{on}: install it, or name another"
            if done.rc == 126:
                kind, message = "permission", f"may not be run{on}"
            return KubeError(kind, f"{inert(command, 60)}: {message} in [kubernetes] kubectl")
        told = explain(done.stderr)
        return KubeError(told.kind, f"kubectl: {told.message}")
