"""What a script asks of each node, and of all together: the least that its options can mean. Pure.

sbatch's options bound each other: `--ntasks-per-node` beside `--ntasks` is a most, `--nodes=2-4` is
any of three. Where they leave something open, what is certain counts.
"""

from __future__ import annotations

from labtui.slurm import values
from labtui.slurm.asked import Asked, Gres
from labtui.slurm.never import counted
from labtui.slurm.script import BatchScript

_LOOSE = ("overcommit", "ntasks-per-core", "core-spec", "thread-spec")
"""With these a process needs no core of its own, or a node has more of them than it shows."""


def wanted(script: BatchScript) -> Asked:
    low, most = _nodes(script.get("nodes"))
    tasks, each = _whole(script, "ntasks"), _whole(script, "ntasks-per-node")
    if tasks is not None:
        low = min(low, tasks)  # sbatch takes fewer nodes then
        each = 1
    per_task = _whole(script, "cpus-per-task") or 1
    loose = any(option in script.options for option in _LOOSE)
    on_node = 1 if loose else per_task * (each or 1)
    total = low * on_node if tasks is None or loose else tasks * per_task
    if most == 1:
        on_node = max(on_node, total)
    gres, all_gres = _gres(script, low, most, tasks)
    if not loose and "cpus-per-task" not in script.options:
        on_node = max(on_node, (_whole(script, "cpus-per-gpu") or 0) * cards(gres))
    on_node = max(on_node, _whole(script, "mincpus") or 1)
    only = node_names(script.get("nodelist"))
    endless, limit = _time(script)
    return Asked(
        nodes=low,
        cpus=on_node,
        memory_mib=_memory(script, on_node, cards(gres)),
        gres=gres,
        features=values.text(script.get("constraint")),
        only=only if tasks is None or tasks >= len(only) else (),
        without=node_names(script.get("exclude")),
        reservation=values.text(script.get("reservation")),
        time_limit_s=limit,
        endless=endless,
        total_cpus=max(total, on_node * low),
        total_gres=all_gres,
        spreads=most is None or most > low,
        most_nodes=most,
    )


def _whole(script: BatchScript, option: str) -> int | None:
    return values.whole(script.get(option)) or None


def _nodes(said: str) -> tuple[int, int | None]:
    """The least and the most of `2` and `2-4`; of `1-8:2` and `2,4` the first at least."""
    low, dash, high = said.partition("-")
    return values.whole(low) or 1, values.whole(high) if dash else values.whole(low)


def cards(gres: Gres) -> int:
    """GPUs, of any type."""
    typed = sum(n for name, kind, n in gres if name == "gpu" and kind)
    return max(typed, *(n for name, kind, n in gres if name == "gpu" and not kind), 0)


def node_names(text: str) -> tuple[str, ...]:
    """Names of nodes; none where it is a file, a function or a list too long to tell."""
    if any(sign in text for sign in "/{"):
        return ()
    return tuple(name for name in values.nodes(text) if not name.endswith("]"))


def _time(script: BatchScript) -> tuple[bool, int | None]:
    """Whether it asks for no limit, and the seconds of the least that it may get."""
    said = script.get("time")
    minutes = values.minutes(said)
    endless = minutes == 0 or said.upper() in ("UNLIMITED", "INFINITE")
    least = values.minutes(script.get("time-min")) or None
    found = [m for m in (minutes, least) if m]
    return endless and least is None, min(found) * 60 if found else None


def _memory(script: BatchScript, cpus: int, gpus: int) -> int | None:
    """MiB on a node; None where it is not said, or all of it is asked for (`--mem=0`)."""
    if "mem" in script.options:
        return values.mib(script.get("mem")) or None
    if each := values.mib(script.get("mem-per-cpu")):
        return each * cpus
    return (values.mib(script.get("mem-per-gpu")) or 0) * gpus or None


def _gres(script: BatchScript, low: int, most: int | None, tasks: int | None) -> tuple[Gres, Gres]:
    """On each node at least, and on all together."""
    node: dict[tuple[str, str | None], int] = {}
    for name, kind, count in counted(script.get("gres")) or ():
        node[name, kind] = min(count, node.get((name, kind), count))
    for kind, count in _gpus(script, "gpus-per-node"):
        node["gpu", kind] = min(count, node.get(("gpu", kind), count))
    everywhere = {key: n * low for key, n in node.items()}

    def more(of: dict[tuple[str, str | None], int], kind: str | None, count: int) -> None:
        of["gpu", kind] = max(count, of.get(("gpu", kind), 0))

    for option, times in (("gpus-per-task", tasks or 1), ("gpus-per-socket", 1), ("gpus", 1)):
        for kind, count in _gpus(script, option):
            more(everywhere, kind, count * times)
            if most == 1:
                more(node, kind, count * times)
            elif option != "gpus":
                more(node, kind, count)
    if script.get("gpus") and not any(name == "gpu" for name, _ in node):
        node["gpu", None] = 1  # sbatch(1): at least one GPU per node
    listed = [tuple((name, kind, n) for (name, kind), n in of.items() if n)
              for of in (node, everywhere)]  # fmt: skip
    return listed[0], listed[1]


def _gpus(script: BatchScript, option: str) -> list[tuple[str | None, int]]:
    """`a100:2,h100:1` by type."""
    found = []
    for part in script.get(option).split(","):
        kind, colon, count = part.rpartition(":")
        if (number := values.whole(count)) is not None:
            found.append((kind if colon else None, number))
    return found


def wanted_tres(script: BatchScript) -> dict[str, int]:
    """The whole job's wants by Slurm's names; `mem` in MiB. What is not said is not in it."""
    wants = wanted(script)
    found = {"node": wants.nodes, "cpu": wants.total_cpus}
    if wants.memory_mib:
        found["mem"] = wants.memory_mib * wants.nodes
    if gpus := cards(wants.total_gres):
        found["gres/gpu"] = gpus
    return found
