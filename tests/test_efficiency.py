"""How well a job used what it asked for: the accounting's records, on hostile input too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.collectors.efficiency import Efficiencies
from labtui.config import Config, UrlConfig
from labtui.model import Node
from labtui.slurm.client import SlurmClient
from labtui.slurm.efficiency import ACCOUNTED, LIVE, MARK, Efficiency, advised, parse
from labtui.slurm.types import Allocation
from labtui.sources.prometheus import Sample
from labtui.spec import Cell
from labtui.store import Reading, Store
from labtui.views.efficiency import lines, short
from slurmhost import ScriptedHost

JOB = {
    "JobID": "7", "State": "COMPLETED", "ElapsedRaw": "3600", "TimelimitRaw": "1440",
    "AllocCPUS": "8", "NNodes": "1", "NTasks": "", "TotalCPU": "01:06:00.500",
    "AllocTRES": "billing=8,cpu=8,gres/gpu=2,mem=8G,node=1", "MaxRSS": "", "TRESUsageInTot": "",
    "TRESUsageInAve": "", "Start": "1795500000", "End": "1795503600", "NodeList": "desktop-gpu",
}  # fmt: skip
BATCH = JOB | {
    "JobID": "7.batch", "NTasks": "1", "MaxRSS": "24492K",
    "TRESUsageInTot": "cpu=00:00:01,mem=24492K",
}  # fmt: skip
STEP = JOB | {
    "JobID": "7.0", "NTasks": "4", "MaxRSS": "400M", "TRESUsageInTot": "cpu=00:55:00,mem=1.20G",
    "TRESUsageInAve": "gres/gpuutil=31",
}  # fmt: skip


def accounted(*records: dict[str, str]) -> str:
    return "".join(MARK.join(of[name] for name in ACCOUNTED) + "\n" for of in records)


def one(*records: dict[str, str], live: str = "") -> Efficiency:
    found = parse(accounted(*records), live)
    assert len(found) == 1
    return found[0]


def test_each_figure_says_where_it_is_from() -> None:
    found = one(JOB, BATCH, STEP)
    assert (found.cpu_s.used, found.cpu_s.asked, found.cpus) == (3960.5, 28800.0, 8.0)
    assert round(found.cpu_s.percent or 0) == 14 and found.cpu_s.source == "sacct TotalCPU"
    assert (round(found.memory_mib.used or 0), found.memory_mib.asked) == (1229, 8192)
    assert found.memory_mib.note == "its tasks' peaks together"
    assert (found.time_s.used, found.time_s.asked) == (3600, 86400)
    assert (found.gpus, found.gpu_percent.used) == (2, 31.0)
    assert found.gpu_memory_mib.used is None and found.gpu_memory_mib.why_not
    assert advised(found) == (
        "asked 8.0G of memory, used 1.2G: --mem=2G would do",
        "asked 8 CPUs, kept 1.1 busy on average: 2 would do",
        "asked 1-00:00:00, ran 1:00:00: --time=1:30:00 would start sooner (backfill)",
        "its 2 GPUs were 31% busy on average: fewer might do, or it waits for its data",
    )


def test_one_task_s_maximum_is_called_that() -> None:
    found = one(JOB, STEP | {"TRESUsageInTot": ""})
    assert found.memory_mib.source == "sacct MaxRSS"
    assert found.memory_mib.note == "one task's maximum: all together used more"


def test_what_nobody_measured_is_not_zero() -> None:
    bare = BATCH | {"MaxRSS": "", "TRESUsageInTot": "", "TotalCPU": "00:00:00"}
    found = one(JOB | {"TotalCPU": "00:00:00", "AllocTRES": "cpu=8,mem=8G,node=1"}, bare)
    for figure in (found.cpu_s, found.memory_mib, found.gpu_percent, found.gpu_memory_mib):
        assert figure.used is None and figure.percent is None and figure.why_not
    assert found.gpu_percent.why_not == "it had no GPU"
    assert "n/a" in said(found) and " 0%" not in said(found)
    # 22.05 writes 0 for a step that ended before the first sample.
    short = BATCH | {"MaxRSS": "0", "TRESUsageInTot": "cpu=00:00:00,mem=0"}
    memory = one(JOB, short).memory_mib
    assert memory.used is None and memory.why_not
    assert not any("memory" in line for line in advised(one(JOB, short)))
    waits = JOB | {
        "State": "CANCELLED by 0",
        "ElapsedRaw": "0",
        "Start": "Unknown",
        "NodeList": "None assigned",
    }
    assert one(waits).cpu_s.why_not == "it has not run" and one(waits).nodes == ()
    failed = one(JOB | {"State": "FAILED", "ElapsedRaw": "0"})
    assert failed.cpu_s.why_not == "it ran less than a second"


def test_a_running_job_is_told_by_sstat() -> None:
    running = JOB | {"State": "RUNNING", "End": "Unknown", "TotalCPU": "00:00:00"}
    live = MARK.join(("7.0", "4", "00:10:00", "100M", "cpu=00:30:00,mem=300M", "")) + "\n"
    assert len(LIVE) == 6
    found = one(running, live=live)
    assert (found.cpu_s.used, found.cpu_s.source, found.end_time) == (2400.0, "sstat", None)
    assert (found.memory_mib.used, found.memory_mib.source) == (300.0, "sstat TRESUsageInTot")
    assert advised(found) == () and "so far" in said(found)
    silent = one(running)
    assert silent.cpu_s.used is None and silent.memory_mib.used is None


def test_what_was_killed_is_not_taken_for_idle() -> None:
    killed = {"State": "TIMEOUT", "TotalCPU": "00:00.100"}
    found = one(JOB | killed, STEP | killed)
    assert (found.cpu_s.used, found.cpu_s.source) == (3300.0, "sacct TRESUsageInTot")
    assert found.cpu_s.note == "what was killed is not counted whole"
    assert "were not enough" in advised(found)[0]
    oom = one(JOB | {"State": "OUT_OF_MEMORY"})
    assert advised(oom)[0] == "it ran out of its 8.0G: try --mem=16G"
    spread = one(JOB | {"State": "OUT_OF_MEMORY", "NNodes": "2"})
    assert advised(spread)[0].endswith("--mem=8G (a node)")


def test_the_tasks_of_an_array_are_apart() -> None:
    second = JOB | {"JobID": "8_2", "AllocCPUS": "1"}
    found = parse("login says hello\n" + accounted(JOB, BATCH, second, STEP) + "cut|off")
    assert [e.job_id for e in found] == ["7", "8_2"]


def said(found: Efficiency) -> str:
    words = [line.text if isinstance(line, Cell) else line for line in lines(found)]
    return "\n".join([*words, short(found)])


ODD = st.one_of(
    st.text(max_size=12),
    st.sampled_from([
        "", "N/A", "-1", "0", "99999999999999999999", "1.5G", "16?", "cpu=,mem=", "mem=0",
        "gres/gpu=0", "gres/gpu=4", "gres/gpuutil=400", "1-00:00:00", "00:00.001", "UNLIMITED",
        "nan", "inf", "1e9", "mem=9999999999P", "٣", "Unknown", "\x1b[31m",
    ]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["7", "7.0", "7.batch", "8_1", "x", ""]),
                       st.lists(ODD, min_size=14, max_size=14)), max_size=5),
    st.lists(st.lists(ODD, min_size=6, max_size=6), max_size=2),
)  # fmt: skip
def test_odd_records_give_less_and_never_a_wrong_figure(
    records: list[tuple[str, list[str]]], live: list[list[str]]
) -> None:
    text = "".join(MARK.join([name, *rest]) + "\n" for name, rest in records)
    for found in parse(text, "".join(MARK.join(fields) + "\n" for fields in live)):
        for figure in (found.cpu_s, found.memory_mib, found.time_s, found.gpu_percent):
            assert (figure.used is None) == (figure.source is None)
            assert figure.used is not None or figure.why_not
            assert figure.percent is None or figure.percent >= 0
        advised(found)
        assert not any(ord(c) < 32 and c != "\n" for c in said(found))


# The cards, by Prometheus


class Told:
    who = "Prometheus"

    def __init__(self, values: dict[tuple[str, str], float]) -> None:
        self.values, self.asked = values, []

    def instant(self, query: str) -> list[Sample]:
        self.asked.append(query)
        if "DCGM" not in query:
            return []
        return [
            Sample({"node": node, "gpu": gpu, "instance": ""}, ((0.0, value),))
            for (node, gpu), value in self.values.items()
        ]


def measured(
    values: dict[tuple[str, str], float], gpus: int, allocations: list[Allocation], **changes: str
) -> Efficiency:
    store = Store()
    store.declare("slurm.nodes", "slurm", 1.0)
    nodes = [Node(name="desktop-gpu", gpus=gpus)]
    store.put(Reading("slurm.nodes", nodes, None, 0.0, 0.0))
    asker = Efficiencies(Config(prometheus=UrlConfig(url="http://x:9090")), store)
    asker._client = Told(values)  # type: ignore[assignment]
    asker.see(allocations)
    reply = accounted(JOB | changes, BATCH)

    def answer(argv: list[str], _stdin: str) -> Any:
        return (0, reply if argv[0] == "sacct" else "", "")

    found = asyncio.run(asker.of(SlurmClient(ScriptedHost(answer)), "7"))
    assert found is not None
    return found


def held(*indexes: int) -> list[Allocation]:
    return [Allocation("7", "x", "ana", "desktop-gpu", "gpu", None, len(indexes), indexes)]


def test_gpus_are_told_by_prometheus_where_their_cards_are_certain() -> None:
    two = {("desktop-gpu", "0"): 80.0, ("desktop-gpu", "1"): 40.0}
    whole = measured(two, 2, [])
    assert whole.gpu_percent.used == 60.0 and whole.gpu_percent.note is None
    assert "desktop-gpu:0, desktop-gpu:1" in (whole.gpu_percent.source or "")
    four = {("desktop-gpu", str(i)): 10.0 * i for i in range(4)}
    known = measured(four, 4, held(2, 3))
    assert known.gpu_percent.used == 25.0
    unknown = measured(four, 4, [])
    assert unknown.gpu_percent.used is None
    assert "not known any more" in (unknown.gpu_percent.why_not or "")


def test_slices_of_one_card_are_said_to_be_shared() -> None:
    shared = measured({("desktop-gpu", "0"): 90.0}, 4, held(0, 1))
    assert shared.gpu_percent.used == 90.0
    assert "others had slices" in (shared.gpu_percent.note or "")


def test_no_figures_is_no_zero() -> None:
    none = measured({}, 2, [])
    assert none.gpu_percent.used is None
    assert "no figures" in (none.gpu_percent.why_not or "")
    wild = measured({("desktop-gpu", "0"): 400.0}, 2, [])
    assert wild.gpu_percent.used is None


@pytest.mark.parametrize("ended", [True, False])
def test_what_is_over_is_asked_once(ended: bool) -> None:
    store = Store()
    asker = Efficiencies(Config(), store)
    state = {} if ended else {"State": "RUNNING", "End": "Unknown"}
    host = ScriptedHost(
        lambda argv, _: (0, accounted(JOB | state) if argv[0] == "sacct" else "", "")
    )
    client = SlurmClient(host)

    async def twice() -> None:
        for _ in range(2):
            await asker.of(client, "7")

    asyncio.run(twice())
    assert len([a for a in host.commands if a[0] == "sacct"]) == (1 if ended else 2)
