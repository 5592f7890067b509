"""What a person looks at of one job, on the real Slurm: its log, its efficiency, why it waits."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from labtui.actions.base import ActionError
from labtui.actions.resubmit import as_it_was
from labtui.actions.submit import script_of
from labtui.collectors.efficiency import Efficiencies
from labtui.config import load
from labtui.hosts.base import Host
from labtui.hosts.connect import host as make_host
from labtui.kept import Kept
from labtui.lab import net
from labtui.lab.layout import CONTROLLER, Lab
from labtui.model import Job
from labtui.slurm.client import SlurmClient
from labtui.slurm.log import LogFile
from labtui.slurm.logreader import LogReader
from labtui.slurm.logtext import pattern
from labtui.slurm.usage import Context
from labtui.slurm.whynot import why_not
from labtui.store import Reading, Store
from test_slurm_lab import until

pytestmark = pytest.mark.lab
NAME = f"look{os.getpid()}"
Body = Callable[[SlurmClient, Host, dict[str, Host]], Awaitable[Any]]


@pytest.fixture
def on(lab: Lab) -> Iterator[Callable[[Body], Any]]:
    """Runs a coroutine inside the lab's network, with every machine at hand."""
    config = load(lab.config)

    def run(body: Body) -> Any:
        async def whole() -> Any:
            hosts = {name: make_host(name, node) for name, node in config.nodes.items()}
            try:
                return await body(SlurmClient(hosts[CONTROLLER]), hosts[CONTROLLER], hosts)
            finally:
                await hosts[CONTROLLER].run(["scancel", "--me", "-n", NAME], timeout=10)
                gone = ["sh", "-c", 'rm -f -- /tmp/"$1"*', "sh", NAME]
                await hosts["xps15-cpu"].run(gone, timeout=10)
                for host in hosts.values():
                    await host.close()

        return net.call(lab, asyncio.run, whole())

    yield run


async def submit(login: Host, body: str, *options: str) -> str:
    argv = ["sbatch", "--parsable", "-J", NAME, "-t", "10", "--mem=100", *options]
    done = await login.run(argv, stdin=f"#!/bin/bash\n{body}\n", timeout=20)
    assert done.rc == 0, done.stderr
    return done.stdout.strip()


def test_a_log_that_grows_is_cut_and_is_replaced(on: Callable[[Body], Any]) -> None:
    """On the machine where the job runs: the file is on no shared file system."""

    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        path = f"/tmp/{NAME}-%j.out"
        job_id = await submit(
            login,
            'for i in $(seq 1 40); do echo "step $i"; sleep 0.2; done; '
            f'f="/tmp/{NAME}-$SLURM_JOB_ID.out"; : > "$f"; echo anew; sleep 3; '
            'echo other > "$f.new"; mv "$f.new" "$f"; sleep 30',
            "-p", "cpu", "-o", path,
        )  # fmt: skip
        job = await until(slurm, job_id, "RUNNING")
        assert job.stdout == f"/tmp/{NAME}-{job_id}.out" and job.nodes == ("xps15-cpu",)
        reader = LogReader(LogFile(hosts["xps15-cpu"], job.stdout))
        async with asyncio.timeout(15):
            while True:
                try:
                    await reader.open()
                    break
                except Exception:
                    await asyncio.sleep(0.2)
        seen = await watch(reader, lambda: "step 20" in shown(reader))
        assert seen == [f"step {n}" for n in range(1, len(seen) + 1)]
        reader.stand_still()
        await watch(reader, lambda: reader.came_lines > 3)
        assert shown(reader) == seen
        await reader.follow()
        await watch(reader, lambda: reader.note.startswith("cut from "))
        await watch(reader, lambda: reader.note.startswith("replaced by a new file"))
        assert shown(reader) == ["other"]

    on(body)


def shown(reader: LogReader) -> list[str]:
    return [line.text for line in reader.text.lines if line.size]


async def watch(reader: LogReader, until: Callable[[], bool]) -> list[str]:
    async with asyncio.timeout(40):
        while not until():
            await asyncio.sleep(0.2)
            await reader.poll()
    return shown(reader)


def test_a_gigabyte_over_ssh(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        path = f"/var/tmp/{NAME}-big"
        make = (
            '{ echo first line; head -c 1048576 /dev/zero | tr "\\0" m; echo; '
            'echo "a NEEDLE here"; yes "step of many, loss 2.71828" | head -c 1073741800; '
            'echo; echo "another needle"; } > "$1"'
        )
        try:
            done = await login.run(["sh", "-c", make, "sh", path], timeout=60)
            assert done.rc == 0, done.stderr
            reader = LogReader(LogFile(login, path))
            took: dict[str, float] = {}

            async def timed(name: str, work: Awaitable[Any]) -> Any:
                began = time.monotonic()
                found = await work
                took[name] = time.monotonic() - began
                return found

            await timed("open", reader.open())
            assert shown(reader)[-1] == "another needle" and reader.size > 1 << 30
            await timed("poll", reader.poll())
            found = await timed("search", reader.search(pattern("needle")))
            assert found.lines == 2
            last = await reader.next(reader.size, -1)
            first = await reader.next(last.offset, -1) if last else None
            assert first is not None and first.line == 3
            await timed("goto", reader.goto(first.offset))
            line = reader.text.lines[reader.text.index(first.offset)]
            assert line.text == "a NEEDLE here"
            before = reader.text.lines[reader.text.index(first.offset) - 1]
            assert before.size == 1 << 20
            piece = await timed("side", reader.side(before.start, 500_000, 1000))
            assert piece == b"m" * 1000
            await timed("middle", reader.goto(600_000_000))
            await timed("top", reader.goto(0))
            print({name: f"{s * 1000:.0f} ms" for name, s in took.items()})
            assert took.pop("search") < 20.0 and max(took.values()) < 5.0, took
        finally:
            await login.run(["rm", "-f", path], timeout=10)

    on(body)


def test_each_task_of_an_array_has_its_own_file(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        array = await submit(
            login, "echo task $SLURM_ARRAY_TASK_ID; sleep 20", "-p", "cpu", "--array=1-3",
            "-o", f"/tmp/{NAME}-%A_%3a-%x.out",
        )  # fmt: skip
        for task in ("1", "3"):
            job = await until(slurm, f"{array}_{task}", "RUNNING")
            assert job.stdout == f"/tmp/{NAME}-{array}_00{task}-{NAME}.out"
            reader = LogReader(LogFile(hosts["xps15-cpu"], job.stdout))
            await reader.open()
            await watch(reader, lambda r=reader, t=task: shown(r) == [f"task {t}"])

    on(body)


def test_the_script_as_slurm_keeps_it(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        job_id = await submit(login, '# é 漢字 "quoted" $HOME\nsleep 60', "-p", "cpu", "--hold")
        kept = Kept("nobody's")
        live = await until(slurm, job_id, "PENDING")
        assert '# é 漢字 "quoted" $HOME\n' in await script_of(slurm, kept, live)
        with pytest.raises(ActionError, match="the accounting keeps no scripts"):
            await script_of(slurm, kept, Job(job_id="999999", name="x", state="FAILED"))

    on(body)


@pytest.mark.parametrize(
    "options",
    [
        ("-p", "gpu", "--gres=gpu:1", "-t", "20", "--mem=2G", "-c", "2", "-o", "/tmp/o-%j-%x"),
        ("-p", "gpu", "--gpus-per-task=1", "-n", "1", '--comment=it\'s "so"'),
        ("-p", "cpu,edge", "-N", "1-2", "-n", "3", "-x", "jetson-edge", "--array=1-5,8%2"),
    ],
)
def test_a_job_is_sent_anew_as_it_was(on: Callable[[Body], Any], options: tuple[str, ...]) -> None:
    """What sbatch's command line gave it is not in its script."""
    keys = ("Partition", "TimeLimit", "NumNodes", "NumTasks", "CPUs/Task", "ReqTRES", "WorkDir",
            "MinMemoryNode", "MinMemoryCPU", "ExcNodeList", "ArrayTaskId", "Account")  # fmt: skip

    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        first = await slurm.job(await submit(login, "sleep 60", "--hold", *options))
        assert first is not None
        script, own = await as_it_was(slurm, Kept("lab"), first)
        assert {"partition", "job-name", "chdir"} <= set(own)
        again = await slurm.job(await slurm.submit(script, token="00", hold=True))
        assert again is not None
        records = [await slurm.record(job) for job in (first, again)]
        told = [{key: one.get(key) for key in keys} for one in records]
        assert told[0] == told[1] and first.name == again.name
        assert (again.comment or "").startswith(first.comment or "labtui:")

    on(body)


def test_efficiency_while_it_runs_and_afterwards(on: Callable[[Body], Any], lab: Lab) -> None:
    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        work = 'python3 -c "import time; x = bytearray(60 << 20); e = time.time() + 14\n'
        work += 'while time.time() < e: pass"'
        job_id = await submit(login, work, "-p", "cpu", "-c", "2", "--mem=400M")
        asker = Efficiencies(load(lab.config), Store())
        try:
            await until(slurm, job_id, "RUNNING")
            live = None
            async with asyncio.timeout(13):
                while live is None or live.memory_mib.used is None:
                    await asyncio.sleep(1.0)
                    live = await asker.of(slurm, job_id)
            assert (live.state, live.memory_mib.asked, live.end_time) == ("RUNNING", 400, None)
            assert live.memory_mib.source and live.memory_mib.source.startswith("sstat")
            await until(slurm, job_id, "COMPLETED", limit=60)
            async with asyncio.timeout(30):
                while (done := await asker.of(slurm, job_id)) is None or not done.end_time:
                    await asyncio.sleep(1.0)
        finally:
            asker.close()
        assert done.cpu_s.used is not None and done.time_s.used is not None
        assert 0.1 < done.cpu_s.used <= done.time_s.used * 1.2
        assert round(done.cpus or 0) == 2 and done.time_s.asked == 600
        assert done.memory_mib.used is not None and 60 <= done.memory_mib.used < 200
        assert done.gpus is None and done.gpu_percent.why_not == "it had no GPU"

    on(body)


def test_why_a_waiting_job_does_not_start(on: Callable[[Body], Any]) -> None:
    async def body(slurm: SlurmClient, login: Host, hosts: dict[str, Host]) -> None:
        # An operator's own limits may hold jobs back too: the node is asked for whole.
        holder = await submit(login, "sleep 120", "-p", "edge", "--gres=gpu:1", "-n", "1")
        await until(slurm, holder, "RUNNING", limit=60)
        waits = await submit(
            login, "sleep 1", "-p", "edge", "--gres=gpu:1", "--comment", "x NumNodes=9 Features=no"
        )
        hostile = await submit(
            login, "sleep 1", "-p", "edge", "-J", NAME, "--hold", "-c", "2",
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            store = Store()
            for name, ask in (
                ("jobs", slurm.jobs),
                ("nodes", slurm.nodes),
                ("partitions", slurm.partitions),
                ("allocations", slurm.allocations),
            ):
                store.declare(f"slurm.{name}", "slurm", 1.0)
                store.put(Reading(f"slurm.{name}", await ask(), None, time.time(), 0.0))
            job = store.value("slurm.jobs").get(waits)
            record = await slurm.record(job)
            context = Context.of(store, record=record)
            found = why_not(job, context, store.value("slurm.allocations"))
            if job.reason in ("Resources", "Priority") or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        verdict = found.nodes[0]
        assert (verdict.node, verdict.fits, verdict.by) == ("jetson-edge", False, (holder,))
        assert f"1 GPU wanted, 0 free ({holder} holds 1 until ~" in verdict.lacks[0]
        assert verdict.frees_at is not None and verdict.frees_at > time.time()
        assert "jetson-edge has too little free" in found.conclusion
        assert found.wanted.startswith("a node with 1 CPU, ")
        held = await slurm.job(hostile)
        assert held is not None
        told = why_not(held, Context.of(store, record=await slurm.record(held)))
        assert "held" in told.conclusion and told.helps == ()

    on(body)
