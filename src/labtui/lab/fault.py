"""Breaking a machine of the lab on purpose, and healing it. Only the lab is ever touched."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from labtui.lab import machines, memory, net, ready, start
from labtui.lab.layout import MACHINES, OPERATOR, STORAGE, Lab, Say
from labtui.lab.system import USAGE, LabError, lab_lock, locked, run, write

WORDS = "stop, hang, partition, slow=KBIT, lossy=PCT, clock=S, fill-disk or heal"
SCRATCH = "/scratch"
SCRATCH_MIB = 64
"""The file system that fill-disk mounts and fills: bounded, and never the host's own."""

CLOCK_DROPIN = "etc/systemd/system/munge.service.d/labtui-fault.conf"
TABLE = "labtui-fault"


def make(lab: Lab, machine: str, what: str, say: Say) -> None:
    """Make one fault in a machine, or heal all of them. Raises LabError."""
    if machine not in MACHINES:
        raise LabError(f"no such machine: {machine} (there are {', '.join(MACHINES)})", USAGE)
    name, _, value = what.partition("=")
    with locked(lab_lock(lab), start.LOCK_S, lambda: say("waiting for another labtui lab command")):
        known = memory.load(lab)
        if not net.is_up(lab):
            raise LabError("the lab is not up")
        if name == "heal":
            heal(lab, machine, say)
            return
        if machines.leader(lab, machine) is None:
            raise LabError(f"{machine} is off already: heal it first", USAGE)
        act = _fault(name, value)
        made = known.faults.setdefault(machine, [])
        # Remembered first: what is half made when we are killed is healed too.
        known.faults[machine] = [f for f in made if f.partition("=")[0] != name] + [what]
        memory.save(lab, known)
        try:
            act(lab, machine)
        except LabError:
            known.faults[machine] = made
            memory.save(lab, known)
            raise
    named = "" if lab.name == Lab().name else f" --name {lab.name}"
    say(f"{machine}: {what}; `labtui lab fault {machine} heal{named}` undoes it")


def heal(lab: Lab, machine: str, say: Say) -> None:
    """Undo every fault of a machine, boot it if it is off, wait until it serves again."""
    known = memory.load(lab)
    undo(lab, machine)
    started = time.monotonic()
    if machines.leader(lab, machine) is None:
        say(f"booting {machine}")
        start.start(lab, [machine], lab.cache / known.root, say)
    ready.wait(lab, only=machine)
    known.faults.pop(machine, None)
    memory.save(lab, known)
    say(f"{machine} is well again ({time.monotonic() - started:.1f} s)")


def undo(lab: Lab, machine: str) -> None:
    """Undo whatever can have been done to a machine, remembered or not; boots nothing."""
    pid = machines.leader(lab, machine)
    if pid is not None:
        for process in machines.processes(pid):
            machines.signal_process(process, signal.SIGCONT)
    net.ensure(lab)
    net.link(lab, machine, up=True)
    for ns, device in _ends(lab, machine):
        run(["tc", "-n", ns, "qdisc", "del", "dev", device, "root"], check=False)
        table = f"{TABLE}-{device}"
        run(["ip", "netns", "exec", ns, "nft", "delete", "table", "netdev", table], check=False)
    root = lab.machine_root(machine)
    if (root / CLOCK_DROPIN).exists():
        (root / CLOCK_DROPIN).unlink()
        (root / "etc/environment").unlink(missing_ok=True)
        if pid is not None:
            _restart_munge(lab, machine)
    if pid is not None and _mounted(pid, SCRATCH):
        machines.run(lab, machine, ["umount", "--lazy", SCRATCH])
    _image(lab, machine).unlink(missing_ok=True)


def _fault(name: str, value: str) -> Callable[[Lab, str], None]:
    """What makes the fault, with its number checked. Raises LabError."""
    plain = {"stop": _stop, "hang": _hang, "partition": _partition, "fill-disk": _fill_disk}
    if name in plain and not value:
        return plain[name]
    bounds = {"slow": (1, 10_000_000), "lossy": (1, 100), "clock": (-(10**8), 10**8)}
    if name in bounds and re.fullmatch(r"[+-]?\d{1,9}", value):
        number = int(value)
        low, high = bounds[name]
        if low <= number <= high and number:
            numbered = {"slow": _slow, "lossy": _lossy, "clock": _clock}
            return lambda lab, machine: numbered[name](lab, machine, number)
    raise LabError(f"a fault is {WORDS}", USAGE)


def _stop(lab: Lab, machine: str) -> None:
    """Power cut: the cable goes first, so that nobody is told that its connections end."""
    net.link(lab, machine, up=False)
    machines.power_off(lab, [machine], grace=0)
    machines.unmount(lab, machine)


def _hang(lab: Lab, machine: str) -> None:
    """Everything stops where it is; the kernel goes on answering for it."""
    pid = machines.leader(lab, machine)
    stopped: set[int] = set()
    while pid and (running := set(machines.processes(pid)) - stopped):
        for process in running:
            machines.signal_process(process, signal.SIGSTOP)
        stopped |= running


def _partition(lab: Lab, machine: str) -> None:
    net.link(lab, machine, up=False)


def _slow(lab: Lab, machine: str, kbit: int) -> None:
    """A rate, both ways; a kernel without netem cannot delay."""
    burst = max(2000, kbit * 1000 // 8 // 100)
    limit = ("rate", f"{kbit}kbit", "burst", str(burst), "latency", "400ms")
    for ns, device in _ends(lab, machine):
        run(["tc", "-n", ns, "qdisc", "replace", "dev", device, "root", "tbf", *limit])


def _lossy(lab: Lab, machine: str, percent: int) -> None:
    """Drops that share of the packets, each way, as they come in."""
    for ns, device in _ends(lab, machine):
        table = f"{TABLE}-{device}"
        rules = (
            f"table netdev {table}\ndelete table netdev {table}\n"
            f"table netdev {table} {{\n chain in {{\n"
            f'  type filter hook ingress device "{device}" priority 0;\n'
            f"  numgen random mod 100 < {percent} drop\n }}\n}}\n"
        )
        run(["ip", "netns", "exec", ns, "nft", "-f", "-"], stdin=rules)


def _clock(lab: Lab, machine: str, seconds: int) -> None:
    """Shift the clock that munge and new logins see: containers share the real one."""
    root = lab.machine_root(machine)
    library = next(root.resolve().glob("usr/lib/*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise LabError("the lab's root has no libfaketime: take the lab down and up again")
    preload = "/" + str(library.relative_to(root.resolve()))
    shifted = {"LD_PRELOAD": preload, "FAKETIME": f"{seconds:+d}s", "FAKETIME_NO_CACHE": "1"}
    lines = [f"Environment={key}={value}" for key, value in shifted.items()]
    write(root / CLOCK_DROPIN, "\n".join(["[Service]", *lines, ""]))
    write(root / "etc/environment", "".join(f"{k}={v}\n" for k, v in shifted.items()))
    _restart_munge(lab, machine)


def _restart_munge(lab: Lab, machine: str) -> None:
    machines.run(lab, machine, ["systemctl", "daemon-reload"])
    machines.run(lab, machine, ["systemctl", "restart", "munge"])
    if machine != STORAGE:  # there the share's own connections are labop's too
        # Logins that are open would keep the old clock: they have to come again.
        machines.run(lab, machine, ["pkill", "-u", OPERATOR, "sshd"], check=False)


def _fill_disk(lab: Lab, machine: str) -> None:
    image = _image(lab, machine)
    with image.open("wb") as f:
        f.truncate(SCRATCH_MIB << 20)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", image])
    device = run(["losetup", "--find", "--show", image]).stdout.strip()
    try:
        number = device.removeprefix("/dev/loop")
        machines.run(lab, machine, ["mkdir", "-p", SCRATCH])
        machines.run(lab, machine, ["mknod", "-m", "600", device, "b", "7", number], check=False)
        machines.run(lab, machine, ["mount", "-t", "ext4", device, SCRATCH])
    finally:
        # The kernel lets go of it with its last user: nothing to clean when the machine ends.
        run(["losetup", "--detach", device], check=False)
    fill = ["dd", "if=/dev/zero", f"of={SCRATCH}/full", "bs=4k", "status=none"]
    machines.run(lab, machine, fill, check=False)


def _image(lab: Lab, machine: str) -> Path:
    return lab.machine_dir(machine) / "scratch.img"


def _ends(lab: Lab, machine: str) -> list[tuple[str, str]]:
    """Both ends of a machine's cable: (namespace, device)."""
    return [(lab.namespace, machine), (net.namespace(lab, machine), net.INSIDE)]


def _mounted(pid: int, point: str) -> bool:
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return any(line.split(" ")[4] == point for line in lines)
