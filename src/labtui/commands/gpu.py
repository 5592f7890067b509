"""`labtui gpu power|persistence|clocks|slices|cancel|undo|waiting NODE[:INDEX[/SLICE]]`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import click

from labtui.actions.suggest import suggestions
from labtui.commands.basics import OK, UNREACHABLE, USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.documents import document, echo_json
from labtui.model import Gpu
from labtui.session import Session
from labtui.shares.cards import items
from labtui.store import Fault, matches
from labtui.text import inert
from labtui.views.gpus import SUBJECT, GpuRow
from labtui.views.whynot import FEEDS as WHY_FEEDS

CUTS = ("k8s.gpus",)
"""What the number of slices rests on."""
NAMES = ("slurm.nodes", "k8s.gpus")
"""What names the machines that have cards."""
_PLACE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]{1,3}))?(?:/([0-9]{1,4}|pid ?[0-9]{1,10}))?"
)


@click.group()
def gpu() -> None:
    """Act on a card, on who holds it, on how it is shared; NODE:INDEX, as `get gpus` tells."""


def _place(text: str, form: str) -> tuple[str, int | None, str]:
    """Node, index, and slice or `pid 4121` or nothing. Ends with 2 where it has another form."""
    found = _PLACE.fullmatch(text)
    given = found and ("NODE" + ":INDEX" * (found[2] is not None) + "/SLICE" * bool(found[3]))
    if found is None or given not in form.split("|"):
        fail(f"{inert(text, 60)}: write {form.replace('|', ' or ')}, as desktop-gpu:0", USAGE)
    return found[1], int(found[2]) if found[2] else None, found[3] or ""


async def _known(session: Session, names: Sequence[str]) -> None:
    await session.scheduler.once(names)
    for feed in session.store.feeds():
        if feed.error and matches(feed.name, tuple(names)):
            click.echo(f"labtui: {feed.name}: {feed.error.message}", err=True)


def _card(session: Session, node: str, index: int | None) -> Gpu:
    """As the sources tell it; the machine's first card where no index is asked."""
    cards = [g for g in items(session.store, session.config, time.time()) if g.node == node]
    found = next((g for g in cards if index in (None, g.index) and g.index is not None), None)
    if found is None:
        there = ", ".join(f"{g.node}:{g.index}" for g in cards if g.index is not None)
        name = node if index is None else f"{node}:{index}"
        words = f"no card {name}" + (f"; there are {there}" if there else "")
        if not any(g.node == node for g in cards) and (fault := _unheard(session, node)):
            fail(f"{words}; {fault.message}", UNREACHABLE, fault.kind)
        fail(words, USAGE)
    return found


def _unheard(session: Session, node: str) -> Fault | None:
    """Why it may have cards that are not known: a source that would name them does not answer."""
    for feed in session.store.feeds():
        if feed.error and (feed.name in NAMES or feed.name.partition(".")[2] == node):
            return feed.error
    return None


def _act(
    context: click.Context, id: str, place: str, answer: str, yes: bool, as_json: bool,
    feeds: Sequence[str] = (), form: str = "NODE:INDEX",
) -> None:  # fmt: skip
    node, index, part = _place(place, form)

    async def work(session: Session) -> int:
        row = GpuRow(node=node, index=index, gpu=Gpu(node=node, index=index))
        if feeds:
            await _known(session, feeds)
            card = _card(session, node, index)
            row = GpuRow(node=node, index=card.index, gpu=card)
        if part:
            row = _part(session, row, part)
        action = session.action(id, [row], answer)
        return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work)


def _part(session: Session, card: GpuRow, part: str) -> GpuRow:
    """A slice by its number, or a process without one by its pid."""
    rows: Sequence[GpuRow] = SUBJECT.rows(session.store, session.config, time.time())
    mine = [r for r in rows if r.gpu == card.gpu and not r.is_card]
    if part.startswith("pid"):
        pid = part.removeprefix("pid").strip()
        bare = [r for r in mine if r.holder and (r.holder.kind, r.holder.id) == ("process", pid)]
        if not bare:
            fail(f"{card.node}:{card.index} has no bare process {pid}", USAGE)
        return bare[0]
    number = int(part)
    slots = [r for r in mine if r.slice]
    if not slots and number == 1:  # it is one slice
        return card
    row = next((r for r in slots if r.slice <= number < r.slice + r.count), None)
    if row is None:
        fail(f"{card.node}:{card.index} has no slice {number}", USAGE)
    return row


_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_json = json_option()


@gpu.command()
@click.argument("card", metavar="NODE:INDEX")
@click.argument("watts")
@_yes
@_json
@click.pass_context
def power(context: click.Context, card: str, watts: str, yes: bool, as_json: bool) -> None:
    """Set the most watts that the card may draw."""
    _act(context, "gpus.power", card, watts, yes, as_json)


@gpu.command()
@click.argument("card", metavar="NODE:INDEX")
@click.argument("mode", type=click.Choice(("on", "off")))
@_yes
@_json
@click.pass_context
def persistence(context: click.Context, card: str, mode: str, yes: bool, as_json: bool) -> None:
    """Keep the driver loaded while nobody uses the card, or not."""
    _act(context, "gpus.persistence", card, mode, yes, as_json)


@gpu.command()
@click.argument("card", metavar="NODE:INDEX")
@click.argument("range", metavar="MIN,MAX|off")
@_yes
@_json
@click.pass_context
def clocks(context: click.Context, card: str, range: str, yes: bool, as_json: bool) -> None:
    """Keep the card's clocks within MIN,MAX MHz; off frees them."""
    _act(context, "gpus.clocks", card, range, yes, as_json)


@gpu.command()
@click.argument("node")
@click.argument("slices", metavar="N|ENTRY")
@_yes
@_json
@click.pass_context
def slices(context: click.Context, node: str, slices: str, yes: bool, as_json: bool) -> None:
    """Cut the machine's cards into N slices each for Kubernetes, or as an ENTRY says."""
    feeds = (*SUBJECT.feeds, *CUTS)
    _act(context, "gpus.slices", node, slices, yes, as_json, feeds, "NODE|NODE:INDEX")


@gpu.command()
@click.argument("slice", metavar="NODE:INDEX/SLICE|pidN")
@_yes
@_json
@click.pass_context
def cancel(context: click.Context, slice: str, yes: bool, as_json: bool) -> None:
    """End the job or the pod that holds this slice, or a process (pidN) that holds none."""
    form = "NODE:INDEX/SLICE|NODE:INDEX"
    _act(context, "gpus.cancel", slice, "", yes, as_json, SUBJECT.feeds, form)


@gpu.command()
@click.argument("card", metavar="NODE:INDEX")
@_yes
@_json
@click.pass_context
def undo(context: click.Context, card: str, yes: bool, as_json: bool) -> None:
    """Set back what labtui changed last of this card."""
    _act(context, "gpus.undo", card, "", yes, as_json, (*SUBJECT.feeds, *CUTS))


@gpu.command()
@click.argument("where", metavar="NODE[:INDEX]")
@json_option("waiting")
@click.pass_context
def waiting(context: click.Context, where: str, as_json: bool) -> None:
    """Who waits for a GPU there, and what would let it through; changes nothing."""
    node, index, _ = _place(where, "NODE|NODE:INDEX")
    names = (*SUBJECT.feeds, *WHY_FEEDS, *CUTS)

    async def work(session: Session) -> int:
        await _known(session, names)
        place = node if index is None else _card(session, node, index)
        named = (session.store.feed(name) for name in NAMES)
        if not any(feed is not None and feed.error for feed in named):
            _card(session, node, index)  # a name that nobody knows ends here
        found = suggestions(place, session.store, session.config, time.time())
        feeds = [f for f in session.store.feeds() if matches(f.name, names)]
        if as_json:
            told = [{"words": s.words, "why": s.why, "command": s.command, "action": s.action}
                    for s in found]  # fmt: skip
            echo_json(document("waiting", told, feeds))
        else:
            for one in found:
                click.echo(f"{one.words}: {one.why}")
                if one.command:
                    click.echo(f"    {one.command}")
        return UNREACHABLE if feeds and all(f.error for f in feeds) else OK

    with_session(context, work)
