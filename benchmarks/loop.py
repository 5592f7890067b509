"""How long the event loop is away at most, with many jobs that run and as many that have ended.

    python benchmarks/loop.py [--jobs 300 2000 5000 20000] [--rounds 6] [--write FILE]

Answers of squeue and sacct as they arrive, in pieces, through the real client, store, history and
views; the time used of every running job differs in each. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import report

from labtui.config import Config
from labtui.history import History
from labtui.hosts.base import Completed, Sink
from labtui.hosts.local import LocalHost
from labtui.shares.inputs import Reader
from labtui.slurm import polling
from labtui.slurm.client import SlurmClient
from labtui.slurm.polling import Marks
from labtui.store import Reading, Store
from labtui.views import jobs as jobs_view
from labtui.views import nodes as nodes_view
from labtui.views import partitions as partitions_view

PIECE = 64 << 10
"""Bytes that a transport hands on at once."""
RUNNING = {
    "State": "RUNNING", "EndTime": "1795558753", "Reason": "None", "ArrayJobID": "N/A",
    "ArrayTaskID": "N/A", "UserName": "ana", "Partition": "gpu", "NumCPUs": "8", "NumNodes": "1",
    "SubmitTime": "1795472353", "StartTime": "1795472353", "TimeLimit": "1-00:00:00",
    "exit_code": "0", "PriorityLong": "1000", "QOS": "normal", "Account": "research",
    "tres-alloc": "cpu=8,mem=32G,node=1,billing=8,gres/gpu=1", "tres-per-node": "gres:gpu:1",
    "tres-per-job": "N/A", "Dependency": "(null)", "STDOUT": "/home/ana/run/slurm-%j.out",
    "STDERR": "(null)", "WorkDir": "/home/ana/run", "Comment": "(null)", "Name": "llama-lora",
}  # fmt: skip
ENDED = {
    "State": "COMPLETED", "User": "ana", "Partition": "gpu", "AllocCPUS": "8", "ReqCPUS": "8",
    "NNodes": "1", "Submit": "1795472353", "Start": "1795472353", "TimelimitRaw": "1440",
    "ElapsedRaw": "1000", "ExitCode": "0:0", "Priority": "1000", "QOS": "normal",
    "Account": "research", "AllocTRES": "cpu=8,mem=32G,gres/gpu=1", "ReqTRES": "cpu=8",
    "NodeList": "gpu-01", "WorkDir": "/home/ana/run", "JobName": "llama-lora",
    "StdOut": "/home/ana/run/slurm-%j.out", "StdErr": "",
}  # fmt: skip


def squeue(marks: Marks, jobs: int, turn: int) -> bytes:
    found = []
    for number in range(1, jobs + 1):
        of = RUNNING | {"JobArrayID": str(number), "JobID": str(number)}
        of |= {
            "NodeList": f"gpu-{number % 200:03}",
            "TimeUsed": f"1:{turn // 60:02}:{turn % 60:02}",
        }
        lead, plain = (
            "\x1f".join(of[name] for name in names) for names in (polling.LEAD, polling.PLAIN)
        )
        free = [of[name] for name in (*polling.FREE, polling.USED)]
        found.append(marks.text.join([lead, plain, *free]) + marks.end + "\n")
    return "".join(found).encode()


def sacct(marks: Marks, jobs: int, turn: int, names: Sequence[str]) -> bytes:
    """One more has ended at each turn."""
    found = []
    for number in range(100_000, 100_000 + jobs + turn):
        of = ENDED | {"JobID": str(number), "JobIDRaw": str(number), "End": str(int(time.time()))}
        if number < 100_000 + jobs:
            of["End"] = str(int(time.time()) // 3600 * 3600)
        found.append("".join(of[name] + marks.text for name in names) + "\n")
    return "".join(found).encode()


class Slurm(LocalHost):
    """Answers with what was laid ready."""

    def __init__(self) -> None:
        super().__init__("here")
        self.answers: dict[str, bytes] = {"sinfo": b"slurm 24.11.5\n"}

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes | None = None,
        timeout: float,
        user: str | None = None,
        sink: Sink | None = None,
    ) -> Completed:
        name = next((word for word in argv if word in ("squeue", "sacct", "sinfo")), "")
        raw = self.answers.get(name, b"")
        await asyncio.sleep(0)
        if sink is None:
            return Completed(tuple(argv), 0, raw.decode(), "", 0.0)
        for start in range(0, len(raw), PIECE):
            sink(raw[start : start + PIECE])
            await asyncio.sleep(0)
        return Completed(tuple(argv), 0, "", "", 0.0)


class Watch:
    """The longest step of the loop, in milliseconds of this process's processor time."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.process_time()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest = max(self.longest, now - self._last)
            self._last = now

    async def of(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """What came of it, and its longest step."""
        await asyncio.sleep(0.01)
        self.longest, self._last = 0.0, time.process_time()
        value = work()
        if isinstance(value, Awaitable):
            value = await value
        await asyncio.sleep(0.003)
        return value, self.longest * 1e3


async def measure(jobs: int, rounds: int, folder: Path) -> dict[str, float]:
    host, store, watch, config = Slurm(), Store(), Watch(), Config()
    client, reader, found = SlurmClient(host), Reader(config), dict[str, float]()
    history = History(folder / f"{jobs}.db")
    history.follow(store)
    watching = asyncio.create_task(watch.run())
    for feed in ("slurm.jobs", "slurm.finished", "slurm.allocations"):
        store.declare(feed, "slurm", 2.0)
    names = polling.ACCOUNTED + polling.PATHS

    async def step(name: str, work: Callable[[], Any]) -> Any:
        value, took = await watch.of(work)
        found[name] = max(found.get(name, 0.0), took)
        return value

    def put(feed: str, value: Any) -> None:
        store.put(Reading(feed, value, None, time.time(), 0.1))

    for turn in range(rounds):
        host.answers["squeue"] = squeue(client.marks, jobs, turn)
        host.answers["sacct"] = sacct(client.marks, jobs, turn, names)
        live = await step("squeue's answer", client.jobs)
        past = await step("sacct's answer", lambda: client.finished(time.time() - 86400))
        await step("store and history", partial(put, "slurm.jobs", live))
        await step("store and history", partial(put, "slurm.finished", past))
        for name, view in (
            ("queue", jobs_view.rows), ("nodes", nodes_view.rows),
            ("partitions", partitions_view.rows),
        ):  # fmt: skip
            await step(name, partial(view, store, config, time.time()))
        await step("GPU shares", lambda: reader.read(store, time.time()))
    watching.cancel()
    history.close()
    return found


def table(jobs: Sequence[int], rounds: int) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = {count: asyncio.run(measure(count, rounds, Path(folder))) for count in jobs}
    rows = []
    for count, steps in found.items():
        worst = max(steps.values())
        rows.append(
            [f"{count:,}", *(f"{value:.1f}" for value in steps.values()),
             report.budget("", "", worst, ".1f", 16)[3]]
        )  # fmt: skip
    return report.markdown(["run, and as many ended", *next(iter(found.values())), "16 ms"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, nargs="+", default=[300, 2000, 5000, 20_000])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = (
        f"## Running jobs and the event loop\n\n`{report.command()}`\n\n{report.machine()}.\n\n"
        "The longest step of the loop in ms of processor time, for what each answer sets off.\n\n"
        + table(options.jobs, options.rounds)
    )
    print(text)
    if options.write:
        report.write(options.write, "loop", text)


if __name__ == "__main__":
    main()
