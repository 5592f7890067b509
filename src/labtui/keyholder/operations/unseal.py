"""A share for a sealed server, and dropping those that it has. Neither needs a token."""

from __future__ import annotations

from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets


def _status(client: Any) -> dict[str, Any]:
    """seal-status in the console's words. Raises Refused where it is none."""
    found = client.sys.read_seal_status()
    if not isinstance(found, dict) or not isinstance(found.get("sealed"), bool):
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

    `before`, and `after` as the server told it; `sent`; `status` and `words` where it said no.
    """
    import hvac.exceptions

    from labtui.keyholder.faults import words

    client = door.client()
    before = _status(client)
    told: dict[str, Any] = {"before": before, "after": before, "sent": False, "status": 200}
    if not before["sealed"] or before["nonce"] != params.get("nonce", ""):
        return told
    told["sent"] = True
    try:
        client.sys.submit_unseal_key(secrets["share"].decode())
    except (hvac.exceptions.InvalidRequest, hvac.exceptions.InternalServerError) as error:
        told["status"] = 400 if isinstance(error, hvac.exceptions.InvalidRequest) else 500
        told["words"] = words(error)
    told["after"] = _status(client)
    return told


def reset(door: Door, secrets: Secrets, params: Params) -> Result:
    """Drops every share that the server has so far."""
    client = door.client()
    before = _status(client)
    if not before["sealed"]:
        raise Refused("it is unsealed: there is no progress to drop")
    client.sys.submit_unseal_key(reset=True)
    return {"before": before, "after": _status(client)}


OPERATIONS = (
    Operation("unseal.share", ("share",), share),
    Operation("unseal.reset", (), reset),
)
