"""Users, node lists, sizes, signals."""

from __future__ import annotations

import grp
import pwd
import re
import signal
from itertools import groupby
from os import WEXITSTATUS, WIFSIGNALED, WTERMSIG, getgid, getuid
from typing import Any

from labtui.slurm import values
from labtui.slurm.constants import (
    BATCH_STEP,
    EXTERN_STEP,
    INFINITE,
    INTERACTIVE_STEP,
    NO_VAL,
    PENDING_STEP,
    UNLIMITED,
)
from labtui.slurm.record import instance_to_dict

__all__ = ["instance_to_dict"]

MEMORY_UNITS = {unit: 2.0 ** (10 * power) for power, unit in enumerate("KMGTPEZ", 1)}

# -- users and groups: of this machine, whatever machine Slurm's commands run on --------------


def uid_to_name(uid: int, err_on_invalid: bool = False, lookup: Any = None) -> str | None:
    """The user's name, from `lookup` ({id: name}) where one is given.

    The number as text where there is no such user (KeyError with `err_on_invalid`); None for
    NO_VAL and INFINITE.
    """
    return _name(uid, err_on_invalid, lookup, lambda number: pwd.getpwuid(number).pw_name)


def gid_to_name(gid: int, err_on_invalid: bool = False, lookup: Any = None) -> str | None:
    """The group's name; see `uid_to_name`."""
    return _name(gid, err_on_invalid, lookup, lambda number: grp.getgrgid(number).gr_name)


def _name(number: int, strict: bool, lookup: Any, ask: Any) -> str | None:
    if number in (NO_VAL, INFINITE):
        return None
    try:
        return str(lookup[number] if lookup else ask(number))
    except (KeyError, OverflowError):
        if strict:
            raise KeyError(f"no such id: {number}") from None
        return str(number)


def user_to_uid(user: Any, err_on_invalid: bool = True) -> int:
    """A user's number by name or number; NO_VAL for None. KeyError where there is no such user,
    without `err_on_invalid` one's own number."""
    if user is None:
        return NO_VAL
    try:
        plain = values.whole(str(user))
        return pwd.getpwnam(user).pw_uid if plain is None else pwd.getpwuid(plain).pw_uid
    except KeyError:
        if err_on_invalid:
            raise
        return getuid()


def group_to_gid(group: Any, err_on_invalid: bool = True) -> int:
    """A group's number; see `user_to_uid`."""
    if group is None:
        return NO_VAL
    try:
        plain = values.whole(str(group))
        return grp.getgrnam(group).gr_gid if plain is None else grp.getgrgid(plain).gr_gid
    except KeyError:
        if err_on_invalid:
            raise
        return getgid()


def _getpwall_to_dict() -> dict[int, str]:
    return {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}


def _getgrall_to_dict() -> dict[int, str]:
    return {entry.gr_gid: entry.gr_name for entry in grp.getgrall()}


# -- numbers and nodes by range ---------------------------------------------------------------


def expand_range_str(range_str: str) -> list[int]:
    """`1-3,7` as [1, 2, 3, 7]. ValueError for what is no list of numbers."""
    found: list[int] = []
    for part in range_str.split(","):
        low, dash, high = part.partition("-")
        first = int(low)
        last = int(high) if dash else first
        if last - first >= values.MAX_NODES:
            raise ValueError(f"the range {part} is too long")
        found.extend(range(first, last + 1))
    return found


_HOSTLIST = re.compile(r"(?:[^\[\],\s]|\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\])+", re.ASCII)


def nodelist_from_range_str(nodelist: str | list[str]) -> list[str]:
    """`node[001,007-009]` name by name; empty where it is no node list."""
    text = nodelist if isinstance(nodelist, str) else ",".join(nodelist)
    parts = re.findall(r"(?:[^,\[]|\[[^\]]*\]?)+", text)
    if not all(_HOSTLIST.fullmatch(part) for part in parts):
        return []
    return list(values.nodes(text))


def nodelist_to_range_str(nodelist: str | list[str]) -> str | None:
    """`node[001,007-009]` of names, in sorted order; None for none."""
    names = nodelist.split(",") if isinstance(nodelist, str) else list(nodelist)
    named = sorted({n.strip() for n in names if n.strip()}, key=_parts)
    groups = groupby(named, key=lambda n: (_parts(n)[0], bool(_parts(n)[2])))
    return ",".join(_ranged(prefix, list(part)) for (prefix, _), part in groups) or None


def _parts(name: str) -> tuple[str, int, str]:
    """(what stands before the last digits, their width, the digits)."""
    found = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL | re.ASCII)
    assert found is not None
    return found[1], len(found[2]), found[2]


def _ranged(prefix: str, names: list[str]) -> str:
    digits = [_parts(name)[2] for name in names]
    if len(digits) == 1 or not digits[0]:
        return ",".join(names)
    runs: list[tuple[str, str]] = []
    for one in digits:
        last = runs[-1][1] if runs else ""
        follows = last and len(last) == len(one) and int(one) == int(last) + 1
        runs = [*runs[:-1], (runs[-1][0], one)] if follows else [*runs, (one, one)]
    inside = ",".join(low if low == high else f"{low}-{high}" for low, high in runs)
    return f"{prefix}[{inside}]"


# -- sizes ------------------------------------------------------------------------------------


def humanize(num: Any, decimals: int = 1) -> Any:
    """MiB in words: 1024 is `1.0G`. None and "UNLIMITED" as they are."""
    if num is None or num in (UNLIMITED, "unlimited"):
        return num
    size = float(int(num))
    for unit in "MGTPEZ":
        if abs(size) < 1024:
            return f"{size:3.{decimals}f}{unit}"
        size /= 1024
    return f"{size:.{decimals}f}Y"


_SIZE = re.compile(r"(.*?)([KMGTPEZ])[a-zA-Z]*", re.DOTALL)


def dehumanize(humanized_str: Any, target: str = "M", decimals: int = 0) -> Any:
    """`10G` as a number of `target` units (MiB): 10240. A plain number is taken as it is.

    None for nothing. ValueError for what is no size.
    """
    if not humanized_str:
        return None
    text = str(humanized_str)
    found = _SIZE.fullmatch(text)
    if found is None:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"Invalid value specified: {humanized_str}") from None
    size = float(found[1]) * MEMORY_UNITS[found[2]] / MEMORY_UNITS[target]
    try:
        return round(size, decimals) if decimals else round(size)
    except (OverflowError, ValueError):  # inf, nan
        raise ValueError(f"Invalid value specified: {humanized_str}") from None


# -- Slurm's own numbers ----------------------------------------------------------------------


def signal_to_num(sig: Any) -> int | None:
    """9 of 9, "9", "SIGKILL" and "KILL". ValueError for what is no signal."""
    if not sig:
        return None
    word = str(sig).strip().upper()
    try:
        plain = values.whole(word)
        if plain is not None:
            return signal.Signals(plain).value
        return signal.Signals[word if word.startswith("SIG") else f"SIG{word}"].value
    except (KeyError, ValueError):
        raise ValueError(f"Invalid Signal: {sig}.") from None


_CPU_BIND = {  # slurm/slurm.h: cpu_bind_type_t
    "none": 0x20, "sockets": 0x8, "ldoms": 0x10, "cores": 0x4, "threads": 0x2, "off": 0x80000,
}  # fmt: skip
_VERBOSE = 0x1


def cpubind_to_num(cpu_bind: str | None) -> int:
    """The flags of `cores,verbose`; of several bindings the first that Slurm looks for."""
    asked = (cpu_bind or "").casefold().split(",")
    flags = next((number for word, number in _CPU_BIND.items() if word in asked), 0)
    return flags | (_VERBOSE if "verbose" in asked else 0)


def _get_exit_code(exit_code: int) -> tuple[int, int]:
    """(exit code, signal) of a raw wait status; (0, 0) for NO_VAL."""
    if exit_code == NO_VAL:
        return 0, 0
    if WIFSIGNALED(exit_code):
        return 0, WTERMSIG(exit_code)
    return WEXITSTATUS(exit_code), 0


_STEPS = {
    "batch": BATCH_STEP,
    "extern": EXTERN_STEP,
    "interactive": INTERACTIVE_STEP,
    "pending": PENDING_STEP,
}
_STEP_NAMES = {number: name for name, number in _STEPS.items()}


def humanize_step_id(sid: int) -> int | str:
    """`batch`, `extern`, `interactive`, `pending`, else the number."""
    return _STEP_NAMES.get(sid, sid)


def dehumanize_step_id(sid: Any) -> int:
    """The number of a step id. ValueError for what is none."""
    return _STEPS[sid] if sid in _STEPS else int(sid)


def gres_from_tres_dict(tres_dict: dict[str, Any]) -> dict[str, Any]:
    """`{"gres/gpu": 5}` as `{"gpu": 5}`, other resources left out."""
    return {
        name.removeprefix("gres/"): count
        for name, count in tres_dict.items()
        if name.startswith("gres/")
    }


CPU_FREQUENCIES = {  # slurm/slurm.h: CPU_FREQ_*
    "LOW": 0x80000001, "MEDIUM": 0x80000002, "HIGH": 0x80000003, "HIGHM1": 0x80000004,
}  # fmt: skip
CPU_GOVERNORS = {
    "CONSERVATIVE": 0x88000000, "ONDEMAND": 0x84000000, "PERFORMANCE": 0x82000000,
    "POWERSAVE": 0x81000000, "USERSPACE": 0x80800000, "SCHEDUTIL": 0x80400000,
}  # fmt: skip
_FREQUENCY_NAMES = {number: n for n, number in (CPU_FREQUENCIES | CPU_GOVERNORS).items()}
_RANGE_FLAG = 0x80000000


def cpu_freq_int_to_str(freq: int) -> int | str | None:
    """A word, or kHz; None where nothing was asked."""
    if freq in _FREQUENCY_NAMES:
        return _FREQUENCY_NAMES[freq]
    return None if freq in (0, NO_VAL) or freq & _RANGE_FLAG else freq
