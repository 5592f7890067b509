"""What nvidia-smi prints, as cards. Pure.

Its words for what it cannot tell stand in brackets in a field, or instead of the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from labtui.model import Finding, Gpu
from labtui.sources import processes
from labtui.sources.base import SourceError, number
from labtui.sources.gpufigures import LOCK_UNTOLD, UNDER_MIG, possible
from labtui.sources.nvml import throttle_words
from labtui.store import FaultKind
from labtui.text import inert

FIELDS = (
    "index", "uuid", "name", "pci.bus_id", "driver_version", "utilization.gpu", "memory.used",
    "memory.total", "temperature.gpu", "power.draw", "power.limit", "power.default_limit",
    "power.min_limit", "power.max_limit", "persistence_mode", "clocks.sm", "clocks.max.sm",
    "clocks_event_reasons.active", "ecc.errors.uncorrected.volatile.total", "mig.mode.current",
)  # fmt: skip
"""As `nvidia-smi --help-query-gpu` of driver 580 has them; MIG's mode is the last."""

_OURS = {
    "utilization.gpu": "util_percent",
    "memory.used": "memory_used_mib",
    "memory.total": "memory_total_mib",
    "temperature.gpu": "temperature_c",
    "power.draw": "power_w",
    "power.limit": "power_limit_w",
    "power.default_limit": "power_default_w",
    "power.min_limit": "power_min_w",
    "power.max_limit": "power_max_w",
    "clocks.sm": "clock_mhz",
    "clocks.max.sm": "clock_max_mhz",
    "clocks_event_reasons.active": "throttle",
    "clocks_throttle_reasons.active": "throttle",
    "ecc.errors.uncorrected.volatile.total": "ecc_uncorrected",
    "persistence_mode": "persistence",
}
_LOST = {"gpu is lost": "the card has fallen off the bus", "gpu requires reset": "it must be reset"}
WORDS = {
    "n/a": "this card does not tell",
    "not supported": "not supported by this card",
    "unknown error": "nvidia-smi says unknown error",
    "insufficient permissions": "this user may not read it",
    "requested functionality has been deprecated": "this driver does not tell any more",
    "err!": "nvidia-smi says ERR!",
    **_LOST,
}
_SILENT = re.compile(
    r"Unable to determine the device handle for GPU ?(?:(\d{1,3}): )?"
    r"(?:([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d): )?(.+)"
)
"""With the card's index, its place or both, as the driver's age has it."""
OF_A_PROGRAM = frozenset({13, 31, 43, 45})
"""XIDs that tell of a program, not of the card: over after a day. The others stay until the machine
is started anew."""
OF_A_PROGRAM_S = 86400.0
HIDDEN = "the kernel's log may not be read by this account"
_UNREAD = {"": HIDDEN, "slow": "the kernel's log did not answer within a second"}
"""What the script says of the kernel's log, where it was not read."""
WSL = "Windows does not tell it to WSL"

_FAULTS: tuple[tuple[str, FaultKind, str], ...] = (
    (
        "Driver/library version mismatch", "protocol",
        "driver and library differ: it was upgraded under the running programs; reboot or reload "
        "the modules",
    ),
    ("couldn't communicate with the NVIDIA driver", "not-found", "the driver is not loaded"),
    ("Driver Not Loaded", "not-found", "the driver is not loaded"),
    ("No devices were found", "not-found", "it finds no card"),
    ("couldn't find libnvidia-ml.so", "not-found", "there is no libnvidia-ml.so"),
    ("GPU is lost", "unreachable", "a card has fallen off the bus: the machine must be rebooted"),
    ("Unable to determine the device handle", "unreachable", "a card does not answer its driver"),
    ("Insufficient Permissions", "permission", "this user may not read the cards"),
)  # fmt: skip


class Answer(msgspec.Struct, frozen=True):
    """The script's sections."""

    parts: Mapping[str, str]

    @classmethod
    def of(cls, output: str) -> Answer | None:
        """None where something else answered."""
        _, *rest = re.split(r"^@@ (\w+)$", output, flags=re.MULTILINE)
        parts = {n: body.strip("\n") for n, body in zip(rest[::2], rest[1::2], strict=True)}
        return cls(parts) if "begin" in parts and "end" in parts else None

    @property
    def text(self) -> str:
        return self.parts.get("cards", "")

    @property
    def unknown_field(self) -> str | None:
        hit = re.search(r'Field "([\w.]{1,80})" is not a valid field to query', self.text)
        return hit[1] if hit else None

    @property
    def killed(self) -> bool:
        return self.parts.get("code", "").strip() == "137"

    @property
    def taken_at(self) -> int:
        """Unix seconds by the machine's own clock; 0 where it told none."""
        text = self.parts["begin"]
        return int(text) if re.fullmatch(r"\d{1,12}", text) else 0

    @property
    def wsl(self) -> bool:
        return "microsoft" in self.parts.get("kernel", "").lower()


class Card(NamedTuple):
    bus: str
    """Its place, as `bus` writes it; empty where unknown."""
    gpu: Gpu


def bus(text: str) -> str:
    """`00000000:3B:00.0` and the kernel's `0000:3b:00` as one: `0000:3b:00`."""
    hit = re.search(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})", text.lower())
    return hit[0] if hit else ""


def fault(answer: Answer, who: str) -> SourceError:
    """Why there is no card in it."""
    if "absent" in answer.parts:
        return SourceError("not-found", f"{who}: there is no such command")
    for words, kind, text in _FAULTS:
        if words.lower() in answer.text.lower():
            return SourceError(kind, f"{who}: {text}")
    text = inert(answer.text.strip(), 120) or "it said nothing"
    return SourceError("protocol", f"{who}: {text}")


def cards(answer: Answer, node: str, fields: Sequence[str], known: Mapping[str, Gpu]) -> list[Card]:
    """The cards in it; those of `known` (bus id -> card) that it says are lost keep their rows."""
    found: list[Card] = []
    for line in answer.text.splitlines():
        values = [value.strip() for value in line.split(", ")]
        if len(values) == len(fields):
            card = _card(dict(zip(fields, values, strict=True)), node, answer.wsl)
            if card is not None and all(c.gpu.index != card.gpu.index for c in found):
                found.append(card)
    for index, place, why in _SILENT.findall(answer.text):
        seen = known.get(bus(place)) or next(
            (gpu for gpu in known.values() if index and gpu.index == int(index)), None
        )
        if seen is None and index:
            seen = Gpu(node=node, index=int(index))
        if seen is not None and all(c.gpu.index != seen.index for c in found):
            found.append(Card(bus(place), _lost(seen, inert(why, 80))))
    minors = _minors(answer)
    for i, (place, gpu) in enumerate(found):
        gpu = structs.replace(gpu, minor=minors.get(place, gpu.minor))
        found[i] = Card(place, _with_xid(Card(place, gpu), answer, known))
    return sorted(found, key=lambda c: c.gpu.index or 0)


def _minors(answer: Answer) -> dict[str, int]:
    """Place -> number of the device file, as the driver's files in /proc have it."""
    found = re.findall(
        r"/gpus/([\da-fA-F:.]+)/information:Device Minor:\s*(\d{1,4})$",
        answer.parts.get("minors", ""),
        re.MULTILINE,
    )
    return {bus(place): int(minor) for place, minor in found if bus(place)}


def _card(row: dict[str, str], node: str, wsl: bool) -> Card | None:
    index = row.get("index", "")
    if not re.fullmatch(r"\d{1,4}", index):
        return None
    na: dict[str, str] = {"clock_lock_mhz": LOCK_UNTOLD}
    mig = row.get("mig.mode.current", "") == "Enabled"
    told: dict[str, Any] = {}
    for name, field in _OURS.items():
        if name in row:
            told[field], why = _value(name, row[name])
            if why is not None:
                na[field] = WSL if wsl and why == WORDS["n/a"] else why
    for field in set(_OURS.values()) - told.keys():
        na[field] = "this driver does not know the question"
    told = possible(told, na, "nvidia-smi")
    if mig and told.get("util_percent") is None:
        na["util_percent"] = UNDER_MIG
    mask, ecc = told.pop("throttle", None), told.pop("ecc_uncorrected", None)
    gone = {word for word in map(said, row.values()) if word in _LOST}
    return Card(
        bus(row.get("pci.bus_id", "")),
        Gpu(
            node=node,
            index=int(index),
            uuid=_named(row.get("uuid")),
            product=_named(row.get("name")),
            driver=_named(row.get("driver_version")),
            sharing="mig" if mig else None,
            throttle=None if mask is None else throttle_words(int(mask)),
            ecc_uncorrected=None if ecc is None else int(ecc),
            na=na,
            findings=tuple(lost(_LOST[word]) for word in sorted(gone)[:1]),
            **told,
        ),
    )


def said(text: str) -> str:
    return text.strip("[]").lower()


def _value(name: str, text: str) -> tuple[Any, str | None]:
    """A field's value, or None with the reason."""
    word = said(text)
    if word in WORDS:
        return None, WORDS[word]
    if name == "persistence_mode" and word in ("enabled", "disabled"):
        return word == "enabled", None
    if name.endswith("reasons.active"):
        value = float(int(text, 16)) if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text) else None
    else:
        value = number(text) if re.fullmatch(r"-?[\d.]{1,20}", text) else None
    return value, None if value is not None else f"nvidia-smi says {inert(text, 40) or 'nothing'}"


def _named(text: str | None) -> str | None:
    return inert(text, 64) if text and said(text) not in WORDS else None


def lost(why: str) -> Finding:
    return Finding(
        kind="lost", severity=3, text=why,
        means="what runs on it fails; the machine has to be rebooted, or the card reset",
    )  # fmt: skip


def _lost(seen: Gpu, why: str) -> Gpu:
    """The row of a card that was there before and answers no more."""
    words = WORDS.get(why.split(".")[0].lower(), why)
    na = dict.fromkeys((*_OURS.values(), "processes"), f"it does not answer: {words}")
    return Gpu(
        node=seen.node, index=seen.index, uuid=seen.uuid, product=seen.product,
        minor=seen.minor, driver=seen.driver, na=na,
        findings=(lost(f"the card does not answer: {words}"),),
    )  # fmt: skip


def _same(one: Gpu, other: Gpu) -> bool:
    """Unless both have names, and others: a card was changed."""
    return None in (one.uuid, other.uuid) or one.uuid == other.uuid


def _with_xid(card: Card, answer: Answer, known: Mapping[str, Gpu]) -> Gpu:
    """The newest XID that still says something, of the kernel's log or seen before."""
    before, gpu = known.get(card.bus), card.gpu
    boot = processes.boot_time(answer.parts.get("owners", ""))
    seen: list[tuple[int | None, float | None]] = []
    if before and (before.xid_at or 0.0) >= (boot or 0.0) and _same(before, gpu):
        seen.append((before.xid, before.xid_at))
    pattern = r"^\s*(\[)?\s*(\d{1,12}(?:\.\d+)?)\]?.*NVRM: Xid \(PCI:([\da-fA-F:.]+)\): (\d{1,5}),"
    for relative, moment, place, code in re.findall(
        pattern, answer.parts.get("xids", ""), re.MULTILINE
    ):
        if card.bus and bus(place) == card.bus:
            since = (boot or 0.0) if relative else 0.0
            seen.append((int(code), float(moment) + since if since or not relative else None))
    over = answer.taken_at - OF_A_PROGRAM_S
    seen = [(xid, at) for xid, at in seen if xid not in OF_A_PROGRAM or at is None or at > over]
    of_the_card = [one for one in seen if one[0] not in OF_A_PROGRAM]  # a 45 follows a 79
    xid, at = (of_the_card or seen or [(None, None)])[-1]
    na = gpu.na
    if xid is None and (why := _UNREAD.get(answer.parts.get("log", "").strip(), "")):
        na = {**na, "xid": why}
    return structs.replace(gpu, xid=xid, xid_at=at, na=na)
