"""What is on a card: MIG instances and processes, from what nvidia-smi prints. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import structs

from labtui.model import GpuProcess, MigInstance
from labtui.sources import processes
from labtui.sources.base import number
from labtui.sources.gpufigures import inside
from labtui.sources.smitext import WORDS, WSL, Answer, Card, said
from labtui.text import inert


def _instances(answer: Answer) -> dict[str, tuple[MigInstance, ...]]:
    """UUID of a card -> its instances. `-L` has profiles and UUIDs by their order, the table has
    the numbers that DCGM and processes speak of, and the memory."""
    indexes: dict[str, str] = {}
    listed: dict[str, list[tuple[int, str, str]]] = {}
    uuid = ""
    for line in answer.parts.get("list", "").splitlines():
        if hit := re.match(r"GPU (\d{1,4}): .*\(UUID: (GPU-[\w-]{1,60})\)", line):
            uuid = hit[2]
            indexes[uuid] = hit[1]
        elif hit := re.match(
            r"\s*MIG (\S{1,40})\s+Device\s+(\d{1,3}): \(UUID: (MIG-[\w/-]{1,100})\)", line
        ):
            listed.setdefault(uuid, []).append((int(hit[2]), hit[1], hit[3]))
    table = {
        (row[0], int(row[2])): row
        for row in re.findall(
            r"^\|\s*(\d{1,4})\s+(\d{1,3})\s+\d{1,3}\s+(\d{1,3})\s*\|"
            r"\s*(\d{1,8})MiB\s*/\s*(\d{1,8})MiB",
            answer.parts.get("table", ""),
            re.MULTILINE,
        )
    }
    return {
        uuid: tuple(
            _instance(device, profile, name, table.get((indexes[uuid], device)))
            for device, profile, name in found
        )
        for uuid, found in listed.items()
        if uuid in indexes
    }


def _instance(device: int, profile: str, name: str, row: Sequence[str] | None) -> MigInstance:
    old = re.fullmatch(r"MIG-GPU-[\w-]+/(\d{1,3})/\d{1,3}", name)  # before driver 470
    return MigInstance(
        id=int(row[1]) if row else int(old[1]) if old else device,
        profile=inert(profile, 40),
        uuid=inert(name, 100),
        memory_total_mib=float(row[4]) if row else None,
        memory_used_mib=float(row[3]) if row else None,
    )


def with_processes(found: list[Card], answer: Answer, node: str) -> list[Card]:
    facts, boot, users = processes.parse(answer.parts.get("owners", ""))
    text, instances = answer.parts.get("processes", ""), _instances(answer)
    parts = {part.uuid: (uuid, part) for uuid, own in instances.items() for part in own}
    within = {
        int(pid): int(instance)
        for instance, pid in re.findall(
            r"^\|\s*\d{1,4}\s+(\d{1,3})\s+\d{1,3}\s+(\d{1,9})\s+[CGM+]{1,5}\s",
            answer.parts.get("table", ""),
            re.MULTILINE,
        )
    }
    running: dict[str, dict[int, GpuProcess]] = {}
    for uuid, pid, memory in re.findall(
        r"^([\w/-]{1,100}), (\d{1,9}), (\S[^,\n]{0,30})$", text, re.MULTILINE
    ):
        card, part = parts.get(uuid, (uuid, None))
        process = GpuProcess(
            pid=int(pid),
            node=node,
            gpu_uuid=card,
            memory_mib=number(memory),
            mig_id=part.id if part else within.get(int(pid)),
        )
        seen = processes.described(process, facts.get(int(pid)), boot, users)
        running.setdefault(card, {})[int(pid)] = seen
    untold = _untold(text, answer.wsl)
    result = []
    for place, gpu in found:
        own = tuple(running.get(gpu.uuid or "", {}).values())
        na = gpu.na
        if untold and not own:
            na = {"processes": untold, **na}
        elif any(p.memory_mib is None for p in own):
            na = {"process_memory": WSL if answer.wsl else "this driver does not tell", **na}
        na = dict(na)
        own, mig = inside(
            own, instances.get(gpu.uuid or "", ()), gpu.memory_total_mib, na, "nvidia-smi"
        )
        result.append(Card(place, structs.replace(gpu, processes=own, mig=mig, na=na)))
    return result


def _untold(text: str, wsl: bool) -> str | None:
    """Why no process can be seen; None where there is none."""
    if wsl:
        return WSL
    for line in text.splitlines():
        word = said(line.strip())
        if word in WORDS:
            return WORDS[word]
        if "Unable to" in line or "Failed to" in line or "not a valid field" in line:
            return f"nvidia-smi says {inert(line, 80)}"
    return None
