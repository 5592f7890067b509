"""The plain text of `scontrol show ...`, one line a record or several."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtui.slurm.errors import PyslurmError

_NONE = re.compile(r"\s*(?:No [a-z ]+ in the system\s*)?", re.ASCII)


def refuse(output: str) -> None:
    """PyslurmError for a text without records that does not say that there are none."""
    if _NONE.fullmatch(output) is None:
        raise PyslurmError(f"this is neither JSON nor what scontrol shows: {output.strip()[:60]!r}")


def joined(output: str, first: str) -> Iterator[str]:
    """The records, each on one line: those that begin with the key `first` at a line's start.

    In the form of several lines a record ends at an empty one; blanks alone do not end it.
    PyslurmError for a text that has none and does not say so.
    """
    record: list[str] = []
    if not output.startswith(f"{first}=") and f"\n{first}=" not in output:
        refuse(output)
    for line in output.split("\n"):
        begins = line.startswith(f"{first}=")
        if (begins or not line) and record:
            yield " ".join(record)
            record = []
        if begins or record:
            record.append(line.strip() if not begins else line.rstrip())
    if record:
        yield " ".join(record)
