"""Vault: operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action
from labtui.spec import ActionSpec

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

ACTIONS: tuple[ActionSpec, ...] = ()


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these."""
    return None
