"""A real terminal for tests: tmux on a socket of its own, driven and read from outside."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence

import pytest

WAIT = 20.0
PATIENCE = 3.0
"""A machine with other work may take so many times as long. What comes in time costs no more by it;
what must be quick is measured by its test."""


class Terminal:
    """One tmux server with one window: keys go in as pressed, the screen comes out."""

    def __init__(self, argv: Sequence[str], size: tuple[int, int], env: dict[str, str]) -> None:
        self.socket = f"labtui-test-{uuid.uuid4().hex[:8]}"
        self.session = "t"
        width, height = size
        settings = [f"-e{k}={v}" for k, v in env.items()]
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", self.session, "-x", str(width),
            "-y", str(height), *settings, "--", "sh", "-c",
            # What is left on the terminal after the program ends stays to be read.
            'stty -echo; "$@"; echo "ended with $?"; stty -a | grep -o -e "-*icanon"; sleep 600',
            "sh", *argv,
        )  # fmt: skip
        self._tmux("set-option", "-g", "window-size", "manual")

    def _tmux(self, *args: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, *args],
            capture_output=True, text=True, timeout=10, check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("TMUX")},
        )  # fmt: skip
        return done.stdout

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", self.session)

    @property
    def scrollback(self) -> str:
        """Everything that the terminal kept, of both its screens."""
        kept = self._tmux("capture-pane", "-p", "-S", "-", "-t", self.session)
        return kept + self._tmux("capture-pane", "-p", "-a", "-q", "-S", "-", "-t", self.session)

    def line(self, text: str) -> str:
        """The first line that holds `text`, or ''."""
        return next((line for line in self.screen.splitlines() if text in line), "")

    def keys(self, *keys: str) -> None:
        """tmux key names: `Enter`, `Escape`, `C-r`, `n`."""
        for key in keys:
            self._tmux("send-keys", "-t", self.session, key)
            # What follows an escape at once is read as one key with it.
            time.sleep(0.2 if key == "Escape" else 0.05)

    def press(self, key: str) -> None:
        """Without waiting until the next one."""
        self._tmux("send-keys", "-t", self.session, key)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", self.session, "-l", text)

    def paste(self, text: str) -> None:
        """As a terminal pastes: in brackets where the program asked for them."""
        subprocess.run(
            ["tmux", "-L", self.socket, "load-buffer", "-b", "paste", "-"], input=text, text=True,
            timeout=10, check=True, env={k: v for k, v in os.environ.items() if k[:4] != "TMUX"},
        )  # fmt: skip
        self._tmux("paste-buffer", "-d", "-p", "-r", "-b", "paste", "-t", self.session)

    def wait(self, pattern: str, timeout: float = WAIT) -> str:
        """The screen as soon as `pattern` (a regex) is on it, and what is drawn with it."""
        timeout *= PATIENCE
        end = time.monotonic() + timeout
        screen = ""
        while time.monotonic() < end:
            screen = self.screen
            if re.search(pattern, screen, re.MULTILINE):
                return self._drawn(pattern, screen)
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} did not come within {timeout} s; the screen:\n{screen}")

    def _drawn(self, pattern: str, screen: str) -> str:
        """The screen once it stands still: a dialog's title may be there a frame before its text.

        Something may always move, so not for long; and what `pattern` leaves again was there.
        """
        for _ in range(10):
            time.sleep(0.05)
            later = self.screen
            if later == screen or not re.search(pattern, later, re.MULTILINE):
                return screen
            screen = later
        return screen

    def gone(self, pattern: str, timeout: float = WAIT) -> str:
        timeout *= PATIENCE
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            screen = self.screen
            if not re.search(pattern, screen, re.MULTILINE):
                return screen
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} did not go within {timeout} s; the screen:\n{screen}")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-t", self.session, "-x", str(width), "-y", str(height))

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the program's terminal."""
        said = self._tmux(
            "display-message", "-p", "-t", self.session, "#{pane_width} #{pane_height}"
        )
        width, height = said.split()
        return int(width), int(height)

    @property
    def pids(self) -> list[int]:
        """Pids of the program and what it started, the shell around it left out."""
        top = self._tmux("display-message", "-p", "-t", self.session, "#{pane_pid}").strip()
        found: list[int] = []
        todo = [top]
        while todo:
            children = subprocess.run(
                ["pgrep", "-P", todo.pop()], capture_output=True, text=True, check=False
            ).stdout.split()
            found += map(int, children)
            todo += children
        return found

    def kill(self) -> None:
        self._tmux("kill-server")


@contextlib.contextmanager
def terminal(*argv: str, size: tuple[int, int] = (80, 24), **env: str) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed: the terminal tests need it")
    run = Terminal(argv, size, {"LANG": "C.UTF-8", **env})
    try:
        yield run
    finally:
        run.kill()
