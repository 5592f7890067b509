"""What would let a waiting job or pod have a GPU: on clusters made up for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labtui.actions.suggest import Suggestion, suggestions
from labtui.config import Config, NodeConfig
from labtui.model import Finding, Gpu, Holder, Job, KubeGpus, KubeNode, Node, Pod
from labtui.slurm.types import Allocation, Partition
from labtui.store import Fault, Reading, Store

NOW = 1_795_500_000.0
CONFIG = Config(nodes={"desktop-gpu": NodeConfig(address="192.168.1.10")})
NODE = Node(name="desktop-gpu", slurm_state="MIXED", cpus_total=16, cpus_alloc=4,
            memory_total_mib=64000, memory_alloc_mib=16000, gpus=4, gpus_alloc=3, gres="gpu:4",
            gres_used="gpu:3(IDX:0-2)")  # fmt: skip
GPU = Partition("gpu", nodes=("desktop-gpu",), total_nodes=1, max_time=1440)
BIG = Partition("big", nodes=("dgx",), total_nodes=1, max_time=1440)
HELD = [Allocation("1422", "llama", "ben", "desktop-gpu", "gpu", None, 3, (0, 1, 2), NOW - 900)]
CARD = Gpu(node="desktop-gpu", index=0, slices=4, memory_used_mib=20000, memory_total_mib=24564,
           holders=(Holder(kind="job", id="1422", name="llama", slices=3, indexes=(0, 1, 2)),),
           capacity={"slurm": 4, "kubernetes": 4})  # fmt: skip


def job(job_id: str, **more: Any) -> Job:
    given: dict[str, Any] = {
        "name": "eval", "user": "ana", "partition": "gpu", "state": "PENDING", "reason": "Priority",
        "cpus": 2, "memory_mib": 4096, "gres": "gpu:1", "time_limit_s": 7200, "priority": 10,
        "account": "research", "qos": "normal",
    }  # fmt: skip
    return Job(job_id=job_id, **given | more)


RUNS = job("1422", state="RUNNING", reason=None, gres="gpu:3", nodes=("desktop-gpu",),
           start_time=NOW - 900, name="llama", user="ben")  # fmt: skip


def store(*jobs: Job, node: Node = NODE, kube: KubeGpus | None = None, **more: Any) -> Store:
    made = Store()
    feeds: dict[str, Any] = {
        "slurm.jobs": [RUNS, *jobs], "slurm.nodes": [node], "slurm.partitions": [GPU],
        "slurm.allocations": HELD,
    }  # fmt: skip
    feeds |= {name.replace("_", "."): value for name, value in more.items()}
    if kube is not None:
        feeds["k8s.gpus"] = kube
    for name, value in feeds.items():
        made.declare(name, "slurm", 2.0)
        made.put(Reading(name, value, None, NOW, 0.1))
    return made


def told(*jobs: Job, gpu: Gpu = CARD, **more: Any) -> list[Suggestion]:
    return suggestions(gpu, store(*jobs, **more), CONFIG, NOW)


def test_nothing_waits() -> None:
    (one,) = told()
    assert one == Suggestion("nothing waits for a GPU of desktop-gpu", "nobody is in line for it")
    assert told(job("7", gres=None))[0] == one
    assert told(job("7", partition="edge"))[0] == one


def test_what_is_not_known_is_not_nothing() -> None:
    assert "neither Slurm nor" in suggestions("desktop-gpu", Store(), CONFIG, NOW)[0].why
    silent = Store()
    silent.declare("slurm.jobs", "slurm", 2.0)
    silent.put(Reading("slurm.jobs", None, Fault("timeout", "no answer"), NOW, 0.1))
    (one,) = suggestions(CARD, silent, CONFIG, NOW)
    assert one.words.startswith("it is not known") and one.action == ""


def test_a_held_job_that_fits_is_released_first() -> None:
    held = job("1431", reason="JobHeldUser", priority=0)
    found = told(job("1430", gres="gpu:2", priority=20), held)
    assert found[0] == Suggestion(
        "Release job 1431 eval of ana",
        "held by its user; desktop-gpu has room for it now",
        "scontrol release 1431", "queue.release", (held,),
    )  # fmt: skip


def test_the_first_in_line_that_fits_starts_by_itself() -> None:
    (one,) = told(job("1430"))
    assert (one.words, one.action) == ("job 1430 eval of ana comes first and fits", "")


def test_a_small_job_behind_a_large_one() -> None:
    large, small = job("1430", gres="gpu:2", priority=20), job("1431", priority=10)
    found = [s for s in told(large, small) if s.items == (small,)]
    assert [(s.words, s.command, s.action) for s in found] == [
        ("Put job 1431 eval of ana first", "scontrol top 1431", "queue.top")
    ]
    others = [s for s in told(replace_user(large, "ben"), small) if s.items == (small,)]
    assert [(s.command, s.action, s.changes) for s in others] == [
        ("scontrol update JobId=1431 Priority=21", "queue.modify", {"priority": "21"})
    ]
    assert "operators only" in others[0].why


def replace_user(one: Job, user: str) -> Job:
    return job(one.job_id, gres=one.gres, priority=one.priority, user=user)


def test_a_drained_machine_is_resumed() -> None:
    drained = Node(name="desktop-gpu", slurm_state="IDLE+DRAIN", slurm_reason="fan (root)",
                   cpus_total=16, cpus_alloc=0, memory_total_mib=64000, memory_alloc_mib=0,
                   gpus=4, gres="gpu:4", gres_used="gpu:0")  # fmt: skip
    found = told(job("1430"), job("1431"), node=drained)
    assert found[0].command == "scontrol update NodeName=desktop-gpu State=resume"
    assert found[0].why.startswith("it is drained: fan (root); job 1430 eval of ana waits")
    assert sum(s.action == "nodes.resume" for s in found) == 1


def test_an_idle_holder_is_named_with_what_it_blocks() -> None:
    finding = Finding(kind="idle-slice", severity=1, holder="1422",
                      text="job 1422 holds 3, and has no process on the card")  # fmt: skip
    found = told(job("1430", gres="gpu:2"), gpu=_with(CARD, findings=(finding,)))
    first = found[0]
    assert (first.words, first.command) == ("Cancel job 1422 llama", "scancel 1422")
    assert first.action == "gpus.cancel" and first.items[0].holder.id == "1422"
    assert "2 GPUs wanted, 1 free" in first.why


@pytest.mark.parametrize(
    ("node", "holders"),
    [("desktop-gpu", {"pids": (100,)}), ("dgx", {"pids": (100,)}), ("dgx", {})],
    ids=["works on another card", "on another machine", "where nobody can see"],
)
def test_who_works_elsewhere_is_not_cancelled(
    monkeypatch: pytest.MonkeyPatch, node: str, holders: dict[str, Any]
) -> None:
    """It holds slices of another card, and there nothing says that it is idle."""
    finding = Finding(kind="idle-slice", severity=1, holder="1422", text="job 1422 runs nothing")
    other = Gpu(node=node, index=1, slices=1,
                holders=(Holder(kind="job", id="1422", slices=1, **holders),))  # fmt: skip
    monkeypatch.setattr("labtui.actions.suggest.items", lambda *a: [CARD, other])
    found = told(job("1430", gres="gpu:2"), gpu=_with(CARD, findings=(finding,)))
    assert not [s for s in found if s.action == "gpus.cancel"]
    other = _with(other, findings=(finding,))
    found = told(job("1430", gres="gpu:2"), gpu=_with(CARD, findings=(finding,)))
    assert found[0].command == "scancel 1422"


def _with(gpu: Gpu, **more: Any) -> Gpu:
    return msgspec.structs.replace(gpu, **more)


def test_another_partition_and_a_shorter_limit() -> None:
    dgx = Node(name="dgx", slurm_state="IDLE", cpus_total=64, cpus_alloc=0, gres="gpu:8",
               memory_total_mib=512000, memory_alloc_mib=0, gpus=8, gres_used="gpu:0")  # fmt: skip
    wants = job("1430", gres="gpu:4", reason="Resources")
    found = told(wants, slurm_nodes=[NODE, dgx], slurm_partitions=[GPU, BIG])
    moved = next(s for s in found if s.changes == {"partition": "big"})
    assert moved.command == "scontrol update JobId=1430 Partition=big"
    assert "it would fit on dgx now" in moved.why
    late = told(job("1430", reason="PartitionTimeLimit", time_limit_s=3 * 86400))
    shorter = next(s for s in late if s.changes)
    assert shorter.changes == {"time_limit": "1-00:00:00"}
    assert shorter.command == "scontrol update JobId=1430 TimeLimit=1-00:00:00"


def test_what_this_machine_can_never_run_is_left_out() -> None:
    assert told(job("1430", gres="gpu:8"))[0].words.startswith("nothing waits")


HERE = KubeNode(name="gpu-1", node="desktop-gpu", slices=4, cards=1, ready=True,
                sharing="time-slicing")  # fmt: skip


def pod(name: str, node: str | None = None, **more: Any) -> Pod:
    given: dict[str, Any] = {"slices": 1, "phase": "Running" if node else "Pending"}
    return Pod(namespace="nim", name=name, uid=name, node=node, **given | more)


SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are ..."
FULL = (pod("llama-0", "desktop-gpu", slices=2, owner="StatefulSet/llama"),
        pod("nb", "desktop-gpu"))  # fmt: skip
OTHER = KubeNode(name="gpu-2", node="gpu-2", slices=2, ready=True)


def test_a_waiting_pod_gets_another_slice_or_anothers_place() -> None:
    held = (*FULL, pod("eval", slices=3, reason=SHORT))
    found = told(kube=KubeGpus(nodes=(HERE, OTHER), pods=held))
    by = {s.action: s for s in found}
    assert by["gpus.slices"].answer == "6"
    assert by["gpus.slices"].command == "labtui gpu slices desktop-gpu 6"
    assert "3 of 4 slices are held, pod nim/eval asks 3; slices do not split memory: 19.5G of" in (
        by["gpus.slices"].why
    )
    moved = by["pods.cancel"]
    assert moved.items == (held[0],) and moved.command == "kubectl delete pod -n nim llama-0"
    assert "StatefulSet/llama makes it anew and gpu-2 has room" in moved.why


def test_more_slices_leave_room_for_what_slurm_holds_of_the_cards() -> None:
    """Two by a job, one by a pod, four are asked: seven, or the card is overbooked."""
    card = _with(CARD, booked={"slurm": 2, "kubernetes": 1})
    held = (pod("llama-0", "desktop-gpu"), pod("embed-0", slices=4, reason=SHORT))
    (cut,) = (s for s in told(kube=KubeGpus(nodes=(HERE,), pods=held), gpu=card) if s.answer)
    assert cut.answer == "7" and cut.command == "labtui gpu slices desktop-gpu 7"
    assert cut.why.startswith("1 of 4 slices are held, 2 more by Slurm, pod nim/embed-0 asks 4; ")
    silent = _with(card, na={"holders": "slurm: silent"})
    (cut,) = (s for s in told(kube=KubeGpus(nodes=(HERE,), pods=held), gpu=silent) if s.answer)
    assert "2 more by Slurm, as far as is known (slurm: silent), pod" in cut.why
    endless = (held[0], pod("embed-0", slices=126, reason=SHORT))
    found = told(kube=KubeGpus(nodes=(HERE,), pods=endless), gpu=card)
    assert not [s for s in found if s.answer], "129 a card are refused"


def test_what_slurm_holds_of_the_machines_other_cards_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = _with(CARD, index=1, booked={"slurm": 4})
    monkeypatch.setattr("labtui.actions.suggest.items", lambda *a: [CARD, other])
    node = msgspec.structs.replace(HERE, slices=8, cards=2)
    held = (pod("a", "desktop-gpu", slices=8), pod("b", slices=2, reason=SHORT))
    (cut,) = (s for s in told(kube=KubeGpus(nodes=(node,), pods=held)) if s.answer)
    assert cut.answer == "7" and cut.items[0].gpu is CARD


GATED = {"reason": "SchedulingGated", "reason_text": "somebody holds it back (a scheduling gate)"}
MIXED = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) didn't match Pod's node affinity/selector."  # noqa: E501
BOTH = "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu."


@pytest.mark.parametrize(
    ("why", "says"),
    [
        (GATED, "a scheduling gate"),
        ({"reason": MIXED}, "; which of these keeps it from desktop-gpu is not known"),
        ({"reason": BOTH}, "Insufficient cpu"),
        ({}, "Kubernetes does not say why"),
    ],
    ids=["gated", "one of two nodes", "CPUs as well", "not looked at yet"],
)
def test_no_slice_is_freed_for_a_pod_that_waits_for_more(why: dict[str, str], says: str) -> None:
    finding = Finding(kind="idle-slice", severity=1, holder="nim/nb", text="it runs nothing")
    idle = _with(CARD, holders=(Holder(kind="pod", id="nim/nb"),), findings=(finding,))
    held = (*FULL, pod("eval", slices=3, **why))
    (one,) = told(kube=KubeGpus(nodes=(HERE, OTHER), pods=held), gpu=idle)
    assert one.words == "pod nim/eval is first of 1 in line" and says in one.why
    freed = told(kube=KubeGpus(nodes=(HERE,), pods=(*FULL, pod("eval", slices=3, reason=SHORT))),
                 gpu=idle)  # fmt: skip
    assert freed[0].command == "kubectl delete pod -n nim nb"


def test_a_gated_pod_on_a_cordoned_node() -> None:
    node = msgspec.structs.replace(HERE, unschedulable=True)
    (one,) = told(kube=KubeGpus(nodes=(node,), pods=(pod("eval", **GATED),)))
    assert not one.command and "a scheduling gate" in one.why


def test_a_pod_that_asks_for_an_instance_of_mig_waits_too() -> None:
    node = KubeNode(name="gpu-1", node="desktop-gpu", slices=0, mig={"mig-1g.5gb": 7}, cards=1)
    reason = "0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.5gb"
    waits = pod("eval", slices=0, mig={"mig-1g.5gb": 1}, reason=reason)
    (one,) = told(kube=KubeGpus(nodes=(node,), pods=(waits,)))
    assert one.words == "pod nim/eval waits for something else"
    assert one.why.startswith("7 mig-1g.5gb are free here; ")
    held = tuple(pod(f"p{i}", "desktop-gpu", slices=0, mig={"mig-1g.5gb": 1}) for i in range(7))
    (one,) = told(kube=KubeGpus(nodes=(node,), pods=(*held, waits)))
    assert one.words == "pod nim/eval is first of 1 in line" and not one.action
    (one,) = told(kube=KubeGpus(nodes=(HERE,), pods=(waits,)))
    assert one.words.startswith("nothing waits"), "this machine has no such instance"


def test_a_card_that_gives_nothing_is_not_cut_further() -> None:
    node = msgspec.structs.replace(HERE, slices=4, cards=2, replicas=4)
    pods = (pod("a", "desktop-gpu", slices=4), pod("b", reason=SHORT))
    found = told(kube=KubeGpus(nodes=(node,), pods=pods))
    assert not [s for s in found if s.action == "gpus.slices"]
    over = Finding(kind="overbooked", severity=2, text="5 slices booked of 4", means="")
    waits = KubeGpus(nodes=(HERE,), pods=(*FULL, pod("eval", slices=3, reason=SHORT)))
    for findings, offered in (((), True), ((over,), False)):
        card = msgspec.structs.replace(CARD, findings=findings)
        found = told(gpu=card, kube=waits)
        assert any(s.action == "gpus.slices" for s in found) is offered


def test_what_was_told_long_ago_is_not_told_as_what_is() -> None:
    late = store(kube=KubeGpus(nodes=(HERE,)))
    late.put(Reading("k8s.gpus", None, Fault("refused", "nothing answers"), NOW + 60, 0.1))
    first, second = suggestions(CARD, late, CONFIG, NOW + 60)
    assert first.words == "it is not known which jobs wait for a GPU of desktop-gpu"
    assert first.why.startswith("slurm: silent since ")
    assert (second.words, second.why) == (
        "it is not known which pods wait for a GPU of desktop-gpu", "kubernetes: refused"
    )  # fmt: skip
    (one,) = told(kube=KubeGpus(denied={"nodes": "labtui may not list nodes"}))
    assert one.words == "which pods wait is not known"


def test_a_machine_that_nobody_knows() -> None:
    (one,) = suggestions("n-typo", store(job("1430")), CONFIG, NOW)
    assert one == Suggestion("no GPU of n-typo is known", "no source tells of one")


def test_a_pod_that_waits_for_something_else() -> None:
    kube = KubeGpus(nodes=(HERE,), pods=(pod("eval", reason_text="its image cannot be had"),))
    (one,) = told(kube=kube)
    assert one.action == "" and one.why == "4 slices are free here; its image cannot be had"


@pytest.mark.parametrize(
    ("node", "denied"),
    [
        (KubeNode(name="gpu-1", node="desktop-gpu", slices=1, sharing="mps"), {}),
        (KubeNode(name="gpu-1", node="desktop-gpu", slices=1, mig={"mig-1g.5gb": 7}), {}),
        (HERE, {"pods": "labtui may not list pods"}),
    ],
)
def test_what_cannot_be_cut_or_counted_is_not_suggested(
    node: KubeNode, denied: dict[str, str]
) -> None:
    kube = KubeGpus(nodes=(node,), pods=(pod("a", "desktop-gpu"), pod("b")), denied=denied)
    assert not [s for s in told(kube=kube) if s.action == "gpus.slices"]


def test_a_cordoned_node() -> None:
    node = msgspec.structs.replace(HERE, unschedulable=True)
    (one,) = told(kube=KubeGpus(nodes=(node,), pods=(pod("eval"),)))
    assert one.command == "kubectl uncordon gpu-1" and one.action == ""


def test_hostile_names_are_quoted_and_inert() -> None:
    held = job("1431", reason="JobHeldUser", name="x\x1b]0;y\x07 $(reboot)", priority=0)
    kube = KubeGpus(
        nodes=(HERE,), pods=(pod("eval\x1b[31m"), pod("a\x1b", "desktop-gpu", slices=4))
    )
    for one in told(held, kube=kube):
        assert "\x1b" not in one.words + one.why + one.command


def test_who_waits_is_said_where_nothing_helps() -> None:
    (one,) = told(job("1430", gres="gpu:4", priority=9), job("1431", gres="gpu:4", priority=5))[:1]
    assert one.words == "job 1430 eval of ana is first of 2 in line" and not one.action
    assert one.why.startswith("4 GPUs wanted, 1 free (1422 holds 3")
    mps = KubeNode(name="gpu-1", node="desktop-gpu", slices=1, sharing="mps")
    kube = KubeGpus(nodes=(mps,), pods=(pod("a", "desktop-gpu"), pod("b", reason_text="no room")))
    (one,) = told(kube=kube)
    assert (one.words, one.why) == ("pod nim/b is first of 1 in line", "no room")
    (one,) = told(kube=KubeGpus(nodes=(mps,), denied={"pods": "labtui may not list pods"}))
    assert one.words == "which pods wait is not known"
    assert "does not tell of this node" in told(job("1430"), slurm_nodes=[])[0].why
