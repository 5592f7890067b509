"""A half-typed job survives whatever ends the console: one file a cluster, mode 0600."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import msgspec

from labtui.history import default_path
from labtui.slurm.script import BatchScript


class Draft:
    """Load, keep and forget the one draft of a cluster. Failing to write is told, not raised."""

    def __init__(self, cluster: str) -> None:
        self.path = default_path(cluster).with_name(f"{cluster}-draft.json")
        self.problem: str | None = None

    def load(self) -> tuple[BatchScript, float] | None:
        """The draft and when it was kept (unix seconds); None when there is none to read."""
        try:
            body: Any = msgspec.json.decode(self.path.read_bytes())
            known = {f.name for f in fields(BatchScript)}
            kept = {k: v for k, v in body["job"].items() if k in known}
            kept["extra"] = tuple(kept.get("extra", ()))
            return BatchScript(**kept), self.path.stat().st_mtime
        except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, job: BatchScript) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".draft")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode({"job": asdict(job)}))
            Path(name).replace(self.path)
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
