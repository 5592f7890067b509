"""The Slurm that runs inside Kubernetes: what its operator says, and what it says itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from labtui.config import Config
from labtui.model import Node, SlurmCluster
from labtui.slurm.usage import tasks
from labtui.slurm.waiting import takes_jobs
from labtui.sources.soperator import CONTAINER, INSTANCE, JAIL, LOGIN
from labtui.spec import Cell, Column, SubjectSpec, Tone
from labtui.store import Store
from labtui.text import inert
from labtui.views import waiting

_MEANS: dict[str, str] = {
    "CommonAvailable": "what all its parts share (keys, slurm.conf) is not made",
    "ControllersAvailable": "slurmctld is not there: nothing starts, what runs goes on",
    "LoginAvailable": "nobody can log in, jobs go on",
    "AccountingAvailable": "slurmdbd is not there: no history is written, jobs go on",
    "WorkersAvailable": "workers are missing",
    "SConfigControllerAvailable": "changes of slurm.conf do not reach the nodes",
    "NodeSetRefsResolved": "a partition names a NodeSet that is not there, and has no nodes of it",
}
"""What it means that a condition does not hold."""


def rows(store: Store, config: Config, now: float) -> list[SlurmCluster]:
    found = [c for c in store.value("k8s.slurmclusters") or () if isinstance(c, SlurmCluster)]
    said = _slurm(store, now) if found else None
    return [
        msgspec.structs.replace(
            one,
            slurm=said if _is_asked(one, store, config) else None,
            transport=transport(one, config),
        )
        for one in found
    ]


def _is_asked(one: SlurmCluster, store: Store, config: Config) -> bool:
    """Is it the Slurm that labtui asks? Through its login pod, or by the name it has itself."""
    login = config.nodes.get(config.slurm.login)
    if login is not None and login.transport == "kubectl" and LOGIN in login.selector:
        instance = f"{INSTANCE}={one.name}"
        other = INSTANCE in login.selector and instance not in login.selector.split(",")
        return not other and login.namespace in ("", one.namespace)
    settings = store.value("slurm.settings")
    return isinstance(settings, dict) and settings.get("ClusterName") == one.name


def _slurm(store: Store, now: float) -> str | None:
    """Nodes and jobs as the configured Slurm tells them now."""
    feed, nodes = store.feed("slurm.nodes"), store.value("slurm.nodes")
    if feed is None or (feed.error is None and nodes is None):
        return None
    if feed.error is not None:
        return f"no answer: {feed.error.message}"
    known = [n for n in nodes if isinstance(n, Node)]
    down = [n.name for n in known if not takes_jobs(n.slurm_state)]
    text = f"{len(known)} nodes"
    if down:
        more = f" and {len(down) - 3} more" if len(down) > 3 else ""
        text += f", {len(down)} take no jobs: {', '.join(down[:3])}{more}"
    if store.value("slurm.jobs") is not None:
        context = waiting.look(store, now)
        counts = [tasks(job) for job in context.waiting or ()]
        waits = sum(count for count in counts if count is not None)
        more = " or more" if None in counts else ""
        text += f"; {len(context.holding)} jobs run, {waits}{more} wait"
    return inert(text, 300)


def transport(one: SlurmCluster, config: Config) -> tuple[str, ...]:
    """What to write so that labtui asks this Slurm through its login pod."""
    section = config.kubernetes
    argv = [*(section.kubectl or ("kubectl",))]
    argv += [f"--kubeconfig={section.kubeconfig}"] if section.kubeconfig else []
    argv += [f"--context={section.context}"] if section.context else []
    name = f"{one.name}-login"
    values = {
        "transport": "kubectl", "kubectl": argv, "namespace": one.namespace,
        "selector": f"{LOGIN},{INSTANCE}={one.name}", "container": CONTAINER, "chroot": JAIL,
    }  # fmt: skip
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if v != ["kubectl"]]
    login = f'login = "{name}"'
    return tuple(inert(s, 300) for s in (f"[nodes.{name}]", *lines, "[slurm]", login))


def severity(one: SlurmCluster) -> int:
    """3 is not available, 2 a part of it is not, 1 nobody says or it has no way in."""
    if one.phase == "Not available":
        return 3
    if _broken(one) or any(text.startswith("Degraded") for text in one.nodesets.values()):
        return 2
    return 0 if one.phase == "Available" and one.login_pod else 1


def _broken(one: SlurmCluster) -> list[str]:
    return [name for name, said in one.conditions.items() if said.startswith("False")]


def _phase(one: SlurmCluster) -> Cell:
    return Cell(inert(one.phase or "not told", 40).lower(), _TONES[severity(one)])


_TONES: tuple[Tone, ...] = ("ok", "warn", "warn", "crit")


def _login(one: SlurmCluster) -> Cell | str:
    return inert(one.login_pod, 60) if one.login_pod else Cell("none", "warn")


def _sets(one: SlurmCluster) -> str:
    return ", ".join(f"{inert(name, 40)} {inert(said, 40)}" for name, said in one.nodesets.items())


def _said(one: SlurmCluster) -> str:
    return inert(one.slurm or one.message or one.login_fault or "", 300)


def detail(one: SlurmCluster, store: Store, now: float) -> list[str | Cell]:
    sets = _sets(one) or "none"
    lines: list[str | Cell] = [
        f"{inert(key(one), 120)} is {_phase(one).text} · NodeSets: {sets}",
    ]
    for name in _broken(one):
        why = "somebody has it in maintenance" if "Maintenance" in one.conditions[name] else ""
        words = why or _MEANS.get(name, "not so")
        lines.append(
            Cell(f"{inert(name, 60)}: {words} ({inert(one.conditions[name], 80)})", "warn")
        )
    if one.phase is None:
        lines.append("its operator has not said anything of it yet: is Soperator running?")
    if one.message:
        lines.append(f"Soperator says: {inert(one.message, 300)}")
    asked = one.slurm or "labtui does not ask this one"
    lines.append(f"Slurm itself: {inert(asked, 300)}")
    if one.login_pod:
        lines.append(f"login pod: {inert(one.login_pod, 100)}")
    else:
        why = inert(one.login_fault or "not told", 300)
        lines.append(Cell(f"no login pod is ready: {why}", "warn"))
    lines.append(Cell("to ask this Slurm through its login pod, in labtui's configuration:", "dim"))
    lines += [Cell(f"  {line}", "dim") for line in one.transport]
    return lines


def heading(found: Sequence[SlurmCluster]) -> str:
    well = sum(severity(one) == 0 for one in found)
    return f"{well} of {len(found)} as they should be"


def key(one: SlurmCluster) -> str:
    return f"{one.namespace}/{one.name}"


SUBJECT = SubjectSpec(
    name="slurmclusters",
    key="",
    title="Soperator",
    words="The Slurm that runs inside Kubernetes.",
    feeds=("k8s.slurmclusters",),
    columns=(
        Column("name", "CLUSTER", 18, lambda c: inert(key(c), 120), key, wide=30),
        Column("phase", "PHASE", 13, _phase, severity),
        Column("login", "LOGIN POD", 10, _login, lambda c: c.login_pod, wide=18),
        Column("nodesets", "NODESETS", 15, _sets, wide=30),
        Column("says", "SLURM SAYS", 18, _said, grow=True),
    ),
    row_key=key,
    severity=severity,
    rows=rows,
    detail=detail,
    searchable=lambda c: inert(f"{key(c)} {c.phase or ''} {_sets(c)} {c.login_pod or ''}"),
    heading=heading,
    also=("slurm.nodes", "slurm.jobs", "slurm.settings"),
    parent="gpus",
    counted=False,
)  # fmt: skip
