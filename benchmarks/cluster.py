"""A real slurmctld with a hundred thousand jobs and five thousand nodes, made in seconds.

    python benchmarks/cluster.py up [--jobs 100000] [--nodes 5000] [--kind mixed|array] | down

munged and slurmctld from the lab's root file system, in namespaces of their own: no route out, and
nothing written outside memory. The nodes are only configured, the jobs held or otherwise waiting.
Slurm's commands for it are the wrappers in `<folder>/bin`: put that first in PATH.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from terminal import cpu_of

from labtui.lab import root, services, share, up
from labtui.lab.layout import Lab
from labtui.lab.system import PATH, LabError, run, wait_for, write

FOLDER = Path("/run/labtui-bench")
FIRST_ID = 4_000_001
SINGLES = 500
"""Jobs of a mixed queue that are no tasks of an array."""
USERS = ("ana", "ben", "labop")
WORK = ("llama-lora", "prep-shards", "export-onnx", "edge-deploy", "eval-mmlu")
COMMANDS = (
    *("squeue", "sinfo", "scontrol", "scancel", "sbatch", "sacct", "sdiag", "sacctmgr"),
    *("sprio", "sshare", "sreport"),
)

CONF = """\
ClusterName=bench
SlurmctldHost=ctl(10.78.0.1)
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmctldPidFile=/run/slurmctld/slurmctld.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmctldDebug=info
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
GresTypes=gpu
FirstJobId={first}
MaxJobId=8000000
MaxJobCount=250000
MaxArraySize=200001
SlurmdTimeout=0
ReturnToService=0
# Nothing can start: looking for it every 30 s would only show in slurmctld's CPU.
SchedulerParameters=bf_interval=3600
AccountingStorageType=accounting_storage/none
NodeName=gpu[0001-{gpus:04}] NodeAddr=10.78.0.1 CPUs=64 RealMemory=256000 Gres=gpu:4 {down}
NodeName=cpu[0001-{cpus:04}] NodeAddr=10.78.0.1 CPUs=128 RealMemory=512000 {down}
PartitionName=gpu Nodes=gpu[0001-{gpus:04}] MaxTime=1-00:00:00
PartitionName=cpu Nodes=cpu[0001-{cpus:04}] Default=YES MaxTime=2-00:00:00
"""
DOWN = "State=DOWN Reason=configured_only"

# An address beside the loopback's: with that one alone, getaddrinfo finds nothing to listen on.
INIT = """\
set -eu
cd "$1"
mount -t tmpfs tmpfs .
cd "$1"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$2,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up
ip link add br0 type bridge
ip addr add 10.78.0.1/24 dev br0
ip link set br0 up
hostname ctl
printf '127.0.0.1 localhost\\n10.78.0.1 ctl\\n' > etc/hosts
mkdir -p run/munge run/slurmctld
cat > etc/slurm/slurm.conf
echo CgroupPlugin=disabled > etc/slurm/cgroup.conf
echo "Name=gpu Count=4" > etc/slurm/gres.conf
head -c 1024 /dev/urandom > etc/munge/munge.key
chown --reference="$2/var/lib/munge" etc/munge/munge.key run/munge
chown --reference="$2/var/lib/slurm" run/slurmctld
chmod 400 etc/munge/munge.key
chroot . setpriv --reuid munge --regid munge --init-groups munged --force
chroot . slurmctld -c
exec chroot . sleep infinity
"""

WRAPPER = """\
#!/bin/sh
echo "${{0##*/}} $*" >> {folder}/calls
read -r leader < {folder}/leader
exec nsenter -t "$leader" -m -n -u -r -w -- "${{0##*/}}" "$@"
"""


class Cluster:
    """One that is up. `folder` holds its wrappers (`bin`) and the list of what they ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks: dict[str, int] = {}
        """What was submitted: its id, and how many tasks it has; 0 for what is no array."""

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def calls(self) -> Path:
        """A line for each command that a wrapper ran, written before it runs."""
        return self.folder / "calls"

    def run(self, *argv: str, stdin: str | None = None, timeout: float = 60) -> str:
        """A command in the cluster; it isn't among the calls. Raises LabError."""
        leader = (self.folder / "leader").read_text().strip()
        enter = ["nsenter", "-t", leader, "-m", "-n", "-u", "-r", "-w", "--"]
        return run([*enter, *argv], stdin=stdin, timeout=timeout).stdout

    def slurmctld(self) -> int:
        """Its process id, as this machine counts."""
        leader = (self.folder / "leader").read_text().strip()
        names = {p: Path(f"/proc/{p}/comm").read_text().strip() for p in _children(int(leader))}
        # It has a helper process of the same name, with little to do.
        found = [pid for pid, name in names.items() if name == "slurmctld"]
        if found:
            return max(found, key=lambda pid: cpu_of(pid).own)
        raise LabError("slurmctld is not running")


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def root_file_system() -> Path:
    """That of the lab's machines; built where it is missing. Raises LabError."""
    lab = Lab()
    if not lab.root.exists():
        up.check_host(lab)
        root.install_host(print)
        wanted = [p for service in services.of(lab) for p in service.packages]
        root.ensure(lab, print, [*wanted, *share.choose().packages])
    return lab.root.resolve()


def scripts(jobs: int, kind: str) -> Iterator[tuple[str, int]]:
    """sbatch's arguments for a queue of so many jobs, each with its number of tasks."""
    if kind == "array":
        yield f"--hold --array=0-{jobs - 1} --uid=ana -p cpu -J job-{WORK[0]}-000", jobs
        return
    singles = min(jobs, SINGLES)
    size = max(1, jobs // 100)
    left = jobs - singles
    parts = [0] * singles + [size] * (left // size) + ([left % size] if left % size else [])
    # Arrays and single jobs in turn, as people submit them.
    for number in range(len(parts)):
        tasks = parts[number * 7919 % len(parts)]
        words = [f"-J job-{WORK[number % 5]}-{number:03}", f"--uid={USERS[number % 3]}"]
        words.append("-p gpu --gres=gpu:1" if number % 2 else "-p cpu")
        words.append(("--hold", "--hold --nice=10", "--begin=now+7days")[number % 3])
        if tasks:
            words.append(f"--array=0-{tasks - 1}")
        yield " ".join(words), tasks


def bring_up(jobs: int, nodes: int, kind: str = "mixed", folder: Path = FOLDER) -> Cluster:
    """Start it and submit the jobs; one that runs in the same folder is ended. Raises LabError."""
    if os.geteuid():
        raise LabError("the cluster has namespaces of its own: run this as root")
    lower = root_file_system()
    take_down(folder)
    (folder / "machine").mkdir(parents=True, exist_ok=True)
    gpus = max(1, nodes * 2 // 5)
    conf = CONF.format(first=FIRST_ID, gpus=gpus, cpus=max(1, nodes - gpus), down=DOWN)
    spaces = ("--mount", "--propagation", "private", "--net", "--uts", "--pid", "--fork")
    init = ["sh", "-c", INIT, "sh", str(folder / "machine"), str(lower)]
    with (folder / "log").open("wb") as log:
        outer = subprocess.Popen(
            ["unshare", *spaces, "--kill-child", *init],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={"PATH": PATH, "CLUSTER": str(folder)},
            start_new_session=True,
        )
    assert outer.stdin is not None
    outer.stdin.write(conf.encode())
    outer.stdin.close()
    wait_for("unshare", lambda: "" if _children(outer.pid) else "no process of its own", timeout=9)
    leader = _children(outer.pid)[0]
    write(folder / "leader", f"{leader}\n")
    write(folder / "calls", "", 0o666)
    for name in COMMANDS:
        write(folder / "bin" / name, WRAPPER.format(folder=folder), 0o755)
    cluster = Cluster(folder)

    def lacks() -> str:
        if outer.poll() is not None:
            said = (folder / "log").read_text(errors="replace").splitlines() or ["nothing"]
            raise LabError(f"the cluster ended; it said: {said[-1]}")
        with contextlib.suppress(LabError, OSError):
            cluster.run("timeout", "1", "scontrol", "ping", timeout=3)
            return ""
        return "slurmctld does not answer"

    wait_for("slurmctld", lacks, timeout=30)
    wanted = list(scripts(jobs, kind))
    submit = "".join(
        f"sbatch --parsable --chdir=/tmp -t 60 {words} --wrap 'sleep 60'\n" for words, _ in wanted
    )
    ids = cluster.run("sh", "-e", stdin=submit, timeout=120).split()
    cluster.tasks = dict(zip(ids, (tasks for _, tasks in wanted), strict=True))
    return cluster


def take_down(folder: Path = FOLDER) -> None:
    """End every process of it; its namespaces, mounts and memory go with them."""
    with contextlib.suppress(OSError, ValueError):
        leader = int((folder / "leader").read_text())
        # The number may have become another process's: ours bears the folder's name.
        if str(folder).encode() in Path(f"/proc/{leader}/environ").read_bytes():
            os.kill(leader, signal.SIGKILL)
            wait_for("the end", lambda: "alive" * Path(f"/proc/{leader}/root").exists(), timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(jobs: int, nodes: int, kind: str = "mixed", folder: Path = FOLDER) -> Iterator[Cluster]:
    """Up for the time of the block."""
    try:
        yield bring_up(jobs, nodes, kind, folder)
    finally:
        take_down(folder)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--kind", choices=("mixed", "array"), default="mixed")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(words)
    try:
        if options.command == "down":
            take_down(options.folder)
            return
        start = time.perf_counter()
        made = bring_up(options.jobs, options.nodes, options.kind, options.folder)
        print(f"up after {time.perf_counter() - start:.1f} s; PATH={made.bin}:$PATH squeue")
    except LabError as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
