"""Slurm through Soperator's login pod, in the lab: a real API server, kwok for the kubelet.

kwok 0.7 runs what is sent into the pod on desktop-gpu itself. Two things it does not do as a
kubelet: a command that fails has no exit code (it is an error of the transport), and the end of
stdin does not arrive. tests/test_hosts_local.py has both, with a stand-in.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.collectors import kubernetes
from labtui.config import Config, KubernetesConfig, load
from labtui.hosts.base import HostError
from labtui.hosts.kubectl import KubectlHost
from labtui.hosts.local import LocalHost
from labtui.lab import kube_access, kube_build
from labtui.lab.layout import CONTROLLER, Lab
from labtui.lab.system import wait_for
from labtui.model import KubeGpus
from labtui.slurm import aio
from labtui.slurm.client import SlurmClient
from labtui.sources.kubernetes import Kubectl

LOGIN = "app.kubernetes.io/component=login"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Lab]:
    if not kube_build.built(lab):
        pytest.skip("KUBERNETES IS NOT BUILT HERE YET: run `labtui lab up --wait` once (6 minutes)")
    wait_for("the login pod", lambda: "" if ready(lab) else "not ready", timeout=120, every=0.5)
    yield lab
    wait_for("the login pod", lambda: "" if ready(lab) else "not ready", timeout=60, every=0.5)


def kubectl(lab: Lab, config: Path) -> tuple[str, ...]:
    """As the console runs it: on this side, in the lab's network."""
    inside = ("ip", "netns", "exec", lab.namespace)
    return (*inside, str(kube_build.kubectl(lab)), f"--kubeconfig={config}")


def admin(lab: Lab, *words: str, stdin: str | None = None) -> str:
    argv = [*kubectl(lab, kube_access.admin_config(lab)), *words]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ready(lab: Lab) -> bool:
    argv = [*kubectl(lab, kube_access.admin_config(lab)), "get", "pods", "-n", "soperator",
            "-l", LOGIN, "-o", "json"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    pods = json.loads(done.stdout)["items"] if done.returncode == 0 else []
    return any(all(c["ready"] for c in p["status"].get("containerStatuses") or [{"ready": False}])
               for p in pods)  # fmt: skip


def login(lab: Lab, config: str = "kubeconfig", **fields: Any) -> KubectlHost:
    node = load(lab.state / "labtui.toml").nodes[CONTROLLER]
    values = {"transport": "kubectl", "namespace": "soperator", "selector": LOGIN,
              "container": "sshd", "kubectl": kubectl(lab, lab.state / config)}  # fmt: skip
    made = type(node)(**(values | fields))
    return KubectlHost("login", made)


async def test_slurm_is_asked_through_the_login_pod(cluster: Lab) -> None:
    client = SlurmClient(login(cluster), timeout=20.0)
    nodes = await aio.nodes(client)
    assert CONTROLLER in nodes
    jobs = await aio.jobs(client)
    assert all(job.id for job in jobs.values())
    parts = await aio.partitions(client)
    assert set(parts) == {"gpu", "cpu", "edge"}


async def test_a_chroot_and_odd_words_arrive_as_they_are(cluster: Lab) -> None:
    host = login(cluster, chroot="/")
    odd = ["a b", "$(id)", "'", '"', "\\", "*", "-n", "ü\n"]
    done = await host.run(["printf", "%s\\0", *odd], timeout=20)
    assert done.stdout.split("\0")[:-1] == odd
    done = await host.run(["head", "-c", "5"], stdin="given", timeout=20)
    assert done.stdout == "given"
    assert (await host.run(["cat"], timeout=20)).stdout == ""
    chosen = login(cluster, container="")
    done = await chosen.run(["true"], timeout=20)
    assert (done.rc, done.stderr) == (0, "")


async def test_a_pod_that_is_replaced_is_found_again(cluster: Lab) -> None:
    host = login(cluster)
    assert (await host.run(["hostname"], timeout=20)).stdout.strip() == CONTROLLER
    assert host._pod == "login-0"
    pod = json.loads(admin(cluster, "get", "pod", "login-0", "-n", "soperator", "-o", "json"))
    meta = {"name": "login-1", "namespace": "soperator", "labels": pod["metadata"]["labels"]}
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {
        "nodeName": CONTROLLER, "containers": [{"name": "sshd", "image": "x"}]}}  # fmt: skip
    try:
        admin(cluster, "delete", "pod", "login-0", "-n", "soperator", "--force",
              "--grace-period=0")  # fmt: skip
        with pytest.raises(HostError) as told:
            await host.run(["true"], timeout=20)
        assert told.value.kind == "not-found"
        assert told.value.message == f"no ready pod with label {LOGIN} in soperator"
        admin(cluster, "create", "-f", "-", stdin=json.dumps(other))
        wait_for("login-1", lambda: "" if ready(cluster) else "not ready", timeout=30, every=0.3)
        assert (await host.run(["hostname"], timeout=20)).stdout.strip() == CONTROLLER
        assert host._pod == "login-1"
    finally:
        keep = {k: pod["metadata"][k] for k in ("name", "namespace", "labels")}
        mended = {"apiVersion": "v1", "kind": "Pod", "metadata": keep, "spec": {
            "nodeName": CONTROLLER, "containers": pod["spec"]["containers"]}}  # fmt: skip
        for one in mended["spec"]["containers"]:
            one.pop("volumeMounts", None)
        admin(cluster, "delete", "pod", "login-1", "-n", "soperator", "--force",
              "--grace-period=0", "--ignore-not-found")  # fmt: skip
        admin(cluster, "create", "-f", "-", stdin=json.dumps(mended))


async def test_who_may_not_exec_is_told(cluster: Lab) -> None:
    with pytest.raises(HostError) as told:
        await login(cluster, "kubeconfig-read").run(["true"], timeout=20)
    assert told.value.kind == "permission"
    assert "labtui-reader may not" in told.value.message
    assert "pods/exec in soperator: docs/kubernetes.md names the right" in told.value.message
    with pytest.raises(HostError) as told:
        await login(cluster, kube_access.EXPIRED).run(["true"], timeout=20)
    assert told.value.kind == "auth"


async def test_the_lab_is_read_with_its_own_account(cluster: Lab) -> None:
    section = KubernetesConfig(kubectl=kubectl(cluster, cluster.state / "kubeconfig"))
    config = load(cluster.state / "labtui.toml")
    gpus, slurm = kubernetes.build(Kubectl(section, LocalHost("here")), config)
    deadline = time.monotonic() + 30
    while True:
        found = await gpus.collect()
        assert isinstance(found, KubeGpus)
        held = [pod for pod in found.pods if pod.node == CONTROLLER and pod.since is not None]
        waits = [pod for pod in found.pods if pod.node is None]
        if held and waits:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.5)  # noqa: ASYNC251 - nothing else runs on this loop
    assert found.denied == {} and found.policy == "ready" and found.slicing is not None
    (node,) = found.nodes
    assert node.node == CONTROLLER and node.ready and node.slices == node.capacity
    assert any("not enough nvidia.com/gpu free" in (pod.reason_text or "") for pod in waits)
    (one,) = await slurm.collect()
    assert (one.name, one.phase) == ("lab", "Available")
    assert one.nodesets == {"gpu": "Ready 1/1"} and one.login_pod


async def test_an_absent_right_is_told_in_the_lab(cluster: Lab) -> None:
    section = KubernetesConfig(kubectl=kubectl(cluster, cluster.state / "kubeconfig-nobody"))
    (gpus, _) = kubernetes.build(Kubectl(section, LocalHost("here")), Config())
    with pytest.raises(Exception, match=r"labtui-nobody may not list (nodes|pods)"):
        await gpus.collect()
