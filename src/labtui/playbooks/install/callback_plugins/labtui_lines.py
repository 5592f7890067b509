"""What happens in a run, as one JSON object a line on stdout: what labtui reads.

plays/events.py has the other side. Of a task with no_log nothing is told but its status.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: labtui_lines
    type: stdout
    short_description: JSON lines for labtui
    description:
        - One JSON object a line for each play, task, result and for the end.
"""

MESSAGE, DIFF = 2000, 16000
"""Characters that are told of one result."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "labtui_lines"

    def _say(self, event: str, **fields: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        # A labtui that is killed can neither stop this any more nor tell what it did.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        self._say("begin", pid=os.getpid())

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._say("play", name=str(play.get_name())[:200])

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._say("task", name=str(task.get_name())[:200])

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._say("task", name=str(task.get_name())[:200])

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._say("end", hosts={host: stats.summarize(host) for host in stats.processed})

    def _result(self, result: Any, status: str) -> None:
        told = result.result
        hidden = bool(result.task.no_log) or "censored" in told or told.get("_ansible_no_log")
        diff = "" if hidden else self._changes(told)
        self._say(
            "result",
            host=str(result.host.get_name())[:200],
            task=str(result.task.get_name())[:200],
            status=status,
            message="" if hidden or status in ("ok", "skipped") else _message(told),
            diff=diff[:DIFF],
            hidden=bool(hidden),
        )

    def _changes(self, told: Any) -> str:
        items = told.get("results") or [told]
        parts = [
            self._get_diff(item["diff"])
            for item in items
            if isinstance(item, dict) and item.get("diff") and item.get("changed")
        ]
        return "".join(parts)


def _message(told: Any) -> str:
    """What went wrong, or what a task that only tells something tells."""
    items = [item for item in told.get("results") or [] if isinstance(item, dict)]
    bad = [item for item in items if item.get("failed") or item.get("unreachable")]
    said = (bad or [told])[0]
    text = " ".join(
        str(said.get(key) or "").strip() for key in ("msg", "stderr", "module_stderr")
    ).strip()
    return text[:MESSAGE]
