"""A share for a sealed server, and dropping those that it has. Neither needs a token."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.request import Answered, request
from labtui.sources.base import SourceError


def _status(door: Door) -> dict[str, Any]:
    """seal-status in the console's words. Raises Refused where it is none."""
    found = request(door, "get", "sys/seal-status")
    if not isinstance(found.get("sealed"), bool):
        raise Refused("its answer is not a seal status")
    return {
        "sealed": found["sealed"],
        "initialised": found.get("initialized") is True,
        "progress": int(found.get("progress") or 0),
        "required": int(found.get("t") or 0),
        "nonce": str(found.get("nonce") or "")[:64],
    }


def share(door: Door, secrets: Secrets, params: Params) -> Result:
    """Sends one share, unless the server's nonce is not `params["nonce"]` any more.

    `before`; `sent`, and then `after` as the server told it, if it did; `status` and `words` where
    it said no.
    """
    before = _status(door)
    told: dict[str, Any] = {"before": before, "sent": False, "status": 200}
    if not before["sealed"] or before["nonce"] != params.get("nonce", ""):
        return told
    told["sent"] = True
    try:
        request(door, "put", "sys/unseal", {"key": secrets["share"].decode().strip()})
    except Answered as error:
        told |= {"status": error.status, "words": error.words}
    with suppress(Refused, SourceError):  # it was sent, so this is no refusal
        told["after"] = _status(door)
    return told


def reset(door: Door, secrets: Secrets, params: Params) -> Result:
    """Drops every share that the server has so far."""
    before = _status(door)
    if not before["sealed"]:
        raise Refused("it is unsealed: there is no progress to drop")
    request(door, "put", "sys/unseal", {"reset": True})
    return {"before": before}


OPERATIONS = (
    Operation("unseal.share", ("share",), share),
    Operation("unseal.reset", (), reset),
)
