"""What the collectors of HTTP sources and libraries have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from labtui.collectors.base import CollectError, Collector
from labtui.sources.base import SourceError


class SourceCollector(Collector):
    """A collector whose source speaks in SourceErrors."""

    async def collect(self) -> Any:
        try:
            return await self.ask()
        except SourceError as error:
            raise CollectError(error.fault.kind, error.fault.message) from None

    @abstractmethod
    async def ask(self) -> Any:
        """One value. Raises SourceError."""
