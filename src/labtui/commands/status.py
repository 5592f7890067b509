"""`labtui status`: one glance for a pager, a script, a screen reader. Plain sentences."""

from __future__ import annotations

import time

import click

from labtui.commands.basics import OK, UNHEALTHY
from labtui.commands.common import with_session
from labtui.registry import SUBJECTS
from labtui.session import Session
from labtui.spec import Cell
from labtui.text import inert


@click.command()
@click.option("--plain", is_flag=True, help="For a screen reader: sentences only (the default).")
@click.pass_context
def status(context: click.Context, plain: bool) -> None:
    """What is wrong, worst first, then the counts; exit 1 when anything is."""

    async def work(session: Session) -> int:
        await session.scheduler.once()
        now = time.time()
        wrong: list[tuple[int, str]] = []
        counts: list[str] = []
        for spec in SUBJECTS:
            if spec.parent:
                continue
            rows = spec.rows(session.store, session.config, now)
            told = spec.heading(rows) if spec.heading else ""
            many = f"{len(rows)}" + (f" ({told})" if told else "")
            counts.append(f"{spec.title}: {told if told and spec.heading_counts else many}")
            if spec.name in ("jobs", "runs"):
                continue
            for item in rows:
                level = spec.severity(item)
                if level >= 2:
                    said = [c.text(item) for c in spec.columns if not c.min_total]
                    words = " ".join(
                        t.strip()
                        for c in said
                        if (t := c.text if isinstance(c, Cell) else c).strip() not in ("", "-")
                    )
                    wrong.append((level, f"{spec.title}: {words}"))
        for feed in session.store.feeds():
            if feed.error:
                wrong.append((2, f"source {feed.name}: {feed.error.message}"))
        for level, line in sorted(wrong, key=lambda w: -w[0]):
            click.echo(("CRITICAL " if level >= 3 else "WARNING ") + inert(line, 300))
        if not wrong:
            click.echo(f"{session.config.cluster.name}: nothing is wrong")
        for line in counts:
            click.echo(line)
        return UNHEALTHY if wrong else OK

    with_session(context, work)
