"""A playbook as an action: its preview is the plan, a second look and its own check the proof."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.config import Config
from labtui.plays import run as runs
from labtui.plays.catalogue import Book
from labtui.plays.events import Event, HostReport, Report, Result, TaskBegan
from labtui.plays.inventory import PlayError
from labtui.text import inert

PREVIEW_LINES = 400


class PlayAction(Action):
    """Apply a playbook to machines, or undo it there."""

    id = "play.apply"
    run_timeout = runs.TIMEOUT + 30.0
    read_timeout = 240.0

    def __init__(
        self,
        config: Config,
        book: Book,
        hosts: Sequence[str],
        *,
        undo: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        if undo and book.undo is None:
            raise ActionError(f"{book.name} has no undo: {book.name}.undo.yml is not there")
        self.config = config
        self.book = book
        self.hosts = list(hosts)
        self.undo = undo
        self.variables = dict(variables or {})
        if undo:
            self.id = "play.undo"
        self.seen: Report | None = None
        """The preview."""
        self.report: Report | None = None
        """The run itself."""

    @property
    def playbook(self) -> Path:
        return self.book.undo if self.undo and self.book.undo else self.book.path

    async def preview(self) -> Report:
        """What would change, asked once. Raises ActionError where it cannot be told."""
        if self.seen is None:
            report = await self._play(self.playbook, check=True)
            if not report.ended:
                raise ActionError(f"{self.book.name}: no preview: {_why(report)}")
            self.seen = report
        return self.seen

    async def plan(self) -> Plan:
        report = await self.preview()
        ready = [h for h in report.hosts.values() if h.failed is None]
        if not ready:
            first = next(iter(report.failures), None)
            said = _failure(first) if first else _why(report)
            away = first and all(h.state == "unreachable" for h in report.failures)
            raise ActionError(f"{self.book.name}: it can be done on none of them: {said}",
                              "unreachable" if away else "")  # fmt: skip
        verb = "Undo" if self.undo else "Apply"
        return Plan(
            title=f"{verb} {self.book.name} on {_names(self.hosts)}: {self.book.title}",
            targets=tuple(self.hosts),
            steps=(
                Step("here", f"ansible-playbook --diff {self.playbook.name}"),
                *(Step(h.name, _summary(h)) for h in report.hosts.values()),
                *self.more_steps(),
            ),
            risks=(*(f"{_failure(h)}: nothing is done there" for h in report.failures),
                   *self.risks()),
            undo=self.undo_words(),
            dangerous=self.undo,
            confirm_word=self.book.name if self.undo else "",
            preview="\n".join(diff_lines(report)),
            whole=True,
        )  # fmt: skip

    def more_steps(self) -> tuple[Step, ...]:
        return ()

    def risks(self) -> tuple[str, ...]:
        return ()

    def undo_words(self) -> str:
        if self.undo:
            return f"labtui play apply {self.book.name}"
        return f"labtui play undo {self.book.name}" if self.book.undo else "it has none"

    async def run(self, progress: Progress) -> None:
        if self.seen is not None and self.seen.good and not self.seen.changes:
            progress("nothing has to be changed")
            self.report = self.seen
            return
        self.report = await self.perform(progress)
        if not self.report.ended:
            if "not done within" in self.report.said:
                raise Unknown(f"{self.report.said}: {self.report.left()}")
            raise ActionError(f"{_why(self.report)}: {self.report.left()}")

    async def perform(self, progress: Progress) -> Report:
        return await self._play(self.playbook, progress=progress)

    async def verify(self) -> Outcome:
        """A second look has to change nothing, and the playbook's own check to be content."""
        failed = {h.name: _failure(h) for h in self.report.failures} if self.report else {}
        left = [name for name in self.hosts if name not in failed]
        if not left:
            return Outcome("failed", "; ".join(failed.values()), self._details(failed))
        # Where nothing was done, the preview has looked a moment ago.
        looked = self.report is not None and self.report is self.seen
        again = Report(ended=True) if looked else await self._look_again(left)
        for host in again.hosts.values():
            if host.failed is not None:
                failed[host.name] = _failure(host)
            elif host.changed:
                failed[host.name] = f"{host.name}: a second look would change {_tasks(host)}"
        if not again.ended:
            return Outcome("unknown", f"the second look: {_why(again)}", self._details(failed))
        left = [name for name in left if name not in failed]
        if left and self.book.verify and not self.undo:
            checked = await self._play(self.book.verify, hosts=left)
            failed |= {h.name: _failure(h) for h in checked.failures}
            if not checked.ended:
                return Outcome("unknown", f"its check: {_why(checked)}", self._details(failed))
        return self._outcome(failed)

    async def _look_again(self, hosts: Sequence[str]) -> Report:
        return await self._play(self.playbook, check=True, hosts=hosts)

    def _outcome(self, failed: Mapping[str, str]) -> Outcome:
        good = [name for name in self.hosts if name not in failed]
        if failed:
            done = f"; done on {_names(good)}" if good else ""
            return Outcome("failed", "; ".join(failed.values()) + done, self._details(failed))
        changes = self.report.changes if self.report else 0
        what = "undone" if self.undo else "in place and checked"
        made = f"{changes} changes" if changes else "nothing had to be changed"
        return Outcome("done", f"{self.book.name} is {what} on {_names(good)}: {made}",
                       self._details(failed))  # fmt: skip

    def _details(self, failed: Mapping[str, str]) -> dict[str, str]:
        hosts = self.report.hosts if self.report else {}
        return {
            name: failed.get(name) or (f"{len(hosts[name].changed)} changes" if name in hosts
                                       else "unknown")
            for name in self.hosts
        }  # fmt: skip

    def interrupted(self) -> str:
        return self._running.left() if self._running else super().interrupted()

    _running: Report | None = None

    async def _play(
        self,
        playbook: Path,
        *,
        check: bool = False,
        hosts: Sequence[str] | None = None,
        progress: Progress | None = None,
        handed: int = -1,
    ) -> Report:
        """Raises ActionError where it cannot be started."""
        follower = _Follower(progress) if progress else None
        self._running = report = Report()

        def event(told: Event) -> None:
            report.take(told)
            if follower is not None:
                follower(told)

        try:
            async with runs.prepared(
                self.config, playbook, self.hosts if hosts is None else hosts, check=check,
                extra=self.variables, handed=handed,
            ) as ready:  # fmt: skip
                return await runs.run(ready, event)
        except PlayError as error:
            raise ActionError(str(error)) from None
        except asyncio.CancelledError:
            if progress is not None:
                progress(report.left())
            raise
        except OSError as error:
            raise ActionError(f"a play cannot be prepared here: {error.strerror}") from None


class _Follower:
    """Progress for a person: each task once, and what did not go well."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, event: Event) -> None:
        if isinstance(event, TaskBegan):
            self._progress(event.name)
        elif isinstance(event, Result) and event.status in ("failed", "unreachable"):
            self._progress(f"{event.host}: {event.status}: {event.message or event.task}")


def memory() -> int:
    """A file in memory without a name; whoever knows /proc/PID/fd/N and is us may write to it."""
    return os.memfd_create("handed", os.MFD_CLOEXEC)


def diff_lines(report: Report) -> list[str]:
    """What would change: each task's difference once, with the machines that have the same."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for host in report.hosts.values():
        for result in host.changed:
            groups.setdefault((result.task, result.diff), []).append(host.name)
    lines: list[str] = []
    for (task, diff), names in groups.items():
        lines += [f"{task}: {', '.join(names)}", *(f"  {line}" for line in diff)]
    if len(lines) > PREVIEW_LINES:
        lines = [*lines[:PREVIEW_LINES], f"... and {len(lines) - PREVIEW_LINES} more lines"]
    return lines


def _summary(host: HostReport) -> str:
    if host.failed is not None:
        return f"{host.state}: {host.failed.message or host.failed.task}"
    return f"{len(host.changed)} changes: {_tasks(host)}" if host.changed else "nothing to change"


def _tasks(host: HostReport) -> str:
    return "; ".join(result.task for result in host.changed)


def _failure(host: HostReport) -> str:
    if host.failed is None:
        return host.name
    if host.failed.status == "unreachable":
        return f"{host.name} is unreachable: {inert(host.failed.message, 200)}"
    return f"{host.name}: {host.failed.task}: {inert(host.failed.message, 300) or 'it failed'}"


def _why(report: Report) -> str:
    if report.said:
        return inert(report.said[-400:], 400)
    if report.rc is not None and report.rc < 0:
        return f"ansible-playbook was killed by signal {-report.rc}"
    return f"ansible-playbook ended with {report.rc}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} machines"
