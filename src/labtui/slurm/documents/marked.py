"""Tables whose columns are apart by a mark, and whose first line names them.

`sacct -p --delimiter=MARK`, `sacctmgr -P`, `squeue -o "%i|%j"`, `sinfo -O NodeList:|,Memory:|`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtui.slurm.errors import PyslurmError

_MARK = re.compile(r"[A-Za-z][A-Za-z ]*(\x1f~[0-9a-f]{8}|\x1f|\|)")


def table(text: str, free: str = "") -> Iterator[dict[str, str]]:
    """The records of a table whose first line names its columns.

    Where each line ends with the mark, values may hold newlines; else the column `free`, when it
    is the last one, may hold marks. PyslurmError for what is no such table.
    """
    header, _, body = text.partition("\n")
    found = _MARK.match(header)
    if found is None:
        raise PyslurmError("the first line does not name the columns")
    mark, ended = found[1], header.endswith(found[1])
    names = header.split(mark)
    if not ended:
        for line in body.split("\n"):
            parts = line.split(mark, len(names) - 1 if names[-1] == free else -1)
            if line and len(parts) != len(names):
                raise PyslurmError("a record has not as many values as there are columns")
            if line:
                yield dict(zip(names, parts, strict=True))
        return
    del names[-1]
    *parts, rest = body.split(mark)
    if rest.strip() or len(parts) % len(names):
        raise PyslurmError("the last record was cut off")
    for start in range(0, len(parts), len(names)):
        record = dict(zip(names, parts[start : start + len(names)], strict=True))
        yield record | {names[0]: record[names[0]].removeprefix("\n")}
