"""The lab's network namespace: entered before anything is sent, or nothing is sent at all."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import threading
from pathlib import Path
from typing import Literal

NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000


class NamespaceError(Exception):
    """We are not in the lab's namespace. One sentence; nothing may be sent."""

    def __init__(self, kind: Literal["lab-down", "permission", "config"], message: str) -> None:
        super().__init__(message)
        self.kind: Literal["lab-down", "permission", "config"] = kind
        self.message = message


def enter(name: str) -> None:
    """Move this process into the namespace `name`; its children and threads follow.

    setns moves the calling thread alone, hence: main thread, before there is any other. Raises
    NamespaceError; then this process is where it was.
    """
    path = _path(name)
    if inside(name):
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _down() from None
    except OSError as error:
        raise _refused(error.errno) from None
    try:
        if threading.current_thread() is not threading.main_thread() or threads() > 1:
            text = "the lab's namespace must be entered before any thread starts"
            raise NamespaceError("config", text)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise _refused(ctypes.get_errno())
    finally:
        os.close(fd)


def inside(name: str) -> bool:
    """Whether this process is in the namespace that has this name now."""
    try:
        named = os.stat(_path(name))  # noqa: PTH116
        own = os.stat("/proc/self/ns/net")  # noqa: PTH116
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)


def threads() -> int:
    """Threads of this process, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def _path(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise NamespaceError("config", "lab.namespace: letters, digits, '.', '_' and '-' only")
    return NETNS / name


def _down() -> NamespaceError:
    return NamespaceError("lab-down", "the lab is not up: start it with `labtui lab up`")


def _refused(code: int | None) -> NamespaceError:
    if code in (errno.EPERM, errno.EACCES):
        return NamespaceError("permission", "entering the lab's network needs root: use sudo")
    if code == errno.EINVAL:  # the file is there, the namespace is not: what a crash leaves
        return _down()
    return NamespaceError("lab-down", f"the lab's network: {os.strerror(code or 0).lower()}")
