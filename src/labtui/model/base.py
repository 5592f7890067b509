"""What every struct of the model is."""

from __future__ import annotations

import msgspec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable; compared by value, so an unchanged row is never drawn again."""
