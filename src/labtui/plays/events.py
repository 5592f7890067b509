"""What a run of ansible-playbook told, typed. The callback plugin beside the playbooks says it."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from labtui.text import inert, inert_lines

Status = Literal["ok", "changed", "failed", "skipped", "unreachable", "ignored"]
_STATUSES = ("ok", "changed", "failed", "skipped", "unreachable", "ignored")
LINE = 1 << 18
"""Bytes of one line that are read; longer ones are dropped."""
RESULTS = 20_000
"""Results that are kept of one run."""


class Began(msgspec.Struct, frozen=True):
    pid: int
    """Also its process group."""


class PlayBegan(msgspec.Struct, frozen=True):
    name: str


class TaskBegan(msgspec.Struct, frozen=True):
    name: str


class Result(msgspec.Struct, frozen=True):
    host: str
    task: str
    status: Status
    message: str = ""
    diff: tuple[str, ...] = ()
    """Inert lines, as diff -u has them."""
    hidden: bool = False
    """It handles secrets: nothing more is told of it."""


class Ended(msgspec.Struct, frozen=True):
    pass


Event = Began | PlayBegan | TaskBegan | Result | Ended


def parse(line: bytes) -> Event | None:
    """One line as an event; None for anything else, which other programs may have printed."""
    if len(line) > LINE or not line.startswith(b"{"):
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    match told.get("event"):
        case "begin":
            pid = told.get("pid")
            return Began(pid) if isinstance(pid, int) and 1 < pid < 1 << 31 else None
        case "play":
            return PlayBegan(inert(told.get("name") or "", 200))
        case "task":
            return TaskBegan(inert(told.get("name") or "", 200))
        case "result":
            return _result(told)
        case "end":
            return Ended()
    return None


def _result(told: dict[str, Any]) -> Result | None:
    status = told.get("status")
    if status not in _STATUSES:
        return None
    diff = told.get("diff")
    lines = inert_lines(diff.rstrip("\n")) if isinstance(diff, str) and diff else []
    return Result(
        host=inert(told.get("host") or "", 200),
        task=inert(told.get("task") or "", 200),
        status=status,
        message=inert(told.get("message") or "", 2000),
        diff=tuple(lines),
        hidden=told.get("hidden") is True,
    )


class HostReport(msgspec.Struct):
    """What was done on one machine."""

    name: str
    ok: int = 0
    """Tasks that found it as it should be."""
    changed: list[Result] = msgspec.field(default_factory=list)
    skipped: int = 0
    failed: Result | None = None
    """What stopped it here: failed or unreachable."""

    @property
    def state(self) -> str:
        if self.failed is None:
            return "changed" if self.changed else "ok"
        return self.failed.status


class Report(msgspec.Struct):
    """A whole run; it grows while the events come in."""

    hosts: dict[str, HostReport] = msgspec.field(default_factory=dict)
    task: str = ""
    """The one that is under way, or was."""
    pid: int = 0
    ended: bool = False
    """ansible-playbook came to its own end; not: was killed, or died."""
    rc: int | None = None
    said: str = ""
    """What it said beside its events, for when there are none: the end of stderr, inert."""
    results: int = 0

    def take(self, event: Event) -> None:
        match event:
            case Began(pid):
                self.pid = pid
            case TaskBegan(name):
                self.task = name
            case Ended():
                self.ended = True
            case Result():
                self._take(event)

    def _take(self, result: Result) -> None:
        self.results += 1
        if self.results > RESULTS or (result.host not in self.hosts and len(self.hosts) > 2000):
            return
        host = self.hosts.setdefault(result.host, HostReport(result.host))
        match result.status:
            case "ok" | "ignored":
                host.ok += 1
            case "changed":
                host.changed.append(result)
            case "skipped":
                host.skipped += 1
            case "failed" | "unreachable":
                host.failed = result

    @property
    def good(self) -> bool:
        """It ran to its end, and nothing failed anywhere."""
        return self.ended and bool(self.hosts) and not self.failures

    @property
    def failures(self) -> list[HostReport]:
        return [host for host in self.hosts.values() if host.failed is not None]

    @property
    def changes(self) -> int:
        return sum(len(host.changed) for host in self.hosts.values())

    def left(self) -> str:
        """What state it leaves behind when it did not come to its end: one sentence."""
        done = [f"{h.name} {len(h.changed)}" for h in self.hosts.values() if h.changed]
        at = f"stopped in {self.task!r}" if self.task else "stopped before the first task"
        what = f"changes made until then: {', '.join(done)}" if done else "nothing was changed"
        return f"{at}; {what}; a task that had begun may still end on its machine"
