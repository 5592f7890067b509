"""Which key does what: the registry's defaults and the person's own, checked at load."""

from __future__ import annotations

import difflib
import re

from labtui.registry import ACTIONS, COMMANDS, SUBJECTS
from labtui.spec import ActionSpec

_RESERVED = {"ctrl+c", "ctrl+j", "ctrl+q", "escape", "enter", "tab", "shift+tab"}
_NAMED = {
    "space", "slash", "colon", "question_mark", "exclamation_mark", "up", "down", "left", "right",
    "home", "end", "pageup", "pagedown", "delete", "backspace", *(f"f{i}" for i in range(1, 13)),
}  # fmt: skip
_SYMBOLS = {"/": "slash", ":": "colon", "?": "question_mark", "!": "exclamation_mark", " ": "space"}
_WORDS = {v: k for k, v in _SYMBOLS.items() if k != " "}
_KEY = re.compile(r"(ctrl\+|alt\+)?[!-~]\Z")


class KeyMapError(ValueError):
    """Every problem of the key map, one a line: what, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def shown(key: str) -> str:
    """The key as a person knows it: `?` for `question_mark`."""
    return _WORDS.get(key, key)


class KeyMap:
    """Lookup by subject. Actions of the subject come before commands that work everywhere."""

    def __init__(self, own: dict[str, str] | None = None) -> None:
        specs: dict[str, ActionSpec] = {s.id: s for s in (*COMMANDS, *ACTIONS)}
        problems: list[str] = []
        keys = {s.id: s.key for s in specs.values()}
        for name, key in (own or {}).items():
            key = _SYMBOLS.get(key, key)
            if name not in specs:
                near = difflib.get_close_matches(name, specs, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                problems.append(f"keys: {name!r} is no action{hint} (`labtui config keys` lists)")
            elif key in _RESERVED or not (key in _NAMED or _KEY.match(key)):
                problems.append(f"keys: {name}: {key!r} cannot be used; write one key such as x")
            else:
                keys[name] = key
        self.keys = keys
        self.specs = specs
        problems += self._clashes(set(own or {}))
        if problems:
            raise KeyMapError(problems)

    def _clashes(self, own: set[str]) -> list[str]:
        problems: list[str] = []
        for subject in SUBJECTS:
            taken: dict[str, str] = {}
            for spec in self.specs.values():
                if spec.subjects and subject.name not in spec.subjects:
                    continue
                other = taken.setdefault(self.keys[spec.id], spec.id)
                if other != spec.id:
                    key = shown(self.keys[spec.id])
                    line = f"keys: {key!r} is both {other} and {spec.id} on {subject.name}"
                    free = "give one of them another key in [keys]"
                    if line + "; " + free not in problems:
                        problems.append(f"{line}; {free}")
        return problems

    def lookup(self, subject: str, key: str) -> ActionSpec | None:
        for spec in self.specs.values():
            if self.keys[spec.id] == key and (not spec.subjects or subject in spec.subjects):
                return spec
        return None

    def of(self, subject: str) -> list[ActionSpec]:
        """The actions of one subject, in the registry's order."""
        return [s for s in ACTIONS if subject in s.subjects]

    def key(self, id: str) -> str:
        return shown(self.keys[id])
