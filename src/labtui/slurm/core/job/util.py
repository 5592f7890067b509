"""Words and numbers of a job's options (slurm/slurm.h: MAIL_*, ACCT_GATHER_PROFILE_*, ...)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from labtui.slurm.constants import NO_VAL, NO_VAL16
from labtui.slurm.utils.helpers import CPU_FREQUENCIES, CPU_GOVERNORS
from labtui.slurm.utils.uint import u32

MAIL_TYPES = {
    "ARRAY_TASKS": 1 << 9,
    "BEGIN": 1 << 0,
    "END": 1 << 1,
    "FAIL": 1 << 2,
    "REQUEUE": 1 << 3,
    "STAGE_OUT": 1 << 8,
    "TIME_LIMIT_50": 1 << 7,
    "TIME_LIMIT_80": 1 << 6,
    "TIME_LIMIT_90": 1 << 5,
    "TIME_LIMIT": 1 << 4,
    "INVALID_DEPEND": 1 << 10,
}
_ALL_MAIL = ("BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT")
PROFILES = {"ENERGY": 1 << 1, "TASK": 1 << 2, "LUSTRE": 1 << 3, "NETWORK": 1 << 4}
_NO_PROFILE, _ALL_PROFILES = 1 << 0, 0xFFFFFFFF


def _listed(words: Any) -> Iterable[str]:
    return words.split(",") if isinstance(words, str) else words


def mail_type_list_to_int(types: Any) -> int:
    """The flags of `BEGIN,END`; NO_VAL16 for nothing. ValueError for an unknown word."""
    if not types or types == "None":
        return NO_VAL16
    flags = 0
    for word in _listed(types):
        name = str(word).strip().upper()
        if name != "ALL" and name not in MAIL_TYPES:
            raise ValueError(f"Invalid Mail type: {word}.")
        flags |= sum(MAIL_TYPES[n] for n in _ALL_MAIL) if name == "ALL" else MAIL_TYPES[name]
    return flags


def mail_type_int_to_list(typ: int) -> list[str]:
    """Words of the flags; the full time limit is TIME_LIMIT_100."""
    named = [name for name, flag in MAIL_TYPES.items() if typ & flag and name != "INVALID_DEPEND"]
    return [f"{name}_100" if name == "TIME_LIMIT" else name for name in named]


def mail_words(words: Iterable[str]) -> list[str]:
    """PySlurm's words of those that JSON (`TIME=90%`) and scontrol (`TIME_LIMIT_90`) have."""
    found = []
    for word in words:
        percent = re.fullmatch(r"TIME=(\d+)%", word, re.ASCII)
        plain = f"TIME_LIMIT_{percent[1]}" if percent else word
        plain = {"TIME_LIMIT": "TIME_LIMIT_100"}.get(plain, plain)
        if plain not in ("NONE", "INVALID_DEPENDENCY", "INVALID_DEPEND"):
            found.append(plain)
    return found


def acctg_profile_list_to_int(types: Any) -> int:
    """The flags of `energy,task`; NO_VAL for nothing. ValueError for an unknown word."""
    if not types:
        return NO_VAL
    flags = 0
    for word in _listed(types):
        name = str(word).strip().upper()
        if name in ("NONE", "ALL"):
            return _NO_PROFILE if name == "NONE" else _ALL_PROFILES
        if name not in PROFILES:
            raise ValueError(f"Invalid profile type: {word}.")
        flags |= PROFILES[name]
    return flags


def acctg_profile_int_to_list(flags: int) -> list[str]:
    """Words of the flags."""
    if flags in (0, NO_VAL, _NO_PROFILE):
        return []
    if flags == _ALL_PROFILES:
        return ["ALL"]
    return [name for name, flag in PROFILES.items() if flags & flag]


_SHARING = {"oversubscribe": 1, "yes": 1, "user": 2, "mcs": 3, "topo": 4, "no": 0, "exclusive": 0}


def shared_type_str_to_int(typ: str | None) -> int:
    """The number of `no`, `yes`, `user`, `mcs`; NO_VAL16 for nothing. ValueError for others."""
    if not typ:
        return NO_VAL16
    if typ.casefold() not in _SHARING:
        raise ValueError(f"Invalid resource_sharing type: {typ.casefold()}.")
    return _SHARING[typ.casefold()]


def cpu_gov_str_to_int(gov: str | None) -> int:
    """The number of a governor; NO_VAL for nothing. ValueError for an unknown one."""
    if not gov:
        return NO_VAL
    if gov.upper() not in CPU_GOVERNORS:
        raise ValueError(f"Invalid cpu gov type: {gov.casefold()}")
    return CPU_GOVERNORS[gov.upper()]


def cpu_freq_str_to_int(freq: Any) -> int:
    """kHz, or the number of LOW, MEDIUM, HIGHM1, HIGH; NO_VAL for nothing.

    ValueError for another word, OverflowError for a number too large.
    """
    if not freq:
        return NO_VAL
    if isinstance(freq, str) and not freq.isdigit():
        if freq.upper() in CPU_FREQUENCIES:
            return CPU_FREQUENCIES[freq.upper()]
        raise ValueError(f"Invalid cpu freq value: {freq.casefold()}.")
    number = int(u32(int(freq)))
    if number == NO_VAL:
        raise ValueError(f"Invalid cpu freq value: {freq}.")
    return number


DEPENDENCIES = ("after", "afterany", "afterburstbuffer", "aftercorr", "afternotok", "afterok")
_STATE = re.compile(r"\([a-z]+\)$")
"""What slurmctld writes behind each: `(unfulfilled)`, `(failed)`."""


def dependency_str_to_dict(dep: str | None) -> dict[str, Any] | None:
    """`after:1:2,afterok:3` as lists by kind; None for nothing. Ids that are no numbers (`5_*`,
    `5_2`, `5+30`) stay texts."""
    if not dep:
        return None
    found: dict[str, Any] = {kind: [] for kind in DEPENDENCIES}
    found |= {"singleton": False, "satisfy": "any" if "?" in dep else "all"}
    for part in re.split(r"[?,]", dep):
        kind, mark, ids = _STATE.sub("", part.strip()).partition(":")
        if kind == "singleton":
            found["singleton"] = True
        elif mark and kind in DEPENDENCIES:
            plain = (_STATE.sub("", one) for one in ids.split(":"))
            found[kind] += [int(one) if one.isdigit() and one.isascii() else one for one in plain]
    return found
