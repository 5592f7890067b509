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
from typing import cast

from labtui.config import NodeConfig
from labtui.hosts.base import HostError, HostErrorKind, Sink
from labtui.hosts.command import CommandHost
from labtui.hosts.kubectl_errors import Told, explain
from labtui.hosts.local import execute, stream_local
from labtui.text import inert

LOOKUP_TIMEOUT = 5.0
"""Seconds that finding the pod may take."""

_ENDED = re.compile(rb"command terminated with exit code \d+\s*\Z")
# kubectl's own remark, in the command's stderr, where no container is configured.
_CHOSE = re.compile(rb'\ADefaulted container "[^\n]*\n')
# What ssh and local have no word for.
_KINDS: dict[str, HostErrorKind] = {"tls": "protocol", "config": "not-found"}


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
                    err = _CHOSE.sub(b"", err)
                    if rc == 0:
                        return rc, out, err
                    if _ENDED.search(err):
                        return rc, out, _ENDED.sub(b"", err)
                    if rc == 127:
                        raise HostError("not-found", "kubectl: no such command", self.name)
                    told = explain(err.decode(errors="replace"))
                    self._pod = None
                    # The pod was replaced since it was found: nothing ran yet.
                    if again or not told.gone:
                        raise self._error(told)
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
            raise self._error(explain(err.decode(errors="replace")))
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

    def _error(self, told: Told) -> HostError:
        kind = _KINDS.get(told.kind) or cast(HostErrorKind, told.kind)
        return HostError(kind, f"kubectl: {told.message}", self.name)
