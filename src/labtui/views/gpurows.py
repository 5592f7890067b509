"""The rows of the GPU screen: each card, its slices below it, and processes that nobody knows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TypeVar

from labtui.config import Config
from labtui.model import Gpu, GpuHours, Holder, Item, MigInstance
from labtui.shares import cards as shares
from labtui.shares.cards import free, held, is_counted, slots
from labtui.shares.place import instances
from labtui.shares.room import shares_memory
from labtui.store import Store
from labtui.text import inert

T = TypeVar("T")

MANY_SLOTS = 16
"""Slices above which a card has one row a holder, and one for all that are free."""


class GpuRow(Item, frozen=True, kw_only=True, gc=False):
    """A card, one of its slices, or a process on it that holds none."""

    node: str
    index: int | None
    gpu: Gpu
    slice: int = 0
    """0: the card itself, or a process; slices count from 1."""
    holder: Holder | None = None
    count: int = 1
    """Slices that this row stands for."""
    over: bool = False
    """Booked beyond what the card has."""
    first: bool = False
    """The first of its holder's slices: the one that tells its memory."""
    mig: MigInstance | None = None
    hour: tuple[float | None, ...] = ()
    """Of a card: its utilisation in the last hour, in percent."""
    key: str = ""
    level: int = -1

    @property
    def is_card(self) -> bool:
        return self.slice == 0 and self.holder is None


_made: dict[str, tuple[GpuRow, ...]] = {}
"""The rows of each card as they were last made: a card that is the same object keeps them."""
_latest: tuple[list[Gpu], object, list[GpuRow]] | None = None
"""All of them, and what they were made of: the same cards are asked for again and again."""
_headed: tuple[Sequence[GpuRow], str] | None = None


def rows(store: Store, config: Config, now: float) -> list[GpuRow]:
    """Each card followed by its slices, in the order of the machines. Not to be changed."""
    work = pieces(store, config, now)
    while True:
        try:
            next(work)
        except StopIteration as end:
            made: list[GpuRow] = end.value
            return made


def pieces(store: Store, config: Config, now: float) -> Generator[None, None, list[GpuRow]]:
    """The same with a pause after what is made anew of a machine or a card."""
    global _made, _latest
    cards = yield from shares.pieces(store, config, now)
    told = store.value("prom.gpuhours")
    if _latest is not None and _latest[0] is cards and _latest[1] is told:
        return _latest[2]
    hours = told if isinstance(told, GpuHours) else GpuHours()
    made: dict[str, tuple[GpuRow, ...]] = {}
    for gpu in cards:
        card = card_name(gpu)
        hour = in_hour(hours.util, gpu) or ()
        kept = _made.get(card)
        same = kept is not None and kept[0].gpu is gpu and kept[0].hour == hour
        if kept and same:
            made[card] = kept
        else:
            made[card] = tuple(rows_of(gpu, hour))
            yield
    _made = made
    _latest = (cards, told, [row for of_card in made.values() for row in of_card])
    return _latest[2]


def rows_of(gpu: Gpu, hour: tuple[float | None, ...] = ()) -> Iterator[GpuRow]:
    """One card's rows; one that is neither shared nor booked twice is one row."""
    card, level = card_name(gpu), card_level(gpu)
    yield GpuRow(node=gpu.node, index=gpu.index, gpu=gpu, key=card, level=level, hour=hour)
    bare = [h for h in gpu.holders if h.kind == "process"]
    places = slots(gpu)
    if len(places) > 1 or gpu.mig or (places and (bare or gpu.index is None)):
        yield from _collapsed(gpu, places) if len(places) > MANY_SLOTS else _slices(gpu, places)
    for holder in bare:
        yield GpuRow(node=gpu.node, index=gpu.index, gpu=gpu, holder=holder, first=True,
                     key=f"{card}/pid {holder.id}", level=level)  # fmt: skip


def _slices(gpu: Gpu, places: Sequence[Holder | None]) -> Iterator[GpuRow]:
    card, level, told = card_name(gpu), card_level(gpu), set[str]()
    mig = instances(gpu)
    for i, holder in enumerate(places):
        first = holder is not None and holder.id not in told
        yield GpuRow(
            node=gpu.node, index=gpu.index, gpu=gpu, slice=i + 1, holder=holder,
            over=is_over(gpu, i), first=first,
            mig=mig[i] if i < len(mig) else None, key=f"{card}/{i + 1}", level=level,
        )  # fmt: skip
        if first and holder is not None:
            told.add(holder.id)


def _collapsed(gpu: Gpu, places: Sequence[Holder | None]) -> Iterator[GpuRow]:
    """A row a holder, in the order of the slices; then one for those that are free."""
    card, level = card_name(gpu), card_level(gpu)
    groups: dict[tuple[str, str, bool], list[int]] = {}
    for i, holder in enumerate(places):
        who = (holder.kind, holder.id) if holder else ("", "free")
        groups.setdefault((*who, is_over(gpu, i)), []).append(i)
    for (kind, id, over), where in sorted(groups.items(), key=lambda group: group[0][0] == ""):
        name = f"{kind} {id}".strip() + (" over" if over else "")
        yield GpuRow(
            node=gpu.node, index=gpu.index, gpu=gpu, slice=where[0] + 1, holder=places[where[0]],
            count=len(where), over=over, first=not over, key=f"{card}/{name}", level=level,
        )  # fmt: skip


def card_name(gpu: Gpu) -> str:
    """`desktop-gpu:0`; `desktop-gpu:?` of what lies on no card that anybody names."""
    return f"{gpu.node}:{'?' if gpu.index is None else gpu.index}"


def in_hour(told: Mapping[str, T], gpu: Gpu) -> T | None:
    """What Prometheus kept of a card, of a field of GpuHours."""
    found = told.get(f"{gpu.node}:{gpu.uuid}")
    return told.get(card_name(gpu)) if found is None else found


def row_key(row: GpuRow) -> str:
    return row.key or card_name(row.gpu) + (f"/{row.slice}" if row.slice else "")


def is_over(gpu: Gpu, slot: int) -> bool:
    return gpu.index is not None and gpu.slices is not None and slot >= gpu.slices


def is_known(gpu: Gpu) -> bool:
    """Whether everybody who may hold a slice has said so: only then is one free."""
    return gpu.slices is not None and "holders" not in gpu.na


def is_silent(gpu: Gpu) -> bool:
    """Nothing tells how the card is. One figure that it cannot give is no silence."""
    figures = (gpu.util_percent, gpu.memory_used_mib, gpu.temperature_c)
    return gpu.index is not None and all(figure is None for figure in figures)


def severity(row: GpuRow) -> int:
    """The same for a card and its slices, so that they stay together."""
    return card_level(row.gpu) if row.level < 0 else row.level


def card_level(gpu: Gpu) -> int:
    worst = max((finding.severity for finding in gpu.findings), default=0)
    return max(worst, int("holders" in gpu.na or is_silent(gpu)))


def heading(rows: Sequence[GpuRow]) -> str:
    """What all cards add up to; added up once for the same rows."""
    global _headed
    if _headed is None or _headed[0] is not rows:
        _headed = (rows, _heading(rows))
    return _headed[1]


def _heading(rows: Sequence[GpuRow]) -> str:
    """`3 cards, 6 slices: 3 held, 1 free, 2 not known, 1 over; of 1 card not told; WARN 2`."""
    cards = [row.gpu for row in rows if row.is_card]
    there = [gpu for gpu in cards if gpu.index is not None]
    on, untold = sum(map(is_counted, there)), sum(gpu.slices is None for gpu in there)
    spare = [count for gpu in there if (count := free(gpu)) is not None]
    unknown = sum(max(0, (g.slices or 0) - held(g)) for g in there if free(g) is None)
    places = [f"{on} card{'s' * (on != 1)}"] if on or not there else []
    if blind := len(there) - on:
        places.append(f"{blind} machine{'s' * (blind != 1)} whose cards nobody counts")
    text = f"{' and '.join(places)}, {sum(gpu.slices or 0 for gpu in cards)} slices:"
    over = sum(max(0, held(g) - g.slices) for g in there if g.slices is not None)
    nowhere = sum(map(held, cards)) - sum(map(held, there))
    text += f" {sum(map(held, there)) - over} held, {sum(spare)} free"
    text += f", {unknown} not known" if unknown else ""
    text += f", {over} over" if over else ""
    text += f", {nowhere} on no known card" if nowhere else ""
    text += f"; of {untold} card{'s' * (untold != 1)} not told" if untold else ""
    levels = [finding.severity for gpu in cards for finding in gpu.findings]
    for words, level in (("CRIT", 3), ("WARN", 2)):
        text += f"; {words} {levels.count(level)}" if level in levels else ""
    return text + ("; memory shared" if any(map(shares_memory, cards)) else "")


def searchable(row: GpuRow) -> str:
    gpu = row.gpu
    words = [row_key(row), gpu.product or "", gpu.uuid or ""]
    for holder in (row.holder,) if row.holder else gpu.holders if row.is_card else ():
        words += [holder.kind, holder.id, holder.name or "", holder.user or ""]
    words += [] if row.holder or row.is_card or not is_known(gpu) else ["free"]
    words += [finding.kind for finding in gpu.findings] if row.is_card else []
    return inert(" ".join(words), 2000)


def is_of(holder: Holder | None, kind: str, id: str) -> bool:
    """Whether it is this job (or a task of this array), pod or process."""
    if holder is None or holder.kind != kind:
        return False
    return holder.id == id or (kind == "job" and holder.id.partition("_")[0] == id)


def by_owner(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{inert(name, 20)} {count}" for name, count in counts.items())
