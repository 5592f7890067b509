"""Memory of a card that is shared: few ways to share it split that as well."""

from __future__ import annotations

from typing import NamedTuple

from labtui.model import Finding, Gpu, Holder
from labtui.shares.place import held, is_counted
from labtui.text import inert, mib

FULL = 0.95
"""Part of the memory in use above which the next allocation is likely to fail."""
UNSEEN_MIB, UNSEEN_PERCENT = 1024.0, 10.0
"""Memory and load that the driver does not need for itself: somebody works there."""

_OF_CARD = "nobody is chosen to end: the next allocation fails, in any slice"
_OF_MACHINE = (
    "it is the machine's own memory: when it is full the kernel's OOM killer ends what has most"
)


class Room(NamedTuple):
    used: float
    total: float
    at_most: float
    """MiB that one more may still ask."""
    biggest: tuple[Holder, ...]
    """Who is known to use memory, the most first."""

    @property
    def full(self) -> bool:
        return self.used > FULL * self.total


def shares_memory(gpu: Gpu) -> bool:
    """Whether its slices have no memory of their own."""
    return (gpu.slices or 0) > 1 and is_counted(gpu) and not gpu.mig and not by_mps(gpu)


def by_mps(gpu: Gpu) -> bool:
    """By the device plug-in's MPS, and for pods alone. Each process gets an equal part of memory
    and threads there (set_default_device_pinned_mem_limit in its cmd/mps-control-daemon). Slurm's
    gres/mps limits threads alone, and no job is held to the plug-in's limits."""
    owners = gpu.capacity.keys() | gpu.booked.keys()
    return gpu.sharing == "mps" and owners == {"kubernetes"}


def room(gpu: Gpu) -> Room | None:
    """None where the memory is not known, or where MIG splits it."""
    used, total = gpu.memory_used_mib, gpu.memory_total_mib
    if used is None or not total or gpu.sharing == "mig":
        return None
    users = [h for h in gpu.holders if h.memory_mib]
    if len(users) > 1:
        users.sort(key=lambda h: -(h.memory_mib or 0))
    most = total / (gpu.slices or 1) if by_mps(gpu) else total
    return Room(used, total, min(most, max(0.0, total - used)), tuple(users))


def unseen(gpu: Gpu) -> bool:
    """Somebody works here, and it cannot be seen who: it may be any of the holders."""
    if "processes" in gpu.na or any(
        p.since is None and p.job_id is None and p.pod_uid is None for p in gpu.processes
    ):
        return True
    if not gpu.processes and (gpu.util_percent or 0.0) >= UNSEEN_PERCENT:
        return True
    used = [p.memory_mib for p in gpu.processes]
    known = [m for m in used if m is not None]
    return known == used and (gpu.memory_used_mib or 0.0) - sum(known) > UNSEEN_MIB


def named(holder: Holder) -> str:
    return f"{holder.kind} {inert(holder.id, 60)}"


def tight(gpu: Gpu) -> Finding | None:
    """Memory that is full, or that those who have not taken theirs yet cannot get."""
    found = room(gpu)
    if found is None:
        return _tight_instance(gpu)
    if found.full:
        shared = shares_memory(gpu) or (len(gpu.holders) > 1 and not by_mps(gpu))
        return Finding(
            kind="memory-tight",
            severity=2 if shared else 1,
            text=f"{mib(found.used)} of {mib(found.total)} used, {mib(found.at_most)} left",
            means=(_OF_MACHINE if _is_jetson(gpu) else _OF_CARD) + _most(found),
        )
    if not shares_memory(gpu) or unseen(gpu):
        return None
    waiting = sum(h.slices for h in gpu.holders if not h.pids)
    even = found.total / max(gpu.slices or 1, held(gpu))
    if waiting and found.at_most < waiting * even:
        what = "1 booked slice uses" if waiting == 1 else f"{waiting} booked slices use"
        return Finding(
            kind="memory-tight",
            severity=2,
            text=f"{what} no memory yet, {mib(found.at_most)} are left for it",
            means=f"an even share is {mib(even)} a slice; slices do not split memory{_most(found)}",
        )
    return None


def _is_jetson(gpu: Gpu) -> bool:
    return "Jetson" in (gpu.product or "") or gpu.origin.get("memory_used_mib") == "jetson"


def _most(room: Room) -> str:
    users = ", ".join(f"{named(h)} {mib(h.memory_mib)}" for h in room.biggest[:3])
    return f"; most: {users}" if users else ""


def _tight_instance(gpu: Gpu) -> Finding | None:
    full = [m for m in gpu.mig if (m.memory_used_mib or 0) > FULL * (m.memory_total_mib or 1e9)]
    if not full:
        return None
    said = ", ".join(
        f"{m.profile or m.id} {mib(m.memory_used_mib)} of {mib(m.memory_total_mib)}" for m in full
    )
    return Finding(
        kind="memory-tight", severity=1, text=f"MIG instance full: {said}",
        means="its own jobs may fail for want of memory; the others are not touched",
    )  # fmt: skip
