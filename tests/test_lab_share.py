"""The shared folder: what carries it on which kernel, and the NFS server for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest_lab import need_lab
from labtui.lab import fault, machines, memory, ready, root, share, start, up
from labtui.lab.layout import CONTROLLER, MACHINES, SHARE, STORAGE, Lab
from labtui.lab.system import LabError, run, wait_for, write

WITHOUT = "nodev\tproc\n\text4\nnodev\tfuse\n"
WITH = WITHOUT + "nodev\tnfs\nnodev\tnfs4\n"
NODE = "jetson-edge"


@pytest.fixture
def filesystems(tmp_path: Path) -> Path:
    path = tmp_path / "filesystems"
    path.write_text(WITHOUT)
    return path


def modprobe(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[list[str]]:
    """Stands in for modprobe: what it does is a matter of the kernel."""
    asked: list[list[str]] = []

    def stand_in(argv: list[str], **_: object) -> None:
        asked.append(argv)
        act()

    monkeypatch.setattr(share, "run", stand_in)
    return asked


def test_a_kernel_with_the_client_gets_nfs(
    filesystems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = modprobe(monkeypatch, lambda: None)
    filesystems.write_text(WITH)
    chosen = share.choose(filesystems)
    assert (chosen.name, chosen.why) == ("nfs", "this kernel has an NFS client")
    assert set(chosen.packages) == {"nfs-common", "nfs-ganesha", "nfs-ganesha-vfs"}
    assert asked == []


def test_a_kernel_that_can_load_the_client_gets_nfs(
    filesystems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = modprobe(monkeypatch, lambda: filesystems.write_text(WITH))
    assert share.choose(filesystems).name == "nfs"
    assert asked == [["modprobe", "--quiet", "nfsv4"]]


def missing() -> None:
    raise LabError("modprobe is not installed")


@pytest.mark.parametrize("act", [lambda: None, missing])
def test_another_kernel_gets_sshfs_and_no_packages(
    filesystems: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]
) -> None:
    modprobe(monkeypatch, act)
    chosen = share.choose(filesystems)
    assert (chosen.name, chosen.why) == ("sshfs", "this kernel has no NFS client")
    assert root.packages(chosen.packages) == root.packages()


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Lab]:
    """Makes the share's files in roots with or without the NFS server."""
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path))

    def prepare(over_nfs: bool) -> Lab:
        lab = Lab("paper")
        write(lab.ssh / "known_hosts", "")
        share.ensure_keys(lab)
        for machine in MACHINES:
            base = lab.machine_root(machine)
            (base / "srv").mkdir(parents=True)
            write(base / "etc/passwd", f"labop:x:{os.getuid()}:{os.getgid()}::/home:/bin/sh\n")
            if over_nfs:
                write(base / share.GANESHA, "")
            share.prepare(lab, machine)
        return lab

    return prepare


def unit(lab: Lab, machine: str, name: str) -> str:
    units = lab.machine_root(machine) / "etc/systemd/system"
    assert (units / "multi-user.target.wants" / name).is_symlink()
    return (units / name).read_text()


def test_nfs_is_mounted_hard_and_served_by_a_process(prepared: Callable[[bool], Lab]) -> None:
    lab = prepared(True)
    assert {share.kind(lab, m) for m in MACHINES} == {"nfs"}
    mount = unit(lab, NODE, share.UNIT)
    assert " -t nfs4 -o vers=4.2,hard,proto=tcp,retry=0 truenas:/srv/nfs /mnt/nfs" in mount
    assert "sshfs" not in mount
    assert "/usr/bin/ganesha.nfsd -F" in unit(lab, STORAGE, share.SERVER)
    kept = lab.machine_dir(STORAGE) / "share"
    assert (kept / "jobs").stat().st_mode & 0o7777 == 0o1777
    assert share.options(lab, STORAGE) == [
        f"--bind={kept}:/srv/nfs",
        "--system-call-filter=open_by_handle_at",
    ]
    assert share.options(lab, NODE) == []


def test_sshfs_asks_nothing_more_of_the_containers(prepared: Callable[[bool], Lab]) -> None:
    lab = prepared(False)
    assert {share.kind(lab, m) for m in MACHINES} == {"sshfs"}
    assert "/usr/bin/sshfs -f labop@truenas:/srv/nfs /mnt/nfs" in unit(lab, NODE, share.UNIT)
    assert not (lab.machine_root(STORAGE) / "etc/systemd/system" / share.SERVER).exists()
    assert (lab.machine_root(STORAGE) / "srv/nfs/jobs").is_dir()
    assert [share.options(lab, m) for m in MACHINES] == [[]] * 4


@pytest.mark.lab
def test_the_lab_has_what_its_kernel_carries(lab: Lab) -> None:
    name = share.choose().name
    source, kind = machines.run(
        lab, NODE, ["findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", SHARE]
    ).stdout.split()
    assert kind == {"nfs": "nfs4", "sshfs": "fuse.sshfs"}[name]
    assert source.endswith("truenas:/srv/nfs")
    assert {share.kind(lab, m) for m in MACHINES} == {name}


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    "LABTUI_TEST_NFS" not in os.environ,
    reason="LABTUI_TEST_NFS=FOLDER builds a root with the NFS server there, in 2 minutes",
)
def test_the_nfs_server_hangs_with_truenas_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and written by a client that needs no kernel: served on any machine."""
    need_lab()
    monkeypatch.setenv("LABTUI_CACHE", os.environ["LABTUI_TEST_NFS"])
    lab = Lab("test-nfs", os.environ.get("LABTUI_TEST_SUITE", "trixie"))
    base = root.ensure(lab, print, [*share.PACKAGES, "libnfs-utils"])
    memory.save(lab, memory.Memory(lab.suite, base.name))
    enter = ["ip", "netns", "exec", lab.namespace, "chroot", str(base)]

    def url(name: str) -> str:
        return f"nfs://{MACHINES[STORAGE].address}/srv/nfs/{name}?version=4"

    def client(*words: str, timeout: float = 5) -> str:
        return run([*enter, *words], timeout=timeout).stdout

    def read_fails() -> str:
        try:
            return "" if client("nfs-cat", url("jobs/x")) == text else "other text"
        except LabError as e:
            return str(e)

    try:
        # The controller too: a machine is well again when Slurm knows of no ill.
        start.start(lab, [STORAGE, CONTROLLER], base, print)
        ready.wait(lab, only=STORAGE)
        text = machines.run(lab, STORAGE, ["tee", f"{SHARE}/jobs/x"], stdin="from truenas\n").stdout
        wait_for("the server", read_fails, timeout=20)
        client("nfs-cp", "/etc/passwd", url("jobs/passwd"))
        copied = machines.run(lab, STORAGE, ["cat", f"{SHARE}/jobs/passwd"]).stdout
        assert copied == (base / "etc/passwd").read_text()

        fault.make(lab, STORAGE, "hang", print)
        with pytest.raises(LabError, match="longer than 3 s"):
            client("nfs-cat", url("jobs/x"), timeout=3)
        waiting = subprocess.Popen(
            [*enter, "nfs-cat", url("jobs/x")], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        fault.make(lab, STORAGE, "heal", print)
        assert waiting.communicate(timeout=20)[0] == text

        fault.make(lab, STORAGE, "stop", print)
        fault.make(lab, STORAGE, "heal", print)
        wait_for("the server", read_fails, timeout=20)
    finally:
        up.take_down(lab, print, forget=True)
