"""The order of a table: what matters most first, or by one column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labtui.spec import Cell, SubjectSpec


def unknown(key: Any) -> bool:
    """Whether a row's key, or its cell, says nothing: such rows come last, whichever the way."""
    return key is None or key in ("", "-")


def order(items: Sequence[Any], spec: SubjectSpec, column: str, reverse: bool) -> list[Any]:
    """Sorted anew; equal items keep the order the view gave them, unknown values come last."""
    chosen = next((c for c in spec.columns if c.id == (column or spec.default_sort)), None)
    if chosen is None:
        return sorted(items, key=lambda i: -spec.severity(i), reverse=reverse)

    def plain(item: Any) -> Any:
        if chosen.sort is not None:
            return chosen.sort(item)
        text = chosen.text(item)
        return (text.text if isinstance(text, Cell) else text).casefold()

    known: list[tuple[Any, Any]] = []
    rest: list[Any] = []
    for item in items:
        value = plain(item)
        if unknown(value):
            rest.append(item)
        else:
            known.append((value, item))
    try:
        known.sort(key=lambda pair: pair[0], reverse=reverse)
    except TypeError:
        known.sort(key=lambda pair: str(pair[0]), reverse=reverse)
    return [item for _, item in known] + rest
