"""How the settings of a partition are written, and what they may be set to."""

from __future__ import annotations

from typing import Any

from labtui.slurm import fields, values
from labtui.slurm.constants import UNLIMITED
from labtui.slurm.served import LIMIT, Kind, none
from labtui.slurm.utils.helpers import dehumanize

_STATES = ("UP", "DOWN", "INACTIVE", "DRAIN")
_PREEMPT = frozenset({"OFF", "CANCEL", "REQUEUE", "SUSPEND", "GANG", "WITHIN", "PRIORITY"})


def as_state(state: Any) -> str:
    """A state in capitals. ValueError for one that Slurm does not have."""
    word = str(state).upper()
    if word not in _STATES:
        raise ValueError(
            f"Invalid partition state: {state}, valid choices are {', '.join(_STATES)}"
        )
    return word


def as_preempt_mode(mode: Any) -> str | None:
    """`SUSPEND,GANG`. ValueError for a mode that Slurm does not have."""
    words = str(mode or "").upper().split(",")
    if mode and not set(words) <= _PREEMPT:
        raise ValueError(f"Invalid Preempt mode: {mode}")
    return ",".join(words) or None


def as_oversubscribe(kind: Any) -> str | None:
    """`NO`, `EXCLUSIVE`, `YES:4`, `FORCE:2`; 4 jobs where no number is given."""
    word, _, jobs = str(kind).upper().partition(":")
    if word in ("NO", "EXCLUSIVE"):
        return word
    return f"{word}:{int(jobs or 4)}" if word in ("YES", "FORCE") else None


def _memory_text(value: str) -> int | str | None:
    return UNLIMITED if value.upper() == UNLIMITED else values.mib(value) or None


def _memory(value: Any) -> int | str | None:
    """MiB; 0 in place of a number a node is no limit."""
    if isinstance(value, int) and value < 0:
        return None
    found: int | str | None = fields.num(value, UNLIMITED)
    return UNLIMITED if found == 0 else found


def _states(value: Any) -> str:
    word = next(iter(fields.states(value)), "")
    return word if word in _STATES else "UNKNOWN"


def _modes(value: Any) -> str | None:
    """`CLUSTER_GLOBAL`: the partition has none of its own, and this document does not tell the
    cluster's."""
    words = [
        {"DISABLED": "OFF", "GANG_SCHEDULE": "GANG"}.get(word, word)
        for word in fields.states(value)
    ]
    return ",".join(w for w in words if w != "CLUSTER_GLOBAL") or None


def nodes_limit(value: Any) -> int | str | None:
    return UNLIMITED if value == -1 else fields.limit(value)


def chosen(value: Any) -> list[str]:
    return [word for word in fields.words(value) if word != "NONE"]


def default_of(name: str) -> Kind[int | None]:
    def find(value: str) -> int | None:
        known = dict(part.partition("=")[::2] for part in value.split(","))
        return values.whole(known.get(name, ""))

    return Kind(find, lambda v: find(v) if isinstance(v, str) else None, none)


MEMORY: Kind[int | str | None] = Kind(_memory_text, _memory, none)
STATE: Kind[str] = Kind(_states, _states, lambda: "UNKNOWN")
MODE: Kind[str | None] = Kind(values.text, _modes, none)
SHARED: Kind[str | None] = Kind(
    as_oversubscribe, lambda v: as_oversubscribe(v) if v else None, none
)
SPAN: Kind[int | str | None] = Kind(LIMIT.text, nodes_limit, none)
CHOSEN: Kind[list[str]] = Kind(chosen, chosen, list)


def as_per_gpu(value: Any) -> int | None:
    found: int | None = dehumanize(value)
    return found


ROOT: Kind[bool | None] = Kind(
    lambda v: None if (no := fields.flag(v)) is None else not no,
    fields.flag,
    none,
    lambda v: "NO" if v else "YES",
)
"""DisableRootJobs, the other way round."""
