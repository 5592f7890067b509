"""Pods and Soperator's clusters as rows, and what their details say at night."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from labtui.config import Config, KubernetesConfig, NodeConfig, SlurmConfig, parse
from labtui.model import Job, KubeGpus, KubeNode, Node, Pod, SlurmCluster
from labtui.spec import Cell, SubjectSpec
from labtui.store import Fault, Reading, Store
from labtui.text import inert
from labtui.views import pods, slurmclusters

EVIL = "a[/b][red]x\x1b[2J\x1b]0;owned\x07\r\nb\u202egnp.exe"
NOW = time.time()


def put(store: Store, name: str, value: Any, fault: Fault | None = None) -> None:
    store.declare(name, "k8s", 5.0)
    store.put(Reading(name, value, fault, NOW, 0.1))


def pod(name: str, **fields: Any) -> Pod:
    base = {"namespace": "nim", "uid": name, "phase": "Running", "slices": 1, "created": NOW - 900}
    return Pod(name=name, **(base | fields))


FULL = "1 node: not enough nvidia.com/gpu free (4 asked) - it starts when a holder ends"
PODS = (
    pod("runs", node="desktop-gpu", since=NOW - 600, owner="StatefulSet/runs"),
    pod("starts", node="desktop-gpu", phase="Pending", reason="ContainerCreating: x"),
    pod("ends", node="desktop-gpu", reason="Terminating", reason_text="it is ending"),
    pod("crashes", node="desktop-gpu", reason="CrashLoopBackOff: back-off", restarts=7,
        reason_text="it starts and ends again and again", owner="Job/crashes"),
    pod("waits", phase="Pending", slices=4, reason="0/1 nodes", reason_text=FULL),
    pod("mig", node="desktop-gpu", slices=0, mig={"mig-1g.10gb": 2}, since=NOW - 5),
)  # fmt: skip
NODE = KubeNode(name="gpu-1", node="desktop-gpu", ready=True, slices=4, capacity=4)


@pytest.fixture
def store() -> Store:
    made = Store()
    put(made, "k8s.gpus", KubeGpus(nodes=(NODE,), pods=PODS))
    return made


CONFIG = Config(nodes={"desktop-gpu": NodeConfig(transport="local")})


def drawn(spec: SubjectSpec, item: Any) -> dict[str, str]:
    cells = {c.id: c.text(item) for c in spec.columns}
    return {i: c.text if isinstance(c, Cell) else c for i, c in cells.items()}


def said(spec: SubjectSpec, item: Any, store: Store) -> str:
    lines = spec.detail(item, store, NOW)
    return "\n".join(c.text if isinstance(c, Cell) else c for c in lines)


def test_what_waits_or_fails_comes_first(store: Store) -> None:
    rows = pods.rows(store, CONFIG, NOW)
    assert {p.name: pods.state(p) for p in rows} == {
        "runs": "runs", "starts": "starts", "ends": "ending", "crashes": "fails",
        "waits": "waits", "mig": "runs",
    }  # fmt: skip
    order = [p.name for p in sorted(rows, key=pods.severity, reverse=True)]
    assert set(order[:2]) == {"waits", "crashes"} and set(order[-2:]) == {"runs", "mig"}
    assert pods.heading(rows) == "5 placed, 4 slices held, 1 waits for 4 slices"
    assert pods.missing(store) == ""


def test_a_pod_that_waits_says_why_and_who_is_in_its_way(store: Store) -> None:
    waits = next(p for p in pods.rows(store, CONFIG, NOW) if p.name == "waits")
    cells = drawn(pods.SUBJECT, waits)
    assert (cells["name"], cells["state"], cells["slices"]) == ("nim/waits", "waits", "4")
    assert (
        cells["where"] == "-"
        and re.fullmatch(r"\d\dm", cells["since"])
        and cells["why"] == "not enough gpu free (4 asked)"
    )
    text = said(pods.SUBJECT, waits, store)
    assert FULL in text and "desktop-gpu: 4 of 4 slices are given to pods, 0 free" in text
    assert "deleting it ends it for good: nobody makes it anew" in text
    assert "Kubernetes says: 0/1 nodes" in text


def test_a_pod_that_runs_says_whether_it_comes_back(store: Store) -> None:
    rows = {p.name: p for p in pods.rows(store, CONFIG, NOW)}
    text = said(pods.SUBJECT, rows["runs"], store)
    assert "StatefulSet/runs makes it anew when it is deleted: scale that to 0 first" in text
    text = said(pods.SUBJECT, rows["crashes"], store)
    assert "Job/crashes makes it anew, unless the Job is over" in text
    assert "started anew 7 times" in text
    assert drawn(pods.SUBJECT, rows["mig"])["slices"] == "2 mig-1g.10gb"


def test_pods_that_may_not_be_read_are_not_no_pods() -> None:
    store = Store()
    assert pods.rows(store, CONFIG, NOW) == [] and pods.missing(store) == ""
    put(store, "k8s.gpus", KubeGpus(nodes=(NODE,), denied={"pods": "ana may not list pods"}))
    assert pods.rows(store, CONFIG, NOW) == []
    assert pods.missing(store) == "ana may not list pods"


# Soperator


def cluster(**fields: Any) -> SlurmCluster:
    base = {
        "namespace": "soperator",
        "name": "lab",
        "phase": "Available",
        "login_pod": "login-0",
        "conditions": {"ControllersAvailable": "True"},
        "nodesets": {"gpu": "Ready 2/2"},
    }
    return SlurmCluster(**(base | fields))  # fmt: skip


def soperator(one: SlurmCluster, config: Config = CONFIG, *, settings: Any = None) -> SlurmCluster:
    store = slurm(settings)
    put(store, "k8s.slurmclusters", [one])
    (row,) = slurmclusters.rows(store, config, NOW)
    return row


def slurm(settings: Any = None, fault: Fault | None = None) -> Store:
    store = Store()
    nodes = [Node(name="a", slurm_state="IDLE"), Node(name="b", slurm_state="DOWN+DRAIN")]
    jobs = [Job(job_id="1", name="x", state="RUNNING"), Job(job_id="2", name="y", state="PENDING")]
    put(store, "slurm.nodes", None if fault else nodes, fault)
    put(store, "slurm.jobs", jobs)
    put(store, "slurm.settings", settings or {})
    return store


def test_what_its_slurm_says_stands_beside_it() -> None:
    words = "2 nodes, 1 take no jobs: b; 1 jobs run, 1 wait"
    assert soperator(cluster(), settings={"ClusterName": "lab"}).slurm == words
    assert soperator(cluster(), settings={"ClusterName": "other"}).slurm is None

    def through(selector: str, namespace: str = "soperator") -> str | None:
        node = NodeConfig(transport="kubectl", selector=selector, namespace=namespace)
        config = Config(nodes={"in": node}, slurm=SlurmConfig(login="in"))
        return soperator(cluster(), config).slurm

    component = "app.kubernetes.io/component=login"
    assert through(component) == words
    assert through(f"{component},app.kubernetes.io/instance=lab") == words
    assert through(f"{component},app.kubernetes.io/instance=lab2") is None
    assert through(component, "elsewhere") is None and through("app=agent") is None


def test_a_slurm_that_is_silent_is_said() -> None:
    store = slurm({"ClusterName": "lab"}, Fault("timeout", "slurmctld: no answer"))
    put(store, "k8s.slurmclusters", [cluster()])
    (row,) = slurmclusters.rows(store, CONFIG, NOW)
    assert row.slurm == "no answer: slurmctld: no answer"


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, 0),
        ({"phase": None}, 1),
        ({"phase": "Reconciling"}, 1),
        ({"login_pod": None, "login_fault": "no pod"}, 1),
        ({"conditions": {"AccountingAvailable": "False: NotAvailable"}}, 2),
        ({"nodesets": {"gpu": "Degraded 1/2"}}, 2),
        ({"phase": "Not available"}, 3),
    ],
)
def test_how_bad_it_is(fields: dict[str, Any], level: int) -> None:
    assert slurmclusters.severity(cluster(**fields)) == level


def test_the_heading_counts_them() -> None:
    found = [cluster(), cluster(name="other", phase="Not available")]
    assert slurmclusters.heading(found) == "1 of 2 as they should be"


def test_the_detail_says_what_a_condition_means() -> None:
    bad = {"ControllersAvailable": "False: NotAvailable", "LoginAvailable": "False: Maintenance",
           "Newer": "False: X", "PopulateJailMode": "True"}  # fmt: skip
    row = soperator(cluster(phase="Not available", conditions=bad, login_pod=None,
                            login_fault="login-0: its image cannot be pulled"))  # fmt: skip
    text = said(slurmclusters.SUBJECT, row, slurm())
    assert "slurmctld is not there: nothing starts, what runs goes on" in text
    assert "LoginAvailable: somebody has it in maintenance" in text
    assert "Newer: not so (False: X)" in text and "PopulateJailMode" not in text
    assert "no login pod is ready: login-0: its image cannot be pulled" in text


def test_the_lines_for_the_configuration_are_one() -> None:
    """What the detail proposes is a configuration that labtui takes."""
    section = KubernetesConfig(kubectl=("microk8s", "kubectl"), context="lab")
    row = soperator(cluster(), Config(kubernetes=section))
    made = parse("\n".join(row.transport), "proposed")
    assert made.slurm.login == "lab-login"
    login = made.nodes["lab-login"]
    assert (login.transport, login.namespace, login.container) == ("kubectl", "soperator", "sshd")
    assert login.kubectl == ("microk8s", "kubectl", "--context=lab")
    assert login.selector == "app.kubernetes.io/component=login,app.kubernetes.io/instance=lab"
    assert login.chroot == "/mnt/jail"


@pytest.mark.parametrize("spec", [pods.SUBJECT, slurmclusters.SUBJECT])
def test_eighty_columns_and_hostile_names(spec: SubjectSpec) -> None:
    shown = [c for c in spec.columns if not c.min_total]
    assert 2 + sum(c.width for c in shown) + len(shown) - 1 <= 80
    if spec is pods.SUBJECT:
        item: Any = pod(EVIL, namespace=EVIL, node=EVIL, owner=f"{EVIL}/{EVIL}", reason=EVIL,
                        reason_text=EVIL, mig={EVIL: 1}, cards=(EVIL,))  # fmt: skip
    else:
        item = soperator(cluster(namespace=EVIL, name=EVIL, phase=EVIL, conditions={EVIL: "False"},
                                 nodesets={EVIL: EVIL}, message=EVIL, login_fault=EVIL,
                                 login_pod=EVIL))  # fmt: skip
    texts = [*drawn(spec, item).values(), *said(spec, item, Store()).split("\n"),
             spec.searchable(item)]  # fmt: skip
    assert all(inert(text, 10_000) == text for text in texts)
