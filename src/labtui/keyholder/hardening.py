"""What the keyholder does to itself before it reads anything: no core, no tracing, no swap."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
"""linux/prctl.h."""
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
"""linux/mman.h. On fault: threads' stacks of 8 MiB are not filled only to be locked."""


class Hardened(msgspec.Struct, frozen=True):
    """What was allowed."""

    dumpable: bool
    """It can be traced, and read by others of the same user, after all."""
    locked: bool
    """None of its memory is ever written to swap."""


def harden(parent: int) -> Hardened:
    """Ends the process at once where the console, `parent`, has gone already."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    dumpable = libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Not SIGKILL: its handler gives the terminal its modes back first.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    locked = libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0
    os.chdir("/")
    return Hardened(dumpable, locked)


def quiet(leave: Callable[[str], None]) -> None:
    """An exception that nobody caught tells its type and nothing else: a frame may hold a share.

    `leave` is called with that name, once, and ends the process.
    """

    def hook(kind: type[BaseException], _error: BaseException, _at: TracebackType | None) -> None:
        leave(kind.__name__)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        leave(args.exc_type.__name__)

    def unraisable(_args: Any) -> None:
        return

    sys.excepthook = hook
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
