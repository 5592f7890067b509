"""New shares for a server: enough of the old ones make them, enough of the new ones set them.

Vault's verification is always asked for: until the new shares were given back to it the old ones
stay, so an answer that is lost costs nothing. Its own backup of the wrapped shares is not needed
then, and would have to be fetched and deleted with a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.request import Answered, request
from labtui.keyholder.operations.wrapped import Files, armoured

ANSWER = 60.0
"""Seconds: the last share makes Vault write."""


def start(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: shares, threshold, pgp_keys (base64)."""
    answer = request(
        door,
        "put",
        "sys/rekey/init",
        {
            "secret_shares": params["shares"],
            "secret_threshold": params["threshold"],
            "pgp_keys": params["pgp_keys"],
            "backup": False,
            "require_verification": True,
        },
    )
    return answer or status(door, secrets, params)  # before 1.17 it answers with nothing


def status(door: Door, secrets: Secrets, params: Params) -> Result:
    """What sys/rekey/init says, and `verifying`: what sys/rekey/verify says in the second round."""
    answer = request(door, "get", "sys/rekey/init")
    if answer.get("verification_nonce"):
        answer["verifying"] = request(door, "get", "sys/rekey/verify")
    return answer


def share(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: nonce, fingerprints, folder, stem. The new shares, once there, are in files of this
    machine: whoever gives the last one gets them."""
    now = request(door, "get", "sys/rekey/init")
    if now.get("nonce") != params["nonce"] or not same(now, params["fingerprints"]):
        raise Refused("another rekey is under way by now, for other keys: nothing was sent")
    prints: Sequence[str] = now["pgp_fingerprints"]
    if now.get("verification_nonce"):
        return {"complete": True, "files": []}
    names = [f"{params['stem']}-share-{n}-{p[-8:].upper()}.asc" for n, p in enumerate(prints, 1)]
    with Files(params["folder"], names) as files:
        answer = give(door, "sys/rekey/update", secrets, params["nonce"], now.get("required"))
        if not answer.get("complete"):
            return answer
        wrapped = answer.get("keys_base64") or ()
        note = f"new share %d of {len(prints)} of Vault {door.node}, rekey {params['nonce'][:8]}"
        texts = [armoured(text, note % number) for number, text in enumerate(wrapped, 1)]
        try:
            return {"complete": True, "files": files.write(texts)}
        except (OSError, ValueError) as error:
            raise Refused(
                f"the new shares could not be written ({error}): cancel this rekey and begin "
                "again; the old shares stay what they are"
            ) from None


def verify(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: nonce (of the verification). A new share, given back: complete sets them."""
    return give(door, "sys/rekey/verify", secrets, params["nonce"], None)


def restart(door: Door, secrets: Secrets, params: Params) -> Result:
    """Drops the new shares that were given back so far; its nonce is another one then."""
    return request(door, "delete", "sys/rekey/verify")


def cancel(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: nonce; without it Vault cancels nothing in the first 10 minutes."""
    return request(door, "delete", "sys/rekey/init", {"nonce": params["nonce"]})


def give(
    door: Door, path: str, secrets: Secrets, nonce: str, required: int | None
) -> dict[str, Any]:
    """One share to where a ceremony takes it: how far it is then. Raises Refused, SourceError.

    `dropped`: why the server has dropped all that were given in this round.
    """
    try:
        answer = request(
            door,
            "put",
            path,
            {"key": secrets["share"].decode().strip(), "nonce": nonce},
            timeout=ANSWER,
        )
    except Answered as error:
        text = str(error)
        if "message authentication failed" in text or "incorrect key shares" in text:
            of = f"one of the {required} shares" if required else "one of the shares"
            words = f"{of} was wrong, which one cannot be known; all are dropped, progress is 0"
            return {"dropped": words}
        raise Refused(_refusal(text)) from None
    kept = ("complete", "progress", "required", "t", "nonce", "keys_base64", "encoded_token")
    return {name: answer[name] for name in kept if name in answer}


def same(now: dict[str, Any], fingerprints: Sequence[str]) -> bool:
    """It is for these keys and no others."""
    there = [str(p).upper() for p in now.get("pgp_fingerprints") or ()]
    return there == [p.upper() for p in fingerprints]


def _refusal(text: str) -> str:
    if "already been provided" in text:
        return "this share is in already: nothing changed"
    if "incorrect nonce" in text:
        return "somebody began anew meanwhile (another nonce): nothing was taken"
    return text


OPERATIONS = (
    Operation("rekey.start", (), start),
    Operation("rekey.status", (), status, writes=False),
    Operation("rekey.share", ("share",), share, timeout=ANSWER + 15.0),
    Operation("rekey.verify", ("share",), verify, timeout=ANSWER + 15.0),
    Operation("rekey.restart", (), restart),
    Operation("rekey.cancel", (), cancel),
)
