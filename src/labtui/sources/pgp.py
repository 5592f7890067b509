"""OpenPGP public keys that shares and tokens are wrapped for: read, checked, told to a person.

gpg judges them, in an empty home of its own: the person's key ring is neither read nor changed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import tempfile
import time
from pathlib import Path

import msgspec

from labtui.hosts.base import HostError
from labtui.hosts.local import execute
from labtui.text import inert

GPG = "gpg"
TIMEOUT = 20.0
"""Seconds for one call of gpg."""
KEY_LIMIT = 64 << 10
"""Bytes; an order to the keyholder holds a dozen of them."""
_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY_PACKETS = frozenset({0x98, 0x99, 0x9A, 0xC6})
"""First bytes of packet 6 (RFC 4880, 4.2), in the old and the new form."""


class KeyFileError(Exception):
    """A key file cannot be used: one sentence, which names it."""


class PublicKey(msgspec.Struct, frozen=True):
    """A key that something can be encrypted to."""

    path: str
    fingerprint: str
    """40 hex digits of the primary key, upper case."""
    holder: str
    """Its first user id: `Ana <ana@lab>`."""
    data: str
    """base64 of the binary key, as Vault wants it."""
    recipients: frozenset[str]
    """Long ids, 16 hex digits, of its keys that can encrypt."""
    expires: float | None = None
    """Unix seconds."""

    @property
    def short(self) -> str:
        """What file names have of the fingerprint."""
        return self.fingerprint[-8:]

    def __str__(self) -> str:
        groups = " ".join(re.findall("....", self.fingerprint))
        return f"{self.holder}  {groups}"


async def read_key(path: str, now: float | None = None) -> PublicKey:
    """The one public key in a file, armoured or binary. Raises KeyFileError."""
    name = inert(path, 120)
    armoured = await asyncio.to_thread(_first_bytes, path, name)
    listing = await _gpg(["--with-colons", "--show-keys", "--", path], name)
    key = _listed(listing, path, name, time.time() if now is None else now)
    raw = await asyncio.to_thread(Path(path).read_bytes)
    data = _unarmoured(raw, name) if armoured else raw
    return PublicKey(
        key.path, key.fingerprint, key.holder, base64.b64encode(data).decode(), key.recipients,
        key.expires,
    )  # fmt: skip


async def recipients(path: str) -> frozenset[str]:
    """Long ids of the keys that an encrypted file is addressed to. Raises KeyFileError."""
    text = await _gpg(["--list-only", "--list-packets", "--", path], inert(path, 120), rcs=(0, 2))
    return frozenset(re.findall(r"^:pubkey enc packet:.* keyid ([0-9A-F]{16})$", text, re.M))


def _first_bytes(path: str, name: str) -> bool:
    """Whether it is armoured. No more than its first bytes is read before it is known to be public:
    a private key, given by mistake, does not get into this process."""
    try:
        if Path(path).stat().st_size > KEY_LIMIT:
            raise KeyFileError(
                f"{name}: larger than 64 KiB; export it bare: "
                "gpg --export-options export-minimal --armor --export NAME"
            )
        with Path(path).open("rb") as file:
            head = file.read(len(_ARMOUR) + 1)
    except OSError as error:
        raise KeyFileError(f"{name}: cannot be read: {error.strerror}") from None
    if b"PRIVATE" in head or head[:1] in (b"\x94", b"\x95", b"\xc5"):
        raise KeyFileError(
            f"{name}: a private key, which nobody should have given away; export the public one: "
            "gpg --armor --export NAME"
        )
    if head.lstrip().startswith(_ARMOUR[:20]):
        return True
    if not head or head[0] not in _PUBLIC_KEY_PACKETS:
        raise KeyFileError(f"{name}: not an OpenPGP public key; export one: gpg --export NAME")
    return False


def _unarmoured(raw: bytes, name: str) -> bytes:
    """RFC 4880, 6.2: headers, an empty line, base64, a checksum."""
    block = re.search(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\n:]+:[^\n]*\n)*[ \t\r]*\n"
        rb"(.*?)\n(?:=[A-Za-z0-9+/]{4}\r?\n)?-----END PGP",
        raw,
        re.S,
    )
    try:
        return base64.b64decode(b"".join(block[1].split()) if block else b"?", validate=True)
    except binascii.Error:
        raise KeyFileError(f"{name}: its armour is damaged; export the key again") from None


def _listed(listing: str, path: str, name: str, now: float) -> PublicKey:
    """What `gpg --show-keys` says of it (doc/DETAILS has the fields)."""
    lines = [line.split(":") for line in listing.splitlines()]
    kinds = [line[0] for line in lines]
    if "sec" in kinds:
        raise KeyFileError(f"{name}: holds a private key; export the public one")
    if kinds.count("pub") != 1:
        found = f"holds {kinds.count('pub')} keys" if "pub" in kinds else "holds no OpenPGP key"
        raise KeyFileError(f"{name}: {found}; name a file with one public key")
    fields = dict(zip(kinds[::-1], lines[::-1], strict=True))  # the first of each kind
    primary = fields["pub"]
    expires = float(primary[6]) if primary[6].isdigit() else None
    holder = inert(_unescaped(fields["uid"][9]), 80) if "uid" in fields else "(no user id)"
    if primary[1] == "r" or "D" in primary[11]:
        raise KeyFileError(f"{name}: the key of {holder} is revoked; ask for the new one")
    if primary[1] == "e" or (expires is not None and expires <= now):
        raise KeyFileError(f"{name}: the key of {holder} has expired; ask for a renewed one")
    usable = frozenset(
        line[4].upper()
        for line in lines
        if line[0] in ("pub", "sub")
        and "e" in line[11]
        and line[1] not in ("r", "e", "i")
        and not (line[6].isdigit() and float(line[6]) <= now)
    )
    if not usable:
        raise KeyFileError(
            f"{name}: the key of {holder} can only sign; a subkey that encrypts is needed: "
            "gpg --quick-add-key FINGERPRINT cv25519 encr"
        )
    return PublicKey(path, fields["fpr"][9].upper(), holder, "", usable, expires)


def _unescaped(text: str) -> str:
    r"""Colons and control characters are `\x3a` in gpg's listings."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda hit: chr(int(hit[1], 16)), text)


async def _gpg(argv: list[str], name: str, rcs: tuple[int, ...] = (0,)) -> str:
    with tempfile.TemporaryDirectory(prefix="labtui-") as home:
        call = [GPG, "--homedir", home, "--batch", "--no-autostart", "--fixed-list-mode", *argv]
        try:
            rc, out, err = await execute(call, None, TIMEOUT, name)
        except HostError as error:
            raise KeyFileError(f"{name}: {error.message}") from None
    if rc == 127:
        raise KeyFileError("gpg is not installed here: apt-get install gpg")
    if rc not in rcs:
        said = [line for line in err.decode(errors="replace").splitlines() if home not in line]
        said = [line.removeprefix("gpg: ") for line in said if "no gpg-agent" not in line]
        raise KeyFileError(f"{name}: gpg cannot read it: {inert('; '.join(said), 120) or rc}")
    return out.decode(errors="replace")
