"""Records with many fields of one meaning each: name, unit and documentation in one place.

    class Job(Record):
        memory = Whole("MiB that the whole job has or asks")

A parser makes a record from a dict of what it knows (`Job.of(values)`); a field that nobody
filled in gives its default, which is None, an empty list or an empty dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

T = TypeVar("T")


class Field(Generic[T]):
    """A descriptor: `job.memory` is the value, `Job.memory` the field, `Job.memory.doc` its words.

    `settable` says whether a person may assign to it.
    """

    default: Callable[[], Any] = staticmethod(lambda: None)

    def __init__(
        self, doc: str = "", *, settable: bool = False, default: Callable[[], T] | None = None
    ) -> None:
        self.doc = self.__doc__ = doc
        self.settable = settable
        self.name = ""
        if default is not None:
            self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, record: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type | None = None) -> T: ...
    def __get__(self, record: Any, owner: type | None = None) -> Any:
        if record is None:
            return self
        values = record.__dict__
        if self.name not in values:
            values[self.name] = self.default()
        return values[self.name]

    def __set__(self, record: object, value: T) -> None:
        if not self.settable:
            raise AttributeError(f"{type(record).__name__}.{self.name} cannot be set")
        record.__dict__[self.name] = value


class Text(Field[str | None]):
    """One text."""


class Whole(Field[int | None]):
    """A whole number."""


class Limit(Field["int | str | None"]):
    """A whole number, or "UNLIMITED"."""


class Real(Field[float | None]):
    """A number with a fraction."""


class Flag(Field[bool | None]):
    """Yes, no, or not known."""


class Words(Field[list[Any]]):
    """A list, empty where there is nothing."""

    default: Callable[[], Any] = staticmethod(list)


class Table(Field[dict[str, Any]]):
    """A dict, empty where there is nothing."""

    default: Callable[[], Any] = staticmethod(dict)


class Record:
    """The base of everything with fields."""

    _fields: ClassVar[dict[str, Field[Any]]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: v for name, v in vars(cls).items() if isinstance(v, Field)}
        cls._fields = {**cls._fields, **own}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """A record of what is known about something. TypeError for a name that is no field."""
        new = cls.__new__(cls)
        new._fill(values)
        return new

    def _fill(self, values: dict[str, Any]) -> None:
        if unknown := values.keys() - self._fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {min(unknown)}")
        self.__dict__.update(values)

    def _assign(self, values: dict[str, Any]) -> None:
        """What a caller gave by name: AttributeError for a name that cannot be set."""
        for name, value in values.items():
            if not hasattr(getattr(type(self), name, None), "__set__"):
                raise AttributeError(f"{type(self).__name__} has no field {name}")
            setattr(self, name, value)

    def to_dict(self, recursive: bool = False) -> dict[str, Any]:
        """All public fields and properties by name; with `recursive`, those of what they hold."""
        return instance_to_dict(self, recursive)

    as_dict = to_dict


def instance_to_dict(inst: Any, recursive: bool = False) -> dict[str, Any]:
    """Every public attribute that is no method, in alphabetical order."""
    return dict(_attributes(inst, recursive))


def _attributes(inst: Any, recursive: bool) -> Iterator[tuple[str, Any]]:
    for name in dir(inst):
        if name.startswith("_"):
            continue
        value = getattr(inst, name)
        if recursive and hasattr(value, "to_dict"):
            value = value.to_dict(recursive=True)
        elif callable(value):
            continue
        yield name, value
