"""The keyholder's own reading of the terminal: raw, without echo, straight from the device."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from labtui.keyholder.line import (
    ESCAPE_ALONE,
    MORE_LINES,
    PASTE_GOES_ON,
    TOO_LONG,
    Key,
    Line,
)
from labtui.keyholder.shape import Form, form, trimmed, wipe

Ended = Literal["given", "left", "gpg", "reset", "stopped"]
CHUNK = 4096
"""Bytes of one read."""
SILENCE = 0.15
"""Seconds without a byte after which a paste that is refused has come to its end."""
REST = 0.02
"""The same where the prompt has ended: the person is not kept waiting."""
DRAIN = 5.0
"""Seconds that such a paste is waited for, at most."""


class Terminal:
    """The device, from opening it to giving its modes back. Raises OSError, termios.error."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._before = termios.tcgetattr(self.fd)
        self._chunk = bytearray(CHUNK)
        modes: list[Any] = termios.tcgetattr(self.fd)
        modes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP)
        modes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG
                      | termios.IEXTEN)  # fmt: skip
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSANOW, modes)

    def close(self) -> None:
        """Its modes as they were; what nobody has read yet is thrown away, unread."""
        if self.fd < 0:
            return
        # A large paste reaches the terminal's queue in pieces: a flush alone leaves later ones.
        self.drain(REST)
        wipe(self._chunk)
        fd, self.fd = self.fd, -1
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(fd, termios.TCIFLUSH)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, self._before)
        os.close(fd)

    def read(self) -> bytearray:
        """What is there; empty where the terminal has gone. To be wiped."""
        try:
            size = os.readv(self.fd, [self._chunk])
        except OSError:
            return bytearray()
        found = self._chunk[:size]
        self._chunk[:size] = bytes(size)
        return found

    def ready(self, seconds: float) -> bool:
        return bool(select.select([self.fd], [], [], seconds)[0])

    def drain(self, silence: float = SILENCE) -> None:
        """Throws away what still comes of a paste, until nothing has come for so many seconds."""
        end = time.monotonic() + DRAIN
        while time.monotonic() < end and self.ready(silence):
            gone = self.read()
            if not gone:
                return
            wipe(gone)


class Prompt:
    """One secret being typed."""

    def __init__(
        self,
        terminal: Terminal,
        control: socket.socket,
        kind: str,
        typed: Callable[[Form], None],
        refused: Callable[[bytearray], str],
    ) -> None:
        """`control` becomes readable when the console wants it to stop. `refused`: why the whole
        text may not be given, though its form is good; empty where it may."""
        self._terminal, self._control, self._kind = terminal, control, kind
        self._typed, self._refused = typed, refused
        self._line = Line()

    def run(self) -> tuple[Ended, bytearray]:
        """How it ended, and the text where it was given."""
        self._tell()
        while True:
            wait = ESCAPE_ALONE if self._line.escape_pending else None
            control = self._control.fileno()
            ready = select.select([self._terminal.fd, control], [], [], wait)[0]
            if control in ready:
                return self._end("stopped")
            if not ready:
                self._line.escape_alone()
                return self._end("left")
            chunk = self._terminal.read()
            if not chunk:
                return self._end("left")
            try:
                ended = self._take(chunk)
            finally:
                wipe(chunk)
            if ended is not None:
                return ended

    def _take(self, chunk: bytearray) -> tuple[Ended, bytearray] | None:
        changed = False
        for at, byte in enumerate(chunk):
            key: Key = self._line.feed(byte, len(chunk) == 1)
            match key:
                case "changed":
                    changed = True
                    if self._line.notice == TOO_LONG:
                        self._terminal.drain()
                        break
                case "enter":
                    if self._more(chunk, at + 1):
                        self._line.refuse(MORE_LINES)
                        self._terminal.drain()
                        changed = True
                        break
                    given = self._give()
                    if given is not None:
                        return "given", given
                    changed = True
                    break
                case "leave":
                    return self._end("left")
                case "gpg" | "reset":
                    if self._ends(key):
                        return self._end(key)
                    changed = True
                case _:
                    pass
        if changed:
            self._tell()
        return None

    def _more(self, chunk: bytearray, at: int) -> bool:
        """Whether text follows an enter so closely that it was pasted with it."""
        if any(byte > 0x20 for byte in chunk[at:]):
            return True
        while self._terminal.ready(PASTE_GOES_ON):
            rest = self._terminal.read()
            text = any(byte > 0x20 for byte in rest)
            gone = not rest
            wipe(rest)
            if text or gone:
                return text
        return False

    def _give(self) -> bytearray | None:
        raw = self._line.text
        text = trimmed(self._kind, raw)
        wipe(raw)
        told = self._form(text)
        why = self._refused(text) if told.good else ""
        if told.good and not why:
            self._typed(told)
            self._line.wipe()
            return text
        if why:
            self._line.refuse(why)
        wipe(text)
        return None

    def _end(self, how: Ended) -> tuple[Ended, bytearray]:
        self._line.wipe()
        return how, bytearray()

    def _form(self, text: bytearray) -> Form:
        return form(self._kind, text)

    def _ends(self, key: Key) -> bool:
        """Whether it is for somebody else to do what this key asks."""
        return True

    def _tell(self) -> None:
        raw = self._line.text
        text = trimmed(self._kind, raw)
        told = self._form(text)
        wipe(raw)
        wipe(text)
        if self._line.notice:
            told = replace(told, shape=self._line.notice, good=False)
        self._typed(told)
