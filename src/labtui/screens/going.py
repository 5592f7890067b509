"""`:`: what a typed name may become, and where it leads."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from labtui.registry import ACTIONS, COMMANDS, SUBJECT, SUBJECTS
from labtui.slurm.values import is_task
from labtui.text import inert
from labtui.views.jobtable import JobTable

if TYPE_CHECKING:
    from labtui.screens.lab import LabScreen

OFFERED = 2000
"""Rows of a subject that are offered while a name is typed; every row can be gone to."""
_ALIASES = {
    "queue": "jobs", "job": "jobs", "j": "jobs", "squeue": "jobs", "node": "nodes", "n": "nodes",
    "sinfo": "nodes", "gpu": "gpus", "shares": "gpus", "g": "gpus", "v": "vault", "mlflow": "runs",
    "experiments": "runs", "exp": "runs", "run": "runs", "partition": "partitions",
    "sprio": "fairshare", "sshare": "fairshare", "reservation": "reservations",
}  # fmt: skip


class Going:
    """Screens, rows and commands by their names."""

    def __init__(self, screen: LabScreen, run: Callable[[str], None]) -> None:
        self._screen, self._run = screen, run

    def names(self, most: int | None = OFFERED) -> list[tuple[str, str]]:
        """(subject, row key) of the rows that can be gone to by name; `most` of a subject."""
        session = self._screen.session
        now = time.time()
        found: list[tuple[str, str]] = []
        for spec in SUBJECTS:
            rows = spec.rows(session.store, session.config, now)
            keys = rows.keys() if isinstance(rows, JobTable) else map(spec.row_key, rows)
            found += [(spec.name, key) for key in islice(keys, most)]
        return found

    def complete(self, text: str) -> list[str]:
        """What `text` could become, best first."""
        from rapidfuzz import fuzz, process  # late: not needed for the first frame

        words = [*(s.name for s in SUBJECTS), *_ALIASES, "theme ", "quit", "help", "sources"]
        words += [inert(key) for _, key in self.names()]
        if text.startswith("theme "):
            words = [f"theme {t}" for t in self._screen.app.available_themes]
        starts = [w for w in words if w.startswith(text)]
        near = process.extract(text, words, scorer=fuzz.WRatio, limit=8, score_cutoff=60)
        return list(dict.fromkeys([*starts, *(w for w, _, _ in near)]))

    def go(self, text: str) -> None:
        """To the screen or row of that name, or do the command; says where there is none."""
        text = text.strip()
        word, _, rest = text.partition(" ")
        if word == "theme":
            problem = self._screen.lab.use_theme(rest.strip())
            if problem:
                self._screen.say(problem, "warn")
            return
        subject = _ALIASES.get(word, word)
        if subject in SUBJECT:
            self._screen.show(subject)
            if rest:
                self._screen.set_filter(rest)
            return
        if word in ("q", "quit", "exit"):
            self._screen.app.exit(None)
            return
        for spec in (*ACTIONS, *COMMANDS):
            if word in (spec.id, spec.words):
                self._run(spec.id)
                return
        for name, key in self.names(None):
            if inert(key) == text:
                self._screen.frame.unsay()
                self._screen.goto(name, key)
                return
        if (row := self._job_row(text)) is not None:
            self._screen.frame.unsay()
            self._screen.goto("jobs", row)
            if is_task(text) and not is_task(row):
                self._screen.say(f"{inert(text, 40)} waits in this row: actions take all of it")
            return
        near = self.complete(text)
        hint = f"; did you mean {near[0]}?" if near else ""
        self._screen.say(f"nothing is called {inert(text, 40)!r}{hint}", "warn")

    def _job_row(self, job_id: str) -> str | None:
        """The row of an array, or that of a task that waits with others: they have other names."""
        session = self._screen.session
        spec = SUBJECT["jobs"]
        table = spec.rows(session.store, session.config, time.time())
        if not isinstance(table, JobTable):
            return None
        apart = session.config.slurm.tasks or self._screen.views["jobs"].tree
        return table.leads_to(job_id, apart=apart)
