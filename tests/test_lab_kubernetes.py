"""The lab's Kubernetes: its real control plane, and how far the stand-ins of the rest go."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.lab import (
    background,
    containers,
    fault,
    kube_access,
    kube_build,
    kube_setup,
    machines,
    up,
)
from labtui.lab.kubernetes import Kubernetes, Part, services
from labtui.lab.layout import CONTROLLER, UNITS, Lab
from labtui.lab.system import wait_for

NODE = f"node/{CONTROLLER}"
POLICY = "cm/time-slicing-config"


# Without a lab


def pod(**more: Any) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": "1"}
    return {
        "metadata": {"name": "a-0", "uid": "11-22", "labels": {"app": "a"}, **more},
        "spec": {"containers": [{"name": "main", "resources": {"limits": limits}}]},
        "status": {"phase": "Running", "qosClass": "BestEffort"},
    }


def test_a_container_is_named_as_the_kubelet_names_it() -> None:
    (one,) = containers.containers({"items": [pod()]}, "GPU-1")
    assert one.slice == "kubepods-besteffort-pod11_22.slice"
    assert len(one.id) == 64
    assert dict(one.environment)["NVIDIA_VISIBLE_DEVICES"] == "GPU-1"
    assert dict(one.environment)["LABTUI_GPU_MIB"] == "2048"

    outside = pod(labels={"app": "../../bin/a very long name"}, annotations={
        "labtui.dev/gpu-mib": "1; reboot"
    })  # fmt: skip
    (one,) = containers.containers({"items": [outside]}, "GPU-1")
    assert "/" not in one.app
    assert len(one.app) <= 15
    assert dict(one.environment)["LABTUI_GPU_MIB"] == "2048"


def test_only_running_pods_with_a_gpu_have_containers() -> None:
    ended = pod() | {"status": {"phase": "Succeeded"}}
    leaving = pod(deletionTimestamp="2026-01-01T00:00:00Z")
    plain = pod() | {"spec": {"containers": [{"name": "main"}]}}
    assert containers.containers({"items": [ended, leaving, plain]}, "all") == []
    guaranteed = pod() | {"status": {"phase": "Running", "qosClass": "Guaranteed"}}
    (one,) = containers.containers({"items": [guaranteed]}, "all")
    assert one.slice == "kubepods-pod11_22.slice"


def test_every_part_is_watched() -> None:
    names = {s.name for s in services() if isinstance(s, Part)}
    assert {"etcd", "kube-apiserver", "kube-scheduler", "kwok"} <= set(UNITS[CONTROLLER])
    assert names >= {"labtui-device-plugin", "labtui-containers"}


# In the lab


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Lab:
    """The lab with Kubernetes at work, where it is built already."""
    if not kube_build.built(lab):
        pytest.skip("KUBERNETES IS NOT BUILT HERE YET: run `labtui lab up --wait` once (6 minutes)")
    wait_for("the services", lambda: "" if background.pid(lab) is None else "at work", timeout=240)
    wait_for("Kubernetes", lambda: unwell(lab), timeout=30, every=0.5)
    set_back(lab)
    return lab


def unwell(lab: Lab) -> str:
    return "; ".join(
        f"{s.name}: {health.detail or health.state}"
        for s in services()
        if (health := s.health(lab)).state != "running"
    )


def ask(lab: Lab, *words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """kubectl as the console runs it: on this side, in the lab's network."""
    config = config or kube_access.admin_config(lab)
    inside = ["ip", "netns", "exec", lab.namespace]
    argv = [*inside, str(kube_build.kubectl(lab)), f"--kubeconfig={config}", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def kubectl(lab: Lab, *words: str) -> str:
    done = ask(lab, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(lab: Lab, *words: str) -> Any:
    return json.loads(kubectl(lab, "get", "--output=json", *words))


def allocatable(lab: Lab) -> dict[str, str]:
    found = get(lab, NODE)["status"]["allocatable"]
    return {k: v for k, v in found.items() if k.startswith("nvidia.com/")}


def wait_for_gpus(lab: Lab, **wanted: str) -> None:
    names = {"gpu": "nvidia.com/gpu", "shared": "nvidia.com/gpu.shared"}
    expected = {names[k]: v for k, v in wanted.items()}

    def lacks() -> str:
        found = allocatable(lab)
        return "" if expected.items() <= found.items() else str(found)

    wait_for(f"{expected}", lacks, timeout=10)


def set_back(lab: Lab) -> None:
    """The slicing and the pods as they are at first."""
    kubectl(lab, "label", "--overwrite", NODE, "nvidia.com/device-plugin.config=slices-4")
    wait_for_gpus(lab, gpu="4")
    names = ("llama-0", "embed-0")
    kubectl(lab, "delete", "pod", "--ignore-not-found", "--namespace=nim", *names)
    kube_setup.fill(lab, lambda line: None)

    def phases() -> str:
        found = {n: get(lab, "-n", "nim", f"pod/{n}")["status"] for n in names}
        settled = found["llama-0"]["phase"] == "Running" and found["embed-0"].get("conditions")
        return "" if settled else str(found)

    wait_for("the pods", phases, timeout=20, every=0.3)


@pytest.fixture
def sliced(cluster: Lab) -> Iterator[Lab]:
    """For tests that change the slicing or the pods."""
    yield cluster
    set_back(cluster)


@pytest.mark.lab
def test_the_node_is_as_the_operator_and_the_plug_in_would_have_it(cluster: Lab) -> None:
    node = get(cluster, NODE)
    assert allocatable(cluster)["nvidia.com/gpu"] == "4"
    labels = node["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"].endswith("-SHARED")
    assert labels["nvidia.com/gpu.count"] == "1"
    assert labels["nvidia.com/gpu.replicas"] == "4"
    addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
    assert addresses["InternalIP"] == "10.77.0.10"
    policy = get(cluster, "clusterpolicies.nvidia.com/cluster-policy")
    assert policy["status"]["state"] == "ready"
    assert policy["spec"]["devicePlugin"]["config"]["name"] == "time-slicing-config"
    soperator = get(cluster, "slurmclusters.slurm.nebius.ai", "-A")["items"]
    assert [c["status"]["phase"] for c in soperator] == ["Available"]
    sets = get(cluster, "nodesets.slurm.nebius.ai", "-A")["items"]
    assert [s["status"]["phase"] for s in sets] == ["Ready"]


@pytest.mark.lab
def test_one_pod_holds_one_waits_and_one_has_ended(cluster: Lab) -> None:
    pods = {p["metadata"]["name"]: p for p in get(cluster, "pods", "-A")["items"]}
    assert pods["llama-0"]["status"]["phase"] == "Running"
    assert pods["tokenize-7xk2p"]["status"]["phase"] == "Succeeded"
    assert pods["embed-0"]["status"]["phase"] == "Pending"
    (why,) = pods["embed-0"]["status"]["conditions"]
    assert why["reason"] == "Unschedulable"
    assert "1 Insufficient nvidia.com/gpu" in why["message"]


@pytest.mark.lab
def test_the_nodes_slices_follow_its_label_and_the_config(sliced: Lab) -> None:
    kubectl(sliced, "label", "--overwrite", NODE, "nvidia.com/device-plugin.config=shared-4")
    wait_for_gpus(sliced, gpu="0", shared="4")
    labels = get(sliced, NODE)["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-GeForce-RTX-4090"

    kubectl(sliced, "label", "--overwrite", NODE, "nvidia.com/device-plugin.config=slices-8")
    wait_for_gpus(sliced, gpu="8", shared="0")

    def waits() -> str:
        phase: str = get(sliced, "-n", "nim", "pod/embed-0")["status"]["phase"]
        return "" if phase == "Running" else phase

    wait_for("the waiting pod", waits, timeout=20, every=0.3)

    kubectl(sliced, "label", "--overwrite", NODE, "nvidia.com/device-plugin.config=none-such")
    kubectl(sliced, "label", NODE, "nvidia.com/device-plugin.config-")
    wait_for_gpus(sliced, gpu="4")


@pytest.mark.lab
def test_a_pods_process_is_in_the_pods_control_group(sliced: Lab) -> None:
    uid = get(sliced, "-n", "nim", "pod/llama-0")["metadata"]["uid"]
    level = f"kubepods-besteffort-pod{uid.replace('-', '_')}.slice"

    def pids() -> list[str]:
        argv = ["pgrep", "--exact", "llama"]
        return machines.run(sliced, CONTROLLER, argv, check=False).stdout.split()

    path = f"/kubepods.slice/kubepods-besteffort.slice/{level}/cri-containerd-"

    def elsewhere() -> str:
        """An earlier pod's process is ended, and a new one gets its group, a moment later."""
        if len(found := pids()) != 1:
            return f"{len(found)} processes"
        argv = ["cat", f"/proc/{found[0]}/cgroup"]
        group = machines.run(sliced, CONTROLLER, argv, check=False).stdout
        there = any(path in line and line.endswith(".scope") for line in group.splitlines())
        return "" if there else group

    wait_for("its process", elsewhere, timeout=30)
    (pid,) = pids()
    environment = machines.run(sliced, CONTROLLER, ["cat", f"/proc/{pid}/environ"]).stdout
    assert "LABTUI_GPU_MIB=5120" in environment.split("\0")
    assert any(v.startswith("NVIDIA_VISIBLE_DEVICES=GPU-") for v in environment.split("\0"))

    machines.run(sliced, CONTROLLER, ["systemctl", "restart", "labtui-containers"])
    time.sleep(3)
    assert pids() == [pid], "a container outlives the kubelet"

    kubectl(sliced, "delete", "-n", "nim", "pod/llama-0")
    wait_for("its end", lambda: " ".join(pids()), timeout=10)


@pytest.mark.lab
def test_each_account_may_do_what_its_file_says(cluster: Lab) -> None:
    def as_(file: str, *words: str) -> subprocess.CompletedProcess[str]:
        return ask(cluster, *words, config=cluster.state / file)

    pods = ("get", "pods", "--all-namespaces", "--output=name")
    secrets = ("get", "secrets", "--all-namespaces")
    for file in ("kubeconfig", "kubeconfig-read"):
        assert "pod/llama-0" in as_(file, *pods).stdout
        assert as_(file, "get", "nodes,clusterpolicies", "--output=name").returncode == 0
        assert as_(file, "get", POLICY, "--namespace=gpu-operator").returncode == 0
        assert "(Forbidden)" in as_(file, *secrets).stderr
    assert "(Forbidden)" in as_("kubeconfig-nobody", *pods).stderr
    assert "(Unauthorized)" in as_("kubeconfig-expired", *pods).stderr

    act = (
        ("delete", "pod", "--namespace=nim", "--dry-run=server", "llama-0"),
        ("annotate", "--dry-run=server", NODE, "labtui.dev/tried=yes"),
        ("annotate", "--dry-run=server", "-n", "gpu-operator", POLICY, "labtui.dev/tried=yes"),
    )
    for words in act:
        assert as_("kubeconfig", *words).returncode == 0, as_("kubeconfig", *words).stderr
        assert "(Forbidden)" in as_("kubeconfig-read", *words).stderr
    for file in (*kube_access.ACCOUNTS, kube_access.EXPIRED):
        assert stat.S_IMODE((cluster.state / file).stat().st_mode) == 0o600


@pytest.mark.lab
def test_a_command_in_the_login_pod_reaches_slurm(cluster: Lab) -> None:
    find = ("get", "pods", "--all-namespaces", "-l", "app.kubernetes.io/component=login")
    assert get(cluster, *find[1:])["items"][0]["metadata"]["name"] == "login-0"
    inside = ("exec", "--namespace=soperator", "login-0", "--")
    config = cluster.state / "kubeconfig"
    for words in (("squeue",), ("chroot", "/mnt/jail", "squeue")):
        done = ask(cluster, *inside, *words, config=config)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[:2] == ["JOBID", "PARTITION"]
    done = ask(cluster, *inside, "sh", "-c", "echo out; echo err >&2; exit 3", config=config)
    # kwok tells the exit status in words only: kubectl's own is 1 for any that is not 0.
    assert (done.returncode, done.stdout) == (1, "out\n")
    assert done.stderr.startswith("err\n")
    assert done.stderr.rstrip().endswith("exit status 3")
    refused = ask(cluster, *inside, "squeue", config=cluster.state / "kubeconfig-read")
    assert "(Forbidden)" in refused.stderr


@pytest.mark.lab
def test_a_second_up_leaves_it_as_it_is(sliced: Lab) -> None:
    kubectl(sliced, "label", "--overwrite", NODE, "nvidia.com/device-plugin.config=slices-2")
    wait_for_gpus(sliced, gpu="2")
    before = get(sliced, "-n", "nim", "pod/llama-0")["metadata"]["uid"]
    keys = {
        f: (sliced.state / f).read_text() for f in (*kube_access.ACCOUNTS, "kubeconfig-expired")
    }
    up.bring_up(sliced, print, wait=True)
    assert unwell(sliced) == ""
    assert allocatable(sliced)["nvidia.com/gpu"] == "2", "what was chosen is not set back"
    assert get(sliced, "-n", "nim", "pod/llama-0")["metadata"]["uid"] == before
    assert keys == {file: (sliced.state / file).read_text() for file in keys}


@pytest.mark.lab
def test_it_comes_back_after_a_power_cut(cluster: Lab, healed: Lab) -> None:
    before = get(cluster, "-n", "nim", "pod/llama-0")["metadata"]["uid"]
    fault.make(cluster, CONTROLLER, "stop", print)
    health = Kubernetes().health(cluster)
    assert health.state == "failed"
    fault.make(cluster, CONTROLLER, "heal", print)
    wait_for("Kubernetes", lambda: unwell(cluster), timeout=60, every=0.5)
    assert get(cluster, "-n", "nim", "pod/llama-0")["metadata"]["uid"] == before
