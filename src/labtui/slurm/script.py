"""Batch scripts: a description to `#SBATCH` lines and back."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields, replace
from typing import Any

from labtui.slurm import values

TOKEN_PREFIX = "labtui:"
"""A submission's own mark in its job's comment: `labtui:3f9c...`."""
PRIVATE_COMMENT = re.compile(r"(?:^| )labtui:[0-9a-f]+(?= |$)")


class ScriptError(ValueError):
    """A field that cannot be sent: its name, what is wrong with it, what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


# Attribute (PySlurm's name) -> sbatch's long option. A bool is an option without a value.
OPTIONS: dict[str, str] = {
    "name": "job-name", "partitions": "partition", "account": "account", "qos": "qos",
    "reservations": "reservation", "nodes": "nodes", "ntasks": "ntasks",
    "ntasks_per_node": "ntasks-per-node", "cpus_per_task": "cpus-per-task",
    "memory_per_node": "mem", "memory_per_cpu": "mem-per-cpu", "gres_per_node": "gres",
    "gpus": "gpus", "time_limit": "time", "array": "array", "dependencies": "dependency",
    "begin_time": "begin", "deadline": "deadline", "constraints": "constraint",
    "required_nodes": "nodelist", "excluded_nodes": "exclude", "licenses": "licenses",
    "working_directory": "chdir", "standard_output": "output", "standard_error": "error",
    "mail_user": "mail-user", "mail_types": "mail-type", "nice": "nice", "comment": "comment",
    "resource_sharing": "exclusive", "is_requeueable": "requeue", "environment": "export",
}  # fmt: skip
SHORT = {
    "J": "job-name", "p": "partition", "A": "account", "q": "qos", "N": "nodes", "n": "ntasks",
    "c": "cpus-per-task", "G": "gpus", "t": "time", "a": "array", "d": "dependency", "b": "begin",
    "C": "constraint", "w": "nodelist", "x": "exclude", "L": "licenses", "D": "chdir",
    "o": "output", "e": "error", "H": "hold", "i": "input",
}  # fmt: skip
_BARE = frozenset({"exclusive", "requeue", "hold", "no-requeue", "contiguous", "overcommit"})
"""Options that may stand without a value."""


@dataclass(frozen=True, slots=True)
class BatchScript:
    """What a person asks for, as text as sbatch takes it; empty: not asked for."""

    name: str = ""
    partitions: str = ""
    account: str = ""
    qos: str = ""
    reservations: str = ""
    nodes: str = ""
    ntasks: str = ""
    ntasks_per_node: str = ""
    cpus_per_task: str = ""
    memory_per_node: str = ""
    memory_per_cpu: str = ""
    gres_per_node: str = ""
    """`gpu:2`; a bare number is that many GPUs."""
    gpus: str = ""
    time_limit: str = ""
    array: str = ""
    dependencies: str = ""
    begin_time: str = ""
    deadline: str = ""
    constraints: str = ""
    required_nodes: str = ""
    excluded_nodes: str = ""
    licenses: str = ""
    working_directory: str = ""
    standard_output: str = ""
    standard_error: str = ""
    mail_user: str = ""
    mail_types: str = ""
    nice: str = ""
    comment: str = ""
    environment: str = ""
    resource_sharing: bool = False
    """`--exclusive`: no other job on its nodes."""
    is_requeueable: bool = False
    body: str = ""
    """The script below its `#SBATCH` lines."""
    interpreter: str = "#!/bin/bash"
    extra: tuple[str, ...] = ()
    """`#SBATCH` lines that are none of the fields, as they were written."""

    def script(self) -> str:
        """The batch script. Raises ScriptError naming the field that cannot be sent."""
        check(self)
        lines = [self.interpreter]
        for attribute, option in OPTIONS.items():
            value = getattr(self, attribute)
            if value is True:
                lines.append(f"#SBATCH --{option}")
            elif value:
                lines.append(f"#SBATCH --{option}={_quote(value)}")
        lines += self.extra
        return "\n".join([*lines, "", self.body.strip("\n"), ""])

    def with_fields(self, **changes: Any) -> BatchScript:
        """A copy with other values. ScriptError for a field that does not exist."""
        known = {f.name for f in fields(self)}
        for name in changes:
            if name not in known:
                raise ScriptError(name, f"no such field; there are: {', '.join(sorted(known))}")
        return replace(self, **changes)


def _quote(value: str) -> str:
    """A value for a `#SBATCH` line: sbatch takes quotes apart and ends the line at a bare #."""
    safe = all(c.isalnum() or c in "-_./:,=+%@[]*&|()~^!" for c in value)
    if safe and not value.startswith("#"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WHOLE = ("ntasks", "cpus_per_task", "ntasks_per_node")
_SIZES = ("memory_per_node", "memory_per_cpu")


def check(asked: BatchScript) -> None:
    """Raises ScriptError for the first field that sbatch would misread or refuse by its form."""
    for attribute in OPTIONS:
        value = getattr(asked, attribute)
        if isinstance(value, str) and any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ScriptError(attribute, "holds a line break or control character; remove it")
    for attribute in _WHOLE:
        value = getattr(asked, attribute)
        if value and (values.whole(value) or 0) < 1:
            raise ScriptError(attribute, f"{value!r} is not a whole number of 1 or more")
    for attribute in _SIZES:
        value = getattr(asked, attribute)
        if value and values.mib(value) is None:
            raise ScriptError(attribute, f"{value!r} is not a size; write 512M, 8G or 1T")
    limit = asked.time_limit
    if limit and limit.upper() not in ("UNLIMITED", "INFINITE") and values.minutes(limit) is None:
        raise ScriptError("time_limit", f"{limit!r} is not a time; write 30, 4:00:00 or 1-12:00:00")
    if not asked.interpreter.startswith("#!"):
        raise ScriptError("interpreter", "the first line has to be #! and a program's path")
    if not asked.body.strip():
        raise ScriptError("command", "there is nothing to run; write a command")


def directives(script: str) -> dict[str, str]:
    """The `#SBATCH` options of a script by long name; the last of two wins, as for sbatch."""
    found: dict[str, str] = {}
    for line in _sbatch_lines(script):
        for option, value in _options(line):
            found[option] = value
    return found


def _sbatch_lines(script: str) -> list[str]:
    """sbatch reads them up to the first line that is neither empty nor a comment."""
    lines = []
    for line in script.split("\n"):
        if line.startswith("#SBATCH"):
            lines.append(line)
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return lines


MAX_LINE = 4096
"""Characters of a `#SBATCH` line that is taken apart; a longer one is kept as it is written."""


def _options(line: str) -> list[tuple[str, str]]:
    if len(line) > MAX_LINE:  # shlex takes quadratic time
        return []
    try:
        words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
    except ValueError:
        return []
    found: list[tuple[str, str]] = []
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            option, equals, value = SHORT.get(word[1], word[1]), word[2:], word[2:]
        else:
            continue
        if not equals and option not in _BARE and words and not words[0].startswith("-"):
            value = words.pop(0)
        found.append((option, value))
    return found


def parse_script(script: str) -> BatchScript:
    """A script as fields and body, for the form; what is no field is kept in `extra`."""
    by_option = {option: attribute for attribute, option in OPTIONS.items()}
    lines = script.replace("\r\n", "\n").split("\n")
    interpreter = lines[0] if lines and lines[0].startswith("#!") else "#!/bin/bash"
    read = _sbatch_lines("\n".join(lines))
    known: dict[str, Any] = {}
    extra: list[str] = []
    for line in read:
        options = _options(line)
        plain = options and all(option in by_option for option, _ in options)
        if not plain or any(not value and option not in _BARE for option, value in options):
            extra.append(line)
            continue
        for option, value in options:
            attribute = by_option[option]
            if attribute in ("resource_sharing", "is_requeueable"):
                if value:
                    extra.append(f"#SBATCH --{option}={_quote(value)}")
                else:
                    known[attribute] = True
            else:
                known[attribute] = value
    left = list(read)
    body = []
    for line in lines[1:] if lines and lines[0].startswith("#!") else lines:
        if line in left:
            left.remove(line)
        else:
            body.append(line)
    return BatchScript(
        **known, body="\n".join(body).strip("\n"), interpreter=interpreter, extra=tuple(extra)
    )
