"""A submission's attributes in the forms that sbatch and scontrol take, checked on the way.

Each function takes what a person set and returns the text, or raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from labtui.slurm.constants import INFINITE, NO_VAL, UNLIMITED
from labtui.slurm.core.job.task_dist import TaskDistribution
from labtui.slurm.core.job.util import (
    acctg_profile_list_to_int,
    cpu_freq_str_to_int,
    cpu_gov_str_to_int,
    mail_type_list_to_int,
)
from labtui.slurm.utils.cstr import dict_to_str, from_gres_dict
from labtui.slurm.utils.ctime import date_to_timestamp, timestr_to_mins, timestr_to_secs
from labtui.slurm.utils.helpers import dehumanize, signal_to_num


def text(value: Any) -> str:
    return str(value)


def listed(value: Any) -> str:
    """A list with commas."""
    return value if isinstance(value, str) else ",".join(map(str, value))


def whole(value: Any) -> str:
    """A whole number, also as text."""
    return str(int(value))


def size(value: Any) -> str:
    """MiB, from a number or `2G`."""
    return str(dehumanize(value) or 0)


def time_limit(value: Any) -> str:
    """Minutes, from a number or a time."""
    minutes = timestr_to_mins(value)
    return UNLIMITED if minutes == INFINITE else str(minutes)


def delay(value: Any) -> str:
    """A time as sbatch takes it; checked."""
    timestr_to_secs(value)
    return str(value)


def moment(value: Any) -> str:
    """A date: a text as it is, so that Slurm reads it in its own time zone; else unix seconds."""
    stamp = date_to_timestamp(value)
    plain = isinstance(value, int | float | datetime) or str(value).isdigit()
    return f"uts{stamp}" if plain else str(value)


def pairs(value: Any) -> str:
    return dict_to_str(value) or ""


def gpus(value: Any) -> str:
    """`tesla:3,a100:1`, `4`"""
    return (from_gres_dict(value, "gpu") or "").replace("gres:gpu:", "")


def gres(value: Any) -> str:
    """`gpu:tesla:1`"""
    return (from_gres_dict(value) or "").replace("gres:", "")


def mail_types(value: Any) -> str:
    mail_type_list_to_int(value)
    return listed(value).upper()


def profiles(value: Any) -> str:
    acctg_profile_list_to_int(value)
    return listed(value).casefold()


def nodes(value: Any) -> str:
    low, high = _parse_nodes(value)
    return f"{low}-{high}" if high != low else str(low)


def switches(value: Any) -> str:
    asked = value if isinstance(value, Mapping) else _parse_switches_str_to_dict(value)
    count, wait = int(asked["count"]), asked.get("max_wait_time")
    return f"{count}@{delay(wait)}" if wait is not None else str(count)


def signal(value: Any) -> str:
    asked = value if isinstance(value, Mapping) else _parse_signal_str_to_dict(value)
    number = signal_to_num(asked.get("signal"))
    if number is None:
        raise ValueError(f"Invalid Signal: {asked.get('signal')}.")
    flags = "R" * bool(asked.get("allow_reservation_overlap")) + "B" * bool(asked.get("batch_only"))
    return f"{flags + ':' if flags else ''}{number}@{int(asked.get('time') or 60)}"


def cpu_frequency(value: Any) -> str:
    asked = dict(value) if isinstance(value, Mapping) else _parse_cpu_freq_str_to_dict(value)
    _validate_cpu_freq(asked)
    limits = [str(asked[key]) for key in ("min", "max") if asked.get(key)]
    return (
        "-".join(limits)
        + (":" if limits and asked.get("governor") else "")
        + str(asked.get("governor") or "")
    )


def distribution(value: Any) -> str:
    if isinstance(value, int):
        return f"plane={value}"
    TaskDistribution.from_str(str(value))
    return str(value)


# -- PySlurm's own parsers ----------------------------------------------------------------


def _parse_dependencies(val: Any) -> str | None:
    """`afterok:1:2?singleton` of a dict of lists; a text as it is."""
    if val is None or isinstance(val, str):
        return val
    parts = []
    for kind, ids in val.items():
        if kind == "satisfy" or not ids:
            continue
        if kind == "singleton":
            parts.append(kind)
            continue
        one_by_one = ids if isinstance(ids, list | tuple) else str(ids).split(",")
        parts.append(":".join([kind, *map(str, one_by_one)]))
    every = str(val.get("satisfy", "all")).casefold() != "any"
    return ("," if every else "?").join(parts)


def _parse_nodes(vals: Any) -> tuple[int, int]:
    """(least, most) of 5, "5-10", {"min": 5, "max": 10}; NO_VAL for nothing."""
    if not vals:
        return NO_VAL, NO_VAL
    if isinstance(vals, Mapping):
        low = int(vals.get("min") or vals.get("max") or 0)
        high = int(vals.get("max") or low)
    else:
        first, dash, last = str(vals).partition("-")
        low = int(first)
        high = int(last) if dash else low
    if high < low:
        raise ValueError("Max Nodecount cannot be less than minimum nodecount.")
    if low < 1:
        raise ValueError(f"{vals!r} is no number of nodes")
    return low, high


def _parse_signal_str_to_dict(vals: Any) -> dict[str, Any]:
    """`RB:USR1@60` in its parts; the signal as its number."""
    flags, mark, rest = str(vals).rpartition(":")
    name, at, seconds = rest.partition("@")
    found: dict[str, Any] = {}
    if mark and not re.fullmatch(r"[RB]{1,2}", flags.upper()):
        raise ValueError(f"Invalid Signal: {vals}.")
    if "R" in flags.upper():
        found["allow_reservation_overlap"] = True
    if "B" in flags.upper():
        found["batch_only"] = True
    found["signal"] = signal_to_num(name)
    if at:
        found["time"] = seconds
    return found


def _parse_switches_str_to_dict(switches_str: Any) -> dict[str, Any]:
    """`5@00:10:00` as count and max_wait_time."""
    count, at, wait = str(switches_str).partition("@")
    return {"count": int(count), **({"max_wait_time": wait} if at else {})}


def _parse_cpu_freq_str_to_dict(freq_str: Any) -> dict[str, str]:
    """`min-max:governor`, `max` or `governor` in its parts."""
    parts = re.split("[-:]+", str(freq_str))
    if not parts[0].isdigit() and len(parts) > 1 and parts[0].upper() not in _WORDS:
        raise ValueError(
            f"Invalid cpu_frequency format: {freq_str}. A governor stands alone, or last as in "
            "min-max:governor."
        )
    if len(parts) > 3:
        raise ValueError(f"Invalid cpu_frequency format: {freq_str}.")
    if not parts[0].isdigit() and parts[0].upper() not in _WORDS:
        return {"governor": parts[0]}
    limits = {"max": parts[0]} if len(parts) == 1 else {"min": parts[0], "max": parts[1]}
    return limits | ({"governor": parts[2]} if len(parts) == 3 else {})


_WORDS = ("LOW", "MEDIUM", "HIGH", "HIGHM1")


def _validate_cpu_freq(freq: Mapping[str, Any]) -> tuple[int, int, int]:
    """(min, max, governor) as Slurm's numbers."""
    low, high = cpu_freq_str_to_int(freq.get("min")), cpu_freq_str_to_int(freq.get("max"))
    governor = cpu_gov_str_to_int(freq.get("governor"))
    single = (low == NO_VAL) != (high == NO_VAL)
    if not single and high < low:
        raise ValueError(f"min cpu-freq ({low}) must be smaller than max cpu-freq ({high})")
    if single and governor != NO_VAL:
        raise ValueError(
            "Setting Governor when specifying only either one of min or max is not allowed."
        )
    return (NO_VAL, low, governor) if single and high == NO_VAL else (low, high, governor)


def _validate_batch_script(script: Any, args: Any = None) -> str:
    """The script's text, read from this machine where a path was given."""
    try:
        is_file = bool(script) and Path(script).is_file()
    except (ValueError, OSError, TypeError):
        is_file = False
    if is_file:
        script = Path(script).read_text()
    elif args:
        raise ValueError(
            "Passing arguments to a script is only allowed if it was loaded from a file."
        )
    if not script:
        raise ValueError("Batch script is empty or none was provided.")
    body = str(script)
    if body.isspace():
        raise ValueError("Batch script contains only whitespace.")
    if not body.startswith("#!"):
        raise ValueError(
            "Not a valid Batch script. First line must start with '#!', followed by the path to an "
            "interpreter"
        )
    if "\0" in body:
        raise ValueError(
            "The Slurm Controller does not allow scripts that contain a NULL character: '\\0'."
        )
    if "\r\n" in body:
        raise ValueError(
            "Batch script contains DOS line breaks (\\r\\n) instead of expected UNIX line breaks "
            "(\\n)."
        )
    return body
