"""A real MLflow server with runs that finished, failed, still run and hold NaN."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from labtui.collectors.experiments import Curves, collectors
from labtui.config import Config, UrlConfig
from labtui.model import Run
from labtui.sources.base import SourceError
from labtui.sources.mlflow import POINTS, Mlflow
from labtui.store import Reading, Store
from labtui.views import runs as view
from realservers import mlflow, post
from standin import answer, standing_in


def call(url: str, path: str, **body: Any) -> Any:
    return post(f"{url}/api/2.0/mlflow/{path}", body)


def start(url: str, experiment: str, name: str, **tags: str) -> str:
    made = call(
        url,
        "runs/create",
        experiment_id=experiment,
        run_name=name,
        start_time=int(time.time() * 1000),
        tags=[{"key": key, "value": value} for key, value in tags.items()],
    )
    return str(made["run"]["info"]["run_id"])


def log(url: str, run: str, key: str, values: list[float | str]) -> None:
    stamp = int(time.time() * 1000)
    for first in range(0, len(values), 500):
        metrics = [
            {"key": key, "value": value, "step": first + i, "timestamp": stamp}
            for i, value in enumerate(values[first : first + 500])
        ]
        call(url, "runs/log-batch", run_id=run, metrics=metrics)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_real_server(tmp_path: Path) -> None:
    with mlflow(tmp_path) as url:
        config = Config(mlflow=UrlConfig(url=url, timeout_s=10.0))
        (collector,) = collectors(config)
        assert await collector.collect() == []

        digits = call(url, "experiments/create", name="digits [/b]")["experiment_id"]
        other = call(url, "experiments/create", name="other")["experiment_id"]
        tags = {"slurm.job_id": "1422", "slurm.node": "desktop-gpu", "mlflow.user": "ana"}
        done = start(url, digits, "lora\n[red]", **tags)
        call(url, "runs/log-parameter", run_id=done, key="lr", value="0.1")
        log(url, done, "loss", [1.0 / (i + 1) for i in range(1000)])
        end = int(time.time() * 1000)
        call(url, "runs/update", run_id=done, status="FINISHED", end_time=end)
        failed = start(url, other, "diverged")
        log(url, failed, "loss", [1.0, "NaN"])
        call(url, "runs/update", run_id=failed, status="FAILED", end_time=end)
        going = start(url, digits, "going")

        found = {run.run_id: run for run in await collector.collect()}
        assert set(found) == {done, failed, going}
        run = found[done]
        assert (run.status, run.job_id, run.node) == ("FINISHED", "1422", "desktop-gpu")
        assert (run.experiment, run.name) == ("digits [/b]", "lora [red]")
        assert run.params == {"lr": "0.1"} and run.metrics["loss"] == pytest.approx(0.001)
        assert run.start_time is not None and abs(run.start_time - time.time()) < 60
        assert run.end_time == end / 1000 and "mlflow.user" not in run.tags
        assert found[failed].status == "FAILED" and found[failed].metrics == {"loss": None}
        assert found[going].status == "RUNNING" and found[going].end_time is None

        curves = Curves(config.mlflow)
        curve = (await curves.of(run))["loss"]
        assert 10 < len(curve) <= POINTS + 2, "a long curve is thinned out by the server"
        assert curve[0] == 1.0 and curve[-1] == pytest.approx(0.001)
        assert (await curves.of(found[failed]))["loss"] == [1.0, None]

        store = Store()
        view.remember(store, run, {"loss": curve})
        view.remember(store, run, {"loss": curve})
        detail = "\n".join(getattr(line, "text", line) for line in view.detail(run, store, 0.0))
        assert "made by job 1422" in detail and "▁" in detail and "█" in detail

        assert Mlflow(url, timeout=5.0).history("no-such-run", "loss") == []
        curves.close()
        await collector.close()


def test_a_server_without_thinning() -> None:
    """Before 2.6 there was only the whole history: asked for when the other path is not there."""

    def old(handler: Any) -> None:
        if "bulk" in handler.path:
            answer(404)(handler)
        else:
            point = b'{"metrics": [{"key": "x", "value": 3, "step": 0, "timestamp": 1}]}'
            answer(200, point)(handler)

    with standing_in(old) as server:
        assert Mlflow(server.url, timeout=2.0).history("r", "x") == [(0, 3.0)]


def test_hostile_answers_become_inert_or_a_fault() -> None:
    hostile = b"""{"experiments": [{"experiment_id": 1, "name": "\\u001b]0;x\\u0007e\\n"}],
        "runs": [{"info": {"run_id": "r", "experiment_id": 1, "status": "\\u202eX",
                           "start_time": "1e400"},
                  "data": {"metrics": [{"key": "m", "value": NaN}]}}]}"""
    with standing_in(answer(200, hostile)) as server:
        (run,) = Mlflow(server.url, timeout=2.0).runs()
        assert run == Run(
            run_id="r", experiment="e ", experiment_id="1", status="X", metrics={"m": None}
        )
    for body in (b'{"experiments": 3}', b'{"experiments": [{}]}', b'{"experiments": [null]}'):
        shape = pytest.raises(SourceError, match="another shape")
        with standing_in(answer(200, body)) as server, shape:
            Mlflow(server.url, timeout=2.0).runs()


def test_the_worst_and_newest_first() -> None:
    now = time.time()
    store = Store()
    store.declare("mlflow.runs", "mlflow", 5)
    assert view.items(store, Config(), now) == []
    old = Run(run_id="a", experiment="e", status="FINISHED", start_time=now - 100, end_time=now)
    new = Run(run_id="b", experiment="e", status="FAILED", start_time=now - 50, end_time=now)
    store.put(Reading("mlflow.runs", [old, new], None, now, 0.1))
    assert view.items(store, Config(), now) == [new, old]
    assert view.severity(new) > view.severity(old)
    ancient = Run(run_id="c", experiment="e", status="FAILED", start_time=1.0, end_time=2.0)
    assert view.severity(ancient) == 0
