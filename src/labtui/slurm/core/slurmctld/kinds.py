"""How `scontrol show config` writes numbers, lists and lengths of time."""

from __future__ import annotations

import re
from typing import Any

from labtui.slurm import fields, values
from labtui.slurm.constants import NO_VAL16, UNLIMITED
from labtui.slurm.served import Kind, none
from labtui.slurm.utils import cstr

_NUMBER = re.compile(r"(\d{1,18})(?: (?:sec|usec|min|percent|nodes/min))?")
_USER = re.compile(r"(.+)\((\d{1,10})\)")
_PLAIN = re.compile(r"\d{1,15}(?:\.\d{1,9})?")


def _number(value: str) -> int | str | None:
    if value.upper() in (UNLIMITED, "INFINITE"):
        return UNLIMITED
    found = _NUMBER.fullmatch(value)
    number = int(found[1]) if found and value.isascii() else None
    return None if number == NO_VAL16 else number


def _number_or_none(value: str) -> int | str | None:
    return _number(value) or None


def _span(value: str) -> int | str | None:
    return UNLIMITED if value.upper() == UNLIMITED else values.seconds(value) or None


def _words(value: str) -> list[str]:
    return fields.words(value)


def _upper(value: str) -> list[str]:
    return [word.upper() for word in fields.words(value) if word != "none"]


def _chosen(value: str) -> list[str]:
    return [word for word in fields.words(value) if word != "none"]


def _parameters(value: str) -> dict[str, Any]:
    return cstr.to_dict(values.text(value), def_value=True)


def _licenses(value: str) -> dict[str, Any]:
    return cstr.to_dict(values.text(value), delim2=":", def_value=1)


def _environment(value: str) -> dict[str, Any]:
    return cstr.to_dict(values.text(value), delim1=";")


def _frequency(value: str) -> dict[str, Any]:
    plain = values.whole(value)
    return cstr.to_dict(values.text(value)) if plain is None else {"task": plain}


def _hash(value: str) -> str | None:
    found = re.search(r"0x[0-9a-f]+", value)
    return found[0] if found else None


def _user(value: str, part: int) -> str | None:
    found = _USER.fullmatch(value)
    return found[part] if found else None


def _user_id(value: str) -> int | None:
    return values.whole(_user(value, 2) or "")


def _percent(value: str) -> float | None:
    plain = value.rstrip("%")
    return float(plain) if _PLAIN.fullmatch(plain) and plain.isascii() else None


def _level(value: str) -> str | None:
    return None if value.lower() == "unknown" else values.text(value)


def _ports(value: str) -> str | None:
    return value if re.fullmatch(r"[1-9]\d{0,4}-[1-9]\d{0,4}", value, re.ASCII) else None


def _binds(value: str) -> list[str]:
    return [] if value == "(null type)" else fields.words(value)


def _nothing(value: Any) -> Any:
    return None


NUM: Kind[int | str | None] = Kind(_number_or_none, _nothing, none)
NUM0: Kind[int | str | None] = Kind(_number, _nothing, none)
"""A number whose 0 means 0."""
SPAN: Kind[int | str | None] = Kind(_span, _nothing, none)
"""`7-00:00:00` in seconds."""
SIZE: Kind[int | str | None] = Kind(
    lambda v: UNLIMITED if v.upper() == UNLIMITED else values.mib(v) or None, _nothing, none
)
MIB: Kind[int | None] = Kind(values.mib, _nothing, none)
UPPER: Kind[list[str]] = Kind(_upper, _nothing, list)
CHOSEN: Kind[list[str]] = Kind(_chosen, _nothing, list)
NAMES: Kind[list[str]] = Kind(_words, _nothing, list)
"""`Epilog[0] = ...`, `Epilog[1] = ...`, or one of that name."""
DIRS: Kind[list[str]] = Kind(lambda v: fields.words(v, ":"), _nothing, list)
PARAMS: Kind[dict[str, Any]] = Kind(_parameters, _nothing, dict)
LICENSES: Kind[dict[str, Any]] = Kind(_licenses, _nothing, dict)
ENVIRONMENT: Kind[dict[str, Any]] = Kind(_environment, _nothing, dict)
FREQ: Kind[dict[str, Any]] = Kind(_frequency, _nothing, dict)
HASH: Kind[str | None] = Kind(_hash, _nothing, none)
USER_ID: Kind[int | None] = Kind(_user_id, _nothing, none)
USER_NAME: Kind[str | None] = Kind(lambda v: _user(v, 1), _nothing, none)
PERCENT: Kind[float | None] = Kind(_percent, _nothing, none)
LEVEL: Kind[str | None] = Kind(_level, _nothing, none)
PORTS: Kind[str | None] = Kind(_ports, _nothing, none)
BINDS: Kind[list[str]] = Kind(_binds, _nothing, list)
SECRET: Kind[str | None] = Kind(_nothing, _nothing, none)
