"""Fields that say themselves where Slurm tells them: parser, changes and docs/pyslurm.md follow.

    class Node(Changeable):
        weight = Served(COUNT, "Weight", "weight", "Lower ones are used first.", put=count)

`text` is the key in the command's text, `json` the path in the record of `--json`; `A|B` are
alternatives, the first that is there counts. A field with `put` can be assigned to, and is sent
as `text=...` by whatever changes the thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from labtui.slurm import fields, values
from labtui.slurm.constants import INFINITE, NO_VAL, UNLIMITED
from labtui.slurm.record import Field, Record
from labtui.slurm.utils import cstr, ctime
from labtui.slurm.utils.helpers import dehumanize

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How a value is read from text and from JSON, and how it is written to scontrol."""

    text: Callable[[str], T]
    json: Callable[[Any], T]
    default: Callable[[], T]
    words: Callable[[Any], str] = str


class Served(Field[T]):
    """A field and its sources."""

    def __init__(
        self,
        kind: Kind[T],
        text: str = "",
        json: str = "",
        doc: str = "",
        *,
        put: Callable[[Any], Any] | None = None,
        default: Callable[[], T] | None = None,
    ) -> None:
        super().__init__(doc, settable=put is not None, default=default or kind.default)
        self.kind, self.text, self.json, self.put = kind, text, json, put
        self.key = text.partition("|")[0]

    def __set__(self, record: object, value: Any) -> None:
        if value is not None and self.put:
            value = self.put(value)
        super().__set__(record, self.default() if value is None else value)
        if isinstance(record, Changeable):
            record._changed.pop(self.name, None)
            if value is not None:
                record._changed[self.name] = None


class Changeable(Record):
    """A record that remembers what was assigned to it, in order.

    None asks for nothing, and takes back what was asked; an empty text or list clears a setting.
    """

    _changed: dict[str, None]

    def _sent(self, *without: str) -> list[str]:
        """What was assigned, as scontrol takes it: `Weight=5`."""
        return [
            f"{field.key}={field.kind.words(self.__dict__[name])}"
            for name in self._changed
            if name not in without and isinstance(field := self._fields[name], Served)
        ]

    def _fill(self, values: dict[str, Any]) -> None:
        self._changed = {}
        super()._fill(values)


def from_text(kind: type[Record], of: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a record that are in `Key=Value` pairs."""
    found = {}
    for name, field in kind._fields.items():
        if isinstance(field, Served) and field.text:
            key = next((key for key in field.text.split("|") if key in of), None)
            if key is not None:
                found[name] = field.kind.text(of[key])
    return found


def from_json(kind: type[Record], of: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that are in one record of a JSON document."""
    found = {}
    for name, field in kind._fields.items():
        if isinstance(field, Served) and field.json:
            for path in field.json.split("|"):
                there, value = look(of, path)
                if there:
                    found[name] = field.kind.json(value)
                    break
    return found


def look(of: Any, path: str) -> tuple[bool, Any]:
    """Whether `a.b.c` is in nested dicts, and what it is."""
    for key in path.split("."):
        if not isinstance(of, Mapping) or key not in of:
            return False, None
        of = of[key]
    return True, of


# -- kinds -----------------------------------------------------------------------------------


def none() -> Any:
    return None


def _limit(value: str) -> int | str | None:
    return UNLIMITED if value.strip().upper() in ("UNLIMITED", "INFINITE") else values.whole(value)


def _not_zero(value: Any) -> Any:
    return value or None


def _minutes(value: str) -> int | str | None:
    return _limit(value) if _limit(value) == UNLIMITED else values.minutes(value)


def _moment(value: str) -> int | None:
    found = values.moment(value)
    return None if found is None else int(found)


def _listed(value: str) -> list[str]:
    return fields.words(value)


def _joined(value: Any) -> str:
    return ",".join(map(str, value))


def all_words() -> list[str]:
    return ["ALL"]


def _resources(value: str) -> dict[str, Any]:
    return cstr.to_dict(values.text(value))


WORD: Kind[str | None] = Kind(values.text, fields.text, none)
WRITTEN: Kind[str | None] = Kind(values.text, fields.written, none)
"""What a person wrote."""
COUNT: Kind[int | None] = Kind(values.whole, fields.num, none)
SIZE: Kind[int | None] = Kind(
    lambda v: _not_zero(values.whole(v)), lambda v: fields.num(v, zero=False), none
)
"""A number whose 0 means "not set"."""
LIMIT: Kind[int | str | None] = Kind(_limit, lambda v: fields.limit(v, zero=True), none)
MINUTES: Kind[int | str | None] = Kind(_minutes, lambda v: fields.limit(v, zero=True), none)
SECONDS: Kind[int | None] = Kind(values.whole, fields.num, none)
MOMENT: Kind[int | None] = Kind(_moment, fields.moment, none)
YES: Kind[bool | None] = Kind(fields.flag, fields.flag, none, lambda v: "YES" if v else "NO")
LIST: Kind[list[str]] = Kind(_listed, fields.words, list, _joined)
ALL: Kind[list[str]] = Kind(
    lambda v: _listed(v) or ["ALL"], lambda v: fields.words(v) or ["ALL"], all_words, _joined
)
"""A list where none means everybody."""
GRES: Kind[dict[str, Any]] = Kind(
    cstr.to_gres_dict,
    lambda v: cstr.to_gres_dict(fields.text(v)),
    dict,
    lambda v: (cstr.from_gres_dict(v) or "").replace("gres:", ""),
)
TRES: Kind[dict[str, Any]] = Kind(
    _resources,
    lambda v: _resources(v) if isinstance(v, str) else {},
    dict,
    lambda v: cstr.dict_to_str(v) or "",
)  # fmt: skip


_BINDINGS = (  # slurm/slurm.h: cpu_bind_type_t
    ("verbose", 0x1), ("threads", 0x2), ("cores", 0x4), ("sockets", 0x8), ("ldoms", 0x10),
    ("none", 0x20), ("off", 0x80000),
)  # fmt: skip


def _binding(value: Any) -> str | None:
    if isinstance(value, list):
        return ",".join(word.lower() for word in fields.words(value)) or None
    number = fields.num(value) or 0
    return ",".join(word for word, flag in _BINDINGS if number & flag) or None


binding: Kind[str | None] = Kind(values.text, _binding, none)
"""How tasks are bound to CPUs: `cores`, `threads,verbose`."""


# -- what may be assigned --------------------------------------------------------------------


def as_text(value: Any) -> str | None:
    return None if value is None else str(value)


def as_count(value: Any) -> int | str | None:
    """A whole number, "UNLIMITED" or None. ValueError for anything else."""
    if value is None or (isinstance(value, str) and value.upper() == UNLIMITED):
        return None if value is None else UNLIMITED
    if isinstance(value, bool) or int(value) < 0:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def as_list(value: Any) -> list[str]:
    """Of a list, or of `a,b`."""
    return cstr.to_list(value) if isinstance(value, str) else [str(one) for one in value or ()]


def as_minutes(value: Any) -> int | str | None:
    """Of minutes, `1-00:00:00` or "UNLIMITED". ValueError for what is no time."""
    return _time(ctime.timestr_to_mins(value))


def as_seconds(value: Any) -> int | str | None:
    """Of seconds, `00:10:00` or "UNLIMITED". ValueError for what is no time."""
    return _time(ctime.timestr_to_secs(value))


def _time(number: int) -> int | str | None:
    return {NO_VAL: None, INFINITE: UNLIMITED}.get(number, number)


def as_moment(value: Any) -> int | None:
    """Of unix seconds, a datetime or a date as sbatch takes it. ValueError for what is none."""
    return ctime.date_to_timestamp(value) or None


def as_mib(value: Any) -> int | str | None:
    """Of MiB, `2G` or "UNLIMITED". ValueError for what is no size."""
    if isinstance(value, str) and value.upper() == UNLIMITED:
        return UNLIMITED
    found: int | None = dehumanize(value)
    return found


def as_gres(value: Any) -> dict[str, Any]:
    """Of `{"gpu:a100": 2}` or `gpu:a100:2`. ValueError for a name with more than one type."""
    return cstr.to_gres_dict(cstr.from_gres_dict(value))


def as_flag(value: Any) -> bool | None:
    return None if value is None else bool(value)
