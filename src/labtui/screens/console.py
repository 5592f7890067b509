"""What a screen may expect of the app that it runs in. `app.LabApp` is the one there is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

from textual.app import App
from textual.screen import Screen

from labtui.config import Config
from labtui.keyholder.holder import Keyboard
from labtui.keys import KeyMap
from labtui.session import Session


class Console(App[str | None]):
    """The app as screens see it: so that they need not import it, and it may import them."""

    keys: KeyMap
    ascii_mode: bool
    keyboard: Keyboard
    """This console's own, to be lent while a secret is typed."""

    @property
    @abstractmethod
    def session(self) -> Session:
        """Everything alive behind the screens."""

    @abstractmethod
    def alarm(self) -> str:
        """What has to be seen whatever screen is open; empty where nothing has."""

    @abstractmethod
    def start(self, config: Config) -> None:
        """Connect to what `config` names and show it."""

    @abstractmethod
    def use_theme(self, name: str) -> str | None:
        """Switch the theme; a sentence when there is none of that name."""

    @abstractmethod
    async def hand_over(self, argv: Sequence[str]) -> int:
        """Give the terminal to another program until it ends; its exit status."""


def console(screen: Screen[object]) -> Console:
    """The app of a screen, as what it is."""
    return cast("Console", screen.app)
