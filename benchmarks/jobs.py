"""The queue beside its peers: a hundred to a hundred thousand jobs of a real slurmctld.

    python benchmarks/jobs.py [--jobs 100 10000 100000] [--only labtui turm ...] [--write FILE]

One run, one pty of 160x48 a program, the same slurmctld (cluster.py) under all of them. Needs root.
Prints a markdown table for each number of jobs; what a column means: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import report
from cluster import Cluster, cluster
from programs import FLOOR, PROGRAMS, Program, environment
from terminal import DOWN, UP, Gone, Terminal, cpu_of, hold_key, quantile

from labtui.lab.system import LabError

PATIENCE_S = 40.0
"""Without a job on the screen after that, a program is given up."""
Figures = dict[str, float | str]


class Run:
    """One program on one queue."""

    def __init__(self, program: Program, made: Cluster, bin: Path | None, home: Path) -> None:
        self.program, self.cluster = program, made
        config = home / "labtui.toml"
        config.write_text(program.config)
        env = {"HOME": str(home), "PATH": f"{made.bin}:{os.environ['PATH']}", "USER": "root"}
        env |= {name: str(home) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        argv = [word.format(bin=bin, config=config) for word in program.argv]
        self.terminal = Terminal(argv, env | program.env)
        self.turn = 0
        self.restless = False

    def polls(self) -> int:
        """How often it has asked for the queue."""
        return len(re.findall(f"(?m)^{self.program.poll}", self.cluster.calls.read_text()))

    def settle(self) -> int:
        """Wait until it has nothing to do; bytes that came meanwhile. Some never are done."""
        start, size = time.perf_counter(), 0
        while time.perf_counter() - start < (1.5 if self.restless else 6.0):
            before = self.terminal.cpu().own
            came = self.terminal.drain(0.3)
            size += came
            if not came and self.terminal.cpu().own - before < 0.07:
                return size
        self.restless = True
        return size

    def wait_poll(self, timeout: float) -> int | None:
        """Wait for its next question; bytes that came meanwhile, None: it asked nothing."""
        before, size = self.polls(), 0
        end = time.perf_counter() + timeout
        while self.polls() == before:
            if time.perf_counter() > end:
                return None
            size += self.terminal.drain(0.05)
        return size

    def next_poll(self, shown: str = "") -> int | None:
        """Wait for its next question, the answer and the repaint; bytes that came meanwhile.

        None: it did not ask, or what must have been `shown` after 15 s was not.
        """
        size = self.wait_poll(5.0)
        if size is None and self.program.refresh:
            self.terminal.send(self.program.refresh)
            size = self.wait_poll(15.0)
        if size is None:
            return None
        end = time.perf_counter() + 15
        while shown and not any(shown in line for line in self.terminal.screen()):
            if time.perf_counter() > end:
                return None
            size += self.terminal.drain(0.1)
        return size + self.settle()

    def change(self, in_sight: bool) -> str:
        """Give 1 % of the jobs another name, which is returned: one on the screen, or none."""
        self.turn += 1
        name = f"job-new-{self.turn:03}"
        lines = [line for line in self.terminal.screen() if "job-" in line]
        seen = [m[0] for line in lines if (m := re.search(r"\b40\d{5}(_\d+\b)?", line))]
        bases = {number.partition("_")[0] for number in seen}
        tasks = self.cluster.tasks
        most = max(tasks.values())
        hidden = [i for i, size in tasks.items() if size == most and i not in bases]
        targets = [hidden[self.turn % len(hidden)]]
        if in_sight and not seen:
            raise Gone("no job's number is on its screen any more")
        if in_sight:
            # Rather no task: squeue lists a task that differs from its array elsewhere. And not
            # under the cursor: what else shows that job would be drawn anew too.
            likely = [number for number in seen if tasks.get(number) == 0] or seen
            targets = [*targets[: most > 0], likely[len(likely) // 2]]
        for target in targets:
            self.cluster.run("scontrol", "update", f"JobId={target}", f"Name={name}")
        return name

    # -- what is measured -------------------------------------------------------------------

    def start(self) -> Figures:
        """From exec to pictures."""

        def jobs(lines: list[str]) -> int:
            return sum("job-" in line for line in lines)

        terminal = self.terminal
        if not self.program.poll:
            terminal.read(0.5, PATIENCE_S)
            last = terminal.shown(any=lambda lines: any(line.strip() for line in lines))
            return {"frame": last["any"]}
        terminal.read(0.3, PATIENCE_S, b"job-")
        self.settle()
        whole = lambda lines: bool(lines[0].strip() and "".join(lines[-2:]).strip())  # noqa: E731
        times = terminal.shown(frame=whole, jobs=lambda lines: jobs(lines) > 0)
        if "jobs" not in times:
            raise Gone(f"no job on its screen after {PATIENCE_S:.0f} s")
        return dict(times)

    def keys(self, count: int = 70) -> Figures:
        """The cursor within the screen, while nothing changes."""
        moves: list[tuple[int, float | None]] = []
        start = time.perf_counter()
        for key in [DOWN] * (count * 4 // 7) + [UP] * (count * 3 // 7):
            late = self.terminal.drain(0)
            if moves:
                moves[-1] = (moves[-1][0] + late, moves[-1][1])
            moves.append(self.terminal.key(key, timeout=10))
            if time.perf_counter() - start > 20:
                break
        delays = [seconds * 1e3 for _, seconds in moves if seconds is not None]
        if not delays:
            return {}
        sizes = sorted(size for size, _ in moves)
        sizes = sizes[: -len(sizes) // 20] or sizes  # those that met a refresh
        return report.delays("", delays) | {"move B": statistics.mean(sizes)}

    def idle(self, seconds: float) -> Figures:
        """Nobody presses a key and nothing changes; one that polls seldom is watched for longer,
        from the end of one refresh to that of the next."""
        long = seconds >= 20 and bool(self.program.poll)
        polling = long and self.wait_poll(30.0) is not None
        self.settle()
        pid = self.cluster.slurmctld()
        start, polls, own, server = (
            time.perf_counter(),
            self.polls(),
            self.terminal.cpu(),
            cpu_of(pid),
        )
        size = self.terminal.drain(seconds)
        if polling and self.polls() == polls:
            size += (self.wait_poll(40.0) or 0) + self.settle()
        took = time.perf_counter() - start
        polls, now, server_now = self.polls() - polls, self.terminal.cpu(), cpu_of(pid)
        found: Figures = {
            "idle %": (now.own - own.own) / took * 100,
            "idle squeue %": (now.children - own.children) / took * 100,
            "idle slurmctld %": (server_now.own - server.own) / took * 100,
            "idle B/s": size / took,
        }
        if polls:
            found |= {"polls/min": polls / took * 60, "unchanged B": size / polls}
        return found

    def refreshes(self, count: int) -> Figures:
        """1 % of the jobs changes, then its next poll."""
        found: Figures = {}
        spent, polls = 0.0, 0
        for figure, in_sight in (("away B", False), ("sight B", True)):
            sizes = []
            for _ in range(count):
                self.settle()
                name = self.change(in_sight)
                before, asked = self.terminal.cpu(), self.polls()
                size = self.next_poll(name if in_sight else "")
                spent += self.terminal.cpu().own - before.own
                polls += self.polls() - asked
                if size is not None:
                    sizes.append(size)
            if sizes:
                found[figure] = quantile(sizes, 0.5)
        if polls:
            found["refresh ms"] = spent / polls * 1e3
        return found

    def keys_meanwhile(self, seconds: float) -> Figures:
        """1 % of the jobs changes before each poll."""
        polls = self.polls()

        def change() -> None:
            nonlocal polls
            if (now := self.polls()) != polls:
                polls = now
                self.change(in_sight=True)

        delays = hold_key(self.terminal, seconds, meanwhile=change)
        return report.delays("busy ", delays) | {"busy max": max(delays)} if delays else {}

    def all(self, seconds: float) -> Figures:
        """Every figure; `seconds` of idleness, the rest in proportion."""
        found = self.start()
        if self.program.poll:
            found |= self.keys()
            found |= self.idle(seconds)
            found |= self.refreshes(1 if seconds < 8 else 2)
            found |= self.keys_meanwhile(max(3.0, seconds * 0.4))
        elif self.program.name == FLOOR:
            found |= self.keys()
        else:
            found |= self.idle(min(5.0, seconds))
        now, most = self.terminal.memory()
        return found | {"RSS": now, "peak": most}


def measure(program: Program, made: Cluster, jobs: int, idle_s: float) -> Figures:
    """Every figure there is; "why" where a program could not be measured to the end."""
    print(f"{jobs:,} jobs: {program.name} ...", file=sys.stderr, flush=True)
    if why := program.needs():
        return skipped(program, why)
    if jobs > program.most:
        return {"why": f"not tried beyond {program.most:,} jobs"}
    try:
        bin = environment(program.pip) if program.pip else None
    except (subprocess.SubprocessError, OSError) as error:
        return skipped(program, f"{program.pip} could not be installed: {error}")
    found: Figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        run = Run(program, made, bin, Path(home))
        try:
            found = run.all(idle_s)
        except Gone as gone:
            found = skipped(program, str(gone))
        finally:
            run.terminal.close()
    return found


def skipped(program: Program, why: str) -> Figures:
    print(f"!! SKIPPED {program.name}: {why}", file=sys.stderr, flush=True)
    return {"why": why}


def results(sizes: list[int], nodes: int, programs: list[Program]) -> Iterator[report.Results]:
    """One queue after the other, every program on it."""
    for jobs in sizes:
        start = time.perf_counter()
        with cluster(jobs, nodes) as made:
            took = time.perf_counter() - start
            asked = time.perf_counter()
            subprocess.run(
                [made.bin / "squeue", "--array", "-h"], stdout=subprocess.DEVNULL, check=True
            )
            asked = time.perf_counter() - asked
            print(f"{jobs:,} jobs: up after {took:.1f} s", file=sys.stderr, flush=True)
            idle_s = 20.0 if jobs == max(sizes) else 6.0
            rows = {p.name: measure(p, made, jobs, idle_s) for p in programs}
            yield report.Results(jobs, nodes, took, asked, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--only", nargs="+", default=[p.name for p in PROGRAMS], metavar="NAME")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    programs = [p for p in PROGRAMS if p.name in options.only]
    if unknown := set(options.only) - {p.name for p in programs}:
        names = ", ".join(p.name for p in PROGRAMS)
        parser.error(f"no such program: {', '.join(unknown)} (there are {names})")
    found: list[report.Results] = []
    try:
        with contextlib.suppress(KeyboardInterrupt):
            for one in results(options.jobs, options.nodes, programs):
                found.append(one)
                print(report.table(one), flush=True)
    except LabError as error:
        sys.exit(f"jobs: {error}")
    print(report.budgets(found))
    if options.write:
        report.write(options.write, "queue", report.whole(found))


if __name__ == "__main__":
    main()
