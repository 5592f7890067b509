"""Tables whose columns stand in fixed places: what squeue, sinfo and sacct print unasked.

Places are counted in bytes, and a value may be cut off within a letter. Names and reasons may hold
blanks. All functions raise PyslurmError where a line does not stand as its heading does: a value
that cannot be told from its neighbour is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from labtui.slurm.errors import PyslurmError

_PLAIN = frozenset(
    {
        "JOBID", "ARRAY_JOB_ID", "ST", "STATE", "STATECOMPLETE", "USER", "PARTITION", "ACCOUNT",
        "QOS", "PRIORITY", "TIME", "TIME_LIMI", "TIME_LIMIT", "TIMELIMIT", "NODES", "NODELIST",
        "HOSTNAMES", "CPUS", "S:C:T", "MEMORY", "TMP_DISK", "WEIGHT", "AVAIL",
    }
)  # fmt: skip
"""Headings whose values hold no blanks."""
_CLOCK = re.compile(rb"(?:\d+-)?(?:\d+:)?\d+:\d\d")


def right(header: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """Columns that end where their headings end, as squeue's own; the last one takes the rest.

    Only a time may be longer than its column: it moves what follows.
    """
    names = header.split()
    ends = [word.end() for word in re.finditer(r"\S+", header)][:-1]

    def cells(raw: bytes) -> list[bytes] | None:
        cuts, moved = [0], 0
        for place in ends:
            end = place + moved
            if raw[end : end + 1].strip():
                end += len(raw[end:].split(b" ", 1)[0])
                if not _CLOCK.fullmatch(raw[cuts[-1] : end].strip()):
                    return None
                moved = end - place
            cuts.append(end)
        if len(raw) < cuts[-1]:
            return None
        return _plain(names, _split(raw, cuts), bytes.rstrip)

    return _cut(names, lines, cells)


def left(header: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """Columns that begin where their headings begin, as those of `-O` and of `sinfo -R`.

    Where each has a width (`-O`), a value that fills it stands against the next one.
    """
    names = header.split()
    starts = [word.start() for word in re.finditer(r"\S+", header)]
    width = len(header) if header.endswith(" ") else None

    def cells(raw: bytes) -> list[bytes] | None:
        if width is not None and len(raw) != width:
            return None
        if width is None and (
            len(raw) < starts[-1] or any(raw[start - 1 : start].strip() for start in starts[1:])
        ):
            return None
        return _plain(names, _split(raw, starts), bytes.lstrip)

    return _cut(names, _whole(lines, width), cells)


def words(header: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """Columns apart by blanks, of which the last one takes the rest; where some are empty, each
    value stands under its heading."""
    *spans, last = [(word[0], *word.span()) for word in re.finditer(r"\S+", header)]
    names = header.split()
    for line in lines:
        parts = line.split(None, len(spans))
        if len(parts) == len(names):
            yield dict(zip(names, parts, strict=True))
            continue
        found = dict.fromkeys(names, "") | {last[0]: line[last[1] :].strip()}
        for word in re.finditer(r"\S+", line[: last[1]]):
            under = [name for name, a, b in spans if word.start() < b and word.end() > a]
            if len(under) != 1 or found[under[0]]:
                raise PyslurmError("a line does not fit its heading")
            found[under[0]] = word[0]
        yield found


RULE = re.compile(r"-+(?: -+)* ?")
"""The line below sacct's heading: a dash for each place of a column."""
_KEPT = ("JobID", "JobName", "State")


def ruled(header: str, rule: str, lines: list[str]) -> Iterator[dict[str, str]]:
    """Columns that a line of dashes shows, as sacct's own. A value that was cut off (`billing=1+`)
    is left out, but for a job's number, name and state."""
    spans = [word.span() for word in re.finditer(r"-+", rule)]
    names = [header[start:end].strip() for start, end in spans]
    width = len(rule) if rule.endswith(" ") else None

    def cells(raw: bytes) -> list[bytes] | None:
        apart = not any(raw[end : end + 1].strip() for _, end in spans)
        fits = apart and (len(raw) == width or (width is None and len(raw) <= len(rule)))
        return [raw[start:end] for start, end in spans] if fits else None

    lengths = {name: end - start for name, (start, end) in zip(names, spans, strict=True)}
    for found in _cut(names, _whole(lines, width), cells):
        yield {
            name: value
            for name, value in found.items()
            if name in _KEPT or not value.endswith("+") or len(value.encode()) < lengths[name]
        }


def _split(raw: bytes, cuts: list[int]) -> list[bytes]:
    return [raw[start:end] for start, end in zip(cuts, [*cuts[1:], len(raw)], strict=True)]


def _plain(
    names: list[str], cells: list[bytes], bare: Callable[[bytes], bytes]
) -> list[bytes] | None:
    """The cells, if those of plain columns are one word at their column's own edge."""
    *inner, _ = zip(names, cells, strict=True)
    edge = all(cell == bare(cell) or not cell.strip() for name, cell in inner if name in _PLAIN)
    single = all(
        len(cell.split()) < 2 for name, cell in zip(names, cells, strict=True) if name in _PLAIN
    )
    return cells if edge and single else None


def _whole(lines: list[str], width: int | None) -> list[str]:
    """The last line as it was before somebody stripped the text."""
    if width is None or not lines:
        return lines
    return [*lines[:-1], lines[-1] + " " * (width - len(lines[-1].encode(errors="replace")))]


def _cut(
    names: list[str], lines: list[str], cells: Callable[[bytes], list[bytes] | None]
) -> Iterator[dict[str, str]]:
    """The values of each line, cut by `cells`, which gives None for a line that does not fit."""
    for line in lines:
        raw = line.encode(errors="replace")
        # What was cut off within a letter is one mark now, and was one, two or three bytes.
        for lost in (b"\xef\xbf\xbd", b"\xff", b"\xff\xff"):
            found = cells(raw.replace(b"\xef\xbf\xbd", lost))
            if found is not None:
                break
        else:
            raise PyslurmError("a line does not fit its heading")
        values = (cell.decode(errors="replace").strip() for cell in found)
        yield dict(zip(names, values, strict=True))
