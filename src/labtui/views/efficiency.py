"""A job's efficiency in lines: each figure with where it is from, or why it is not known."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from labtui.slurm.efficiency import Efficiency, Figure
from labtui.spec import Cell
from labtui.store import Store
from labtui.text import clock, inert, mib

_KNOWN: WeakKeyDictionary[Store, dict[str, Efficiency]] = WeakKeyDictionary()
KEPT = 2000


def remember(store: Store, found: Efficiency) -> None:
    """Put it where a job's detail finds it."""
    known = _KNOWN.setdefault(store, {})
    if len(known) >= KEPT:
        known.clear()
    known[found.job_id] = found


def known(store: Store, job_id: str) -> Efficiency | None:
    return _KNOWN.get(store, {}).get(job_id)


def lines(found: Efficiency) -> list[str | Cell]:
    """The whole page."""
    count = round(found.cpus or 0)
    cores = f" on {count} CPU{'s' if count > 1 else ''}" if count else ""
    gpus = f" and {found.gpus} GPU{'s' if found.gpus > 1 else ''}" if found.gpus else ""
    where = ", ".join(inert(node, 40) for node in found.nodes[:4])
    said: list[str | Cell] = [
        f"{inert(found.state.lower(), 40)}, ran {clock(found.time_s.used)}{cores}{gpus}"
        + (f" ({where})" if where else ""),
        "",
        Cell(f"{'':<11}{'USED':>10}{'OF':>10}{'':>6}  FROM", "dim"),
        _line("CPU", found.cpu_s, clock),
        _line("memory", found.memory_mib, mib),
        _line("time", found.time_s, clock),
    ]
    if found.gpus:
        said.append(_line("GPU", found.gpu_percent, lambda n: f"{n or 0:.0f}%", of=False))
        said.append(_line("GPU memory", found.gpu_memory_mib, mib))
    said.append("")
    if found.suggestions:
        said.append(Cell("For the next one", "accent"))
        said += [f"  {inert(words, 300)}" for words in found.suggestions]
    elif found.end_time is None:
        said.append(Cell("it still runs: these are the figures so far", "dim"))
    else:
        said.append(Cell("nothing to advise", "dim"))
    return said


def _line(
    name: str, figure: Figure, words: Callable[[float | None], str], *, of: bool = True
) -> str | Cell:
    asked = words(figure.asked) if of and figure.asked is not None else ""
    if figure.used is None:
        said = f"{name:<11}{'n/a':>10}{asked:>10}{'':>6}  {inert(figure.why_not or '', 200)}"
        return Cell(said, "dim")
    share = f"{figure.percent:.0f}%" if of and figure.percent is not None else ""
    source = inert(figure.source or "", 200)
    note = f"; {figure.note}" if figure.note else ""
    return f"{name:<11}{words(figure.used):>10}{asked:>10}{share:>6}  {source}{note}"


def short(found: Efficiency) -> str:
    """One line of a job's detail: what is known."""
    parts = []
    for name, figure in (("CPU", found.cpu_s), ("memory", found.memory_mib), ("time", found.time_s),
                         ("GPU", found.gpu_percent)):  # fmt: skip
        if figure.percent is not None:
            parts.append(f"{name} {figure.percent:.0f}%")
    if not parts:
        return "efficiency: not measured"
    advice = f" · {found.suggestions[0]}" if found.suggestions else ""
    return "used " + "  ".join(parts) + inert(advice, 300)
