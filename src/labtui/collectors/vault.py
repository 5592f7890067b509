"""`vault.NODE`: the seal of each Vault server, asked at its own address, never at a balancer's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from labtui.collectors.base import Collector
from labtui.collectors.source import SourceCollector
from labtui.config import Config
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.sources.threads import Lane
from labtui.sources.vault import VaultClient
from labtui.text import inert

BUILD = "vault-build.json"
"""Where a lab that builds its own Vault says how far it is, in its `progress` folder."""

GRACE = 0.3
"""Seconds that the client has to say itself what it waited for in vain."""
SHUT = {"sealed", "unsealing"}
"""One state as far as since when counts: a share more, or a reset, opens nothing."""
GONE = 60.0
"""Seconds for which it is told that shares which were in are gone."""
SKEW_STEP_MS = 1000
"""Health tells whole seconds: a smaller change of the clock's difference is none."""


class VaultCollector(SourceCollector):
    kind = "vault"
    background = 1.0
    """A seal must be noticed whatever screen is open."""
    patience = 1.0
    """So must a server that comes back sealed: with a try that hangs for `timeout_s` before it,
    within five seconds."""

    def __init__(self, config: Config, node: str) -> None:
        section = config.vault
        self.name = f"vault.{node}"
        self.interval = section.interval_s
        self._budget = section.timeout_s + GRACE
        self.timeout = section.timeout_s + 1.0
        self._client = VaultClient(
            node, section.nodes[node], ca_file=section.ca_file, timeout=section.timeout_s
        )
        self._lane = Lane(self._client.who)
        self._build = (
            Path(config.lab.state) / "progress" / BUILD if config.lab and config.lab.state else None
        )
        self._before: VaultNode | None = None
        self._lost: tuple[float, int] | None = None
        """When shares were lost, and how many."""

    async def ask(self) -> VaultNode:
        try:
            found = await self._lane.call(self._budget, self._client.probe)
        except SourceError as error:
            raise self._building() or error from None
        self._before = self._since(found, time.time())
        return self._before

    def _since(self, found: VaultNode, now: float) -> VaultNode:
        """With what only those know who have watched it: since when, what before."""
        before = self._before
        if before is None:
            return replace(found, since=now)
        same = before.state == found.state or {before.state, found.state} <= SHUT
        skew, old = found.clock_skew_ms, before.clock_skew_ms
        if skew and old and abs(skew - old) <= SKEW_STEP_MS:
            skew = old  # between two seconds it would go to and fro
        return replace(
            found,
            since=before.since if same else now,
            was=before.was if same else before.state,
            clock_skew_ms=skew,
            detail=found.detail or self._gone(before, found, now),
        )

    def _gone(self, before: VaultNode, found: VaultNode, now: float) -> str | None:
        """Shares that were in are not any more, and it is sealed still."""
        if not found.sealed or found.progress or found.state == "uninitialised":
            self._lost = None
        elif before.progress and before.state == "unsealing":
            self._lost = (now, before.progress)
        if self._lost is None or now - self._lost[0] > GONE:
            return None
        count = self._lost[1]
        words = "1 share was in and is" if count == 1 else f"{count} shares were in and are"
        why = "one of them was wrong, or somebody began anew"
        if found.storage == "raft":
            why = "one of them was wrong, somebody began anew, or it joins its leader now"
        return f"{words} gone: {why}"

    def _building(self) -> SourceError | None:
        """Why there is nothing to reach yet, where the lab's own build of Vault is the reason."""
        match _read(self._build):
            case {"state": "building", "detail": str(detail), **rest}:
                percent = rest.get("percent")
                share = f" {percent} %" if isinstance(percent, int) else ""
                return SourceError("building", f"the lab builds Vault:{share} {inert(detail)}")
            case {"state": "failed", "detail": str(detail)}:
                return SourceError("not-found", f"the lab has no Vault: {inert(detail)}")
        return None

    async def close(self) -> None:
        self._client.close()


def _read(path: Path | None) -> Any:
    try:
        return json.loads(path.read_bytes()[:65536]) if path else None
    except (OSError, ValueError):
        return None


async def standing(config: Config, node: str) -> VaultNode:
    """The server called `node` in [vault.nodes], asked now, outside the schedule.

    For whoever has just changed something there. Takes `[vault] timeout_s` at most. Raises
    SourceError.
    """
    section = config.vault
    address = section.nodes.get(node)
    if not address:
        raise SourceError("config", f"no Vault {inert(node, 40)!r} in [vault.nodes]")
    client = VaultClient(node, address, ca_file=section.ca_file, timeout=section.timeout_s)

    def read() -> VaultNode:
        try:
            return client.probe()
        finally:
            client.close()

    return await Lane(client.who).call(section.timeout_s + GRACE, read)


def collectors(config: Config) -> list[Collector]:
    return [VaultCollector(config, node) for node in config.vault.nodes]
