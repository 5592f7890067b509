"""What a share, a token or a value looks like, told without showing it. Pure.

Vault gives shares of 33 bytes, and of 32 where the key was not split: as hex or as base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import msgspec

BYTES = (32, 33)
"""Of a share; 32 where a server has but one."""
HEX, BASE64 = (64, 66), 44
"""Characters."""
LIMIT = 16 << 10
"""Bytes that can be typed or pasted; no token is as long."""
FILE_LIMIT = 64 << 10
"""Bytes that a file may decrypt to."""
PLAIN = "44 in base64 or 66 in hex"
_IS_HEX = re.compile(rb"[0-9a-fA-F]+")
_IS_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_TOKEN = re.compile(rb"(?:hvs|hvb|hvr|s|b|r)\.")
_BLANK = b" \t\r\n"


class Form(msgspec.Struct, frozen=True):
    """How far what was typed is from being sent."""

    count: int
    shape: str
    good: bool
    text: str | None = None
    """A file's name, as far as it is known to be one; None where it is a secret."""


def form(kind: str, text: bytearray) -> Form:
    """`kind`: share, token, value, or passphrase."""
    count = characters(text)
    if kind == "share":
        words, good = _share(text, count)
        return Form(count, f"{count}, {words}" if count else words, good)
    if kind == "token":
        if any(byte <= 0x20 or byte >= 0x7F for byte in text):
            return Form(count, f"{count}, no token has such characters", False)
        if decoded(text) is not None:
            return Form(count, f"{count}, this looks like a share, not like a token", False)
        said = "a token" if _TOKEN.match(text) else "characters"
        return Form(count, f"{count}, {said}" if count else "", bool(text))
    return Form(count, f"{count} characters" if count else "", bool(text))


def characters(text: bytearray) -> int:
    """UTF-8's continuation bytes do not count."""
    return sum(byte & 0xC0 != 0x80 for byte in text)


def _share(text: bytearray, count: int) -> tuple[str, bool]:
    if not text:
        return "", False
    if decoded(text) is not None:
        return "hex" if len(text) in HEX else "base64", True
    if _TOKEN.match(text):
        return "a token, not a share", False
    if not _IS_BASE64.fullmatch(text) and not _IS_BASE64.fullmatch(text + b"A"):
        return "with characters that no share has", False
    inner = unwrapped(text)
    if inner is not None and decoded(inner) is not None:
        return "base64 of a share: decode it once, base64 -d", False
    if inner is not None and inner[0] >= 0x80 and len(text) > 2 * HEX[1]:
        return "encrypted for its holder: give it as a gpg file", False
    if len(text) == BASE64 - 1:
        return f"one is missing: a share has {PLAIN}", False
    return f"a share has {PLAIN}", False


def unwrapped(text: bytearray) -> bytearray | None:
    try:
        return bytearray(base64.b64decode(text, validate=True)) or None
    except (binascii.Error, ValueError):
        return None


def decoded(text: bytearray) -> bytearray | None:
    """The bytes of a share, whichever way it is written; None where it is none. As Vault does, hex
    comes first."""
    if len(text) in HEX and _IS_HEX.fullmatch(text):
        return bytearray(binascii.unhexlify(text))
    if len(text) == BASE64 and _IS_BASE64.fullmatch(text):
        found = unwrapped(text)
        if found is not None and len(found) in BYTES:
            return found
    return None


def trimmed(kind: str, text: bytearray) -> bytearray:
    """Without what a paste or a file has around it: of a value only the last line's end."""
    if kind == "value":
        end = len(text)
        if text.endswith(b"\n"):
            end -= 2 if text.endswith(b"\r\n") else 1
        return text[:end]
    begin, end = 0, len(text)
    while begin < end and text[begin] in _BLANK:
        begin += 1
    while end > begin and text[end - 1] in _BLANK:
        end -= 1
    return text[begin:end]


def digest(text: bytearray, salt: bytes) -> str:
    """Tells a share from another one without telling either: keyed with the ceremony's salt."""
    found = decoded(text)
    said = hmac.new(salt, text if found is None else found, hashlib.sha256).hexdigest()
    wipe(found)
    return said


def wipe(text: bytearray | None) -> None:
    """Overwrites it and makes it empty."""
    if text is not None:
        text[:] = bytes(len(text))
        del text[:]
