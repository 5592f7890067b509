"""Making a new server's shares, each wrapped by Vault itself for the one who will hold it.

Vault answers once. A raft server that was given a key without a subkey that encrypts says no, and
can be initialised never again until its data are wiped (1.21.2): keys are checked before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.request import Answered, request
from labtui.keyholder.operations.wrapped import Files, armoured, kept

ANSWER = 90.0
"""Seconds for the answer: giving up on it gives up the shares."""


def init(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: shares, threshold, pgp_keys, root_pgp_key (base64), folder, names, comments (those
    of the root token last).

    `files`: what was written. `unwritten`: name -> armoured text of what could not be, which only
    its holder can open.
    """
    names: Sequence[str] = params["names"]
    body = {
        "secret_shares": params["shares"],
        "secret_threshold": params["threshold"],
        "pgp_keys": params["pgp_keys"],
        "root_token_pgp_key": params["root_pgp_key"],
    }
    with Files(params["folder"], names) as files:
        try:
            answer = request(door, "put", "sys/init", body, timeout=ANSWER)
        except Answered as error:
            if "already has state" not in str(error):
                raise
            raise Refused(
                f"{door.node}: an earlier attempt was broken off half way: stop it, empty its "
                "storage folder, start it, and try again"
            ) from None
        return _kept(files, answer, names, params["comments"])


def _kept(
    files: Files, answer: dict[str, Any], names: Sequence[str], comments: Sequence[str]
) -> Result:
    wrapped = [*answer.get("keys_base64", ()), answer.get("root_token")]
    if len(wrapped) != len(names):
        raise Refused(f"the server gave {len(wrapped) - 1} shares, not {len(names) - 1}")
    texts = [armoured(text, note) for text, note in zip(wrapped, comments, strict=True)]
    return kept(files, names, texts)


OPERATIONS = (Operation("init.init", (), init, timeout=ANSWER + 15.0),)
