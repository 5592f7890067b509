"""The console's keyboard, lent to the keyholder: for that time this process reads no byte of it.

Only so is no share ever in the console's memory: what is read becomes a str, which Python cannot
overwrite. Output goes on meanwhile, so the screen lives while the person types.
"""

from __future__ import annotations

import asyncio
import contextlib
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from labtui.keyholder.holder import HolderError
from labtui.keyholder.keyboard import own_terminal

if TYPE_CHECKING:
    from textual.app import App
    from textual.drivers.linux_driver import LinuxDriver

KITTY_OFF, KITTY_ON = "\x1b[<u", "\x1b[>25u"
"""The keys as bytes, and again as Textual's driver asks for them: disambiguated, all keys, text."""
RESIZE_OFF, RESIZE_ON = "\x1b[?2048l", "\x1b[?2048h"
"""Sizes told among the keys; while they are lent SIGWINCH tells them."""
FOCUS_OFF, FOCUS_ON = "\x1b[?1004l", "\x1b[?1004h"
# Bracketed paste (2004) stays on: the keyholder sees by it where a paste begins and ends.


class ScreenKeyboard:
    """Lent again while it is: the same loan."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._path = ""
        self._had_resize = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[str]:
        """Raises HolderError where there is no terminal (a test's, a browser's)."""
        if self._path:
            yield self._path
            return
        driver: Any = self._app._driver
        if getattr(driver, "_key_thread", None) is None or not driver.input_tty:
            raise HolderError("config", "this console has no terminal to type a secret on")
        self._path = own_terminal(driver.fileno)
        modes = None
        try:
            modes = await self._stop(driver)
            yield self._path
        finally:
            self._path = ""
            self._again(driver, modes)

    async def _stop(self, driver: LinuxDriver) -> list[Any]:
        """What Driver.disable_input does, without holding up the loop, and the modes before it."""
        from textual import constants

        driver._disable_mouse_support()
        self._had_resize = driver._in_band_window_resize
        if self._had_resize:
            driver._in_band_window_resize = False  # its SIGWINCH handler looks at this
            driver.write(RESIZE_OFF)
        driver.write(FOCUS_OFF)
        if not constants.DISABLE_KITTY_KEY:
            driver.write(KITTY_OFF)
        driver.flush()
        driver.exit_event.set()
        thread = driver._key_thread
        if thread is not None:  # it looks at the event every 0.1 s
            await asyncio.to_thread(thread.join)
        driver.exit_event.clear()
        with contextlib.suppress(termios.error):
            termios.tcflush(driver.fileno, termios.TCIFLUSH)
        return termios.tcgetattr(driver.fileno)

    def _again(self, driver: LinuxDriver, modes: list[Any] | None) -> None:
        """The keyboard is the console's again, whatever the keyholder did or how it ended."""
        from textual import constants

        ending = self._app._exit or not self._app.is_running
        if ending:  # the driver may have given the terminal back already: this comes after it
            modes = driver.attrs_before or modes
        with contextlib.suppress(termios.error):
            termios.tcflush(driver.fileno, termios.TCIFLUSH)
            if modes is not None:
                termios.tcsetattr(driver.fileno, termios.TCSANOW, modes)
        if ending:
            return
        thread = driver._key_thread
        if thread is None or not thread.is_alive():
            driver.exit_event.clear()
            driver._key_thread = Thread(target=driver._run_input_thread, name="textual-input")
            driver._key_thread.start()
        if not constants.DISABLE_KITTY_KEY:
            driver.write(KITTY_ON)
        driver.write(FOCUS_ON)
        if self._had_resize:
            driver._in_band_window_resize = True
            driver.write(RESIZE_ON)
        driver._enable_mouse_support()
        driver.flush()
