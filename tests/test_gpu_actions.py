"""Cards' settings, who holds them, how they are cut: what is sent, and that the world is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from labtui.actions import gpus
from labtui.actions.base import Action, ActionError, Outcome, Plan
from labtui.actions.gpus import Doors, make
from labtui.actions.offered import GPUS
from labtui.actions.pods import DeletePod
from labtui.actions.process import EndProcess
from labtui.actions.runner import Runner
from labtui.actions.slicing import Slices, Unlabel
from labtui.config import Cluster, Config, KubernetesConfig, NodeConfig
from labtui.history import History, default_path
from labtui.hosts.base import HostError
from labtui.model import (
    Gpu,
    GpuProcess,
    Holder,
    KubeGpus,
    KubeNode,
    MigInstance,
    Pod,
    SlicingConfig,
)
from labtui.slurm.client import SlurmClient
from labtui.sources.kubernetes import Kubectl
from labtui.store import Reading, Store
from labtui.views.gpus import GpuRow
from slurmhost import ScriptedHost

Answer = tuple[int, str, str]
UUID = "GPU-5f1c2ab0-0000-4000-8000-000000000001"
CARD = Gpu(node="desktop-gpu", index=0, uuid=UUID, product="NVIDIA GeForce RTX 4090",
           capacity={"slurm": 4, "kubernetes": 4}, slices=4)  # fmt: skip


def row(gpu: Gpu = CARD, **of: Any) -> GpuRow:
    return GpuRow(node=gpu.node, index=gpu.index, gpu=gpu, **of)


class Machine:
    """A machine with one card, as nvidia-smi tells it; `root`: who labtui comes as."""

    def __init__(self, *, root: bool = False, sudo: bool = True) -> None:
        self.power, self.persistence, self.clock = 450.0, "Disabled", 2520
        self.root, self.sudo = root, sudo
        self.silent = False
        self.deaf = False
        self.says: Answer | None = None
        self.host = ScriptedHost(self.reply)
        self.host.name = "desktop-gpu"
        run = self.host.run

        async def as_root(argv: Any, **more: Any) -> Any:
            if more.get("user") and not self.sudo:
                self.host.seen.append(["sudo", *argv])
                raise HostError("permission", "root: sudo: a password is required", "desktop-gpu")
            more["timeout"] = 0.05
            return await run(argv, **more)

        self.host.run = as_root  # type: ignore[method-assign]

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        sent = argv[1:] if argv[0] == "sudo" else argv
        if sent == ["id", "-u"]:
            return 0, "0\n" if self.root else "1000\n", ""
        assert sent[:2] == ["nvidia-smi", "-i"]
        if "--format=csv,noheader,nounits" in sent:
            return 0, (f"{UUID}, {self.power:.2f}, 150.00, 600.00, 450.00, {self.persistence}, "
                       f"{self.clock}, 3105\n"), ""  # fmt: skip
        assert sent[2] == UUID
        if self.says is not None:
            return self.says
        if not self.deaf:
            self._do(sent[3:])
        return None if self.silent else (0, "All done.\n", "")

    def _do(self, options: list[str]) -> None:
        match options:
            case ["-pl", watts]:
                self.power = float(watts)
            case ["-pm", mode]:
                self.persistence = "Enabled" if mode == "1" else "Disabled"
            case ["-lgc", limits]:
                self.clock = min(self.clock, int(limits.split(",")[1]))
            case ["-rgc"]:
                self.clock = 2520
            case _:
                raise AssertionError(options)

    @property
    def sent(self) -> list[list[str]]:
        return [argv for argv in self.host.commands
                if "--format=csv,noheader,nounits" not in argv and argv[0] != "id"]  # fmt: skip


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


class Lab:
    """The doors, and a runner that writes a real audit."""

    def __init__(self, host: ScriptedHost | None = None, kube: Kubectl | None = None) -> None:
        node = NodeConfig(address="192.168.1.10", user="aiops")
        self.config = Config(cluster=Cluster(name="t"), nodes={"desktop-gpu": node})
        hosts = {"desktop-gpu": host} if host else {}
        self.store = Store()
        self.doors = Doors(self.config, self.store, hosts, None, kube)
        self.plan: Plan | None = None

    def told(self, value: KubeGpus) -> None:
        self.store.declare("k8s.gpus", "k8s", 5.0)
        self.store.put(Reading("k8s.gpus", value, None, time.time(), 0.1))

    async def do(self, id: str, item: Any = None, answer: str = "") -> Outcome:
        history = History(default_path("t"))
        try:
            return await self.perform(make(id, [item or row()], answer, self.doors), history)
        finally:
            history.close()

    async def perform(self, action: Action, history: History | None = None) -> Outcome:
        if hasattr(action, "settle"):
            action.settle = 0.0
        runner = Runner(history.audit if history else lambda line: None, cluster="t")
        self.plan = await runner.plan(action)
        inner = getattr(action, "_way_back", None)
        if hasattr(inner, "settle"):
            inner.settle = 0.0
        return await runner.perform(action, self.plan, lambda line: None)


# -- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "answer", "sent", "message"),
    [
        ("gpus.power", "300", ["-pl", "300"], "power limit is 300 W, was 450 W"),
        ("gpus.power", "300.5 W", ["-pl", "300.5"], "power limit is 300.5 W, was 450 W"),
        ("gpus.persistence", "", ["-pm", "1"], "persistence is on, was off"),
        ("gpus.clocks", "210,1800", ["-lgc", "210,1800"],
         "clocks 210,1800 MHz, were not locked; the clock is 1800 MHz now"),
        ("gpus.clocks", "off", ["-rgc"],
         "clocks not locked, were not locked; the clock is 2520 MHz now"),
    ],
)  # fmt: skip
async def test_a_setting_is_sent_by_sudo_and_read_back(
    state: Path, id: str, answer: str, sent: list[str], message: str
) -> None:
    machine = Machine()
    lab = Lab(machine.host)
    outcome = await lab.do(id, answer=answer)
    assert (outcome.kind, outcome.message) == ("done", f"desktop-gpu:0: {message}")
    assert machine.sent == [["sudo", "nvidia-smi", "-i", UUID, *sent]]
    assert lab.plan is not None
    assert lab.plan.steps[0].what == f"sudo -n -u root -- nvidia-smi -i {UUID} {' '.join(sent)}"
    assert "labtui gpu undo desktop-gpu:0" in lab.plan.undo


async def test_a_limit_is_already_there_only_to_the_hundredth(state: Path) -> None:
    machine = Machine()
    outcome = await Lab(machine.host).do("gpus.power", answer="449.7")
    assert outcome.message == "desktop-gpu:0: power limit is 449.7 W, was 450 W"
    with pytest.raises(ActionError, match=r"its power limit is 449\.7 W already"):
        await Lab(machine.host).do("gpus.power", answer="449.70")
    machine.deaf = True
    outcome = await Lab(machine.host).do("gpus.power", answer="450")
    assert outcome.kind == "failed", "a step below the slack is no change that was seen"
    assert "power limit is 449.7 W, not 450 W" in outcome.message


async def test_root_needs_no_sudo(state: Path) -> None:
    machine = Machine(root=True)
    assert (await Lab(machine.host).do("gpus.power", answer="300")).ok
    assert machine.sent == [["nvidia-smi", "-i", UUID, "-pl", "300"]]


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("gpus.power", "700", "700 W cannot be: it takes 150 W to 600 W"),
        ("gpus.power", "20", "20 W cannot be"),
        ("gpus.power", "450", "450 W already"),
        ("gpus.power", "-1", "write watts"),
        ("gpus.power", "300; reboot", "write watts"),
        ("gpus.power", "nan", "write watts"),
        ("gpus.persistence", "off", "off already"),
        ("gpus.persistence", "maybe", "write on or off"),
        ("gpus.clocks", "1800,210", "the lower one first"),
        ("gpus.clocks", "4000,5000", "up to 3105 MHz"),
        ("gpus.clocks", "$(reboot)", "write 210,1800"),
    ],
)
async def test_what_cannot_be_is_said_before_anything_is_sent(
    state: Path, id: str, answer: str, words: str
) -> None:
    machine = Machine()
    with pytest.raises(ActionError, match=words.replace("(", r"\(")):
        await Lab(machine.host).do(id, answer=answer)
    assert machine.sent == []


async def test_without_the_right_it_says_which_line_gives_it(state: Path) -> None:
    outcome = await Lab(Machine(sudo=False).host).do("gpus.power", answer="300")
    assert outcome.kind == "failed"
    assert "aiops ALL=(root) NOPASSWD: /usr/bin/nvidia-smi" in outcome.message


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ((4, "The current user does not have permission to change clocks for GPU 0000:01.\n", ""),
         "/etc/sudoers.d/labtui"),
        ((15, "", ""), "the card has fallen off the bus"),
        ((9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
          ""), "the driver is not loaded; NVIDIA-SMI has failed"),
        ((127, "", "sh: nvidia-smi: not found"), "there is no nvidia-smi"),
        ((2, "bad \x1b[31margument\n", ""), "nvidia-smi: bad"),
    ],
)  # fmt: skip
async def test_errors_of_nvidia_smi_are_one_sentence(state: Path, says: Answer, words: str) -> None:
    machine = Machine()
    machine.says = says
    outcome = await Lab(machine.host).do("gpus.power", answer="300")
    assert outcome.kind == "failed"
    assert words in outcome.message
    assert "\x1b" not in outcome.message
    assert "\n" not in outcome.message


async def test_a_warning_that_exits_with_0_is_not_believed(state: Path) -> None:
    machine = Machine()
    machine.says = (0, "Changing power management limit is not supported for GPU: 0000:01.\n"
                       "Treating as warning and moving on.\nAll done.\n", "")  # fmt: skip
    outcome = await Lab(machine.host).do("gpus.power", answer="300")
    assert outcome.kind == "failed"
    assert "power limit is 450 W, not 300 W" in outcome.message
    assert "not supported" in outcome.message


@pytest.mark.parametrize(("deaf", "kind"), [(False, "done"), (True, "failed")])
async def test_no_answer_is_unknown_until_it_is_read_back(
    state: Path, deaf: bool, kind: str
) -> None:
    machine = Machine()
    machine.silent, machine.deaf = True, deaf
    outcome = await Lab(machine.host).do("gpus.power", answer="300")
    assert outcome.kind == kind


async def test_undo_outlives_the_console_and_can_be_undone(state: Path) -> None:
    machine = Machine()
    await Lab(machine.host).do("gpus.power", answer="300")
    await Lab(machine.host).do("gpus.persistence")
    lab = Lab(machine.host)
    assert (await lab.do("gpus.undo")).message == "desktop-gpu:0: persistence is off, was on"
    assert lab.plan is not None
    assert lab.plan.title == "Undo on desktop-gpu:0: persistence back to off"
    assert "ago by" in lab.plan.risks[0]
    assert (await lab.do("gpus.undo")).message == "desktop-gpu:0: persistence is on, was off"
    assert machine.power == 300


async def test_a_lock_of_the_clocks_is_known_by_the_audit(state: Path) -> None:
    machine = Machine()
    lab = Lab(machine.host)

    def guessed() -> bool:
        return lab.plan is not None and "labtui knows of no earlier lock" in lab.plan.risks[-1]

    await lab.do("gpus.clocks", answer="210,1800")
    assert guessed()
    outcome = await lab.do("gpus.clocks", answer="off")
    assert "were 210,1800 MHz" in outcome.message and not guessed()
    assert "1800 MHz now" in (await lab.do("gpus.undo")).message
    assert machine.sent[-1][-2:] == ["-lgc", "210,1800"] and not guessed()
    assert "not locked" in (await lab.do("gpus.undo")).message


async def test_there_is_nothing_to_undo_on_another_card(state: Path) -> None:
    machine = Machine()
    await Lab(machine.host).do("gpus.power", answer="300")
    for gpu in (
        Gpu(node="desktop-gpu", index=1),
        Gpu(node="desktop-gpu", index=0, uuid="GPU-other"),
    ):
        with pytest.raises(ActionError, match="changed nothing here"):
            await Lab(machine.host).do("gpus.undo", row(gpu))


# -- processes -----------------------------------------------------------------------------


class Procs:
    """/proc of a machine, as the script of sources/processes.py prints it."""

    def __init__(self, uid: int = 1000, me: int = 1000, name: str = "python3") -> None:
        self.uid, self.me, self.name = uid, me, name
        self.start = 5000
        self.alive = True
        self.cgroup = "0::/user.slice/user-1000.slice/session-2.scope"
        self.ends = True
        self.before_kill: Callable[[], None] = lambda: None
        self.looks = 0
        self.host = ScriptedHost(self.reply)
        self.host.name = "desktop-gpu"

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        sent = argv[1:] if argv[0] == "sudo" else argv
        if sent[0] == "kill":
            self.alive = self.alive and not self.ends
            return 0, "", ""
        assert sent[0] == "sh"
        self.looks += 1
        if self.looks == 2:
            self.before_kill()
        pid = sent[-1]
        out = f"me {self.me}\nbtime 1700000000\npid {pid}\n"
        if self.alive:
            numbers = " ".join(["1"] * 18 + [str(self.start)] + ["0"] * 30)
            out += (f"cgroup {self.cgroup}\nstat {pid} ({self.name}) S {numbers}\n"
                    f"Name:\t{self.name}\nPPid:\t1\nUid:\t{self.uid}\t0\t0\t0\n")  # fmt: skip
        else:
            out += "cgroup \nstat \n"
        return 0, out + f"users\nana:{self.uid}\n", ""

    @property
    def sent(self) -> list[list[str]]:
        return [argv for argv in self.host.commands if argv[0] != "sh"]

    def action(self, since: float | None = 1700000050.0) -> EndProcess:
        return EndProcess(self.host, "desktop-gpu", 4121, since=since, settle=0.0)


async def test_a_bare_process_is_told_to_end(state: Path) -> None:
    procs = Procs()
    lab = Lab()
    outcome = await lab.perform(procs.action())
    assert (outcome.kind, outcome.message) == ("done", "process 4121 python3 has ended")
    assert procs.sent == [["kill", "-TERM", "4121"]]
    assert lab.plan is not None
    assert lab.plan.dangerous
    assert lab.plan.confirm_word == "python3"


async def test_anothers_process_needs_sudo(state: Path) -> None:
    procs = Procs(uid=1007)
    lab = Lab()
    assert (await lab.perform(procs.action())).ok
    assert procs.sent == [["sudo", "kill", "-TERM", "4121"]]
    assert lab.plan is not None
    assert lab.plan.steps[0].what == "sudo -n -u root -- kill -TERM 4121"


async def test_a_pid_that_was_given_anew_is_left_alone(state: Path) -> None:
    procs = Procs()
    with pytest.raises(ActionError, match="has ended, python3 of ana has its pid now"):
        await Lab().perform(procs.action(since=1700000000.0))
    later = Procs()
    later.before_kill = lambda: setattr(later, "start", 9000)
    outcome = await Lab().perform(later.action())
    assert outcome.kind == "failed"
    assert "nothing was sent" in outcome.message
    assert procs.sent == later.sent == []


async def test_a_process_that_goes_on_is_not_told_as_ended(state: Path) -> None:
    procs = Procs()
    procs.ends = False
    outcome = await Lab().perform(procs.action())
    assert outcome.kind == "failed"
    assert "still runs" in outcome.message


async def test_a_process_of_a_job_is_not_killed(state: Path) -> None:
    procs = Procs()
    procs.cgroup = "0::/system.slice/slurmstepd.scope/job_31/step_batch"
    with pytest.raises(ActionError, match="it is of job 31: cancel that instead"):
        await Lab().perform(procs.action())


async def test_a_hostile_name_stays_a_name(state: Path) -> None:
    procs = Procs(name="x) $(reboot)")
    lab = Lab()
    assert (await lab.perform(procs.action())).ok
    assert not any("reboot" in word for argv in procs.host.seen for word in argv)
    assert lab.plan is not None
    assert lab.plan.confirm_word == "x) $(reboot)"


async def test_a_process_that_is_gone_is_told_so(state: Path) -> None:
    procs = Procs()
    procs.alive = False
    with pytest.raises(ActionError, match="it is gone"):
        await Lab().perform(procs.action())


# -- pods ----------------------------------------------------------------------------------


class Cluster1:
    """A stand-in of kubectl over a few objects; the real API server is in the lab's tests."""

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.node = {
            "metadata": {"name": "gpu-1", "labels": {"nvidia.com/device-plugin.config": "four"}},
            "status": {"allocatable": {"nvidia.com/gpu": "4"}},
        }
        self.data = {"four": FOUR, "plain": "version: v1\n"}
        self.follows = True
        self.silent: set[str] = set()
        self.refused = ""
        self.anew = False
        self.host = ScriptedHost(self.reply)
        self.host.name = "here"
        config = KubernetesConfig(kubectl=("kubectl",), timeout_s=0.05)
        self.client = Kubectl(config, self.host)

    def pod(self, uid: str, **spec: Any) -> None:
        self.pods["llama-0"] = {
            "metadata": {"name": "llama-0", "namespace": "nim", "uid": uid, **spec},
            "spec": {"terminationGracePeriodSeconds": 5},
        }

    def reply(self, argv: list[str], stdin: str) -> Answer | None:
        words = [w for w in argv[1:] if not w.startswith("--request-timeout")]
        verb = words[0]
        if self.refused and verb != "get":
            return 1, "", self.refused
        answer = getattr(self, verb)(words, stdin)
        return None if verb in self.silent else answer

    def get(self, words: list[str], stdin: str) -> Answer:
        path = words[2]
        if "/pods/" in path:
            name = path.rpartition("/")[2]
            if name not in self.pods:
                return 1, "", f'Error from server (NotFound): pods "{name}" not found'
            return 0, json.dumps(self.pods[name]), ""
        if "/configmaps/" in path:
            return 0, json.dumps({"metadata": {}, "data": self.data}), ""
        return 0, json.dumps(self.node), ""

    def delete(self, words: list[str], stdin: str) -> Answer:
        assert words[1] == "--raw"
        name = words[2].rpartition("/")[2]
        wanted = json.loads(stdin)["preconditions"]["uid"]
        if self.pods[name]["metadata"]["uid"] != wanted:
            return 1, "", ("Error from server (Conflict): Precondition failed: UID in "
                           f"precondition: {wanted}, UID in object meta: x")  # fmt: skip
        if self.anew:
            self.pods[name]["metadata"]["uid"] = "new"
        else:
            del self.pods[name]
        return 0, "{}", ""

    def patch(self, words: list[str], stdin: str) -> Answer:
        assert words[-2:] == ["--type=merge", "--patch-file=/dev/stdin"]
        self.data |= json.loads(stdin)["data"]
        return 0, "patched", ""

    def label(self, words: list[str], stdin: str) -> Answer:
        key, _, value = words[3].partition("=")
        labels: dict[str, str] = self.node["metadata"]["labels"]  # type: ignore[assignment]
        labels.pop(key.removesuffix("-"), None)
        if value:
            labels[key] = value
        if self.follows:
            text = self.data.get(value or "four", "")
            count = text.partition("replicas: ")[2].split()
            self.node["status"] = {"allocatable": {"nvidia.com/gpu": count[0] if count else "1"}}
        return 0, "labeled", ""

    @property
    def sent(self) -> list[str]:
        return [" ".join(w for w in argv if not w.startswith("--request-timeout"))
                for argv in self.host.commands if "get" not in argv]  # fmt: skip


FOUR = """\
version: v1
flags:
  migStrategy: none
sharing:
  timeSlicing:
    resources:
    - name: nvidia.com/gpu
      replicas: 4
"""
OWNED = {"ownerReferences": [{"kind": "StatefulSet", "name": "llama", "controller": True}]}


async def test_a_pod_is_deleted_by_its_uid(state: Path) -> None:
    cluster, lab = Cluster1(), Lab()
    cluster.pod("u1")
    outcome = await lab.perform(DeletePod(cluster.client, "nim", "llama-0", uid="u1", settle=0.0))
    assert (outcome.kind, outcome.message) == ("done", "pod nim/llama-0 is gone")
    assert cluster.sent == ["kubectl delete --raw /api/v1/namespaces/nim/pods/llama-0 -f -"]
    assert lab.plan is not None
    assert '"uid": "u1"' in lab.plan.steps[1].what
    assert lab.plan.undo.startswith("none: nobody makes it anew")


async def test_a_pod_with_an_owner_is_only_restarted(state: Path) -> None:
    cluster, lab = Cluster1(), Lab()
    cluster.pod("u1", **OWNED)
    cluster.anew = True
    outcome = await lab.perform(DeletePod(cluster.client, "nim", "llama-0", settle=0.0))
    assert outcome.message == "pod nim/llama-0 is gone; a new one of that name is there already"
    assert lab.plan is not None
    assert "only restarts it" in lab.plan.risks[0]
    assert "kubectl scale -n nim statefulset/llama --replicas=0" in lab.plan.risks[0]
    assert "5 s to end" in lab.plan.risks[1]


async def test_another_pod_of_that_name_is_left_alone(state: Path) -> None:
    cluster = Cluster1()
    cluster.pod("u2")
    with pytest.raises(ActionError, match="another has its name now"):
        await Lab().perform(DeletePod(cluster.client, "nim", "llama-0", uid="u1"))
    action = DeletePod(cluster.client, "nim", "llama-0", uid="u2", settle=0.0)
    await action.plan()
    cluster.pod("u3")
    with pytest.raises(ActionError, match="nothing was deleted"):
        await action.run(lambda line: None)
    assert cluster.pods["llama-0"]["metadata"]["uid"] == "u3"


async def test_a_pod_that_still_ends_is_unknown(state: Path) -> None:
    cluster = Cluster1()
    cluster.pod("u1")
    action = DeletePod(cluster.client, "nim", "llama-0", settle=0.0)

    def delete(words: list[str], stdin: str) -> Answer:
        cluster.pods["llama-0"]["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z"
        return 0, "{}", ""

    cluster.delete = delete  # type: ignore[method-assign]
    outcome = await Lab().perform(action)
    assert (outcome.kind, outcome.message) == (
        "unknown", "pod nim/llama-0 is still ending (it has 5 s)"
    )  # fmt: skip


async def test_a_delete_without_an_answer_is_read_back(state: Path) -> None:
    cluster = Cluster1()
    cluster.client = Kubectl(KubernetesConfig(kubectl=("kubectl",), timeout_s=0.05), _Late(cluster))
    cluster.silent = {"delete"}
    cluster.pod("u1")
    outcome = await Lab().perform(DeletePod(cluster.client, "nim", "llama-0", settle=0.0))
    assert outcome.kind == "done"


class _Late(ScriptedHost):
    """Says at once that no answer came: kubectl's own limit needs a second more."""

    def __init__(self, cluster: Cluster1) -> None:
        super().__init__(cluster.reply)
        self.name = "here"

    async def run(self, argv: Any, **more: Any) -> Any:
        return await super().run(argv, **(more | {"timeout": 0.01}))


@pytest.mark.parametrize("name", ["../secrets", "a b", "-n", "", "x?fieldSelector=y", "A"])
def test_a_name_that_is_none_reaches_no_path(name: str) -> None:
    with pytest.raises(ActionError, match="not the name of a pod"):
        DeletePod(Cluster1().client, "nim", name)


async def test_without_the_right_to_delete_it_says_so(state: Path) -> None:
    cluster = Cluster1()
    cluster.pod("u1")
    cluster.refused = (
        'Error from server (Forbidden): pods "llama-0" is forbidden: User "labtui" cannot delete '
        'resource "pods" in API group "" in the namespace "nim"'
    )
    outcome = await Lab().perform(DeletePod(cluster.client, "nim", "llama-0"))
    assert outcome.kind == "failed"
    assert "may not delete pods" in outcome.message


# -- slices --------------------------------------------------------------------------------


def pod(name: str, slices: int = 1, since: float = 0.0) -> Pod:
    return Pod(namespace="nim", name=name, uid=name, node="desktop-gpu", phase="Running",
               slices=slices, since=since)  # fmt: skip


def told(*pods: Pod, node: KubeNode | None = None, **of: Any) -> KubeGpus:
    known = node or KubeNode(name="gpu-1", node="desktop-gpu", slices=4, cards=1, ready=True,
                             sharing="time-slicing", config="four")  # fmt: skip
    slicing = SlicingConfig(namespace="gpu-operator", name="slicing", default="four",
                            entries={"four": 4, "plain": 1})  # fmt: skip
    return KubeGpus(nodes=(known,), pods=pods, **({"slicing": slicing} | of))


async def test_more_slices_by_a_new_entry_and_back(state: Path) -> None:
    cluster = Cluster1()
    lab = Lab(kube=cluster.client)
    lab.told(told(pod("llama-0", 2)))
    outcome = await lab.do("gpus.slices", answer="8")
    assert (outcome.kind, outcome.message) == (
        "done", "desktop-gpu has 8 slices in Kubernetes, had 4 slices"
    )  # fmt: skip
    assert cluster.sent == [
        "kubectl patch configmap slicing -n gpu-operator --type=merge --patch-file=/dev/stdin",
        "kubectl label node gpu-1 nvidia.com/device-plugin.config=slices-8 --overwrite",
    ]
    assert cluster.data["slices-8"] == FOUR.replace("4", "8")
    plan = lab.plan
    assert plan is not None
    assert "migStrategy: none" in plan.preview
    assert plan.risks[0].startswith("the plug-in restarts: nim/llama-0 (2) hold slices there")
    assert any("Slurm's own 4 slices" in risk for risk in plan.risks)
    outcome = await lab.do("gpus.undo")
    assert outcome.message == "desktop-gpu has 4 slices in Kubernetes, had 8 slices"
    assert cluster.sent[-1].endswith("nvidia.com/device-plugin.config=four --overwrite")
    assert "slices-8" in cluster.data
    assert lab.plan.risks[1] == "entry slices-8, added then, stays in the ConfigMap"
    await lab.do("gpus.undo")
    assert cluster.sent[-1].endswith("nvidia.com/device-plugin.config=slices-8 --overwrite")
    assert not any("added then" in risk for risk in lab.plan.risks), "that one added nothing"


async def test_fewer_slices_name_who_no_longer_fits(state: Path) -> None:
    cluster = Cluster1()
    lab = Lab(kube=cluster.client)
    lab.told(told(pod("old", 1, 100.0), pod("new", 2, 200.0)))
    assert (await lab.do("gpus.slices", answer="plain")).ok
    assert lab.plan is not None
    assert lab.plan.risks[0].startswith("no longer fit, the newest first to go: nim/new (2)")
    assert "nim/old" in lab.plan.risks[1]
    assert len(lab.plan.steps) == 1


async def test_the_plan_says_what_slurms_jobs_make_of_it(state: Path) -> None:
    """Two of a job, and five that Kubernetes may give: the first is nobody's to count."""
    job = Holder(kind="job", id="8", slices=2)
    for answer, words in (
        ("5", "gives all 5 slices of the card, 7 of 5 with job 8 (2): when its memory is full"),
        ("2", ""),
    ):
        gpu = structs.replace(CARD, holders=(job, Holder(kind="pod", id="nim/llama-0")))
        plan = await Slices(Cluster1().client, gpu, answer, told(pod("llama-0"))).plan()
        over = [risk for risk in plan.risks if risk.startswith("overbooked once Kubernetes ")]
        assert len(over) == bool(words) and words in "".join(over)


async def test_a_node_without_a_label_goes_back_to_none(state: Path) -> None:
    cluster = Cluster1()
    cluster.node["metadata"]["labels"] = {}  # type: ignore[index]
    lab = Lab(kube=cluster.client)
    lab.told(told())
    assert (await lab.do("gpus.slices", answer="8")).ok
    assert isinstance(gpus._set("slices", CARD, "no label", lab.doors), Unlabel)
    assert (await lab.do("gpus.undo")).message.startswith("desktop-gpu has 4 slices")
    assert cluster.sent[-1].endswith(
        "label node gpu-1 nvidia.com/device-plugin.config- --overwrite"
    )


async def test_a_label_that_is_refused_after_the_entry_says_both(state: Path) -> None:
    cluster = Cluster1()
    lab = Lab(kube=cluster.client)
    lab.told(told())
    cluster.label = lambda words, stdin: (1, "", "Error from server (Forbidden): nodes")  # type: ignore[method-assign]
    outcome = await lab.do("gpus.slices", answer="8")
    assert outcome.kind == "failed"
    assert outcome.message.startswith("entry slices-8 was added, but the node does not follow it")


async def test_a_silent_api_server_afterwards_is_unknown(state: Path) -> None:
    cluster = Cluster1()
    action = Slices(cluster.client, CARD, "8", told(), follows=0.05)
    label = cluster.label

    def then_silent(words: list[str], stdin: str) -> Answer:
        cluster.get = lambda words, stdin: (1, "", "Unable to connect: i/o timeout")  # type: ignore[method-assign]
        return label(words, stdin)

    cluster.label = then_silent  # type: ignore[method-assign]
    outcome = await Lab().perform(action)
    assert outcome.kind == "unknown"
    assert "could not be read back" in outcome.message


async def test_a_node_that_does_not_follow_is_unknown(state: Path) -> None:
    cluster = Cluster1()
    cluster.follows = False
    action = Slices(cluster.client, CARD, "8", told(), follows=0.05)
    outcome = await Lab().perform(action)
    assert outcome.kind == "unknown"
    assert "is told to follow slices-8, and has 4 slices yet" in outcome.message


@pytest.mark.parametrize(
    ("answer", "known", "words"),
    [
        ("?", told(), r"there are four \(4\), plain \(1\)"),
        ("four; reboot", told(), "no entry four; reboot"),
        ("4", told(), "it follows four already"),
        ("0", told(), "write 1 to 128"),
        ("8", told(node=KubeNode(name="other", node="other")), "no such node"),
        ("8", told(node=KubeNode(name="g", node="desktop-gpu", sharing="mps")), "shared by MPS"),
        ("8", told(node=KubeNode(name="g", node="desktop-gpu", mig={"mig-1g.5gb": 2})), "MIG"),
        ("8", told(slicing=None, denied={"configmaps": "labtui may not list configmaps"}),
         "labtui may not list configmaps"),
        ("8", None, "has not answered yet"),
    ],
)  # fmt: skip
async def test_what_cannot_be_cut_is_said_first(
    state: Path, answer: str, known: KubeGpus | None, words: str
) -> None:
    cluster = Cluster1()
    with pytest.raises(ActionError, match=words):
        await Lab().perform(Slices(cluster.client, CARD, answer, known))
    assert cluster.sent == []


# -- which action --------------------------------------------------------------------------


def test_who_holds_it_decides_how_it_is_ended(state: Path) -> None:
    procs, cluster = Procs(), Cluster1()
    lab = Lab(procs.host, cluster.client)
    slurm = SlurmClient(ScriptedHost(lambda argv, stdin: None), timeout=0.05)
    doors = Doors(lab.config, lab.store, lab.doors.hosts, slurm, cluster.client)
    lab.told(told(pod("llama-0")))
    found = {
        kind: make("gpus.cancel", [row(slice=1, holder=Holder(kind=kind, id=id))], "", doors)  # type: ignore[arg-type]
        for kind, id in (("job", "31"), ("pod", "nim/llama-0"), ("process", "4121"))
    }
    assert [type(a).__name__ for a in found.values()] == ["CancelJob", "DeletePod", "EndProcess"]
    assert found["pod"].uid == "llama-0"  # type: ignore[attr-defined]
    of = [GpuProcess(pid=9, node="desktop-gpu", job_id="31"),
          GpuProcess(pid=9, node="desktop-gpu", pod_uid="llama-0"),
          GpuProcess(pid=9, node="desktop-gpu")]  # fmt: skip
    names = [type(make("processes.cancel", [p], "", doors)).__name__ for p in of]
    assert names == ["CancelJob", "DeletePod", "EndProcess"]


@pytest.mark.parametrize(
    ("id", "item", "words"),
    [
        ("gpus.power", row(), "no transport"),
        ("gpus.slices", row(), "no Kubernetes is configured"),
        ("gpus.cancel", row(slice=1, holder=Holder(kind="job", id="1")), "no Slurm"),
        ("gpus.cancel", row(slice=2), "the slice is free"),
        ("gpus.nope", row(), "no such action"),
    ],
)
def test_what_has_no_door_is_said(id: str, item: GpuRow, words: str) -> None:
    with pytest.raises(ActionError, match=words):
        make(id, [item], "300", Lab().doors)


def test_menus_say_why_not() -> None:
    spec = {s.id: s for s in GPUS}
    jetson = Gpu(node="jetson-edge", index=0, product="Jetson Orin Nano")
    unknown = Gpu(node="desktop-gpu", index=None)
    two = Gpu(node="g", index=0, holders=(Holder(kind="job", id="1"), Holder(kind="job", id="2")))
    mig = Gpu(node="g", index=0, sharing="mig", mig=(MigInstance(id=1),))

    def why(id: str, item: GpuRow) -> str | None:
        disabled = spec[id].disabled
        assert disabled is not None
        return disabled(item)

    assert why("gpus.cancel", row(slice=1)) == "the slice is free"
    assert why("gpus.cancel", row(two)) == "choose one of its slices"
    assert why("gpus.power", row()) is None
    assert "nvpmodel" in (why("gpus.power", row(jetson)) or "")
    assert "booked on the node" in (why("gpus.clocks", row(unknown)) or "")
    assert why("gpus.slices", row()) is None
    assert why("gpus.slices", row(jetson)) == "Kubernetes gives no slices of it"
    assert "MIG" in (why("gpus.slices", row(mig)) or "")
    mps = Gpu(node="g", index=0, slices=4, sharing="mps", capacity={"kubernetes": 4})
    assert "splits memory" in (why("gpus.slices", row(mps)) or "")
    slurms = structs.replace(mps, capacity={"slurm": 4, "kubernetes": 4})
    assert why("gpus.slices", row(slurms)) is None, "Slurm's MPS is not in its way"
    assert [s.id for s in GPUS if s.changes] == [
        "gpus.cancel", "gpus.slices", "gpus.power", "gpus.clocks", "gpus.persistence",
        "gpus.undo", "pods.cancel", "processes.cancel",
    ]  # fmt: skip


async def test_read_only_refuses(state: Path) -> None:
    machine = Machine()
    runner = Runner(lambda line: None, cluster="t", read_only=True)
    with pytest.raises(ActionError, match="read-only"):
        await runner.plan(make("gpus.power", [row()], "300", Lab(machine.host).doors))
    assert machine.host.seen == []
