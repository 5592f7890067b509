"""The four machines: systemd containers over one read-only root, each with a layer of its own.

What runs is read from the kernel (processes, mounts, namespaces), never from files that say so:
a lab that was killed is found whole.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from labtui.lab import net, system
from labtui.lab.layout import MACHINES, Lab
from labtui.lab.system import PATH, LabError, wait_for

POWEROFF = signal.SIGRTMIN + 4
"""What systemd takes for `poweroff` when its process 1 gets it."""

CGROUPS = Path("/sys/fs/cgroup")
START = 'for c in $0; do echo $$ > "$c/cgroup.procs"; done; exec "$@"'
"""Move into the control groups named first, then become the command."""


def mounts_under(folder: Path) -> list[str]:
    """Mount points in `folder`, deepest first, as the kernel lists them."""
    found = []
    folder = folder.resolve()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].replace("\\040", " ")
        if point == str(folder) or point.startswith(f"{folder}/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)


def mount(lab: Lab, machine: str, root: Path) -> None:
    """Mount a machine's root: its own layer over the shared one."""
    folder = lab.machine_dir(machine)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if mounts_under(lab.machine_root(machine)):
        return
    layers = f"lowerdir={root},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    system.run(["mount", "-t", "overlay", "overlay", "-o", layers, lab.machine_root(machine)])


def unmount(lab: Lab, machine: str | None = None) -> None:
    """Unmount whatever is mounted in a machine's folder, or of the whole lab."""
    for point in mounts_under(lab.machine_dir(machine) if machine else lab.state):
        if system.run(["umount", point], check=False).returncode:
            system.run(["umount", "--lazy", point])


def boot(
    lab: Lab,
    machine: str,
    binds: Iterable[tuple[Path, str]] = (),
    options: Iterable[str] = (),
) -> None:
    """Start a machine whose root is mounted; returns at once. `binds` are read-only, `options`
    are systemd-nspawn's own."""
    groups = []
    for tree in _cgroup_trees():
        group = tree / lab.namespace / machine
        group.mkdir(parents=True, exist_ok=True)
        groups.append(str(group))
    container = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--keep-unit",
        "--register=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--directory={lab.machine_root(machine)}",
        f"--machine={lab.name}-{machine}",
        f"--hostname={machine}",
        f"--network-namespace-path={net.NAMESPACES / net.namespace(lab, machine)}",
        f"--setenv=LABTUI_MACHINE={_mark(lab, machine)}",
        *(f"--bind-ro={source}:{target}" for source, target in binds),
        *options,
    ]
    if Path("/dev/fuse").exists():
        container.append("--bind=/dev/fuse")
    with (lab.machine_dir(machine) / "console.log").open("w") as log:
        # setsid --fork: the machine outlives us and leaves us no child to wait for.
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", START, " ".join(groups), *container],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", **_hierarchy(lab)},
            check=True,
        )


def leaders(lab: Lab) -> dict[str, int]:
    """Process 1 of every machine that runs, by machine."""
    marks = {f"LABTUI_MACHINE={_mark(lab, m)}".encode(): m for m in MACHINES}
    found: dict[str, int] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            machine = next((marks[v] for v in variables if v in marks), None)
            if machine and _is_process_one(process):
                found[machine] = int(process.name)
        except OSError:
            continue
    return found


def broken(lab: Lab) -> list[str]:
    """Machines that run but lost their network namespace or their root: only a new start mends."""
    found = []
    for machine, pid in leaders(lab).items():
        named = net.NAMESPACES / net.namespace(lab, machine)
        try:
            joined = named.stat().st_ino == Path(f"/proc/{pid}/ns/net").stat().st_ino
        except OSError:
            joined = False
        if not (joined and mounts_under(lab.machine_root(machine))):
            found.append(machine)
    return found


def leader(lab: Lab, machine: str) -> int | None:
    """Process 1 of a machine as this machine numbers it; None when it is off."""
    return leaders(lab).get(machine)


def run(
    lab: Lab,
    machine: str,
    argv: Sequence[str],
    *,
    timeout: float = 20.0,
    stdin: str | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command as root inside a machine. Raises LabError, also when the machine is off."""
    return system.run(enter(lab, machine, argv), timeout=timeout, stdin=stdin, check=check)


def enter(lab: Lab, machine: str, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` inside a machine."""
    pid = leader(lab, machine)
    if pid is None:
        raise LabError(f"{machine} is not running")
    spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
    return ["nsenter", "--target", str(pid), *spaces, "--", *argv]


def processes(pid: int) -> list[int]:
    """Every process of the machine whose process 1 is `pid`, as this machine numbers them."""
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "ns/pid").readlink() == space:
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def power_off(lab: Lab, names: Iterable[str], *, grace: float) -> None:
    """Shut machines down in order; after `grace` seconds (0: at once) cut their power."""
    wanted = set(names)
    running = {m: p for m, p in leaders(lab).items() if m in wanted}
    for pid in running.values():
        signal_process(pid, POWEROFF if grace else signal.SIGKILL)
    end = time.monotonic() + grace
    while grace and time.monotonic() < end and any(map(_alive, running.values())):
        time.sleep(0.05)
    for pid in running.values():
        signal_process(pid, signal.SIGKILL)
    wait_for(
        "the end of the machines' processes",
        lambda: (
            " ".join(m for m, p in supervisors(lab).items() if m in wanted)
            or " ".join(m for m, p in running.items() if _alive(p))
        ),
        timeout=10,
        every=0.05,
    )
    for machine in wanted:
        for tree in _cgroup_trees():
            _remove_cgroup(tree / lab.namespace / machine)


def remove_cgroups(lab: Lab) -> None:
    """Remove the lab's control groups; all its machines are off."""
    for tree in _cgroup_trees():
        _remove_cgroup(tree / lab.namespace)


def kill_strays(lab: Lab) -> None:
    """Kill a container's supervisor that lost its machine, and what else is left of machines that
    are off in their network namespaces."""
    running = leaders(lab)
    for machine, pid in supervisors(lab).items():
        if machine not in running:
            signal_process(pid, signal.SIGKILL)
    for machine in MACHINES:
        path = net.NAMESPACES / net.namespace(lab, machine)
        if machine in running or not path.exists():
            continue
        for stray in system.run(["ip", "netns", "pids", path.name], check=False).stdout.split():
            signal_process(int(stray), signal.SIGKILL)


def supervisors(lab: Lab) -> dict[str, int]:
    """systemd-nspawn's own processes, by machine."""
    roots = {f"--directory={lab.machine_root(m)}".encode(): m for m in MACHINES}
    found: dict[str, int] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"systemd-nspawn"):
                found |= {roots[w]: int(process.name) for w in words if w in roots}
    return found


def _hierarchy(lab: Lab) -> dict[str, str]:
    """sid's systemd refuses the old control groups, which a host may still have."""
    return {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if lab.suite == "sid" else {}


def _mark(lab: Lab, machine: str) -> str:
    return f"{lab.state}/{machine}"


def _is_process_one(process: Path) -> bool:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("State:") and "Z" in line.split()[1]:
            return False
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == "1"
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def signal_process(pid: int, number: int) -> None:
    """Send a signal; a process that is gone is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _cgroup_trees() -> list[Path]:
    """Where a container's control group goes: every hierarchy that systemd uses for processes.

    Each machine needs one of its own, for systemd-nspawn calls the one below it `payload`.
    """
    hybrid = [CGROUPS / name for name in ("unified", "systemd") if (CGROUPS / name).is_dir()]
    return hybrid or [CGROUPS]


def _remove_cgroup(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)  # noqa: PTH106
        except OSError:
            continue
