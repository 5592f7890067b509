"""One request of an operation: its answer as a dict, or what the server said as one sentence."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations.answers import answered, odd
from labtui.text import inert

_PROXY = (502, 504)
"""What a proxy says for a server that may have done it."""


class Answered(Refused):
    """The server said no."""

    def __init__(self, status: int, message: str, words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.words = words
        """Its own, and nothing else; empty where it said none."""


def request(
    door: Door,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    token: bytearray | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """The answer's fields; {} where it has none. Raises Answered, Refused, SourceError.

    hvac's own methods do not reach all of this: cancelling a rekey takes a nonce in the body.
    """
    from labtui.sources.http import status_error

    door = door if timeout is None else replace(door, timeout=timeout)
    with answered(door, "", path):
        client = door.client(token)
        try:
            answer = client.adapter.request(method, f"/v1/{path}", json=body, raise_exception=False)
        finally:
            client.session.close()
    if isinstance(answer, dict):
        return answer
    status = getattr(answer, "status_code", 200)
    if status == 204:
        return {}
    if status in _PROXY:
        raise status_error(status, answer.text, f"Vault on {inert(door.node, 60)}")
    if status < 300:
        raise odd(answer, door)
    raise Answered(status, said(answer, door.node), words(answer))


def said(answer: Any, node: str) -> str:
    """What an error of Vault says: it never repeats what was sent."""
    if 300 <= answer.status_code < 400:
        return f"{node} is a standby and sends to another server, which is not followed"
    return f"{node} says {answer.status_code}: {words(answer) or 'nothing more'}"


def words(answer: Any) -> str:
    """The errors in it, as one line."""
    try:
        return inert("; ".join(" ".join(str(e).split()) for e in answer.json()["errors"]), 200)
    except (ValueError, KeyError, TypeError):
        return ""
