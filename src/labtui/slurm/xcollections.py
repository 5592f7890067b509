"""Collections that hold records of one cluster or of several: `jobs[7]`, `jobs["lab"][7]`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar, cast

from labtui.slurm import settings

K = TypeVar("K")
V = TypeVar("V")


class BaseView:
    """A live view of a collection."""

    def __init__(self, mcm: MultiClusterMap[Any, Any]) -> None:
        self._map = mcm

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class ValuesView(BaseView):
    """All items of all clusters."""

    def __iter__(self) -> Iterator[Any]:
        for items in self._map.data.values():
            yield from items.values()

    def __contains__(self, item: object) -> bool:
        return any(item is own or item == own for own in self)


class ClustersView(BaseView):
    """The names of the clusters."""

    def __len__(self) -> int:
        return len(self._map.data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._map.data)

    def __contains__(self, name: object) -> bool:
        return name in self._map.data


class MCKeysView(BaseView):
    """All `(cluster, key)`."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for cluster, items in self._map.data.items():
            for key in items:
                yield cluster, key

    def __contains__(self, pair: object) -> bool:
        cluster, key = cast("tuple[str, Any]", pair)
        return key in self._map.data.get(cluster, {})


class KeysView(BaseView):
    """All keys; one that two clusters have comes twice."""

    def __iter__(self) -> Iterator[Any]:
        for items in self._map.data.values():
            yield from items

    def __contains__(self, key: object) -> bool:
        return key in self._map

    def with_cluster(self) -> MCKeysView:
        """The same as `(cluster, key)`."""
        return MCKeysView(self._map)


class MCItemsView(BaseView):
    """All `(cluster, key, item)`."""

    def __iter__(self) -> Iterator[tuple[str, Any, Any]]:
        for cluster, items in self._map.data.items():
            for key, item in items.items():
                yield cluster, key, item

    def __contains__(self, triple: object) -> bool:
        return any(triple == own for own in self)


class ItemsView(BaseView):
    """All `(key, item)`."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for items in self._map.data.values():
            yield from items.items()

    def __contains__(self, pair: object) -> bool:
        return any(pair == own for own in self)

    def with_cluster(self) -> MCItemsView:
        """The same as `(cluster, key, item)`."""
        return MCItemsView(self._map)


class MultiClusterMap(Generic[K, V]):
    """Items by cluster and key.

    A key alone means the local cluster, or the first one where the local one has no part here.
    `(cluster, key)` and an item itself are keys too, and a cluster's name gives that cluster's
    own dict.
    """

    def __init__(
        self,
        data: Any,
        typ: str | None = None,
        val_type: Any = None,
        key_type: Any = None,
        id_attr: Any = None,
        init_data: bool = True,
    ) -> None:
        """`data`: a list of keys or items, a text `1,2`, a dict, or None.

        `typ` is the name that repr shows, `id_attr` the descriptor that gives an item's key.
        """
        self.data: dict[str, dict[K, V]] = {} if init_data else data
        self._typ = typ or type(self).__name__
        self._val_type = val_type
        self._key_type = key_type
        self._id_attr = id_attr
        if init_data and data is not None:
            self._fill(data)

    def _fill(self, data: Any) -> None:
        if isinstance(data, str):
            data = [self._key_type(part) for part in data.split(",") if part]
        if isinstance(data, Mapping | MultiClusterMap):
            self.update(data)
        elif isinstance(data, Iterable):
            for one in data:
                self.add(one if isinstance(one, self._val_type) else self._val_type(one))
        else:
            raise TypeError(f"Invalid Type: {type(data).__name__}")

    def _item_id(self, item: Any) -> K:
        return cast(K, self._id_attr.__get__(item))

    def _own(self) -> str:
        """The cluster that a key without one means."""
        if len(self.data) == 1:
            return next(iter(self.data))
        local = settings.local_cluster()
        return local if local in self.data or not self.data else next(iter(self.data))

    def _where(self, key: Any) -> tuple[str, Any]:
        if isinstance(key, self._val_type):
            return key.cluster, self._item_id(key)
        if isinstance(key, tuple) and len(key) == 2:
            return key
        return self._own(), key

    def _clustered(self, data: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
        """`{cluster: {key: item}}` or `{key: item}`, each part with its cluster."""
        if isinstance(data, MultiClusterMap):
            yield from data.data.items()
        elif data and all(isinstance(part, Mapping) for part in data.values()):
            yield from data.items()
        elif data:
            yield self._own(), data

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in self.data:
            return self.data[key]
        cluster, own = self._where(key)
        return self.data[cluster][own]

    def __setitem__(self, key: Any, item: Any) -> None:
        if isinstance(key, str) and (key in self.data or isinstance(item, dict)):
            self.data[key] = item
            return
        cluster, own = self._where(key)
        self.data.setdefault(cluster, {})[own] = item

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, str) and key in self.data:
            del self.data[key]
            return
        cluster, own = self._where(key)
        del self.data[cluster][own]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, self._val_type) or (isinstance(key, tuple) and len(key) == 2):
            cluster, own = self._where(key)
            return own in self.data.get(cluster, {})
        return any(key in items for items in self.data.values())

    def __len__(self) -> int:
        return sum(len(items) for items in self.data.values())

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __bool__(self) -> bool:
        return bool(self.data)

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, type(self)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"pyslurm.{self._typ}({', '.join(map(repr, self.data.values()))})"

    def __copy__(self) -> Self:
        return self.copy()

    def __or__(self, other: Any) -> Self:
        if not isinstance(other, Mapping | MultiClusterMap):
            return NotImplemented
        both = self.copy()
        both.update(other)
        return both

    def __ror__(self, other: Any) -> Self:
        if not isinstance(other, Mapping):
            return NotImplemented
        both = self.copy()
        both.clear()
        both.update(other)
        both.update(self)
        return both

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def copy(self) -> Self:
        """Another collection of the same items."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.data = {cluster: dict(items) for cluster, items in self.data.items()}
        return other

    def get(self, key: Any, default: Any = None) -> Any:
        """The item, or `default`. A cluster's name is no key here."""
        cluster, own = self._where(key)
        return self.data.get(cluster, {}).get(own, default)

    def add(self, item: V) -> None:
        """Put an item under its own cluster and key. TypeError for another kind of item."""
        if not isinstance(item, self._val_type):
            kind = self._val_type.__name__
            raise TypeError(f"Invalid Type: {type(item).__name__}. {kind} is required.")
        self.data.setdefault(item.cluster, {})[self._item_id(item)] = item

    def to_json(self, multi_cluster: bool = False) -> str:
        """JSON text of `to_dict(recursive=True)`."""
        return json.dumps(self.to_dict(multi_cluster, recursive=True), default=str)

    def to_dict(self, multi_cluster: bool = False, recursive: bool = False) -> dict[Any, Any]:
        """Plain dicts: of the local (or first) cluster, or of each by its name."""
        if not self.data:
            return {}
        found = multi_dict_recursive(self, recursive)
        return found if multi_cluster else found[self._own()]

    def keys(self) -> KeysView:
        return KeysView(self)

    def items(self) -> ItemsView:
        return ItemsView(self)

    def values(self) -> ValuesView:
        return ValuesView(self)

    def clusters(self) -> ClustersView:
        return ClustersView(self)

    def popitem(self) -> tuple[K, V]:
        """Take out any `(key, item)`. KeyError when empty."""
        for items in self.data.values():
            if items:
                key = next(iter(items))
                return key, items.pop(key)
        raise KeyError("the collection is empty")

    def clear(self) -> None:
        self.data.clear()

    def pop(self, key: Any, default: Any = None) -> Any:
        """Take out an item; `default` where there is none."""
        cluster, own = self._where(key)
        if own not in self.data.get(cluster, {}):
            return default
        item = self.data[cluster].pop(own)
        if not self.data[cluster]:
            del self.data[cluster]
        return item

    def update(self, data: Any = (), **kwargs: Any) -> None:
        """Add items: `{key: item}`, `{cluster: {key: item}}` or another collection."""
        for more in (data or {}, kwargs):
            for cluster, items in self._clustered(more):
                self.data.setdefault(cluster, {}).update(items)


def multi_reload(cur: Any, frozen: bool = True, new: Any = None) -> Any:
    """Put the present state of things into a collection, and give it back.

    Frozen: what is gone stays as it was last seen, and what is new stays out. `new` is what was
    loaded; without it `type(cur).load()` is.
    """
    if not cur:
        return cur
    if new is None:
        new = type(cur).load()
    for cluster, key in list(cur.keys().with_cluster()):
        now = new.get((cluster, key))
        if now is not None:
            cur.data[cluster][key] = now
        elif not frozen:
            del cur.data[cluster][key]
    if not frozen:
        for cluster, key, item in new.items().with_cluster():
            cur.data.setdefault(cluster, {}).setdefault(key, item)
    return cur


def dict_recursive(collection: Any, recursive: bool = False) -> dict[Any, Any]:
    """`{key: item.to_dict()}` of whatever has items that can."""
    return {
        key: item.to_dict(recursive=recursive)
        for key, item in collection.items()
        if hasattr(item, "to_dict")
    }


def multi_dict_recursive(
    collection: MultiClusterMap[Any, Any], recursive: bool = False
) -> dict[str, dict[Any, Any]]:
    """The same a cluster."""
    parts = collection.data.items()
    return {cluster: dict_recursive(items, recursive) for cluster, items in parts}


def to_json(collection: Any) -> str:
    """JSON text of a plain dict of items."""
    return json.dumps(dict_recursive(collection, recursive=True), default=str)


def sum_property(collection: Any, prop: Any, startval: Any = 0) -> Any:
    """The sum of a property over all items that know it."""
    found = (prop.__get__(item) for item in collection.values())
    return sum((value for value in found if value is not None), start=startval)
