"""TOML against the sections: unknown keys, wrong types, and the line of each.

msgspec checks types; this adds what a person needs: every problem at once, the nearest spelling,
line numbers."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec


def _struct(kind: Any) -> Any:
    """The struct class within `X`, `X | None`."""
    for candidate in (kind, *getattr(kind, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


Where = tuple[str, ...]
"""The keys from the top down to the one that is meant."""


def unknown(data: dict[str, Any], kind: Any, where: Where) -> list[tuple[Where, str]]:
    """Keys that no section has."""
    found: list[tuple[Where, str]] = []
    fields = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            found.append(((*where, key), f"unknown key{hint}; remove or rename it"))
            continue
        for inner, entry, path in _tables(value, fields[key], (*where, key)):
            found += unknown(entry, inner, path)
    return found


def mistyped(data: dict[str, Any], kind: Any, where: Where) -> list[tuple[Where, str]]:
    """Values of a wrong type. Converted one by one: of an entry of a table of tables, msgspec
    tells only that it is one of them."""
    found: list[tuple[Where, str]] = []
    for field in msgspec.structs.fields(kind):
        if field.name not in data:
            continue
        value, path = data[field.name], (*where, field.name)
        tables = list(_tables(value, field.type, path))
        for inner, entry, below in tables:
            found += mistyped(entry, inner, below)
        if tables:
            continue
        of_dict = getattr(field.type, "__origin__", None) is dict
        if of_dict and isinstance(value, dict):
            for key, entry in value.items():
                found += _convert(entry, field.type.__args__[1], (*path, key))
        else:
            found += _convert(value, field.type, path)
    return found


def _tables(value: Any, kind: Any, where: Where) -> list[tuple[Any, dict[str, Any], Where]]:
    """The tables with keys of their own directly in a value: (struct, table, its place)."""
    if not isinstance(value, dict):
        return []
    if getattr(kind, "__origin__", None) is dict:
        item = _struct(kind.__args__[1])
        tables = [(item, v, (*where, k)) for k, v in value.items() if isinstance(v, dict)]
        return tables if item is not None and len(tables) == len(value) else []
    inner = _struct(kind)
    return [(inner, value, where)] if inner is not None else []


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": 'text in "quotes"',
    "bool": "true or false",
    "array": 'a list: ["a", "b"]',
    "object": "a table: [section] with its keys below",
}


def _convert(value: Any, kind: Any, where: Where) -> list[tuple[Where, str]]:
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, _ = str(error).partition(" - at `")
        wanted = re.match(r"Expected `(\w+)", text)
        fix = f"write {_TYPES.get(wanted[1], wanted[1])}" if wanted else ""
        options = [str(a) for a in getattr(kind, "__args__", ()) if isinstance(a, str)]
        if options:
            fix = f"write one of {', '.join(options)}"
        return [(where, f"{text[0].lower()}{text[1:]}; {fix or 'correct it'}")]
    return []


_KEY = r"(?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)"
_DOTTED = rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*"


def line_of(source: str, where: Where) -> int:
    """The line of a key, or of the nearest table around it. A guess only inside long strings."""
    best, depth = 1, 0
    table: Where = ()
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(rf"\s*\[\[?{_DOTTED}\]", line):
            path = table = _keys(header[1])
        elif entry := re.match(rf"{_DOTTED}=", line):
            path = (*table, *_keys(entry[1]))
        else:
            continue
        if len(path) > depth and where[: len(path)] == path:
            best, depth = number, len(path)
    return best


def _keys(dotted: str) -> Where:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))
