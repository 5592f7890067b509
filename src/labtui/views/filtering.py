"""`/`: substring, /regex/, `!` inverse, `field:value`, `field:=this,that`; all words must hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from labtui.text import inert

Test = Callable[[Any], bool]


class FilterError(ValueError):
    """The filter cannot be used: one sentence. What was filtered before stays."""


class Filter:
    """A test of one item. What did not pass `within`, the filter before it, does not pass it."""

    def __init__(
        self, text: str, searchable: Callable[[Any], str], before: Filter | None = None
    ) -> None:
        self.words = _words(text)
        self._tests = [_term(word, searchable) for word in self.words]
        self.within = before if before is not None and self._narrows(before) else None

    def __call__(self, item: Any) -> bool:
        return all(test(item) for test in self._tests)

    def _narrows(self, before: Filter) -> bool:
        """More words, or a plain last word or field's value that was typed on."""
        old, new = before.words, self.words
        if new[: len(old)] == old:
            return True
        if len(old) != len(new) or old[:-1] != new[:-1]:
            return False
        typed_on = new[-1].startswith(old[-1]) and not old[-1].startswith(("!", "/"))
        return typed_on and ":=" not in new[-1] and (":" in old[-1]) == (":" in new[-1])


def compile_filter(
    text: str, searchable: Callable[[Any], str], before: Filter | None = None
) -> Filter | None:
    """None for an empty filter. Raises FilterError on a bad regex."""
    made = Filter(text, searchable, before)
    return made if made.words else None


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
        matches = _value(value.casefold())
        return lambda item: _field(item, name, matches)
    needle = word.casefold()
    return lambda item: needle in searchable(item).casefold()


def _value(value: str) -> Callable[[str], bool]:
    """`=this,that` is one of these and nothing more; a job may have several partitions."""
    if not value.startswith("="):
        return lambda text: value in text
    wanted = set(value[1:].split(",")) - {""}
    return lambda text: not wanted.isdisjoint(text.split(","))


def _field(item: Any, name: str, matches: Callable[[str], bool]) -> bool:
    """Fields by name or unique beginning (`part:gpu`); lists match on any element."""
    fields = [f for f in item.__struct_fields__ if f == name] or [
        f for f in item.__struct_fields__ if f.startswith(name)
    ]
    for field in fields:
        content = getattr(item, field)
        parts = content if isinstance(content, (tuple, list, set)) else [content]
        if isinstance(content, dict):
            parts = [f"{k}={v}" for k, v in content.items()]
        if any(part is not None and matches(inert(part).casefold()) for part in parts):
            return True
    return False
