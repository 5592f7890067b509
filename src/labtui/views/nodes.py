"""Nodes: every machine by what it says of itself, what Slurm says of it, and what is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from labtui.config import Config
from labtui.model import Job, Node, VaultNode
from labtui.shares.bookings import HOLDING
from labtui.slurm.joblist import active
from labtui.sources.node import HostFacts
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Feed, Store
from labtui.text import age, clock, inert, mib
from labtui.views.health import findings, slurm_word

FRESH = 6.0
"""Seconds: a poll that was late and one that failed. Until then SEEN stands still."""
UNREACHED = frozenset({"refused", "unreachable", "timeout", "auth", "host-key", "lab-down"})
"""Faults after which nothing is known of a machine."""
NOT_ASKED = "not in labtui's config; only Slurm was asked"
WAITING = "no answer yet"
VAULT_SHUT = frozenset({"sealed", "unsealing", "uninitialised"})


def rows(store: Store, config: Config, now: float) -> list[Node]:
    """One item a machine, those of the config first; an unreachable one keeps its last values."""
    slurm = {n.name: n for n in _items(store, "slurm.nodes", Node)}
    jobs = _jobs(active(store.value("slurm.jobs")))
    result = []
    for name in (*config.nodes, *(n for n in slurm if n not in config.nodes)):
        feed = store.feed(f"host.{name}")
        node = slurm.get(name) or Node(name=name)
        if feed is None and name not in config.nodes:
            result.append(_only_slurm(node, jobs.get(name, ()), config, store, now))
            continue
        of_config = config.nodes.get(name)
        if of_config is not None and of_config.slurm and slurm and name not in slurm:
            node = Node(name=name, slurm_state="unknown to slurm")
        result.append(_merge(node, feed, config, jobs.get(name, ()), store, now))
    return result


_known: dict[str, tuple[Node, tuple[str, ...], Node]] = {}
"""Machines that only Slurm tells of: what it said, and the item made of it. There may be 5,000."""


def _only_slurm(
    node: Node, jobs: tuple[str, ...], config: Config, store: Store, now: float
) -> Node:
    """The same item as before while Slurm says the same."""
    known = _known.get(node.name)
    if known is not None and known[0] is node and known[1] == jobs:
        return known[2]
    made = _merge(node, None, config, jobs, store, now)
    _known[node.name] = node, jobs, made
    return made


def _merge(
    node: Node, feed: Feed | None, config: Config, jobs: tuple[str, ...], store: Store, now: float
) -> Node:
    facts = feed.value if feed and isinstance(feed.value, HostFacts) else HostFacts()
    error = feed.error if feed else None
    reachable = None if feed is None or feed.latest is None else True
    if error is not None and error.kind in UNREACHED:
        reachable = False
    fault = error.message if error else WAITING if feed else NOT_ASKED
    of_config = config.nodes.get(node.name)
    seen_at = feed.good.taken_at if feed and feed.good else None
    silent = None if seen_at is None else max(0.0, now - seen_at)
    address = (of_config.address if of_config else "") or node.address
    services = dict(facts.services)
    vault = store.value(f"vault.{node.name}")
    if isinstance(vault, VaultNode) and vault.state in VAULT_SHUT:
        services["vault"] = vault.state
    return Node(
        name=node.name,
        address=address or None,
        reachable=reachable,
        fault=None if reachable and error is None else fault,
        fault_kind=error.kind if error else None,
        slurm_state=node.slurm_state,
        slurm_reason=node.slurm_reason,
        cpus_total=node.cpus_total or facts.cpus,
        cpus_alloc=node.cpus_alloc,
        memory_total_mib=facts.memory_total_mib or node.memory_total_mib,
        memory_used_mib=facts.memory_used_mib,
        load1=facts.load1 if facts.load1 is not None else node.load1,
        disk_free_mib=facts.disk_free_mib,
        disk_total_mib=facts.disk_total_mib,
        clock_offset_ms=_clock_offset(facts),
        services=services,
        mounts=facts.mounts,
        gpus=node.gpus,
        gpus_alloc=node.gpus_alloc,
        jobs=jobs,
        seen_at=seen_at,
        age_s=None if silent is None or (reachable and silent < FRESH) else int(silent),
        uptime_s=facts.uptime_s,
        attempts=feed.failures if feed else 0,
        next_try_s=max(0.0, feed.next_try - now) if feed and feed.next_try else None,
        partitions=node.partitions,
    )


def _clock_offset(facts: HostFacts) -> float | None:
    """Only as much of the offset as is certain: 0.0 when the error could explain it."""
    if facts.clock_offset_ms is None or facts.clock_error_ms is None:
        return None
    sure = abs(facts.clock_offset_ms) > facts.clock_error_ms
    return facts.clock_offset_ms if sure else 0.0


def _items(store: Store, feed: str, kind: type[Any]) -> list[Any]:
    value = store.value(feed)
    return [v for v in value if isinstance(v, kind)] if isinstance(value, (list, tuple)) else []


_held: tuple[list[Job], dict[str, tuple[str, ...]]] = ([], {})
"""The jobs that hold something, and their ids by node: the same list comes again and again."""


def _jobs(jobs: list[Job]) -> dict[str, tuple[str, ...]]:
    global _held
    if jobs is not _held[0]:
        found: dict[str, list[str]] = {}
        for job in jobs:
            if job.state.upper() in HOLDING:
                for name in job.nodes:
                    found.setdefault(name, []).append(job.job_id)
        _held = jobs, {name: tuple(ids) for name, ids in found.items()}
    return _held[1]


def severity(node: Node) -> int:
    return max((f.severity for f in findings(node)), default=0)


_TONES: tuple[Tone, ...] = ("dim", "", "warn", "crit")


def _why(node: Node) -> Cell | str:
    found = sorted(findings(node), key=lambda f: -f.severity)
    if not found:
        return ""
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return Cell(found[0].words + more, _TONES[found[0].severity])


def _name(node: Node) -> Cell | str:
    level = severity(node)
    return Cell(inert(node.name), _TONES[level] if level > 1 else "")


def _slurm(node: Node) -> Cell | str:
    if node.slurm_state is None:
        return Cell("-", "dim")
    word = slurm_word(node.slurm_state)
    bad = word.startswith(("down", "fail", "error", "unknown", "inval")) or "*" in word
    return Cell(word, "crit" if bad else "warn" if word.startswith("drain") else "")


def _old(node: Node, text: str) -> Cell | str:
    """A value of a machine that does not answer is yesterday's: dimmed."""
    return Cell(text, "dim") if node.reachable is False or text == "-" else text


def _share(used: int | None, total: int | None) -> str:
    if total is None:
        return "-"
    return f"{'-' if used is None else used}/{total}"


def _cpu(node: Node) -> Cell | str:
    if node.cpus_alloc is None and node.cpus_total is not None:
        return _old(node, f"-/{node.cpus_total}")
    return _share(node.cpus_alloc, node.cpus_total)


def _gpu(node: Node) -> Cell | str:
    text = _share(node.gpus_alloc, node.gpus)
    return Cell(text, "dim") if text == "-" else text


def _memory(node: Node) -> Cell | str:
    part = percent(node.memory_used_mib, node.memory_total_mib)
    return _old(node, "-" if part is None else f"{part:.0f}%")


def percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100.0 * part / whole


def _load(node: Node) -> Cell | str:
    return _old(node, "-" if node.load1 is None else f"{node.load1:.1f}")


def _disk(node: Node) -> Cell | str:
    return _old(node, mib(node.disk_free_mib))


def _offset(node: Node) -> Cell | str:
    if node.clock_offset_ms is None:
        return Cell("-", "dim")
    late = abs(node.clock_offset_ms) > 1000
    text = f"{node.clock_offset_ms / 1000:+.1f}s" if late else f"{node.clock_offset_ms:+.0f}ms"
    return Cell(text, "warn") if late and node.reachable else _old(node, text)


def _services(node: Node) -> Cell | str:
    if not node.services:
        return Cell("-", "dim")
    bad = [f"{inert(n)} {inert(s)}" for n, s in node.services.items() if s != "active"]
    if bad and node.reachable:
        return Cell(", ".join(bad), "warn")
    return _old(node, f"{len(node.services)} active" if not bad else ", ".join(bad))


def _mounts(node: Node) -> Cell | str:
    if not node.mounts:
        return Cell("-", "dim")
    return _old(node, ", ".join(f"{inert(m)} {inert(s)}" for m, s in node.mounts.items()))


def _seen(node: Node) -> Cell | str:
    if node.seen_at is None:
        return Cell("-", "dim")
    return "now" if node.age_s is None else Cell(age(node.age_s), "warn")


def detail(node: Node, store: Store, now: float) -> list[str | Cell]:
    head = [node.name, node.address or "", " ".join(node.partitions)]
    lines: list[str | Cell] = [Cell("  ".join(inert(h) for h in head if h), "accent")]
    if node.fault:
        lines.append(Cell(_fault(node), "crit" if node.reachable is False else "dim"))
    if node.seen_at is not None and node.reachable is False:
        ago = age(now - node.seen_at)
        lines.append(f"last seen {_time(node.seen_at)} ({ago} ago); its values are of that moment")
    lines += [Cell(inert(f.sentence), _TONES[f.severity]) for f in findings(node) if f.sentence]
    lines += [f"because: {text}" for text in _because(node, store)]
    if node.slurm_state is not None:
        reason = f", {inert(node.slurm_reason)}" if node.slurm_reason else ""
        lines.append(f"slurm: {inert(node.slurm_state.lower())}{reason}")
    then = "" if node.reachable else " then"
    if node.services:
        states = "  ".join(f"{inert(n)} {_ok(s)}" for n, s in node.services.items())
        lines.append(f"services{then}: {states}")
    lines += [f"mount{then}: {inert(m)} {inert(s)}" for m, s in node.mounts.items()]
    figures = _figures(node)
    if figures:
        lines.append(Cell(f"{then.strip()} {figures}".strip(), "" if node.reachable else "dim"))
    if node.jobs:
        names = {j.job_id: j.name for j in active(store.value("slurm.jobs"))}
        shown = "  ".join(
            f"{inert(j)} {inert(names.get(j, ''), 30)}".strip() for j in node.jobs[:12]
        )
        lines.append(f"jobs: {shown}" + ("  ..." if len(node.jobs) > 12 else ""))
    return lines


def _fault(node: Node) -> str:
    text = inert(node.fault or "")
    if node.attempts > 1 and "tries" not in text:
        text += f", {node.attempts} tries"
    if node.next_try_s is not None and "next in" not in text:
        text += f", next in {node.next_try_s:.0f} s"
    return text


def _ok(state: str) -> str:
    return "ok" if state == "active" else inert(state)


def _time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _figures(node: Node) -> str:
    parts = []
    if node.memory_used_mib is not None:
        parts.append(f"memory {mib(node.memory_used_mib)} of {mib(node.memory_total_mib)}")
    if node.load1 is not None:
        parts.append(f"load {node.load1:.2f}")
    if node.disk_free_mib is not None:
        parts.append(f"/ {mib(node.disk_free_mib)} of {mib(node.disk_total_mib)} free")
    if node.clock_offset_ms is not None:
        parts.append(f"clock {node.clock_offset_ms:+.0f} ms")
    if node.uptime_s is not None:
        parts.append(f"up {clock(node.uptime_s)}")
    return " · ".join(parts)


def _because(node: Node, store: Store) -> list[str]:
    """What explains what: said only where both ends were seen."""
    found = []
    word = slurm_word(node.slurm_state or "")
    down = word.startswith("down") or "*" in word
    if node.reachable is False:
        if down:
            found.append("the host does not answer, so Slurm has lost it too")
        return found
    slurmd = node.services.get("slurmd")
    if down and slurmd not in (None, "active"):
        found.append(f"slurmd is {slurmd}: Slurm has lost the node, the machine itself answers")
    munge = node.services.get("munge")
    if down and munge not in (None, "active"):
        found.append(f"munge is {munge}: nothing of Slurm can log in")
    for mount, state in node.mounts.items():
        server = re.search(r" from ([\w.-]+)\)$", state)
        feed = store.feed(f"host.{server[1]}") if server else None
        if server and feed and feed.error and feed.error.kind in UNREACHED:
            found.append(f"{inert(mount)} is served by {server[1]}, which does not answer")
    return found


def _heading(nodes: Sequence[Node]) -> str:
    asked = [n for n in nodes if n.reachable is not None]
    lost = sum(n.reachable is False for n in asked)
    drained = sum(slurm_word(n.slurm_state or "").startswith("drain") for n in nodes)
    parts = [f"{len(asked) - lost} of {len(nodes)} answer"]
    return "  ".join(parts + ([f"drained {drained}"] if drained else []))


def _search(node: Node) -> str:
    words = [node.name, node.address or "", node.slurm_state or "", node.slurm_reason or ""]
    words += [*node.partitions, *node.services, *node.jobs, *(f.words for f in findings(node))]
    return inert(" ".join(words))


SUBJECT = SubjectSpec(
    name="nodes",
    key="2",
    title="Nodes",
    words="Every machine: reachable or why not, Slurm's state, load, mounts, services, clock.",
    feeds=("host.", "slurm.nodes", "slurm.jobs", "vault."),
    counted_by=("host.", "slurm.nodes", "vault."),
    columns=(
        Column("name", "NAME", 12, _name, lambda n: n.name, wide=16),
        Column("slurm", "SLURM", 9, _slurm, lambda n: n.slurm_state),
        Column("why", "WHY", 22, _why, lambda n: -severity(n), grow=True),
        Column("cpu", "CPU", 6, _cpu, lambda n: n.cpus_alloc, "right"),
        Column("memory", "MEM", 4, _memory,
               lambda n: percent(n.memory_used_mib, n.memory_total_mib), "right"),
        Column("gpu", "GPU", 4, _gpu, lambda n: n.gpus_alloc, "right"),
        Column("load", "LOAD", 5, _load, lambda n: n.load1, "right"),
        Column("disk", "FREE", 6, _disk, lambda n: n.disk_free_mib, "right", min_total=100),
        Column("clock", "CLOCK", 7, _offset, lambda n: n.clock_offset_ms, "right",
               min_total=100),
        Column("up", "UP", 5, lambda n: _old(n, "-" if n.uptime_s is None else age(n.uptime_s)),
               lambda n: n.uptime_s, "right", min_total=110),
        Column("address", "ADDRESS", 15, lambda n: inert(n.address or "-"), min_total=110),
        Column("mounts", "MOUNTS", 27, _mounts, min_total=150),
        Column("services", "SERVICES", 20, _services, min_total=170),
        Column("seen", "SEEN", 5, _seen, lambda n: n.seen_at, "right"),
    ),
    row_key=lambda n: n.name,
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=_search,
    heading=_heading,
)  # fmt: skip
