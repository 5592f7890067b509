"""Machines broken on purpose: each fault does what it says, and heal undoes it."""

from __future__ import annotations

import time

import pytest

from labtui.lab import fault, machines, memory, net, ready, slurm, status
from labtui.lab.layout import CONTROLLER, MACHINES, PORTS, Lab
from labtui.lab.system import LabError, wait_for
from test_lab_up import ssh, submit, wait_for_job

pytestmark = pytest.mark.lab

NODE = "jetson-edge"


def make(lab: Lab, what: str, machine: str = NODE) -> None:
    fault.make(lab, machine, what, print)


def answers(lab: Lab, machine: str = NODE) -> bool:
    return net.call(lab, ready.greets, MACHINES[machine].address, PORTS["ssh"])


def transfer_s(lab: Lab, kib: int) -> float:
    """Seconds that ssh needs to bring this much from the machine."""
    started = time.monotonic()
    ssh(lab, NODE, f"head -c {kib}k /dev/urandom | base64", timeout=60)
    return time.monotonic() - started


def test_a_stopped_machine_is_missed_and_comes_back(healed: Lab) -> None:
    job = submit(healed, "sleep 600", "--partition=edge", "--requeue")
    wait_for_job(healed, job, "RUNNING")
    make(healed, "stop")
    assert not answers(healed)
    assert machines.leader(healed, NODE) is None
    found = {m["name"]: m for m in status.take(healed).document()["machines"]}
    assert found[NODE]["state"] == "stopped"
    assert found[NODE]["fault"] == "stop"
    assert found["truenas"]["fault"] is None
    wait_for("Slurm's notice", lambda: "" if slurm.lacks(healed) else "none", timeout=60)
    make(healed, "heal")
    assert answers(healed)
    wait_for("Slurm", lambda: slurm.lacks(healed), timeout=10)
    assert status.take(healed).document()["machines"][2]["fault"] is None
    machines.run(healed, CONTROLLER, ["scancel", job])


def test_a_hung_machine_takes_connections_and_says_nothing(healed: Lab) -> None:
    make(healed, "hang")
    assert not answers(healed)
    pid = machines.leader(healed, NODE)
    assert pid is not None
    assert ready.listens(pid, PORTS["ssh"])
    make(healed, "heal")
    assert answers(healed)
    assert machines.leader(healed, NODE) == pid


def test_a_partitioned_machine_runs_on_alone(healed: Lab) -> None:
    make(healed, "partition")
    assert not answers(healed)
    assert machines.run(healed, NODE, ["hostname"]).stdout == f"{NODE}\n"
    make(healed, "heal")
    assert answers(healed)


def test_a_slow_link_has_the_rate_asked_for(healed: Lab) -> None:
    quick = transfer_s(healed, 100)
    make(healed, "slow=400")
    # 100 KiB are 137 KiB in base64: 2.8 s at 400 kbit/s.
    assert transfer_s(healed, 100) > quick + 1.5
    make(healed, "heal")
    assert transfer_s(healed, 100) < 1.5


def test_a_lossy_link_loses_packets(healed: Lab) -> None:
    def lost() -> int:
        address = MACHINES[NODE].address
        argv = ["ping", "-q", "-c", "100", "-i", "0.01", "-W", "1", address]
        said = machines.run(healed, "xps15-cpu", argv, check=False).stdout
        return round(float(said.partition("% packet loss")[0].split()[-1]))

    assert lost() == 0
    make(healed, "lossy=30")
    # 30 % each way lose about half of the round trips.
    assert 20 < lost() < 80
    make(healed, "heal")
    assert lost() == 0


def test_a_shifted_clock_breaks_munge(healed: Lab) -> None:
    credential = machines.run(healed, CONTROLLER, ["munge", "-n"]).stdout
    make(healed, "clock=900")
    said = machines.run(healed, NODE, ["unmunge"], stdin=credential, check=False).stdout
    assert "Expired credential" in said
    assert int(ssh(healed, NODE, "date +%s")) - time.time() > 800
    assert abs(int(ssh(healed, CONTROLLER, "date +%s")) - time.time()) < 5
    make(healed, "heal")
    credential = machines.run(healed, CONTROLLER, ["munge", "-n"]).stdout
    assert "Success" in machines.run(healed, NODE, ["unmunge"], stdin=credential).stdout
    assert abs(int(ssh(healed, NODE, "date +%s")) - time.time()) < 5


def test_a_full_disk_is_bounded_and_goes_away(healed: Lab) -> None:
    make(healed, "fill-disk")
    size, free = ssh(healed, NODE, f"df -k --output=size,avail {fault.SCRATCH} | tail -1").split()
    assert int(size) <= fault.SCRATCH_MIB * 1024
    assert int(free) < 16
    with pytest.raises(LabError, match="No space left"):
        machines.run(healed, NODE, ["cp", "/bin/bash", f"{fault.SCRATCH}/x"])
    make(healed, "heal")
    assert "/scratch" not in machines.run(healed, NODE, ["cat", "/proc/mounts"]).stdout
    assert not (healed.machine_dir(NODE) / "scratch.img").exists()


def test_the_share_hangs_with_truenas_and_goes_on(healed: Lab) -> None:
    make(healed, "hang", "truenas")
    started = time.monotonic()
    with pytest.raises(LabError, match="longer than 2 s"):
        machines.run(healed, "xps15-cpu", ["ls", "/mnt/nfs"], timeout=2)
    assert time.monotonic() - started < 5
    # What needs no share goes on, and so does everything that looks after the machine.
    assert ssh(healed, "xps15-cpu", "hostname") == "xps15-cpu"
    make(healed, "heal", "truenas")
    machines.run(healed, "xps15-cpu", ["ls", "/mnt/nfs"], timeout=10)

    make(healed, "stop", "truenas")
    make(healed, "heal", "truenas")

    def share_fails() -> str:
        listed = machines.run(healed, "xps15-cpu", ["ls", "/mnt/nfs"], timeout=20, check=False)
        return listed.stderr

    wait_for("the share", share_fails, timeout=30)


def test_up_heals_every_fault(healed: Lab) -> None:
    from labtui.lab import up

    make(healed, "partition")
    make(healed, "lossy=50", "xps15-cpu")
    make(healed, "stop", "truenas")
    up.bring_up(healed, print)
    assert memory.load(healed).faults == {}
    assert all(answers(healed, machine) for machine in MACHINES)


@pytest.mark.parametrize(
    ("machine", "what", "reason"),
    [
        ("fridge", "stop", "no such machine: fridge"),
        (NODE, "explode", "a fault is stop, hang"),
        (NODE, "slow", "a fault is"),
        (NODE, "slow=0", "a fault is"),
        (NODE, "lossy=101", "a fault is"),
        (NODE, "clock=$(id)", "a fault is"),
        (NODE, "stop=1", "a fault is"),
    ],
)
def test_refuses_what_is_no_fault(lab: Lab, machine: str, what: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason) as caught:
        make(lab, what, machine)
    assert caught.value.code == 2
    assert memory.load(lab).faults == {}
