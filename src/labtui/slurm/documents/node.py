"""`scontrol show node`, `sinfo --json`, slurmrestd's nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from labtui.slurm import fields, settings, values
from labtui.slurm.core.node import Node, Nodes
from labtui.slurm.documents import Document, cluster_of, entries
from labtui.slurm.documents.text import joined
from labtui.slurm.errors import PyslurmError
from labtui.slurm.scontrol import pairs
from labtui.slurm.served import from_json, from_text


def nodes(document: Document, cluster: str | None = None) -> Nodes:
    """Nodes of any of these documents; of `sinfo`'s groups what all nodes of one share."""
    name = cluster or cluster_of(document) or settings.local_cluster()
    found = Nodes()
    for known in _told(document):
        node = Node.of({**known, "state": _state(known)})
        node.cluster = name
        before = found.data.setdefault(name, {}).setdefault(str(node.name), node)
        if before is not node:  # sinfo names a node once for each of its partitions
            before.partitions.extend(p for p in node.partitions if p not in before.partitions)
    return found


def _told(document: Document) -> Iterator[dict[str, Any]]:
    if isinstance(document, str):
        yield from map(_of_text, joined(document, "NodeName"))
    elif "sinfo" in document:
        for group in entries(document, "sinfo"):
            yield from _of_group(group)
    else:
        records = entries(document, "nodes")
        yield from (_of_json(record) for record in records if fields.text(record.get("name")))


def _of_json(record: dict[str, Any]) -> dict[str, Any]:
    known = from_json(Node, record)
    known["state"] = "+".join(
        fields.states(record.get("state")) + fields.states(record.get("state_flags"))
    )
    following = fields.states(record.get("next_state_after_reboot"))
    known["next_state"] = "+".join(w for w in following if w != "INVALID") or None
    # Before v0.0.39 what jobs may use is told by its two parts alone.
    idle, held = fields.num(record.get("idle_cpus")), known.get("allocated_cpus")
    if "effective_cpus" not in known and idle is not None and held is not None:
        known["effective_cpus"] = idle + held
    return known


def _of_group(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """23.02 and later: nodes that are alike, as sinfo prints them in one line. Of what differs
    among them only a range is told, and sums of several nodes are not one node's."""
    inside = group.get("nodes")
    names = fields.words(inside.get("nodes")) if isinstance(inside, dict) else []
    shared = {
        "name": "name", "state": "node.state", "cpus": "cpus", "sockets": "sockets",
        "cores": "cores", "threads": "threads", "temporary_disk": "disk", "real_memory": "memory",
        "weight": "weight",
    }  # fmt: skip
    record: dict[str, Any] = {"port": group.get("port")}
    for name, path in shared.items():
        of: Any = group
        for key in path.split("."):
            of = of.get(key) if isinstance(of, dict) else None
        record[name] = _one(of) if isinstance(of, dict) else of
    memory = group.get("memory")
    free = memory.get("free") if isinstance(memory, dict) else None
    record["free_mem"] = _one(free) if isinstance(free, dict) else None
    cpus = group.get("cpus")
    if isinstance(cpus, dict):
        load = cpus.get("load")
        record["cpu_load"] = _one(load) if isinstance(load, dict) else load
        if len(names) == 1:
            record |= {"alloc_cpus": cpus.get("allocated"), "idle_cpus": cpus.get("idle")}
    gres, features = group.get("gres"), group.get("features")
    record["gres"] = gres.get("total") if isinstance(gres, dict) else None
    if isinstance(features, dict):
        record |= {"features": features.get("total"), "active_features": features.get("active")}
    reason, partition = group.get("reason"), group.get("partition")
    if isinstance(reason, dict):
        record["reason"] = reason.get("description")
        record["reason_changed_at"] = reason.get("time")
        record["reason_set_by_user"] = reason.get("user")
    if isinstance(partition, dict) and fields.text(partition.get("name")):
        record["partitions"] = [partition["name"]]
    for name in names:
        known = from_json(Node, {**record, "name": name})
        known["state"] = "+".join(fields.states(record["state"]))
        # `idle` leaves out what a drained node cannot give: that is not what it may use at all.
        known.pop("effective_cpus", None)
        yield known


def _one(span: dict[str, Any]) -> Any:
    """The value of a range whose ends are the same."""
    return span.get("minimum") if span.get("minimum") == span.get("maximum") else None


_FREE = re.compile(
    r"(?:^|\s+)(?:Reason=(?P<Reason>.*?)(?: \[(?P<by>[\w.$-]+)@(?P<at>[^\]\s]+)\])?)??"
    r"(?:(?:^|\s+)Comment=(?P<Comment>.*?))??(?:(?:^|\s+)Extra=(?P<Extra>.*?))??\s*\Z",
    re.DOTALL,
)
_TAIL = re.compile(r"\s(?=(?:Reason|Comment|Extra)=)")


def _of_text(line: str) -> dict[str, Any]:
    # What people wrote stands at the end, and may look like fields.
    head, *rest = _TAIL.split(line, maxsplit=1)
    of = pairs(head)
    hit = _FREE.match(rest[0]) if rest else None
    for key in ("Reason", "Comment", "Extra"):
        if hit is not None and hit[key]:
            of[key] = hit[key]
    if hit is not None and hit["by"]:
        of |= {"ReasonUser": hit["by"], "ReasonTime": hit["at"]}
    if "Owner" in of:
        of["Owner"] = of["Owner"].partition("(")[0]
    known = from_text(Node, of)
    if "effective_cpus" not in known and "CoreSpecCount" not in of and "CPUSpecList" not in of:
        known["effective_cpus"] = known.get("total_cpus")  # before 22.05
    if values.text(of.get("State", "")) is None:
        raise PyslurmError("a record of a node has no state")
    return known


def _state(known: dict[str, Any]) -> str | None:
    """The state as PySlurm words it: MIXED where some CPUs are used and some are not."""
    words = str(known.get("state") or "").upper().replace("*", "+NOT_RESPONDING").split("+")
    words = list(dict.fromkeys(word for word in words if word))
    used, usable = known.get("allocated_cpus"), known.get("effective_cpus")
    if words and used and usable and 0 < usable - used < usable:
        words[0] = "MIXED"
    return "+".join(words) or None
