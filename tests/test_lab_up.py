"""Four real machines: up, used, down, killed and mended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labtui.lab import machines, net, ready, slurm, status, up
from labtui.lab.layout import CONTROLLER, MACHINES, Lab
from labtui.lab.system import LabError, run, wait_for

pytestmark = pytest.mark.lab


def ssh(lab: Lab, machine: str, command: str, timeout: float = 20) -> str:
    """What labop gets for a command, by ssh from the console's place."""
    options = ["BatchMode=yes", "ConnectTimeout=5", f"UserKnownHostsFile={lab.ssh / 'known_hosts'}"]
    return run(
        [
            *("nsenter", f"--net={net.NAMESPACES / lab.namespace}", "ssh", "-F", "none"),
            *(word for option in options for word in ("-o", option)),
            *("-i", lab.ssh / "id", f"labop@{MACHINES[machine].address}", command),
        ],
        timeout=timeout,
    ).stdout.strip()


def submit(lab: Lab, script: str, *options: str) -> str:
    """Submit as labop; the job's id."""
    argv = ["sudo", "-u", "labop", "sbatch", "--parsable", "--chdir=/mnt/nfs/jobs", *options]
    return machines.run(lab, CONTROLLER, argv, stdin=f"#!/bin/sh\n{script}\n").stdout.strip()


def wait_for_job(lab: Lab, job: str, state: str, timeout: float = 30) -> None:
    def why() -> str:
        argv = ["scontrol", "--oneliner", "show", "job", job]
        found = machines.run(lab, CONTROLLER, argv).stdout
        return "" if f" JobState={state} " in found else found[:300]

    wait_for(f"job {job} in {state}", why, timeout=timeout)


def left_of(lab: Lab) -> list[str]:
    """Whatever of a lab that is down can still be found in the kernel."""
    left = machines.mounts_under(lab.state)
    left += [f"netns {p.name}" for p in net.NAMESPACES.glob(f"{lab.namespace}*")]
    left += [str(p) for p in Path("/sys/fs/cgroup").glob(f"**/{lab.namespace}")]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if str(lab.state).encode() + b"/" in said:
                left.append(f"process {process.name}")
    return left


@pytest.mark.parametrize("machine", MACHINES)
def test_machines_answer_as_labop(lab: Lab, machine: str) -> None:
    assert ssh(lab, machine, "hostname; id -un; sudo -n id -un").split() == [
        machine,
        "labop",
        "root",
    ]
    assert "munge" in ssh(lab, machine, "munge -n | unmunge | grep -i success; echo munge")
    assert machine in ssh(lab, machine, "sinfo --noheader -N; hostname")


def test_up_again_is_quick_and_changes_nothing(lab: Lab) -> None:
    before = machines.leaders(lab)
    started = time.monotonic()
    up.bring_up(lab, print)
    assert time.monotonic() - started < 5
    assert machines.leaders(lab) == before


def test_a_job_runs_and_is_accounted_for(lab: Lab) -> None:
    job = submit(lab, "hostname; echo seen", "--partition=cpu", "--output=%j.out")
    wait_for_job(lab, job, "COMPLETED")
    for machine in MACHINES:
        # On every machine: the output is on the shared folder.
        wait_for(
            f"the output on {machine}",
            lambda m=machine: (
                "" if "seen" in ssh(lab, m, f"cat /mnt/nfs/jobs/{job}.out; true") else "no output"
            ),
            timeout=10,
        )

    def unaccounted() -> str:
        argv = ["sacct", "-nPX", "-j", job, "--format=State,User,Account,Partition"]
        found = machines.run(lab, CONTROLLER, argv).stdout.strip()
        return "" if found == "COMPLETED|labop|research|cpu" else found or "nothing"

    wait_for("accounting", unaccounted, timeout=20)


def test_gpus_are_counted_and_shown_to_jobs(lab: Lab) -> None:
    job = submit(lab, "echo $CUDA_VISIBLE_DEVICES", "-p", "gpu", "--gres=gpu:3", "-o", "%j.out")
    wait_for_job(lab, job, "COMPLETED")
    out = ssh(lab, "desktop-gpu", f"cat /mnt/nfs/jobs/{job}.out")
    assert len(set(out.split(","))) == 3
    with pytest.raises(LabError, match="not available"):
        submit(lab, "true", "-p", "gpu", "--gres=gpu:5")
    shown = machines.run(lab, CONTROLLER, ["scontrol", "show", "node", "jetson-edge"]).stdout
    assert "Gres=gpu:jetson:1" in shown


def test_researchers_have_jobs_too(lab: Lab) -> None:
    argv = ["sudo", "-u", "ana", "sbatch", "--parsable", "-D", "/mnt/nfs/jobs", "-p", "edge"]
    job = machines.run(lab, "xps15-cpu", argv, stdin="#!/bin/sh\nid -un\n").stdout.strip()
    wait_for_job(lab, job, "COMPLETED")
    # The operator may end other people's jobs.
    long = machines.run(lab, "xps15-cpu", argv, stdin="#!/bin/sh\nsleep 600\n").stdout.strip()
    ssh(lab, "xps15-cpu", f"scancel {long}")
    wait_for_job(lab, long, "CANCELLED")


def test_there_is_no_way_out(lab: Lab) -> None:
    assert run(["ip", "-n", lab.namespace, "route", "show", "default"]).stdout == ""

    def reach_out() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
            return outside.connect_ex(("192.0.2.1", 53))

    assert net.call(lab, reach_out) != 0
    assert machines.run(lab, "truenas", ["ip", "route", "show", "default"]).stdout == ""


def test_status_tells_what_runs(lab: Lab) -> None:
    document = status.take(lab).document()
    assert json.loads(json.dumps(document)) == document
    assert document["schema"] == "labtui/lab/1"
    assert document["up"] is True
    assert [m["name"] for m in document["machines"]] == list(MACHINES)
    assert all(m["state"] == "running" and m["fault"] is None for m in document["machines"])
    states = {(s["machine"], s["name"]): s["state"] for s in document["services"]}
    for unit in ("ssh", "munge", "slurmctld", "slurmdbd", "mariadb", "slurm", "share"):
        assert states[(CONTROLLER, unit)] == "running"


def test_status_of_a_service_that_was_stopped(lab: Lab) -> None:
    machines.run(lab, "xps15-cpu", ["systemctl", "stop", "prometheus-node-exporter"])
    try:
        found = {(s.machine, s.name): s.health.state for s in status.take(lab).services}
        assert found[("xps15-cpu", "prometheus-node-exporter")] == "stopped"
        assert found[("truenas", "prometheus-node-exporter")] == "running"
    finally:
        machines.run(lab, "xps15-cpu", ["systemctl", "start", "prometheus-node-exporter"])


def test_status_of_a_lab_that_is_not_there() -> None:
    argv = [sys.executable, "-m", "labtui.lab.commands", "status", "--json", "--name", "nolab"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["up"] is False
    assert {m["state"] for m in document["machines"]} == {"stopped"}


def test_a_suite_is_not_changed_under_a_running_lab(lab: Lab) -> None:
    other = "bookworm" if lab.suite != "bookworm" else "trixie"
    with pytest.raises(LabError, match="take it down first"):
        up.bring_up(Lab(lab.name, other), print)


@pytest.mark.slow
@pytest.mark.timeout(400, func_only=True)
def test_two_labs_side_by_side_killed_and_mended(lab: Lab, other_lab: Callable[[str], Lab]) -> None:
    first = machines.leaders(lab)
    other = other_lab("kill")
    up.bring_up(other, print)
    assert ready.has_share(machines.leaders(other)["xps15-cpu"])
    marked = ["sh", "-c", "echo kept > /home/labop/kept"]
    machines.run(other, "jetson-edge", marked)

    # Supervisors killed: the machines run on, and `up` leaves them in peace.
    before = machines.leaders(other)
    for pid in machines.supervisors(other).values():
        os.kill(pid, signal.SIGKILL)
    up.bring_up(other, print)
    assert machines.leaders(other) == before

    # Machines killed: they boot again, with what they held.
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_for("their end", lambda: "alive" if machines.leaders(other) else "", timeout=5)
    up.bring_up(other, print)
    kept = machines.run(other, "jetson-edge", ["cat", "/home/labop/kept"]).stdout
    assert kept == "kept\n"

    # Namespaces, a link and a mount lost.
    run(["ip", "netns", "del", net.namespace(other, "xps15-cpu")])
    run(["ip", "-n", other.namespace, "link", "del", "truenas"])
    run(["umount", "--lazy", other.machine_root("jetson-edge")])
    up.bring_up(other, print)
    assert slurm.lacks(other) == ""

    # Supervisors killed, then down: nothing stays. All the while the first lab was left alone.
    for pid in machines.supervisors(other).values():
        os.kill(pid, signal.SIGKILL)
    up.take_down(other, print)
    assert left_of(other) == []
    assert not any(status.take(other).pids)
    assert machines.leaders(lab) == first
    assert slurm.lacks(lab) == ""


@pytest.mark.slow
@pytest.mark.timeout(400, func_only=True)
def test_down_with_a_hung_share_leaves_nothing(other_lab: Callable[[str], Lab]) -> None:
    other = other_lab("hung")
    up.bring_up(other, print)
    net.link(other, "truenas", up=False)
    stuck = subprocess.Popen(
        machines.enter(other, "xps15-cpu", ["ls", "/mnt/nfs"]), stderr=subprocess.DEVNULL
    )
    with pytest.raises(subprocess.TimeoutExpired):
        stuck.wait(3)
    started = time.monotonic()
    up.take_down(other, print)
    assert time.monotonic() - started < 20
    stuck.wait(5)
    assert left_of(other) == []


@pytest.mark.slow
@pytest.mark.timeout(400, func_only=True)
def test_two_ups_at_once_make_one_lab(other_lab: Callable[[str], Lab]) -> None:
    other = other_lab("twice")
    argv = [sys.executable, "-m", "labtui.lab.commands", "up", "--no-console", "--name", other.name]
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(
                lambda _: subprocess.run(argv, capture_output=True, text=True, timeout=300),
                range(2),
            )
        )
    assert [d.returncode for d in done] == [0, 0], [d.stderr for d in done]
    assert len(machines.supervisors(other)) == len(MACHINES)
    assert any("waiting for another" in d.stderr for d in done)
