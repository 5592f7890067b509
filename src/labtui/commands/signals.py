"""Signals to a command: what is under way is broken off and told, what only waits is ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import Any


def heeded() -> list[int]:
    """From here on SIGTERM and SIGHUP cancel the current task, as ctrl+c does: so the audit gets
    its line, and what was started is ended. Those that came are told; a second SIGTERM ends the
    process as it is. What is ignored, as by nohup, stays so.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def stop(number: signal.Signals) -> None:
        if not came:  # a terminal that goes sends more than one
            task.cancel()
        came.append(number)
        if number == signal.SIGTERM:
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)
    return came


@contextlib.contextmanager
def at_prompt() -> Iterator[None]:
    """Around a question for which the loop stands still: nothing is under way, and no handler of
    the loop's would be called, so signals do at once what they do by themselves."""
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    kept = {
        number: signal.signal(number, handler)
        for number, handler in usual.items()
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
