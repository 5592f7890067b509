"""Deleting pods and cutting cards anew on a real API server, with labtui's own rights.

There is no scheduler, no kubelet and no device plug-in: what they would write is written for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from kubeserver import KubeServer, kubernetes
from labtui.actions.base import Action, ActionError, Outcome
from labtui.actions.pods import DeletePod
from labtui.actions.runner import Runner
from labtui.actions.slicing import LABEL, Slices, Unlabel
from labtui.collectors.kubernetes import GpuCollector
from labtui.config import Config, KubernetesConfig
from labtui.hosts.local import LocalHost
from labtui.model import Gpu, KubeGpus
from labtui.sources.kubernetes import Kubectl

CARD = Gpu(node="gpu-node-1", index=0)
SLICING = ("get", "configmap", "time-slicing-config", "-n", "gpu-operator", "-o", "json")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    with kubernetes(tmp_path_factory.mktemp("kube")) as running:
        running.install("accounts", "gpu-operator")
        running.make({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "gpu-node-1", "labels": {
                "nvidia.com/gpu.count": "1", "nvidia.com/gpu.replicas": "4",
                "nvidia.com/gpu.sharing-strategy": "time-slicing"}},
            "status": {"allocatable": {"nvidia.com/gpu": "4"}, "capacity": {"nvidia.com/gpu": "4"},
                       "conditions": [{"type": "Ready", "status": "True"}]},
        })  # fmt: skip
        for name in ("labtui", "reader"):
            account = name if name == "labtui" else f"labtui-{name}"
            made = running.run("create", "token", account, "-n", "labtui", "--duration=1h")
            running.tokens[name] = made.strip()
        yield running


def client(server: KubeServer, user: str = "labtui") -> Kubectl:
    config = KubernetesConfig(kubectl=(server.kubectl,), kubeconfig=server.kubeconfig(user))
    return Kubectl(config, LocalHost("here"))


def pod(server: KubeServer, name: str, **meta: Any) -> str:
    """A pod on the node; its uid."""
    server.run("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **meta},
        "spec": {"terminationGracePeriodSeconds": 3, "nodeName": "gpu-node-1", "containers": [
            {"name": "c", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
    }))  # fmt: skip
    found = json.loads(server.run("get", "pod", name, "-o", "json"))
    return str(found["metadata"]["uid"])


def kubelet_ends(server: KubeServer, name: str) -> None:
    server.run("delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found")


async def gpus(kube: Kubectl) -> KubeGpus:
    return await GpuCollector(kube, Config()).ask()


async def perform(action: Action, meanwhile: Any = None) -> Outcome:
    runner = Runner(lambda line: None, cluster="x")
    plan = await runner.plan(action)
    task = asyncio.create_task(runner.perform(action, plan, lambda line: None))
    if meanwhile is not None:
        await asyncio.to_thread(meanwhile)
    return await task


async def test_only_that_very_pod_is_deleted(server: KubeServer) -> None:
    uid = pod(server, "one")
    kube = client(server)
    with pytest.raises(ActionError, match="another has its name now"):
        await DeletePod(kube, "default", "one", uid="of-another").plan()
    late = DeletePod(kube, "default", "one", uid=uid)
    await late.plan()
    late.uid = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(ActionError, match="nothing was deleted"):
        await late.run(lambda line: None)
    assert json.loads(server.run("get", "pod", "one", "-o", "json"))["metadata"]["uid"] == uid

    def kubelet() -> None:
        server.run(
            "wait", "--for=jsonpath={.metadata.deletionTimestamp}", "pod/one", "--timeout=9s"
        )
        kubelet_ends(server, "one")

    outcome = await perform(DeletePod(kube, "default", "one", uid=uid), kubelet)
    assert (outcome.kind, outcome.message) == ("done", "pod default/one is gone")
    with pytest.raises(ActionError, match="it is gone already"):
        await DeletePod(kube, "default", "one").plan()


async def test_a_pod_whose_kubelet_is_silent_is_unknown(server: KubeServer) -> None:
    pod(server, "two")
    outcome = await perform(DeletePod(client(server), "default", "two", settle=0.5))
    assert outcome.kind == "unknown" and "still ending (it has 3 s)" in outcome.message
    kubelet_ends(server, "two")


async def test_who_may_only_look_is_told_which_right_is_missing(server: KubeServer) -> None:
    pod(server, "three")
    outcome = await perform(DeletePod(client(server, "reader"), "default", "three"))
    assert outcome.kind == "failed" and "may not delete pods" in outcome.message
    kubelet_ends(server, "three")


async def test_a_new_entry_a_label_and_back(server: KubeServer) -> None:
    kube = client(server)
    pod(server, "four")
    before = json.loads(server.run(*SLICING))["data"]

    def plug_in(count: int) -> None:
        for _ in range(50):
            labels = json.loads(server.run("get", "node", "gpu-node-1", "-o", "json"))["metadata"]
            if (LABEL in labels["labels"]) == (count != 4):
                break
        server.status({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-node-1"},
                       "status": {"allocatable": {"nvidia.com/gpu": str(count)}}})  # fmt: skip

    action = Slices(kube, CARD, "6", await gpus(kube), follows=20.0)
    outcome = await perform(action, lambda: plug_in(6))
    assert outcome.message == "gpu-node-1 has 6 slices in Kubernetes, had 4 slices"
    after = json.loads(server.run(*SLICING))["data"]
    assert set(after) - set(before) == {"slices-6"} and "replicas: 6" in after["slices-6"]
    assert (await gpus(kube)).slicing.entries["slices-6"] == 6  # type: ignore[union-attr]
    back = Unlabel(kube, CARD, "no label", await gpus(kube), follows=20.0)
    outcome = await perform(back, lambda: plug_in(4))
    assert (outcome.kind, outcome.details["before"]) == ("done", "slices-6")
    kubelet_ends(server, "four")


async def test_a_plug_in_that_does_not_follow_is_unknown(server: KubeServer) -> None:
    kube = client(server)
    outcome = await perform(Slices(kube, CARD, "7", await gpus(kube), follows=1.0))
    assert outcome.kind == "unknown"
    assert "is told to follow slices-7, and has 4 slices yet" in outcome.message


async def test_who_may_only_look_cuts_nothing(server: KubeServer) -> None:
    kube = client(server, "reader")
    outcome = await perform(Slices(kube, CARD, "3", await gpus(kube), follows=1.0))
    assert outcome.kind == "failed" and "may not patch configmaps" in outcome.message
