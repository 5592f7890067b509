"""What a drill did and found, step by step: printed as it happens, and kept as evidence."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from labtui.lab.layout import Lab, Say
from labtui.lab.system import write


class Step(msgspec.Struct, frozen=True):
    """One thing that was done or looked at."""

    at_s: float
    """Seconds since the drill began, when it was over."""
    took_s: float
    what: str
    """The sentence that should hold."""
    found: str
    """What was seen."""
    ok: bool


class Record(msgspec.Struct):
    """One drill of one lab. No secret is ever put into it."""

    lab: Lab
    drill: str
    say: Say
    steps: list[Step] = msgspec.field(default_factory=list)
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """More of what was seen, for the evidence alone."""
    began: float = msgspec.field(default_factory=time.monotonic)
    started_at: str = msgspec.field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds")
    )

    @property
    def passed(self) -> bool:
        """Every step was as it should be, and there was one."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def step(self, what: str, found: str, ok: bool = True) -> None:
        """Write down the step that has just ended."""
        at = time.monotonic() - self.began
        took = at - (self.steps[-1].at_s if self.steps else 0.0)
        self.steps.append(Step(round(at, 2), round(took, 2), what, found, ok))
        with contextlib.suppress(OSError):  # who reads along may have gone: `... | head`
            self.say(f"{at:6.1f} s  {'ok  ' if ok else 'FAIL'}  {what}: {found}")

    def save(self) -> Path:
        """Write the evidence, for root alone; the file."""
        document = {
            "schema": "labtui/drill/1",
            "drill": self.drill,
            "lab": self.lab.name,
            "suite": self.lab.suite,
            "started_at": self.started_at,
            "took_s": round(time.monotonic() - self.began, 2),
            "passed": self.passed,
            **self.facts,
            "steps": [asdict(step) for step in self.steps],
        }
        stamp = self.started_at[:19].replace(":", "").replace("-", "")
        path = self.lab.evidence / f"{self.drill}-{stamp}.json"
        write(path, json.dumps(document, indent=1) + "\n", 0o600)
        return path
