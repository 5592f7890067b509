"""Why a job waits, for the queue's table and detail: `slurm/waiting.py` over the store's feeds."""

from __future__ import annotations

from labtui.model import Job
from labtui.slurm.usage import SHORT_QUEUE
from labtui.slurm.waiting import Context, Explained, explain_with
from labtui.spec import Cell
from labtui.store import Store

FEEDS = ("slurm.nodes", "slurm.partitions", "slurm.qos", "slurm.associations",
         "slurm.reservations", "slurm.licenses", "slurm.settings", "slurm.me")  # fmt: skip
"""What an explanation rests on beside the queue; each may be missing."""
AGED = 20.0
"""Seconds after which "until 14:20" is looked at anew though no reading came."""

_latest: tuple[tuple[object, ...], Context] | None = None
"""The last context and what it was made of: the same readings are asked for again and again."""
_told: dict[str, tuple[Job, Explained]] = {}


def look(store: Store, now: float) -> Context:
    """The cluster as the store has it now; what `drawn` rests on until the next look."""
    global _latest
    made_of = tuple(store.value(name) for name in ("slurm.jobs", *FEEDS))
    if (
        _latest is None
        or now - _latest[1].now > AGED
        or any(a is not b for a, b in zip(made_of, _latest[0], strict=True))
    ):
        me = store.value("slurm.me")
        _latest = (made_of, Context.of(store, now=now, me=me or ""))
        _told.clear()
    return _latest[1]


def drawn(job: Job) -> Explained | None:
    """For the table, by the latest look; None where the plain words will do.

    Of a row that is drawn, not of all: it may look at every job that holds something.
    """
    if job.state != "PENDING" or _latest is None or len(_latest[1].jobs) > SHORT_QUEUE:
        return None
    known = _told.get(job.job_id)
    if known is None or known[0] is not job:
        known = _told[job.job_id] = (job, explain_with(job, _latest[1]))
    return known[1]


def explained(job: Job, store: Store, now: float) -> Explained:
    """For the detail and the why-not screen."""
    return explain_with(job, look(store, now))


def lines(job: Job, store: Store, now: float) -> list[str | Cell]:
    """Beside `short`: the reason as a sentence where that says more, and what to do about it."""
    found = explained(job, store, now)
    told: list[str | Cell] = []
    if found.text and not found.text.endswith(found.short):
        told.append(Cell(found.text, "warn" if found.never else ""))
    if found.advice:
        told.append(Cell(f"to do: {found.advice}", "dim"))
    return told
