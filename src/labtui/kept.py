"""What labtui sent, kept beside its history: scripts by job, and the runs of pipelines.

Slurm forgets a job's script minutes after it ended; these make it possible to submit it again.
Bounded, 0600, one folder a cluster; failing to write is told, not raised.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgspec

from labtui.draft import write_private
from labtui.history import default_path
from labtui.slurm.pipelines import PipelineRun

KEEP_SCRIPTS = 300
KEEP_RUNS = 50
MAX_SCRIPT = 1 << 20
"""Bytes of a script that is kept."""
_ID = re.compile(r"[0-9]{1,18}\Z")
_TOKEN = re.compile(r"[0-9a-f]{1,64}\Z")


class Kept:
    """Scripts and runs of one cluster."""

    def __init__(self, cluster: str) -> None:
        base = default_path(cluster)
        self._scripts = base.with_name(f"{cluster}-jobs")
        self._runs = base.with_name(f"{cluster}-pipelines")
        self.problem: str | None = None

    def keep(self, job_id: str, token: str, script: str) -> None:
        """A script as it was sent for this job."""
        data = script.encode("utf-8", "replace")
        if _ID.match(job_id) and _TOKEN.match(token) and len(data) <= MAX_SCRIPT:
            self._write(self._scripts / f"{job_id}-{token}.sbatch", data, KEEP_SCRIPTS)

    def script(self, job_id: str, token: str = "") -> str | None:
        """The script of a job that labtui sent; without a token the newest of this id."""
        if not _ID.match(job_id) or (token and not _TOKEN.match(token)):
            return None
        found = _newest(self._scripts, f"{job_id}-{token or '*'}.sbatch")
        with contextlib.suppress(OSError, UnicodeDecodeError, IndexError):
            return found[0].read_text(encoding="utf-8")
        return None

    def remember(self, run: PipelineRun) -> None:
        if _TOKEN.match(run.id):
            self._write(self._runs / f"{run.id}.json", msgspec.json.encode(run), KEEP_RUNS)

    def runs(self, pipeline: str = "") -> list[PipelineRun]:
        """The newest first; of one pipeline where it is named."""
        found = []
        for path in _newest(self._runs, "*.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                run = msgspec.json.decode(path.read_bytes(), type=PipelineRun)
                if run.stages and pipeline in ("", run.pipeline):
                    found.append(run)
        return sorted(found, key=lambda run: -run.at)

    def _write(self, path: Path, data: bytes, limit: int) -> None:
        try:
            write_private(path, data)
            self.problem = None
            for old in _newest(path.parent, f"*{path.suffix}")[limit:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self.problem = f"what was sent cannot be kept: {error.strerror}"


def _newest(folder: Path, pattern: str) -> list[Path]:
    dated = []
    with contextlib.suppress(OSError):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                dated.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(dated, reverse=True)]
