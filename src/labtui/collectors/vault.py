"""`vault.NODE`: the seal of each Vault server, asked at its own address, never at a balancer's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec

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


class VaultCollector(SourceCollector):
    kind = "vault"
    background = 1.0
    """A seal must be noticed whatever screen is open."""

    def __init__(self, config: Config, node: str) -> None:
        section = config.vault
        self.name = f"vault.{node}"
        self.interval = section.interval_s
        self._budget = section.timeout_s
        self.timeout = section.timeout_s + 1.0
        self._client = VaultClient(
            node, section.nodes[node], ca_file=section.ca_file, timeout=section.timeout_s
        )
        self._lane = Lane(self._client.who)
        self._build = (
            Path(config.lab.state) / "progress" / BUILD if config.lab and config.lab.state else None
        )
        self._before: VaultNode | None = None

    async def ask(self) -> VaultNode:
        try:
            found = await self._lane.call(self._budget, self._client.probe)
        except SourceError as error:
            raise self._building() or error from None
        before = self._before
        same = before is not None and before.state == found.state
        since = before.since if before is not None and same else time.time()
        self._before = msgspec.structs.replace(found, since=since)
        return self._before

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

    return await Lane(client.who).call(section.timeout_s, read)


def collectors(config: Config) -> list[Collector]:
    return [VaultCollector(config, node) for node in config.vault.nodes]
