"""What labtui reads of Kubernetes, and what it says when it cannot, from a real API server.

There is no scheduler and no kubelet: what they would write is written for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeserver import CODE, KUBE, KubeServer, kubernetes
from labtui.collectors import kubernetes as collectors
from labtui.collectors.base import CollectError
from labtui.config import Config, KubernetesConfig, NodeConfig
from labtui.hosts.base import HostError
from labtui.hosts.kubectl import KubectlHost
from labtui.hosts.local import LocalHost
from labtui.model import KubeGpus, SlurmCluster
from labtui.sources.kubernetes import Kubectl, KubeError
from standin import certificate, free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    with kubernetes(tmp_path_factory.mktemp("kube")) as running:
        running.install("accounts", "gpu-operator", "soperator", "pods")
        running.make(NODE)
        for one in STATUSES:
            running.status(one)
        # A token as docs/kubernetes.md has it made.
        made = running.run("create", "token", "labtui", "-n", "labtui", "--duration=1h")
        running.tokens["labtui"] = made.strip()
        for name in ("reader", "nobody"):
            made = running.run("create", "token", f"labtui-{name}", "-n", "labtui")
            running.tokens[name] = made.strip()
        yield running


NODE: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Node",
    "metadata": {"name": "gpu-node-1", "labels": {
        "nvidia.com/gpu.count": "1", "nvidia.com/gpu.replicas": "4",
        "nvidia.com/gpu.product": "NVIDIA-GeForce-RTX-4090-SHARED",
        "nvidia.com/gpu.sharing-strategy": "time-slicing",
        "nvidia.com/device-plugin.config": "slices-4"}},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.77.0.10"}],
        "allocatable": {"cpu": "16", "nvidia.com/gpu": "4", "nvidia.com/mig-1g.10gb": "2"},
        "capacity": {"cpu": "16", "nvidia.com/gpu": "4", "nvidia.com/mig-1g.10gb": "2"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}  # fmt: skip


def status(kind: str, name: str, of: str, **said: Any) -> dict[str, Any]:
    groups = {"Pod": "v1", "SlurmCluster": "slurm.nebius.ai/v1", "ClusterPolicy": "nvidia.com/v1",
              "NodeSet": "slurm.nebius.ai/v1alpha1"}  # fmt: skip
    meta = {"name": name} | ({"namespace": of} if of else {})
    return {"apiVersion": groups[kind], "kind": kind, "metadata": meta, "status": said}


def condition(type_: str, state: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": type_, "status": state, "reason": reason or "R", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip


FULL = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)
STATUSES = [
    status("Pod", "embed-0", "nim", phase="Pending",
           conditions=[condition("PodScheduled", "False", "Unschedulable", FULL)]),
    status("Pod", "tokenize-7xk2p", "training", phase="Succeeded"),
    status("Pod", "login-0", "soperator", phase="Running", containerStatuses=[
        {"name": "sshd", "ready": True, "restartCount": 0, "image": "x", "imageID": "x"}]),
    status("ClusterPolicy", "cluster-policy", "", state="ready", namespace="gpu-operator"),
    status("SlurmCluster", "lab", "soperator", phase="Not available", conditions=[
        condition("CommonAvailable", "True"),
        condition("ControllersAvailable", "False", "NotAvailable", "Slurm controllers are not"),
    ]),
    status("NodeSet", "gpu", "soperator", phase="Ready", replicas=1),
]  # fmt: skip

CONFIG = Config(nodes={"desktop-gpu": NodeConfig(address="10.77.0.10")})


def client(
    server: KubeServer, user: str = "labtui", *, timeout: float = 10.0, **changes: str
) -> Kubectl:
    """`changes`: another address, ca or token in the kubeconfig."""
    path = server.kubeconfig(user, **changes)
    section = KubernetesConfig(kubectl=(server.kubectl,), kubeconfig=path, timeout_s=timeout)
    return Kubectl(section, LocalHost("here"))


async def gpus(asked: Kubectl) -> KubeGpus:
    (found, _) = collectors.build(asked, CONFIG)
    value = await found.collect()
    assert isinstance(value, KubeGpus)
    return value


async def slurms(asked: Kubectl) -> list[SlurmCluster]:
    (_, found) = collectors.build(asked, CONFIG)
    value = await found.collect()
    assert isinstance(value, list)
    return value


def bind(server: KubeServer, namespace: str, name: str, node: str) -> None:
    """What the scheduler does."""
    server.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    })  # fmt: skip


async def test_all_is_read_with_the_rights_that_the_docs_name(server: KubeServer) -> None:
    pods = server.request("GET", "/api/v1/namespaces/nim/pods/llama-0")
    if not pods["spec"].get("nodeName"):
        bind(server, "nim", "llama-0", "gpu-node-1")
    found = await gpus(client(server))
    assert found.denied == {} and found.policy == "ready"
    (node,) = found.nodes
    assert (node.name, node.node, node.ready) == ("gpu-node-1", "desktop-gpu", True)
    assert (node.slices, node.capacity, node.mig) == (4, 4, {"mig-1g.10gb": 2})
    assert (node.cards, node.replicas, node.config) == (1, 4, "slices-4")
    assert node.sharing == "time-slicing" and node.product == "NVIDIA-GeForce-RTX-4090-SHARED"
    assert found.slicing is not None and found.slicing.unread == {}
    assert found.slicing.entries == {"slices-2": 2, "slices-4": 4, "slices-8": 8, "shared-4": 4}
    assert (found.slicing.default, found.slicing.renamed) == ("slices-4", ("shared-4",))
    assert (found.slicing.namespace, found.slicing.name) == ("gpu-operator", "time-slicing-config")
    held, waits = sorted(found.pods, key=lambda pod: pod.node is None)
    # Bound, its kubelet has said nothing yet: the slice is held all the same.
    assert (held.name, held.node, held.slices, held.since) == ("llama-0", "desktop-gpu", 1, None)
    assert held.owner == "StatefulSet/llama" and len(held.uid) == 36
    assert (waits.name, waits.node, waits.slices) == ("embed-0", None, 4)
    assert waits.reason == FULL and waits.created is not None
    assert waits.reason_text == (
        "1 node: not enough nvidia.com/gpu free (4 asked) - it starts when a holder ends; free a "
        "slice to start it now"
    )


async def test_a_pod_holds_until_it_is_over(server: KubeServer) -> None:
    server.make({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ends", "namespace": "training"},
        "spec": {"nodeName": "gpu-node-1", "containers": [
            {"name": "a", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
        "status": {"phase": "Running", "startTime": "2026-11-24T08:00:00Z"},
    })  # fmt: skip

    async def look() -> tuple[str, int, str | None] | None:
        pods = {pod.name: pod for pod in (await gpus(client(server))).pods}
        one = pods.get("ends")
        return None if one is None else (one.phase, one.slices, one.reason)

    assert await look() == ("Running", 2, None)
    server.run("delete", "pod", "ends", "-n", "training", "--wait=false", "--grace-period=30")
    assert await look() == ("Running", 2, "Terminating")
    server.status(status("Pod", "ends", "training", phase="Failed"))
    assert await look() is None
    server.run("delete", "pod", "ends", "-n", "training", "--force", "--grace-period=0")


async def test_pages_are_read_to_the_end(
    server: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "PAGE", 1)
    found = await gpus(client(server))
    assert {pod.name for pod in found.pods} == {"llama-0", "embed-0"}


async def test_soperator(server: KubeServer) -> None:
    (found,) = await slurms(client(server))
    assert (found.namespace, found.name, found.phase) == ("soperator", "lab", "Not available")
    assert found.conditions == {
        "CommonAvailable": "True", "ControllersAvailable": "False: NotAvailable",
    }  # fmt: skip
    assert found.message == "Slurm controllers are not"
    assert found.nodesets == {"gpu": "Ready 1/1"}
    assert (found.login_pod, found.login_fault) == ("login-0", None)


async def test_soperator_that_has_said_nothing(server: KubeServer) -> None:
    server.make({"apiVersion": "slurm.nebius.ai/v1", "kind": "SlurmCluster", "spec": {"new": 1},
                 "metadata": {"name": "new", "namespace": "training"}})  # fmt: skip
    found = {one.name: one for one in await slurms(client(server))}["new"]
    assert (found.phase, found.conditions, found.nodesets) == (None, {}, {})
    assert found.login_pod is None
    assert found.login_fault == "no pod has the label app.kubernetes.io/component=login"
    server.run("delete", "slurmcluster", "new", "-n", "training")


async def test_the_recipe_of_the_docs(server: KubeServer, tmp_path: Path) -> None:
    """The kubeconfig that docs/kubernetes.md has made, and its token renewed."""
    page = (CODE.parent.parent / "docs" / "kubernetes.md").read_text()
    recipe = page.partition("```sh\n")[2].partition("```")[0]
    bin_, home = tmp_path / "bin", tmp_path / "home"
    bin_.mkdir()
    (bin_ / "kubectl").symlink_to(server.kubectl)
    env = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(home),
           "KUBECONFIG": server.kubeconfig("admin")}  # fmt: skip
    argv = ["sh", "-ec", recipe]
    await asyncio.to_thread(
        subprocess.run, argv, env=env, check=True, capture_output=True, timeout=60
    )
    made = home / ".config" / "labtui"
    assert (made / "token").stat().st_mode & 0o77 == 0
    assert server.tokens["admin"] not in (made / "kubeconfig").read_text()
    section = KubernetesConfig(kubectl=(server.kubectl,), kubeconfig=str(made / "kubeconfig"))
    asked = Kubectl(section, LocalHost("here"))
    assert (await gpus(asked)).denied == {}
    token = (made / "token").read_text()
    (made / "token").write_text("old")
    assert (await fault(asked))[0] == "auth"
    (made / "token").write_text(token)
    assert (await gpus(asked)).denied == {}


# What is refused

RIGHTS: dict[str, tuple[list[str], list[str]]] = {
    "nodes": ([""], ["nodes"]), "pods": ([""], ["pods"]),
    "clusterpolicies": (["nvidia.com"], ["clusterpolicies"]),
    "configmaps": ([""], ["configmaps"]),
}  # fmt: skip


@pytest.fixture
def granted(server: KubeServer) -> Iterator[Any]:
    """Gives "limited" rights to exactly these parts."""
    server.tokens["limited"] = server.tokens["nobody"]

    def grant(*parts: str) -> Kubectl:
        rules = [{"apiGroups": RIGHTS[p][0], "resources": RIGHTS[p][1], "verbs": ["get", "list"]}
                 for p in parts]  # fmt: skip
        server.make(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
             "metadata": {"name": "limited"}, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
             "metadata": {"name": "limited"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                         "name": "limited"},
             "subjects": [{"kind": "ServiceAccount", "name": "labtui-nobody",
                           "namespace": "labtui"}]},
        )  # fmt: skip
        return client(server, "limited")

    yield grant
    server.run("delete", "clusterrolebinding", "limited", "--ignore-not-found")


@pytest.mark.parametrize("missing", list(RIGHTS))
async def test_a_part_that_is_denied_leaves_the_rest(
    server: KubeServer, granted: Any, missing: str
) -> None:
    asked = granted(*(part for part in RIGHTS if part != missing))
    for _ in range(40):  # RBAC's own cache takes a moment
        found = await gpus(asked)
        if set(found.denied) == {missing}:
            break
        time.sleep(0.1)  # noqa: ASYNC251
    assert set(found.denied) == {missing}
    said = found.denied[missing]
    verb = "get" if missing == "configmaps" else "list"
    assert f"labtui-nobody may not {verb} {missing}" in said
    assert said.endswith("docs/kubernetes.md names the right it needs")
    assert bool(found.nodes) == (missing != "nodes")
    assert bool(found.pods) == (missing != "pods")
    assert (found.slicing is None) == (missing in ("configmaps", "clusterpolicies"))
    assert (found.policy is None) == (missing == "clusterpolicies")


async def fault(asked: Kubectl) -> tuple[str, str]:
    with pytest.raises(CollectError) as caught:
        await gpus(asked)
    told = caught.value.fault
    assert told.message.isprintable() and "eyJ" not in told.message
    return told.kind, told.message


async def test_where_nothing_may_be_read_the_feed_fails(server: KubeServer) -> None:
    kind, message = await fault(client(server, "nobody"))
    assert kind == "permission"
    assert "may not list nodes" in message or "may not list pods" in message
    (_, slurm) = collectors.build(client(server, "nobody"), CONFIG)
    with pytest.raises(CollectError, match=r"may not list slurmclusters\.slurm\.nebius\.ai"):
        await slurm.collect()


async def test_reading_needs_no_right_to_act(server: KubeServer) -> None:
    reader = client(server, "reader")
    assert (await gpus(reader)).denied == {}
    with pytest.raises(KubeError, match=r"may not delete pods in nim: docs/kubernetes.md") as told:
        await reader.run("delete", "pod", "llama-0", "-n", "nim", "--wait=false")
    assert told.value.fault.kind == "permission"


async def test_an_expired_token(server: KubeServer) -> None:
    kind, message = await fault(client(server, token="eyJhbGciOi.eyJpc3Mi.old"))
    assert kind == "auth" and "expired or is wrong: docs/kubernetes.md" in message


async def test_another_ca(server: KubeServer, tmp_path: Path) -> None:
    other, _ = certificate(tmp_path)
    kind, message = await fault(client(server, ca=str(other)))
    assert kind == "tls" and "of another CA" in message
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    kind, message = await fault(client(server, address=elsewhere))
    assert kind == "tls" and "does not fit" in message


async def test_a_server_that_is_not_there(server: KubeServer) -> None:
    kind, message = await fault(client(server, address=f"https://127.0.0.1:{free_port()}"))
    assert kind == "refused" and "the API server is down" in message
    kind, message = await fault(client(server, address="https://no.such.host.invalid:6443"))
    assert kind in ("unreachable", "timeout")


async def test_a_server_that_hangs(server: KubeServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        kind, message = await fault(client(server, timeout=1.0))
        assert kind == "timeout" and "busy, or hangs" in message
        assert time.monotonic() - began < 3
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (await gpus(client(server, timeout=20.0))).nodes


async def test_kubeconfigs_that_are_wrong(server: KubeServer, tmp_path: Path) -> None:
    def of(**fields: Any) -> Kubectl:
        section = KubernetesConfig(kubectl=(server.kubectl,), **fields)
        return Kubectl(section, LocalHost("here"))

    good = server.kubeconfig("labtui")
    bad, empty = tmp_path / "bad", tmp_path / "empty"
    bad.write_text("{{{ token: secret-of-this-test")
    empty.write_text("")
    for asked, kind, words in (
        (of(kubeconfig="/no/such/config"), "config", "/no/such/config: no such kubeconfig"),
        (of(kubeconfig=good, context="\x1b[31mx"), "config", "has no context"),
        (of(kubeconfig=str(bad)), "config", "not a kubeconfig"),
        (of(kubeconfig=str(empty)), "refused", "no cluster is configured"),
    ):
        found, message = await fault(asked)
        assert found == kind and words in message
        assert "secret-of-this-test" not in message


async def test_what_is_not_there(server: KubeServer) -> None:
    for path, words in (
        ("/apis/nvidia.com/v9/clusterpolicies", "no such kind of object"),
        ("/api/v1/namespaces/nim/pods/nobody", 'pods "nobody" not found'),
    ):
        with pytest.raises(KubeError) as told:
            await client(server, "admin").get(path)
        assert told.value.fault.kind == "not-found" and words in told.value.fault.message
    with pytest.raises(KubeError) as told:
        await client(server, "admin").get("/api/v1/pods?continue=nonsense")
    assert told.value.fault.kind == "protocol"


async def test_actions_go_the_same_way(server: KubeServer) -> None:
    """What labels and patches with labtui's own rights, as the actions do."""
    own = client(server)
    said = await own.run("label", "node", "gpu-node-1", "nvidia.com/device-plugin.config=slices-2",
                         "--overwrite")  # fmt: skip
    assert "labeled" in said
    patch = json.dumps({"metadata": {"annotations": {"labtui.dev/test": "1"}}})
    await own.run("patch", "configmap", "time-slicing-config", "-n", "gpu-operator",
                  "--type=merge", "-p", patch)  # fmt: skip
    assert (await gpus(own)).nodes[0].config == "slices-2"
    await own.run("label", "node", "gpu-node-1", "nvidia.com/device-plugin.config=slices-4",
                  "--overwrite")  # fmt: skip


async def test_a_policy_without_an_operator(server: KubeServer) -> None:
    """No CRD of the GPU Operator: nothing is denied, nothing is known of slicing."""
    server.run("delete", "crd", "clusterpolicies.nvidia.com", "slurmclusters.slurm.nebius.ai")
    try:
        found = await gpus(client(server))
        assert (found.denied, found.policy, found.slicing) == ({}, None, None)
        assert found.nodes and found.pods
        (_, slurm) = collectors.build(client(server), CONFIG)
        with pytest.raises(CollectError, match="Soperator is not installed") as told:
            await slurm.collect()
        assert told.value.fault.kind == "not-found"
    finally:
        server.apply(KUBE / "crds.yaml")
        server.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
        for name in ("gpu-operator", "soperator"):
            server.apply(KUBE / f"{name}.yaml")


# The transport: the pod is found by its label


def login(server: KubeServer, user: str = "labtui", **fields: Any) -> KubectlHost:
    kubectl = (server.kubectl, f"--kubeconfig={server.kubeconfig(user)}")
    fields = {"namespace": "soperator", "selector": "app.kubernetes.io/component=login"} | fields
    return KubectlHost("login", NodeConfig(transport="kubectl", kubectl=kubectl, **fields))


async def test_the_pod_is_found_but_nothing_runs_in_it(server: KubeServer) -> None:
    host = login(server)
    assert await host._find() == "login-0"
    with pytest.raises(HostError) as told:  # there is no kubelet
        await host.run(["true"], timeout=5)
    assert told.value.kind in ("protocol", "unreachable", "timeout", "refused", "not-found")


@pytest.mark.parametrize(
    ("user", "fields", "kind", "words"),
    [
        ("labtui", {"selector": "app=absent"}, "not-found", "no ready pod with label app=absent"),
        ("labtui", {"selector": "a b=="}, "protocol", "unable to parse"),
        ("nobody", {}, "permission", "labtui-nobody may not list pods in soperator"),
        ("reader", {}, "permission", "labtui-reader may not"),
    ],
)
async def test_why_there_is_no_way_into_a_pod(
    server: KubeServer, user: str, fields: dict[str, str], kind: str, words: str
) -> None:
    with pytest.raises(HostError) as told:
        await login(server, user, **fields).run(["true"], timeout=5)
    assert told.value.kind == kind and words in told.value.message
