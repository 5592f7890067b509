"""Slurm's way of writing times, sizes, node lists and resources, as numbers. Pure.

Nothing here raises on odd input: what cannot be read is None, because a value that is not known
is not 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from math import ceil

NOTHING = frozenset(
    {"", "(null)", "N/A", "NONE", "None", "Unknown", "UNKNOWN", "n/a", "n/s", "(none)", "NOT_SET"}
)
MAX_NODES = 65536
"""Names that one node list may expand to."""

_UNITS = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMGTP]?)B?\Z")
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?(?:\.\d{1,9})?\Z")
_WAIT = re.compile(r"(\d{1,10}):(\d{1,3})\Z")


def text(value: str) -> str | None:
    """The value itself; None where Slurm writes one of its words for nothing."""
    value = value.strip()
    return None if value in NOTHING else value


def whole(value: str) -> int | None:
    """A plain whole number; None for anything else (signs, letters, other digits, ranges)."""
    value = value.strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None


def moment(value: str) -> float | None:
    """Unix seconds from `%s` output, or from ISO in this machine's time zone."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 12:
        return float(value) if value != "0" else None
    try:
        return datetime.fromisoformat(value).timestamp() if "T" in value else None
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4096)
def seconds(value: str) -> int | None:
    """`1-02:03:04`, `02:03:04`, `3:04` and sacct's `3:04.123` as seconds."""
    found = _CLOCK.match(value.strip())
    if not found or not value.isascii():
        return None
    days, *parts = found.groups()
    numbers = [int(p) for p in parts if p is not None]
    if days is not None:  # d-h, d-h:m, d-h:m:s
        numbers += [0] * (3 - len(numbers))
    elif len(numbers) == 1:
        return None
    while len(numbers) < 3:
        numbers.insert(0, 0)
    hours, minutes, rest = numbers
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + rest


def minutes(value: str) -> int | None:
    """A time limit as sbatch takes it, in minutes rounded up; None when unlimited or unreadable.

    sbatch(1): `minutes`, `minutes:seconds`, `h:m:s`, `days-h`, `days-h:m`, `days-h:m:s`.
    """
    value = value.strip()
    plain = whole(value)
    if plain is not None:
        return plain
    total = seconds(value)
    return None if total is None else -(-total // 60)


def mib(value: str) -> int | None:
    """`2000M`, `62.50G`, `8000` as MiB, rounded up."""
    found = _SIZE.match(value.strip().upper()) if value.isascii() else None
    return None if found is None else ceil(round(float(found[1]) * _UNITS[found[2]], 6))


def tres(value: str) -> dict[str, str]:
    """`cpu=1,mem=4G,gres/gpu:a100=2` by name."""
    pairs = (part.partition("=") for part in value.split(","))
    return {name: amount for name, found, amount in pairs if found and name}


def amounts(value: str, *, minutes: bool = False) -> dict[str, int]:
    """`cpu=8,mem=4G,gres/gpu=2` as numbers; memory in MiB, or MiB-minutes as they stand."""
    found: dict[str, int] = {}
    for name, amount in tres(value).items():
        plain = name == "mem" and not minutes
        number = mib(amount) if plain else whole(amount)
        if number is not None:
            found[name] = number
    return found


_GRES = re.compile(
    r"(?:gres[:/])?([A-Za-z_][\w.-]*)(?::([A-Za-z_(][\w.+()-]*|\d+[A-Za-z_][\w.+-]*))?"
    r"(?:[:=](\d{1,12}))?(?:\((.*)\))?\Z"
)


def gres(value: str) -> list[tuple[str, str | None, int, str]]:
    """(name, type, count, what stands in parentheses) of `gpu:a100:2(IDX:0-1),shard:8`."""
    found = []
    for part in re.findall(r"(?:[^,(]|\([^)]*\))+", value):
        match = _GRES.match(part.strip())
        if match is None or part.strip() in NOTHING:
            continue
        name, kind, count, inside = match.groups()
        kind = None if kind in (None, "(null)") else kind
        found.append((name, kind, 1 if count is None else int(count), inside or ""))
    return found


def count_gpus(value: str) -> int | None:
    """How many `gpu` a Gres or GresUsed field names; None where it names none at all."""
    counts = [count for name, _, count, _ in gres(value) if name == "gpu"]
    return sum(counts) if counts else None


def indexes(value: str) -> tuple[int, ...]:
    """`IDX:0-1,3` as (0, 1, 3); empty for `N/A`."""
    found: list[int] = []
    for part in value.removeprefix("IDX:").split(","):
        low, dash, high = part.partition("-")
        first, last = whole(low), whole(high if dash else low)
        if first is not None and last is not None and first <= last < 4096:
            found.extend(range(first, last + 1))
    return tuple(found)


@lru_cache(maxsize=8192)
def nodes(value: str) -> tuple[str, ...]:
    """`gpu-[01-02,05],cpu-1` name by name, in Slurm's order; too long a list stays as written."""
    value = value.strip()
    if value in NOTHING:
        return ()
    if "[" not in value:
        return tuple(name for name in value.split(",") if name)
    found: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", value):
        expanded = _expand(part, MAX_NODES - len(found))
        if expanded is None:
            return (value,)
        found += expanded
    return tuple(found)


def _expand(part: str, room: int) -> list[str] | None:
    names = [""]
    for literal, inside in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", part):
        choices = [literal] if literal else _ranges(inside, room)
        if choices is None or len(names) * len(choices) > room:
            return None
        names = [name + choice for name in names for choice in choices]
    return names


def _ranges(inside: str, room: int) -> list[str] | None:
    found: list[str] = []
    for item in inside.split(","):
        low, dash, high = item.partition("-")
        if not dash:
            found.append(low)
            continue
        first, last = whole(low), whole(high)
        if first is None or last is None or last - first >= room - len(found):
            return None
        found += [str(n).zfill(len(low)) for n in range(first, last + 1)]
    return found


def exit_code(value: str) -> str | None:
    """`rc:signal`. squeue 22.05 prints the raw wait status (768 is exit 3, 9 is signal 9)."""
    value = value.strip()
    if re.fullmatch(r"\d{1,4}:\d{1,4}", value) and value.isascii():
        return value
    raw = whole(value)
    return None if raw is None or raw > 0xFFFF else f"{raw >> 8}:{raw & 0x7F}"


_PATTERN = re.compile(r"%(\d{0,2})([%aAbjJnNstux])")


def expand_path(
    path: str,
    *,
    job_id: str,
    array_id: str | None,
    task_id: str | None,
    name: str,
    user: str | None,
    node: str | None,
) -> str | None:
    """sbatch's file name patterns filled in; None where one cannot be known yet.

    `%A` is the array's id (the job's own without an array), `%a` 4294967294 without one, `%N` the
    first node. A path with a backslash is taken as it is: sbatch(1), "filename pattern".
    """
    if "%" not in path or "\\" in path:
        return path
    task = task_id if task_id is not None else "4294967294"
    known: dict[str, str | None] = {
        "%": "%",
        "A": array_id or job_id,
        "a": task if task.isdigit() else None,
        "b": str(int(task) % 10) if task.isdigit() else None,
        "j": job_id,
        "J": job_id,
        "n": "0",
        "s": "batch",
        "t": "0",
        "u": user,
        "x": name,
        "N": node.split(".")[0] if node else None,
    }
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        value = known[match[2]]
        missing = missing or value is None
        width = min(10, int(match[1] or 0))
        return (value or "").zfill(width) if match[2] in "aAbjJnt" else value or ""

    filled = _PATTERN.sub(fill, path)
    return None if missing else filled


_TASKS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")


def in_ranges(numbers: Iterable[int]) -> str:
    """`0-2,5` of these numbers, the way Slurm writes tasks and cores."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


@lru_cache(maxsize=1024)
def task_ranges(job_id: str) -> tuple[range, ...] | None:
    """Which tasks `9_[0-7,12%2]` names; none for `9` and `9_4`.

    None where that is not told: Slurm may shorten a long list with `...`.
    """
    _, folded, inside = job_id.partition("[")
    if not folded:
        return ()
    found: list[range] = []
    for part in inside.removesuffix("]").partition("%")[0].split(","):
        one = _TASKS.fullmatch(part)
        if one is None:
            return None
        low, high, step = int(one[1]), int(one[2] or one[1]), int(one[3] or 1)
        if high < low or step < 1:
            return None
        found.append(range(low, high + 1, step))
    return tuple(found)


def count_tasks(job_id: str) -> int | None:
    """How many jobs one id stands for: `9_[0-7,12%2]` 9, `9_4` and `9` one; None: not told."""
    ranges = task_ranges(job_id)
    return None if ranges is None else sum(map(len, ranges)) or 1


def is_task(job_id: str) -> bool:
    """One task of an array, which may be folded with others into one row."""
    return whole(job_id.partition("_")[2]) is not None


def covers(wanted: str, job_id: str) -> bool:
    """Whether a row has some of what is meant: an array's plain id means all of its tasks, `9_4`
    and `9_[0-7]` those that they name; a list that was shortened, those that wait in one row."""
    if wanted == job_id:
        return True
    array, some, _ = wanted.partition("_")
    if not some:
        return bool(array) and job_id.startswith((f"{array}_", f"{array}+"))
    if not job_id.startswith(f"{array}_"):
        return False
    ours, theirs = _tasks_of(wanted), _tasks_of(job_id)
    if ours is None:
        return "[" in job_id
    return theirs is None or any(_meet(a, b) for a in ours for b in theirs)


def _tasks_of(job_id: str) -> tuple[range, ...] | None:
    """As `task_ranges`, of a single task too."""
    if not is_task(job_id):
        return task_ranges(job_id)
    task = int(job_id.partition("_")[2])
    return (range(task, task + 1),)


def _meet(a: range, b: range) -> bool:
    low, high = max(a.start, b.start), min(a.stop, b.stop)
    if a.step == b.step == 1:
        return low < high
    return any(low <= task < high and task in b for task in a)
