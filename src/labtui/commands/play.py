"""`labtui play list|show|preview|apply|undo`: what Ansible installs, and how it is taken back."""

from __future__ import annotations

import click

from labtui.actions.plays import PlayAction, diff_lines
from labtui.actions.vault import Doors
from labtui.actions.vault.agents import TOKEN, InstallAgents, UndoAgents
from labtui.commands.basics import OK, UNHEALTHY, UNREACHABLE, USAGE, fail, json_option
from labtui.commands.common import perform, with_session
from labtui.commands.documents import document, echo_json
from labtui.commands.vault.arguments import WithoutSecrets
from labtui.commands.vault.prompt import asked
from labtui.model import Item
from labtui.plays.catalogue import Book, books, targets
from labtui.plays.events import HostReport
from labtui.plays.inventory import PlayError
from labtui.session import Session
from labtui.text import cut, inert


class PlayRow(Item, frozen=True, kw_only=True):
    """A playbook, for `play list --json`."""

    name: str
    title: str
    nodes: tuple[str, ...] = ()
    undo: bool = False
    verify: bool = False
    path: str


class PreviewRow(Item, frozen=True, kw_only=True):
    """One machine of a preview."""

    node: str
    state: str
    """`ok`: nothing would change; `changed`, `failed`, `unreachable`."""
    changes: tuple[str, ...] = ()
    """The tasks that would change something."""
    message: str | None = None


@click.group(cls=WithoutSecrets)
def play() -> None:
    """Playbooks: look what they would change, apply them, check them, take them back."""


ON = click.option("--on", metavar="NODE,...", default="", help="Only on these of its nodes.")
JSON = json_option()
YES = click.option("--yes", is_flag=True, help="Do not ask.")
TOKEN_GPG = click.option(
    "--token-gpg", metavar="FILE", default="", help="A file whose token gpg decrypts."
)


def _book(name: str) -> Book:
    found = books()
    if name not in found:
        fail(f"no playbook {inert(name, 60)!r}: there is {', '.join(found) or 'none'}", USAGE)
    return found[name]


def _nodes(session: Session, book: Book, on: str) -> list[str]:
    only = [part.strip() for part in on.split(",") if part.strip()]
    try:
        return targets(book, session.config, only)
    except PlayError as error:
        fail(inert(error), USAGE)


def _action(session: Session, book: Book, on: str, *, undo: bool) -> PlayAction:
    nodes = _nodes(session, book, on)
    doors = Doors(session.config, session.store, session.hosts)
    if book.asks == "vault.token":
        return UndoAgents(doors, nodes) if undo else InstallAgents(doors, nodes)
    return PlayAction(session.config, book, nodes, undo=undo)


@play.command("list")
@json_option("plays")
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """The playbooks that there are."""

    async def work(session: Session) -> int:
        rows = [_row(session, book) for book in books().values()]
        if as_json:
            echo_json(document("plays", rows, []))
        for row in () if as_json else rows:
            where = ", ".join(row.nodes) or "nowhere yet"
            click.echo(f"{cut(row.name, 20)}  {inert(row.title)} (on {where})")
        return OK

    with_session(context, work)


def _row(session: Session, book: Book) -> PlayRow:
    try:
        nodes = tuple(targets(book, session.config))
    except PlayError:
        nodes = ()
    return PlayRow(
        name=book.name, title=inert(book.title, 200), nodes=nodes, undo=book.undo is not None,
        verify=book.verify is not None, path=str(book.path),
    )  # fmt: skip


@play.command()
@click.argument("name")
@json_option("plays")
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """What one says of itself, where it runs, and its files."""
    book = _book(name)

    async def work(session: Session) -> int:
        row = _row(session, book)
        if as_json:
            echo_json(document("plays", [row], []))
            return OK
        click.echo(inert(book.title))
        click.echo(inert(book.words))
        click.echo(f"runs on: {', '.join(row.nodes) or f'nowhere yet ({inert(book.on)})'}")
        for words, path in (("file", book.path), ("check", book.verify), ("undo", book.undo)):
            click.echo(f"{words}: {path or 'none'}")
        return OK

    with_session(context, work)


@play.command()
@click.argument("name")
@ON
@json_option("preview")
@click.pass_context
def preview(context: click.Context, name: str, on: str, as_json: bool) -> None:
    """What it would change on each node; nothing is changed."""
    book = _book(name)

    async def work(session: Session) -> int:
        report = await _action(session, book, on, undo=False).preview()
        rows = [_preview(host) for host in report.hosts.values()]
        if as_json:
            echo_json(document("preview", rows, []))
        else:
            click.echo("\n".join(map(inert, diff_lines(report))))
            for row in rows:
                count = f"{len(row.changes)} changes" if row.changes else "nothing to change"
                click.echo(f"{inert(row.node)}: {row.message or count}")
        if all(row.state == "unreachable" for row in rows):
            return UNREACHABLE
        return UNHEALTHY if report.failures else OK

    with_session(context, work)


def _preview(host: HostReport) -> PreviewRow:
    return PreviewRow(
        node=host.name,
        state=host.state,
        changes=tuple(result.task for result in host.changed),
        message=f"{host.state}: {host.failed.message}" if host.failed else None,
    )


@play.command()
@click.argument("name")
@ON
@TOKEN_GPG
@YES
@JSON
@click.pass_context
def apply(
    context: click.Context, name: str, on: str, token_gpg: str, yes: bool, as_json: bool
) -> None:
    """Do it, after showing what changes; a second look and its own check prove it."""
    book = _book(name)

    async def work(session: Session) -> int:
        action = _action(session, book, on, undo=False)
        await action.preview()
        if not isinstance(action, InstallAgents) or not action.needing:
            return await perform(session, action, yes=yes, as_json=as_json)
        async with asked(session, [TOKEN], {"token": token_gpg}) as holder:
            action.holder = holder
            return await perform(session, action, yes=yes, as_json=as_json)

    with_session(context, work, changes="apply")


@play.command()
@click.argument("name")
@ON
@TOKEN_GPG
@YES
@click.option("--confirm", metavar="NAME", default="", help="The playbook's name once more.")
@JSON
@click.pass_context
def undo(
    context: click.Context, name: str, on: str, token_gpg: str, yes: bool, confirm: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Take away what it put; what it is gone with is shown first."""
    book = _book(name)

    async def work(session: Session) -> int:
        action = _action(session, book, on, undo=True)
        if not isinstance(action, UndoAgents) or not token_gpg:
            return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)
        async with asked(session, [TOKEN], {"token": token_gpg}) as holder:
            action.holder = holder
            return await perform(session, action, yes=yes, as_json=as_json, confirm=confirm)

    with_session(context, work, changes="undo")
