"""One request of an operation: its answer as a dict, or what the server said as one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labtui.keyholder.operation import Door, Refused
from labtui.text import inert


class Answered(Refused):
    """The server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def request(
    door: Door,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    token: bytearray | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """The answer's fields; {} where it has none. Raises Answered, SourceError.

    hvac's own methods do not reach all of this: cancelling a rekey takes a nonce in the body.
    """
    from labtui.sources.http import explained

    door = door if timeout is None else replace(door, timeout=timeout)
    with explained(f"Vault at {door.address}", door.ca_file):
        client = door.client(token)
        try:
            answer = client.adapter.request(method, f"/v1/{path}", json=body, raise_exception=False)
        finally:
            client.session.close()
    if isinstance(answer, dict):
        return answer
    if answer.status_code == 204:
        return {}
    raise Answered(answer.status_code, said(answer, door.node))


def said(answer: Any, node: str) -> str:
    """What an error of Vault says: it never repeats what was sent."""
    if 300 <= answer.status_code < 400:
        return f"{node} is a standby and sends to another server, which is not followed"
    try:
        errors = answer.json()["errors"]
        text = "; ".join(" ".join(str(error).split()) for error in errors)
    except (ValueError, KeyError, TypeError):
        text = ""
    return f"{node} says {answer.status_code}: {inert(text, 200) or 'nothing more'}"
