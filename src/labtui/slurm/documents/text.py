"""The plain text of `scontrol show ...`, one line a record or several."""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEY = re.compile(r"(?:^|(?<=\s))([A-Z][\w/:&\[\]]*)=")


def joined(output: str, first: str) -> Iterator[str]:
    """The records, each on one line: those that begin with the key `first` at a line's start.

    In the form of several lines a record ends at an empty one; blanks alone do not end it.
    """
    record: list[str] = []
    for line in output.split("\n"):
        begins = line.startswith(f"{first}=")
        if (begins or not line) and record:
            yield " ".join(record)
            record = []
        if begins or record:
            record.append(line.strip() if not begins else line.rstrip())
    if record:
        yield " ".join(record)


def pairs(line: str) -> dict[str, str]:
    """`Key=Value Key=Value`; a value may hold spaces, and the first of two equal keys counts."""
    found: dict[str, str] = {}
    hits = list(_KEY.finditer(line))
    for hit, following in zip(hits, [*hits[1:], None], strict=True):
        value = line[hit.end() : following.start() if following else len(line)]
        found.setdefault(hit[1], value.strip())
    return found
