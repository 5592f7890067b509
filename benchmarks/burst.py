"""Five thousand array tasks on a real lab of its own while the console is open and a key is held.

    python benchmarks/burst.py [--seconds 60] [--lab burst] [--write FILE] [--keep]

The lab is brought up and taken down again; needs root. Prints markdown tables: the budgets beside
what was measured, and how often slurmctld was asked for what, by its own count (sdiag).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import report
from programs import FLOOR, PROGRAMS
from terminal import DOWN, Gone, Terminal, hold_key, quantile

from labtui.config import load
from labtui.lab import machines, up
from labtui.lab.layout import CONTROLLER, OPERATOR, Lab
from labtui.lab.system import LabError

ARRAYS, TASKS = 5, 1000
"""Slurm's own MaxArraySize ends an array at task 1000."""
PARTITIONS = ("cpu", "gpu", "cpu", "gpu", "edge")
CPU_S = 10.0
"""Seconds of the console's idleness that are measured before."""
RPC = re.compile(r"^\s+([A-Z_0-9]+)\s+\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)
USER = re.compile(r"^\s+(\S+)\s+\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)


def rpcs(lab: Lab) -> tuple[dict[str, int], int]:
    """What slurmctld was asked since its start: count by type, and the console's own in all."""
    text = machines.run(lab, CONTROLLER, ["sdiag"]).stdout
    kinds, _, users = text.partition("statistics by user")
    users = users.partition("Pending RPC")[0]
    by_user = {name: int(count) for name, count in USER.findall(users)}
    return {name: int(count) for name, count in RPC.findall(kinds)}, by_user.get(OPERATOR, 0)


def submit(lab: Lab) -> None:
    """As a researcher, so that what the operator's account asks is the console's alone."""
    for number in range(ARRAYS):
        argv = ["sbatch", f"--array=0-{TASKS - 1}", "-J", f"burst-{number}", "-t", "1"]
        argv += ["-p", PARTITIONS[number], "--mem=1", "-c", "4", "--chdir=/tmp", "-o", "/dev/null"]
        become = ["runuser", "-u", "ana", "--"]
        machines.run(lab, CONTROLLER, [*become, *argv, "--wrap", "sleep 0"])


def left(lab: Lab) -> int:
    """Tasks that wait or run."""
    argv = ["squeue", "--array", "-h", "-u", "ana", "-o", "%i"]
    return len(machines.run(lab, CONTROLLER, argv).stdout.split())


def echo(floor: Terminal) -> float:
    """Milliseconds until `cat` gave back a key."""
    floor.drain(0)
    start = time.perf_counter()
    floor.send(DOWN)
    floor.take(10)
    return (time.perf_counter() - start) * 1e3


def measure(lab: Lab, seconds: float) -> str:
    """The section of the document. Raises Gone when the console ends."""
    argv = [sys.executable, "-m", "labtui", "--config", str(lab.config), "--screen", "jobs"]
    interval = load(lab.config).slurm.interval_s
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        names = ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        terminal = Terminal(argv, dict.fromkeys(names, home))
        floor = Terminal(next(p.argv for p in PROGRAMS if p.name == FLOOR))
        echoes: list[float] = []
        try:
            terminal.drain(12)  # every source has answered
            quiet = terminal.cpu()
            terminal.drain(CPU_S)
            idle = (terminal.cpu().own - quiet.own) / CPU_S * 100
            (kinds, own), begun, before = rpcs(lab), time.perf_counter(), terminal.cpu()
            submit(lab)
            terminal.drain(interval + 0.5)
            delays = hold_key(  # of folded arrays there are few rows
                terminal, seconds, span=1, meanwhile=lambda: echoes.append(echo(floor))
            )
            took, cpu = time.perf_counter() - begun, terminal.cpu().own - before.own
            after, own_after = rpcs(lab)
            done = ARRAYS * TASKS - left(lab)
            screen = "\n".join(terminal.screen())
            memory = terminal.memory()
        finally:
            terminal.close()
            floor.close()
    if "burst-" not in screen:
        raise Gone("the burst never came to the screen")
    asked = {kind: after[kind] - kinds.get(kind, 0) for kind in after}
    # One of them may belong to the interval before or after.
    polls = max(0, asked.get("REQUEST_JOB_INFO", 0) - 1) / took * interval
    ours = (own_after - own) / took * interval
    shown = [
        ("tasks submitted / ended meanwhile", f"{ARRAYS * TASKS:,} / {done:,}"),
        ("span, s", f"{took:.0f}"),
        ("key p50 / p95 / p99 / max, ms", _delays(delays)),
        ("the same of `cat` beside it", _delays(echoes)),
        ("its CPU, % of a core (before the burst)", f"{cpu / took * 100:.1f} ({idle:.1f})"),
        ("RSS / peak, MiB", " / ".join(f"{value:.0f}" for value in memory)),
    ]
    shown += [
        (f"{kind} an interval, everybody's", f"{count / took * interval:.2f}")
        for kind, count in sorted(asked.items(), key=lambda item: -item[1])
        if count and "INFO" in kind
    ]
    rows = budgets(delays, ours, polls, idle, memory[0], interval)
    return (
        report.markdown(report.BUDGET, rows)
        + "\nEach squeue and each `scontrol show node` asks for the partitions too, by itself.\n\n"
        + report.markdown(("what", "measured"), shown)
    )


def budgets(
    delays: list[float], own: float, polls: float, idle: float, memory: float, interval: float
) -> list[list[str]]:
    """Design's budgets, as far as they are about this."""
    p50, p95, p99 = (quantile(delays, part) if delays else None for part in (0.5, 0.95, 0.99))
    blocked = None if p99 is None or p50 is None else p99 - p50
    each = f"an interval of {interval:g} s"
    return [
        report.budget("key p95, ms", "5", p95, ".1f", 5),
        report.budget("loop blocked (key p99 less p50), ms", "16", blocked, ".1f", 16),
        report.budget(f"slurmctld's RPCs for the console, all types, {each}", "1", own, ".2f", 1),
        report.budget(f"of them for jobs, {each}", "1", polls, ".2f", 1),
        report.budget("CPU before the burst, % of a core", "2", idle, ".1f", 2),
        report.budget("memory, MiB", "100", memory, ".0f", 100),
    ]


def _delays(delays: list[float]) -> str:
    if not delays:
        return "no key was answered"
    found = [*report.delays("", delays).values(), max(delays)]
    return " / ".join(f"{value:.1f}" for value in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lab", default="burst", help="its name")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args()
    lab = Lab(options.lab)
    try:
        try:
            up.bring_up(lab, lambda line: print(line, file=sys.stderr))
            found = measure(lab, options.seconds)
        finally:
            if not options.keep:
                up.take_down(lab, lambda _: None, forget=True)
    except (LabError, Gone) as error:
        sys.exit(f"burst: {error}")
    text = f"## A burst on the lab\n\n`{report.command()}`\n\n{report.machine()}.\n\n{found}"
    print(text)
    if options.write:
        report.write(options.write, "burst", text)


if __name__ == "__main__":
    main()
