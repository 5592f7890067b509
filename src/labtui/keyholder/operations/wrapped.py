"""Files for what Vault wraps with somebody's PGP key: room is made before anything is asked.

An answer with shares comes once. So each file is there, with its room on the disk taken, before
the request is sent; a file that has the name already is never touched.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from labtui.keyholder.operation import Refused

ROOM = 16 << 10
"""Bytes kept free for each file; a share wrapped for RSA 4096 has 1.2 KB."""
ELSEWHERE = (Path("/var/tmp"), Path("/dev/shm"))
_ENCRYPTED = (0xC1, 0x84, 0x85, 0x86)
"""First bytes of a message for a public key (packet 1, RFC 4880, 4.2)."""


class Files:
    """One file for each wrapped thing. Leaving the `with` drops those that were not written."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self._folder = Path(folder)
        self._paths = [self._folder / name for name in names]
        self._mine: list[Path] = []

    def __enter__(self) -> Files:
        """Raises Refused, with nothing left behind."""
        try:
            for path in self._paths:
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
                self._mine.append(path)
                try:
                    os.posix_fallocate(fd, 0, ROOM)
                    os.fsync(fd)
                finally:
                    os.close(fd)
        except FileExistsError:
            there = self._paths[len(self._mine)]
            self._drop()
            raise Refused(f"{there} is there already: nothing is overwritten") from None
        except OSError as error:
            self._drop()
            raise Refused(f"{self._folder} cannot take the files: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._drop()

    def write(self, texts: Sequence[str]) -> list[str]:
        """All of them, on the disk when it returns: their paths. Raises OSError."""
        for path, text in zip(self._paths, texts, strict=True):
            # Over the room that was taken, then cut: a full disk does not matter any more.
            with path.open("r+b") as file:
                file.write(text.encode())
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._mine.clear()
        return [str(path) for path in self._paths]

    def _drop(self) -> None:
        while self._mine:
            with contextlib.suppress(OSError):
                self._mine.pop().unlink()


def kept(files: Files, names: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Written where it was meant, or, should the disk fail in that moment, elsewhere on this
    machine; as a last resort the texts themselves, which only their holders can open.

    `files`, and where that went wrong `why` and `unwritten`.
    """
    try:
        return {"files": files.write(texts)}
    except OSError as error:
        why = error.strerror or "it failed"
    for folder in (Path.home(), *ELSEWHERE):
        try:
            with Files(str(folder), names) as others:
                return {"files": others.write(texts), "why": why}
        except (Refused, OSError):
            continue
    return {"files": [], "unwritten": dict(zip(names, texts, strict=True)), "why": why}


def armoured(text: str, comment: str) -> str:
    """base64, as Vault gives it, as an armoured message that gpg opens.

    Raises Refused where it is no message for a public key: it might be the share itself.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        data = b""
    if not data or data[0] not in _ENCRYPTED:
        raise Refused("the server's answer is not wrapped by PGP: it was not written anywhere")
    lines = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
    check = base64.b64encode(_crc24(data).to_bytes(3, "big")).decode()
    note = comment.encode("ascii", "replace").decode()
    return (
        f"-----BEGIN PGP MESSAGE-----\nComment: {note}\n\n{lines}\n={check}\n"
        "-----END PGP MESSAGE-----\n"
    )


def _crc24(data: bytes) -> int:
    """RFC 4880, 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc
