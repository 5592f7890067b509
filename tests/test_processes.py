"""Whose a process is: control groups as kernels wrote them, titles, and what nobody may forge."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import GpuProcess
from labtui.sources import processes
from labtui.sources.processes import Ancestor, owner

UID = "0b7632a2-a56e-4278-987a-22de18008dbe"
UNDER = UID.replace("-", "_")
ID = "0bc5eac79e3ae7a0c2651f14722aa10fa333eb2325c2ca97da33aa284cda81b0"


@pytest.mark.parametrize(
    ("cgroup", "job", "pod"),
    [
        # Slurm: cgroup/v2, with several slurmds on a machine, the batch step, cgroup/v1.
        ("0::/system.slice/slurmstepd.scope/job_1392969/step_0/user/task_0", "1392969", None),
        ("0::/system.slice/gpu01_slurmstepd.scope/job_7/step_batch/user/task_special", "7", None),
        ("10:devices:/slurm/uid_2101171/job_280678/step_interactive/task_0", "280678", None),
        ("4:memory:/slurm_gpu01/uid_1000/job_12/step_extern", "12", None),
        # Kubernetes: systemd's driver with containerd and CRI-O, cgroupfs, cri-dockerd, old colon.
        (f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDER}.slice/"
         f"cri-containerd-{ID}.scope", None, UID),
        (f"0::/kubepods.slice/kubepods-pod{UNDER}.slice/crio-{ID}.scope", None, UID),
        (f"9:name=systemd:/kubepods/besteffort/pod{UID}/{ID}", None, UID),
        (f"3:cpu:/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDER}.slice/"
         f"docker-{ID}.scope", None, UID),
        (f"3:cpu:/system.slice/containerd.service/kubepods-burstable-pod{UNDER}.slice:"
         f"cri-containerd:{ID}", None, UID),
        (f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNDER}.slice/"
         "x", None, UID),
        ("0::/kubepods/burstable/pod0123456789abcdef0123456789abcdef/x", None,
         "0123456789abcdef0123456789abcdef"),
        # A Slurm that runs in pods.
        (f"0::/kubepods.slice/kubepods-pod{UNDER}.slice/cri-containerd-{ID}.scope/system.slice/"
         "slurmstepd.scope/job_5/step_0", "5", UID),
        # Nobody's.
        ("0::/user.slice/user-1000.slice/session-3.scope", None, None),
        ("0::/system.slice/docker-abc.scope", None, None),
        ("0::/system.slice/slurmstepd.scope/system", None, None),
        ("12:pids:/system.slice/slurmd.service\n0::/system.slice/slurmd.service", None, None),
        ("", None, None),
        # Below user.slice everybody makes groups of any name.
        ("0::/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_5/x", None, None),
    ],
)  # fmt: skip
def test_control_groups(cgroup: str, job: str | None, pod: str | None) -> None:
    found = owner(cgroup)
    assert (found.get("job_id"), found.get("pod_uid")) == (job, pod)
    assert found.get("via") == ("cgroup" if job or pod else None)


def test_without_groups_slurmstepd_among_the_parents_tells() -> None:
    stepd = Ancestor("slurmstepd", 0, "slurmstepd: [123.batch]")
    step = Ancestor("slurmstepd", 0, "slurmstepd: [4711.0]")
    assert owner("", [Ancestor("bash", 1000, ""), stepd])["job_id"] == "123"
    assert owner("", [step, stepd]) == {"job_id": "4711", "via": "slurmstepd"}
    forged = Ancestor("slurmstepd", 1000, "slurmstepd: [99.batch]")
    assert owner("", [forged]) == {}
    assert owner("", [Ancestor("bash", 0, "slurmstepd: [99.batch]")]) == {}
    assert owner("", [Ancestor("slurmstepd", 0, "slurmstepd")]) == {}


def named(pid: int, name: str) -> None:
    """Popen is back before the kernel calls the child by its program's name."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/comm").read_text() != f"{name}\n":
        assert time.monotonic() < end, f"{pid} never became {name}"
        time.sleep(0.01)


def test_a_process_of_this_machine() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        try:
            named(child.pid, "sleep")
            (found,) = processes.here([GpuProcess(pid=child.pid)])
        finally:
            child.kill()
    assert (found.name, found.job_id, found.via) == ("sleep", None, None)
    assert found.user and found.since and abs(found.since - time.time()) < 60


def test_one_that_is_gone_stays_unknown() -> None:
    (found,) = processes.here([GpuProcess(pid=2**22 + 5)])
    assert (found.since, found.user, found.name) == (None, None, None)


def test_the_parents_are_walked(tmp_path: Path) -> None:
    def process(pid: int, name: str, parent: int, uid: int, title: str = "") -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        uids = "\t".join([str(uid)] * 4)
        folder.joinpath("status").write_text(f"Name:\t{name}\nPPid:\t{parent}\nUid:\t{uids}\n")
        folder.joinpath("cgroup").write_text("0::/system.slice/slurmd.service\n")
        folder.joinpath("cmdline").write_bytes(title.encode() + b"\0" * 40)
        fields = " ".join(["0"] * 17)
        folder.joinpath("stat").write_text(f"{pid} (a ) b) S {parent} {fields} 1500 0 0\n")

    (tmp_path / "stat").write_text("cpu  1 2 3\nbtime 1795500000\n")
    process(100, "slurmstepd", 1, 0, "slurmstepd: [17.0]")
    process(101, "bash", 100, 1000)
    process(102, "python3", 101, 1000)
    (found,) = processes.here([GpuProcess(pid=102, memory_mib=5.0)], tmp_path)
    assert (found.job_id, found.via, found.name) == ("17", "slurmstepd", "python3")
    assert (found.since, found.memory_mib) == (1795500015.0, 5.0)


def test_the_script_tells_the_same_of_this_machine() -> None:
    """The function of the scripts, run by sh, against what is read directly."""
    with subprocess.Popen(["sleep", "30"]) as child:
        try:
            named(child.pid, "sleep")
            script = f'{processes.SCRIPT}\nowners "$@"'
            argv = ["sh", "-c", script, "x", str(child.pid), "4194309"]
            text = subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout
            (direct,) = processes.here([GpuProcess(pid=child.pid)])
        finally:
            child.kill()
    facts, boot, users = processes.parse(text)
    told = processes.described(GpuProcess(pid=child.pid), facts[child.pid], boot, users)
    assert told == direct
    gone = processes.described(GpuProcess(pid=4194309), facts[4194309], boot, users)
    assert (gone.since, gone.user) == (None, None)


def test_a_name_full_of_rubbish_does_no_harm(tmp_path: Path) -> None:
    """The kernel escapes a line break in Name; stat and cmdline hold it as it is."""
    name = "x\nUid:\t0"
    with subprocess.Popen(["bash", "-c", f"exec -a $'{name}' sleep 30"]) as child:
        try:
            argv = ["sh", "-c", f'{processes.SCRIPT}\nowners "$@"', "x", str(child.pid)]
            text = subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout
        finally:
            child.kill()
    facts, _, _ = processes.parse(text)
    status = facts[child.pid].status
    assert status is not None and status.uid == os.getuid()


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    processes.parse(text)
    owner(text, [Ancestor(text, 0, text)])
    processes.started(text, 1.0)
    processes.status(text)


@given(st.lists(st.sampled_from(
    ["pid 5\n", "cgroup ", "stat ", "Name:\tx\n", "PPid:\t7\n", "Uid:\t0\t0\n", "title ",
     "slurmstepd: [9.batch]\n", "users\n", "a:5\n", "btime 7\n", "\n", "pid x\n"],
), max_size=30))  # fmt: skip
def test_any_order_of_lines_is_read(lines: list[str]) -> None:
    facts, boot, users = processes.parse("".join(lines))
    for found in facts.values():
        processes.described(GpuProcess(pid=found.pid), found, boot, users)
