"""`parse`: what a Slurm command or slurmrestd printed, as this package's objects.

Each kind has a module here with functions of `document -> collection`, where a document is the
object of a `--json` output or the text of the plain one. Known are the parsers v0.0.37 to
v0.0.45 (Slurm 21.08 to 26.05); a newer one is tried, with a warning.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from typing import Any

from labtui.slurm.errors import PyslurmError, RPCError

Document = dict[str, Any] | str

NEWEST = (0, 0, 45)

KINDS: dict[str, tuple[str, str]] = {
    "squeue": ("labtui.slurm.documents.tables", "queue"),
    "job": ("labtui.slurm.documents.job", "jobs"),
    "step": ("labtui.slurm.documents.step", "steps"),
    "sinfo": ("labtui.slurm.documents.tables", "nodes"),
    "node": ("labtui.slurm.documents.node", "nodes"),
    "partition": ("labtui.slurm.documents.partition", "partitions"),
    "reservation": ("labtui.slurm.documents.reservation", "reservations"),
    "sacct": ("labtui.slurm.documents.accounting", "jobs"),
    "qos": ("labtui.slurm.documents.accounting", "qos"),
    "assoc": ("labtui.slurm.documents.accounting", "associations"),
    "tres": ("labtui.slurm.documents.accounting", "tres"),
    "sdiag": ("labtui.slurm.documents.slurmctld", "statistics"),
    "ping": ("labtui.slurm.documents.slurmctld", "pings"),
    "config": ("labtui.slurm.documents.slurmctld", "config"),
}
"""Kind -> module and function."""


def parse(payload: bytes | str, kind: str) -> Any:
    """The objects that a command's output holds: `parse(output, kind="squeue")` gives Jobs.

    `kind` names what printed it: squeue, job (scontrol show job), step, sinfo, node, partition,
    reservation, sacct, qos, assoc, tres, sdiag, ping, config; slurmrestd's documents are of the
    same kinds. JSON and plain text are told apart by themselves.

    ValueError for an unknown kind; RPCError where the document is an error that Slurm reports;
    PyslurmError for what is no such document.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of document: choose from {', '.join(sorted(KINDS))}")
    module, name = KINDS[kind]
    read = getattr(importlib.import_module(module), name)
    document = load(payload)
    try:
        return read(document)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as odd:
        raise PyslurmError(f"this is no {kind} document that can be read: {odd}") from odd


def load(payload: bytes | str) -> Document:
    """The JSON object, checked for its version and for errors, or the text."""
    text = payload.decode(errors="replace") if isinstance(payload, bytes) else payload
    text = text.removeprefix("\ufeff")
    if not text.lstrip().startswith("{"):
        # Only where the file was rewritten: people's words may hold such an end of a line too.
        return text.replace("\r\n", "\n") if text.partition("\n")[0].endswith("\r") else text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as bad:
        raise PyslurmError(f"the JSON is not whole: {bad}") from None
    version = data_parser(document)
    if version is not None and version > NEWEST:
        words = ".".join(map(str, version))
        warnings.warn(f"data_parser v{words} is newer than this package knows", stacklevel=3)
    check(document)
    return document  # type: ignore[no-any-return]


def data_parser(document: dict[str, Any]) -> tuple[int, ...] | None:
    """(0, 0, 41) of `data_parser/v0.0.41`, `openapi/v0.0.38`; None where it is not said."""
    meta = document.get("meta")
    if not isinstance(meta, dict):
        return None
    said = [meta.get("plugin"), meta.get("plugins")]
    words = [
        str(p.get(k) or "") for p in said if isinstance(p, dict) for k in ("data_parser", "type")
    ]
    found = re.search(r"v(\d{1,4})\.(\d{1,4})\.(\d{1,4})", " ".join(words), re.ASCII)
    return tuple(int(part) for part in found.groups()) if found else None


def check(document: dict[str, Any]) -> None:
    """RPCError with the first error that Slurm itself reports in a document."""
    errors = document.get("errors")
    for one in errors if isinstance(errors, list) else ():
        if isinstance(one, dict):
            number = one.get("error_number", one.get("errno"))
            text = one.get("description") or one.get("error")
            errno = number if isinstance(number, int) else -1
            raise RPCError(errno, text if isinstance(text, str) else None)


def cluster_of(document: Document) -> str | None:
    """The cluster that a document is about, from v0.0.40 on."""
    meta = document.get("meta") if isinstance(document, dict) else None
    slurm = meta.get("slurm") if isinstance(meta, dict) else None
    name = slurm.get("cluster") if isinstance(slurm, dict) else None
    return name if isinstance(name, str) and name else None


def entries(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The records of a JSON document. PyslurmError where it has none of that name."""
    found = document.get(key)
    if not isinstance(found, list):
        raise PyslurmError(f"the JSON has no list of {key}")
    return [one for one in found if isinstance(one, dict)]
