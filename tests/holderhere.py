"""What the keyholder's process does, in this process: for tests of what is built on it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from labtui.keyholder.faults import fault
from labtui.keyholder.holder import HolderError
from labtui.keyholder.operation import Door
from labtui.keyholder.operations import operation


class HolderHere:
    """Has the secrets that it is made with. `unanswered`: operations whose answer gets lost after
    they were done; `lost`: those that are lost on the way there."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = {name: bytearray(text.encode()) for name, text in secrets.items()}
        self.has = set(self.secrets)
        self.calls: list[str] = []
        self.unanswered: set[str] = set()
        self.lost: set[str] = set()

    async def call(self, id: str, door: Door, **params: Any) -> dict[str, Any]:
        self.calls.append(id)
        found = operation(id)
        assert set(found.needs) <= set(self.secrets), f"{id} lacks what it needs"
        if id in self.lost:
            raise HolderError("unknown" if found.writes else "timeout", "no answer within 1 s")
        try:
            told = await asyncio.to_thread(found.run, door, self.secrets, params)
        except Exception as error:
            raise HolderError(*fault(error, found, door)) from None
        if id in self.unanswered:
            raise HolderError("unknown", "no answer within 1 s")
        result: dict[str, Any] = json.loads(json.dumps(told))
        return result
