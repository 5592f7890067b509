"""What went wrong in an operation, as a kind and one sentence without secrets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from labtui.keyholder.operation import UNSENT, Door, Operation, Refused
from labtui.keyholder.shape import decoded

SHORTEST = 6
"""Characters of a secret that are looked for in a message; shorter ones are in any word."""
HIDDEN = "(hidden)"


def masker(secrets: Iterable[bytearray]) -> Callable[[str], str]:
    """Replaces each secret, and a share's other spellings, wherever a text has one."""
    forms: set[str] = set()
    for secret in secrets:
        text = secret.decode("utf-8", "replace").strip()
        forms |= {text, base64.b64encode(secret).decode()}
        share = decoded(secret)
        if share is not None:
            plain = binascii.hexlify(share).decode()
            forms |= {plain, plain.upper(), base64.b64encode(share).decode()}
    looked_for = sorted((f for f in forms if len(f) >= SHORTEST), key=len, reverse=True)

    def mask(text: str) -> str:
        for form in looked_for:
            text = text.replace(form, HIDDEN)
        return text

    return mask


def masked(value: Any, mask: Callable[[str], str]) -> Any:
    """JSON with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked(k, mask): masked(v, mask) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, mask) for item in value]
    return value


def fault(error: Exception, operation: Operation, door: Door) -> tuple[str, str]:
    """Kind and sentence, not yet masked: `denied`, `unknown` or a FaultKind. What Vault itself
    says no with is Refused by then (operations/answers.py, operations/request.py)."""
    from labtui.sources.base import SourceError

    if isinstance(error, Refused):
        return "denied", str(error)
    if not isinstance(error, SourceError):
        from labtui.sources.http import explain

        error = explain(error, f"Vault at {door.address}", door.ca_file)
    kind, message = error.fault.kind, error.fault.message
    if operation.writes and kind not in UNSENT:
        return "unknown", f"{message}; whether it was done is not known"
    return kind, message
