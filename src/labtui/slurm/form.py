"""The fields of a job as people call them, over sbatch's options: also what pipelines may set."""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from msgspec.structs import replace

from labtui.slurm.options import OPTIONS
from labtui.slurm.script import BatchScript

Tier = Literal["always", "common", "all"]


class Field(msgspec.Struct, frozen=True):
    """One line of the form and the option of sbatch that it sets; `command` is the body."""

    id: str
    option: str
    tier: Tier
    help: str


def _fields() -> tuple[Field, ...]:
    named = {field: option for option, field in _NAMES.items()}
    found = []
    tiers: tuple[tuple[Tier, tuple[str, ...]], ...] = (("always", _ALWAYS), ("common", _COMMON))
    for tier, ids in tiers:
        for id in ids:
            option = named.get(id, id)
            found.append(Field(id, option, tier, _HELP.get(id) or OPTIONS[option].help))
    taken = {field.option for field in found}
    for option, known in OPTIONS.items():
        if option not in taken:
            found.append(Field(_NAMES.get(option, option), option, "all", known.help))
    return tuple(found)


_NAMES = {
    "job-name": "name", "gres": "gpus", "gpus": "gpus-total", "cpus-per-task": "cpus",
    "mem": "memory", "chdir": "directory", "dependency": "after", "": "command",
}  # fmt: skip
"""sbatch's option -> what the form calls it; the others have sbatch's own name."""
_ALWAYS = ("name", "partition", "gpus", "cpus", "memory", "time", "command")
_COMMON = (
    "after", "directory", "output", "error", "account", "qos", "nodes", "ntasks", "array",
    "mail-type", "mail-user", "begin", "constraint", "nodelist", "exclude", "exclusive",
    "reservation", "comment", "export", "hold", "requeue",
)  # fmt: skip
_HELP = {"command": "what runs; ctrl+e edits a longer script"}
FIELDS: tuple[Field, ...] = _fields()
FIELD: dict[str, Field] = {field.id: field for field in FIELDS}
_SAID = {field.option: field.id for field in FIELDS}


def word_of(option: str) -> str:
    """What the form calls an option of sbatch."""
    return _SAID.get(option, option)


def is_set(job: BatchScript, field: Field) -> bool:
    return bool(job.body.strip()) if field.id == "command" else field.option in job.options


_PLAIN_AFTER = re.compile(r"after(ok|any|notok|):([0-9_:+*]+)\Z")
_KINDS = {"ok": "ok", "any": "any", "notok": "failed", "": "started"}
_TYPED_AFTER = re.compile(
    r"([0-9][0-9_+*]*(?:[,: ]+[0-9][0-9_+*]*)*)(?:\s+(ok|any|failed|started))?\Z"
)


def value_of(job: BatchScript, field: Field) -> str:
    """What the field shows. A script of several lines is shown by its size."""
    if field.id == "command":
        lines = job.body.strip().splitlines()
        return f"({len(lines)} lines: ctrl+e edits)" if len(lines) > 1 else job.body.strip()
    value = job.get(field.option)
    if field.option in job.options and not value:
        return "yes"
    if field.id == "gpus" and re.fullmatch(r"gpu:[1-9][0-9]{0,8}", value):
        return value[4:]
    if field.id == "after" and (found := _PLAIN_AFTER.match(value)):
        return f"{found[2].replace(':', ',')} {_KINDS[found[1]]}"
    return value


def set_field(job: BatchScript, field: Field, text: str) -> BatchScript:
    """The job with what was typed: a bare number of GPUs, `1429 ok`, `yes` mean what they say.

    An option that stands alone takes yes and no. ScriptError where only one of these will do.
    """
    if field.id == "command":
        return replace(job, body=text)
    text = text.strip()
    option = OPTIONS[field.option]
    if option.takes != "text" and text.lower() in ("yes", "no"):
        return job.with_options({option.name: "" if text.lower() == "yes" else None})
    if not text:
        return job.with_options({option.name: None})
    if field.id == "gpus" and text.isascii() and text.isdigit() and len(text) < 10:
        text = f"gpu:{int(text)}" if int(text) else ""
    if field.id == "after" and (found := _TYPED_AFTER.match(text)):
        kinds = {word: kind for kind, word in _KINDS.items()}
        text = f"after{kinds[found[2] or 'ok']}:{':'.join(re.split('[,: ]+', found[1]))}"
    return job.with_options({option.name: text or None})
