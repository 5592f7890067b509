"""The console's side of the keyholder: start it, let it ask, let it act, let it go.

The one that runs is `python -m labtui.keyholder`: no core file, not to be traced, its memory
locked where that is allowed. It reads the terminal itself and tells only how much was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from labtui.keyholder.operation import Door
from labtui.spec import Wanted

Ended = Literal["given", "left", "gpg", "reset"]
"""enter; esc; the key for a file that gpg opens; the key that asks to reset the progress."""


class Typed(msgspec.Struct, frozen=True):
    """How far the person is, without what was typed."""

    count: int = 0
    """Characters."""
    shape: str = ""
    """What it looks like: `44, base64`; or what is wrong: `43, no share is so long`."""
    good: bool = False
    """It may be sent."""


class HolderError(Exception):
    """The keyholder could not do it: one sentence without secrets."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """`refused` by the server or a check, `unknown` (sent, no answer), else a FaultKind."""
        self.message = message


class Keyboard(Protocol):
    """Lends the terminal: for that time nobody else reads it."""

    def lend(self) -> AbstractAsyncContextManager[str]:
        """The path of the terminal. Raises HolderError where there is none."""
        ...


class Keyholder:
    """One process. Use it `async with`; at the end of that it is gone, and what it knew with it."""

    @classmethod
    def start(cls) -> Keyholder:
        raise NotImplementedError

    async def __aenter__(self) -> Keyholder:
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        raise NotImplementedError

    async def ask(
        self, wanted: Wanted, keyboard: Keyboard, typed: Callable[[Typed], None]
    ) -> Ended:
        """Have it typed or pasted. `typed` is called at each change. Raises HolderError."""
        raise NotImplementedError

    async def gpg(
        self, wanted: Wanted, path: str, keyboard: Keyboard, typed: Callable[[Typed], None]
    ) -> Ended:
        """Have gpg decrypt a file into it, through a pipe; its passphrase is asked where needed."""
        raise NotImplementedError

    async def call(self, id: str, door: Door, **params: Any) -> dict[str, Any]:
        """One operation of keyholder/operations on one server. Raises HolderError."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the process at once."""
        raise NotImplementedError
