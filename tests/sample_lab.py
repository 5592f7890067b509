"""A lab at one moment, recorded: readings of every feed in the shapes that the real ones have.

A real `Session` whose scheduler does not start, over hosts that answer what is written here. It
plays no service: what the sources do is tested elsewhere, on real ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from labtui.actions.base import Action, Outcome, Plan, Progress, Step
from labtui.app import LabApp
from labtui.collectors.gpus import GpuMetrics
from labtui.config import (
    Cluster,
    Config,
    GpuConfig,
    KubernetesConfig,
    NodeConfig,
    SecretConfig,
    SlurmConfig,
    UrlConfig,
    VaultConfig,
)
from labtui.hosts.base import Sink
from labtui.hosts.command import CommandHost
from labtui.model import (
    Agent,
    Gpu,
    GpuHours,
    GpuProcess,
    Job,
    KubeGpus,
    KubeNode,
    Node,
    OldHolder,
    Pod,
    Run,
    Secret,
    SlicingConfig,
    SlurmCluster,
    VaultNode,
)
from labtui.session import Session
from labtui.slurm.types import Allocation, Partition
from labtui.sources.node import HostFacts
from labtui.store import Fault, Reading

NOW = 1_795_471_200.0
"""2026-11-23 22:00:00 UTC: the moment of the sample."""

EVIL = "a[/b][red]x\x1b[2J\x1b]0;owned\x07\r\nb\u202egnp.exe\u2066\u200b[@click=app.quit]y\x9b31m"
"""A name with markup, escapes, a newline, right-to-left marks: everything that must stay inert."""

UNITS = ("ssh", "munge", "slurmd", "prometheus-node-exporter")
CONFIG = Config(
    cluster=Cluster(name="lab"),
    slurm=SlurmConfig(login="desktop-gpu"),
    nodes={
        name: NodeConfig(
            address=address, user="labop", services=UNITS, mounts=("/mnt/nfs",), slurm=slurm
        )
        for name, address, slurm in (
            ("desktop-gpu", "10.77.0.10", True),
            ("xps15-cpu", "10.77.0.20", True),
            ("jetson-edge", "10.77.0.40", True),
            ("truenas", "10.77.0.50", False),
        )
    },
    prometheus=UrlConfig(url="http://10.77.0.20:9090"),
    alertmanager=UrlConfig(url="http://10.77.0.20:9093"),
    mlflow=UrlConfig(url="http://10.77.0.20:5000"),
    vault=VaultConfig(
        nodes={"truenas": "https://10.77.0.50:8200"},
        agents=("desktop-gpu", "xps15-cpu", "jetson-edge"),
        secrets={
            "ngc": SecretConfig(path="secret/ngc", file="/run/secrets/ngc-api-key"),
            "huggingface": SecretConfig(path="secret/huggingface", file="/run/secrets/hf-token"),
        },
    ),
    gpu=GpuConfig(metrics=("10.77.0.10:9400", "10.77.0.40:9400")),
)


def job(job_id: str, name: str, state: str, **more: Any) -> Job:
    given: dict[str, Any] = {
        "user": "ana", "partition": "cpu", "cpus": 1, "memory_mib": 512, "time_limit_s": 3600,
        "submit_time": NOW - 7200, "account": "research", "qos": "normal", "priority": 1,
        "work_dir": "/mnt/nfs/ana",
    }  # fmt: skip
    if state != "PENDING":
        given |= {"start_time": NOW - 7000, "stdout": f"/mnt/nfs/ana/slurm-{job_id}.out"}
        given["stderr"] = given["stdout"]
    return Job(job_id=job_id, name=name, state=state, **given | more)


JOBS = [
    job("1422", "llama-lora", "RUNNING", partition="gpu", gres="gpu:2", cpus=8, memory_mib=16384,
        nodes=("desktop-gpu",), time_used_s=7000, time_limit_s=14400),
    job("1423", "nim-embed", "RUNNING", user="ben", partition="gpu", gres="gpu:1", cpus=2,
        nodes=("desktop-gpu",), time_used_s=412, start_time=NOW - 412),
    job("1430_7", "sweep", "RUNNING", user="ben", nodes=("xps15-cpu",), time_used_s=95,
        array_task="7"),
    job("1430_[8-99%4]", "sweep", "PENDING", user="ben", reason="JobArrayTaskLimit",
        array_task="8-99%4", reason_text="its array runs 4 at once"),
    job("1431", "vision-eval", "PENDING", partition="gpu", gres="gpu:4", reason="Resources",
        reason_text="waits for free resources", start_time=NOW + 7400),
    job("1432", "after-llama", "PENDING", reason="Dependency",
        dependency="afterok:1422(unfulfilled)", reason_text="waits for 1422 to end well"),
    job("1433", "held", "PENDING", user="ben", reason="JobHeldUser",
        reason_text="held by its user"),
    job("1434", "orphan", "PENDING", reason="DependencyNeverSatisfied",
        reason_text="never starts: 1400 did not end as asked"),
    job("1440", EVIL, "PENDING", user="e\x1b[31mve", reason="Priority",
        reason_text="others come first"),
]  # fmt: skip

FINISHED = [
    job("1419", "tune", "FAILED", exit_code="1:0", reason_text="exit 1", time_used_s=31,
        end_time=NOW - 600, nodes=("xps15-cpu",)),
    job("1418", "big-batch", "OUT_OF_MEMORY", reason_text="ran out of memory", time_used_s=640,
        end_time=NOW - 4000, nodes=("desktop-gpu",), partition="gpu", gres="gpu:1"),
    job("1417", "spirals", "COMPLETED", exit_code="0:0", time_used_s=28, end_time=NOW - 5000,
        nodes=("xps15-cpu",), source="sacct"),
    job("1416", "drift", "CANCELLED", exit_code="0:15", time_used_s=8, end_time=NOW - 6000,
        reason_text="cancelled by ben", nodes=("xps15-cpu",), user="ben", source="sacct"),
]  # fmt: skip

NODES = [
    Node(name="desktop-gpu", slurm_state="MIXED", cpus_total=16, cpus_alloc=10, gpus=4,
         gpus_alloc=3, memory_total_mib=64000, partitions=("gpu",), memory_alloc_mib=18432,
         gres="gpu:4", gres_used="gpu:3(IDX:0-2)"),
    Node(name="xps15-cpu", slurm_state="MIXED+DRAIN", cpus_total=12, cpus_alloc=1,
         memory_total_mib=32000, partitions=("cpu",), memory_alloc_mib=512,
         slurm_reason="fan is loud, ana [ana@2026-11-23T20:11:09]"),
    Node(name="jetson-edge", slurm_state="DOWN+NOT_RESPONDING", cpus_total=6, cpus_alloc=0,
         gpus=1, gpus_alloc=0, memory_total_mib=8000, partitions=("edge",), memory_alloc_mib=0,
         gres="gpu:jetson:1", gres_used="gpu:jetson:0(IDX:N/A)",
         slurm_reason="Not responding [slurm@2026-11-23T21:59:01]"),
]  # fmt: skip

FACTS = {
    "desktop-gpu": HostFacts(
        load1=9.61, cpus=16, memory_total_mib=64000, memory_used_mib=41200, uptime_s=260_000.0,
        disk_total_mib=900_000, disk_free_mib=310_000, clock_offset_ms=0.4, clock_error_ms=2.0,
        services=dict.fromkeys(UNITS, "active") | {"slurmctld": "active", "slurmdbd": "active"},
        mounts={"/mnt/nfs": "nfs4 from truenas"},
    ),
    "xps15-cpu": HostFacts(
        load1=1.2, cpus=12, memory_total_mib=32000, memory_used_mib=9000, uptime_s=86_000.0,
        disk_total_mib=450_000, disk_free_mib=12_000, clock_offset_ms=2300.0, clock_error_ms=2.0,
        services=dict.fromkeys(UNITS, "active") | {"mlflow": "active", "prometheus": "active"},
        mounts={"/mnt/nfs": "nfs4 from truenas"},
    ),
    "truenas": HostFacts(
        load1=0.3, cpus=4, memory_total_mib=16000, memory_used_mib=3100, uptime_s=2_600_000.0,
        disk_total_mib=120_000, disk_free_mib=88_000, clock_offset_ms=0.1, clock_error_ms=2.0,
        services={"ssh": "active", "munge": "active", "vault": "active"},
        mounts={"/mnt/nfs": "local"},
    ),
}  # fmt: skip
DEAD = Fault("unreachable", "ssh: no answer from 10.77.0.40 within 2.7 s")

PARTITIONS = [
    Partition("gpu", nodes=("desktop-gpu",), total_cpus=16, total_nodes=1, max_time=4320),
    Partition("cpu", is_default=True, nodes=("xps15-cpu",), total_cpus=12, total_nodes=1),
    Partition("edge", nodes=("jetson-edge",), total_cpus=6, total_nodes=1),
]
ALLOCATIONS = [
    Allocation("1422", "llama-lora", "ana", "desktop-gpu", "gpu", None, 2, (0, 1), NOW - 7000),
    Allocation("1423", "nim-embed", "ben", "desktop-gpu", "gpu", None, 1, (2,), NOW - 412),
]
GPUS = GpuMetrics(
    cards=(
        Gpu(node="desktop-gpu", index=0, uuid="GPU-1ab70000-0000-4000-8000-6465736b746f",
            product="NVIDIA GeForce RTX 4090", util_percent=91.0, memory_used_mib=23900.0,
            memory_total_mib=24564.0, temperature_c=78.0, power_w=441.0, clock_mhz=2520.0,
            throttle="power cap", xid=0),
    ),
    up={"desktop-gpu": True, "jetson-edge": False},
)  # fmt: skip
SEALED = VaultNode(
    node="truenas", address="https://10.77.0.50:8200", state="sealed", sealed=True, threshold=3,
    shares=5, progress=0, version="1.21.2", seal_type="shamir", since=NOW - 500,
)  # fmt: skip


def agent(node: str, token_ttl_s: float, *old: OldHolder) -> Agent:
    """One that cannot renew its token while Vault is sealed; its files are as they were."""
    files = {"ngc": ("ngc-api-key", "5e884898da28"), "huggingface": ("hf-token", "03ac674216f3")}
    return Agent(
        node=node, alive=True, state="retrying, 503", token_ttl_s=token_ttl_s, token_life_s=3600,
        renewed_at=NOW - 3600 + token_ttl_s, address="https://10.77.0.50:8200", version="1.21.2",
        detail="Vault is sealed",
        secrets=tuple(
            Secret(path=f"/run/secrets/{file}", name=name, age_s=7260, mode="0600",
                   owner="root:root", hash=digest, old=old if name == "ngc" else ())
            for name, (file, digest) in files.items()
        ),
    )  # fmt: skip


STARTED_BEFORE = OldHolder(kind="job", id="1422", name="llama-lora", variable="NGC_API_KEY")


def run(name: str, status: str, **more: Any) -> Run:
    given: dict[str, Any] = {
        "run_id": f"{name}-9632206".ljust(32, "0"), "experiment": "two-spirals-mlp",
        "start_time": NOW - 3000, "end_time": NOW - 2970, "node": "xps15-cpu",
        "params": {"problem": "spirals", "learning_rate": "0.02", "hidden": "16"},
        "metrics": {"loss": 0.0132, "accuracy": 1.0}, "experiment_id": "1",
    }  # fmt: skip
    return Run(name=name, status=status, **given | more)


RUNS = [
    run("spirals-slow", "FINISHED", job_id="1417"),
    run("drift-too-fast", "FAILED", experiment="sensor-drift-linear", job_id="1419",
        metrics={"loss": None, "accuracy": 0.0}),
    run("llama-lora", "RUNNING", experiment="llama", job_id="1422", node="desktop-gpu",
        start_time=NOW - 6900, end_time=None, metrics={"train_loss": 1.873}),
    run(EVIL, "FINISHED", experiment=EVIL, params={EVIL: EVIL}, tags={EVIL: EVIL}, job_id="9"),
]  # fmt: skip

READINGS: dict[str, Any] = {
    "slurm.jobs": JOBS,
    "slurm.nodes": NODES,
    "slurm.allocations": ALLOCATIONS,
    "slurm.finished": FINISHED,
    "slurm.partitions": PARTITIONS,
    **{f"host.{name}": facts for name, facts in FACTS.items()},
    "host.jetson-edge": DEAD,
    "vault.truenas": SEALED,
    "agents.desktop-gpu": agent("desktop-gpu", 380, STARTED_BEFORE),
    "agents.xps15-cpu": agent("xps15-cpu", 540),
    "agents.jetson-edge": Fault("timeout", "jetson-edge: no answer within 3.0 s"),
    "prom.gpus": GPUS,
    "alerts": [],
    "mlflow.runs": RUNS,
}

GPU_CONFIG = msgspec.structs.replace(
    CONFIG,
    gpu=msgspec.structs.replace(CONFIG.gpu, smi=("desktop-gpu",), jetson=("jetson-edge",)),
    kubernetes=KubernetesConfig(kubectl=("kubectl",)),
)
"""The lab with a Kubernetes that has the same card, and with the cards asked on their machines."""
SHARED = GPUS.cards[0]
_PROCESS = GpuProcess(pid=0, node="desktop-gpu", gpu_uuid=SHARED.uuid)


def _process(pid: int, memory_mib: float, name: str, user: str, **more: Any) -> GpuProcess:
    return msgspec.structs.replace(
        _PROCESS, pid=pid, memory_mib=memory_mib, name=name, user=user, **more
    )


GPU_READINGS: dict[str, Any] = READINGS | {
    "slurm.jobs": [job for job in JOBS if job.job_id != "1423"],
    "slurm.allocations": ALLOCATIONS[:1],
    "slurm.nodes": [
        msgspec.structs.replace(NODES[0], gpus_alloc=2, gres_used="gpu:2(IDX:0-1)"), *NODES[1:]
    ],
    "smi.desktop-gpu": [
        msgspec.structs.replace(
            SHARED, memory_used_mib=22530.0, power_limit_w=450.0, power_default_w=450.0,
            power_min_w=150.0, power_max_w=600.0, persistence=True, clock_max_mhz=3105.0,
            driver="550.144.03",
            processes=(
                _process(4121, 18330.0, "python", "ana", job_id="1422", via="cgroup",
                         since=NOW - 6980),
                _process(9907, 3174.0, "nim", "root", pod_uid="5d1c", via="cgroup",
                         since=NOW - 3 * 86400),
                _process(7781, 512.0, "python", "ben", since=NOW - 1300),
            ),
        )
    ],
    "jetson.jetson-edge": DEAD,
    "k8s.gpus": KubeGpus(
        nodes=(
            KubeNode(name="desktop-gpu", node="desktop-gpu", ready=True, slices=4, capacity=4,
                     cards=1, replicas=4, product="NVIDIA-GeForce-RTX-4090-SHARED",
                     sharing="time-slicing", config="four"),
        ),
        pods=(
            Pod(namespace="nim", name="llama-0", uid="5d1c", node="desktop-gpu", phase="Running",
                slices=1, created=NOW - 3 * 86400, since=NOW - 3 * 86400,
                owner="StatefulSet/llama"),
            Pod(namespace="nim", name="eval-x7", uid="77aa", phase="Pending", slices=4,
                reason="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                reason_text="no node has 4 slices to give: 3 are left",
                created=NOW - 900, owner="Job/eval"),
        ),
        slicing=SlicingConfig(namespace="gpu-operator", name="time-slicing",
                              entries={"one": 1, "four": 4}, default="four"),
        policy="ready",
    ),
    "k8s.slurmclusters": [
        SlurmCluster(namespace="slurm", name="slurm1", phase="Available",
                     conditions={"SlurmControllersAvailable": "True"},
                     nodesets={"gpu": "Ready 1/1"}, login_pod="login-0"),
    ],
    "prom.gpuhours": GpuHours(
        util={"desktop-gpu:0": (12.0, 30.0, 64.0, 70.0, None, 88.0, 90.0, 92.0, 91.0, 95.0, 90.0,
                                91.0)},
        throttled={"desktop-gpu:0": (7, 60)},
    ),
}  # fmt: skip

DOWN: dict[str, Any] = {name: Fault("unreachable", "no route to host") for name in READINGS}
EMPTY: dict[str, Any] = READINGS | {
    "slurm.jobs": [],
    "slurm.finished": [],
    "mlflow.runs": [],
    "slurm.allocations": [],
}


def hostile(text: str = EVIL, readings: dict[str, Any] = READINGS) -> dict[str, Any]:
    """The readings with `text` in every free text that comes from outside."""

    def spoil(value: Any) -> Any:
        if isinstance(value, Fault):
            return Fault(value.kind, text)
        if isinstance(value, list):
            return [spoil(item) for item in value]
        if isinstance(value, tuple):
            return tuple(spoil(item) for item in value)
        free = {"name", "user", "partition", "reason", "reason_text", "slurm_reason", "comment",
                "work_dir", "stdout", "stderr", "account", "qos", "gres", "dependency",
                "experiment", "note", "version", "nonce", "cluster", "detail", "product", "uuid",
                "driver", "throttle", "owner", "phase", "policy", "config", "sharing", "message",
                "login_pod"}  # fmt: skip
        if isinstance(value, msgspec.Struct):
            keep = {"name"} if isinstance(value, (Node, KubeNode)) else set()
            found: dict[str, Any] = {f: text for f in value.__struct_fields__ if f in free - keep}
            for field in ("cards", "processes", "pods", "nodes", "slicing"):
                if isinstance(parts := getattr(value, field, None), (tuple, msgspec.Struct)):
                    found[field] = spoil(parts)
            for field in ("services", "mounts", "params", "tags", "conditions", "nodesets"):
                if hasattr(value, field):
                    found[field] = {text: text}
            return msgspec.structs.replace(value, **found)
        return value

    return {name: spoil(value) for name, value in readings.items()}


PRINTED = {
    "write batch_script 14": "#!/bin/bash\n#SBATCH --job-name=vision-eval\n#SBATCH --gres=gpu:4\n"
    "\n# the whole validation set\nsrun python eval.py --split=val\n",
    "show job 1431": "JobId=1431 JobName=vision-eval UserId=ana(1001) JobState=PENDING NumNodes=1-1"
    " NumCPUs=8 NumTasks=1 CPUs/Task=8 MinCPUsNode=8 MinMemoryNode=16G Features=(null)"
    " OverSubscribe=OK TresPerNode=gres/gpu:4\n",
    "sacct": "1418|OUT_OF_MEMORY|640|120|8|1||00:42:10|cpu=8,mem=16G,gres/gpu=1||||"
    f"{NOW - 4640:.0f}|{NOW - 4000:.0f}|desktop-gpu\n"
    "1418.batch|OUT_OF_MEMORY|640||8|1|1|00:42:10|cpu=8,mem=16G|16100M|cpu=00:42:00,mem=16100M||"
    f"{NOW - 4640:.0f}|{NOW - 4000:.0f}|desktop-gpu\n",
}
"""Part of a command -> what it prints."""


class RecordedHost(CommandHost):
    """Answers as the recording says: what a program prints, by its name; a log, line by line."""

    def __init__(self, name: str, log: Sequence[str] = (), said: dict[str, str] | None = None):
        super().__init__(name)
        self.log = list(log)
        self.said = said or {}

    async def _exec(
        self, argv: Sequence[str], stdin: bytes | None, timeout: float, sink: Sink | None = None
    ) -> tuple[int, bytes, bytes]:
        words = [w for w in argv if w in self.said]
        if words:
            return 0, b"", self.said[words[0]].encode()
        for part, printed in PRINTED.items():
            if part in " ".join(argv):
                return 0, printed.encode(), b""
        file = "".join(f"{line}\n" for line in self.log).encode(errors="replace")
        if "stat" in argv:
            return 0, b"%d 1:1 regular file\n" % len(file), b""
        if "dd" in argv:
            start, size = (int(w.partition("=")[2]) for w in argv if w[:5] in ("skip=", "count"))
            return 0, file[start : start + size], b""
        return (0, b"", b"") if "test" in argv else (1, b"", b"not in the recording")

    async def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        for line in self.log:
            yield line
        await asyncio.Event().wait()

    def shell_argv(self) -> list[str]:
        return ["true"]


class RecordedAction(Action):
    """An action whose plan and outcome are given: for the dialog alone."""

    id = "queue.cancel"

    def __init__(self, plan: Plan, outcome: Outcome) -> None:
        self._plan, self._outcome = plan, outcome
        self.ran = 0

    async def plan(self) -> Plan:
        return self._plan

    async def run(self, progress: Progress) -> None:
        self.ran += 1
        progress("sent; waiting until Slurm shows it")

    async def verify(self) -> Outcome:
        return self._outcome


def cancel_plan(name: str = "1422 llama-lora", **more: Any) -> Plan:
    given: dict[str, Any] = {
        "title": f"Cancel job {name}",
        "targets": (name,),
        "steps": (Step("desktop-gpu", "scancel 1422"),),
        "risks": ("what it has not written to disk is lost",),
        "undo": "none; it can be submitted again",
    }
    return Plan(**given | more)


LOG = [
    "epoch 1/3  loss 2.3411  lr 2.0e-4",
    "epoch 2/3  loss 1.9127  lr 1.0e-4",
    "epoch 3/3  loss 1.8730  lr 0.5e-4",
    "saved checkpoint to /mnt/nfs/ana/llama-lora/step-3000",
]
ESTIMATE = {"sbatch": f"sbatch: Job 1450 to start at {NOW:.0f} using 1 processors on nodes"
            " xps15-cpu in partition cpu\n"}  # fmt: skip


def put(session: Session, readings: dict[str, Any], at: float = NOW - 0.4) -> None:
    for name, value in readings.items():
        if session.store.feed(name) is None:
            continue
        failed = isinstance(value, Fault)
        if failed and name == "host.jetson-edge" and session.store.value(name) is None:
            # It has answered once, forty seconds ago.
            last = msgspec.structs.replace(FACTS["truenas"], mounts={}, services={})
            session.store.put(Reading(name, last, None, at - 41, 0.2))
        session.store.put(
            Reading(name, None if failed else value, value if failed else None, at, 0.2)
        )


def sample_session(
    config: Config = CONFIG, readings: dict[str, Any] | None = None, *, read_only: bool = False
) -> Session:
    session = Session(config, read_only=read_only, keep=False)
    for name in session.hosts:
        session.hosts[name] = RecordedHost(name, LOG, ESTIMATE)
    if session.slurm:
        session.slurm.host = session.hosts[config.slurm.login]
    session.scheduler.start = lambda: None  # type: ignore[method-assign]
    put(session, READINGS if readings is None else readings)
    return session


def sample_app(
    readings: dict[str, Any] | None = None,
    *,
    screen: str = "nodes",
    config: Config = CONFIG,
    make: Callable[[Config, bool], Session] | None = None,
    **options: Any,
) -> LabApp:
    """The console over the sample."""
    chosen = make or (lambda c, r: sample_session(c, readings, read_only=r))
    return LabApp(config, screen=screen, make_session=chosen, **options)


LAZY = {"prom.gpuhours": "prom", "k8s.slurmclusters": "k8s"}
"""Feeds that nobody asks before a screen wants them."""


def gpu_app(
    readings: dict[str, Any] | None = None, *, screen: str = "gpus", **options: Any
) -> LabApp:
    """The console over the lab with its Kubernetes, as long as its GPU screens have been open."""

    def make(config: Config, read_only: bool) -> Session:
        session = sample_session(config, {}, read_only=read_only)
        for name, kind in LAZY.items():
            session.store.declare(name, kind, 60.0)
        put(session, GPU_READINGS if readings is None else readings)
        return session

    return sample_app(screen=screen, config=GPU_CONFIG, make=make, **options)


async def until(pilot: Pilot[Any], ready: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for a condition of the running app."""
    end = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < end, pilot.app.screen
        await pilot.pause(0.01)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The clock stands at NOW, in UTC; nothing of the person who runs the tests is read."""
    localtime = time.localtime
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "localtime", lambda s=None: localtime(NOW if s is None else s))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", "/home/ana")
    for name in ("NO_COLOR", "COLORTERM", "LABTUI_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
