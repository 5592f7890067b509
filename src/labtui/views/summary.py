"""The top line: cluster, worst severity with counts, and how fresh each source is."""

from __future__ import annotations

from collections.abc import Sequence

from labtui.config import Config
from labtui.spec import SubjectSpec, Tone
from labtui.store import Feed, Store
from labtui.text import age, inert

Span = tuple[str, Tone]
STEPS = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
"""Seconds in which a pace is told, rounded up: one that varies a little is not to be redrawn."""

_ON_MACHINES = ("host.", "vault.", "nvml.", "smi.", "jetson.", "agents.")
"""Feeds of one machine each: where some fail, how many answer is told."""


def freshness(feeds: Sequence[Feed], now: float) -> list[tuple[str, str, Tone]]:
    """One (kind, words, tone) a kind of source, in the order the feeds were declared.

    A source on time shows its pace ("at most this old"), which stands still while all is well;
    one that is late or failing shows the age of its last good answer.
    """
    kinds: dict[str, list[Feed]] = {}
    for feed in feeds:
        kinds.setdefault(feed.kind, []).append(feed)
    return [(kind, *_of_kind(group, now)) for kind, group in kinds.items()]


def _of_kind(group: list[Feed], now: float) -> tuple[str, Tone]:
    # What a healthy source does not have (no accounting) is no failure while the rest answers.
    group = [f for f in group if not (f.error and f.error.kind == "not-found")] or group
    failed = [f for f in group if f.state(now) == "failed"]
    waiting = [f for f in group if f.state(now) == "waiting"]
    stale = [f.age(now) or 0.0 for f in group if f.state(now) == "stale"]
    machines = all(f.name.startswith(_ON_MACHINES) for f in group)
    if failed and (len(failed) == len(group) or not machines):
        fault = failed[0].error
        ages = [a for f in failed if (a := f.age(now)) is not None]
        since = f" {age(min(ages))}" if ages else ""
        return f"{fault.kind if fault else 'failed'}{since}", "crit"
    if failed:
        return f"{len(group) - len(failed)}/{len(group)}", "warn"
    if waiting:
        return "...", "dim"
    if stale:
        return f"stale {age(max(stale))}", "warn"
    pace = min(max(f.interval, f.pace) for f in group)
    return age(next((s for s in STEPS if s >= pace), pace)), "dim"


def alarm_of(subjects: Sequence[SubjectSpec], store: Store, config: Config, now: float) -> str:
    """What has to be seen whatever screen is open, in a few words; empty where nothing has."""
    told = (s.alarm(store, config, now) for s in subjects if s.alarm)
    return next((words for words in told if words), "")


def top_line(
    cluster: str, counts: tuple[int, int], feeds: Sequence[Feed], now: float, width: int,
    note: str = "", keep: Sequence[str] = (), alarm: str = "",
) -> list[Span]:  # fmt: skip
    """`cluster  CRIT 1  WARN 2      slurm 2s  vault sealed ...`, fitted into `width` cells.

    The kinds in `keep` are what the screen below rests on: they stay when there is no room.
    `alarm` says what the worst is.
    """
    crit, warn = counts
    left: list[Span] = [(f" {inert(cluster, 20)} ", "accent")]
    if crit or alarm:
        left.append((f" CRIT {crit or ''}".rstrip(), "crit"))
    if alarm:
        left.append((f" {inert(alarm, 60)} ", "crit"))
    if warn:
        left.append((f" WARN {warn}", "warn"))
    if not crit and not warn and not alarm:
        left.append((" ok" if any(f.good for f in feeds) else " ...", "ok"))
    if note:
        left.append((f"  {note}", "warn"))
    words = freshness(feeds, now)
    right: list[Span] = []
    for kind, text, tone in words:
        right += [(f"  {kind} ", "dim" if tone == "dim" else ""), (text, tone)]
    room = width - sum(len(t) for t, _ in left) - 1
    while right and sum(len(t) for t, _ in right) > room:
        # Those in order go first, the last ones named before the others: what is broken stays.
        spots = range(len(right) - 2, -1, -2)
        quiet = [i for i in spots if right[i + 1][1] == "dim" and right[i][0].strip() not in keep]
        at = quiet[0] if quiet else len(right) - 2
        del right[at : at + 2]
    gap = width - sum(len(t) for t, _ in (*left, *right)) - 1
    return [*left, (" " * max(0, gap), ""), *right]


def title_line(
    title: str, counts: tuple[int, int, int], said: Span, right: Sequence[str], width: int,
    plain: bool = False,
) -> list[Span]:  # fmt: skip
    """`Jobs 3 of 23  running 1                      /ana sort: state`.

    `counts`: rows the filter lets through, all rows, marked ones; `plain`: all of them need not
    be counted. Where there is too little room
    `said` is cut: the source's failure, or what the rows add up to.
    """
    shown, total, marked = counts
    count = f"{total}" if shown == total else f"{shown} of {total}"
    if plain and shown == total:
        count = ""
    end = "".join(f"{word} " for word in right)
    fixed: list[Span] = [(f" {title} ", "accent"), (count, "")]
    marks = f"  {marked} marked" if marked else ""
    room = width - len(end) - 1 - sum(len(text) for text, _ in fixed) - len(marks)
    text = f"  {said[0]}" if said[0] else ""
    if len(text) > room:
        text = text[: max(0, room - 1)] + "…" if room > 3 else ""
    left: list[Span] = [*fixed, (text, said[1]), (marks, "accent")]
    used = sum(len(text) for text, _ in left)
    return [*left, (" " * max(1, width - len(end) - used), ""), (end, "dim")]
