"""How a person left the tables of a cluster: columns and order, and the filters used before.

A filter itself is not put back at the next start: at 3 a.m. a table has to show everything.
"""

from __future__ import annotations

import msgspec

from labtui.draft import write_private
from labtui.history import default_path

FILTERS = 20
"""Filters of one subject that are remembered."""


class TableState(msgspec.Struct, kw_only=True):
    columns: tuple[str, ...] = ()
    """Ids in the person's order; empty: the subject's own."""
    sort: str = ""
    reverse: bool = False
    filters: tuple[str, ...] = ()
    """The newest last."""

    def used(self, text: str) -> None:
        """Remember a filter; one that was used before moves to the end."""
        if text:
            kept = [f for f in self.filters if f != text]
            self.filters = (*kept, text)[-FILTERS:]


class TableStates:
    """Loaded once, written when something changed. A file that is broken is as good as none."""

    def __init__(self, cluster: str) -> None:
        self.path = default_path(cluster).with_name(f"{cluster}-tables.json")
        try:
            self.of = msgspec.json.decode(self.path.read_bytes(), type=dict[str, TableState])
        except (OSError, msgspec.DecodeError):
            self.of = {}

    def subject(self, name: str) -> TableState:
        return self.of.setdefault(name, TableState())

    def keep(self) -> None:
        """Raises OSError where it cannot be written."""
        write_private(self.path, msgspec.json.encode(self.of))
