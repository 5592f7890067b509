"""What Vault answers, in words: which right is missing and where, and what can be done about it.

Nothing that was sent is ever repeated: of an error's body only known sentences are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labtui.keyholder.operation import Door, Refused
from labtui.sources.base import SourceError
from labtui.text import inert

_TOLD = (
    "check-and-set parameter", "no handler for route", "path already in use", "sanity check failed",
    "unsupported path", "missing client token", "cannot be disabled", "permission denied",
    "standby mode", "failed to parse policy", "invalid duration", "not within",
    "existing mount at", "bind_secret_id",
)  # fmt: skip
"""Words of Vault's own errors that are worth telling."""
MOST = 240
"""Characters that are told of one."""


@contextmanager
def answered(door: Door, right: str, path: str, *, absent: str = "") -> Iterator[None]:
    """Turns what hvac and requests raise into Refused and SourceError.

    `right`: the capability that the call needs on `path`, as policies call it. `absent`: what a
    404 means.
    """
    import hvac.exceptions as said

    from labtui.sources.http import explain

    who = f"Vault on {inert(door.node, 60)}"
    where = inert(path, 120)
    try:
        yield
    except (Refused, SourceError):
        raise
    except said.VaultError as error:
        raise _of(error, who, right, where, absent) from None
    except Exception as error:  # noqa: BLE001 - a client of foreign data may raise anything
        raise explain(_bare(error), who, door.ca_file) from None


def _bare(error: Exception) -> Exception:
    """Without its request, whose body may be a secret."""
    for name in ("request", "response"):
        if hasattr(error, name):
            setattr(error, name, None)
    return error


def _of(error: Any, who: str, right: str, where: str, absent: str) -> Exception:
    import hvac.exceptions as said

    text = " ".join(map(str, error.errors or ()))
    low = text.lower()
    match error:
        case said.Forbidden() if "invalid token" in low:
            return Refused(f"{who} does not know this token: it expired, was revoked, or is of "
                           "another Vault")  # fmt: skip
        case said.Forbidden():
            return Refused(f"{who} forbids it: the token lacks `{right}` on {where}")
        case said.InvalidPath() if "no handler for route" in low:
            return Refused(f"{who}: nothing is mounted there: {where}")
        case said.InvalidPath():
            return Refused(f"{who}: {absent or f'there is no {where}'}")
        case said.VaultDown() if "no active" in low:
            return Refused(f"{who}: the set has no active server: see which are sealed or down")
        case said.VaultDown():
            return Refused(f"{who} is sealed: unseal it first")
        case said.VaultNotInitialized():
            return Refused(f"{who} is not initialised")
        case said.RateLimitExceeded():
            return Refused(f"{who}: asked too often, a quota is in the way: try again in a minute")
        case said.InvalidRequest():
            why = known(text)
            return Refused(f"{who} refuses {where}" + (f": {why}" if why else " (400)"))
    why = known(text)
    return SourceError("protocol", f"{who}: it failed at {where}" + (f": {why}" if why else ""))


def known(text: str) -> str:
    """The sentence of Vault's, where it is one of those that hold nothing that was sent.

    Of a long one its end: Vault writes causes behind what they caused.
    """
    line = next((w for w in text.splitlines() if any(t in w.lower() for t in _TOLD)), "")
    said = inert(line.strip().removeprefix("* "))
    return said if len(said) <= MOST else f"…{said[1 - MOST :]}"


def data(answer: Any, door: Door) -> dict[str, Any]:
    """The `data` of a good answer. Raises SourceError for a redirect or another shape."""
    found = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise odd(answer, door)
    return found


def done(answer: Any, door: Door) -> None:
    """A write was taken. Raises SourceError for a redirect."""
    if isinstance(answer, dict):
        return
    status = getattr(answer, "status_code", 0)
    if not 200 <= status < 300:
        raise odd(answer, door)


def odd(answer: Any, door: Door) -> SourceError:
    """Where it is taken for success, and is none."""
    who = f"Vault on {inert(door.node, 60)}"
    status = getattr(answer, "status_code", 0)
    if 300 <= status < 400:
        return SourceError("protocol", f"{who}: it redirects ({status}), which is not followed")
    return SourceError("protocol", f"{who}: the answer is not Vault's")


@contextmanager
def nothing_written() -> Iterator[None]:
    """Around what a writing operation reads first: a fault there leaves no doubt."""
    try:
        yield
    except SourceError as error:
        raise Refused(f"{error.fault.message}; nothing was written") from None
