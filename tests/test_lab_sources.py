"""The sources of the real lab through `labtui get`: healthy, then broken one after another."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, MONITOR, STORAGE, Lab

pytestmark = pytest.mark.lab
Items = list[dict[str, Any]]
MONITORED = (
    ("prometheus", "prom.gpus"),
    ("prometheus-alertmanager", "alerts"),
    ("mlflow", "mlflow.runs"),
)


def get(lab: Lab, noun: str) -> Items:
    """What a script gets."""
    argv = [sys.executable, "-m", "labtui", "--config", str(lab.config), "get", noun, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    items: Items = json.loads(done.stdout)["items"]
    return items


def until(lab: Lab, noun: str, good: Callable[[Items], object], timeout: float) -> Items:
    """The first answer that is good; fails with the last one."""
    deadline = time.monotonic() + timeout
    while not good(found := get(lab, noun)):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {found}")
        time.sleep(0.5)
    return found


def systemctl(lab: Lab, machine: str, verb: str, unit: str) -> None:
    machines.run(lab, machine, ["systemctl", verb, unit], timeout=60)


@pytest.fixture
def job(lab: Lab) -> Iterator[str]:
    """A running job that holds two slices."""
    argv = ["sudo", "-u", "labop", "sbatch", "--parsable", "--chdir=/mnt/nfs/jobs",
            "--gres=gpu:2", "--job-name=holds[/b]two", "--partition=gpu"]  # fmt: skip
    made = machines.run(lab, CONTROLLER, argv, stdin="#!/bin/sh\nexec sleep 300\n").stdout.strip()
    yield made
    machines.run(lab, CONTROLLER, ["scancel", made])


@pytest.mark.timeout(400, func_only=True)
def test_who_holds_the_card_and_how_it_is(lab: Lab, job: str) -> None:
    def busy(found: Items) -> bool:
        (card,) = [g for g in found if g["node"] == "desktop-gpu"]
        return job in {h["id"] for h in card["holders"]} and (card["util_percent"] or 0) > 20

    cards = {g["node"]: g for g in until(lab, "gpus", busy, 120)}
    card, jetson = cards["desktop-gpu"], cards["jetson-edge"]
    (holder,) = [h for h in card["holders"] if h["id"] == job]
    assert (holder["kind"], holder["name"], holder["slices"]) == ("job", "holds[/b]two", 2)
    assert len(holder["indexes"]) == 2 and card["slices"] == 4
    for field in ("memory_total_mib", "memory_used_mib", "temperature_c", "power_w", "uuid"):
        assert card[field], field
    assert "RTX" in card["product"]
    assert jetson["slices"] == 1 and jetson["memory_total_mib"] and jetson["temperature_c"]


@pytest.mark.timeout(400, func_only=True)
def test_the_runs_that_slurm_made(lab: Lab) -> None:
    def ended(found: Items) -> bool:
        return {"FINISHED", "FAILED"} <= {r["status"] for r in found}

    found = until(lab, "runs", ended, 180)
    done = [r for r in found if r["status"] == "FINISHED"]
    assert all(r["job_id"] and r["node"] and r["end_time"] for r in done)
    assert any(r["metrics"].get("loss") is not None for r in done)


def test_each_source_fails_alone_and_comes_back(lab: Lab) -> None:
    watched = {feed for _, feed in MONITORED} | {"slurm.jobs"}

    def states(found: Items) -> dict[str, str]:
        return {f["name"]: f["error_kind"] or f["state"] for f in found if f["name"] in watched}

    def all_well(found: Items) -> bool:
        return states(found) == dict.fromkeys(watched, "ok")

    until(lab, "sources", all_well, 90)
    for unit, feed in MONITORED:
        systemctl(lab, MONITOR, "stop", unit)
        try:
            seen = states(get(lab, "sources"))
            assert seen.pop(feed) == "refused"
            assert set(seen.values()) == {"ok"}, "nothing else suffers"
        finally:
            systemctl(lab, MONITOR, "start", unit)
        # One that starts answers at first that it is not ready.
        until(lab, "sources", all_well, 90)


@pytest.mark.timeout(300, func_only=True)
def test_vault_is_sealed_then_gone(lab: Lab) -> None:
    def answers(found: Items) -> bool:
        return found[0]["threshold"] is not None

    (found,) = until(lab, "vault", answers, 180)
    assert (found["node"], found["threshold"], found["shares"]) == (STORAGE, 3, 5)
    assert found["version"] and found["state"] in ("sealed", "unsealing", "active", "standby")
    systemctl(lab, STORAGE, "stop", "vault")
    try:
        (gone,) = get(lab, "vault")
        assert (gone["state"], gone["sealed"]) == ("refused", None)
    finally:
        systemctl(lab, STORAGE, "start", "vault")
    (again,) = until(lab, "vault", answers, 30)
    assert (again["state"], again["sealed"], again["progress"]) == ("sealed", True, 0)

    def told(found: Items) -> Items:
        return [a for a in found if "sealed" in a["title"]]

    assert told(until(lab, "alerts", told, 60))[0]["severity"] == "critical"
