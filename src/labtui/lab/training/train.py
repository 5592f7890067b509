"""Train something small and log it to MLflow, with nothing but Python's own library.

MLFLOW_TRACKING_URI names the server. `spirals`: a network of one hidden layer tells two spirals
apart. `drift`: linear regression finds how five sensors drift. A loss that is not finite any more
ends the run as FAILED.
"""

# ruff: noqa: T201
import argparse
import json
import math
import os
import random
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class Run:
    """One MLflow run over the REST API."""

    def __init__(
        self, server: str, experiment: str, name: str, params: dict[str, Any], tags: dict[str, str]
    ) -> None:
        self.api = server.rstrip("/") + "/api/2.0/mlflow/"
        self.pending: list[dict[str, Any]] = []
        found = self.experiment(experiment)
        started: dict[str, Any] = {"experiment_id": found, "run_name": name, "start_time": now_ms()}
        started["tags"] = [{"key": k, "value": v} for k, v in tags.items()]
        self.run_id = self.post("runs/create", started)["run"]["info"]["run_id"]
        pairs = [{"key": k, "value": str(v)} for k, v in params.items()]
        self.post("runs/log-batch", {"run_id": self.run_id, "params": pairs})

    def experiment(self, name: str) -> str:
        """Two jobs may ask for it at once: who cannot make it, finds it."""
        try:
            return str(self.post("experiments/create", {"name": name})["experiment_id"])
        except urllib.error.HTTPError:
            url = self.api + "experiments/get-by-name?experiment_name=" + name
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(json.load(answer)["experiment"]["experiment_id"])

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.api + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def log(self, step: int, **metrics: float) -> None:
        at = now_ms()
        self.pending += [
            {"key": k, "value": v, "timestamp": at, "step": step} for k, v in metrics.items()
        ]
        if len(self.pending) >= 20:
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.post("runs/log-batch", {"run_id": self.run_id, "metrics": self.pending})
            self.pending = []

    def end(self, status: str) -> None:
        self.flush()
        ended = {"run_id": self.run_id, "status": status, "end_time": now_ms()}
        self.post("runs/update", ended)


def now_ms() -> int:
    return int(time.time() * 1000)


def dot(weights: list[float], values: Sequence[float]) -> float:
    """The weight behind the last value, the bias, is left out."""
    return sum(w * v for w, v in zip(weights, values, strict=False))


def spirals(chance: random.Random, options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Yields (loss, accuracy) of each epoch: a tanh layer, a logistic output, plain SGD."""
    points = []
    for i in range(options.samples):
        angle, which = 3 * math.pi * (i // 2) / (options.samples // 2) ** 0.98, i % 2
        radius = 0.15 + angle / 12
        x = radius * math.cos(angle + math.pi * which) + chance.gauss(0, 0.01)
        y = radius * math.sin(angle + math.pi * which) + chance.gauss(0, 0.01)
        points.append(((x, y, x * x, y * y, x * y, math.hypot(x, y)), which))
    inputs, hidden = len(points[0][0]), options.hidden
    w1 = [[chance.gauss(0, 1.5) for _ in range(inputs + 1)] for _ in range(hidden)]
    w2 = [chance.gauss(0, 0.3) for _ in range(hidden + 1)]
    for _ in range(options.epochs):
        chance.shuffle(points)
        loss = right = 0.0
        for features, label in points:
            units = [math.tanh(w[inputs] + dot(w, features)) for w in w1]
            z = w2[hidden] + dot(w2, units)
            p = 1 / (1 + math.exp(-max(-60.0, min(60.0, z))))
            loss -= math.log(max(1e-12, p if label else 1 - p))
            right += (p > 0.5) == bool(label)
            slope = options.learning_rate * (p - label)
            for j, unit in enumerate(units):
                back = slope * w2[j] * (1 - unit * unit)
                w2[j] -= slope * unit
                w = w1[j]
                for k, value in enumerate(features):
                    w[k] -= back * value
                w[inputs] -= back
            w2[hidden] -= slope
        yield loss / len(points), right / len(points)


def drift(chance: random.Random, options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Yields (loss, share within 0.1) of each epoch: batch gradient descent."""
    truth = [chance.uniform(-1, 1) for _ in range(5)]
    rows = []
    for _ in range(options.samples * 10):
        x = [chance.gauss(0, 1) for _ in truth]
        rows.append((x, dot(truth, x) + chance.gauss(0, 0.05)))
    w = [0.0] * len(truth)
    for _ in range(options.epochs):
        loss = near = 0.0
        gradient = [0.0] * len(w)
        for x, y in rows:
            error = dot(w, x) - y
            loss += error * error
            near += abs(error) < 0.1
            for k, value in enumerate(x):
                gradient[k] += 2 * error * value
        for k, g in enumerate(gradient):
            w[k] -= options.learning_rate * g / len(rows)
        yield loss / len(rows), near / len(rows)


Train = Callable[[random.Random, argparse.Namespace], Iterator[tuple[float, float]]]
PROBLEMS: dict[str, tuple[Train, str, str]] = {
    # name: (generator, experiment, dataset)
    "spirals": (spirals, "two-spirals-mlp", "two-spirals (generated)"),
    "drift": (drift, "sensor-drift-linear", "sensor-drift (generated)"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=250)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    train, experiment, dataset = PROBLEMS[options.problem]
    node = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    tags = {
        "mlflow.source.name": "train.py " + " ".join(sys.argv[1:]),
        "mlflow.user": os.environ.get("USER", "unknown"),
        "slurm.job_id": os.environ.get("SLURM_JOB_ID", ""),
        "slurm.node": node,
        "slurm.partition": os.environ.get("SLURM_JOB_PARTITION", ""),
        "labtui.dataset": dataset,
    }
    name = os.environ.get("SLURM_JOB_NAME", options.problem)
    run = Run(os.environ["MLFLOW_TRACKING_URI"], experiment, name, vars(options), tags)
    print(f"{name} on {node}: MLflow run {run.run_id}", flush=True)
    try:
        for epoch, (loss, accuracy) in enumerate(train(random.Random(options.seed), options)):
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} in epoch {epoch}: learning rate "
                    f"{options.learning_rate} is too high"
                )
            run.log(epoch, loss=loss, accuracy=accuracy)
            print(f"epoch {epoch:3d}  loss {loss:.4f}  accuracy {accuracy:.3f}", flush=True)
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


if __name__ == "__main__":
    main()
