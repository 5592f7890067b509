"""Trackable resources: `cpu=1,mem=4G,gres/gpu:a100=2` as numbers, memory in MiB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from labtui.slurm import values
from labtui.slurm.constants import NO_VAL64
from labtui.slurm.record import instance_to_dict
from labtui.slurm.utils.cstr import to_dict as pairs
from labtui.slurm.utils.helpers import dehumanize
from labtui.slurm.xcollections import dict_recursive


class _Resources(dict[str, Any]):
    """Resources of one type by name."""

    def to_dict(self, recursive: bool = False) -> dict[Any, Any]:
        return dict_recursive(self, recursive)


class FilesystemResources(_Resources):
    """`fs/*`"""


class GenericResources(_Resources):
    """`gres/*`, keyed `gpu` and `gpu:a100`; GPUs are `GPU` objects."""


class InterconnectResources(_Resources):
    """`ic/*`, `interconnect/*`"""


class LicenseResources(_Resources):
    """`license/*`"""


class OtherResources(_Resources):
    """Whatever this package has no name for, by type and name."""


class _Described:
    """Compared and shown by what it holds."""

    def to_dict(self, recursive: bool = False) -> dict[str, Any]:
        return instance_to_dict(self, recursive)

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, type(self)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items() if k[0] != "_" and v)
        return f"{type(self).__name__}({inside})"


class GenericResourceLayout(_Described):
    """One resource on one node, and which devices of it."""

    def __init__(
        self, name: str, typ: str | None = None, count: Any = 1, indexes: list[int] | None = None
    ) -> None:
        self.name = name
        self.type = typ
        self.count = int(count)
        self.indexes = indexes or []

    @classmethod
    def from_str(cls, gres_str: str | None) -> dict[str, Self]:
        """`gpu:a100:2(IDX:0-1)` by name and type; what is no resource is left out."""
        found: dict[str, Self] = {}
        for name, kind, count, inside in values.gres(gres_str or ""):
            indexes = list(values.indexes(inside)) if inside.startswith("IDX:") else []
            found[f"{name}:{kind}" if kind else name] = cls(name, kind, count, indexes)
        return found


class TrackableResource(_Described):
    """One resource and how much of it; `mem` in MiB."""

    def __init__(
        self, tres_type: str, count: Any, name: str | None = None, tres_id: int | None = None
    ) -> None:
        self.type = tres_type
        self.id = tres_id
        self.name = name
        self.count = int(count)

    @property
    def type_and_name(self) -> str:
        """`gres/gpu:a100`, `cpu`"""
        return f"{self.type}/{self.name}" if self.name else self.type

    @classmethod
    def from_type_and_count(cls, tres_type: str, count: Any) -> Self | None:
        """None for a number instead of a type, and for a count that is not set."""
        if isinstance(tres_type, str) and tres_type.isdigit():
            return None
        number = dehumanize(count) or 0 if tres_type == "mem" else _count(count)
        return None if number == NO_VAL64 else cls(tres_type, number)


_SIZED = re.compile(r"(\d+(?:\.\d+)?)([KMGTP])", re.ASCII)


def _count(count: Any) -> int:
    """`fs/disk=2G` and `gres/gpu_mem=80G` are in bytes once their unit is gone."""
    found = _SIZED.fullmatch(count) if isinstance(count, str) else None
    if found is None:
        return int(float(count)) if isinstance(count, str) and "." in count else int(count)
    return round(float(found[1]) * 1024.0 ** ("KMGTP".index(found[2]) + 1))


class GPU(_Described):
    """GPUs of one type, or (without one) of any."""

    def __init__(self, count: Any, gpu_type: str | None = None, tres_id: int | None = None) -> None:
        self.count = int(count)
        self.type = gpu_type
        self.id = tres_id

    @property
    def name(self) -> str:
        """`gpu:a100`, `gpu`"""
        return f"gpu:{self.type}" if self.type else "gpu"

    @property
    def type_and_name(self) -> str:
        """`gres/gpu:a100`"""
        return f"gres/{self.name}"

    @classmethod
    def from_tres(cls, tres: TrackableResource) -> Self:
        kind = (tres.name or "").partition(":")[2]
        return cls(tres.count, kind or None, tres.id)


_GROUPS = {
    "gres": GenericResources,
    "fs": FilesystemResources,
    "license": LicenseResources,
    "interconnect": InterconnectResources,
    "other": OtherResources,
}
_SINGLE = ("cpu", "mem", "energy", "node", "billing", "vmem", "pages")


class TrackableResources(_Described):
    """All resources of something. Those that it does not have are None, or an empty dict."""

    cpu: TrackableResource | None = None
    mem: TrackableResource | None = None
    """MiB."""
    energy: TrackableResource | None = None
    node: TrackableResource | None = None
    billing: TrackableResource | None = None
    vmem: TrackableResource | None = None
    pages: TrackableResource | None = None

    def __init__(self, global_tres_data: Any = None, **kwargs: Any) -> None:
        """`cpu=10, gres={"gpu:a100": 2}`. `global_tres_data` gives numbers their names."""
        self.fs = FilesystemResources()
        self.gres = GenericResources()
        self.license = LicenseResources()
        self.interconnect = InterconnectResources()
        self.other = OtherResources()
        self.raw_str: str | None = None
        self._id_map: dict[int, TrackableResource] = {}
        self._take(kwargs, global_tres_data)

    @classmethod
    def from_str(
        cls, tres_str: str | None, global_tres_data: Any = None, on_empty: Any = None
    ) -> Any:
        """Of `cpu=1,mem=4G,gres/gpu=2` or `1=1,2=4096`; `on_empty` for nothing.

        ValueError where an amount is no number.
        """
        known = pairs(tres_str)
        if not known:
            return on_empty
        found = cls()
        found.raw_str = tres_str
        found._take(known, global_tres_data)
        return found

    @staticmethod
    def load(db_connection: Any = None) -> TrackableResources:
        """All resources that the accounting tracks, with their numbers; counts are 1."""
        from labtui.slurm import bridge
        from labtui.slurm.db import aio

        return bridge.call(aio.tres)

    def _take(self, amounts: Mapping[str, Any], known: Any) -> None:
        ids = known._id_map if isinstance(known, TrackableResources) else known or {}
        for key, amount in amounts.items():
            if isinstance(amount, Mapping):
                self._take({f"{key}/{name}": count for name, count in amount.items()}, known)
                continue
            kind, _, name = key.partition("/")
            number: int | None = None
            if key.isdigit():
                named = ids.get(int(key))
                if named is None:
                    continue
                kind, name, number = named.type, named.name or "", named.id
            one = TrackableResource.from_type_and_count(kind, amount)
            if one is not None:
                one.name, one.id = name or None, number
                self.put(one)

    def put(self, one: TrackableResource) -> None:
        """Add one resource under its type and name."""
        name = one.name or ""
        kind = {"ic": "interconnect"}.get(one.type, one.type)
        if kind == "gres":
            gpu = name == "gpu" or name.startswith("gpu:")
            self.gres[name] = GPU.from_tres(one) if gpu else one
        elif kind in _SINGLE and not name:
            setattr(self, kind, one)
        elif kind in _GROUPS and kind != "other":
            getattr(self, kind)[name] = one
        else:
            self.other[one.type_and_name] = one
        if one.id is not None:
            self._id_map[one.id] = one

    def _all(self) -> Iterator[Any]:
        for kind in _SINGLE:
            if (one := getattr(self, kind)) is not None:
                yield one
        for kind in _GROUPS:
            yield from getattr(self, kind).values()

    def _validate(self, tres_data: Any) -> dict[int, int]:
        """Counts by number. ValueError for a resource that `tres_data` does not have."""
        ids = tres_data._id_map if isinstance(tres_data, TrackableResources) else tres_data
        numbers = {one.type_and_name: one.id for one in ids.values()}
        found: dict[int, int] = {}
        for one in self._all():
            number = one.id if one.id in ids else numbers.get(one.type_and_name)
            if number is None:
                raise ValueError(f"Invalid TRES specified: {one.type_and_name}")
            found[number] = one.count
        return found

    def to_dict(self, recursive: bool = False, flatten_limits: bool = False) -> dict[str, Any]:
        """By type; with `flatten_limits` by type and name (`gres/gpu`), without groups."""
        found = instance_to_dict(self, recursive)
        if flatten_limits:
            for kind in _GROUPS:
                group = found.pop(kind)
                found |= {
                    name if kind == "other" else f"{kind}/{name}": v for name, v in group.items()
                }
        return found


class TrackableResourceFilter:
    """What `TrackableResources.load` would be asked; Slurm's commands know no such filter."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def gpus(tres: TrackableResources | None) -> dict[str, GPU]:
    """The GPUs among some resources, by name."""
    found = tres.gres.items() if tres is not None else ()
    return {name: one for name, one in found if isinstance(one, GPU)}
