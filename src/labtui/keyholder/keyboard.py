"""The keyboard of a plain command, lent to the keyholder."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

from labtui.keyholder.holder import HolderError

NO_TERMINAL = (
    "stdin is no terminal: a secret is typed by a person, or opened by gpg from a file that is"
    " named; it is not read from a pipe"
)
_TTY = "/dev/tty"


class TtyKeyboard:
    """Raises HolderError where stdin is no terminal: nothing is ever read from a pipe."""

    def __init__(self) -> None:
        self._path = ""

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[str]:
        """Lent again while it is: the same loan. Until the end of the first nothing is echoed, and
        what was typed and not asked for is thrown away."""
        if self._path:
            yield self._path
            return
        if not sys.stdin.isatty():
            raise HolderError("config", NO_TERMINAL)
        self._path = own_terminal(sys.stdin.fileno())
        try:
            with silenced(self._path), _ended_by_signal():
                yield self._path
        finally:
            self._path = ""


def own_terminal(fd: int) -> str:
    """A path that the keyholder can open: after `su` the terminal itself belongs to another."""
    name = os.ttyname(fd)
    return name if os.access(name, os.R_OK | os.W_OK) else _TTY


@contextmanager
def silenced(path: str) -> Iterator[None]:
    """No echo; afterwards the modes as they were, whatever the keyholder did to them."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        said = (error.strerror or "").lower()
        raise HolderError("config", f"the terminal cannot be opened: {said}") from None
    try:
        before: list[Any] = termios.tcgetattr(fd)
        modes: list[Any] = termios.tcgetattr(fd)
        modes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON)
        termios.tcsetattr(fd, termios.TCSAFLUSH, modes)
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):
                termios.tcflush(fd, termios.TCIFLUSH)
                termios.tcsetattr(fd, termios.TCSANOW, before)
    finally:
        os.close(fd)


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as an exception does: with the terminal put right."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, end) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
