"""From a key to what it does on the main screen."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from labtui.model import ArrayJob
from labtui.registry import COMMANDS, SUB_VIEWS, SUBJECT, SUBJECTS
from labtui.screens.acting import Acting
from labtui.screens.ask import Ask
from labtui.screens.going import Going
from labtui.screens.lookups import Lookups
from labtui.spec import ActionSpec
from labtui.text import inert
from labtui.views import fairshare
from labtui.widgets.lines import Span

if TYPE_CHECKING:
    from labtui.screens.ceremony import CeremonyCommands
    from labtui.screens.gpus import GpuCommands
    from labtui.screens.lab import LabScreen
    from labtui.screens.queue import QueueCommands
    from labtui.screens.vaultpages import VaultCommands


class Commands:
    """What the main screen can be told to do. Holds no state of its own."""

    def __init__(self, screen: LabScreen) -> None:
        self.screen = screen
        self.going = Going(screen, self.run)
        self.acting = Acting(screen)
        self.lookups = Lookups(self)
        self._do: dict[str, Callable[[], object]] = {
            "show.detail": self.lookups.detail,
            "show.actions": self.lookups.menu,
            "filter": self.filter,
            "command": lambda: screen.query_one(Ask).open(":"),
            "palette": self.lookups.palette,
            "sort": screen.sort_next,
            "sort.reverse": self.reverse,
            "columns": lambda: screen.run_worker(self.columns(), exit_on_error=False, group="act"),
            "fold": self.fold,
            "tree": self.tree,
            "mark": self.mark,
            "copy": self.copy,
            "refresh": self.refresh,
            "redraw": lambda: screen.refresh(layout=True),
            "sources": self.lookups.sources,
            "help": self.lookups.help,
            "quit": lambda: screen.app.exit(None),
            "queue.submit": lambda: self.queue.submit(None),
            "queue.edit": lambda: self.queue.resubmit(),
            "queue.after": lambda: self.queue.submit_after(),
            "queue.pipeline": lambda: self.queue.pipeline(),
            "queue.log": lambda: self.queue.log(),
            "queue.why": lambda: self.queue.page("queue.why"),
            "queue.script": lambda: self.queue.page("queue.script"),
            "queue.efficiency": lambda: self.queue.page("queue.efficiency"),
            "queue.views": self.next_view,
            "queue.next_view": self.next_view,
            "queue.only": self.only,
            "gpus.views": self.next_view,
            "vault.agents": self.next_view,
            "gpus.next_view": self.next_view,
            "gpus.follow": lambda: self.gpus.follow(),
            "gpus.card": lambda: self.gpus.card(),
            "gpus.of_job": lambda: self.gpus.of_job(),
            "gpus.suggest": lambda: self.gpus.suggest(),
            "vault.rotate": lambda: self.vaults.secret("vault.rotate"),
            "vault.rollback": lambda: self.vaults.secret("vault.rollback"),
            "vault.token": lambda: self.vaults.page("vault.token"),
            "vault.audit": lambda: self.vaults.page("vault.audit"),
            **{
                id: partial(self._ceremony, id)
                for id in (
                    "vault.init",
                    "vault.rekey",
                    "vault.generate-root",
                    "vault.snapshot",
                    "vault.restore",
                )
            },
            "nodes.shell": self.shell,
        }
        for spec in SUBJECTS:
            self._do[f"go.{spec.name}"] = partial(screen.show, spec.name)

    @cached_property
    def queue(self) -> QueueCommands:
        """Those that open screens of one job; imported when the first is used."""
        from labtui.screens.queue import QueueCommands

        return QueueCommands(self)

    @cached_property
    def gpus(self) -> GpuCommands:
        """Those between cards and who holds them; imported when the first is used."""
        from labtui.screens.gpus import GpuCommands

        return GpuCommands(self)

    @cached_property
    def vaults(self) -> VaultCommands:
        """Those on Vault's token, audit devices and secrets; imported when the first is used."""
        from labtui.screens.vaultpages import VaultCommands

        return VaultCommands(self)

    def _ceremony(self, id: str) -> None:
        self.ceremonies.run(id)

    @cached_property
    def ceremonies(self) -> CeremonyCommands:
        """Those that ask by a form first: ceremonies and snapshots; imported when one is used."""
        from labtui.screens.ceremony import CeremonyCommands

        return CeremonyCommands(self)

    # Which ones there are, here and now

    @property
    def item(self) -> Any:
        return self.screen.table.cursor_item

    def targets(self, spec: ActionSpec) -> list[Any]:
        """The marked rows where the action takes many, else the row under the cursor."""
        if spec.many:
            return self.screen.table.chosen()
        return [self.item] if self.item is not None else []

    def available(self) -> list[ActionSpec]:
        """The actions of this subject; under read-only those that change something are gone."""
        read_only = self.screen.session.runner.read_only
        return [
            s for s in self.screen.lab.keys.of(self.screen.current) if not (read_only and s.changes)
        ]

    def why_not(self, spec: ActionSpec) -> str | None:
        if spec.disabled is None:
            return None
        items = self.targets(spec)
        if not items:
            return None if spec.id == "queue.submit" else "no row is chosen"
        reasons = [spec.disabled(item) for item in items]
        return reasons[0] if all(reasons) else None

    def footer(self, width: int) -> list[Span]:
        """As many keys as fit; help and quit always do."""
        keys = self.screen.lab.keys
        tail = [s for s in COMMANDS if s.id in ("help", "quit")]
        specs = [s for s in self.available() if s.footer]
        specs += [s for s in COMMANDS if s.footer and s not in tail]
        first = [s for s in specs if s.id == "show.detail"]
        specs = first + [s for s in specs if s not in first]
        behind = self.screen.came_from or self.screen.view.spec.parent
        back = _hint("esc", SUBJECT[behind].title.lower()) if behind else []
        room = width - 1 - sum(len(keys.key(s.id)) + len(s.words) + 3 for s in tail)
        room -= sum(len(text) for text, _ in back)
        spans: list[Span] = []
        for spec in specs:
            size = len(keys.key(spec.id)) + len(spec.words) + 3
            if size > room:
                continue
            room -= size
            off = self.why_not(spec) is not None
            spans += _hint(keys.key(spec.id), spec.words, dim=off)
        for spec in tail:
            spans += _hint(keys.key(spec.id), spec.words)
        return back + spans

    # Doing them

    def run(self, id: str) -> None:
        screen = self.screen
        spec = screen.lab.keys.specs.get(id)
        if spec is None:
            return
        if spec.changes and screen.session.runner.read_only:
            screen.say(f"{screen.session.config.cluster.name} is read-only here", "warn")
            return
        reason = self.why_not(spec)
        if reason:
            screen.say(f"{spec.words}: {reason}", "warn")
            return
        if id in self._do:
            self._do[id]()
            return
        acting = self.acting.act(spec, self.targets(spec))
        screen.run_worker(acting, exit_on_error=False, group="act")

    def next_view(self) -> None:
        """From a subject to the first closer look at it, and from one of them to the next."""
        current = self.screen.current
        views = SUB_VIEWS[self.screen.view.spec.parent or current]
        at = views.index(current) + 1 if current in views else 0
        self.screen.show(views[at % len(views)])

    def only(self) -> None:
        """The queue, filtered by the partition, QoS, account or user of this row."""
        item, subject = self.item, self.screen.current
        if item is None:
            return
        if subject == "fairshare":
            text = fairshare.only(item, self.screen.session.store.value("slurm.shares") or ())
        else:
            text = f"{'qos' if subject == 'qos' else 'partition'}:={inert(item.name, 60)}"
        self.screen.show(self.screen.view.spec.parent)
        self.screen.set_filter(text)

    def reverse(self) -> None:
        self.screen.view.reverse = not self.screen.view.reverse
        self.screen.remember()
        self.screen.rearrange()

    def filter(self) -> None:
        screen = self.screen
        earlier = screen.session.tables.subject(screen.current).filters
        screen.query_one(Ask).open("/", screen.view.filter, earlier)

    async def columns(self) -> None:
        screen = self.screen
        view, width = screen.view, screen.table.size.width
        from labtui.screens.columns import (
            ColumnChooser,
        )  # late, as are all screens that are asked for

        chooser = ColumnChooser(view.spec.columns, view.chosen_columns(), width)
        chosen = await screen.app.push_screen_wait(chooser)
        if chosen is not None:
            screen.set_columns(chosen)

    def fold(self) -> None:
        """The array of the row under the cursor; its first row then has the cursor."""
        view, item = self.screen.view, self.item
        array = item.job_id.partition("_")[0] if item is not None else ""
        if not isinstance(item, ArrayJob) and array not in view.unfolded:
            self.screen.say("no folded array: it has one row", "warn")
            return
        view.unfolded ^= {array}
        self.screen.table.move_to(array)
        self.screen.rearrange()

    def tree(self) -> None:
        self.screen.view.tree = not self.screen.view.tree
        self.screen.rearrange()

    def mark(self) -> None:
        self.screen.view.moved = True  # the cursor goes on to the next row, and stays there
        self.screen.table.action_mark()
        self.screen.frame.draw_title()

    def copy(self) -> None:
        if self.item is None:
            return
        text = inert(self.screen.view.spec.row_key(self.item))
        self.screen.app.copy_to_clipboard(text)
        self.screen.say(f"sent to your terminal's clipboard: {inert(text, 60)}")

    def refresh(self) -> None:
        self.screen.session.scheduler.refresh()
        self.screen.say("asking every source")

    def shell(self) -> None:
        host = self.screen.session.hosts.get(getattr(self.item, "name", ""))
        if host is None:
            self.screen.say("this node has no transport in the config", "warn")
            return
        self.screen.run_worker(self._hand_over(host.shell_argv()), exit_on_error=False)

    async def _hand_over(self, argv: list[str]) -> None:
        try:
            rc = await self.screen.lab.hand_over(argv)
            self.screen.say(f"{os.path.basename(argv[0])} ended with {rc}")  # noqa: PTH119
        except OSError as error:
            self.screen.say(f"{shlex.join(argv)[:60]}: {error.strerror}", "warn")


def _hint(key: str, words: str, dim: bool = False) -> list[Span]:
    return [(f" {key} ", "dim" if dim else "accent"), (f"{words} ", "dim" if dim else "")]
