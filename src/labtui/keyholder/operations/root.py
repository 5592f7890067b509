"""A root token: made by enough shares and wrapped for one person, and given back when done."""

from __future__ import annotations

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.rekey import ANSWER, give
from labtui.keyholder.operations.request import Answered, request
from labtui.keyholder.operations.wrapped import Files, armoured, kept


def start(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: pgp_key (base64). Never with a one-time password: who has that sees the token."""
    return request(door, "put", "sys/generate-root/attempt", {"pgp_key": params["pgp_key"]})


def status(door: Door, secrets: Secrets, params: Params) -> Result:
    answer = request(door, "get", "sys/generate-root/attempt")
    for secret in ("otp", "encoded_token", "encoded_root_token"):
        answer.pop(secret, None)
    return answer


def share(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: nonce, fingerprint, folder, name. The wrapped token, once there, is in that file."""
    now = request(door, "get", "sys/generate-root/attempt")
    theirs = str(now.get("pgp_fingerprint")).upper()
    if now.get("nonce") != params["nonce"] or theirs != params["fingerprint"].upper():
        raise Refused("another root token is being made by now, for another key: nothing was sent")
    with Files(params["folder"], [params["name"]]) as files:
        answer = give(
            door, "sys/generate-root/update", secrets, params["nonce"], now.get("required")
        )
        encoded = answer.pop("encoded_token", "")
        if not answer.get("complete"):
            return answer
        text = armoured(encoded, f"root token of Vault {door.node}")
        return {"complete": True} | kept(files, [params["name"]], [text])


def cancel(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: nonce, which newer releases want."""
    return request(door, "delete", "sys/generate-root/attempt", {"nonce": params["nonce"]})


def lookup(door: Door, secrets: Secrets, params: Params) -> Result:
    """What this token is: `root`, `display_name`, `policies`, `accessor`, `ttl` (seconds)."""
    data = request(door, "get", "auth/token/lookup-self", token=secrets["token"])["data"]
    policies = [str(name) for name in data.get("policies") or ()]
    return {
        "root": "root" in policies,
        "policies": policies,
        "display_name": str(data.get("display_name")),
        "ttl": data.get("ttl"),
    }


def revoke(door: Door, secrets: Secrets, params: Params) -> Result:
    """The token gives itself back, and what it made with it (its leases, its child tokens)."""
    return request(door, "post", "auth/token/revoke-self", token=secrets["token"])


def gone(door: Door, secrets: Secrets, params: Params) -> Result:
    """`gone`: the server does not know this token any more."""
    try:
        lookup(door, secrets, params)
    except Answered as error:
        if error.status != 403:
            raise
        return {"gone": True}
    return {"gone": False}


OPERATIONS = (
    Operation("root.start", (), start),
    Operation("root.status", (), status, writes=False),
    Operation("root.share", ("share",), share, timeout=ANSWER + 15.0),
    Operation("root.cancel", (), cancel),
    Operation("root.lookup", ("token",), lookup, writes=False),
    Operation("root.revoke", ("token",), revoke),
    Operation("root.gone", ("token",), gone, writes=False),
)
