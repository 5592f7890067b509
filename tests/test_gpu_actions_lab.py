"""`labtui gpu` on the lab: settings by the stand-in of nvidia-smi, slices and pods by the real API
server, jobs by the real Slurm, a process by the real kernel."""

from __future__ import annotations

import json

import pytest

from labcards import CARD, LABEL, Rig, until
from labtui.lab.layout import CONTROLLER

pytestmark = pytest.mark.timeout(400, func_only=True)


def test_a_power_limit_is_set_read_back_and_undone(rig: Rig) -> None:
    before = float(rig.setting("power.limit"))
    told = rig.act("power", CARD, "300")
    assert told["outcome"] == "done"
    assert (told["before"], told["now"]) == (f"{before:g} W", "300 W")
    assert float(rig.setting("power.limit")) == 300
    assert rig.act("undo", CARD)["now"] == f"{before:g} W"
    assert float(rig.setting("power.limit")) == before


def test_what_the_card_does_not_take_is_said_with_its_limits(rig: Rig) -> None:
    before = rig.setting("power.limit")
    done = rig.labtui("gpu", "power", CARD, "5000", "--yes")
    assert done.returncode == 1
    assert "5000 W cannot be: it takes" in done.stderr
    assert rig.setting("power.limit") == before


def test_persistence_and_clocks(rig: Rig) -> None:
    told = rig.act("persistence", CARD, "off")
    assert (told["before"], told["now"]) == ("on", "off")
    assert rig.setting("persistence_mode") == "Disabled"
    told = rig.act("clocks", CARD, "210,900")
    assert told["outcome"] == "done" and told["before"] == "not locked"
    assert int(rig.setting("clocks.sm")) <= 915
    assert "not locked, were 210,900 MHz" in rig.act("undo", CARD)["message"]
    until(lambda: int(rig.setting("clocks.sm")) > 915 or rig.card().util_percent == 0)


def test_a_card_without_nvidia_smi_is_told(rig: Rig) -> None:
    done = rig.labtui("gpu", "power", "jetson-edge:0", "10", "--yes")
    assert done.returncode == 1
    assert "jetson-edge: there is no nvidia-smi" in done.stderr
    assert rig.labtui("gpu", "power", "jetson-edge", "10").returncode == 2
    assert rig.labtui("gpu", "cancel", "desktop-gpu:0/99", "--yes").returncode == 2
    assert rig.labtui("--read-only", "gpu", "power", CARD, "300", "--yes").returncode == 1


@pytest.mark.parametrize("count", [8, 6])
def test_slices_and_the_node_follows(sliced: Rig, count: int) -> None:
    """8 is an entry of the lab's ConfigMap, 6 becomes one."""
    rig = sliced
    told = rig.act("slices", CONTROLLER, str(count))
    assert (told["outcome"], told["slices"], told["before"]) == ("done", str(count), "slices-4")
    assert rig.allocatable() == count
    assert rig.card().capacity["kubernetes"] == count
    assert rig.act("undo", CARD)["slices"] == "4"
    assert rig.allocatable() == 4


def test_a_jobs_slice_is_taken_back(rig: Rig) -> None:
    options = ("-p", "gpu", "--gres=gpu:1", "--mem=100", "-o", "/dev/null")
    job = rig.slurm("sbatch", "--parsable", "-J", "act", *options, "--wrap=sleep 600")
    told = rig.act("cancel", rig.place("job", job))
    assert (told["outcome"], told["job_id"]) == ("done", job)
    assert rig.slurm("squeue", "-h", "-t", "R", "-j", job) == ""


def test_a_pods_slice_is_taken_back(sliced: Rig) -> None:
    rig = sliced
    rig.kube("label", "node", CONTROLLER, f"{LABEL}=slices-8", "--overwrite")
    rig.kube("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "act", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox", "resources": {
            "limits": {"nvidia.com/gpu": "1"}}}]},
    }))  # fmt: skip
    told = rig.act("cancel", rig.place("pod", "default/act"))
    assert (told["outcome"], told["pod"]) == ("done", "default/act")
    assert "act" not in rig.kube("get", "pods", "-n", "default", "-o", "name")


def test_a_bare_process_is_ended_and_nothing_else(rig: Rig) -> None:
    line = "LABTUI_GPU_MIB=700 setsid sleep 600 >/dev/null 2>&1 & echo $!"
    pid = rig.slurm("bash", "-c", line)
    rig.held_by("process", pid)
    told = rig.act("cancel", f"{CARD}/pid{pid}")
    assert (told["outcome"], told["pid"]) == ("done", pid)
    assert rig.on_machine("ps", "-p", pid, "-o", "comm=") == ""
    assert rig.labtui("gpu", "cancel", f"{CARD}/pid1", "--yes").returncode == 2


def test_who_waits_and_what_would_let_it_through(rig: Rig) -> None:
    options = ("-p", "gpu", "--gres=gpu:1", "--mem=100", "-o", "/dev/null", "--hold")
    job = rig.slurm("sbatch", "--parsable", "-J", "act", *options, "--wrap=sleep 60")
    done = rig.labtui("gpu", "waiting", CONTROLLER, "--json")
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert found["schema"] == "labtui/waiting/1"
    one = next(s for s in found["items"] if s["command"] == f"scontrol release {job}")
    assert one["action"] == "queue.release" and one["words"].startswith(f"Release job {job} act")
    assert rig.labtui("job", "release", job, "--yes").returncode == 0
