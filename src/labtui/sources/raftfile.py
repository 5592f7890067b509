"""A raft snapshot of Vault, as a file: what it says of itself, and whether it is whole.

A gzipped tar of meta.json, state.bin (encrypted by Vault's own barrier), SHA256SUMS over both, and
SHA256SUMS.sealed, by which a server knows whether it was its own keys that made it.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path
from typing import Any

import msgspec

from labtui.text import inert

META_LIMIT = 1 << 20
"""Bytes of meta.json or of a list of sums; 200 in practice."""


class SnapshotError(Exception):
    """It is not a whole snapshot: one sentence."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size: int
    """Bytes of the file."""
    taken_at: float | None
    """Unix seconds, from the archive's own time stamps."""
    index: int
    """Of raft's log: how many entries it holds the effect of."""
    term: int
    servers: tuple[str, ...]
    """Node ids of the set it was taken from."""
    sha256: str
    """Of state.bin."""


def inspect(path: str) -> Snapshot:
    """Reads it whole, a piece at a time. Blocking. Raises SnapshotError."""
    name = inert(path, 160)
    try:
        with tarfile.open(path, "r:gz") as archive:
            found, small, taken = _members(archive)
        size = Path(path).stat().st_size
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SnapshotError(
            f"{name}: not a whole snapshot ({inert(error, 80)}); take another file"
        ) from None
    except OSError as error:
        raise SnapshotError(f"{name}: cannot be read: {error.strerror or error}") from None
    _check(found, small, name)
    try:
        meta: dict[str, Any] = msgspec.json.decode(small["meta.json"], type=dict[str, Any])
        servers = (meta.get("Configuration") or {}).get("Servers") or ()
        return Snapshot(
            path=path,
            size=size,
            taken_at=taken,
            index=int(meta["Index"]),
            term=int(meta["Term"]),
            servers=tuple(inert(server["ID"], 60) for server in servers),
            sha256=found["state.bin"],
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise SnapshotError(f"{name}: its meta.json is not one of Vault's; take another") from None


def _members(archive: tarfile.TarFile) -> tuple[dict[str, str], dict[str, bytes], float | None]:
    """SHA-256 of each member, the small ones whole, and the newest time stamp."""
    sums: dict[str, str] = {}
    small: dict[str, bytes] = {}
    taken: float | None = None
    for member in archive:
        file = archive.extractfile(member)
        if file is None or member.name in sums:
            continue
        digest = hashlib.sha256()
        kept = b""
        while piece := file.read(1 << 20):
            digest.update(piece)
            if member.size <= META_LIMIT and member.name != "state.bin":
                kept += piece
        sums[member.name] = digest.hexdigest()
        small[member.name] = kept
        if member.mtime > 0:
            taken = max(taken or 0.0, float(member.mtime))
    return sums, small, taken


def _check(found: dict[str, str], small: dict[str, bytes], name: str) -> None:
    listed = {
        parts[1]: parts[0]
        for line in small.get("SHA256SUMS", b"").decode(errors="replace").splitlines()
        if len(parts := line.split()) == 2
    }
    missing = {"meta.json", "state.bin"} - listed.keys() | {"meta.json", "state.bin"} - found.keys()
    if missing:
        raise SnapshotError(
            f"{name}: no snapshot of Vault's raft storage ({', '.join(sorted(missing))} missing)"
        )
    for member, digest in listed.items():
        if found.get(member) != digest:
            raise SnapshotError(
                f"{name}: {inert(member, 40)} is not what its SHA256SUMS says: it is damaged"
            )
