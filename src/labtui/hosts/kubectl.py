"""A machine through a pod on it: `kubectl exec`, the pod found by its label.

kubectl ends its own side on a time-out; what runs in the pod has its pipes closed, and may live
on until it notices.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Sequence

from labtui.config import NodeConfig
from labtui.hosts.base import HostError, HostErrorKind, Sink
from labtui.hosts.command import CommandHost
from labtui.hosts.local import execute, stream_local
from labtui.text import inert

LOOKUP_TIMEOUT = 5.0
"""Seconds that finding the pod may take."""

_ENDED = re.compile(rb"command terminated with exit code \d+\s*\Z")
_GONE = re.compile(r"\(NotFound\)|container not found|completed pod|pod does not exist")
_KINDS: tuple[tuple[str, HostErrorKind], ...] = (
    (r"\(Forbidden\)", "permission"),
    (r"\(Unauthorized\)|must be logged in", "auth"),
    (r"\(NotFound\)|not found|completed pod|does not exist", "not-found"),
    (r"refused", "refused"),
    (r"no such host|no route|unreachable", "unreachable"),
    (r"timeout|timed out|deadline exceeded|Timeout", "timeout"),
)


class KubectlHost(CommandHost):
    """`[*kubectl, exec, pod, --, chroot?, argv...]`: no shell on the way."""

    def __init__(self, name: str, node: NodeConfig) -> None:
        super().__init__(name)
        self.node = node
        self._pod: str | None = None
        self._finding = asyncio.Lock()

    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        try:
            async with asyncio.timeout(timeout):
                for again in (False, True):
                    command = [
                        *self.node.kubectl,
                        f"--request-timeout={math.ceil(timeout)}s",
                        *self._exec_argv(await self._find(), argv, stdin=stdin is not None),
                    ]
                    rc, out, err = await execute(command, stdin, timeout, self.name, sink)
                    if rc == 0:
                        return rc, out, err
                    if _ENDED.search(err):
                        return rc, out, _ENDED.sub(b"", err)
                    if rc == 127:
                        raise HostError("not-found", "kubectl: no such command", self.name)
                    error = self._explain(err)
                    self._pod = None
                    # The pod was replaced since it was found: nothing ran yet.
                    if again or not _GONE.search(error.message):
                        raise error
        except TimeoutError:
            text = f"kubectl: no answer within {timeout:.1f} s"
            raise HostError("timeout", text, self.name) from None
        raise AssertionError("unreachable")

    async def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        pod = await self._find()
        command = [*self.node.kubectl, *self._exec_argv(pod, argv, stdin=False)]
        async for line in stream_local(command, self.name):
            yield line

    def shell_argv(self) -> list[str]:
        if self._pod is None:
            text = f"no pod with label {inert(self.node.selector)} was found yet"
            raise HostError("not-found", text, self.name)
        return [*self.node.kubectl, *self._exec_argv(self._pod, ["sh"], stdin=True, tty=True)]

    def _exec_argv(
        self, pod: str, argv: Sequence[str], *, stdin: bool, tty: bool = False
    ) -> list[str]:
        node = self.node
        out = ["exec"]
        out += ["-i"] if stdin else []
        out += ["-t"] if tty else []
        out += ["-n", node.namespace] if node.namespace else []
        out.append(pod)
        out += ["-c", node.container] if node.container else []
        chroot = ["chroot", node.chroot] if node.chroot else []
        return [*out, "--", *chroot, *argv]

    async def _find(self) -> str:
        """The name of a ready pod with the label; looked up once until it is gone."""
        async with self._finding:
            if self._pod is None:
                self._pod = await self._lookup()
            return self._pod

    async def _lookup(self) -> str:
        node = self.node
        argv = [*node.kubectl, f"--request-timeout={LOOKUP_TIMEOUT:.0f}s", "get", "pods"]
        argv += ["-n", node.namespace] if node.namespace else []
        argv += ["-l", node.selector, "--field-selector=status.phase=Running", "-o", "json"]
        rc, out, err = await execute(argv, None, LOOKUP_TIMEOUT, self.name)
        if rc == 127:
            text = f"{inert(node.kubectl[0])}: no such command"
            raise HostError("not-found", text, self.name)
        if rc:
            raise self._explain(err)
        try:
            ready = sorted(
                item["metadata"]["name"]
                for item in json.loads(out)["items"]
                if "deletionTimestamp" not in item["metadata"]
                and all(c.get("ready") for c in item["status"].get("containerStatuses", []))
            )
        except (ValueError, KeyError, TypeError):
            raise HostError("protocol", "kubectl get pods: not a list of pods", self.name) from None
        if not ready:
            where = f" in {inert(node.namespace)}" if node.namespace else ""
            text = f"no ready pod with label {inert(node.selector)}{where}"
            raise HostError("not-found", text, self.name)
        return str(ready[0])

    def _explain(self, stderr: bytes) -> HostError:
        lines = [s for s in stderr.decode(errors="replace").splitlines() if s.strip()]
        text = inert(lines[-1] if lines else "failed without a word", 200)
        kinds = (kind for pattern, kind in _KINDS if re.search(pattern, text))
        kind: HostErrorKind = next(kinds, "protocol")
        return HostError(kind, f"kubectl: {text}", self.name)
