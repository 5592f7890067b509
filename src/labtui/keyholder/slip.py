"""A share or a token where another word belongs: as an argument, or as a file's name."""

from __future__ import annotations

import os
import re
from typing import Literal

from labtui.keyholder.shape import decoded, unwrapped

_WORD = re.compile(r"[A-Za-z0-9+/._][A-Za-z0-9+/._-]*={0,2}")
_TOKEN = re.compile(r"(?:hvs|hvb|hvr|s|b|r)\.[A-Za-z0-9_-]{24,}(?:\.[A-Za-z0-9]{5})?={0,2}")
"""With the namespace that Vault Enterprise adds; a file's ending has three letters."""


def slipped(text: str) -> Literal["", "share", "token"]:
    """What a server would take of this text, whatever stands around it. The name of a file that
    is there is none."""
    for word in _WORD.findall(text):
        kind: Literal["", "share", "token"] = (
            "token" if _TOKEN.fullmatch(word) else "share" if _is_share(word) else ""
        )
        if kind and not os.path.lexists(word):
            return kind
    return ""


def _is_share(word: str) -> bool:
    """As hex or base64, or what `base64` made of either."""
    text = bytearray(word, "ascii")
    inner = unwrapped(text)
    return decoded(text) is not None or (inner is not None and decoded(inner) is not None)
