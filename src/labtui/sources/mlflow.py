"""MLflow's tracking server through its REST API 2.0. Blocking: call it in a lane.

Over requests like the other sources, not over an asynchronous client: name resolution of such a
client runs in asyncio's shared pool, where one dead resolver holds up everything.
"""

from __future__ import annotations

from typing import Any

from labtui.model import Run
from labtui.sources.base import SourceError, millis, number
from labtui.text import inert

RUNS = 200
EXPERIMENTS = 500
POINTS = 400
"""Points of one curve; the server thins a longer one out."""
FIELDS = 200
"""Parameters, metrics or tags of one run that are kept."""
JOB_KEYS = ("slurm_job_id", "slurm.job_id", "SLURM_JOB_ID")
NODE_KEYS = ("slurm_node", "slurm.node", "SLURMD_NODENAME", "SLURM_NODENAME")
"""Tags or parameters that tell which Slurm job on which node made a run."""
NOTE_KEYS = ("obsidian_note", "obsidian.note", "note")


class Mlflow:
    def __init__(self, url: str, *, ca_file: str = "", timeout: float) -> None:
        """`timeout`: seconds of one request, connecting included."""
        self.url = url.rstrip("/")
        self.who = f"MLflow at {self.url}"
        self._ca_file = ca_file
        self._timeout = timeout
        self._session: Any = None

    def runs(self) -> list[Run]:
        """The newest runs of all experiments that are not deleted, newest first.

        Raises SourceError.
        """
        from labtui.sources.http import explained

        with explained(self.who, self._ca_file):
            found = self._call("experiments/search", {"max_results": EXPERIMENTS})
            names = {str(e["experiment_id"]): str(e["name"]) for e in found.get("experiments", ())}
            if not names:
                return []
            query = {
                "experiment_ids": list(names),
                "max_results": RUNS,
                "order_by": ["attributes.start_time DESC"],
            }
            found = self._call("runs/search", query)
            return [_run(item, names) for item in found.get("runs", ())]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float | None]]:
        """One curve as (step, value), at most about POINTS of them. Raises SourceError."""
        from labtui.sources.http import explained

        query = {"run_ids": run_id, "metric_key": metric, "max_results": POINTS}
        with explained(self.who, self._ca_file):
            try:
                found = self._call("metrics/get-history-bulk-interval", query, get=True)
            except SourceError as error:
                if error.fault.kind != "not-found":  # servers before 2.6 do not thin out
                    raise
                query = {"run_id": run_id, "metric_key": metric, "max_results": POINTS}
                found = self._call("metrics/get-history", query, get=True)
            points = sorted(
                (int(m.get("step", 0)), int(m.get("timestamp", 0)), number(m.get("value")))
                for m in found.get("metrics", ())
            )
            return [(step, value) for step, _, value in points]

    def _call(self, path: str, query: dict[str, Any], *, get: bool = False) -> dict[str, Any]:
        from labtui.sources.http import BoundedSession

        if self._session is None:
            self._session = BoundedSession(
                timeout=self._timeout, ca_file=self._ca_file, who=self.who
            )
        # bulk-interval is served under /ajax-api only by older servers, under both by newer ones.
        root = "ajax-api" if "bulk" in path else "api"
        url = f"{self.url}/{root}/2.0/mlflow/{path}"
        answer = (
            self._session.get(url, params=query) if get else self._session.post(url, json=query)
        )
        found = answer.json()
        if not isinstance(found, dict):
            raise SourceError("protocol", f"{self.who}: the answer is not an object")
        return found

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def _run(item: Any, experiments: dict[str, str]) -> Run:
    info, data = item["info"], item.get("data") or {}
    tags = _pairs(data.get("tags"))
    params = _pairs(data.get("params"))
    metrics = {
        inert(m["key"], 128): number(m.get("value")) for m in (data.get("metrics") or [])[:FIELDS]
    }
    experiment = str(info["experiment_id"])
    both = params | tags
    return Run(
        run_id=inert(info["run_id"], 64),
        experiment=inert(experiments.get(experiment, experiment), 128),
        experiment_id=inert(experiment, 64),
        name=inert(info.get("run_name") or tags.get("mlflow.runName") or "", 128) or None,
        status=inert(info.get("status") or "UNKNOWN", 32),
        start_time=millis(info.get("start_time")),
        end_time=millis(info.get("end_time")),
        params=params,
        metrics=metrics,
        job_id=_first(both, JOB_KEYS),
        node=_first(both, NODE_KEYS),
        note=_first(tags, NOTE_KEYS),
        tags={key: value for key, value in tags.items() if not key.startswith("mlflow.")},
    )


def _pairs(found: Any) -> dict[str, str]:
    return {inert(p["key"], 128): inert(p.get("value", ""), 512) for p in (found or [])[:FIELDS]}


def _first(pairs: dict[str, str], keys: tuple[str, ...]) -> str | None:
    return next((pairs[key] for key in keys if pairs.get(key)), None)
