"""In the lab: what nvidia-smi, the Jetson's kernel and the exporters tell, and each fault of them.

The card, nvidia-smi and the Jetson's sysfs are stand-ins; the processes, Slurm, ssh and Prometheus
are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, OPERATOR, Lab

NODE, CONTROL = "desktop-gpu", "/run/labtui-nvml.control"
BARE = "labtui-test-bare"

LOOK = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from labtui.config import load
from labtui.hosts.namespace import enter
config = load(Path(sys.argv[1]))
enter(config.lab.namespace)
from labtui.collectors.base import CollectError
from labtui.collectors.gpus import collectors
from labtui.hosts.connect import connect

async def main():
    hosts = connect(config)
    own = {c.name: c for c in collectors(config, hosts)}
    for line in sys.stdin:
        found = {}
        for name in line.split():
            try:
                found[name] = msgspec.to_builtins(await own[name].collect())
            except CollectError as error:
                found[name] = [error.fault.kind, error.fault.message]
        print(json.dumps(found), flush=True)
    for host in hosts.values():
        await host.close()

asyncio.run(main())
"""

Look = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def look(lab: Lab) -> Iterator[Look]:
    """Asks feeds, in a process of its own: the namespace is entered before any thread starts."""
    argv = [sys.executable, "-c", LOOK, str(lab.config)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout

        def ask(*feeds: str) -> dict[str, Any]:
            assert process.stdin and process.stdout
            process.stdin.write(" ".join(feeds) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield ask
        process.stdin.close()


@pytest.fixture(autouse=True)
def undone(lab: Lab) -> Iterator[None]:
    yield
    machines.run(lab, NODE, ["rm", "-f", CONTROL], check=False)
    machines.run(lab, NODE, ["pkill", "-f", f"^{BARE}"], check=False)
    slurm(lab, "scancel", "--name=smi-test")


def slurm(lab: Lab, *argv: str) -> str:
    line = ["runuser", "-u", OPERATOR, "--", *argv]
    return machines.run(lab, CONTROLLER, line, timeout=30, check=False).stdout


def fault(lab: Lab, *lines: str) -> None:
    machines.run(lab, NODE, ["sh", "-c", f"cat >{CONTROL}"], stdin="\n".join([*lines, ""]))


def until(ask: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not holds(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def bare(lab: Lab) -> None:
    line = f"LABTUI_GPU_MIB=700 exec -a {BARE} sleep 120 >/dev/null 2>&1 &"
    machines.run(lab, NODE, ["bash", "-c", line])


def test_processes_are_their_jobs_and_nobodys(lab: Lab, look: Look) -> None:
    batch = ("sbatch", "--parsable", "-p", "gpu", "--gres=gpu:1", "-J", "smi-test", "--mem=50",
             "-o", "/dev/null")  # fmt: skip
    job = slurm(lab, *batch, "--wrap=sleep 120").strip()
    array = slurm(lab, *batch, "--array=3", "--wrap=sleep 120").strip()
    idle = slurm(lab, *batch, "--export=ALL,LABTUI_GPU_MIB=0", "--wrap=sleep 120").strip()
    bare(lab)
    assert job.isdecimal() and array.isdecimal() and idle.isdecimal()
    raw = until(
        lambda: slurm(lab, "squeue", "-h", "-j", f"{array}_3", "-t", "R", "-O", "JobID").strip(),
        lambda text: bool(text),
    )

    def ask() -> list[dict[str, Any]]:
        (card,) = look("smi.desktop-gpu")["smi.desktop-gpu"]
        return [p for p in card["processes"] if p["pod_uid"] is None]

    found = until(ask, lambda own: len(own) >= 3)
    owners = {p["job_id"]: p for p in found}
    assert set(owners) == {job, raw, None}, "an array's task has its raw id; the idle job none"
    assert owners[job]["via"] == "slurmstepd" and owners[job]["user"] == OPERATOR
    alone = owners[None]
    assert (alone["memory_mib"], alone["via"], alone["user"]) == (700, None, "root")
    assert abs(alone["since"] - time.time()) < 60
    pid = machines.run(lab, NODE, ["pgrep", "-f", f"^{BARE}"]).stdout.split()
    assert pid == [str(alone["pid"])]


def test_figures_agree_with_the_exporters(lab: Lab, look: Look) -> None:
    bare(lab)
    time.sleep(6)  # a scrape, and the card's own way there
    found = look("smi.desktop-gpu", "prom.gpus", "jetson.jetson-edge")
    (ours,) = found["smi.desktop-gpu"]
    (edge,) = found["jetson.jetson-edge"]
    theirs = {card["node"]: card for card in found["prom.gpus"]["cards"]}
    for here, there in ((ours, theirs[NODE]), (edge, theirs["jetson-edge"])):
        for field, noise in (
            ("util_percent", 30), ("memory_used_mib", 800), ("memory_total_mib", 1),
            ("temperature_c", 5), ("power_w", 80),
        ):  # fmt: skip
            assert here[field] == pytest.approx(there[field], abs=noise), field
    assert ours["uuid"] == theirs[NODE]["uuid"] and ours["power_limit_w"] == 450
    assert edge["sources"] == {"nvpmodel": "power mode 0"}


def test_each_fault_costs_its_own_cell_and_says_so(lab: Lab, look: Look) -> None:
    def ask() -> Any:
        return look("smi.desktop-gpu")["smi.desktop-gpu"]

    fault(lab, "util=105")
    (card,) = until(ask, lambda cards: cards[0]["util_percent"] is None)
    assert "105: cannot be" in card["na"]["util_percent"] and card["temperature_c"] > 0

    fault(lab, "lost=1")
    (card,) = until(ask, lambda cards: cards[0]["temperature_c"] is None)
    assert card["uuid"] and card["findings"][0]["kind"] == "lost"
    gone = until(
        lambda: look("prom.gpus")["prom.gpus"],
        lambda told: all(c["node"] != NODE for c in told["cards"]),
    )
    assert gone["up"][NODE] is True

    fault(lab, "mismatch=1")
    kind, text = until(ask, lambda told: isinstance(told[0], str))
    assert kind == "protocol" and "driver and library differ" in text

    fault(lab, "xid=79")
    until(
        lambda: look("prom.gpus")["prom.gpus"]["cards"],
        lambda cards: any(c["node"] == NODE and c["xid"] == 79 for c in cards),
    )


@pytest.mark.slow
def test_an_exporter_that_repeats_itself(lab: Lab, look: Look) -> None:
    def ask() -> Any:
        return next(c for c in look("prom.gpus")["prom.gpus"]["cards"] if c["node"] == NODE)

    for _ in range(8):  # its usual steps
        time.sleep(2)
        assert ask()["power_w"]
    fault(lab, "freeze=1")
    card = until(ask, lambda card: card["power_w"] is None, 60)
    assert "repeats itself since" in card["na"]["util_percent"]
    assert card["findings"][0]["kind"] == "frozen"
    fault(lab)
    until(ask, lambda card: card["power_w"] is not None)
