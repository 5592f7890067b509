"""What it takes to say who holds which share of 1,000 GPUs of four slices, poll after poll.

Made-up readings of every source (125 nodes of eight cards, and 1,000 nodes of one): nothing else
than `labtui.shares.cards.items` is timed. Prints a markdown table of processor time.
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from pathlib import Path
from statistics import median
from typing import Any

import report
from msgspec.structs import replace

from labtui.collectors.gpus import GpuMetrics
from labtui.config import Config
from labtui.model import Gpu, GpuProcess, KubeGpus, KubeNode, Node, Pod
from labtui.shares.cards import items
from labtui.slurm.types import Allocation
from labtui.store import Reading, Store

NOW = 1_795_471_200.0
SLICES = 4


def card(node: str, index: int, watts: float) -> Gpu:
    name = f"{node}-{index}"
    running = (
        GpuProcess(pid=index * 10 + 1, node=node, memory_mib=4000.0, job_id=f"1{name}"),
        GpuProcess(pid=index * 10 + 2, node=node, memory_mib=2000.0, pod_uid=f"uid-{name}"),
    )
    return Gpu(
        node=node, index=index, uuid=f"GPU-{name}", product="NVIDIA H100", util_percent=91.0,
        memory_used_mib=7000.0, memory_total_mib=81559.0, temperature_c=61.0, power_w=watts,
        clock_mhz=1755.0, power_limit_w=700.0, persistence=True, driver="580.95.05",
        processes=running, na={"clock_lock_mhz": "not told"},
    )  # fmt: skip


def readings(nodes: int, cards: int, smi: bool) -> dict[str, Any]:
    """Every slice but one of each card is held: two by jobs, one by a pod."""
    names = [f"gpu-{i:04}" for i in range(nodes)]
    every = [(name, index) for name in names for index in range(cards)]
    found: dict[str, Any] = {
        "prom.gpus": GpuMetrics(
            cards=tuple(replace(card(*place, 500.0), processes=()) for place in every),
            up=dict.fromkeys(names, True),
            pods={f"{name}:{index}": (f"ml/p{name}-{index}",) for name, index in every},
        ),
        "slurm.nodes": [
            Node(name=n, gpus=cards * SLICES, gpus_alloc=2 * cards, gres=f"gpu:{cards * SLICES}")
            for n in names
        ],
        "slurm.allocations": [
            Allocation(f"{half}{name}-{index}", "train", "ana", name, "gpu", None, 1,
                       (index * SLICES + half,), NOW - 60)
            for name, index in every for half in (0, 1)
        ],
        "k8s.gpus": KubeGpus(
            nodes=tuple(KubeNode(name=n, node=n, ready=True, slices=cards * SLICES, cards=cards,
                                 replicas=SLICES, sharing="time-slicing") for n in names),
            pods=tuple(Pod(namespace="ml", name=f"p{name}-{index}", uid=f"uid-{name}-{index}",
                           node=name, phase="Running", slices=1, since=NOW - 60)
                       for name, index in every),
        ),
    }  # fmt: skip
    if smi:
        for name in names:
            found[f"smi.{name}"] = [card(name, index, 500.0) for index in range(cards)]
    return found


def put(store: Store, values: dict[str, Any], at: float) -> None:
    for name, value in values.items():
        store.put(Reading(name, value, None, at, 0.1))


def took(store: Store, config: Config, now: float) -> float:
    """Milliseconds of processor time: whatever else the machine does is not counted."""
    start = time.process_time()
    items(store, config, now)
    return (time.process_time() - start) * 1000


def other(values: dict[str, Any], only: str | None) -> dict[str, Any]:
    """The next poll: new objects; another power on every card, or on those of one node."""

    def card_of(gpu: Gpu) -> Gpu:
        moved = only is None or gpu.node == only
        return replace(gpu, power_w=(gpu.power_w or 0) + 1) if moved else gpu

    found = copy.deepcopy(values)
    for name, value in found.items():
        if isinstance(value, GpuMetrics):
            found[name] = replace(value, cards=tuple(map(card_of, value.cards)))
        elif name.startswith("smi."):
            found[name] = [card_of(gpu) for gpu in value]
    return found


def measure(nodes: int, cards: int, smi: bool, rounds: int) -> dict[str, float]:
    """Milliseconds, the median of the rounds, by what happened before."""
    store, config, now = Store(), Config(), NOW
    values = readings(nodes, cards, smi)
    for name in values:
        store.declare(name, name.partition(".")[0], 5.0)
    put(store, values, now)
    gc.collect()
    gc.freeze()
    found = {"first": [took(store, config, now)]}
    for _ in range(rounds):
        for words, only in (("same", ""), ("one node", "gpu-0001"), ("all", None)):
            now += 1.0
            values = other(values, only) if only != "" else copy.deepcopy(values)
            put(store, values, now)
            found.setdefault(words, []).append(took(store, config, now))
        now += 0.5
        found.setdefault("silence", []).append(took(store, config, now))
    assert len(items(store, config, now)) == nodes * cards
    return {words: median(times) for words, times in found.items()}


COLUMNS = {
    "first": "first time",
    "silence": "no new answer",
    "same": "all polled, all the same",
    "one node": "all polled, one node changed",
    "all": "every card changed",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", type=Path, help="a document in which the table is put")
    chosen = parser.parse_args()
    rows = []
    for each, smi in ((8, False), (8, True), (1, False), (1, True)):
        nodes = chosen.cards // each
        times = measure(nodes, each, smi, chosen.rounds)
        name = f"{nodes} nodes; DCGM" + (", nvidia-smi with 2 processes a card" if smi else "")
        rows.append([name, *(f"{times[c]:.1f}" for c in COLUMNS)])
    heads = [f"{chosen.cards} cards, {SLICES} slices each; ms", *COLUMNS.values()]
    text = (
        "### Reconciling\n\nProcessor time to say who holds what, by what changed since the last"
        f" time; it goes on in pieces of 4 ms. {report.machine()}\n\n"
        + report.markdown(heads, rows)
    )
    print(text)
    if chosen.write:
        report.write(chosen.write, "shares", text)


if __name__ == "__main__":
    main()
