"""Lists and dicts inside one text: `a,b`, `a=1,b=2`, `gpu:a100:2(IDX:0-1)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labtui.slurm import values

_NOTHING = (None, "", "None", "(null)")


def to_list(str_list: str | None, default: Any = None, delim: str = ",") -> list[Any]:
    """The parts of a text; `default`, or an empty list, for nothing."""
    if not str_list or str_list == "None":
        return [] if default is None else default
    return str_list.split(delim)


def list_to_str(vals: Any, delim: str = ",") -> Any:
    """One text of a list; a text, and nothing, as it is."""
    return delim.join(map(str, vals)) if vals and not isinstance(vals, str) else vals


def to_dict(
    str_dict: str | None, delim1: str = ",", delim2: str = "=", def_value: Any = None
) -> dict[str, Any]:
    """`a=1,b=x` as a dict, plain numbers as int.

    A key without a value is left out, or gets `def_value`.
    """
    found: dict[str, Any] = {}
    for part in to_list(str_dict, [], delim1):
        key, mark, value = part.partition(delim2)
        if mark:
            plain = values.whole(value)
            found[key] = value if plain is None or value != value.strip() else plain
        elif def_value is not None:
            found[part] = def_value
    return found


def validate_str_key_value_format(val: str, delim1: str = ",", delim2: str = "=") -> dict[str, str]:
    """`a=1,b=2` as a dict of texts. ValueError for a part that is not `key=value`."""
    found = {}
    for part in val.split(delim1):
        pair = part.split(delim2)
        if len(pair) != 2:
            raise ValueError(
                f"Invalid format for key-value pair {part}. Expected {delim2} as separator."
            )
        found[pair[0]] = pair[1]
    return found


def dict_to_str(
    vals: Mapping[Any, Any] | str | None,
    prepend: str | None = None,
    delim1: str = ",",
    delim2: str = "=",
) -> str | None:
    """`a=1,b=2` of a dict, or of such a text, which is checked. None for nothing.

    ValueError where a key or value holds one of the separators.
    """
    if not vals:
        return None
    if isinstance(vals, str):
        vals = validate_str_key_value_format(vals, delim1, delim2)
    for key, value in vals.items():
        if any(mark in str(part) for part in (key, value) for mark in (delim1, delim2)):
            raise ValueError(
                f"Key or Value cannot contain either {delim1} or {delim2}. "
                f"Got Key: {key} and Value: {value}."
            )
    return delim1.join(f"{prepend or ''}{key}{delim2}{value}" for key, value in vals.items())


def to_gres_dict(gres: str | None) -> dict[str, Any]:
    """`gpu:a100:2(IDX:0,1)` as `{"gpu:a100": {"count": 2, "indexes": "0,1"}}`; without the
    parentheses `{"gpu:a100": 2}`. What is no resource is left out."""
    found: dict[str, Any] = {}
    if gres in _NOTHING:
        return found
    for name, kind, count, inside in values.gres(str(gres).replace("gres:", "")):
        if kind is not None and not _has_count(str(gres), name, kind):
            continue
        key = f"{name}:{kind}" if kind else name
        indexes = inside.removeprefix("IDX:") if inside.startswith("IDX:") else None
        found[key] = count if indexes is None else {"count": count, "indexes": indexes}
    return found


def _has_count(gres: str, name: str, kind: str) -> bool:
    """`gpu:a100` alone is a broken record: Slurm always gives a typed resource its count."""
    _, mark, rest = gres.partition(f"{name}:{kind}")
    return bool(mark) and rest[:1] in (":", "=")


def from_gres_dict(vals: Any, typ: str = "") -> str | None:
    """`gres:gpu:tesla:3` of `{"gpu:tesla": 3}`, of such a text, or of a number with `typ`.

    ValueError for a name with more than one type.
    """
    if not vals:
        return None
    if isinstance(vals, str) and not vals.isdigit():
        pairs: Iterable[tuple[str, Any]] = (
            (name, count)
            for name, _, count in (p.rpartition(":") for p in vals.replace("gres:", "").split(","))
        )
    elif isinstance(vals, Mapping):
        pairs = vals.items()
    else:
        return f"gres:{typ}:{int(vals)}"
    found = []
    for name, count in pairs:
        if name.count(":") > 1:
            raise ValueError(f"Invalid specifier: '{name}'")
        full = name if typ in name else f"{typ}:{name}"
        found.append(f"gres:{full}:{int(count)}")
    return ",".join(found)
