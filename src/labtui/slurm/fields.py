"""Values of Slurm's JSON, whatever release wrote it. Pure; odd input is None, never 0.

Up to 22.05 (openapi v0.0.37 and v0.0.38) numbers are plain. From v0.0.39 a number that may be
unset is `{"set": true, "infinite": false, "number": 5}`, from v0.0.40 moments are such structs
too and states are lists.
"""

from __future__ import annotations

from typing import Any

from labtui.slurm import values
from labtui.slurm.constants import (
    INFINITE,
    INFINITE16,
    INFINITE64,
    NO_VAL,
    NO_VAL16,
    NO_VAL64,
    UNLIMITED,
)

_UNSET = frozenset({NO_VAL, NO_VAL64})
_INFINITE = frozenset({INFINITE, INFINITE64})
NEVER = 1 << 40
"""Unix seconds that no moment reaches."""


def num(
    value: Any,
    infinite: Any = None,
    *,
    zero: bool = True,
    short: bool = False,
    signed: bool = False,
) -> int | Any:
    """A whole number; None where it is not set, `infinite` where there is no limit.

    `zero=False`: 0 means "not set". `short`: the field has 16 bits in Slurm, so that a plain
    65534 is "not set" and 65535 is "unlimited" too. A negative one is none, unless `signed`.
    """
    marked = True
    if isinstance(value, dict):
        if value.get("infinite") is True:
            return infinite
        if value.get("set") is False:
            return None
        value, marked = value.get("number"), False
    elif isinstance(value, str):
        text = value.strip()
        if text.casefold() in ("unlimited", "infinite"):
            return infinite
        value = values.whole(text)
    if isinstance(value, float):
        value = int(value) if value.is_integer() and abs(value) < 2**63 else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if marked and (value in _UNSET or (short and value == NO_VAL16)):
        return None
    if marked and (value in _INFINITE or (short and value == INFINITE16)):
        return infinite
    if (value < 0 and not signed) or abs(value) >= 2**63:
        return None
    return None if value == 0 and not zero else value


def limit(value: Any, *, zero: bool = False, short: bool = False) -> int | str | None:
    """A number that may be "UNLIMITED"."""
    found: int | str | None = num(value, UNLIMITED, zero=zero, short=short)
    return found


def real(value: Any) -> float | None:
    """A number with a fraction; None where it is not one."""
    if isinstance(value, dict):
        if value.get("infinite") is True or value.get("set") is False:
            return None
        value = value.get("number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    found = float(value)
    return found if abs(found) < 2**63 else None


def moment(value: Any) -> int | None:
    """Unix seconds; None for 0, "never" and what is none."""
    if isinstance(value, str):
        found = values.moment(value)
        return None if found is None else int(found)
    found = num(value, zero=False)
    return found if isinstance(found, int) and 0 < found < NEVER else None


def states(value: Any) -> list[str]:
    """State words in capitals: from `"RUNNING"` and from `["RUNNING", "COMPLETING"]`."""
    if isinstance(value, str):
        return [word for word in value.upper().replace("+", " ").split() if word]
    if isinstance(value, list):
        return [word.upper() for word in value if isinstance(word, str) and word]
    return []


def text(value: Any) -> str | None:
    """A text; None for an empty one and Slurm's words for nothing."""
    return values.text(value) if isinstance(value, str) else None


def written(value: Any) -> str | None:
    """What a person wrote, as it is: only an empty one is None."""
    return value if isinstance(value, str) and value else None


def words(value: Any, mark: str = ",") -> list[str]:
    """A list of texts: from `"a,b"` and from `["a", "b"]`."""
    if isinstance(value, str):
        value = value.split(mark) if values.text(value) is not None else []
    if not isinstance(value, list):
        return []
    return [word for word in value if isinstance(word, str) and word]


def flag(value: Any) -> bool | None:
    """Yes or no: from true, 1, "YES"; None for anything else."""
    if isinstance(value, dict):
        value = num(value)
    if isinstance(value, str):
        value = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}.get(
            value.strip().casefold()
        )
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


def exit_status(value: Any) -> tuple[int | None, int | None]:
    """(exit code, signal) from a raw wait status, a number struct, `{return_code, signal}`, `1:0`.

    A process that a signal ended has no exit code: 0, as PySlurm has it.
    """
    if isinstance(value, dict) and ("return_code" in value or "status" in value):
        signal = value.get("signal") or {}
        if isinstance(signal, dict):
            signal = signal.get("id", signal.get("signal_id"))
        code, by = num(value.get("return_code")), num(signal)
        status = states(value.get("status"))
        if code is None and by is None and "PENDING" in status:
            return None, None
        return code or 0, by or 0
    if isinstance(value, str) and ":" in value:
        value, _, by_text = value.partition(":")
        return values.whole(value), values.whole(by_text)
    raw = num(value)
    if raw is None or raw > 0xFFFF or raw < 0:
        return None, None
    by = raw & 0x7F
    return (0, by) if by else (raw >> 8, 0)
