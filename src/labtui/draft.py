"""A half-typed job survives whatever ends the console: one file a cluster, mode 0600."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec.structs import replace

from labtui.history import default_path
from labtui.slurm.options import OPTIONS
from labtui.slurm.script import BatchScript


class Draft:
    """Load, keep and forget the one draft of a cluster. Failing to write is told, not raised."""

    def __init__(self, cluster: str) -> None:
        self.path = default_path(cluster).with_name(f"{cluster}-draft.json")
        self.problem: str | None = None

    def load(self) -> tuple[BatchScript, float] | None:
        """The draft and when it was kept (unix seconds); None when there is none to read."""
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=dict[str, BatchScript])["job"]
            known = {k: v for k, v in kept.options.items() if k in OPTIONS}
            return replace(kept, options=known), self.path.stat().st_mtime
        except (OSError, msgspec.MsgspecError, KeyError):
            return None

    def keep(self, job: BatchScript) -> None:
        try:
            write_private(self.path, msgspec.json.encode({"job": job}))
            self.problem = None
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            self.problem = f"the draft cannot be kept: {why}"

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def script_path(self) -> Path:
        """Where `$EDITOR` gets the script: beside the draft, so that it survives too."""
        return self.path.with_suffix(".sbatch")


def write_private(path: Path, data: bytes) -> None:
    """The file whole or not at all, for its owner only (0600). Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
