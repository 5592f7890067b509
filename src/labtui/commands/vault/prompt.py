"""Secrets on the command line: asked on the terminal by the keyholder, or opened by gpg."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import click

from labtui.commands.basics import INTERRUPTED, UNHEALTHY, USAGE, fail
from labtui.keyholder.holder import Ended, HolderError, Keyholder, Typed
from labtui.keyholder.keyboard import NO_TERMINAL, TtyKeyboard
from labtui.session import Session
from labtui.spec import Wanted
from labtui.text import cut, inert


@asynccontextmanager
async def asked(
    session: Session, wanted: Sequence[Wanted], gpg: Mapping[str, str]
) -> AsyncIterator[Keyholder]:
    """A keyholder that has them. `gpg`: name of a secret -> the file that gpg decrypts.

    Ends the process: with 2 where one has to be typed and there is no terminal, with 130 where
    the person left, with 1 where gpg or the keyholder could not do it.
    """
    files = {one.name: gpg.get(one.name) or _default(session, one) for one in wanted}
    if not all(files.values()) and not sys.stdin.isatty():
        fail(NO_TERMINAL, USAGE)
    keyboard = TtyKeyboard()
    try:
        holder = await Keyholder.start().__aenter__()
    except HolderError as error:
        fail(error.message, UNHEALTHY)
    try:
        for one in wanted:
            await _have(holder, keyboard, one, files[one.name])
        yield holder
    finally:
        await holder.close()


def _default(session: Session, wanted: Wanted) -> str:
    return session.config.vault.token_gpg if wanted.kind == "token" else ""


async def _have(holder: Keyholder, keyboard: TtyKeyboard, wanted: Wanted, path: str) -> None:
    try:
        ended = await have(holder, keyboard, wanted, path)
    except HolderError as error:
        fail(error.message, USAGE if error.kind == "config" else UNHEALTHY)
    if ended != "given":
        fail("nothing was given; nothing was done", INTERRUPTED)


async def have(holder: Keyholder, keyboard: TtyKeyboard, wanted: Wanted, path: str = "") -> Ended:
    """One secret: from the file, or typed; the person may name a file instead of typing."""
    line = Line(wanted.words)
    try:
        if path:
            return await holder.gpg(wanted, path, keyboard, line.show)
        line.show(Typed())
        ended = await holder.ask(wanted, keyboard, line.show)
    finally:
        line.end()
    if ended != "gpg":
        return ended
    named = click.prompt("file that gpg decrypts", default="", show_default=False, err=True)
    return await have(holder, keyboard, wanted, named) if named else "left"


class Line:
    """The line that the person types on: dots, and what the text looks like so far."""

    def __init__(self, words: str) -> None:
        self._words = inert(words, 200)
        self._shown = False

    def show(self, typed: Typed) -> None:
        if not sys.stderr.isatty():
            return
        self._shown = True
        dot = "●" if (sys.stderr.encoding or "").lower().startswith("utf") else "*"
        text = f"{self._words}: {dot * min(typed.count, 44)} {inert(typed.shape, 100)}".rstrip()
        width = max(20, shutil.get_terminal_size((80, 24)).columns - 1)
        click.echo(f"\r\x1b[K{cut(text, width).rstrip()}", err=True, nl=False)

    def end(self) -> None:
        if self._shown:
            click.echo(err=True)
        self._shown = False
