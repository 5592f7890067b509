"""Slurm's times: lengths (`1-02:03:04`) and dates (`2026-11-24T07:00:00`)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from labtui.slurm import values
from labtui.slurm.constants import INFINITE, NO_VAL, UNLIMITED


def _unlimited(value: Any) -> bool:
    return isinstance(value, str) and value.casefold() in ("unlimited", "infinite")


def timestr_to_secs(timestr: Any) -> int:
    """Seconds. A plain number is seconds; None is NO_VAL, "UNLIMITED" INFINITE.

    ValueError for what is no time.
    """
    if timestr is None:
        return NO_VAL
    if _unlimited(timestr):
        return INFINITE
    text = str(timestr).strip()
    plain = values.whole(text)
    if plain is None:
        plain = values.seconds(text)
    if plain is None or plain >= NO_VAL:
        raise ValueError(f"Invalid Time Specification: {timestr}.")
    return plain


def timestr_to_mins(timestr: Any) -> int:
    """Minutes, rounded up. A plain number is minutes; None is NO_VAL, "UNLIMITED" INFINITE.

    ValueError for what is no time.
    """
    if timestr is None:
        return NO_VAL
    if _unlimited(timestr):
        return INFINITE
    found = values.minutes(str(timestr))
    if found is None or found >= NO_VAL:
        raise ValueError(f"Invalid Time Specification: {timestr}.")
    return found


def secs_to_timestr(secs: int | None, default: str | None = None) -> str | None:
    """`[days-]hh:mm:ss`; `default` for None and NO_VAL, None for 0, "UNLIMITED" for INFINITE."""
    if secs is None or secs == NO_VAL:
        return default
    if secs == INFINITE:
        return UNLIMITED
    if secs == 0:
        return None
    if secs < 0:
        return "INVALID"
    days, rest = divmod(int(secs), 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def mins_to_timestr(mins: int | None, default: str | None = None) -> str | None:
    """As `secs_to_timestr`, from minutes."""
    if mins is None or mins in (NO_VAL, INFINITE):
        return secs_to_timestr(mins, default)
    return secs_to_timestr(mins * 60)


_RELATIVE = re.compile(
    r"(now|today|tomorrow|midnight|noon|fika|teatime)(?:\+(\d{1,9})([a-z]*))?", re.ASCII
)
_HOURS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(am|pm)?", re.ASCII | re.IGNORECASE)
_DATES = ("%m/%d/%y", "%m%d%y", "%m.%d.%y", "%m/%d", "%Y-%m-%d")


def date_to_timestamp(date: Any, on_nodate: int = 0) -> int:
    """Unix seconds of a number, a datetime, or a date as sbatch's --begin takes it.

    In this machine's time zone. `on_nodate` for None and "". ValueError for what is no date.
    """
    if not date:
        return on_nodate
    if isinstance(date, datetime):
        return int(date.timestamp())
    text = str(date).strip()
    plain = values.whole(text.removeprefix("uts"))
    if plain is not None:
        return plain
    found = _iso(text) or _relative(text, datetime.now()) or _today(text, datetime.now())
    found = found or _dated(text, datetime.now())
    try:
        if found is not None:
            return int(found.timestamp())
    except (OverflowError, OSError, ValueError):
        pass
    raise ValueError(f"Invalid Time Specification: {date}")


def _iso(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", text, re.ASCII):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _relative(text: str, now: datetime) -> datetime | None:
    found = _RELATIVE.fullmatch(text.lower())
    if found is None:
        return None
    word, count, unit = found[1], int(found[2] or 0), (found[3] or "")[:1]
    if unit not in _UNITS:
        return None
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = {"now": now, "today": day, "tomorrow": day + timedelta(days=1)}.get(word)
    if start is None:
        start = day.replace(hour=_HOURS[word])
        start += timedelta(days=1) if start <= now else timedelta()
    try:
        return start + timedelta(seconds=count * _UNITS[unit])
    except OverflowError:
        return None


def _today(text: str, now: datetime) -> datetime | None:
    """`17:30`: today, or tomorrow when that is over."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour = int(found[1]) % 12 + (12 if (found[4] or "").lower() == "pm" else 0)
    hour = hour if found[4] else int(found[1])
    try:
        moment = now.replace(
            hour=hour, minute=int(found[2]), second=int(found[3] or 0), microsecond=0
        )
    except ValueError:
        return None
    return moment if moment > now else moment + timedelta(days=1)


def _dated(text: str, now: datetime) -> datetime | None:
    day, _, clock = text.partition("-") if text.count("-") == 1 else (text, "", "")
    for form in _DATES:
        try:
            found = (
                datetime.strptime(f"{day} {now.year}", f"{form} %Y")
                if form == "%m/%d"
                else (datetime.strptime(day, form))
            )
        except ValueError:
            continue
        hit = _CLOCK.fullmatch(clock) if clock else None
        if clock and hit is None:
            return None
        try:
            return found.replace(hour=int(hit[1]), minute=int(hit[2])) if hit else found
        except ValueError:
            return None
    return None


def timestamp_to_date(timestamp: int | None) -> str | None:
    """`2026-11-24T07:00:00` in this machine's time zone; None for 0, NO_VAL and INFINITE."""
    if timestamp is None or timestamp in (0, NO_VAL, INFINITE):
        return None
    try:
        return datetime.fromtimestamp(timestamp).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None


def _raw_time(time: int | None, on_noval: Any = None, on_inf: Any = None) -> Any:
    """A time in Slurm's own form: 0 and NO_VAL are `on_noval`, INFINITE is `on_inf`."""
    if time in (None, 0, NO_VAL):
        return on_noval
    return on_inf if time == INFINITE else time
