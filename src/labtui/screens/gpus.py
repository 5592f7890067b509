"""What the main screen can be told to do with cards: to who holds them, and back to the card."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from labtui.actions.base import ActionError
from labtui.actions.suggest import Suggestion, suggestions
from labtui.model import ArrayJob, Gpu, Job, Pod
from labtui.screens.menu import Entry, Menu
from labtui.screens.plan import PlanDialog
from labtui.shares.cards import free, gres_gpus, items
from labtui.slurm.types import Partition
from labtui.text import inert
from labtui.views import processes
from labtui.views.gpucells import whose
from labtui.views.gpurows import card_name, is_of, rows_of
from labtui.views.processes import ProcessRow

if TYPE_CHECKING:
    from labtui.screens.commands import Commands

_SUBJECT_OF = {"job": "jobs", "pod": "pods", "process": "processes"}


class GpuCommands:
    """Part of Commands; made when the first of these is used."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._screen = commands.screen

    @property
    def _item(self) -> Any:
        return self._commands.item

    def _cards(self) -> list[Gpu]:
        session = self._screen.session
        return items(session.store, session.config, time.time())

    def follow(self) -> None:
        """From a slice to its holder."""
        row = self._item
        holder = whose(row)
        if holder is None:
            return
        key = holder.id
        if holder.kind == "process":
            session = self._screen.session
            found = processes.rows(session.store, session.config, time.time())
            card = card_name(row.gpu)
            key = next((r.key for r in found if r.card == card and str(r.pid) == key), key)
        self._screen.jump(_SUBJECT_OF[holder.kind], key)

    def card(self) -> None:
        """From a pod or a process to its card."""
        item = self._item
        if isinstance(item, ProcessRow):
            self._screen.jump("gpus", item.card)
        elif isinstance(item, Pod) and not self._to_holding("pod", f"{item.namespace}/{item.name}"):
            self._to_free(item.slices, None, f"pod {inert(item.name, 60)}")

    def of_job(self) -> None:
        """From a job to the card that it holds; of one that waits to one that could serve it."""
        job = self._item
        if not isinstance(job, Job):
            return
        id = job.job_id.partition("_")[0] if isinstance(job, ArrayJob) else job.job_id
        if self._to_holding("job", id):
            return
        if job.state != "PENDING":
            ended = job.state.lower().replace("_", " ")
            self._screen.say(
                f"job {inert(job.job_id, 60)} holds no GPU: {inert(ended, 30)}", "warn"
            )
            return
        wanted = gres_gpus(job.gres)
        if not wanted:
            self._screen.say(f"job {inert(job.job_id, 60)} waits, and asks for no GPU", "warn")
            return
        self._to_free(wanted, self._nodes_of(job), f"job {inert(job.job_id, 60)}")

    def _to_holding(self, kind: str, id: str) -> bool:
        """To the first of its slices on the first of its cards."""
        found = [g for g in self._cards() if any(is_of(holder, kind, id) for holder in g.holders)]
        if not found:
            return False
        of_it = [row for row in rows_of(found[0]) if is_of(row.holder, kind, id)]
        self._screen.jump("gpus", of_it[0].key if of_it else card_name(found[0]))
        if len(found) > 1:
            self._screen.say(f"{kind} {inert(id, 60)} holds slices of {len(found)} cards")
        return True

    def _nodes_of(self, job: Job) -> set[str] | None:
        """Where its partitions would let it run; None where Slurm has not told."""
        told = self._screen.session.store.value("slurm.partitions")
        wanted = (job.partition or "").split(",")
        nodes = {
            node
            for part in (told if isinstance(told, list) else ())
            if isinstance(part, Partition) and part.name in wanted
            for node in part.nodes
        }
        return nodes or None

    def _to_free(self, wanted: int, nodes: set[str] | None, who: str) -> None:
        """To the card with the most free slices among those that it may have."""
        cards = [
            (count, gpu)
            for gpu in self._cards()
            if gpu.index is not None and (nodes is None or gpu.node in nodes)
            if (count := free(gpu)) is not None
        ]
        if not cards:
            self._screen.jump("gpus", "")
            self._screen.say(f"{who} waits, and of no card is known yet what is free", "warn")
            return
        count, gpu = max(cards, key=lambda pair: pair[0])
        self._screen.jump("gpus", card_name(gpu))
        self._screen.say(f"{who} waits for {wanted}: {count} of this card's slices free")

    def suggest(self) -> None:
        """Who waits for a GPU of this machine; choosing one opens the plan of its action."""
        row = self._item
        session = self._screen.session
        if row is None:
            return
        found = suggestions(row.node, session.store, session.config, time.time())
        entries = [
            Entry(str(i), str(i + 1), one.words, "", None if one.action else "only to be read",
                  note="\n".join(filter(None, (one.why, one.command))))
            for i, one in enumerate(found[:9])
        ]  # fmt: skip

        def chosen(id: str | None) -> None:
            if id is not None:
                self._screen.run_worker(self._do(found[int(id)]), exit_on_error=False, group="act")

        title = f"Who could have a GPU of {inert(row.node, 40)}"
        self._screen.app.push_screen(Menu(title, entries, words=66), chosen)

    async def _do(self, one: Suggestion) -> None:
        screen = self._screen
        try:
            action = screen.session.action(one.action, one.items, one.answer, one.changes)
        except ActionError as error:
            screen.say(inert(error), "warn")
            return
        spec = screen.lab.keys.specs.get(one.action)
        outcome = await screen.app.push_screen_wait(PlanDialog(action, spec.key if spec else ""))
        if outcome is not None:
            screen.say(outcome.message, "ok" if outcome.ok else "crit")
