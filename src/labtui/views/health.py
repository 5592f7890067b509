"""What is wrong with a machine: each finding in a few words and in a sentence, by severity."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from labtui.model import Node
from labtui.text import inert, mib

CLOCK_MS = 1000.0
"""Munge refuses credentials at 300 s; a second already confuses every log."""
DISK_PERCENT = 5.0
MEMORY_PERCENT = 95.0
LOAD_PER_CPU = 2.0


class Finding(msgspec.Struct, frozen=True):
    severity: int
    """1 worth knowing, 2 warn, 3 critical; 0 only explains a gap."""
    words: str
    """For a cell: inert, the important part first."""
    sentence: str = ""
    """For the detail, where the words alone would not do."""


def findings(node: Node) -> list[Finding]:
    """Everything wrong, in no order. Of a machine that does not answer, only that."""
    found = list(_of_slurm(node))
    if node.reachable is False:
        words = inert(node.fault or "no answer").removeprefix("ssh: ")
        return [Finding(3, words), *found]
    if node.reachable is None:
        return [*found, Finding(0, inert(node.fault or ""))] if node.fault else found
    if node.fault:
        found.append(Finding(2, inert(node.fault)))
    return [*found, *_of_mounts(node), *_of_services(node), *_of_figures(node)]


def _of_slurm(node: Node) -> Iterator[Finding]:
    word = slurm_word(node.slurm_state or "")
    reason = re.sub(r"\s*\[[^\[\]]*@[^\[\]]*\]\s*$", "", inert(node.slurm_reason or ""))
    if word.startswith(("down", "fail", "error", "inval")):
        yield Finding(3, reason or f"slurm: {word}")
    elif word.startswith("drain"):
        yield Finding(2, reason or word, "" if reason else f"{word} in Slurm, without a reason")
    elif word.endswith("*") or word.startswith("unknown"):
        text = "slurmd does not answer" if word.endswith("*") else "Slurm does not know it"
        yield Finding(2, text)
    elif reason:
        yield Finding(1, reason)


def _of_mounts(node: Node) -> Iterator[Finding]:
    for mount, state in node.mounts.items():
        if state.startswith(("hung", "failing", "not mounted", "unknown")):
            yield Finding(2, f"{inert(mount)} {inert(state.partition(' (')[0])}")


def _of_services(node: Node) -> Iterator[Finding]:
    for name, state in node.services.items():
        if state in ("activating", "reloading", "deactivating", "unknown"):
            yield Finding(1, f"{inert(name)} {state}")
        elif state != "active":
            yield Finding(2, f"{inert(name)} {inert(state)}")


def _of_figures(node: Node) -> Iterator[Finding]:
    offset = node.clock_offset_ms
    if offset is not None and abs(offset) > CLOCK_MS:
        way = "ahead" if offset > 0 else "behind"
        yield Finding(2, f"clock {abs(offset) / 1000:.1f} s {way}")
    free, disk = node.disk_free_mib, node.disk_total_mib
    if free is not None and disk and 100 * free < DISK_PERCENT * disk:
        yield Finding(2, f"/ full: {mib(free)} left", f"/ has {mib(free)} of {mib(disk)} left")
    used, total = node.memory_used_mib, node.memory_total_mib
    if used is not None and total and 100 * used > MEMORY_PERCENT * total:
        yield Finding(1, f"memory {100 * used / total:.0f}% used")
    if node.load1 is not None and node.load1 > LOAD_PER_CPU * (node.cpus_total or 1e9):
        yield Finding(1, f"load {node.load1:.0f} on {node.cpus_total} cpus")


_BUSY = ("alloc", "mix", "comp")


def slurm_word(state: str) -> str:
    """`IDLE+DRAIN` as `drained`, `MIXED+DRAIN` as `draining`, `DOWN*+...` as `down*`.

    The star is Slurm's: slurmd does not answer.
    """
    base, *flags = inert(state).lower().split("+")
    star = "*" if "*" in state or "not_responding" in flags else ""
    base = base.rstrip("*~#!%$@^-")
    if "drain" in flags or base in ("drain", "drained", "draining"):
        busy = base.startswith(_BUSY) or base == "draining"
        return ("draining" if busy else "drained") + star
    if powered := next((flag for flag in flags if flag.startswith("power")), ""):
        return powered
    if "fail" in flags:
        return "failing" + star
    if "maintenance" in flags or "maint" in flags:
        return "maint" + star
    return base + star
