"""`/`: substring, /regex/, `!` inverse, `field:value`; several words must all hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from labtui.text import inert

Test = Callable[[Any], bool]


class FilterError(ValueError):
    """The filter cannot be used: one sentence. What was filtered before stays."""


def compile_filter(text: str, searchable: Callable[[Any], str]) -> Test | None:
    """A test of one item; None for an empty filter. Raises FilterError on a bad regex."""
    tests = [_term(word, searchable) for word in _words(text)]
    if not tests:
        return None
    return lambda item: all(test(item) for test in tests)


def _words(text: str) -> list[str]:
    """Split at spaces, but keep `/a regex/` together."""
    return re.findall(r"!?/(?:[^/\\]|\\.)*/?|\S+", text)


def _term(word: str, searchable: Callable[[Any], str]) -> Test:
    if word.startswith("!") and len(word) > 1:
        inner = _term(word[1:], searchable)
        return lambda item: not inner(item)
    if word.startswith("/"):
        try:
            pattern = re.compile(word.strip("/"), re.IGNORECASE)
        except re.error as error:
            raise FilterError(f"{word}: not a regular expression: {error}") from None
        return lambda item: pattern.search(searchable(item)) is not None
    name, colon, value = word.partition(":")
    if colon and name.isidentifier():
        return lambda item: _field(item, name, value.casefold())
    needle = word.casefold()
    return lambda item: needle in searchable(item).casefold()


def _field(item: Any, name: str, value: str) -> bool:
    """Fields by name or unique beginning (`part:gpu`); lists match on any element."""
    fields = [f for f in item.__struct_fields__ if f == name] or [
        f for f in item.__struct_fields__ if f.startswith(name)
    ]
    for field in fields:
        content = getattr(item, field)
        parts = content if isinstance(content, (tuple, list, set)) else [content]
        if isinstance(content, dict):
            parts = [f"{k}={v}" for k, v in content.items()]
        if any(part is not None and value in inert(part).casefold() for part in parts):
            return True
    return False
