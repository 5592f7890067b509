"""The plain text of `scontrol show ...`, one line a record or several."""

from __future__ import annotations

from collections.abc import Iterator


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
