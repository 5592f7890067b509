"""Changes to a job as `scontrol update` takes them."""

from __future__ import annotations

from labtui.slurm.constants import INFINITE, UNLIMITED
from labtui.slurm.core.job import forms
from labtui.slurm.core.job.submission import Asked, JobSubmitDescription, Switch, _yes
from labtui.slurm.core.job.util import shared_type_str_to_int

time_limit = forms.time_limit

_IGNORED = frozenset({"script", "script_args"})


def assignments(changes: JobSubmitDescription) -> list[str]:
    """`TimeLimit=60` for every attribute that is set.

    ValueError where there is nothing to change, or something that scontrol cannot change.
    """
    found = []
    for name, field in changes._fields.items():
        value = getattr(changes, name)
        if value is None or name in _IGNORED or not isinstance(field, Asked):
            continue
        if not field.update:
            raise ValueError(f"{name} of a job cannot be changed once it is submitted")
        found.append(f"{field.update}={_text(name, field, value)}")
    if not found:
        raise ValueError("nothing to change: no attribute is set")
    return found


def _text(name: str, field: Asked, value: object) -> str:
    if isinstance(field, Switch):
        return "1" if _yes(value) else "0"
    if name == "priority" and value in (INFINITE, UNLIMITED):
        return str(INFINITE)
    if name == "resource_sharing":
        return {0: "no", 1: "yes", 2: "user", 3: "mcs", 4: "topo"}[
            shared_type_str_to_int(str(value))
        ]
    return field.form(value)
