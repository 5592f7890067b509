"""What scontrol prints, and what sbatch says, as structs. Pure: odd input gives less, no error."""

from __future__ import annotations

import re

from labtui.model import Node
from labtui.slurm import values
from labtui.slurm.types import Estimate, Partition, PingResponse

FAR_AWAY = 366 * 86400.0
"""Seconds ahead after which a start estimate means "unknown": behind a job without a time limit
Slurm names a year far away."""

_KEY = re.compile(r"(?:^|(?<=\s))([A-Z][\w/:&]*)=")


def pairs(line: str) -> dict[str, str]:
    """`Key=Value Key=Value` of `scontrol -o`; a value may hold spaces, and the first key wins."""
    found: dict[str, str] = {}
    hits = list(_KEY.finditer(line))
    for hit, following in zip(hits, [*hits[1:], None], strict=False):
        value = line[hit.end() : following.start() if following else len(line)]
        found.setdefault(hit[1], value.strip())
    return found


def nodes(output: str) -> list[Node]:
    """`scontrol -d -o show node`. Only what Slurm knows is filled in."""
    return [found for line in output.split("\n") if (found := node(line)) is not None]


def node(line: str) -> Node | None:
    """One line of it; None for another kind of line."""
    return _node(pairs(line)) if line.startswith("NodeName=") else None


_SET_BY = re.compile(r" ?\[([\w.-]+)@[^\]\s]+\]\Z")
"""Who set a node's reason, and when: `[root@1795472353]`."""


def _node(of: dict[str, str]) -> Node:
    cards = values.count_gpus(of.get("Gres", ""))
    reason = values.text(_SET_BY.sub(r" (\1)", of.get("Reason", "")))
    load = of.get("CPULoad", "")
    features = values.text(of.get("ActiveFeatures", ""))
    return Node(
        name=of["NodeName"],
        address=values.text(of.get("NodeAddr", "")),
        slurm_state=values.text(of.get("State", "")),
        slurm_reason=reason,
        cpus_total=values.whole(of.get("CPUEfctv", "")) or values.whole(of.get("CPUTot", "")),
        cpus_alloc=values.whole(of.get("CPUAlloc", "")),
        memory_total_mib=values.whole(of.get("RealMemory", "")),
        load1=float(load) if re.fullmatch(r"[0-9]{1,6}\.[0-9]+", load) else None,
        gpus=cards,
        gpus_alloc=None if cards is None else values.count_gpus(of.get("GresUsed", "")),
        partitions=values.nodes(of.get("Partitions", "")),
        memory_alloc_mib=values.whole(of.get("AllocMem", "")),
        features=tuple(features.split(",")) if features else (),
        gres=values.text(of.get("Gres", "")),
        gres_used=values.text(of.get("GresUsed", "")),
    )


def partitions(output: str) -> list[Partition]:
    """`scontrol -o show partition`."""
    lines = (line for line in output.split("\n") if line.startswith("PartitionName="))
    return [_partition(pairs(line)) for line in lines]


def _partition(of: dict[str, str]) -> Partition:
    def names(key: str) -> tuple[str, ...]:
        value = values.text(of.get(key, ""))
        return () if value in (None, "ALL") else tuple(value.split(","))

    return Partition(
        name=of["PartitionName"],
        state=of.get("State", "UP"),
        is_default=of.get("Default") == "YES",
        nodes=values.nodes(of.get("Nodes", "")),
        max_time=values.minutes(of.get("MaxTime", "")),
        default_time=values.minutes(of.get("DefaultTime", "")),
        total_cpus=values.whole(of.get("TotalCPUs", "")),
        total_nodes=values.whole(of.get("TotalNodes", "")),
        max_nodes=values.whole(of.get("MaxNodes", "")),
        max_cpus_per_node=values.whole(of.get("MaxCPUsPerNode", "")),
        max_memory_per_node=values.mib(of.get("MaxMemPerNode", "")),
        allowed_accounts=names("AllowAccounts"),
        allow_root_jobs=of.get("DisableRootJobs", "NO") != "YES",
        allowed_groups=names("AllowGroups"),
        allowed_qos=names("AllowQos"),
        denied_accounts=names("DenyAccounts"),
        denied_qos=names("DenyQos"),
        qos=values.text(of.get("QoS", "")),
        tres=values.amounts(of.get("TRES", "")),
    )


_PING = re.compile(r"Slurmctld\((\w+)\) at (\S+) is (UP|DOWN)")


def ping(output: str) -> list[PingResponse]:
    """`scontrol ping`: one line a controller."""
    return [
        PingResponse(role == "primary", word == "UP", index, host)
        for index, (role, host, word) in enumerate(_PING.findall(output))
    ]


_ESTIMATE = re.compile(
    r"Job (\d+) to start at (\S+).*? using (\d+) processors on (?:nodes )?(\S+)"
    r"(?: in partition (\S+))?"
)


def estimate(stderr: str, now: float) -> Estimate | None:
    """What `sbatch --test-only` wrote; None when it wrote no estimate."""
    found = _ESTIMATE.search(stderr)
    if found is None:
        return None
    start = values.moment(found[2])
    return Estimate(
        start_time=None if start is None or start > now + FAR_AWAY else start,
        nodes=values.nodes(found[4]),
        processors=int(found[3]),
        partition=found[5],
    )


def submitted_id(stdout: str) -> str | None:
    """The job id that `sbatch --parsable` printed (`17`, `17;cluster`)."""
    lines = [line.strip() for line in stdout.splitlines()]
    found = [m[1] for line in lines if (m := re.fullmatch(r"([0-9]+)(?:;\S+)?", line))]
    return found[-1] if found else None


STARTING = frozenset({"powering_up", "power_up"})
_IDLE = {
    "maint": "maint", "maintenance": "maint", "powered_down": "off", "power_up": "starting",
    "powering_up": "starting", "powering_down": "going off",
}  # fmt: skip
"""What an idle node is beside; the last one says most."""


def state_word(state: str | None) -> str:
    """A node's state as people say it: `DOWN+NOT_RESPONDING` is `down*`, as sinfo writes it."""
    if not state:
        return "-"
    base, *flags = state.rstrip("*").lower().split("+")
    word = base
    if "drain" in flags:
        word = "draining" if base in ("mixed", "allocated") else "drained"
        word = "down" if base == "down" else word
    elif base == "idle":
        word = next((said for flag, said in reversed(_IDLE.items()) if flag in flags), word)
    for flag in ("fail", "reboot_requested", "invalid_reg"):
        if flag in flags:
            word = "invalid" if flag == "invalid_reg" else flag
    silent = "not_responding" in flags and not STARTING & set(flags)
    return word + ("*" if silent or state.endswith("*") else "")
