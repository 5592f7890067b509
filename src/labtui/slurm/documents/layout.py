"""Where a job lies: CPUs, memory and devices of each node, from its JSON."""

from __future__ import annotations

from typing import Any

from labtui.slurm import values
from labtui.slurm.fields import num, states, text
from labtui.slurm.utils.cstr import to_gres_dict


def layout(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """CPUs, memory and generic resources by node.

    Cores are numbered over all sockets. v0.0.38 lists only the sockets and cores in use, and not
    how many cores a socket has: there the numbers are known only where each socket has one core.
    v0.0.37 does not tell them.
    """
    resources = entry.get("job_resources")
    if not isinstance(resources, dict):
        return {}
    details = entry.get("gres_detail")
    gres = details if isinstance(details, list) else []
    found: dict[str, dict[str, Any]] = {}
    for index, part in enumerate(_parts(resources)):
        name = text(part.get("name") or part.get("nodename"))
        if name is None:
            continue
        memory = part.get("memory")
        held = memory.get("allocated") if isinstance(memory, dict) else part.get("memory_allocated")
        detail = gres[index] if index < len(gres) and isinstance(gres[index], str) else None
        found[name] = {
            "cpu_ids": _cores(part.get("sockets")),
            "memory": num(memory if held is None else held),
            "gres": to_gres_dict(detail),
        }
    return found


def _parts(resources: dict[str, Any]) -> list[dict[str, Any]]:
    """One dict a node, with its name, in the order of the node list."""
    nodes = resources.get("nodes")
    newer = nodes.get("allocation") if isinstance(nodes, dict) else None
    older = resources.get("allocated_nodes")
    if isinstance(older, dict) and isinstance(nodes, str):  # v0.0.37: by index
        names = values.nodes(nodes)
        listed = [older.get(str(index)) for index in range(len(names))]
        return [
            {**part, "name": name}
            for name, part in zip(names, listed, strict=True)
            if isinstance(part, dict)
        ]
    parts = newer if isinstance(newer, list) else older if isinstance(older, list) else []
    return [part for part in parts if isinstance(part, dict)]


def _cores(sockets: Any) -> str | None:
    """`3,7-8`: the allocated cores of one node, counted from its first socket on."""
    held: list[int] = []
    if isinstance(sockets, list):  # v0.0.41 and later: all of them
        count = 0
        for socket in sockets:
            cores = socket.get("cores") if isinstance(socket, dict) else None
            for core in cores if isinstance(cores, list) else []:
                if isinstance(core, dict) and "ALLOCATED" in states(core.get("status")):
                    held.append(count)
                count += 1
    elif isinstance(sockets, dict):
        for number, socket in sockets.items():
            cores = socket.get("cores") if isinstance(socket, dict) else None
            whole = values.whole(str(number))
            if whole is None or not isinstance(cores, dict) or set(cores) != {"0"}:
                return None
            held.append(whole)
    return values.in_ranges(held) if held else None
