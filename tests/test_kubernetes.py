"""Kubernetes without a cluster: what is decoded, in words, and a stand-in kubectl that fails.

What a real API server says is in test_kubernetes_api.py.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.collectors import kubernetes as collectors
from labtui.collectors.base import CollectError
from labtui.config import Config, KubernetesConfig, NodeConfig
from labtui.hosts.base import Completed
from labtui.hosts.kubectl_errors import explain
from labtui.hosts.local import LocalHost
from labtui.model import KubeGpus, Pod
from labtui.sources import kubeobjects, kubereasons, soperator
from labtui.sources.kubernetes import Kubectl, KubeError
from labtui.sources.kubeshapes import NodePage, PodPage, RawPod
from labtui.sources.slicing import read, slicing
from labtui.text import inert

HOSTILE = "a[/b][red]x\x1b[2J\x1b]0;owned\x07\r\nb\u202egnp.exe\u200b"
GPU = "nvidia.com/gpu"


def is_inert(text: str | None) -> bool:
    return text is not None and inert(text, 10_000) == text


# A stand-in for kubectl


class Answering(LocalHost):
    """A host whose kubectl says this of every path."""

    def __init__(self, text: str) -> None:
        super().__init__("here")
        self.text = text

    async def run(self, argv: Sequence[str], **_: Any) -> Completed:
        return Completed(tuple(argv), 0, self.text, "", 0.0)


def stand_in(folder: Path, body: str, **fields: Any) -> Kubectl:
    """A program that stands in for kubectl."""
    path = folder / "kubectl"
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    path.chmod(0o755)
    return Kubectl(KubernetesConfig(kubectl=(str(path),), **fields), LocalHost("here"))


async def failure(client: Kubectl) -> tuple[str, str]:
    with pytest.raises(KubeError) as caught:
        await client.get("/api/v1/pods", type=PodPage)
    fault = caught.value.fault
    assert is_inert(fault.message) and len(fault.message) <= 301
    return fault.kind, fault.message


@pytest.mark.parametrize(
    "body",
    [
        "print('<html>proxy login</html>')",
        "print('{\"items\": [')",
        "print('{\"items\": 3}')",
        "print('[' * 100000)",
        "sys.stdout.buffer.write(b'\\xff\\xfe\\x00')",
        "pass",
    ],
)
async def test_garbage_is_said_to_be_garbage(tmp_path: Path, body: str) -> None:
    kind, message = await failure(stand_in(tmp_path, body))
    assert kind == "protocol" and message.startswith("pods: not what Kubernetes says")


async def test_a_kubectl_that_never_ends_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    for body in ("time.sleep(60)", "while True: print('x' * 100, flush=True); time.sleep(0.1)"):
        kind, message = await failure(stand_in(tmp_path, body, timeout_s=0.3))
        assert kind == "timeout" and "no answer within 0.3 s" in message
    assert time.monotonic() - began < 5


async def test_a_huge_answer_is_refused(tmp_path: Path) -> None:
    body = "\nwhile True: sys.stdout.write(' ' * (1 << 20))"
    kind, message = await failure(stand_in(tmp_path, body, timeout_s=20.0))
    assert kind == "protocol" and message == "kubectl: the answer is larger than 64 MiB"


async def test_no_kubectl() -> None:
    section = KubernetesConfig(kubectl=("/no/microk8s", "kubectl"), via="desktop-gpu")
    kind, message = await failure(Kubectl(section, LocalHost("here")))
    assert kind == "not-found"
    assert message == (
        "/no/microk8s kubectl: no such command on desktop-gpu: install it, or name another in "
        "[kubernetes] kubectl"
    )
    section = KubernetesConfig(kubectl=("/etc/passwd",))
    kind, message = await failure(Kubectl(section, LocalHost("here")))
    assert kind == "permission" and "may not be run" in message


async def test_the_command_is_a_list_and_stdin_is_closed(tmp_path: Path) -> None:
    body = "import json; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    client = stand_in(tmp_path, body, kubeconfig="/etc/lab conf", context="-x; rm", timeout_s=7.0)
    argv, stdin = await client.get("/api/v1/pods?a=b")
    assert stdin == ""
    assert argv == [
        "--kubeconfig=/etc/lab conf", "--context=-x; rm", "--request-timeout=7s",
        "get", "--raw", "/api/v1/pods?a=b",
    ]  # fmt: skip
    argv, stdin = json.loads(await client.run("apply", "-f", "-", stdin="given", timeout=2))
    assert (argv[2:], stdin) == (["--request-timeout=2s", "apply", "-f", "-"], "given")


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            'Error from server (Forbidden): pods "x" is forbidden: User "ana" cannot delete '
            'resource "pods" in API group "" in the namespace "nim"',
            "permission", "ana may not delete pods in nim: docs/kubernetes.md names",
        ),
        (
            'Error from server (Forbidden): clusterpolicies.nvidia.com is forbidden: User "ana" '
            'cannot list resource "clusterpolicies" in API group "nvidia.com" at the cluster scope',
            "permission", "ana may not list clusterpolicies.nvidia.com: docs",
        ),
        ("Error from server (Forbidden): admission webhook says no", "permission", "webhook"),
        ("error: You must be logged in to the server (Unauthorized)", "auth", "expired"),
        (
            "Unable to connect to the server: getting credentials: exec: executable aws not found",
            "auth", "login program failed",
        ),
        (
            "Unable to connect to the server: x509: certificate has expired or is not yet valid",
            "tls", "set the clock",
        ),
        ("Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: no route to host",
         "unreachable", "no route"),
        ("Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout", "timeout", ""),
        ("Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused",
         "refused", "nothing answers at 10.0.0.1:6443"),
        ("The connection to the server localhost:8080 was refused - did you specify the right "
         "host or port?", "refused", "no cluster is configured"),
        ("Error from server (Expired): The provided continue parameter is too old to display a "
         "consistent list", "timeout", "page by page: it is asked again"),
        ("error: open /etc/rancher/k3s/k3s.yaml: permission denied", "config", "may not be read"),
        ("Insufficient permissions to access MicroK8s.\nYou can either try again with sudo or add "
         "the user\n\n    sudo usermod -a -G microk8s ana\n", "permission", "group microk8s"),
        ("E1124 09:50:10.1 1 memcache.go:265] couldn't get server API group list\n"
         "error: You must be logged in to the server (Unauthorized)", "auth", "expired"),
        (HOSTILE, "protocol", "bgnp.exe"),
        ("", "protocol", "without a word"),
    ],
)  # fmt: skip
def test_what_kubectl_says_is_understood(said: str, kind: str, words: str) -> None:
    told = explain(said)
    assert told.kind == kind and words in told.message and is_inert(told.message)


def test_a_token_is_in_no_message() -> None:
    for text in ("bad header Authorization: Bearer abc.def", "token eyJhbGciOiJSUzI1NiJ9.eyJpc3.s"):
        told = explain(f"error: {text}")
        assert "eyJ" not in told.message and "abc.def" not in told.message


# What is counted


def pod(**spec: Any) -> Pod | None:
    document = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec,
                "status": {"phase": "Running"}}  # fmt: skip
    return kubeobjects.pod(msgspec.convert(document, RawPod), {})


def container(count: int | str, resource: str = GPU, **more: Any) -> dict[str, Any]:
    return {"resources": {"limits": {resource: count, "cpu": "250m"}}} | more


@pytest.mark.parametrize(
    ("containers", "init", "slices"),
    [
        ([container("1")], [], 1),
        ([container("1"), container(2)], [], 3),
        ([container("1")], [container("4"), container("2")], 4),
        ([container("3")], [container("2")], 3),
        # A sidecar stays: beside the containers, and beside the init containers after it.
        ([container("1")], [container("1", restartPolicy="Always")], 2),
        ([container("1")], [container("1", restartPolicy="Always"), container("3")], 4),
        ([container("1")], [container("3"), container("1", restartPolicy="Always")], 3),
        ([container("2", f"{GPU}.shared")], [], 2),
        ([{"resources": {"requests": {GPU: "2"}}}], [], 2),
        ([{}], [container("1")], 1),
    ],
)
def test_slices_are_counted_as_the_scheduler_counts(
    containers: list[Any], init: list[Any], slices: int
) -> None:
    found = pod(containers=containers, initContainers=init)
    assert found is not None and found.slices == slices


def test_what_asks_for_no_gpu_is_left_out() -> None:
    assert pod(containers=[{"resources": {"limits": {"cpu": "1"}}}, {"resources": None}]) is None
    assert pod(containers=[container("0")]) is None
    found = pod(containers=[container("2", "nvidia.com/mig-1g.10gb.shared"), container(1)])
    assert found is not None and (found.slices, found.mig) == (1, {"mig-1g.10gb": 2})


@pytest.mark.parametrize(
    ("written", "count"),
    [("1e3", 1000), ("1E3", 1000), ("2E0", 2), ("1G", 10**9), ("1Gi", 1 << 30), ("1.5k", 1500),
     ("2000m", 2), ("3000000u", 3), ("4000000000n", 4), ("+8", 8), (".5Ki", 512), ("6.", 6),
     ("70e-1", 7), ("0", 0), ("0E", 0)],
)  # fmt: skip
def test_a_quantity_is_written_in_many_ways(written: str, count: int) -> None:
    assert kubeobjects.quantity(written) == count


@pytest.mark.parametrize(
    "count", ["-1", "1.5", "", "a lot", "1e30", -2, "9" * 40, "500m", "1E", "1e-3", "k", "1_0"]
)
def test_a_number_of_gpus_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(ValueError, match="is no number of GPUs"):
        pod(containers=[container(count)])


async def test_a_number_that_is_none_costs_its_own_pod_or_node() -> None:
    def item(name: str, node: str, asked: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": "nim"},
                "spec": {"nodeName": node, "containers": [container(asked)]},
                "status": {"phase": "Running", "allocatable": {GPU: asked}}}  # fmt: skip

    items = [item("gpu1", "gpu1", "1e1"), item("gpu2", "gpu2", "a lot"), item("a", "gpu3", "1.5")]
    client = Kubectl(KubernetesConfig(), Answering(json.dumps({"items": items})))
    found = await collectors.GpuCollector(client, Config()).collect()
    assert [(one.name, one.slices) for one in found.nodes] == [("gpu1", 10)]
    assert [(one.name, one.slices) for one in found.pods] == [("gpu1", 10)]
    assert found.unread == {
        "gpu2": "node gpu2: a lot is no number of GPUs",
        "a": "node a: 1.5 is no number of GPUs",
        "gpu3": "pod nim/a: 1.5 is no number of GPUs",
    }


def test_who_makes_a_pod_anew() -> None:
    def owner(*owners: dict[str, Any], **labels: str) -> str | None:
        document = {"metadata": {"name": "p", "labels": labels, "ownerReferences": owners},
                    "spec": {"containers": [container(1)]}}  # fmt: skip
        found = kubeobjects.pod(msgspec.convert(document, RawPod), {})
        assert found is not None
        return found.owner

    replica = {"kind": "ReplicaSet", "name": "llama-5d9f", "controller": True}
    assert owner(replica, **{"pod-template-hash": "5d9f"}) == "Deployment/llama"
    assert owner(replica) == "ReplicaSet/llama-5d9f"
    assert owner({"kind": "Job", "name": "eval"}) == "Job/eval"
    assert owner() is None


def test_a_machine_is_found_by_name_or_address() -> None:
    def raw(name: str, address: str, ready: str = "True") -> dict[str, Any]:
        return {"metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": ready}],
                           "addresses": [{"type": "Hostname", "address": name},
                                         {"type": "InternalIP", "address": address}]}}  # fmt: skip

    page = msgspec.convert({"items": [raw("a", "10.0.0.9"), raw("ip-10-0-0-2", "10.0.0.2"),
                                      raw("c", "10.0.0.3")]}, NodePage)  # fmt: skip
    configured = {"a": "10.0.0.1", "b": "10.0.0.2", "d": ""}
    names, twins = kubeobjects.machines(page.items or (), configured)
    assert names == {"a": "a", "ip-10-0-0-2": "b", "c": "c"} and not twins
    left = [raw("a-old", "10.0.0.1", "Unknown"), raw("b-old", "10.0.0.2", "Unknown"),
            raw("a", "10.0.0.1", "False"), raw("b-new", "10.0.0.2")]  # fmt: skip
    page = msgspec.convert({"items": left}, NodePage)
    names, twins = kubeobjects.machines(page.items or (), configured)
    assert names == {"a": "a", "a-old": "a-old", "b-new": "b", "b-old": "b-old"}
    assert twins == {"a-old": "a", "b-old": "b"}
    assert kubeobjects.node(page.items[0], names, twins["a-old"]).twin == "a"  # type: ignore[index]


# Why a pod waits


def waiting(reason: str, message: str = "", phase: str = "Pending", **status: Any) -> Pod:
    state = {"state": {"waiting": {"reason": reason, "message": message}}} | status
    document = {"metadata": {"name": "p"},
                "spec": {"nodeName": "n", "containers": [container(1)]},
                "status": {"phase": phase, "containerStatuses": [
                    {"state": {"waiting": {"reason": "PodInitializing"}}, "restartCount": 7}, state,
                ]}}  # fmt: skip
    found = kubeobjects.pod(msgspec.convert(document, RawPod), {})
    assert found is not None
    return found


def test_what_the_kubelet_says() -> None:
    found = waiting("ImagePullBackOff", "Back-off pulling image \x1b[2J")
    assert found.reason_text == "its image cannot be pulled: check name, tag and pull secret"
    found = waiting("CrashLoopBackOff", "back-off", "Running", restartCount=3,
                    lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}})  # fmt: skip
    assert found.restarts == 10 and (found.reason_text or "").endswith("(the last time: OOMKilled)")
    found = waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1}})
    assert (found.reason_text or "").endswith("(the last time: exit 1)")
    early = "its first steps (init containers) are under way"
    assert waiting("ContainerCreating").reason_text == early
    found = waiting("SomethingNew", HOSTILE)
    assert is_inert(found.reason_text) and found.node == "n"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated "
            "taint {node-role.kubernetes.io/control-plane: }, 2 node(s) didn't match Pod's node "
            "affinity/selector. preemption: 0/4 nodes are available: 4 Preemption is not helpful.",
            "1 node: not enough nvidia.com/gpu free (2 asked); 1 node: taint "
            "node-role.kubernetes.io/control-plane is not tolerated; 2 nodes: not the labels that "
            "the pod asks for - it starts when a holder ends; free a slice to start it now",
        ),
        (
            "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1",
            "1 node: cordoned - `kubectl uncordon NODE` opens it",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint "
            "{node.kubernetes.io/not-ready: }.",
            "1 node: not ready - look at the node and its kubelet",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            "its volume claim is not bound - look at `kubectl get pvc` and the storage class",
        ),
        ("0/1 nodes are available: 1 something new.", "1 node: something new"),
        ("no nodes available to schedule pods", "the cluster has no node that takes pods"),
        ("a message\x1b[2J", "a message"),
        ("", ""),
    ],
)
def test_what_the_scheduler_says(message: str, words: str) -> None:
    assert kubereasons.unscheduled(message, {GPU: 2}) == words


@given(st.text())
def test_any_message_becomes_one_inert_line(text: str) -> None:
    for message in (text, f"0/1 nodes are available: {text}"):
        assert is_inert(kubereasons.unscheduled(message, {GPU: 1}))
    assert is_inert(explain(text).message)


# The ConfigMap


@pytest.mark.parametrize(
    ("text", "replicas", "renamed"),
    [
        ("sharing:\n  timeSlicing:\n    resources:\n    - name: nvidia.com/gpu\n      replicas: 4",
         4, False),
        ("---\nversion: v1\nflags: {migStrategy: none}\nsharing:\n  timeSlicing:\n"
         "    renameByDefault: true # x\n    resources:\n      - replicas: 2\n"
         "        name: 'nvidia.com/gpu'\n", 2, True),
        ("sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 8}]}}", 8, False),
        ('{"sharing": {"mps": {"resources": [{"name": "nvidia.com/gpu", "replicas": 10}]}}}',
         10, False),
        ("sharing:\n  timeSlicing:\n    resources:\n    -\n      name: \"nvidia.com/gpu\"\n"
         "      rename: nvidia.com/gpu.shared\n      replicas: 3\n    - name: x\n      replicas: 9",
         3, True),
        ("flags:\n  migStrategy: mixed\nsharing:\n  timeSlicing:\n    resources:\n"
         "    - name: nvidia.com/mig-1g.10gb\n      replicas: 2\n", 1, False),
        ("version: v1\nflags:\n  migStrategy: single\n", 1, False),
        ("", 1, False),
    ],
)  # fmt: skip
def test_slicings_are_read(text: str, replicas: int, renamed: bool) -> None:
    found = slicing("gpu-operator", "c", "", {"e": text})
    assert (found.entries, found.unread) == ({"e": replicas}, {})
    assert (found.renamed == ("e",)) is renamed and found.default is None


@pytest.mark.parametrize(
    "text",
    [
        "sharing: &a {}", "sharing: |\n  x", "sharing:\n\ttimeSlicing: 1", "- a\n- b", "sharing: 3",
        "a: 1\n---\nb: 2", "a: 1\na: 2", "{", "[1, 2", "a: {b: 1", "x\ny", "x" * 70_000,
        "sharing:\n  timeSlicing:\n    resources:\n    - name: nvidia.com/gpu\n      replicas: 0",
        "sharing:\n  timeSlicing:\n    resources:\n    - name: nvidia.com/gpu\n",
        "sharing:\n  timeSlicing:\n    resources: nvidia.com/gpu", "a:\n" * 2 + "  " * 30 + "b: 1",
        "a: " + "[" * 50 + "]" * 50,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_not_guessed(text: str) -> None:
    found = slicing("gpu-operator", "c", None, {"bad": text, "good": "version: v1"})
    assert found.entries == {"good": 1} and found.unread["bad"].isprintable()


@given(st.text(alphabet="ab:-[]{},# \n'\"&|\t1"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ValueError:
        return


SCALARS = st.one_of(st.booleans(), st.none(), st.integers(-99, 9999), st.sampled_from(
    ["nvidia.com/gpu", "v1", "x y", "a/b"]))  # fmt: skip
YAML = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(st.sampled_from(["a", "name", "b.c/d", "k e"]), inner, min_size=1),
    ),
    max_leaves=8,
)


def written(value: Any, indent: int) -> str:
    """A value as block YAML, the way people write it."""
    pad = " " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{k}:{nested(v, indent)}" for k, v in value.items())
    if isinstance(value, list):
        return "".join(f"{pad}-{nested(v, indent)}" for v in value)
    words = {True: "true", False: "false", None: "null"}
    return words[value] if isinstance(value, bool) or value is None else str(value)


def nested(value: Any, indent: int) -> str:
    if isinstance(value, (dict, list)):
        return "\n" + written(value, indent + 2)
    return f" {written(value, 0)}\n"


@given(st.dictionaries(st.sampled_from(["a", "sharing", "b.c/d"]), YAML, min_size=1))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    assert read(written(value, 0)) == value


# Anything that may come


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(),
              st.sampled_from(["Pending", "Running", "1", "-3", "2026-01-01T00:00:00Z"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    ["items", "metadata", "spec", "status", "containers", "resources", "limits",
                     GPU, "nvidia.com/mig-1g.10gb", "name", "phase", "conditions", "type",
                     "nodeName", "allocatable", "labels", "continue", "initContainers", "data",
                     "devicePlugin", "config", "containerStatuses", "state", "waiting", "reason"]
                ),
                st.text(max_size=8),
            ),
            inner, max_size=6,
        ),
    ),
    max_leaves=30,
)  # fmt: skip


def likely(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Documents of about the right shape, with anything in any place."""
    meta = st.fixed_dictionaries({"name": st.text()}, optional={"labels": inner, "uid": inner})
    limits = st.dictionaries(
        st.sampled_from([GPU, "nvidia.com/mig-1g.10gb", "cpu"]),
        st.one_of(st.integers(-3, 9), st.sampled_from(["1", "2", "-1", "x"])),
    )
    box = st.fixed_dictionaries({"resources": st.fixed_dictionaries({"limits": limits})})
    spec = st.fixed_dictionaries(
        {"containers": st.lists(box, max_size=3)},
        optional={"nodeName": st.text(), "initContainers": inner},
    )
    status = st.fixed_dictionaries(
        {},
        optional={
            "phase": st.sampled_from(["Pending", "Running", "Failed"]),
            "conditions": inner,
            "allocatable": limits,
            "containerStatuses": inner,
        },
    )
    item = st.fixed_dictionaries(
        {"metadata": meta}, optional={"spec": spec, "status": status, "more": inner}
    )
    return st.fixed_dictionaries({"items": st.lists(item, max_size=4)})  # fmt: skip


def never_wrong(found: KubeGpus) -> None:
    for one in found.pods:
        assert one.slices >= 0 and all(n > 0 for n in one.mig.values())
        assert one.slices or one.mig
        assert one.phase not in ("Succeeded", "Failed")
    for node in found.nodes:
        assert (node.slices is None or node.slices >= 0) and all(node.mig.values())


@settings(max_examples=300, deadline=None)
@given(st.one_of(JSON, likely(JSON)))
async def test_whatever_comes_is_understood_or_a_fault(value: Any) -> None:
    client = Kubectl(KubernetesConfig(kubectl=("kubectl",)), Answering(""))
    client.host.text = json.dumps(value)  # type: ignore[attr-defined]
    for collector in collectors.build(client, Config()):
        collector.timeout = 1.0
        if isinstance(value, dict) and isinstance(value.get("metadata"), dict):
            value["metadata"].pop("continue", None)  # it would go on for ever
            client.host.text = json.dumps(value)  # type: ignore[attr-defined]
        try:
            found = await collector.collect()
        except CollectError as error:
            assert is_inert(error.fault.message)
            continue
        if isinstance(found, KubeGpus):
            never_wrong(found)


async def test_a_hostile_name_is_no_path_and_no_option() -> None:
    """The policy names the ConfigMap: it must not lead elsewhere."""
    seen: list[str] = []

    class Recording(Answering):
        async def run(self, argv: Sequence[str], **_: Any) -> Completed:
            seen.append(argv[-1])
            text = json.dumps({"items": [{
                "spec": {"devicePlugin": {"config": {"name": "../../secrets/x?a=b#c"}}},
                "status": {"namespace": "--kubeconfig=/x", "state": "ready"}}]})  # fmt: skip
            empty = '{"items": [], "data": {}}'
            return Completed(tuple(argv), 0, text if "nvidia" in argv[-1] else empty, "", 0.0)

    client = Kubectl(KubernetesConfig(kubectl=("kubectl",)), Recording(""))
    (gpus, _) = collectors.build(client, Config())
    await gpus.collect()
    path = "/api/v1/namespaces/--kubeconfig%3D%2Fx/configmaps/..%2F..%2Fsecrets%2Fx%3Fa%3Db%23c"
    assert seen[-1] == path


# Soperator


def cluster(pods: list[Any], conditions: Any = None, **status: Any) -> Any:
    raw = msgspec.convert({"items": [{
        "metadata": {"name": "s", "namespace": "ns", "newer": 1},
        "status": {"phase": None, "conditions": conditions, "newer": [1]} | status,
    }]}, soperator.ClusterPage)  # fmt: skip
    found = msgspec.convert({"items": pods}, PodPage)
    return soperator.clusters(raw.items or (), [], found.items)[0]


def login(name: str, *, ready: bool = True, instance: str = "s", **meta: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": instance}
    return {"metadata": {"name": name, "namespace": "ns", "labels": labels} | meta,
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [{"ready": ready}]}}  # fmt: skip


def test_the_login_pod_of_a_cluster() -> None:
    assert cluster([login("b"), login("a")]).login_pod == "a"
    assert cluster([login("a", ready=False), login("b")]).login_pod == "b"
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    ending = cluster([login("a", **gone)])
    assert ending.login_pod is None and "a: it is ending" in ending.login_fault
    other = cluster([login("a", instance="another")])
    assert other.login_fault == "no pod has the label app.kubernetes.io/component=login"
    assert cluster([login("a", ready=False)]).login_fault == "a: not ready"


def test_what_soperator_says() -> None:
    found = cluster([], [
        {"type": "A", "status": "True"}, {"type": "B", "status": "False", "reason": "Maintenance"},
        {"type": "C", "status": "Unknown", "message": "m"},
    ])  # fmt: skip
    assert found.conditions == {"A": "True", "B": "False: Maintenance", "C": "Unknown"}
    assert (found.phase, found.message) == (None, "Maintenance")
    assert cluster([], phase="Available").phase == "Available"


def test_the_session_has_one_client_where_kubernetes_is_configured() -> None:
    assert collectors.build(None, Config(nodes={"a": NodeConfig(transport="local")})) == []
