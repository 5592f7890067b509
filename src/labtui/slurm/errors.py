"""What can go wrong, under PySlurm's names.

`errno.tsv` has Slurm's public error numbers and what its commands print for them
(slurm/slurm_errno.h): by that text a command's stderr becomes a number again.
"""

from __future__ import annotations

import errno as _errno
import os
import re
from functools import cache
from pathlib import Path

from labtui.store import FaultKind

SLURM_SUCCESS = 0
SLURM_ERROR = -1

ESLURM_INVALID_PARTITION_NAME = 2000
ESLURM_ACCESS_DENIED = 2002
ESLURM_INVALID_JOB_ID = 2017
ESLURM_ALREADY_DONE = 2021
SLURMCTLD_COMMUNICATIONS_CONNECTION_ERROR = 1800


@cache
def strerrors() -> dict[int, str]:
    """Number -> text."""
    source = Path(__file__).with_name("errno.tsv").read_text(encoding="utf-8")
    pairs = (line.split("\t", 1) for line in source.splitlines() if "\t" in line)
    return {int(number): text for number, text in pairs}


@cache
def _numbers() -> dict[str, int]:
    return {text.lower(): number for number, text in strerrors().items()}


def slurm_strerror(errno: int) -> str:
    """The text of a Slurm error number, or of one of the system's."""
    known = strerrors().get(errno)
    if known is not None:
        return known
    return os.strerror(errno) if errno in _errno.errorcode else f"Unknown error {errno}"


class PyslurmError(Exception):
    """The base of everything that this package raises by itself."""


class RPCError(PyslurmError):
    """Slurm refused, or could not be asked. `msg` is one sentence; `kind` is to act on.

    `errno` is Slurm's number where the text is one of Slurm's own, else SLURM_ERROR.
    """

    def __init__(
        self, errno: int = SLURM_ERROR, msg: str | None = None, *, kind: FaultKind | None = None
    ) -> None:
        self.errno = errno
        self.msg = msg or slurm_strerror(errno)
        self.kind: FaultKind = kind or _kind(self.msg)
        self.said: tuple[str, ...] = ()
        """All lines that the command wrote, where it was one that did."""
        super().__init__(self.msg)


# Slurm's own texts (slurm_strerror and the commands' own), by what they mean for the caller.
_KINDS: tuple[tuple[FaultKind, str], ...] = (
    ("refused", r"unable to contact slurm controller|connect(ion)? (failure|refused)"),
    ("timeout", r"timed out|timeout"),
    ("auth", r"munge|authentication"),
    ("permission", r"permission denied|invalid user id|access denied|not permitted"),
    (
        "not-found",
        r"invalid job id|not found|accounting storage is disabled|invalid node name"
        r"|command not found|no such file",
    ),
)
_PREFIX = re.compile(
    r"^(?:(?:sbatch|squeue|sacct|scontrol|sinfo|scancel): )?(?:error: |fatal: |\w+ error: )*"
    r"(?:allocation failure: |Batch job submission failed: )?"
)
_BEHIND = re.compile(r" for job [\w+\[\]-]+$")
"""What commands write behind Slurm's own text; before it stands a part that ends with a colon."""


def _kind(text: str) -> FaultKind:
    for kind, pattern in _KINDS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return "protocol"


def errno_of(text: str) -> int:
    """Slurm's number for a text that a command wrote; SLURM_ERROR where it is not one of its."""
    whole = _BEHIND.sub("", text.strip()).lower()
    for part in (whole, whole.rpartition(": ")[2]):
        if part in _numbers():
            return _numbers()[part]
    return SLURM_ERROR


def error_of(command: str, where: str, stdout: str, stderr: str) -> RPCError:
    """The error that a Slurm command wrote, its noise taken off: `scontrol: Invalid job id`."""
    lines = [line.strip() for line in (stderr or stdout).splitlines() if line.strip()]
    said = [_PREFIX.sub("", line) for line in lines]
    text = _joined(said[-3:]) or f"{command} failed without a word"
    kind = _kind(" ".join(lines)) if lines else "protocol"
    known = [number for line in reversed(said) if (number := errno_of(line)) != SLURM_ERROR]
    if kind == "refused":
        text = "slurmdbd does not answer" if command == "sacct" else "slurmctld does not answer"
        text += f" (asked from {where})"
    elif "accounting storage is disabled" in text.lower():
        text = "Slurm keeps no accounting here: finished jobs are forgotten after some minutes"
    found = RPCError(known[0] if known else SLURM_ERROR, text, kind=kind)
    found.said = tuple(said)
    return found


def _joined(lines: list[str]) -> str:
    """A few lines as one sentence: wrapped ones joined, those that another one holds left out."""
    found = ""
    for line in lines:
        if any(line in other for other in lines if other != line) or line in found:
            continue
        wrapped = found and not found.endswith((".", "!", "?")) and line[0].islower()
        found += ("" if not found else " " if wrapped else "; ") + line
    return re.sub(r"\s+", " ", found)
