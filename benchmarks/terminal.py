"""A program on a real pty, timed from outside: keys go in, bytes come out, /proc tells the rest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

WIDTH, HEIGHT = 160, 48
DOWN, UP = b"\x1b[B", b"\x1b[A"
KEY_S = 0.05
"""A person who holds a key down: one in so many seconds."""
TICKS = os.sysconf("SC_CLK_TCK")
ANSWERS = {
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",  # yes, this terminal knows synchronised output
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;22c",
}
"""What a program may ask a terminal, and what one would answer."""
UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?][0-9;]*[umq]|\x1bP.*?\x1b\\", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of processor time since the start."""

    own: float
    children: float
    """Of children that have ended and were waited for, and theirs."""


class Gone(Exception):
    """The program ended. What it last said is the message."""


class Terminal:
    """A pty of 160x48 with one program in it. `started` is the moment just before its exec."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, keep: Sequence[int] = ()
    ) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        """(when, what) was read."""
        self._drawn = 0
        self._display = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.ByteStream(self._display)
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            **(env or {}),
        }
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
                for fd in keep:
                    os.set_inheritable(fd, True)
                os.execvpe(argv[0], list(argv), environment)
            finally:
                os._exit(127)

    def take(self, timeout: float) -> bytes:
        """What is there within `timeout` s, b"" if nothing. Raises Gone."""
        if not select.select([self.fd], [], [], max(0.0, timeout))[0]:
            return b""
        try:
            chunk = os.read(self.fd, 1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            raise Gone(self.last_words())
        self.chunks.append((time.perf_counter(), chunk))
        for question, answer in ANSWERS.items():
            if question in chunk:
                os.write(self.fd, answer)
        return chunk

    def drain(self, seconds: float) -> int:
        """Bytes that come in a span of time."""
        end, size = time.perf_counter() + seconds, 0
        while chunk := self.take(end - time.perf_counter()):
            size += len(chunk)
        return size

    def read(self, quiet: float, timeout: float, needle: bytes = b"") -> tuple[bytes, float, float]:
        """What comes until `needle` was seen and then nothing for `quiet` seconds; and when the
        first and the last byte came."""
        data, first, last = b"", 0.0, 0.0
        end = time.perf_counter() + timeout
        while (now := time.perf_counter()) < end:
            chunk = self.take(quiet if data and needle in data else end - now)
            if not chunk:
                break
            last = self.chunks[-1][0]
            first = first or last
            data += chunk
        return data, first, last

    def send(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def key(self, key: bytes, quiet: float = 0.03, timeout: float = 60) -> tuple[int, float | None]:
        """Bytes that a key costs, and seconds to the first of them; None: there were none."""
        self.drain(0)
        start = time.perf_counter()
        self.send(key)
        data, first, _ = self.read(quiet, timeout)
        return len(data), first - start if data else None

    # -- what is on the screen --------------------------------------------------------------

    def shown(self, **wanted: Callable[[list[str]], bool]) -> dict[str, float]:
        """For each picture that was wanted and came: seconds from the start to its first moment.

        Drawn afterwards, from what was read since the last look: it costs the program nothing.
        """
        found: dict[str, float] = {}
        for when, chunk in self.chunks[self._drawn :]:
            with contextlib.suppress(Exception):  # pyte stumbles over sequences it does not know
                self._stream.feed(UNKNOWN_TO_PYTE.sub(b"", chunk))
            lines = list(self._display.display)
            for name, test in wanted.items():
                if name not in found and test(lines):
                    found[name] = when - self.started
        self._drawn = len(self.chunks)
        return found

    def screen(self) -> list[str]:
        """Its lines now."""
        self.shown()
        return list(self._display.display)

    def last_words(self) -> str:
        """The last line that the program left, for the reason why it ended."""
        lines = [line.strip(" │╰╯╭╮─") for line in self.screen()]
        return next((line for line in reversed(lines) if line), "it ended and said nothing")

    # -- what it costs ----------------------------------------------------------------------

    def cpu(self) -> Cpu:
        return cpu_of(self.pid)

    def memory(self) -> tuple[float, float]:
        """Resident MiB: now and at the most."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        now, most = (
            int(status.split(field)[1].split()[0]) / 1024 for field in ("VmRSS:", "VmHWM:")
        )
        return now, most

    def close(self) -> None:
        """End it and all it started."""
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def hold_key(
    terminal: Terminal,
    seconds: float,
    span: int = 35,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[float]:
    """Milliseconds to the first byte of each repaint, the cursor going `span` down, then up.

    Keys that a blocked program kept waiting count too, from when they were due.
    """
    delays: list[float] = []
    moves = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        meanwhile()
        start = time.perf_counter()
        key = DOWN if moves // span % 2 == 0 else UP
        _, took = terminal.key(key, quiet=0.02, timeout=10)
        moves += 1
        while took is not None and took > 0:
            delays.append(took * 1e3)
            took -= KEY_S
        terminal.drain(start + KEY_S - time.perf_counter())
    return delays


def cpu_of(pid: int) -> Cpu:
    """Of any process. Its children's counts are in it once they have been waited for."""
    text = Path(f"/proc/{pid}/stat").read_text()
    user, system, child_user, child_system = text.rpartition(")")[2].split()[11:15]
    return Cpu(
        (int(user) + int(system)) / TICKS,
        (int(child_user) + int(child_system)) / TICKS,
    )


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]
