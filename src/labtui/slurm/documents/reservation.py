"""`scontrol show reservation`, slurmrestd's reservations."""

from __future__ import annotations

import re
from typing import Any

from labtui.slurm import fields, settings, values
from labtui.slurm.core.reservation import Reservation, ReservationFlags, Reservations
from labtui.slurm.documents import Document, cluster_of, entries
from labtui.slurm.documents.text import joined
from labtui.slurm.scontrol import pairs
from labtui.slurm.served import from_json, from_text

_CORES = re.compile(r"\sNodeName=(\S+) CoreIDs=(\S+)")
_PURGE = re.compile(r"PURGE_COMP=([\d:-]+)")


def reservations(document: Document, cluster: str | None = None) -> Reservations:
    """Reservations of any of these documents."""
    name = cluster or cluster_of(document) or settings.local_cluster()
    if isinstance(document, str):
        told = [_of_text(line) for line in joined(document, "ReservationName")]
    else:
        told = [_of_json(record) for record in entries(document, "reservations")]
    found = Reservations()
    for known in told:
        one = Reservation.of(known)
        one.cluster = name
        if one.name:
            found.data.setdefault(name, {})[one.name] = one
    return found


def _of_text(line: str) -> dict[str, Any]:
    # What people wrote stands at the end, and may look like fields.
    head, _, comment = re.sub(r"\s+Comment=", "\0", line, count=1).partition("\0")
    cores = dict(_CORES.findall(head))
    of = pairs(_CORES.sub("", head))
    known = from_text(Reservation, of | ({"Comment": comment} if comment else {}))
    known["cpu_ids_by_node"] = cores
    purge = _PURGE.search(of.get("Flags", ""))
    if purge is not None:
        known["purge_time"] = values.seconds(purge[1]) or values.whole(purge[1])
    return known


def _of_json(record: dict[str, Any]) -> dict[str, Any]:
    known = from_json(Reservation, record)
    cores = record.get("core_specializations")
    known["cpu_ids_by_node"] = {
        one["node"]: one["core"]
        for one in (cores if isinstance(cores, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("node"), str)
        and fields.text(one.get("core"))
    }
    purge = record.get("purge_completed")
    if isinstance(purge, dict):
        # The struct of v0.0.39 and later stands there without the flag too. Earlier it is only
        # there with the flag, which is not among the flags.
        plain = not isinstance(purge.get("time"), dict)
        flags: ReservationFlags = known.get("flags", ReservationFlags(0))
        if plain:
            known["flags"] = flags | ReservationFlags.PURGE
        if plain or ReservationFlags.PURGE in flags:
            known["purge_time"] = fields.num(purge.get("time"), zero=False)
    return known
