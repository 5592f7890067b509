"""Looks for secrets in whole processes and in files: in full and in pieces, however written."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PIECE = 12
"""Characters, or bytes, of a secret that count as a find."""
REGION = 1 << 30
"""Bytes of a mapping that are read, at most."""


def spellings(secret: str) -> list[bytes]:
    """A share as it was given, as hex, as base64 and as bytes."""
    raw = bytes.fromhex(secret) if len(secret) in (64, 66) else base64.b64decode(secret)
    return [base64.b64encode(raw), raw.hex().encode(), raw]


def pieces(secret: str) -> set[bytes]:
    return {
        form[at : at + PIECE] for form in spellings(secret) for at in range(len(form) - PIECE + 1)
    }


def found_in(data: bytes, secrets: Iterable[str]) -> list[str]:
    """What of which secret is in it, in words that do not tell it."""
    said: list[str] = []
    for number, secret in enumerate(secrets, 1):
        if any(form in data for form in spellings(secret)):
            said.append(f"share {number} in full")
        elif hits := sum(piece in data for piece in pieces(secret)):
            said.append(f"{hits} pieces of share {number}")
    return said


def image(pid: int) -> Iterator[tuple[str, bytes]]:
    """Every readable mapping of a process."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as mem:
        for line in maps:
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            begin, end = (int(part, 16) for part in span.split("-"))
            if "r" not in rights or end - begin > REGION or name[:1] == ["[vvar]\n"]:
                continue
            try:
                mem.seek(begin)
                yield (name[0].strip() if name else "heap"), mem.read(end - begin)
            except (OSError, ValueError):
                continue


def in_process(pid: int, secrets: list[str]) -> list[str]:
    program = Path(f"/proc/{pid}/comm").read_text().strip()
    return [
        f"{program} {pid}, {name}: {said}"
        for name, data in image(pid)
        for said in found_in(data, secrets)
    ]


def in_files(folder: Path, secrets: list[str]) -> list[str]:
    return [
        f"{path}: {said}"
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for said in found_in(path.read_bytes(), secrets)
    ]


class Watch:
    """Samples every process's arguments and environment for as long as it is open."""

    def __init__(self, secrets: list[str]) -> None:
        self._pieces = [
            form[at : at + PIECE]
            for secret in secrets
            for form in spellings(secret)
            for at in range(0, len(form) - PIECE + 1, PIECE)
        ]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks = 0
        self.found: set[str] = set()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            for pid in filter(str.isdigit, (path.name for path in Path("/proc").iterdir())):
                # This test's own tmux client has what it types as its argument.
                for what in ("cmdline", "environ"):
                    try:
                        data = Path(f"/proc/{pid}/{what}").read_bytes()
                    except OSError:
                        continue
                    if data.startswith(b"tmux\0"):
                        break
                    if any(piece in data for piece in self._pieces):
                        self.found.add(f"{what} of pid {pid}: {data[:60]!r}")
            self.looks += 1
            time.sleep(0.03)
