"""The text of `sacct`, with its usual columns in the place of those that are read."""

from __future__ import annotations

from labtui.slurm import values
from labtui.slurm.documents import places
from labtui.slurm.documents.marked import table

_RESOURCES: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    ("AllocTRES", (("cpu", ("AllocCPUS", "NCPUS")), ("node", ("AllocNodes",)))),
    ("ReqTRES", (("cpu", ("ReqCPUS",)), ("mem", ("ReqMem",)), ("node", ("ReqNodes",)))),
)
"""(column, (resource, the columns of it alone))"""


def records(text: str) -> list[dict[str, str]]:
    """The records of either form. PyslurmError for what is no such table."""
    header, _, rest = text.lstrip("\n").partition("\n")
    rule, _, body = rest.partition("\n")
    if places.RULE.fullmatch(rule):
        lines = [line for line in body.split("\n") if line.strip()]
        return [_raw(of) | of for of in places.ruled(header, rule, lines)]
    return [_raw(of) | of for of in table(text)]


def _raw(of: dict[str, str]) -> dict[str, str]:
    """`ElapsedRaw` of `Elapsed`, and so on."""
    found: dict[str, str] = {}
    elapsed, limit = values.seconds(of.get("Elapsed", "")), values.seconds(of.get("Timelimit", ""))
    if elapsed is not None:
        found["ElapsedRaw"] = str(elapsed)
    if "Timelimit" in of:
        found["TimelimitRaw"] = of["Timelimit"] if limit is None else str(limit // 60)
    for column, parts in _RESOURCES:
        told = [
            f"{part}={number}"
            for part, names in parts
            if (number := next((of[name] for name in names if of.get(name)), "0")) != "0"
        ]
        if told:
            found[column] = ",".join(told)
    return found
