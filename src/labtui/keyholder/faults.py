"""What went wrong in an operation, as a kind and one sentence without secrets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from labtui.keyholder.operation import Door, Operation, Refused
from labtui.keyholder.shape import decoded

SHORTEST = 6
"""Characters of a secret that are looked for in a message; shorter ones are in any word."""
HIDDEN = "(hidden)"
_NOT_SENT = frozenset({"refused", "unreachable", "tls", "not-found", "config", "host-key"})
"""Kinds of SourceError that come before anything was sent."""


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
    """Kind and sentence, not yet masked: `refused`, `unknown`, `sealed` or a FaultKind."""
    from labtui.sources.base import SourceError

    who = f"Vault at {door.address}"
    if isinstance(error, Refused):
        return "refused", str(error)
    if type(error).__module__ == "hvac.exceptions":
        return _of_vault(error, who)
    if not isinstance(error, SourceError):
        from labtui.sources.http import explain

        error = explain(error, who, door.ca_file)
    kind, message = error.fault.kind, error.fault.message
    if operation.writes and kind not in _NOT_SENT:
        return "unknown", f"{message}; whether it was done is not known"
    return kind, message


_KINDS = {
    "InvalidRequest": ("refused", "refuses this"),
    "Unauthorized": ("auth", "wants another login"),
    "Forbidden": ("permission", "does not allow this with the token that was given"),
    "InvalidPath": ("not-found", "has nothing there"),
    "RateLimitExceeded": ("refused", "is asked too often, or is a standby"),
    "InternalServerError": ("refused", "failed inside"),
    "VaultNotInitialized": ("refused", "is not initialised"),
    "BadGateway": ("unreachable", "is behind a proxy that does not reach it"),
    "UnexpectedError": ("protocol", "gave an answer of an unexpected kind"),
}


def _of_vault(error: Any, who: str) -> tuple[str, str]:
    """What Vault itself said: its own words come from outside."""
    name = type(error).__name__
    said = words(error)
    if name == "VaultDown":
        if "sealed" in said.lower():
            return "sealed", f"{who} is sealed"
        if "no active" in said.lower():
            return "unreachable", f"{who} has no active server behind it"
        return "unreachable", f"{who} is not available now{': ' + said if said else ''}"
    kind, text = _KINDS.get(name, ("protocol", "gave an error"))
    return kind, f"{who} {text}{': ' + said if said else ''}"


def words(error: Any) -> str:
    """The errors in Vault's answer, as one line."""
    from labtui.text import inert

    errors = getattr(error, "errors", None)
    found = [str(e) for e in errors] if isinstance(errors, list) else []
    # Vault's multi-line errors: "1 error occurred:\n\t* permission denied\n\n".
    texts = [inert(line.strip(" \t*"), 200) for e in found for line in e.splitlines()]
    kept = [t for t in texts if t and not t.endswith("occurred:")]
    return ", ".join(dict.fromkeys(kept))[:300]
