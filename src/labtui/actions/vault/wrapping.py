"""For whom shares and a token are wrapped, and into which folder: what is typed, checked."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from labtui.actions.base import ActionError
from labtui.sources.pgp import KeyFileError, PublicKey, read_key
from labtui.text import inert

MOST = 255
"""Shares that Vault makes at most; as many as have room in one order, see `ORDER`."""
ORDER = 700 << 10
"""Characters that all keys together may have in base64."""
KEY_ENDINGS = (".asc", ".gpg", ".pgp", ".pub")
"""Files that are taken from a folder."""


class FieldError(ActionError):
    """One field of what was typed cannot be: one sentence, and which field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Wrapping(msgspec.Struct, frozen=True):
    keys: tuple[PublicKey, ...]
    """One a share, in their order."""
    threshold: int
    folder: Path
    root: PublicKey | None = None
    """Whose the root token is to be."""

    @property
    def shares(self) -> int:
        return len(self.keys)

    def lines(self) -> list[str]:
        """Which share is whose, to be compared with what the holders say."""
        found = [f"{number}  {key}" for number, key in enumerate(self.keys, 1)]
        return [*found, f"root  {self.root}"] if self.root else found

    def risks(self) -> list[str]:
        """One who holds enough alone; a key that ends soon is its holder's affair."""
        found = []
        for print_, count in Counter(key.fingerprint for key in self.keys).items():
            holder = next(key.holder for key in self.keys if key.fingerprint == print_)
            if count >= self.threshold > 0:
                found.append(f"{holder} holds {count} shares: enough to unseal alone")
            elif count > 1:
                found.append(f"{holder} holds {count} of the {self.shares} shares")
        return found


async def wrapping(changes: Mapping[str, str], *, root: bool) -> Wrapping:
    """From `shares`, `threshold`, `pgp`, `root_pgp`, `out`. Raises FieldError for the first that
    cannot be; nothing is written."""
    shares = _number(changes, "shares", "shares")
    threshold = _number(changes, "threshold", "shares that are needed")
    if threshold > shares:
        text = f"{threshold} of {shares} can never be given: the threshold is at most {shares}"
        raise FieldError("threshold", text)
    if shares > 1 and threshold < 2:
        raise FieldError("threshold", "Vault wants 2 at least where there are several shares")
    paths = key_files(changes.get("pgp", ""))
    if len(paths) != shares:
        text = f"{shares} shares need {shares} public key files, one each; {len(paths)} named"
        raise FieldError("pgp", text)
    keys = [await _key(path, "pgp") for path in paths]
    if sum(len(key.data) for key in keys) > ORDER:
        raise FieldError("pgp", "these keys are too large together: export them minimal")
    owner = await root_key(changes) if root else None
    return Wrapping(tuple(keys), threshold, await folder(changes.get("out", "")), owner)


async def root_key(changes: Mapping[str, str], field: str = "root_pgp") -> PublicKey:
    """The one key of a root token. Raises FieldError."""
    paths = key_files(changes.get(field, ""), field)
    if len(paths) != 1:
        raise FieldError(field, "one public key file: of the person who gets the root token")
    return await _key(paths[0], field)


def key_files(text: str, field: str = "pgp") -> list[str]:
    """Names, quoted as in a shell; of a folder the keys in it, by name. Raises FieldError."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise FieldError(field, "a quote is not closed") from None
    found: list[str] = []
    for word in words:
        path = full(word)
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        if path.is_dir():
            inside = [p for p in inside if p.suffix in KEY_ENDINGS]
        found += map(str, inside)
    return found


def full(text: str) -> Path:
    """From what is typed, `~` and relative paths too: the keyholder works in another folder."""
    return Path(os.path.abspath(Path(text.strip()).expanduser()))  # noqa: PTH100 - links stay


async def folder(text: str, field: str = "out") -> Path:
    """An absolute folder that files can be written to. Raises FieldError."""
    if not text.strip():
        raise FieldError(field, "a folder that the wrapped files are written to")
    path = full(text)
    name = inert(path, 100)
    if not await asyncio.to_thread(path.is_dir):
        raise FieldError(field, f"{name}: no such folder; make it first: mkdir -m 700 {name}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise FieldError(field, f"{name}: this account may not write there")
    return path


def absent(path: Path, names: Sequence[str], field: str = "out") -> None:
    """None of these is there. Raises FieldError."""
    for name in names:
        if os.path.lexists(path / name):
            text = f"{inert(path / name, 120)} is there already: nothing is overwritten"
            raise FieldError(field, text)


async def _key(path: str, field: str) -> PublicKey:
    try:
        return await read_key(path)
    except KeyFileError as error:
        raise FieldError(field, str(error)) from None


def _number(changes: Mapping[str, str], field: str, words: str) -> int:
    text = changes.get(field, "").strip()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST:
        raise FieldError(field, f"how many {words}: a number from 1 to {MOST}")
    return int(text)
