"""The device plug-in's ConfigMap: into how many slices each of its entries cuts a card.

Its entries are YAML inside a string. What is read of them is small, and YAML is not in the standard
library: `read` knows the blocks, lists, scalars and one-line flows that such files are written in,
and refuses the rest (anchors, tags) instead of guessing.

The format is k8s-device-plugin's api/config/v1: `sharing.timeSlicing` or `sharing.mps` with
`resources: [{name, replicas, rename}]` and `renameByDefault`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from labtui.model import SlicingConfig
from labtui.text import inert

GPU = "nvidia.com/gpu"
WAYS = ("timeSlicing", "mps")
SIZE = 1 << 16
"""Characters of one entry that are read; NVIDIA's own are below 1,000."""
DEPTH = 20

_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s:#,&*!|>{}\[\]-][^:#]*?)\s*:(?:\s+(.*))?\Z""")
_Lines = list[tuple[int, str]]
_REPLICAS = re.compile(r"^([ ]*(?:- +)?replicas:[ ]*)[0-9]+(?=[ \t]*(?:#.*)?$)", re.MULTILINE)
_SHARING = """\
sharing:
  timeSlicing:
    resources:
    - name: nvidia.com/gpu
      replicas: {count}
"""


class _Entry(NamedTuple):
    replicas: int = 1
    """Slices of a whole card."""
    renamed: bool = False
    """They are offered as nvidia.com/gpu.shared."""
    way: str = ""


def slicing(namespace: str, name: str, default: str | None, data: Mapping[str, str]
            ) -> SlicingConfig:  # fmt: skip
    """The ConfigMap's `data`, understood; an entry that cannot be read is named in `unread`."""
    found: dict[str, _Entry] = {}
    mig: dict[str, str] = {}
    unread: dict[str, str] = {}
    for entry, text in data.items():
        try:
            document = _mapping(read(text), "the entry")
            found[entry] = _entry(document)
            flags = _mapping(document.get("flags"), "flags")
        except ValueError as error:
            unread[entry] = inert(error, 200)
            continue
        strategy = inert(flags.get("migStrategy") or "none", 40)
        if strategy != "none":
            mig[entry] = strategy
    return SlicingConfig(
        namespace=namespace, name=name, entries={e: one.replicas for e, one in found.items()},
        default=default or None, renamed=tuple(e for e, one in found.items() if one.renamed),
        mps=tuple(e for e, one in found.items() if one.way == "mps"), mig=mig, unread=unread,
    )  # fmt: skip


def _entry(document: dict[str, Any]) -> _Entry:
    for way, shared, one in _whole_cards(document):
        count = one.get("replicas")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"replicas is {inert(count, 40)}, not a number above 0")
        renamed = shared.get("renameByDefault") is True or bool(one.get("rename"))
        return _Entry(count, count > 1 and renamed, way)
    return _Entry()


def _whole_cards(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What the entry says of whole cards: the way, all that it shares so, and the resource."""
    sharing = _mapping(document.get("sharing"), "sharing")
    for way in WAYS:
        shared = _mapping(sharing.get(way), way)
        resources = shared.get("resources") or []
        if not isinstance(resources, list):
            raise ValueError(f"{way}.resources is no list")
        for one in resources:
            one = _mapping(one, "a resource")
            if one.get("name") in (GPU, "gpu"):
                yield way, shared, one


def recut(text: str, count: int) -> str:
    """The entry with another number of slices a card and nothing else changed. Raises ValueError
    where that cannot be written."""
    text = text if text.strip() else "version: v1\n"
    wanted = _mapping(read(text), "the entry")
    _, _, resource = next(_whole_cards(wanted), ("", {}, None))
    tries = [text.rstrip() + "\n" + _SHARING.format(count=count)]
    if resource is not None:
        resource["replicas"] = count
        tries = [
            text[: hit.start()] + f"{hit[1]}{count}" + text[hit.end() :]
            for hit in _REPLICAS.finditer(text)
        ]
    elif "sharing" in wanted:
        raise ValueError("it shares, but no whole cards")
    else:
        wanted = {**wanted, **read(_SHARING.format(count=count))}
    for changed in tries:
        if read(changed) == wanted:
            return changed
    raise ValueError("its number of replicas does not stand in a line of its own")


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no mapping")
    return value


def read(text: str) -> Any:
    """The value of a YAML document of the plain kind. Raises ValueError for anything else."""
    if len(text) > SIZE:
        raise ValueError(f"longer than {SIZE} characters")
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError("neither JSON nor plain YAML") from None
    lines: _Lines = []
    for line in text.splitlines():
        bare = _uncommented(line).rstrip()
        if not bare or (not lines and bare == "---"):
            continue
        if bare in ("---", "..."):
            raise ValueError("more than one document")
        body = bare.lstrip(" ")
        if body.startswith("\t"):
            raise ValueError("a tab indents it")
        lines.append((len(bare) - len(body), body))
    if not lines:
        return None
    value, end = _block(lines, 0, lines[0][0], 0)
    if end < len(lines):
        raise ValueError(f"does not fit where it is: {inert(lines[end][1], 60)}")
    return value


def _uncommented(line: str) -> str:
    quote = ""
    for i, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i]
    return line


def _is_item(body: str) -> bool:
    return body == "-" or body.startswith("- ")


def _block(lines: _Lines, at: int, indent: int, depth: int) -> tuple[Any, int]:
    """The list, mapping or scalar that begins at line `at`, and the line after it."""
    if depth > DEPTH:
        raise ValueError("too deep")
    body = lines[at][1]
    if _is_item(body):
        return _list(lines, at, indent, depth)
    if _KEY.match(body):
        return _table(lines, at, indent, depth)
    return _scalar(body), at + 1


def _list(lines: _Lines, at: int, indent: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while at < len(lines) and lines[at][0] == indent and _is_item(lines[at][1]):
        body = lines[at][1]
        rest = body[1:].lstrip(" ")
        if rest:
            lines[at] = (indent + len(body) - len(rest), rest)
            value, at = _block(lines, at, lines[at][0], depth + 1)
        else:
            value, at = _below(lines, at + 1, indent + 1, depth)
        found.append(value)
    return found, at


def _table(lines: _Lines, at: int, indent: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent and not _is_item(lines[at][1]):
        match = _KEY.match(lines[at][1])
        if match is None:
            raise ValueError(f"not understood: {inert(lines[at][1], 60)}")
        key, rest = str(_scalar(match[1])), match[2] or ""
        if key in found:
            raise ValueError(f"{inert(key, 60)} is there twice")
        if rest:
            found[key], at = _scalar(rest), at + 1
        else:
            # A list may stand as far left as its key.
            same = at + 1 < len(lines) and lines[at + 1][0] == indent and _is_item(lines[at + 1][1])
            found[key], at = _below(lines, at + 1, indent if same else indent + 1, depth)
    return found, at


def _below(lines: _Lines, at: int, least: int, depth: int) -> tuple[Any, int]:
    """The block that is indented at least so far; None where there is none."""
    if at >= len(lines) or lines[at][0] < least:
        return None, at
    return _block(lines, at, lines[at][0], depth + 1)


_WORDS = {"true": True, "false": False, "null": None, "~": None}


def _scalar(text: str) -> Any:
    if text[:1] in ("[", "{"):
        value, rest = _flow(text, 0)
        if rest.strip():
            raise ValueError(f"not understood: {inert(rest, 60)}")
        return value
    if text[:1] in ("&", "*", "!", "|", ">", "?", "%", "@", "`"):
        raise ValueError(f"YAML that is not read here: {inert(text, 60)}")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else text


def _flow(text: str, depth: int) -> tuple[Any, str]:
    """`[a, {b: c}]` on one line: its value, and what follows it."""
    if depth > DEPTH:
        raise ValueError("too deep")
    opened, rest = text[0], text[1:].lstrip()
    items: list[Any] = []
    table: dict[str, Any] = {}
    while rest[:1] not in ("]", "}"):
        key = ""
        if opened == "{":
            key, colon, rest = rest.partition(":")
            key, rest = str(_scalar(key.strip())), rest.lstrip()
            if not colon:
                raise ValueError("a mapping without a colon")
        if rest[:1] in ("[", "{"):
            value, rest = _flow(rest, depth + 1)
        else:
            match = re.match(r"""("[^"]*"|'[^']*'|[^,\]}]*)""", rest)
            assert match is not None
            value, rest = _scalar(match[1].strip()), rest[match.end() :]
        items.append(value)
        table[key] = value
        rest = rest.lstrip()
        if rest[:1] == ",":
            rest = rest[1:].lstrip()
        elif rest[:1] not in ("]", "}"):
            raise ValueError("a list or mapping without an end")
    if rest[0] != ("]" if opened == "[" else "}"):
        raise ValueError("a list or mapping without an end")
    return (items if opened == "[" else table), rest[1:]
