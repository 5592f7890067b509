"""An action, by its id, on rows of its subject.

Beside the session and not in it: what an action needs is imported when the first is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from labtui.actions import gpus, vault
from labtui.actions.base import Action, ActionError
from labtui.actions.modify import ModifyJob, TopJob
from labtui.actions.nodes import DrainNode, ResumeNode
from labtui.actions.queue import (
    CancelJob,
    HoldJob,
    ReleaseJob,
    RequeueJob,
    ResumeJob,
    SuspendJob,
)
from labtui.actions.trust import TrustKey
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.keyholder.holder import Keyholder
from labtui.slurm.client import SlurmClient
from labtui.sources.kubernetes import Kubectl
from labtui.store import Store

_OF_JOBS = {
    kind.id: kind
    for kind in (CancelJob, HoldJob, ReleaseJob, RequeueJob, SuspendJob, ResumeJob, TopJob)
}


class Lab(Protocol):
    """What actions reach the lab through: the session's own."""

    config: Config
    store: Store
    hosts: dict[str, Host]
    slurm: SlurmClient | None
    kube: Kubectl | None

    def need_slurm(self) -> SlurmClient: ...


def make(
    lab: Lab,
    id: str,
    items: Sequence[Any],
    answer: str,
    changes: Mapping[str, str],
    holder: Keyholder | None,
) -> Action:
    """`answer`: of the action's question; `changes`: of its form. Raises ActionError."""
    if id == "nodes.trust":
        return TrustKey(lab.hosts.get(items[0].name), items[0].name)
    if id.startswith(("vault.", "agents.")):
        doors = vault.Doors(lab.config, lab.store, lab.hosts, holder)
        return vault.make(id, items, answer, changes, doors)
    if id.startswith(("gpus.", "pods.", "processes.")):
        cards = gpus.Doors(lab.config, lab.store, lab.hosts, lab.slurm, lab.kube)
        return gpus.make(id, items, answer, cards)
    slurm = lab.need_slurm()
    if id in _OF_JOBS:
        return _OF_JOBS[id](slurm, [job.job_id for job in items])
    if id == "queue.modify":
        return ModifyJob(slurm, [job.job_id for job in items], changes)
    if id == "nodes.drain":
        return DrainNode(slurm, [node.name for node in items], answer)
    if id == "nodes.resume":
        return ResumeNode(slurm, [node.name for node in items])
    raise ActionError(f"{id}: no such action")
