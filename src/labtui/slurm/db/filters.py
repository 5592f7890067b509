"""What the accounting is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from labtui.slurm.utils import ctime
from labtui.slurm.utils.helpers import nodelist_to_range_str
from labtui.slurm.values import whole


class Filter:
    """Criteria by name; what is None does not matter. AttributeError for another name."""

    def __init__(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names():
            raise AttributeError(f"{type(self).__name__} has no criterion {name}")
        super().__setattr__(name, value)

    @classmethod
    def _names(cls) -> frozenset[str]:
        return frozenset(n for n, v in vars(cls).items() if n[0] != "_" and not callable(v))

    def __repr__(self) -> str:
        asked = ", ".join(f"{k}={v!r}" for k, v in sorted(vars(self).items()))
        return f"pyslurm.db.{type(self).__name__}({asked})"


def joined(value: Any) -> str:
    """`a,b` of a list or a single one. ValueError for what would be another criterion."""
    parts = [value] if isinstance(value, str | int) else list(value)
    words = [str(part) for part in parts]
    for word in words:
        if not word or word.startswith("-") or any(c in word for c in ", \n"):
            raise ValueError(f"{word!r} cannot be looked for")
    return ",".join(words)


class JobFilter(Filter):
    """Which jobs. Times are unix seconds, datetimes or dates as sacct takes them."""

    ids: list[int] | None = None
    start_time: Any = None
    end_time: Any = None
    accounts: list[str] | None = None
    association_ids: list[int] | None = None
    clusters: list[str] | str | None = None
    """None: the local one; "all"."""
    constraints: list[str] | None = None
    cpus: int | None = None
    """So many, or from so many up to `max_cpus`."""
    max_cpus: int | None = None
    nodes: int | None = None
    """So many, or from so many up to `max_nodes`."""
    max_nodes: int | None = None
    qos: list[Any] | None = None
    names: list[str] | None = None
    partitions: list[str] | None = None
    groups: list[str] | None = None
    timelimit: Any = None
    max_timelimit: Any = None
    users: list[str] | None = None
    wckeys: list[str] | None = None
    nodelist: list[str] | str | None = None
    with_script: bool | None = None
    with_env: bool | None = None
    truncate_time: bool | None = None

    def _create(self) -> list[str]:
        """The arguments of sacct. ValueError for what cannot be asked."""
        if self.ids and self.with_script and self.with_env:
            raise ValueError("with_script and with_env are mutually exclusive")
        argv: list[str] = []
        for name, option, words in _OPTIONS:
            value = getattr(self, name)
            if value:
                argv.append(f"--{option}={words(value)}")
        if not self.users:
            argv.append("--allusers")
        for option, low, high in (
            ("ncpus", self.cpus, self.max_cpus), ("nnodes", self.nodes, self.max_nodes)
        ):  # fmt: skip
            if high:
                argv.append(f"--{option}={int(low or 0)}-{int(high)}")
            elif low:
                argv.append(f"--{option}={int(low)}")
        if self.clusters == "all":
            argv.append("--allclusters")
        elif self.clusters:
            argv.append(f"--clusters={joined(self.clusters)}")
        if self.truncate_time:
            argv.append("--truncate")
        return argv


def _moment(value: Any) -> str:
    return f"uts{ctime.date_to_timestamp(value)}"


def _numbers(value: Iterable[Any]) -> str:
    numbers = [whole(str(one)) for one in ([value] if isinstance(value, int) else value)]
    if None in numbers:
        raise ValueError(f"{value!r} are no numbers")
    return ",".join(map(str, dict.fromkeys(numbers)))


def _minutes(value: Any) -> str:
    return str(ctime.timestr_to_mins(value))


def _nodelist(value: Any) -> str:
    found = nodelist_to_range_str(value)
    if not found or found.startswith("-"):
        raise ValueError(f"{value!r} is no node list")
    return found


_OPTIONS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("ids", "jobs", _numbers),
    ("start_time", "starttime", _moment),
    ("end_time", "endtime", _moment),
    ("accounts", "accounts", joined),
    ("association_ids", "associations", _numbers),
    ("constraints", "constraints", joined),
    ("names", "name", joined),
    ("partitions", "partition", joined),
    ("groups", "group", joined),
    ("timelimit", "timelimit-min", _minutes),
    ("max_timelimit", "timelimit-max", _minutes),
    ("users", "user", joined),
    ("wckeys", "wckeys", joined),
    ("nodelist", "nodelist", _nodelist),
    ("qos", "qos", joined),
)
