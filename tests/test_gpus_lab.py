"""Who holds which slice, as labtui tells it, against Slurm, Kubernetes and the exporter.

A load of jobs, pods and bare processes comes and goes all the time. Each moment is read three
times: by the owners' own commands, by `labtui get gpus --json`, by the owners' commands again.
What stood still around it must be told exactly; what changed may be told as before or as after.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labcards import kubectl
from labtui.lab import machines, net
from labtui.lab.layout import CONTROLLER, MACHINES, OPERATOR, PORTS, Lab

MOMENTS = int(os.environ.get("LABTUI_TEST_MOMENTS", "100"))
NODE = "desktop-gpu"
HOLDING = {"RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING"}
SEED = 20261124


def slurm(lab: Lab, *argv: str) -> str:
    line = ["runuser", "-u", OPERATOR, "--", *argv]
    return machines.run(lab, CONTROLLER, line, timeout=30, check=False).stdout


class Load:
    """Jobs, pods and processes that come and go at random on the four slices."""

    def __init__(self, lab: Lab, kubectl: list[str]) -> None:
        self.lab, self.kubectl = lab, kubectl
        self.random = random.Random(SEED)
        self.stop = threading.Event()
        self.changes: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(60)
        slurm(self.lab, "scancel", "--name=shares-load")
        self.kube("delete", "pods", "-n", "default", "-l", "load=shares", "--wait=false")
        machines.run(self.lab, NODE, ["pkill", "-f", "shares-load-process"], check=False)

    def kube(self, *words: str, stdin: str | None = None) -> str:
        done = net.call(
            self.lab, subprocess.run, [*self.kubectl, *words], capture_output=True, text=True,
            timeout=30, input=stdin,
        )  # fmt: skip
        return str(done.stdout)

    def _work(self) -> None:
        while not self.stop.wait(self.random.uniform(0.2, 1.5)):
            what = self.random.choice(("job", "job", "job", "cancel", "pod", "pod", "gone", "bare"))
            getattr(self, f"_{what}")()
            self.changes[what] += 1

    def _job(self) -> None:
        count, seconds = self.random.randint(1, 3), self.random.randint(2, 25)
        slurm(
            self.lab, "sbatch", "-p", "gpu", f"--gres=gpu:{count}", "-J", "shares-load", "-o",
            "/dev/null", "--mem=100", f"--wrap=sleep {seconds}",
        )  # fmt: skip

    def _cancel(self) -> None:
        known = slurm(self.lab, "squeue", "-h", "-o", "%i", "-n", "shares-load").split()
        if known:
            slurm(self.lab, "scancel", self.random.choice(known))

    def _pod(self) -> None:
        name = f"load-{self.random.randrange(10**6)}"
        limits = {"limits": {"nvidia.com/gpu": str(self.random.randint(1, 2))}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"load": "shares"}},
            "spec": {"containers": [{"name": "c", "image": "busybox", "resources": limits}]},
        }
        self.kube("create", "-f", "-", stdin=json.dumps(pod))

    def _gone(self) -> None:
        known = self.kube("get", "pods", "-l", "load=shares", "-o", "name").split()
        if known:
            self.kube("delete", self.random.choice(known), "--wait=false")

    def _bare(self) -> None:
        line = "LABTUI_GPU_MIB=700 exec -a shares-load-process sleep 6 >/dev/null 2>&1 &"
        machines.run(self.lab, NODE, ["bash", "-c", line], check=False)


def jobs_hold(lab: Lab) -> dict[str, int]:
    """Job id -> GPUs on the node, by Slurm's own account of each job."""
    found: dict[str, int] = {}
    for record in slurm(lab, "scontrol", "show", "job", "-d").split("\n\n"):
        identity = re.search(r"^JobId=(\d+)", record.strip())
        state = re.search(r"JobState=(\w+)", record)
        parts = re.findall(rf"Nodes={NODE} .*?GRES=(\S+)", record)
        if identity and state and state[1] in HOLDING:
            gpus = sum(int(n) for p in parts for n in re.findall(r"gpu(?::[a-z]+)?:(\d+)", p))
            if gpus:
                found[identity[1]] = gpus
    return found


def pods_hold(load: Load) -> dict[str, int]:
    """`namespace/name` -> slices, of the pods that Kubernetes has placed and that are not over."""
    found: dict[str, int] = {}
    for pod in json.loads(load.kube("get", "pods", "-A", "-o", "json"))["items"]:
        if pod["spec"].get("nodeName") != NODE or pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        slices = sum(
            int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))
            for c in pod["spec"]["containers"]
        )
        if slices:
            found[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = slices
    return found


def exporter(lab: Lab) -> dict[str, float]:
    """The card's figures as the exporter serves them."""
    url = f"http://{MACHINES[NODE].address}:{PORTS['gpu-exporter']}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with net.call(lab, opener.open, url, None, 5) as answer:
        text = answer.read().decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^DCGM_FI_DEV_(\w+)\{.*\} (\S+)$", text, re.MULTILINE)
    }


@pytest.fixture
def load(lab: Lab) -> Iterator[Load]:
    made = Load(lab, kubectl(lab))
    made.start()
    yield made
    made.end()


def labtui(lab: Lab, home: Path) -> Any:
    env = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "LABTUI_CONFIG": ""}
    argv = [sys.executable, "-m", "labtui", "--config", str(lab.config), "get", "gpus", NODE]
    done = subprocess.run(
        [*argv, "--json"], capture_output=True, text=True, timeout=60, env=env, check=False
    )
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_at_a_hundred_moments_every_slice_is_where_its_owner_has_it(
    lab: Lab, load: Load, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    still = Counter[str]()
    for moment in range(MOMENTS):
        time.sleep(chance.uniform(0, 1.5))
        before = (jobs_hold(lab), pods_hold(load), exporter(lab))
        document = labtui(lab, tmp_path)
        after = (jobs_hold(lab), pods_hold(load), exporter(lab))
        assert not document["errors"], document["errors"]
        told = {"job": Counter[str](), "pod": Counter[str]()}
        for card in document["items"]:
            for holder in card["holders"]:
                if holder["kind"] in told:
                    told[holder["kind"]][holder["id"]] += holder["slices"]
        for kind, i in (("job", 0), ("pod", 1)):
            old, new, said = before[i], after[i], dict(told[kind])
            context = f"moment {moment}, {kind}s: {old} -> {new}, told {said}"
            for name in old.keys() & new.keys():
                assert said.get(name) == old[name], context
            seen = old | new
            for name, slices in said.items():
                # One that came and went in between was seen by neither.
                assert slices == seen.get(name, slices), context
            if old == new:
                still[kind] += 1
                assert said == old, context
        steady = before[:2] == after[:2]
        _figures(document["items"], before[2], after[2], moment, steady)
    assert min(load.changes.values()) >= 3, load.changes
    assert min(still.values()) >= MOMENTS // 5, still  # else nothing was compared exactly


def _figures(
    cards: list[Any], old: dict[str, float], new: dict[str, float], moment: int, steady: bool
) -> None:
    """A card moves on while it is asked; what it says lies between, give or take a second's way.

    Where a holder left meanwhile its memory had gone before the next one took its own.
    """
    (card,) = [c for c in cards if c["index"] == 0]
    for field, name, slack in (
        ("util_percent", "GPU_UTIL", 45),
        ("memory_used_mib", "FB_USED", 3500 if steady else 12000),
        ("temperature_c", "GPU_TEMP", 4),
        ("power_w", "POWER_USAGE", 200),
    ):
        low, high = sorted((old[name], new[name]))
        text = f"moment {moment}: {field} {card[field]}, the exporter {old[name]} -> {new[name]}"
        assert card[field] is not None, (text, card["na"])
        assert low - slack <= card[field] <= high + slack, text
    assert card["memory_total_mib"] == pytest.approx(
        new["FB_USED"] + new["FB_FREE"] + new["FB_RESERVED"], abs=1
    )
