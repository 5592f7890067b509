"""Everything alive behind the screens: hosts, clients, collectors, store, history, actions.

The console and the command line use the same one; neither knows how a source is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError
from labtui.actions.runner import Runner
from labtui.collectors import (
    agents,
    alerts,
    experiments,
    gpus,
    kubernetes,
    nodes,
    queue,
    vault,
    vaultmetrics,
)
from labtui.collectors.base import Collector
from labtui.collectors.efficiency import Efficiencies
from labtui.collectors.schedule import Scheduler
from labtui.config import Config
from labtui.history import History, default_path, read_ended
from labtui.hosts.base import Host, HostError
from labtui.hosts.connect import connect
from labtui.hosts.local import LocalHost
from labtui.model import Job, Run
from labtui.slurm.client import SlurmClient
from labtui.slurm.efficiency import Efficiency
from labtui.slurm.errors import RPCError
from labtui.slurm.usage import Context
from labtui.slurm.whynot import WhyNot, why_not
from labtui.sources.base import SourceError
from labtui.sources.kubernetes import Kubectl
from labtui.store import Store
from labtui.tablestate import TableStates
from labtui.views import efficiency as efficiency_view
from labtui.views import gpus as gpus_view
from labtui.views import jobs as jobs_view
from labtui.views import runs as runs_view

if TYPE_CHECKING:
    from labtui.actions.vault.ceremony import Ceremony
    from labtui.keyholder.holder import Keyholder


class Session:
    """One cluster, connected. Made on the event loop; `close` gives everything back."""

    def __init__(
        self,
        config: Config,
        *,
        read_only: bool = False,
        keep: bool = True,
        slurm: SlurmClient | None = None,
    ) -> None:
        """`slurm`: a client that has begun to ask already, on a host of its own."""
        self.config = config
        self.store = Store()
        self.hosts: dict[str, Host] = connect(config)
        if slurm is not None:
            self.hosts[config.slurm.login] = slurm.host
        login = self.hosts.get(config.slurm.login)
        self.slurm = slurm or (
            SlurmClient(login, timeout=config.slurm.timeout_s, tasks_apart=config.slurm.tasks)
            if login
            else None
        )
        section = config.kubernetes
        on = self.hosts.get(section.via) if section.via else LocalHost("here")
        self.kube = Kubectl(section, on) if section.kubectl and on else None
        self.scheduler = Scheduler(self.store, self._collectors())
        self._curves = experiments.Curves(config.mlflow) if config.mlflow.url else None
        self._efficiencies = Efficiencies(config, self.store)
        self._looked: set[str] = set()
        gpus_view.remember(self.store)
        self.tables = TableStates(config.cluster.name)
        self.history = History(default_path(config.cluster.name)) if keep else None
        if self.history:
            self.history.follow(self.store)
        self.runner = Runner(
            self.history.audit if self.history else lambda line: None,
            cluster=config.cluster.name,
            read_only=read_only or config.cluster.read_only,
            after=self.scheduler.refresh,
        )

    def _collectors(self) -> list[Collector]:
        config = self.config
        return [
            *queue.build(
                config,
                self.slurm,
                lambda since: read_ended(default_path(config.cluster.name), since),
            ),
            *nodes.build(config, self.hosts),
            *vault.collectors(config),
            *vaultmetrics.collectors(config),
            *agents.build(config, self.hosts),
            *gpus.collectors(config, self.hosts),
            *kubernetes.build(self.kube, config),
            *alerts.collectors(config),
            *experiments.collectors(config),
        ]

    def need_slurm(self) -> SlurmClient:
        if self.slurm is None:
            raise ActionError("no Slurm is configured: name its login node in [slurm] login")
        return self.slurm

    def action(
        self,
        id: str,
        items: Sequence[Any],
        reason: str = "",
        changes: Mapping[str, str] | None = None,
        holder: Keyholder | None = None,
    ) -> Action:
        """The action `id` on rows of its subject. Raises ActionError when it cannot be made."""
        from labtui.actions.making import make

        return make(self, id, items, reason, changes or {}, holder)

    def ceremony(self, id: str, items: Sequence[Any]) -> Ceremony | None:
        """The ceremony that the action `id` is; None where it is an action with a plan."""
        from labtui.actions import vault

        return vault.ceremony(id, items, vault.Doors(self.config, self.store, self.hosts))

    async def look(self, item: Any) -> bool:
        """Fetch what only the detail of this row needs; True when there is something new to draw.

        A run's curves: once for a run that is over, each time it is looked at while it runs.
        """
        if isinstance(item, Job):
            return await self._look_at_job(item)
        if not isinstance(item, Run) or self._curves is None:
            return False
        if item.status != "RUNNING" and item.run_id in self._looked:
            return False
        try:
            curves = await self._curves.of(item)
        except SourceError:
            return False
        self._looked.add(item.run_id)
        runs_view.remember(self.store, item, curves)
        return True

    def job(self, job_id: str) -> Job | None:
        """The row of a job, as the queue or the accounting has it now."""
        table = jobs_view.rows(self.store, self.config, time.time())
        row = next((row for row in table.rows if row.key == job_id), None)
        return None if row is None else table.job(row, keep=True)

    async def why_not(self, job: Job, record: Mapping[str, str]) -> WhyNot:
        """Why a job waits, by node, from the store; `record` is what it asks.

        Off the event loop: there may be thousands of nodes.
        """
        context = Context.of(self.store, me=self.store.value("slurm.me") or "", record=record)
        # What is worked out at first use is worked out here: the thread only reads.
        _ = context.holding, context.waiting
        allocations = self.store.value("slurm.allocations") or ()
        return await asyncio.to_thread(why_not, job, context, allocations)

    async def efficiency(self, job_id: str) -> Efficiency | None:
        """How well a job used what it asked for; None where the accounting does not know it.

        Raises RPCError, HostError, ActionError, and ValueError for what is no job id.
        """
        found = await self._efficiencies.of(self.need_slurm(), job_id)
        if found is not None:
            efficiency_view.remember(self.store, found)
        return found

    async def efficiencies(self, job_id: str) -> list[Efficiency]:
        """The same of a job, or of each started task of an array."""
        return await self._efficiencies.tasks_of(self.need_slurm(), job_id)

    async def _look_at_job(self, job: Job) -> bool:
        """The figures of a job that is over, once."""
        if job.end_time is None or job.job_id in self._looked or "[" in job.job_id:
            return False
        try:
            found = await self.efficiency(job.job_id)
        except (RPCError, HostError, ActionError, ValueError):
            return False
        if found is not None and found.end_time is not None:
            self._looked.add(job.job_id)
        return found is not None

    async def close(self) -> None:
        await self.runner.close()
        self._efficiencies.close()
        if self._curves:
            self._curves.close()
        await self.scheduler.close()
        for host in self.hosts.values():
            await host.close()
        if self.history:
            self.history.close()
