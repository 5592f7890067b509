"""What can go wrong, under PySlurm's names."""

from __future__ import annotations

import re

from labtui.store import FaultKind

SLURM_ERROR = -1


class PyslurmError(Exception):
    """The base of everything that this package raises by itself."""


class RPCError(PyslurmError):
    """Slurm refused, or could not be asked. `msg` is one sentence; `kind` is to act on."""

    def __init__(
        self, errno: int = SLURM_ERROR, msg: str | None = None, *, kind: FaultKind = "protocol"
    ) -> None:
        self.errno = errno
        self.msg = msg or "Slurm gave an error without a text"
        self.kind: FaultKind = kind
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


def error_of(command: str, where: str, stdout: str, stderr: str) -> RPCError:
    """The error that a Slurm command wrote, its noise taken off: `scontrol: Invalid job id`."""
    lines = [line.strip() for line in (stderr or stdout).splitlines() if line.strip()]
    said = [_PREFIX.sub("", line) for line in lines]
    text = _joined(said[-3:]) or f"{command} failed without a word"
    kind: FaultKind = "protocol"
    for candidate, pattern in _KINDS:
        if re.search(pattern, " ".join(lines), re.IGNORECASE):
            kind = candidate
            break
    if kind == "refused":
        text = "slurmdbd does not answer" if command == "sacct" else "slurmctld does not answer"
        text += f" (asked from {where})"
    elif "accounting storage is disabled" in text.lower():
        text = "Slurm keeps no accounting here: finished jobs are forgotten after some minutes"
    return RPCError(SLURM_ERROR, text, kind=kind)


def _joined(lines: list[str]) -> str:
    """A few lines as one sentence: wrapped ones joined, those that another one holds left out."""
    found = ""
    for line in lines:
        if any(line in other for other in lines if other != line) or line in found:
            continue
        wrapped = found and not found.endswith((".", "!", "?")) and line[0].islower()
        found += ("" if not found else " " if wrapped else "; ") + line
    return re.sub(r"\s+", " ", found)
