"""LabApp: modes of the terminal, themes, signals, handing the terminal over. No data logic."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Event, Key

from labtui.config import Config
from labtui.keys import KeyMap
from labtui.registry import SUBJECTS
from labtui.screens.console import Console
from labtui.screens.keyboard import ScreenKeyboard
from labtui.screens.lab import LabScreen
from labtui.screens.welcome import Welcome
from labtui.session import Session
from labtui.slurm.client import SlurmClient
from labtui.views.summary import alarm_of
from labtui.widgets.palette import ANSI, MONO, Palette, themed

CLOSE_TIMEOUT = 3.0
"""Seconds after a signal until the process ends whatever still hangs."""
LOADED = 10.0
"""Seconds after which all libraries are there. They are then taken out of Python's search for
cycles, which else goes through them again and again, for 60 ms each time."""


def _collect_again() -> None:
    """Where the launch put it off: what was loaded for the first frame stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


class LabApp(Console):
    """The console over one session."""

    CSS_PATH = "labtui.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", show=False, priority=True, id="app.leave"),
        Binding("ctrl+c", "leave_hint", show=False, id="app.hint"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's own type

    def __init__(
        self,
        config: Config | None,
        *,
        screen: str = "nodes",
        read_only: bool = False,
        ascii_mode: bool = False,
        make_session: Callable[[Config, bool], Session] | None = None,
        begun: SlurmClient | None = None,
    ) -> None:
        # With NO_COLOR Textual would turn the terminal's own colours into black and grey.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.config = config
        self.first_screen = screen
        self.ascii_mode = ascii_mode or (config.ui.ascii if config else False)
        self.set_class(self.ascii_mode, "-ascii")
        self.keys = KeyMap(config.keys if config else {})
        self.keyboard = ScreenKeyboard(self)
        self.palette: Palette = MONO if self.no_color else ANSI
        self._read_only = read_only
        self._make = make_session or (lambda c, r: Session(c, read_only=r, slurm=begun))
        self._session: Session | None = None
        self.animation_level = "none"

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    def alarm(self) -> str:
        if self._session is None:
            return ""
        return alarm_of(SUBJECTS, self._session.store, self._session.config, time.time())

    def on_mount(self) -> None:
        self.use_theme(self.config.ui.theme if self.config else "")
        self._watch_signals()
        self.call_after_refresh(_collect_again)
        if self.config is None:
            self.push_screen(Welcome())
            return
        self.start(self.config)

    def start(self, config: Config) -> None:
        """Connect and show the lab. The first frame comes before any connection."""
        self.config = config
        self._session = self._make(config, self._read_only)
        self.push_screen(LabScreen(self.first_screen))
        self.set_timer(LOADED, gc.freeze)

    def use_theme(self, name: str) -> str | None:
        """Switch the theme; says in a sentence when there is none of that name."""
        name = name or "ansi-dark"
        if self.no_color:
            name = "ansi-dark"
        if name not in self.available_themes:
            known = ", ".join(sorted(self.available_themes))
            return f"no theme {name!r}; there are {known}"
        self.theme = name
        if not self.no_color:
            self.palette = ANSI if self.current_theme.ansi else themed(self)
        self.refresh()
        return None

    def action_leave(self) -> None:
        self.exit(None)

    def action_leave_hint(self) -> None:
        say = getattr(self.screen, "say", None)
        if say:
            say("q quits labtui")

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key):
            if event.key == "ctrl+j":  # enter, typed before the terminal was this program's
                event = Key("enter", "\r")
            early = getattr(self.screen, "early_key", None) if self.screen_stack else None
            if event.key == "ctrl+z" or (early is not None and early(event)):
                return
        await super().on_event(event)

    # The terminal, handed over and taken back

    async def hand_over(self, argv: Sequence[str]) -> int:
        """Give the terminal to another program until it ends; collectors go on meanwhile.

        Repaints must stop for that time: Textual's writer would fill up and hang for good. An
        exception must not skip the resume, which Textual's own context manager would do.
        """
        failure: BaseException | None = None
        process: asyncio.subprocess.Process | None = None
        rc = 127
        with self.suspend(), self.batch_update():
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    env=os.environ | ({"NO_COLOR": "1"} if self.no_color else {}),
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )
                rc = await process.wait()
            except BaseException as error:  # noqa: BLE001 - raised again after the resume
                failure = error
                if process is not None:
                    await _end(process)
            finally:
                signal.signal(signal.SIGINT, before)
        self.refresh(layout=True)
        if failure:
            raise failure
        return rc

    # Ending, however it comes

    def _fatal_error(self) -> None:
        """A crash as a plain traceback: Textual's own shows local variables, and one may be a
        share or a token."""
        from rich.segment import Segments
        from rich.traceback import Traceback

        rendered = self.console.render(Traceback(show_locals=False), self.console.options)
        self._exit_renderables.append(Segments(rendered))
        self._close_messages_no_wait()

    def _watch_signals(self) -> None:
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: int) -> None:
        """SIGTERM, SIGHUP: leave a clean terminal; never outlive it by more than CLOSE_TIMEOUT."""
        watchdog = threading.Timer(CLOSE_TIMEOUT, os._exit, (128 + number,))
        watchdog.daemon = True
        watchdog.start()
        self.exit(None, return_code=128 + number)

    async def on_unmount(self) -> None:
        if self._session:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._session.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started, as a closed terminal would: labtui leaves no orphan."""
    for pid in reversed(_family(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await process.wait()


def _family(pid: int) -> list[int]:
    """A process and its descendants, parents first."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            pids += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return pids
