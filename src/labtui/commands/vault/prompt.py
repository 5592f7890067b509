"""Secrets on the command line: asked on the terminal by the keyholder, or opened by gpg."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import click

from labtui.actions.vault.ceremony import Ceremony, Standing
from labtui.actions.vault.giving import NONCE, Giving
from labtui.commands.basics import INTERRUPTED, OK, UNHEALTHY, UNREACHABLE, USAGE, fail
from labtui.commands.common import show
from labtui.commands.documents import tell
from labtui.commands.signals import at_prompt
from labtui.keyholder.holder import UNLOCKED, Ended, HolderError, Keyholder, Typed
from labtui.keyholder.keyboard import NO_TERMINAL, TtyKeyboard
from labtui.session import Session
from labtui.spec import Tone, Wanted
from labtui.text import cut, inert

DOTS = 44
"""Dots that are drawn at most: what a share has in base64."""
NAME = 24
"""Cells that the end of a file's name has at least."""


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
    """One secret: from the file, or typed."""
    line = Line(wanted.words)
    try:
        if path:
            return await holder.gpg(wanted, path, keyboard, line.show)
        line.show(Typed())
        return await holder.ask(wanted, keyboard, line.show)
    finally:
        line.end()


def fitted(words: str, typed: Typed, dot: str, width: int) -> str:
    """The line in so many cells. What is wrong has its room first, then what is asked for; the
    rest is for dots, or for the end of a file's name."""
    shape = inert(typed.shape, 100)
    name = inert(typed.text, 300) + "_" if typed.text else ""
    room = width - len(shape) - len(":  ")
    words = cut(words, min(len(words), max(12, room - min(len(name), NAME))))
    room = max(0, room - len(words))
    shown = name or dot * min(typed.count, DOTS, room)
    if len(shown) > room:
        shown = ("…" + shown[len(shown) - room + 1 :])[:room]
    return cut(f"{words}: {shown} {shape}", width).rstrip()


class Line:
    """The line that the person types on: dots, and what the text looks like so far."""

    def __init__(self, words: str) -> None:
        self.words = inert(words, 200)
        self._shown = False

    def show(self, typed: Typed) -> None:
        if not sys.stderr.isatty():
            return
        self._shown = True
        dot = "●" if (sys.stderr.encoding or "").lower().startswith("utf") else "*"
        width = max(20, shutil.get_terminal_size((80, 24)).columns - 1)
        text = fitted(self.words, typed, dot, width)
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def end(self) -> None:
        if self._shown:
            click.echo(err=True)
        self._shown = False


class Shell:
    """`giving.Person` on a plain terminal: what happens on stderr, one line each."""

    def __init__(self, every: bool) -> None:
        """`every`: the next server of a set is gone on with unasked."""
        self._every = every
        self._line = Line("share")
        self._stands = ""

    def begins(self, ceremony: Ceremony) -> None:
        click.echo(f"{inert(ceremony.title)} (afterwards: {inert(ceremony.promise)})", err=True)

    def stands(self, standing: Standing, mine: int) -> None:
        if standing.done or standing.waiting:
            words = standing.waiting
        else:
            words = f"{standing.progress} of {standing.required} shares are in"
            words += f", nonce {inert(standing.nonce[:NONCE])}" if standing.nonce else ""
        if words and words != self._stands:
            self.say(words)
        self._stands = words
        self._line.words = f"share {standing.progress + 1} of {standing.required}"

    def holds(self, holder: Keyholder | None) -> None:
        if holder is None:
            self._line.end()
        elif not holder.locked:
            self.say(UNLOCKED)

    def typed(self, typed: Typed) -> None:
        self._line.show(typed)

    def say(self, words: str, tone: Tone = "") -> None:
        self._line.end()
        show(inert(words, 400))

    def waits(self, keys: str) -> None:
        self.say(keys)

    async def go_on(self, words: str) -> bool:
        if self._every and words.startswith("next"):
            self.say(words.partition("   ")[0])
            return True
        if not sys.stdin.isatty():
            return False
        self._line.end()
        asks = f"{inert(words)} (n + enter leaves)"
        with at_prompt():
            said = click.prompt(asks, default="", show_default=False, err=True)
        return not said


async def give_shares(
    session: Session, ceremony: Ceremony, gpg: Sequence[str], *, every: bool = False,
    as_json: bool = False,
) -> int:  # fmt: skip
    """Exit code. Shares come from the terminal, or from `gpg` files where any is named."""
    if not gpg and not sys.stdin.isatty():
        fail(NO_TERMINAL, USAGE)
    giving = Giving(
        ceremony, session.runner, TtyKeyboard(), Shell(every), list(gpg) if gpg else None
    )
    try:
        outcome = await giving.run()
    except HolderError as error:
        fail(error.message, USAGE if error.kind == "config" else UNHEALTHY)
    if outcome.kind == "cancelled":
        fail(outcome.message, UNHEALTHY if gpg else INTERRUPTED, "cancelled")
    tell(outcome, as_json)
    return OK if outcome.ok else UNREACHABLE if outcome.kind == "unknown" else UNHEALTHY
