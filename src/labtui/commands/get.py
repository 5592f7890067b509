"""`labtui get NOUN`: a subject as a table or as one JSON document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, USAGE, json_option, prints
from labtui.commands.common import with_session
from labtui.commands.documents import document, echo_json
from labtui.registry import SUBJECT
from labtui.session import Session
from labtui.shares import cards
from labtui.slurm.values import covers
from labtui.spec import Cell, SubjectSpec
from labtui.store import Feed, matches
from labtui.text import age, cut, inert
from labtui.views import alerts, vault

NOUNS = (
    "nodes",
    "gpus",
    "jobs",
    "partitions",
    "reservations",
    "qos",
    "shares",
    "vault",
    "agents",
    "runs",
    "pods",
    "processes",
    "slurmclusters",
    "alerts",
    "sources",
)
_SUBJECT_OF = {"shares": "fairshare"}
"""Nouns that are not called as their screen is."""
_NEEDED = {
    "qos": ("slurm.partitions",),
    "slurmclusters": ("slurm.nodes", "slurm.jobs", "slurm.settings"),
}
"""Feeds that make rows of a noun right, beside those that its screen is told of."""
_MORE = {"vault": ("agents.",)}
"""Feeds that complete the items of a noun: their failure is told, and makes nothing unhealthy."""

_ITEMS: dict[str, Callable[..., Sequence[Any]]] = {
    "gpus": cards.items,
    "vault": vault.items,
    "alerts": alerts.items,
}
"""Nouns whose items are not the table's rows."""
_ALERT_FEEDS = ("alerts",)
_OF_ONE_MACHINE = ("host.", "vault.", "agents.", "smi.", "nvml.", "jetson.")
"""Feeds whose failure makes one machine unhealthy, as long as others answer."""


def subject_of(noun: str) -> SubjectSpec:
    return SUBJECT[_SUBJECT_OF.get(noun, noun)]


def feeds_of(noun: str) -> tuple[str, ...]:
    if noun == "sources":
        return ("*",)
    if noun == "alerts":
        return _ALERT_FEEDS
    return (*subject_of(noun).feeds, *_NEEDED.get(noun, ()), *_MORE.get(noun, ()))


def items_of(noun: str, session: Session) -> Sequence[Any]:
    now = time.time()
    if noun == "sources":
        return session.store.sources(now)
    rows = _ITEMS.get(noun) or subject_of(noun).rows
    return rows(session.store, session.config, now)


def chosen_feeds(session: Session, names: tuple[str, ...]) -> list[Feed]:
    return [f for f in session.store.feeds() if "*" in names or matches(f.name, names)]


@click.command()
@click.argument("noun", type=click.Choice(NOUNS))
@click.argument("name", required=False)
@json_option()
@click.option("--watch", is_flag=True, help="Again every two seconds, until interrupted.")
@click.pass_context
def get(context: click.Context, noun: str, name: str | None, as_json: bool, watch: bool) -> None:
    """Print NOUN: nodes, gpus, jobs, partitions, reservations, qos, shares, vault, agents, runs,
    pods, processes, slurmclusters, alerts or sources.

    Exit status: 0 healthy, 1 something is unhealthy, 2 wrong usage, 3 a needed source failed.
    """

    prints(context, noun)

    async def work(session: Session) -> int:
        names = feeds_of(noun)
        while True:
            await session.scheduler.once(names)
            feeds = chosen_feeds(session, names)
            items = list(items_of(noun, session))
            if name is not None:
                items = [i for i in items if _is_called(name, noun, i)]
            missing = _missing(noun, session)
            if as_json:
                echo_json(document(noun, items, feeds, missing))
            else:
                _table(noun, session, name)
                for feed in feeds:
                    if feed.error:
                        click.echo(f"labtui: {feed.name}: {feed.error.message}", err=True)
                if missing:
                    click.echo(f"labtui: {missing}", err=True)
            if not watch:
                return UNREACHABLE if missing else _code(session, noun, items, feeds, name)
            await asyncio.sleep(2)

    with_session(context, work)


def _missing(noun: str, session: Session) -> str:
    """Why there may be more than was told, though the source answers."""
    if noun in ("sources", "alerts"):
        return ""
    missing = subject_of(noun).missing
    return missing(session.store) if missing else ""


def _is_called(name: str, noun: str, item: Any) -> bool:
    """By the id of an array all its rows are, by a task's the row that has it."""
    fields: tuple[str, ...] = ("name", "job_id", "run_id", "node", "id")
    fields += ("account", "user") if noun == "shares" else ()
    names = {str(value) for field in fields if (value := getattr(item, field, None))}
    return name in names or (noun == "jobs" and covers(name, item.job_id))


def _code(
    session: Session, noun: str, items: Sequence[Any], feeds: Sequence[Feed], name: str | None
) -> int:
    if name is not None and not items:
        click.echo(f"labtui: no {noun} named {inert(name, 60)}", err=True)
        return USAGE
    if noun == "sources":
        return UNHEALTHY if any(f.error for f in feeds) else OK
    feeds = [f for f in feeds if not matches(f.name, _MORE.get(noun, ()))]
    if feeds and all(f.error for f in feeds):
        return UNREACHABLE
    needed = [f for f in feeds if f.error and not f.name.startswith(_OF_ONE_MACHINE)]
    if needed:
        return UNREACHABLE
    if any(f.error for f in feeds):
        return UNHEALTHY
    if noun in ("nodes", "vault", "agents", "gpus"):
        rows = subject_of(noun).rows(session.store, session.config, time.time())
        if name is not None:
            rows = [row for row in rows if _is_called(name, noun, row)]
        return UNHEALTHY if any(subject_of(noun).severity(row) >= 2 for row in rows) else OK
    return UNHEALTHY if noun == "alerts" and items else OK


def _table(noun: str, session: Session, name: str | None) -> None:
    """The screen's own columns at the width of the terminal; without one, all of them."""
    import shutil
    import sys

    if noun in _PLAIN:
        titles, describe = _PLAIN[noun]
        lines = [titles, *([inert(t) for t in describe(i)] for i in items_of(noun, session))]
        widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
        for line in lines:
            click.echo("  ".join(map(cut, line, widths)).rstrip())
        return
    spec = subject_of(noun)
    width = shutil.get_terminal_size((200, 40)).columns if sys.stdout.isatty() else 200
    columns = [c for c in spec.columns if c.min_total <= width]
    spare = max(0, width - sum(c.width + 1 for c in columns))
    last = next((c for c in reversed(columns) if c.grow), None)
    widths = [c.width + spare if c is last else c.width for c in columns]
    click.echo(" ".join(cut(c.title, w) for c, w in zip(columns, widths, strict=True)).rstrip())
    for item in spec.rows(session.store, session.config, time.time()):
        if name is not None and not _is_called(name, noun, getattr(item, "gpu", item)):
            continue
        cells = [c.text(item) for c in columns]
        texts = [c.text if isinstance(c, Cell) else c for c in cells]
        click.echo(" ".join(cut(t, w) for t, w in zip(texts, widths, strict=True)).rstrip())


def _source(item: Any) -> list[str]:
    old = "-" if item.age_s is None else age(item.age_s)
    took = "-" if item.took_ms is None else f"{item.took_ms:.0f} ms"
    return [item.name, item.kind, item.state, old, took, item.error or ""]


def _alert(item: Any) -> list[str]:
    since = "-" if item.since is None else age(time.time() - item.since)
    return [item.severity, since, item.title, item.suppressed_by or ""]


_PLAIN: dict[str, tuple[list[str], Callable[[Any], list[str]]]] = {
    "sources": (["SOURCE", "KIND", "STATE", "AGE", "TOOK", "WHY"], _source),
    "alerts": (["SEVERITY", "SINCE", "ALERT", "SUPPRESSED BY"], _alert),
}
